"""Image files whose headers would cost more than their pixels; found by walking over them, before any decoder looks.

Pillow reads metadata in Python and keeps all of it: 60 MB of empty segments take it 20 s, entries of EXIF that overlap
fill the memory. The limits are far beyond what cameras write.
"""

from __future__ import annotations

import re

from irploc.errors import BadInput

_SEGMENTS, _SCANS, _FILL, _CHUNKS, _OTHER_CHUNKS = 2_000, 100, 1_000, 200_000, 2_000
_EXIF_BYTES = 1 << 16  # JPEG's one segment
_SCANNED_PIXELS = 1_000_000_000  # in all scans of a JPEG: progressive ones have about ten
_COMPRESSED = (b"iCCP", b"zTXt", b"iTXt")  # inflated by Pillow, up to a megabyte each, whenever the file is opened
_COMPRESSED_CHUNKS = 20
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_STANDALONE = (0x01, *range(0xD0, 0xD9))
_SOS, _EOI, _APP1 = 0xDA, 0xD9, 0xE1
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF: they begin with precision, height and width
_PNG, _IMAGE_DATA = b"\x89PNG\r\n\x1a\n", (b"IDAT", b"fdAT", b"fcTL", b"ANMF")


class Overloaded(BadInput):
    """A file with more metadata than any camera writes."""


def check_container(name: str, content: bytes) -> None:
    """Raises Overloaded for JPEG, PNG and WebP files that are mostly headers; what is none of them passes."""
    try:
        if content.startswith(b"\xff\xd8"):
            _check_jpeg(content)
        elif content.startswith(_PNG):
            _check_chunks(content, len(_PNG), True, b"eXIf")
        elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            _check_chunks(content, 12, False, b"EXIF")
    except Overloaded as error:
        raise Overloaded(f"{name} cannot be used: it has {error}") from None


def _check_jpeg(content: bytes) -> None:
    position, segments, scans, exif, pixels = 2, 0, 0, 0, 0
    while position + 4 <= len(content):
        found = _MARKER.search(content, position)
        if not scans and (len(content) if found is None else found.start()) - position > _FILL:
            raise Overloaded("rubbish between its segments")
        if found is None or content[found.end() - 1] == _EOI:
            return
        marker, position = content[found.end() - 1], found.end()
        segments += 1
        if segments > _SEGMENTS:
            raise Overloaded("too many segments")
        if marker in _STANDALONE:
            continue
        scans += marker == _SOS
        length = int.from_bytes(content[position : position + 2], "big")
        if marker == _APP1 and content[position + 2 : position + 6] == b"Exif":
            exif += length
        if marker in _FRAMES:
            height, width = (int.from_bytes(content[position + at : position + at + 2], "big") for at in (3, 5))
            pixels = max(pixels, height * width)
        if exif > _EXIF_BYTES or scans > _SCANS or scans * pixels > _SCANNED_PIXELS:
            raise Overloaded("too many scans or too much EXIF data")
        position += max(length, 2)


def _check_chunks(content: bytes, position: int, is_png: bool, exif: bytes) -> None:
    """Of PNG (length, kind, data, checksum) or RIFF (kind, length, data up to an even place)."""
    chunks = others = compressed = 0
    while position + 8 <= len(content):
        first, second = content[position : position + 4], content[position + 4 : position + 8]
        kind = second if is_png else first
        length = int.from_bytes(first, "big") if is_png else int.from_bytes(second, "little")
        chunks += 1
        others += kind not in _IMAGE_DATA
        compressed += kind in _COMPRESSED
        too_many = chunks > _CHUNKS or others > _OTHER_CHUNKS or compressed > _COMPRESSED_CHUNKS
        if too_many or (kind == exif and length > _EXIF_BYTES):
            raise Overloaded("too many chunks or EXIF data")
        position += 8 + length + (4 if is_png else length % 2)
