"""Photos as MeNet sees them: all of one shape, at one scale, whatever shape they have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from irploc.images import Photo
from irploc.training.photos import Photos, scaled_together

_CHUNK = 256


@dataclass(frozen=True)
class Framing:
    """A scale and a shape.

    Photos are scaled so that their shorter side has ``side`` pixels, which keeps what an angle measures in pixels alike for
    upright and lying photos of a camera, and put centred into the frame: what is longer is cut off, what is shorter is
    filled with the mean colour.

    Attributes:
        side: of the shorter side of a scaled photo, pixels.
        height, width: of the frame, pixels.
        mean, deviation: per channel of the mapping photos, 0 to 255.
    """

    side: int
    height: int
    width: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def fit(cls, photos: Photos, count: int, side: int, shape: str) -> Framing:
        """For the first ``count`` photos: the shape that most of them have, or the ``square``."""
        shapes: Counter[tuple[int, int]] = Counter()
        total, squares, pixels = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64), 0
        for start in range(0, count, _CHUNK):
            for photo in photos.whole(np.arange(start, min(start + _CHUNK, count))):
                shapes[(photo.shape[0], photo.shape[1])] += 1
                values = photo.double().flatten(0, 1)
                total += values.sum(dim=0).cpu()
                squares += values.square().sum(dim=0).cpu()
                pixels += len(values)
        height, width = (side, side) if shape == "square" else shapes.most_common(1)[0][0]
        mean = total / pixels
        deviation = (squares / pixels - mean.square()).clamp(min=1.0).sqrt()
        return cls(side, height, width, tuple(mean.tolist()), tuple(deviation.tolist()))

    def framed(self, photos: Sequence[torch.Tensor]) -> torch.Tensor:
        """(B, 3, height, width) uint8 of scaled photos (H, W, 3) each."""
        return torch.stack([self._framed(photo) for photo in photos]).permute(0, 3, 1, 2)

    def of_photos(self, photos: Sequence[Photo]) -> torch.Tensor:
        """``framed`` photos of any size.

        Raises:
            NotFound, BadInput: for a path that is no photo.
        """
        return self.framed(scaled_together(photos, self.side))

    def _framed(self, photo: torch.Tensor) -> torch.Tensor:
        if photo.shape[:2] == (self.height, self.width):
            return photo
        frame = torch.tensor(self.mean).round().to(photo).expand(self.height, self.width, 3).clone()
        (top, above, rows), (left, before, columns) = (
            _centred(length, room) for length, room in zip(photo.shape[:2], (self.height, self.width), strict=True)
        )
        frame[above : above + rows, before : before + columns] = photo[top : top + rows, left : left + columns]
        return frame


def _centred(length: int, room: int) -> tuple[int, int, int]:
    """Where a part of a line is taken from, where it is put, and how long it is."""
    common = min(length, room)
    return (length - common) // 2, (room - common) // 2, common
