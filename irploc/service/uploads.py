"""What clients send: a multipart body becomes photos in memory and fields, within limits; nothing touches the disk."""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from irploc.images import EncodedPhoto
from irploc.service.options import MEGABYTE, Limits
from irploc.service.problems import Problem
from irploc.service.schemas import LocalizeFields

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "PPM")
PHOTO_FIELDS = ("images", "image")
_MOST_FIELDS, _FIELD_BYTES, _NAME_LENGTH = 16, 16_384, 120


@dataclass(frozen=True)
class Upload:
    """A request's photos and what it says of them."""

    photos: tuple[EncodedPhoto, ...]
    fields: LocalizeFields


class _InMemoryParser(MultiPartParser):
    """Starlette's parser; files stay in memory, since bodies are limited and nothing of them may be stored."""

    spool_max_size = 1 << 40


async def read_upload(request: Request, limits: Limits) -> Upload:
    """Reads a request's body.

    Raises:
        Problem: for a body that is too large, is no form, has no photo or too many, or fields that cannot be.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limits.upload_bytes:
        raise _too_large(limits)
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        raise Problem(415, "not_multipart", f"the body is {kind or 'of no type'!r}, expected multipart/form-data")
    photos: list[EncodedPhoto] = []
    fields: dict[str, str] = {}
    try:
        async with aclosing(_limited(request, limits)) as stream:
            parser = _InMemoryParser(
                request.headers, stream, max_files=limits.images, max_fields=_MOST_FIELDS, max_part_size=_FIELD_BYTES
            )
            form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise Problem(413, "too_many_images", f"a request may have {limits.images} photos") from None
        raise Problem(400, "malformed_body", f"the body is no multipart form: {error.message}") from None
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if name not in PHOTO_FIELDS:
                    raise Problem(
                        422, "invalid_request", f"a file in the field {shown(name)!r}, photos belong into 'images'"
                    )
                label = shown(value.filename or "") or f"image {len(photos)}"
                photos.append(EncodedPhoto(label, await value.read(), limits.pixels, FORMATS))
            elif name in fields:
                raise Problem(422, "invalid_request", f"the field {shown(name)!r} is there twice")
            else:
                fields[name] = value
    finally:
        await form.close()
    if not photos:
        raise Problem(422, "no_image", "there is no photo: send one or several as files in the field 'images'")
    return Upload(tuple(photos), checked_fields(fields))


def checked_fields(fields: dict[str, str]) -> LocalizeFields:
    """The fields, empty ones left out; raises Problem naming the first that cannot be."""
    try:
        return LocalizeFields.model_validate({name: value for name, value in fields.items() if value != ""})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = shown(".".join(map(str, first["loc"]))) or "the request"
        if first["type"] == "extra_forbidden":
            known = ", ".join(["images", *LocalizeFields.model_fields])
            raise Problem(422, "invalid_request", f"there is no field {where!r}: expected {known}") from None
        raise Problem(422, "invalid_request", f"{where}: {first['msg'].removeprefix('Value error, ')}") from None


def shown(text: str) -> str:
    """A client's text as a label: one line, short, without control characters."""
    kept = "".join(letter for letter in text if not unicodedata.category(letter).startswith("C"))
    return kept[:_NAME_LENGTH]


async def _limited(request: Request, limits: Limits) -> AsyncGenerator[bytes]:
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limits.upload_bytes:
            raise _too_large(limits)
        yield chunk


def _too_large(limits: Limits) -> Problem:
    return Problem(413, "too_large", f"the body is larger than {limits.upload_bytes / MEGABYTE:g} MB")
