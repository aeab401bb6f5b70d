"""Two walks through the room: smooth paths of a hand-held camera, one to map the place and one to test it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irploc.geometry.poses import Poses


@dataclass(frozen=True)
class Walk:
    """Back and forth on an arc around the middle of the room, looking across it.

    The gaze sweeps less than half a turn: the published regressors give unit quaternions, which cannot follow a full turn
    without a jump.

    Attributes:
        center: (3,) metres, the mean position.
        radii: (2,) metres along x and y.
        radius_swing: how much the radius changes from sweep to sweep, as a share.
        middle_turn, arc_turns: the middle of the arc, and how far it reaches to either side, turns counter-clockwise from x.
        sweeps: how often the path goes there and back.
        gaze_swing_deg: how far the gaze sways to the sides of straight across the room.
        pitch_deg: mean and sway of the gaze below the horizon.
        height_swing_m: how far the camera goes up and down.
    """

    center: tuple[float, float, float]
    radii: tuple[float, float]
    radius_swing: float
    middle_turn: float
    arc_turns: float
    sweeps: float
    gaze_swing_deg: float
    pitch_deg: tuple[float, float]
    height_swing_m: float

    def poses(self, count: int, rng: np.random.Generator) -> Poses:
        """``count`` poses evenly spaced in time, with gentle hand motion."""
        if count == 0:
            return Poses.missing(0)
        time = np.arange(count) / count
        phase = rng.uniform(0, 2 * np.pi, 6)
        turn = 2 * np.pi * (self.middle_turn + self.arc_turns * np.sin(2 * np.pi * self.sweeps * time + phase[5]))
        swing = 1 + self.radius_swing * np.sin(2 * np.pi * 1.5 * time + phase[0])
        position = np.stack(
            [
                self.center[0] + self.radii[0] * swing * np.cos(turn),
                self.center[1] + self.radii[1] * swing * np.sin(turn),
                self.center[2] + self.height_swing_m * np.sin(2 * np.pi * 2.3 * time + phase[1]),
            ],
            axis=1,
        )
        across = np.arctan2(self.center[1] - position[:, 1], self.center[0] - position[:, 0])
        yaw = np.unwrap(across) + np.radians(self.gaze_swing_deg) * np.sin(2 * np.pi * 3.7 * time + phase[2])
        pitch = np.radians(self.pitch_deg[0] + self.pitch_deg[1] * np.sin(2 * np.pi * 2.9 * time + phase[3]))
        roll = np.radians(2.0) * np.sin(2 * np.pi * 5.1 * time + phase[4])
        shake = hand_motion(count, rng)
        position += 0.012 * shake[:, :3]
        yaw, pitch, roll = (angle + np.radians(0.9) * shake[:, 3 + axis] for axis, angle in enumerate((yaw, pitch, roll)))
        return Poses.from_matrices(look(position, yaw, pitch, roll))


def hand_motion(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 6) unit-scale smooth random motion, correlated over a few frames."""
    kernel = np.hanning(7)[1:-1]
    white = rng.normal(size=(count + len(kernel) - 1, 6))
    return np.stack([np.convolve(column, kernel / np.linalg.norm(kernel), mode="valid") for column in white.T], axis=1)


def look(position: np.ndarray, yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """(N, 4, 4) world_from_cam; yaw counter-clockwise from x, pitch below the horizon, roll clockwise; radians."""
    zero = np.zeros_like(yaw)
    forward = np.stack([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), -np.sin(pitch)], axis=1)
    level_right = np.stack([np.sin(yaw), -np.cos(yaw), zero], axis=1)
    level_down = np.cross(forward, level_right)
    cosine, sine = np.cos(roll)[:, None], np.sin(roll)[:, None]
    matrices = np.tile(np.eye(4), (len(yaw), 1, 1))
    matrices[:, :3, 0] = cosine * level_right + sine * level_down
    matrices[:, :3, 1] = cosine * level_down - sine * level_right
    matrices[:, :3, 2] = forward
    matrices[:, :3, 3] = position
    return matrices


MAPPING_WALK = Walk((3.2, 2.3, 1.5), (0.9, 0.75), 0.35, 0.125, 0.16, 5.0, 6.0, (8.0, 4.0), 0.08)
TEST_WALK = Walk((3.15, 2.35, 1.53), (0.85, 0.8), 0.25, 0.125, 0.145, 1.3, 5.0, (9.0, 3.0), 0.06)
