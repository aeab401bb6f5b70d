from __future__ import annotations

import asyncio
import gc
import json
import socket
import struct
import tempfile
import time
import weakref
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.responses import JSONResponse
from PIL import Image
from toy_service import encoded, photo_files, picture, serving, toy_workspace

from irploc.images import EncodedPhoto
from irploc.service import uploads
from irploc.service.containers import Overloaded, check_container
from irploc.service.multipart import FormReader, MalformedForm
from irploc.service.options import Limits, ServiceOptions
from irploc.service.problems import Problem
from irploc.service.routes import localize
from irploc.service.uploads import Received, shown
from irploc.workspace import Workspace

pytestmark = pytest.mark.usefixtures("tiny_encoder")
PHOTO = encoded(picture(), "JPEG")
LIMITS = Limits(images=3, upload_mb=1.0, received_mb=4.0, megapixels=0.1, timeout_s=1.5)


@pytest.fixture(scope="module")
def home(toy_scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return toy_workspace(tmp_path_factory.mktemp("workspace"), toy_scene)


@pytest.fixture(scope="module")
def client(home: Workspace) -> Iterator[httpx.Client]:
    with serving(home, ServiceOptions(LIMITS), methods=("nearest",)) as client:
        yield client


def body(*parts: tuple[str, bytes], boundary: str = "X") -> bytes:
    """A form of parts, each the rest of its Content-Disposition and its content."""
    written = b"".join(
        b"--%s\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (boundary.encode(), about.encode(), content)
        for about, content in parts
    )
    return written + f"--{boundary}--\r\n".encode()


def post(
    client: httpx.Client, content: Any, kind: str = "multipart/form-data; boundary=X", **headers: str
) -> httpx.Response:
    return client.post("/v1/localize", content=content, headers={"Content-Type": kind, **headers})


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == answer.status_code
    return answer.status_code, told["code"], told["detail"]


def test_one_or_several_photos_are_answered_in_order_under_their_labels(client: httpx.Client) -> None:
    parts = [('name="image"; filename="a.jpg"', PHOTO), ('name="images"; filename="d/b.png"', encoded(picture(1)))]
    results = post(client, body(*parts)).json()["results"]
    assert [result["image"] for result in results] == ["a.jpg", "d/b.png"]
    assert all(result["status"] != "refused" for result in results)


def test_no_file_is_made_whatever_is_sent(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a temporary file")

    for name in ("TemporaryFile", "NamedTemporaryFile", "SpooledTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, refuse)
    large = PHOTO + b"\0" * 900_000
    answer = client.post("/v1/localize", files=photo_files(large), data={"method": "nearest"})
    assert answer.status_code == 200


def test_a_body_that_is_announced_too_large_is_refused_before_it_is_read(client: httpx.Client) -> None:
    assert refusal(client.post("/v1/localize", files=photo_files(b"\0" * 20_000_000)))[:2] == (413, "too_large")


def test_a_body_in_chunks_is_refused_where_it_gets_too_large(client: httpx.Client) -> None:
    start = body(('name="images"; filename="a"', b""))[:-9]
    answer = post(client, iter([start, *[b"\0" * 100_000] * 100]))
    assert refusal(answer)[:2] == (413, "too_large")
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("content", "kind", "code"),
    [
        (b"", "multipart/form-data", (400, "malformed_body")),
        (b"", "multipart/form-data; boundary=", (400, "malformed_body")),
        (b"", f"multipart/form-data; boundary={'x' * 300}", (400, "malformed_body")),
        (b"", "multipart/form-data; boundary=X", (400, "malformed_body")),
        (b"hello", "multipart/form-data; boundary=X", (400, "malformed_body")),
        (body(('name="images"; filename="a"', PHOTO))[:-8], "multipart/form-data; boundary=X", (400, "malformed_body")),
        (body(('filename="a"', PHOTO)), "multipart/form-data; boundary=X", (400, "malformed_body")),
        (body(('name="scene"', b"x" * 20_000)), "multipart/form-data; boundary=X", (400, "malformed_body")),
        (body(*[(f'name="f{n}"', b"") for n in range(17)]), "multipart/form-data; boundary=X", (400, "malformed_body")),
        (b"--X--\r\n", "multipart/form-data; boundary=X", (422, "no_image")),
        (b"{}", "application/json", (415, "not_multipart")),
        (b"a=1", "application/x-www-form-urlencoded", (415, "not_multipart")),
        (b"", "", (415, "not_multipart")),
        (body(('name="images"', PHOTO)), "multipart/form-data; boundary=X", (422, "invalid_request")),
        (body(('name="scene"', b"\xff\xfe")), "multipart/form-data; boundary=X", (422, "no_image")),
    ],
)
def test_what_is_no_form_of_photos_is_refused(
    client: httpx.Client, content: bytes, kind: str, code: tuple[int, str]
) -> None:
    assert refusal(post(client, content, kind))[:2] == code


def test_a_compressed_body_is_refused(client: httpx.Client) -> None:
    assert refusal(post(client, body(), **{"Content-Encoding": "gzip"}))[:2] == (415, "encoded_body")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"metod": "nearest"}, "did you mean 'method'?"),
        ({"floormap": "x"}, "did you mean 'floor_map'?"),
        ({"xyzzy": "1"}, "expected images, scene"),
        ({"method": ["nearest", "nearest"]}, "the field 'method' is there twice"),
        ({"focal": "nan"}, "focal"),
        ({"focal": "1e999"}, "focal"),
        ({"focal": "-3"}, "focal"),
        ({"focal": "wide"}, "focal"),
        ({"camera": "[" * 15_000}, "is no JSON object"),
        ({"camera": '{"model": "PINHOLE"}'}, "camera"),
        ({"camera": '{"model": "EYE", "width": 4, "height": 3, "params": [1]}'}, "unknown camera model"),
        ({"camera": '{"model": "SIMPLE_PINHOLE", "width": 4, "height": 3, "params": [NaN, 1, 1]}'}, "camera"),
        ({"camera": '{"model": "\\ud800", "width": 4, "height": 3, "params": [1]}'}, "camera"),
        ({"camera": '{"model": "SIMPLE_PINHOLE", "width": 4, "height": 3, "params": [4, 2, 1]}', "focal": "3"}, "not both"),
        ({"camera": '{"model": "SIMPLE_PINHOLE", "width": 4, "height": 3, "params": [1e-300, 2, 1]}'}, "no camera has"),
        ({"camera": '{"model": "SIMPLE_RADIAL", "width": 4, "height": 3, "params": [4, 2, 1, 1e308]}'}, "camera.params"),
        ({"scene": "x" * 300}, "scene"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_fields_that_cannot_be_are_named(client: httpx.Client, fields: dict[str, Any], words: str) -> None:
    status, code, detail = refusal(client.post("/v1/localize", files=photo_files(PHOTO), data=fields))
    assert (status, code) == (422, "invalid_request")
    assert words in detail


def test_names_that_are_not_there_are_answered_with_those_that_are(client: httpx.Client) -> None:
    for fields, words in [({"scene": "hall"}, "toy"), ({"method": "bdi"}, "nearest"), ({"floor_map": "x/y"}, "none")]:
        status, code, detail = refusal(client.post("/v1/localize", files=photo_files(PHOTO), data=fields))
        assert (status, code) == (404, "not_found")
        assert words in detail


def test_too_many_photos_are_refused(client: httpx.Client) -> None:
    assert refusal(client.post("/v1/localize", files=photo_files(*[PHOTO] * 4)))[:2] == (413, "too_many_images")


def test_a_client_name_is_a_label_and_no_path(client: httpx.Client) -> None:
    for name, label in [
        ("../../etc/passwd", "../../etc/passwd"),
        ("a\u202egpj.exe", "agpj.exe"),
        ("\u200b\u2066", "image 0"),
        ("x" * 500 + ".jpg", "x" * 119 + "…"),
        ("", "image 0"),
    ]:
        answer = post(client, body((f'name="images"; filename="{name}"', PHOTO)))
        assert answer.json()["results"][0]["image"] == label
    assert shown("a\r\nSet-Cookie: b\x00\u2028\x1b[31m") == "aSet-Cookie: b[31m"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", (415, "not_an_image")),
        (b"only words", (415, "not_an_image")),
        (encoded(picture(), "GIF"), (415, "not_an_image")),
        (encoded(picture(), "TIFF"), (415, "not_an_image")),
        (encoded(picture(), "BMP"), (415, "not_an_image")),
        (PHOTO[: len(PHOTO) // 2], (422, "unusable_image")),
        (encoded(picture(size=(4, 4))), (422, "unusable_image")),
        (encoded(Image.new("1", (10_000, 10_000))), (413, "too_many_pixels")),
    ],
    ids=["empty", "text", "gif", "tiff", "bmp", "truncated", "tiny", "100 megapixels"],
)
def test_what_is_no_usable_photo_is_refused(client: httpx.Client, content: bytes, code: tuple[int, str]) -> None:
    started = time.monotonic()
    status, said, detail = refusal(client.post("/v1/localize", files=photo_files(content)))
    assert (status, said) == code
    assert "0.jpg" in detail
    assert time.monotonic() - started < 1, "refused without decoding"


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "I;16", "CMYK"])
def test_photos_of_every_mode_are_answered(client: httpx.Client, mode: str) -> None:
    image = Image.new("I;16", (96, 72), 9_000) if mode == "I;16" else picture().convert(mode)
    answer = client.post("/v1/localize", files=photo_files(encoded(image, "JPEG" if mode == "CMYK" else "PNG")))
    assert answer.status_code == 200, answer.text


