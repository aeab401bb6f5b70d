"""Multipart forms read into memory, within limits; no part ever becomes a file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header

_STRAY = 16  # boundaries that are none: each costs the parser some steps in Python, and nobody but an attacker has any


class MalformedForm(Exception):
    """A body that is no multipart form; says why."""


class TooManyFiles(Exception):
    """More files than are allowed."""


@dataclass
class Part:
    """One part of a form.

    Attributes:
        name: of its field.
        filename: as the client calls the file; None for what is no file, and for JSON, which browsers send as one.
    """

    name: bytes = b""
    filename: bytes | None = None
    content: bytearray = field(default_factory=bytearray)


class FormReader:
    """Takes a body as it comes, and has its parts.

    Args:
        content_type: of the request, with the boundary.
        most_files, most_fields: parts with a file name, and without.
        field_bytes: of one part without a file name.

    Raises:
        MalformedForm: at once without a usable boundary; later on as soon as a byte is wrong.
        TooManyFiles: when there are more than ``most_files``.
    """

    def __init__(self, content_type: str, most_files: int, most_fields: int, field_bytes: int) -> None:
        self.parts: list[Part] = []
        self._most_files, self._most_fields, self._field_bytes = most_files, most_fields, field_bytes
        self._files = self._fields = 0
        self._header, self._value, self._disposition = b"", b"", b""
        self._ended = self._is_json = False
        self._boundaries, self._most_boundaries = 0, most_files + most_fields + _STRAY
        try:
            boundary = parse_options_header(content_type)[1].get(b"boundary")
            if not boundary:
                raise MalformedForm("its content type names no boundary")
            self._stray = re.compile(re.escape(b"\r\n--" + boundary) + rb"(?P<padding>[ \t]{64})?")
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begins,
                    "on_header_field": self._header_goes_on,
                    "on_header_value": self._value_goes_on,
                    "on_header_end": self._header_ends,
                    "on_headers_finished": self._headers_end,
                    "on_part_data": self._part_goes_on,
                    "on_end": self._body_ends,
                },
            )
        except (FormParserError, UnicodeError):
            raise MalformedForm("its boundary cannot be used") from None

    def write(self, chunk: bytes) -> None:
        """The next bytes of the body."""
        for found in self._stray.finditer(chunk):
            self._boundaries += 1
            if self._boundaries > self._most_boundaries or found["padding"]:
                raise MalformedForm("its boundary stands in its parts, or is followed by much space")
        was_padding = self._parser.state == MultipartState.BOUNDARY_PADDING
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise MalformedForm("what stands between its parts is not as its boundary says") from None
        if was_padding and self._parser.state == MultipartState.BOUNDARY_PADDING:
            raise MalformedForm("a boundary is followed by much space")

    def close(self) -> None:
        """Lets go of the parts; else they would stay until Python's collector comes to the circle of parser and reader."""
        self.parts = []
        self._parser.callbacks = {}

    def finish(self) -> list[Part]:
        """The parts, once the body is there; raises MalformedForm where its end is missing."""
        if not self._ended:
            raise MalformedForm("it ends before its last boundary")
        return self.parts

    def _part_begins(self) -> None:
        self.parts.append(Part())
        self._disposition, self._is_json = b"", False

    def _header_goes_on(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _value_goes_on(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        header = self._header.lower()
        if header == b"content-disposition":
            self._disposition = self._value
        self._is_json |= header == b"content-type" and parse_options_header(self._value)[0] == b"application/json"
        self._header = self._value = b""

    def _headers_end(self) -> None:
        part = self.parts[-1]
        kind, options = parse_options_header(self._disposition.decode("latin-1"))
        if kind != b"form-data" or b"name" not in options:
            raise MalformedForm("a part has no 'Content-Disposition: form-data' with a name")
        part.name, part.filename = options[b"name"], None if self._is_json else options.get(b"filename")
        self._files += part.filename is not None
        self._fields += part.filename is None
        if self._files > self._most_files:
            raise TooManyFiles
        if self._fields > self._most_fields:
            raise MalformedForm(f"it has more than {self._most_fields} fields")

    def _part_goes_on(self, data: bytes, start: int, end: int) -> None:
        part = self.parts[-1]
        if part.filename is None and len(part.content) + end - start > self._field_bytes:
            raise MalformedForm(f"a field has more than {self._field_bytes:,} bytes; photos need a file name")
        part.content += memoryview(data)[start:end]

    def _body_ends(self) -> None:
        self._ended = True
