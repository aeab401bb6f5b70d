"""Small copies of photos, inside the page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from irploc.errors import IrplocError
from irploc.images import decode_image

SIDE_PX = 160
_QUALITY = 68


@dataclass
class Thumbnails:
    """Makes ``<img>`` elements until ``budget`` characters are spent; each photo is decoded once.

    Attributes:
        budget: characters of base64 that may still be put into the page.
        missing: photos that could not be read.
    """

    budget: int
    missing: set[Path] = field(default_factory=set)
    _encoded: dict[Path, str] = field(default_factory=dict)

    def element(self, path: Path, name: str) -> str:
        """The photo as HTML, or a placeholder that says why there is none."""
        if path not in self._encoded:
            self._encoded[path] = self._encode(path)
        data = self._encoded[path]
        if not data:
            return _placeholder("photo not found" if not path.exists() else "photo unreadable")
        if len(data) > self.budget:
            return _placeholder("left out to keep the page small")
        self.budget -= len(data)
        return f'<img loading="lazy" alt="{escape(name)}" src="data:image/jpeg;base64,{data}">'

    def _encode(self, path: Path) -> str:
        try:
            photo = decode_image(path, SIDE_PX)
        except (IrplocError, OSError):
            self.missing.add(path)
            return ""
        stream = io.BytesIO()
        photo.save(stream, "JPEG", quality=_QUALITY, optimize=True)
        return base64.b64encode(stream.getvalue()).decode("ascii")


def _placeholder(reason: str) -> str:
    return f'<span class="placeholder">{escape(reason)}</span>'