def test_of_several_photos_the_bad_ones_are_marked(client: httpx.Client) -> None:
    results = client.post("/v1/localize", files=photo_files(PHOTO, b"words", PHOTO)).json()["results"]
    assert [result["status"] for result in results] == ["ok", "refused", "ok"]
    assert results[1]["error"]["code"] == "not_an_image"
    told = client.post("/v1/localize", files=photo_files(b"words", PHOTO[:400])).json()
    assert [result["error"]["status"] for result in told["results"]] == [415, 422]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _exif(entries: int) -> bytes:
    ifd = b"".join(struct.pack("<HHII", 256 + entry, 7, 60_000, 8) for entry in range(entries))
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", entries) + ifd


def test_files_that_are_mostly_headers_are_refused_before_they_are_decoded(client: httpx.Client) -> None:
    png, webp = encoded(picture()), encoded(picture(), "WEBP")
    exif = _exif(5_000)
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    progressive = encoded(picture(), "JPEG", progressive=True)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    size = progressive.index(b"\xff\xc2") + 5
    large = progressive[:size] + struct.pack(">HH", 7_000, 7_000) + progressive[size + 4 :]
    bombs = [
        PHOTO[:2] + b"\xff\xfe\0\2" * 3_000 + PHOTO[2:],
        PHOTO[:2] + b"\xff" * 5_000 + PHOTO[2:],
        PHOTO[:2] + b"\xff" * 5_000,
        PHOTO[:2] + b"\xff\0" * 5_000,
        PHOTO[:2] + b"\xff\xd0" * 5_000,
        PHOTO[:2] + b"\xff\xd8" * 5_000 + PHOTO[2:],
        PHOTO[:-2] + b"\xff\x01" * 5_000,
        PHOTO[:2] + segment * 2 + PHOTO[2:],
        PHOTO[:-2] + scan * 150,
        large[:-2] + scan * 40,
        png[:33] + _chunk(b"tEXt", b"k\0v") * 3_000 + png[33:],
        png[:33] + _chunk(b"iCCP", b"k\0\0" + zlib.compress(b"\0" * 100_000)) * 30 + png[33:],
        png[:33] + _chunk(b"eXIf", b"II*\0" + b"\0" * 70_000) + png[33:],
        webp + b"EXIF" + struct.pack("<I", 70_000) + b"\0" * 70_000,
    ]
    for bomb in bombs:
        with pytest.raises(Overloaded):
            check_container("bomb", bomb)
        assert refusal(client.post("/v1/localize", files=photo_files(bomb)))[:2] == (422, "unusable_image")
    for usual in (PHOTO, png, webp, progressive, large, b"", b"\xff\xd8", b"words"):
        check_container("usual", usual)


