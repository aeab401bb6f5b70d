"""What a pose graph is made of: terms that tie poses to measurements, with their derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from irploc.geometry.poses import Poses
from irploc.geometry.relative import relative_poses
from irploc.geometry.rotations import conjugate, matrix_from_quaternion, multiply
from irploc.geometry.tangent import inverse_right_jacobian, right_jacobian, rotation_of_vector, rotation_vector, skew


@dataclass(frozen=True)
class Absolute:
    """What is said about each of N frames by itself.

    Attributes:
        poses: N; NaN where nothing is said.
        position_m: (N,) standard deviations of each coordinate; NaN where nobody knows.
        rotation_deg: (N,) standard deviations about each axis; NaN where nobody knows.
    """

    poses: Poses
    position_m: np.ndarray
    rotation_deg: np.ndarray

    @classmethod
    def of_poses(cls, poses: Poses) -> Absolute:
        """Predictions of which nobody knows how good they are."""
        return cls(poses, np.full(len(poses), np.nan), np.full(len(poses), np.nan))

    @classmethod
    def concatenate(cls, parts: list[Absolute]) -> Absolute:
        """All frames of all parts, in order."""
        return cls(
            Poses.concatenate([part.poses for part in parts]),
            np.concatenate([np.zeros(0), *(part.position_m for part in parts)]),
            np.concatenate([np.zeros(0), *(part.rotation_deg for part in parts)]),
        )

    def __len__(self) -> int:
        return len(self.poses)

    def __getitem__(self, rows: slice) -> Absolute:
        return Absolute(self.poses[rows], self.position_m[rows], self.rotation_deg[rows])


@dataclass(frozen=True)
class Odometry:
    """How a camera moved from each of N frames to the next.

    Attributes:
        motions: N - 1 poses of the next frame's camera in the camera of the frame (``this_from_next``); NaN where nobody
            knows.
        position_m: (N - 1,) standard deviations of each coordinate, in metres also where the scale is unknown.
        rotation_deg: (N - 1,) standard deviations about each axis.
        metric: whether lengths are metres; else they are in one unknown unit, which is estimated.
    """

    motions: Poses
    position_m: np.ndarray
    rotation_deg: np.ndarray
    metric: bool = True

    @classmethod
    def between(cls, poses: Poses, position_m: float, rotation_deg: float, metric: bool = True) -> Odometry:
        """The motions between consecutive poses of one trajectory; unknown beside a missing one."""
        count = max(len(poses) - 1, 0)
        return cls(motions_between(poses), np.full(count, float(position_m)), np.full(count, float(rotation_deg)), metric)

    def __getitem__(self, rows: slice) -> Odometry:
        return Odometry(self.motions[rows], self.position_m[rows], self.rotation_deg[rows], self.metric)


@dataclass(frozen=True)
class Steadiness:
    """How steadily a camera moves: its velocity changes by random amounts that grow with the square root of time.

    Attributes:
        times_s: (N,) of the frames, increasing.
        position_m: standard deviation of the change of each coordinate of the velocity in a second, m/s.
        rotation_deg: of the change of the angular velocity about each axis of the camera, deg/s.
    """

    times_s: np.ndarray
    position_m: float
    rotation_deg: float

    def __getitem__(self, rows: slice) -> Steadiness:
        return Steadiness(self.times_s[rows], self.position_m, self.rotation_deg)


def motions_between(poses: Poses) -> Poses:
    """N - 1 poses ``this_from_next`` of consecutive cameras; NaN beside a missing one."""
    return relative_poses(poses[:-1], poses[1:])


class State(NamedTuple):
    """N poses near a start, as numbers that can be added to: x holds 3 coordinates and 3 rotation components a frame, and
    the logarithm of the odometry's scale at the end."""

    centers_m: np.ndarray
    vectors: np.ndarray
    quats: np.ndarray
    log_scale: float

    @classmethod
    def of(cls, x: np.ndarray, start_wxyz: np.ndarray) -> State:
        """From the numbers (6 N + 1,), around (N, 4) rotations."""
        parts = x[:-1].reshape(-1, 6)
        return cls(parts[:, :3], parts[:, 3:], multiply(start_wxyz, rotation_of_vector(parts[:, 3:])), float(x[-1]))


class Block(NamedTuple):
    """A part of a term's derivative: (K, 3, D) by the numbers that begin at ``columns`` (K,)."""

    columns: np.ndarray
    values: np.ndarray


class Linearized(NamedTuple):
    """A term at a state: residuals (K, 3) over their standard deviations, and their derivatives."""

    residuals: np.ndarray
    blocks: list[Block]


