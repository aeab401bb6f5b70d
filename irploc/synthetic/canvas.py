"""A small drawing board over Pillow that works in metres."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from irploc.synthetic.patterns import Colour
from irploc.synthetic.surfaces import Patch

_SUPERSAMPLING = 3


class Canvas:
    """Draws on a patch in metres, u to the right and v down, antialiased."""

    def __init__(self, patch: Patch, ground: Colour) -> None:
        self.width_m, self.height_m = patch.width_m, patch.height_m
        rows, columns = patch.shape
        self._size = (columns, rows)
        self._scale = np.array([columns / patch.width_m, rows / patch.height_m]) * _SUPERSAMPLING
        self._image = Image.new("RGB", (columns * _SUPERSAMPLING, rows * _SUPERSAMPLING), _rgb(ground))
        self._draw = ImageDraw.Draw(self._image)

    def polygon(self, points: Sequence[tuple[float, float]], colour: Colour) -> None:
        """A filled polygon."""
        self._draw.polygon([tuple(point * self._scale) for point in np.asarray(points)], fill=_rgb(colour))

    def rectangle(self, u: float, v: float, width: float, height: float, colour: Colour) -> None:
        """A filled rectangle by its upper left corner and size."""
        self.polygon([(u, v), (u + width, v), (u + width, v + height), (u, v + height)], colour)

    def ellipse(self, u: float, v: float, radius_u: float, radius_v: float, colour: Colour) -> None:
        """A filled ellipse by its centre and radii."""
        center, radii = np.array([u, v]), np.array([radius_u, radius_v])
        low, high = (center - radii) * self._scale, (center + radii) * self._scale
        self._draw.ellipse([tuple(low), tuple(high)], fill=_rgb(colour))

    def line(self, points: Sequence[tuple[float, float]], width: float, colour: Colour) -> None:
        """A line through points, at least a third of a texel wide."""
        path = [tuple(point * self._scale) for point in np.asarray(points)]
        self._draw.line(path, fill=_rgb(colour), width=max(1, round(width * self._scale[0])), joint="curve")

    def frame(self, width: float, colour: Colour) -> None:
        """A border along all four sides."""
        for u, v, w, h in (
            (0.0, 0.0, self.width_m, width),
            (0.0, self.height_m - width, self.width_m, width),
            (0.0, 0.0, width, self.height_m),
            (self.width_m - width, 0.0, width, self.height_m),
        ):
            self.rectangle(u, v, w, h, colour)

    def text(self, u: float, v: float, height: float, words: str, colour: Colour) -> None:
        """Words in capitals of about ``height``; left out where they would be smaller than a texel."""
        size = height * float(self._scale[1]) * 1.3
        if size >= _SUPERSAMPLING:
            self._draw.text(
                tuple(np.array([u, v]) * self._scale), words, fill=_rgb(colour), font=ImageFont.load_default(size)
            )

    def finish(self) -> np.ndarray:
        """(rows, columns, 3) float32 sRGB in [0, 1]."""
        small = self._image.resize(self._size, Image.Resampling.BOX)
        return np.asarray(small, dtype=np.float32) / 255


def _rgb(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (round(255 * min(max(float(channel), 0.0), 1.0)) for channel in colour)
    return red, green, blue