def test_a_photo_that_is_mostly_headers_costs_the_others_of_its_request_nothing(client: httpx.Client) -> None:
    bomb = PHOTO[:2] + b"\xff\xfe\0\2" * 3_000 + PHOTO[2:]
    results = client.post("/v1/localize", files=photo_files(PHOTO, bomb, PHOTO)).json()["results"]
    assert [result["status"] for result in results] == ["ok", "refused", "ok"]
    assert results[1]["error"]["code"] == "unusable_image"


def test_metadata_that_grows_when_unpacked_is_refused(client: httpx.Client) -> None:
    png = encoded(picture())
    bomb = png[:33] + _chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(b"\0" * 50_000_000)) + png[33:]
    assert refusal(client.post("/v1/localize", files=photo_files(bomb)))[:2] == (422, "unusable_image")


BOUNDARY = b"--X\r\n"
HEADED = BOUNDARY + b'Content-Disposition: form-data; name="images"; filename="a"\r\n\r\n'


@pytest.mark.parametrize("rest", [b"\r\n--Xa" * 300, b"\r\n--X" + b" " * 200, b"\r\n--X" + b" \t" * 60])
def test_boundaries_that_are_none_are_not_followed_for_long(rest: bytes) -> None:
    for pieces in ([HEADED + rest], [HEADED, *(rest[start : start + 50] for start in range(0, len(rest), 50))]):
        with closing(FormReader("multipart/form-data; boundary=X", 16, 16, 100)) as reader, pytest.raises(MalformedForm):
            for piece in pieces:
                reader.write(piece)


