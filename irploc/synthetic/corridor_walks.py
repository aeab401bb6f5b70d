"""Walks through the rendered corridors: a hand-held camera that looks ahead, on other routes for mapping and for testing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irploc.geometry.poses import Poses
from irploc.synthetic.walks import hand_motion, look

# Where the middle lines of the corridors meet.
JUNCTIONS = {
    "sw": (1.1, 1.1),
    "s": (10.5, 1.1),
    "se": (17.3, 1.1),
    "ne": (17.3, 10.1),
    "n": (10.5, 10.1),
    "nw": (1.1, 10.1),
}
_STEP_M = 0.02
_CORNER_M = 0.45  # corners are cut by a moving average of this half width
_AHEAD_M = 0.9  # the gaze is where the walker will be
_TURN_M = 0.7  # and turns no faster than a moving average of this half width


@dataclass(frozen=True)
class Stroll:
    """A walk along corridors.

    Attributes:
        route: names of ``JUNCTIONS``.
        offset_m: of the path from the middle line, to the left.
        sway_m: how far the path wanders to both sides of that.
        height_m: of the camera above the floor.
        gaze_swing_deg: how far the gaze sways to the sides of the path.
        pitch_deg: mean of the gaze below the horizon.
    """

    route: tuple[str, ...]
    offset_m: float
    sway_m: float
    height_m: float
    gaze_swing_deg: float
    pitch_deg: float

    def poses(self, count: int, rng: np.random.Generator) -> Poses:
        """``count`` poses evenly spaced along the path."""
        if count == 0:
            return Poses.missing(0)
        phase = rng.uniform(0, 2 * np.pi, 4)
        path, heading = self._path(phase[0])
        at = np.linspace(0, len(path) - 1, count + 2)[1:-1].astype(int)
        metres = at * _STEP_M
        position = np.column_stack([path[at], self.height_m + 0.04 * np.sin(2 * np.pi * metres / 7.3 + phase[1])])
        yaw = heading[at] + np.radians(self.gaze_swing_deg) * np.sin(2 * np.pi * metres / 5.7 + phase[2])
        pitch = np.radians(self.pitch_deg + 3.0 * np.sin(2 * np.pi * metres / 4.1 + phase[3]))
        shake = hand_motion(count, rng)
        position += 0.01 * shake[:, :3]
        yaw, pitch, roll = (
            angle + np.radians(1.2) * shake[:, 3 + axis] for axis, angle in enumerate((yaw, pitch, np.zeros(count)))
        )
        return Poses.from_matrices(look(position, yaw, pitch, roll))

    def _path(self, phase: float) -> tuple[np.ndarray, np.ndarray]:
        """(N, 2) points ``_STEP_M`` apart along the middle line, moved sideways, and (N,) headings of the gaze, radians."""
        corners = np.array([JUNCTIONS[name] for name in self.route])
        lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
        ends = np.concatenate([[0.0], np.cumsum(lengths)])
        metres = np.arange(0.0, ends[-1], _STEP_M)
        middle = np.stack([np.interp(metres, ends, corners[:, axis]) for axis in range(2)], axis=1)
        middle = _smoothed(middle, round(_CORNER_M / _STEP_M))
        ahead = np.minimum(np.arange(len(middle)) + round(_AHEAD_M / _STEP_M), len(middle) - 1)
        along = np.gradient(middle, axis=0)
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        gaze = middle[ahead] - middle
        gaze[-round(_AHEAD_M / _STEP_M) :] = along[-round(_AHEAD_M / _STEP_M) :]
        aside = self.offset_m + self.sway_m * np.sin(2 * np.pi * metres / 8.9 + phase)
        path = middle + aside[:, None] * np.stack([-along[:, 1], along[:, 0]], axis=1)
        heading = np.unwrap(np.arctan2(gaze[:, 1], gaze[:, 0]))
        return path, _smoothed(heading[:, None], round(_TURN_M / _STEP_M))[:, 0]


def _smoothed(points: np.ndarray, half_width: int) -> np.ndarray:
    """A moving average along (N, K) points whose ends go straight on."""
    before = 2 * points[0] - points[half_width:0:-1]
    after = 2 * points[-1] - points[-2 : -half_width - 2 : -1]
    padded = np.concatenate([before, points, after])
    kernel = np.hanning(2 * half_width + 3)[1:-1]
    return np.stack([np.convolve(column, kernel / kernel.sum(), mode="valid") for column in padded.T], axis=1)


MAPPING_STROLL = Stroll(
    ("nw", "sw", "s", "se", "ne", "n", "nw", "sw", "s", "n", "ne", "se", "s", "sw", "nw", "n", "s", "se"),
    0.12, 0.14, 1.5, 9.0, 6.0,
)  # fmt: skip
VALIDATION_STROLL = Stroll(("ne", "n", "s", "sw", "nw", "n", "ne", "se", "s"), -0.22, 0.1, 1.55, 6.0, 5.0)
TEST_STROLL = Stroll(("sw", "nw", "n", "s", "se", "ne", "n", "nw", "sw", "s", "n"), -0.15, 0.2, 1.58, 8.0, 8.0)
