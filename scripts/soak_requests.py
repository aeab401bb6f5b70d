"""What `soak_service.py` sends: good and bad requests by kind, each with the answers that are right for it."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image
from service_clients import form, localize_request, request_bytes

WHOLE, SLOWLY, LEAVES_EARLY, LEAVES_LATE = "whole", "slowly", "leaves in the middle", "leaves after sending"
LIMIT_MB, MOST_PHOTOS = 64, 16  # of irploc serve, as it is without options


@dataclass(frozen=True)
class Case:
    """One request.

    Attributes:
        kind: of it, for the counts.
        content: as it goes over the wire.
        right: statuses that are right; 429, 503 and 504 tell a client to come back and are right for any photo.
        asked: (photo, method) of the results that must come, in order; None where the answer is not looked into. A photo
            that nobody knows has to be refused.
        manner: how it is sent.
    """

    kind: str
    content: bytes
    right: tuple[int, ...] = (200,)
    asked: tuple[tuple[str, str], ...] | None = None
    manner: str = WHOLE


@dataclass(frozen=True)
class Material:
    """What requests are made of.

    Attributes:
        scene: its name.
        methods: that it answers by.
        photos: name -> file content; all of them can be answered.
        gets: paths that exist.
        bomb: a photo of more pixels than are allowed.
    """

    scene: str
    methods: tuple[str, ...]
    photos: Mapping[str, bytes]
    gets: tuple[str, ...]
    bomb: bytes

    def fields(self, method: str) -> dict[str, str]:
        """Of a form."""
        return {"scene": self.scene, "method": method}


def photos_of(paths: list[Path]) -> dict[str, bytes]:
    """Those files; one as large as a phone's, one sideways, and one of no place at all."""
    photos = {path.name: path.read_bytes() for path in paths}
    with Image.open(paths[0]) as image:
        photos["phone.jpg"] = _jpeg(image.resize((4032, 3024)))
        photos["portrait.png"] = _saved(image.rotate(90, expand=True), "PNG")
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    photos["noise.jpg"] = _jpeg(Image.fromarray(noise))
    return photos


def _jpeg(image: Image.Image) -> bytes:
    return _saved(image, "JPEG")