def test_what_was_read_of_a_form_is_freed_with_it() -> None:
    gc.disable()  # it would hide a circle
    try:
        with closing(FormReader("multipart/form-data; boundary=X", 16, 16, 100)) as reader:
            reader.write(HEADED + b"a photo")
            part = weakref.ref(reader.parts[0])
        assert part() is None
        freed = weakref.ref(reader)
        del reader
        assert freed() is None
    finally:
        gc.enable()


def test_while_a_refusal_is_sent_the_upload_is_not_held(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[weakref.ref[EncodedPhoto]] = []
    left: list[int] = []
    make, answer = uploads.EncodedPhoto, localize.answer_of

    def noted(*arguments: Any) -> EncodedPhoto:
        photo = make(*arguments)
        held.append(weakref.ref(photo))
        return photo

    class Answer(JSONResponse):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            end = time.monotonic() + 2
            while any(photo() is not None for photo in held) and time.monotonic() < end:
                await asyncio.sleep(0.01)  # threads let go of their work a moment later
            left.append(sum(photo() is not None for photo in held))
            await super().__call__(scope, receive, send)

    def answered(*arguments: Any) -> Answer:
        told = answer(*arguments)
        return Answer(json.loads(bytes(told.body)), told.status_code, media_type=told.media_type)

    monkeypatch.setattr(uploads, "EncodedPhoto", noted)
    monkeypatch.setattr(localize, "answer_of", answered)
    gc.disable()
    try:
        for fields in ({}, {"scene": "nowhere"}, {"focal": "many"}):
            assert client.post("/v1/localize", files=photo_files(b"words"), data=fields).status_code in (404, 415, 422)
    finally:
        gc.enable()
    assert (len(held), left) == (3, [0, 0, 0])


def test_a_camera_may_come_as_a_file_of_json_as_browsers_send_it(client: httpx.Client) -> None:
    width, height = picture().size
    camera = {"model": "SIMPLE_PINHOLE", "width": width, "height": height, "params": [80, width / 2, height / 2]}
    files = [*photo_files(PHOTO), ("camera", ("blob", json.dumps(camera).encode(), "application/json"))]
    assert client.post("/v1/localize", files=files).status_code == 200
    assert refusal(client.post("/v1/localize", files=[files[0], ("camera", ("blob", b"{}", "application/json"))]))[0] == 422


def test_uploads_of_all_clients_together_are_limited() -> None:
    received = Received(100)
    with received.counted() as first, received.counted() as second:
        first(60, 0)
        with pytest.raises(Problem, match="too_busy") as refused:
            second(0, 50)
        assert refused.value.headers["Retry-After"] == "2"
        second(40, 0)
        with pytest.raises(Problem):
            first(1, 0)
        assert received.in_memory == 100
    assert received.in_memory == 0


def test_a_client_that_sends_slowly_is_told_and_shut_out(client: httpx.Client) -> None:
    url = client.base_url
    with socket.create_connection((url.host, url.port or 80)) as connection:
        connection.settimeout(8)
        head = "POST /v1/localize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
        connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=X\r\n\r\n--X\r\n".encode())
        started = time.monotonic()
        answer = connection.recv(4096)
    assert b"504" in answer.split(b"\r\n")[0]
    assert 1.2 < time.monotonic() - started < 5


def test_a_refusal_reaches_a_client_that_goes_on_sending(client: httpx.Client) -> None:
    url = client.base_url
    with socket.create_connection((url.host, url.port or 80)) as connection:
        connection.settimeout(8)
        connection.sendall(b"POST /v1/localize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n")
        for _ in range(50):
            connection.sendall(b"\0" * 100_000)
        answer = connection.recv(65536)
        while chunk := connection.recv(65536):
            answer += chunk
    assert b"413" in answer.split(b"\r\n")[0]
    assert b"connection: close" in answer.lower()
    assert b'"too_large"' in answer
