"""Which frames of a video become photos: the sharpest of each time slot, without blurred ones and standstills."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from irploc.errors import BadInput
from irploc.mapping.video import Measured

_MOST_FPS = 1000
_NEIGHBOURS = 31  # chosen frames that a frame's sharpness is compared with


@dataclass(frozen=True)
class SelectionOptions:
    """How frames are chosen.

    Attributes:
        fps: frames a second, at most.
        least_sharpness: share of the median sharpness of the frames around; what is below is blurred.
        least_motion: share of the image's width that the picture must have moved since the frame before.

    Raises:
        BadInput: for values that cannot be.
    """

    fps: float = 6.0
    least_sharpness: float = 0.5
    least_motion: float = 0.002

    def __post_init__(self) -> None:
        if not 0 < self.fps <= _MOST_FPS:
            raise BadInput(f"fps is {self.fps}, it must be positive and at most {_MOST_FPS}")
        for name in ("least_sharpness", "least_motion"):
            if not 0 <= getattr(self, name) < 1:
                raise BadInput(f"{name.replace('_', ' ')} is {getattr(self, name)}, it must lie in [0, 1)")


@dataclass(frozen=True)
class Selection:
    """What was chosen.

    Attributes:
        candidates: (C,) frame numbers, one of each time slot.
        reasons: C of ``""`` (chosen), ``blurred``, ``no motion``.
        sharpness: (C,) relative to the frames around.
        motion: (C,) since the last frame that was kept, as a share of the width.
    """

    candidates: np.ndarray
    reasons: tuple[str, ...]
    sharpness: np.ndarray
    motion: np.ndarray

    @property
    def numbers(self) -> np.ndarray:
        """(K,) the chosen frame numbers."""
        return self.candidates[np.array([reason == "" for reason in self.reasons], dtype=bool)]

    def dropped(self, reason: str) -> int:
        """How many were left out for a reason."""
        return sum(other == reason for other in self.reasons)


def select_frames(measured: Measured, options: SelectionOptions | None = None) -> Selection:
    """The sharpest frame of every 1/fps seconds; of those, what is much less sharp than the frames around is left out, and
    what shows the same picture as the frame kept before."""
    options = options or SelectionOptions()
    candidates = _sharpest_in_slots(measured, options.fps)
    sharpness = measured.sharpness[candidates]
    around = ndimage.median_filter(sharpness, size=min(_NEIGHBOURS, 2 * len(sharpness) - 1), mode="nearest")
    relative = sharpness / np.maximum(around, 1e-9)
    reasons, motion, last = [], [], None
    for number, share in zip(candidates, relative, strict=True):
        moved = np.inf if last is None else picture_motion(measured.thumbnails[last], measured.thumbnails[number])
        motion.append(moved)
        if share < options.least_sharpness:
            reasons.append("blurred")
        elif moved < options.least_motion:
            reasons.append("no motion")
        else:
            reasons.append("")
            last = number
    return Selection(candidates, tuple(reasons), relative, np.array(motion))


def picture_motion(first: np.ndarray, second: np.ndarray) -> float:
    """How far the picture moved between two thumbnails (h, w), as a share of the width, for small movements.

    A picture that moves by d changes each pixel by about d times its gradient; the mean change over the mean gradient gives
    d whatever the contrast.
    """
    first, second = first.astype(np.float64), second.astype(np.float64)
    gradient = np.abs(np.stack(np.gradient(first))).sum(axis=0).mean()
    return float(np.abs(second - first).mean() / max(gradient, 1e-3) / first.shape[1])


def _sharpest_in_slots(measured: Measured, fps: float) -> np.ndarray:
    """(C,) frame numbers, in order."""
    slots = np.floor((measured.times_s - measured.times_s.min()) * fps + 1e-6).astype(np.int64)
    order = np.lexsort((np.arange(len(slots)), -measured.sharpness, slots))
    first = np.concatenate([[True], np.diff(slots[order]) > 0])
    return np.sort(order[first])
