"""What Prometheus and the log are told, and that nothing of it is a client's invention."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.responses import Response
from fastapi.testclient import TestClient
from starlette.background import BackgroundTask
from tiny_service import hosting_options, make_workspace, photo_bytes

from irploc.images import EncodedPhoto
from irploc.service.app import create_app
from irploc.service.keeping import Keeper
from irploc.workspace import Workspace


@contextmanager
def ready(home: Workspace, near: bool = False) -> Iterator[TestClient]:
    """A client of an application that has loaded its scenes; on the machine itself, or not."""
    loaded = threading.Event()
    app = create_app(hosting_options(home), ended=lambda error: loaded.set())

    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError

    @app.get("/kept")
    async def kept() -> Response:
        return Response("kept", background=BackgroundTask(time.sleep, 0.5))

    address = ("127.0.0.1", 5000) if near else ("testclient", 5000)
    with TestClient(app, client=address) as client:
        assert loaded.wait(30)
        yield client


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: None) -> Iterator[TestClient]:
    with ready(make_workspace(tmp_path_factory.mktemp("made") / "home")) as client:
        yield client


def count(client: TestClient, line: str) -> float:
    found = [text for text in client.get("/metrics").text.splitlines() if text.startswith(f"{line} ")]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


def localize(client: TestClient, content: bytes) -> int:
    return client.post("/v1/localize", files={"images": ("secret-name.png", content)}).status_code


def test_answers_and_refusals_are_counted_by_route_and_status(client: TestClient) -> None:
    good = 'irploc_requests_total{method="POST",route="/v1/localize",status="200"}'
    bad = 'irploc_requests_total{method="POST",route="/v1/localize",status="415"}'
    before = count(client, good), count(client, bad)
    assert localize(client, photo_bytes()) == 200
    assert localize(client, b"text") == 415
    assert (count(client, good), count(client, bad)) == (before[0] + 1, before[1] + 1)
    assert count(client, 'irploc_problems_total{code="not_an_image"}') >= 1
    assert count(client, 'irploc_request_seconds_count{route="/v1/localize"}') >= 2
    assert count(client, "irploc_queue_photos") == 0
    assert count(client, "irploc_received_bytes") == 0


def test_paths_and_methods_that_clients_invent_are_no_labels(client: TestClient) -> None:
    client.get("/invented/path/of/a/client")
    client.request("BREW", "/v1/localize")
    client.get("/v1/scenes/invented-scene")
    text = client.get("/metrics").text
    assert "invented" not in text and "BREW" not in text and "secret-name" not in text
    assert count(client, 'irploc_requests_total{method="GET",route="other",status="404"}') >= 1
    assert count(client, 'irploc_requests_total{method="GET",route="/v1/scenes/{name}",status="404"}') >= 1


def test_what_is_loaded_is_told(client: TestClient) -> None:
    assert count(client, "irploc_ready") == 1
    assert count(client, 'irploc_scene_mapping_photos{scene="tiny"}') == 6
    assert client.get("/metrics").headers["content-type"].startswith("text/plain")


def test_a_mistake_of_ours_is_counted_as_one(client: TestClient) -> None:
    assert client.get("/broken").json()["code"] == "internal_error"
    assert count(client, 'irploc_requests_total{method="GET",route="/broken",status="500"}') == 1
    assert count(client, 'irploc_problems_total{code="internal_error"}') == 1


def test_a_head_is_counted_as_one(client: TestClient) -> None:
    assert client.head("/v1/scenes").status_code == 200
    assert count(client, 'irploc_requests_total{method="HEAD",route="/v1/scenes",status="200"}') == 1


def test_the_time_of_a_request_ends_with_its_answer(client: TestClient) -> None:
    client.get("/kept")
    assert count(client, 'irploc_request_seconds_count{route="/kept"}') == 1
    assert count(client, 'irploc_request_seconds_sum{route="/kept"}') < 0.4


def test_who_is_elsewhere_and_has_no_token_may_not_reload_and_it_is_not_counted(client: TestClient) -> None:
    ok = 'irploc_reloads_total{result="ok"}'
    before = count(client, ok)
    answer = client.post("/v1/scenes/tiny/reload", headers={"X-Forwarded-For": "127.0.0.1"})
    assert answer.status_code == 403, "the test client is no loopback address"
    assert answer.json()["code"] == "not_allowed"
    assert count(client, ok) == before


def test_the_machine_itself_may_reload_and_a_failure_keeps_the_old_one(
    tmp_path: Path, tiny_encoder: None, caplog: pytest.LogCaptureFixture
) -> None:
    home = make_workspace(tmp_path / "home")
    with ready(home, near=True) as client:
        with caplog.at_level(logging.INFO, "irploc.service.routes.admin"):
            answer = client.post("/v1/scenes/tiny/reload")
        assert answer.status_code == 200
        assert [record.getMessage() for record in caplog.records if record.levelno == logging.INFO] == ["reloaded: tiny"]
        assert answer.json()["now"] == answer.json()["before"]
        assert answer.json()["now"]["mapping_photos"] == 6
        assert count(client, 'irploc_reloads_total{result="ok"}') == 1

        unknown = client.post("/v1/scenes/cellar/reload")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
        assert unknown.json()["detail"] == "no scene 'cellar': choose one of tiny"
        home.embeddings("tiny").write_bytes(b"damaged")
        with caplog.at_level(logging.ERROR, "irploc"):
            answer = client.post("/v1/scenes/tiny/reload")
        assert (answer.status_code, answer.json()["code"]) == (409, "reload_failed")
        assert str(tmp_path) not in answer.text
        assert count(client, 'irploc_reloads_total{result="failed"}') == 1
        assert localize(client, photo_bytes()) == 200


def test_a_folder_of_uploads_that_is_full_is_told_with_its_size(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Keeper(tmp_path / "kept", 300_000).keep([EncodedPhoto("a", bytes(400_000))], [{}])
    expected = f"{tmp_path / 'kept'} is full: the next photo did not fit into 0.3 MB, uploads are not kept any more"
    assert caplog.messages == [expected]


def test_the_log_has_a_line_a_request_without_names_of_photos(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "irploc.service.access"):
        localize(client, photo_bytes())
        client.get("/v1/scenes?token=hidden")
    lines = [record.getMessage() for record in caplog.records if record.name == "irploc.service.access"]
    assert any(line.startswith("POST /v1/localize 200 ") and " 1 photo " in line for line in lines)
    assert not any("secret-name" in line or "hidden" in line for line in lines)