def _saved(image: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A small PNG file that unpacks to many black pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(bytes(1 + 3 * width)) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


Maker = Callable[[random.Random, Material], Case]


def one(chance: random.Random, material: Material, manner: str = WHOLE, kind: str = "one photo") -> Case:
    """A good request for one photo."""
    name, method = chance.choice(list(material.photos)), chance.choice(material.methods)
    content = localize_request([(name, material.photos[name])], material.fields(method))
    return Case(f"{kind}, {method}" if manner == WHOLE else kind, content, (200,), ((name, method),), manner)


def quick(chance: random.Random, material: Material) -> Case:
    """A good request of a burst: small, and by the first method."""
    name, method = next(iter(material.photos)), material.methods[0]
    content = localize_request([(name, material.photos[name])], material.fields(method))
    return Case("one photo of a burst", content, (200,), ((name, method),))


def several(chance: random.Random, material: Material) -> Case:
    """A good request for some photos."""
    names = chance.choices(list(material.photos), k=chance.randint(2, 5))
    method = chance.choice(material.methods)
    content = localize_request([(name, material.photos[name]) for name in names], material.fields(method))
    return Case("several photos", content, (200,), tuple((name, method) for name in names))


def mixed(chance: random.Random, material: Material) -> Case:
    """A good photo between two that cannot be used."""
    name, method = chance.choice(list(material.photos)), chance.choice(material.methods)
    photos = [("text.jpg", b"no photo"), (name, material.photos[name]), ("empty.jpg", b"")]
    asked = (("text.jpg", method), (name, method), ("empty.jpg", method))
    return Case("a photo among others", localize_request(photos, material.fields(method)), (200,), asked)


def _bad_photo(kind: str, name: str, content: Callable[[random.Random, Material], bytes], *right: int) -> Maker:
    def make(chance: random.Random, material: Material) -> Case:
        photo = (name, content(chance, material))
        return Case(kind, localize_request([photo], material.fields(chance.choice(material.methods))), right)

    return make


def _truncated(chance: random.Random, material: Material) -> bytes:
    photo = chance.choice(list(material.photos.values()))
    return photo[: chance.randint(len(photo) // 8, len(photo) // 2)]


def _fields(kind: str, right: int, **fields: str) -> Maker:
    """A good photo with fields that cannot be; those replace the good ones."""

    def make(chance: random.Random, material: Material) -> Case:
        photo = next(iter(material.photos.items()))
        return Case(kind, localize_request([photo], {**material.fields(material.methods[0]), **fields}), (right,))

    return make


def _raw(kind: str, right: int, content: Callable[[Material], bytes]) -> Maker:
    return lambda chance, material: Case(kind, content(material), (right,))


def _posted(content_type: str, body: bytes) -> bytes:
    return request_bytes("POST", "/v1/localize", content_type, body)


def _photo_in_form(material: Material) -> tuple[str, bytes]:
    return form([("images", *next(iter(material.photos.items())))], {})


def _cut_form(material: Material) -> bytes:
    content_type, body = _photo_in_form(material)
    return _posted(content_type, body[: len(body) // 2])


def _announced_too_large(material: Material) -> bytes:
    head = request_bytes("POST", "/v1/localize", "multipart/form-data; boundary=x", b"").decode()
    return head.replace("Content-Length: 0", f"Content-Length: {2 * LIMIT_MB * 1_000_000}").encode() + b"--x\r\n"


def _sent_too_large(material: Material) -> bytes:
    """In chunks, so that its length is not known before it is there."""
    head = b"POST /v1/localize HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
    part = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n'
    chunk = b"%x\r\n%b\r\n" % (1 << 20, bytes(1 << 20))
    chunks = b"%x\r\n%b\r\n" % (len(part), part) + chunk * (LIMIT_MB + 1) + b"0\r\n\r\n"
    return head + b"Content-Type: multipart/form-data; boundary=x\r\n\r\n" + chunks


def _too_many(material: Material) -> bytes:
    photo = next(iter(material.photos.items()))
    return localize_request([photo] * (MOST_PHOTOS + 1), {})


def _wrong_field(material: Material) -> bytes:
    content_type, body = form([("photo", *next(iter(material.photos.items())))], {})
    return _posted(content_type, body)


def _get(chance: random.Random, material: Material) -> Case:
    path = chance.choice(material.gets)
    return Case("GET of what is there", request_bytes(chance.choice(("GET", "GET", "HEAD")), path))


def _missing(chance: random.Random, material: Material) -> Case:
    scene = f"/v1/scenes/{quote(material.scene)}"
    paths = ("/nothing", "/v1/scenes/nothing", f"{scene}/photos/nothing.jpg", f"{scene}/photos/..%2F..%2Fetc%2Fpasswd")
    return Case("GET of nothing", request_bytes("GET", chance.choice((*paths, "/page/nothing.js", "/v2/localize"))), (404,))


def _elsewhere(name: str, value: str) -> Callable[[Material], bytes]:
    return lambda material: f"GET /v1/scenes HTTP/1.1\r\nHost: 127.0.0.1\r\n{name}: {value}\r\n\r\n".encode()


# kind of request -> how often, relative to the others
MAKERS: tuple[tuple[Maker, float], ...] = (
    (one, 10.0),
    (several, 2.0),
    (mixed, 2.0),
    (lambda chance, material: one(chance, material, SLOWLY, "one photo, slowly"), 1.0),
    (lambda chance, material: one(chance, material, LEAVES_EARLY, "left in the middle"), 2.0),
    (lambda chance, material: one(chance, material, LEAVES_LATE, "left after sending"), 2.0),
    (_bad_photo("text as .jpg", "text.jpg", lambda chance, material: b"This is no photo.\n" * 50, 415), 2.0),
    (_bad_photo("truncated photo", "cut.jpg", _truncated, 422), 2.0),
    (_bad_photo("random bytes", "random.png", lambda chance, material: chance.randbytes(5000), 415), 2.0),
    (_bad_photo("100 megapixels", "bomb.png", lambda chance, material: material.bomb, 413), 2.0),
    (_bad_photo("empty file", "empty.jpg", lambda chance, material: b"", 415, 422), 2.0),
    (_fields("unknown scene", 404, scene="nowhere"), 1.0),
    (_fields("unknown method", 404, method="magic"), 1.0),
    (_fields("unknown floor map", 404, floor_map="moon"), 1.0),
    (_fields("unknown field", 422, colour="red"), 1.0),
    (_fields("camera that is no JSON", 422, camera="{'model': "), 1.0),
    (_fields("camera that cannot be", 422, camera='{"model": "PINHOLE", "width": 0, "height": 480, "params": [1]}'), 1.0),
    (_fields("focal that is no number", 422, focal="wide"), 1.0),
    (_raw("photo in a wrong field", 422, _wrong_field), 1.0),
    (_raw("no photo", 422, lambda material: localize_request([], {"scene": material.scene})), 1.0),
    (_raw("too many photos", 413, _too_many), 1.0),
    (_raw("larger than allowed, announced", 413, _announced_too_large), 1.0),
    (_raw("larger than allowed, in chunks", 413, _sent_too_large), 0.3),
    (_raw("JSON, no form", 415, lambda material: _posted("application/json", b'{"images": []}')), 1.0),
    (_raw("form without boundary", 400, lambda material: _posted("multipart/form-data", b"--x--")), 1.0),
    (_raw("form that is cut", 400, _cut_form), 1.0),
    (_raw("form that is none", 400, lambda material: _posted("multipart/form-data; boundary=x", b"hello")), 1.0),
    (_raw("no HTTP", 400, lambda material: b"\x16\x03\x01 hello\r\n\r\n"), 1.0),
    (_raw("wrong verb", 405, lambda material: request_bytes("DELETE", "/v1/localize")), 1.0),
    (_raw("from a page elsewhere", 403, _elsewhere("Origin", "https://elsewhere.example")), 1.0),
    (_missing, 2.0),
    (_get, 12.0),
)


def case(chance: random.Random, material: Material) -> Case:
    """A request of some kind."""
    (maker,) = chance.choices([maker for maker, _ in MAKERS], [weight for _, weight in MAKERS])
    return maker(chance, material)
