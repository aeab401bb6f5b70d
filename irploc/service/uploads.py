"""What clients send: a multipart body becomes photos in memory and fields, within limits; nothing touches the disk."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass

from pydantic import ValidationError
from starlette.requests import Request

from irploc.images import EncodedPhoto
from irploc.service.multipart import FormReader, MalformedForm, Part, TooManyFiles
from irploc.service.options import MEGABYTE, Limits
from irploc.service.problems import Problem
from irploc.service.schemas import LocalizeFields

FORMATS = ("JPEG", "PNG", "WEBP")  # decoders in C; TIFF, PPM and packed BMP have parts in Python that take minutes
PHOTO_FIELDS = ("images", "image")
_MOST_FIELDS, _FIELD_BYTES, _NAME_LENGTH = 16, 16_384, 120
_INVISIBLE = ("C", "Zl", "Zp")  # control characters, marks that turn the direction of text, line separators


@dataclass(frozen=True)
class Upload:
    """A request's photos and what it says of them."""

    photos: tuple[EncodedPhoto, ...]
    fields: LocalizeFields


class Received:
    """The bytes of uploads that are in memory, of all requests together.

    Args:
        most_bytes: beyond which nothing more is taken.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.in_memory = 0

    @contextmanager
    def counted(self) -> Iterator[Callable[[int, int], None]]:
        """Takes (bytes that came, bytes that are still announced); forgets them at the end of the block.

        Raises:
            Problem: 429, where the bytes that came do not fit, or those that are announced never will.
        """
        mine = 0

        def count(came: int, announced: int = 0) -> None:
            nonlocal mine
            if self.in_memory + came + announced > self._most_bytes:
                detail = "the uploads of other clients fill the memory: try again in 2 s"
                raise Problem(429, "too_busy", detail, {"Retry-After": "2"})
            self.in_memory += came
            mine += came

        try:
            yield count
        finally:
            self.in_memory -= mine


async def read_upload(request: Request, limits: Limits, count: Callable[[int, int], None]) -> Upload:
    """Reads a request's body.

    Args:
        request: whose body nobody has read.
        limits: of one request.
        count: takes the bytes that came and those announced, see ``Received``.

    Raises:
        Problem: for a body that is too large, is no form, has no photo or too many, or fields that cannot be.
    """
    announced = _announced(request, limits)
    count(0, announced)
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "multipart/form-data":
        said = repr(shown(kind)) if kind else "of no type"
        raise Problem(415, "not_multipart", f"the body is {said}, expected multipart/form-data")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(415, "encoded_body", "the body is compressed, expected it as it is")
    try:
        with closing(FormReader(kind, limits.images, _MOST_FIELDS, _FIELD_BYTES)) as reader:
            async with aclosing(_limited(request, limits, count)) as stream:
                async for chunk in stream:
                    reader.write(chunk)
            parts = reader.finish()
    except TooManyFiles:
        raise Problem(413, "too_many_images", f"a request may have {limits.images} photos") from None
    except MalformedForm as error:
        raise Problem(400, "malformed_body", f"the body is no multipart form: {error}") from None
    photos = _photos(parts, limits)
    return Upload(photos, checked_fields(_fields(parts)))


def _announced(request: Request, limits: Limits) -> int:
    declared = request.headers.get("content-length", "")
    announced = int(declared) if declared.isascii() and declared.isdigit() else 0
    if announced > limits.upload_bytes:
        raise _too_large(limits)
    return announced


async def _limited(request: Request, limits: Limits, count: Callable[[int, int], None]) -> AsyncGenerator[bytes]:
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limits.upload_bytes:
            raise _too_large(limits)
        count(len(chunk), 0)
        yield chunk


def _too_large(limits: Limits) -> Problem:
    return Problem(413, "too_large", f"the body is larger than {limits.upload_bytes / MEGABYTE:g} MB")


def _photos(parts: Sequence[Part], limits: Limits) -> tuple[EncodedPhoto, ...]:
    photos: list[EncodedPhoto] = []
    for part in parts:
        name = _decoded(part.name)
        if part.filename is None:
            if name in PHOTO_FIELDS and part.content:  # empty ones are what forms send for a file that nobody chose
                detail = f"the field {name!r} has no file name, so it is no photo: send it as a file"
                raise Problem(422, "invalid_request", detail)
            continue
        if name not in PHOTO_FIELDS:
            raise Problem(422, "invalid_request", f"a file in the field {shown(name)!r}, photos belong into 'images'")
        label = shown(_decoded(part.filename)) or f"image {len(photos)}"
        photos.append(EncodedPhoto(label, bytes(part.content), limits.pixels, FORMATS))
        part.content = bytearray()
    if not photos:
        raise Problem(422, "no_image", "there is no photo: send one or several as files in the field 'images'")
    return tuple(photos)


def _fields(parts: Sequence[Part]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for part in parts:
        name = _decoded(part.name)
        if part.filename is not None:
            continue
        if name in fields:
            raise Problem(422, "invalid_request", f"the field {shown(name)!r} is there twice")
        try:
            fields[name] = part.content.decode()
        except UnicodeDecodeError:
            raise Problem(422, "invalid_request", f"the field {shown(name)!r} is no UTF-8") from None
    return fields


def checked_fields(fields: dict[str, str]) -> LocalizeFields:
    """The fields, empty ones left out; raises Problem naming the first that cannot be."""
    known = ["images", *LocalizeFields.model_fields]
    unknown = next((name for name in fields if name not in known), None)
    if unknown is not None:
        close = difflib.get_close_matches(unknown[:_NAME_LENGTH].lower(), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"expected {', '.join(known)}"
        raise Problem(422, "invalid_request", f"there is no field {shown(unknown)!r}: {hint}")
    try:
        return LocalizeFields.model_validate({name: value for name, value in fields.items() if value != ""})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the request"
        raise Problem(422, "invalid_request", f"{shown(where)}: {first['msg'].removeprefix('Value error, ')}") from None


def shown(text: str) -> str:
    """A client's text as a label: one line, short, nothing invisible in it."""
    kept = "".join(letter for letter in text[: 4 * _NAME_LENGTH] if not unicodedata.category(letter).startswith(_INVISIBLE))
    return kept if len(kept) <= _NAME_LENGTH else f"{kept[: _NAME_LENGTH - 1]}…"


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "replace")
