from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from starlette.types import Message, Receive, Scope, Send
from toy_service import encoded, photo_files, picture, serving, toy_workspace

from irploc.errors import BadInput
from irploc.service.guard import Labels
from irploc.service.options import ServiceOptions, hosts_to_allow
from irploc.service.routes import page
from irploc.workspace import Workspace

pytestmark = pytest.mark.usefixtures("tiny_encoder")
FOLDER = Path(page.__file__).parents[1] / "page"
TOKEN = "0123456789abcdef-secret"
RIGHT = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def home(toy_scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return toy_workspace(tmp_path_factory.mktemp("workspace"), toy_scene)


@pytest.fixture(scope="module")
def client(home: Workspace) -> Iterator[httpx.Client]:
    """Of a service that is on its guard: a token, host names, an origin that may ask."""
    options = ServiceOptions(
        token=TOKEN,
        allowed_hosts=hosts_to_allow("127.0.0.1", ("place.example",)),
        allowed_origins=("https://app.example",),
    )
    with serving(home, options, methods=("nearest",)) as client:
        yield client


@pytest.fixture(scope="module")
def open_client(home: Workspace) -> Iterator[httpx.Client]:
    """Of a service that asks for nothing."""
    with serving(home, methods=("nearest",)) as client:
        yield client


@pytest.mark.parametrize(
    "path", ["/v1/scenes", "/v1/scenes/toy", "/v1/localize", "/metrics", "/openapi.json", "/nothing", "/docs/../v1/scenes"]
)
def test_without_the_token_nothing_is_told(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == 'Bearer realm="irploc"'


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/"])
def test_probes_and_the_page_need_no_token(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 200
    assert client.post(path).status_code == 401, "only reading is free"


@pytest.mark.parametrize("given", ["", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN])
def test_another_token_is_refused(client: httpx.Client, given: str) -> None:
    answer = client.get("/v1/scenes", headers={"Authorization": given})
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert TOKEN not in answer.text


def test_the_token_opens_and_a_scheme_has_no_case(client: httpx.Client) -> None:
    assert client.get("/v1/scenes", headers=RIGHT).status_code == 200
    assert client.get("/v1/scenes", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200
    answer = client.post("/v1/localize", files=photo_files(encoded(picture())), headers=RIGHT)
    assert answer.status_code == 200


def test_a_refused_token_is_told_what_it_lacks(client: httpx.Client) -> None:
    details = [
        client.get("/v1/scenes", headers=headers).json()["detail"]
        for headers in ({}, {"Authorization": TOKEN}, {"Authorization": f"Bearer {TOKEN}x"})
    ]
    assert details == [
        "a token is needed: Authorization: Bearer TOKEN",
        "the word Bearer is missing before the token: expected Authorization: Bearer TOKEN",
        "the token is not the right one",
    ]


def test_a_token_without_ascii_is_refused_not_stumbled_over(client: httpx.Client) -> None:
    assert client.get("/v1/scenes", headers={"Authorization": b"Bearer \xff\xfe\x80"}).status_code == 401


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "::1", "place.example"])
def test_known_host_names_pass(client: httpx.Client, host: str) -> None:
    assert client.get("/v1/scenes", headers={**RIGHT, "Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "evil.example:8000", "127.0.0.1.evil.example"])
def test_a_name_pointed_at_this_machine_is_refused(client: httpx.Client, host: str) -> None:
    answer = client.get("/", headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (403, "host_not_allowed")
    assert f"is not called {host!r}; its operator can add names with --allow-host" in answer.json()["detail"]
    assert client.get("/healthz", headers={"Host": host}).status_code == 200, "probes come by addresses of their own"


def test_a_refused_name_is_shown_short_and_in_one_line(client: httpx.Client) -> None:
    detail = client.get("/", headers={"Host": b"evil\xc2\x85" + b"x" * 500}).json()["detail"]
    assert "evil" in detail and "x…'" in detail and detail.isprintable() and len(detail) < 250


@pytest.mark.parametrize("name", ["Host", "Origin"])
def test_of_two_names_neither_counts(client: httpx.Client, name: str) -> None:
    right = {"Host": "localhost", "Origin": "https://app.example"}[name]
    for others, code in (([], "200"), (["evil.example"], "403"), ([right], "403")):
        lines = [f"Authorization: Bearer {TOKEN}", "Connection: close", *([] if name == "Host" else ["Host: localhost"])]
        lines += [f"{name}: {given}" for given in (right, *others)]
        with socket.create_connection((client.base_url.host, client.base_url.port), 10) as connection:
            connection.sendall("\r\n".join(["GET /v1/scenes HTTP/1.1", *lines, "", ""]).encode())
            assert connection.recv(4096).decode().split()[1] == code


def test_at_an_address_for_others_any_name_is_right_unless_some_are_named() -> None:
    assert hosts_to_allow("0.0.0.0") == ()
    assert hosts_to_allow("0.0.0.0", ("place.example",)) == ("0.0.0.0", "localhost", "127.0.0.1", "::1", "place.example")
    assert hosts_to_allow("localhost") == ("localhost", "127.0.0.1", "::1")
    assert hosts_to_allow("127.0.0.2")[0] == "127.0.0.2"
    assert hosts_to_allow("::1")[0] == "::1"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://app.example.evil.example"},
        {"Origin": "http://app.example"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ],
    ids=str,
)
def test_pages_of_other_sites_get_nothing(client: httpx.Client, headers: dict[str, str]) -> None:
    answer = client.get("/v1/scenes", headers={**RIGHT, **headers})
    assert (answer.status_code, answer.json()["code"]) == (403, "origin_not_allowed")
    assert "access-control-allow-origin" not in answer.headers


def test_a_form_of_another_site_is_refused_before_its_photo_is_read(open_client: httpx.Client) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    answer = open_client.post("/v1/localize", files=photo_files(encoded(picture())), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "origin_not_allowed")


def test_a_link_from_another_site_is_followed(client: httpx.Client) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get("/", headers=headers).status_code == 200


def test_the_page_itself_asks_from_its_own_origin(client: httpx.Client) -> None:
    own = {"Origin": str(client.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert client.get("/v1/scenes", headers={**RIGHT, **own}).status_code == 200
    behind_tls = {"Host": "place.example", "Origin": "https://place.example"}
    assert client.get("/v1/scenes", headers={**RIGHT, **behind_tls}).status_code == 200
    with_port = {"Host": "place.example:443", "Origin": "https://place.example"}
    assert client.get("/v1/scenes", headers={**RIGHT, **with_port}).status_code == 200


def test_an_origin_that_is_allowed_may_ask_and_read(client: httpx.Client) -> None:
    allowed = {"Origin": "https://app.example", "Sec-Fetch-Site": "cross-site"}
    answer = client.get("/v1/scenes", headers={**RIGHT, **allowed})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "Origin" in answer.headers["vary"]
    refused = client.get("/v1/scenes", headers=allowed)
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://app.example", "its page may read why"


def test_its_preflight_needs_no_token(client: httpx.Client) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    answer = client.options("/v1/localize", headers={"Origin": "https://app.example", **asked})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "POST" in answer.headers["access-control-allow-methods"]
    refused = client.options(
        "/v1/localize", headers={"Origin": "https://app.example", "Access-Control-Request-Method": "DELETE"}
    )
    assert (refused.status_code, refused.json()["code"]) == (400, "preflight_refused")
    assert refused.json()["request_id"] == refused.headers["x-request-id"]
    assert refused.headers["access-control-allow-origin"] == "https://app.example"
    other = client.options("/v1/localize", headers={"Origin": "https://evil.example", **asked})
    assert (other.status_code, other.json()["code"]) == (403, "origin_not_allowed")


def test_every_answer_has_safe_headers(client: httpx.Client) -> None:
    for path in ("/", "/healthz", "/v1/scenes", "/nothing"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "'unsafe-inline'" not in headers["content-security-policy"].split("style-src")[0]
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")


def test_answers_about_photos_are_stored_nowhere(open_client: httpx.Client) -> None:
    answer = open_client.post("/v1/localize", files=photo_files(encoded(picture())))
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert open_client.post("/v1/localize").headers["cache-control"] == "no-store"


def test_what_is_cut_off_by_the_end_of_the_service_is_told_so() -> None:
    told: list[Any] = []

    async def never(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        told.append(message)

    async def ask() -> None:
        scope = {"type": "http", "method": "POST", "path": "/v1/localize", "headers": []}
        asking = asyncio.create_task(Labels(never)(scope, None, send))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        asking.cancel()
        await asking

    asyncio.run(ask())
    assert told[0]["status"] == 503
    assert json.loads(told[1]["body"])["code"] == "shutting_down"


def test_a_sane_request_id_comes_back_and_any_other_is_replaced(client: httpx.Client) -> None:
    kept = client.get("/nothing", headers={**RIGHT, "X-Request-Id": "order-66_a.b"})
    assert kept.headers["x-request-id"] == kept.json()["request_id"] == "order-66_a.b"
    for other in ("", "a b", "x" * 65, "<script>", b"\xff"):
        replaced = client.get("/nothing", headers={**RIGHT, "X-Request-Id": other})
        assert len(replaced.headers["x-request-id"]) == 16
        assert replaced.headers["x-request-id"] == replaced.json()["request_id"]


def test_head_is_get_without_a_body(open_client: httpx.Client) -> None:
    for path in ("/healthz", "/v1/scenes", "/"):
        got, asked = open_client.get(path), open_client.head(path)
        assert (asked.status_code, asked.content) == (200, b"")
        assert asked.headers["content-length"] == got.headers["content-length"]
    assert open_client.head("/nothing").status_code == 404
    assert open_client.head("/v1/localize").status_code == 405


def test_options_tells_what_may_be_asked(open_client: httpx.Client) -> None:
    answer = open_client.options("/v1/localize")
    assert (answer.status_code, answer.headers["allow"], answer.content) == (204, "OPTIONS, POST", b"")
    assert open_client.options("/nothing").status_code == 404
    refused = open_client.request("DELETE", "/v1/scenes")
    assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")
    assert "GET" in refused.headers["allow"]
    assert open_client.options("/v1/scenes").headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, br", "gzip"),
        ("br, gzip;q=0.5", "gzip"),
        ("gzip;q=0", None),
        ("gzip; q=0.0", None),
        ("x-gzip", None),
        ("", None),
    ],
)
def test_files_of_the_page_are_compressed_for_those_who_take_it(
    open_client: httpx.Client, accepted: str, coding: str | None
) -> None:
    answer = open_client.get("/assets/main.js", headers={"Accept-Encoding": accepted})
    assert answer.headers.get("content-encoding") == coding
    assert answer.text == (FOLDER / "main.js").read_text(encoding="utf-8")
    plain = open_client.get("/assets/main.js", headers={"Accept-Encoding": "identity"})
    assert (answer.headers["etag"] == plain.headers["etag"]) == (coding is None), "other bytes have another tag"
    again = open_client.get(
        "/assets/main.js", headers={"Accept-Encoding": accepted, "If-None-Match": answer.headers["etag"]}
    )
    assert again.status_code == 304


def test_files_of_the_docs_come_whole_whatever_range_is_asked_for(open_client: httpx.Client) -> None:
    for asked in ("bytes=abc", "bytes=999999999-", "bytes=5-2"):
        assert open_client.get("/docs/favicon.png", headers={"Range": asked}).status_code == 200


def test_a_mistake_of_ours_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("in /home/someone/secret.py")

    sent: list[Message] = []

    async def run() -> None:
        async def receive() -> Message:
            return {"type": "http.request"}

        async def send(message: Message) -> None:
            sent.append(message)

        await Labels(broken)({"type": "http", "method": "GET", "path": "/x", "headers": []}, receive, send)

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert sent[0]["status"] == 500
    assert b"internal_error" in sent[1]["body"]
    assert b"secret" not in sent[1]["body"]
    assert b"Traceback" not in sent[1]["body"]
    assert "secret.py" in caplog.text
    assert dict(sent[0]["headers"])[b"x-request-id"].decode() in caplog.text


@pytest.mark.parametrize(
    "token", ["short", "with a space in it", "mit Ümlaut und lang genug".replace(" ", ""), "line\nbreak-0123456789"]
)
def test_a_token_that_cannot_be_one_is_refused(token: str) -> None:
    with pytest.raises(BadInput, match="token"):
        ServiceOptions(token=token)


def test_a_token_is_not_in_the_options_words() -> None:
    assert TOKEN not in repr(ServiceOptions(token=TOKEN))


@pytest.mark.parametrize(
    ("typed", "taken"),
    [
        ("place.example.org", "place.example.org"),
        ("Place_1.example:8443", "Place_1.example:8443"),
        ("192.168.0.2", "192.168.0.2"),
        ("[fd00:0::1]", "fd00::1"),
        ("fd00::1", "fd00::1"),
        ("[fd00::1]:8000", "[fd00::1]:8000"),
    ],
)
def test_a_host_name_is_taken_as_requests_say_it(typed: str, taken: str) -> None:
    assert hosts_to_allow("localhost", (typed,))[-1] == taken


@pytest.mark.parametrize(
    "typed", ["https://place.example.org", "a b", "", "*", "*.example.org", "place.example/x", "a:b", "a,b", "[x]", "[::1"]
)
@pytest.mark.parametrize("host", ["localhost", "0.0.0.0"])
def test_what_is_no_host_name_is_refused(host: str, typed: str) -> None:
    with pytest.raises(BadInput, match=r" is no host name, expected for example place\.example\.org, "):
        hosts_to_allow(host, (typed,))


@pytest.mark.parametrize("origin", ["example.org", "https://example.org/", "ftp://example.org", "https://a b"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(BadInput, match="is no origin"):
        ServiceOptions(allowed_origins=(origin,))