def absolute_terms(state: State, absolute: Absolute, rows: np.ndarray) -> list[Linearized]:
    """Position and rotation of the frames that have a prediction (``rows``)."""
    sigma_m, sigma_rad = absolute.position_m[rows, None], np.radians(absolute.rotation_deg[rows, None])
    away = state.centers_m[rows] - absolute.poses.centers_m[rows]
    position = Linearized(away / sigma_m, [Block(6 * rows, np.eye(3) / sigma_m[..., None])])
    turned = rotation_vector(multiply(conjugate(absolute.poses.world_from_cam_wxyz[rows]), state.quats[rows]))
    by_vector = inverse_right_jacobian(turned) @ right_jacobian(state.vectors[rows])
    rotation = Linearized(turned / sigma_rad, [Block(6 * rows + 3, by_vector / sigma_rad[..., None])])
    return [position, rotation]


def odometry_terms(state: State, odometry: Odometry, rows: np.ndarray) -> list[Linearized]:
    """Motion from the frames ``rows`` to the next ones."""
    sigma_m, sigma_rad = odometry.position_m[rows, None], np.radians(odometry.rotation_deg[rows, None])
    cam_from_world = np.swapaxes(matrix_from_quaternion(state.quats[rows]), 1, 2)
    moved = np.einsum("nij,nj->ni", cam_from_world, state.centers_m[rows + 1] - state.centers_m[rows])
    expected = np.exp(state.log_scale) * odometry.motions.centers_m[rows]
    jacobian = right_jacobian(state.vectors[rows])
    by_scale = np.zeros((len(rows), 3, 1)) if odometry.metric else -expected[..., None]
    blocks = [
        Block(6 * rows, -cam_from_world),
        Block(6 * rows + 3, skew(moved) @ jacobian),
        Block(6 * rows + 6, cam_from_world),
        Block(np.full(len(rows), 6 * len(state.centers_m)), by_scale),
    ]
    position = Linearized((moved - expected) / sigma_m, [Block(at, values / sigma_m[..., None]) for at, values in blocks])
    turned, before, after = _turns(state, rows, odometry.motions.world_from_cam_wxyz[rows])
    rotation = Linearized(
        turned / sigma_rad,
        [Block(6 * rows + 3, before / sigma_rad[..., None]), Block(6 * rows + 9, after / sigma_rad[..., None])],
    )
    return [position, rotation]


def steadiness_terms(state: State, steadiness: Steadiness, rows: np.ndarray) -> list[Linearized]:
    """Changes of velocity at the frames ``rows``, which have one before and one after them."""
    steps = np.diff(steadiness.times_s)
    before, after = steps[rows - 1, None], steps[rows, None]
    root = np.sqrt((before + after) / 3.0)  # mean velocities of two steps differ less than velocities a step apart
    sigma_m, sigma_rad = steadiness.position_m * root, np.radians(steadiness.rotation_deg) * root
    moved = np.diff(state.centers_m, axis=0)
    change = moved[rows] / after - moved[rows - 1] / before
    shares = (1.0 / before, -1.0 / before - 1.0 / after, 1.0 / after)
    position = Linearized(change / sigma_m, _blocks(rows, [np.eye(3) * (share / sigma_m)[..., None] for share in shares]))
    still = np.array([1.0, 0.0, 0.0, 0.0])
    first, first_by, first_by_next = _turns(state, rows - 1, still)
    second, second_by, second_by_next = _turns(state, rows, still)
    before, after, over = before[..., None], after[..., None], 1.0 / sigma_rad[..., None]
    by = (-first_by / before, second_by / after - first_by_next / before, second_by_next / after)
    change = second / after[..., 0] - first / before[..., 0]
    return [position, Linearized(change / sigma_rad, _blocks(rows, [over * part for part in by], 3))]


def _blocks(rows: np.ndarray, parts: list[np.ndarray], offset: int = 0) -> list[Block]:
    """Derivatives by the frames before, at, and after ``rows``."""
    return [Block(6 * (rows + at) + offset, part) for at, part in zip((-1, 0, 1), parts, strict=True)]


def _turns(state: State, rows: np.ndarray, expected_wxyz: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotation vectors (K, 3) from the expected to the actual turn towards the next frame; derivatives by both frames."""
    this_from_next = multiply(conjugate(state.quats[rows]), state.quats[rows + 1])
    turned = rotation_vector(multiply(conjugate(expected_wxyz), this_from_next))
    inverse = inverse_right_jacobian(turned)
    next_from_this = np.swapaxes(matrix_from_quaternion(this_from_next), 1, 2)
    by_this = -inverse @ next_from_this @ right_jacobian(state.vectors[rows])
    return turned, by_this, inverse @ right_jacobian(state.vectors[rows + 1])
