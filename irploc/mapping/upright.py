"""Which way is up: from how photos were held, and from the level surfaces among the points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from irploc.errors import BadInput
from irploc.geometry import rotations
from irploc.geometry.poses import Poses
from irploc.geometry.similarity import Similarity
from irploc.mapping.upright_planes import LevelPlane, best_direction, level_planes, refined_direction

_FEWEST_POINTS = 200
_THICKNESS = 0.01  # of a plane, half, as a share of the usual distance between points and cameras
_FAR = 3.0  # usual distances, beyond which points are too uncertain
_UNLIKE_HEADINGS = 0.02  # second moment of the photos' x axes that tells a plane
_ROLL_FREE_DEG, _PITCH_FREE_DEG = 20.0, 40.0  # how far the guess of the cameras may be off
_MOST_POINTS = 30_000
_LARGE = 0.2  # area of the floor as a share of the largest level surface
_FEWEST_IN_PLANE = 30


@dataclass(frozen=True)
class Gravity:
    """Up as the cameras tell it.

    Attributes:
        up: (3,) unit vector.
        free_deg: how far it may be off.
        headings_differ: whether the photos look into different directions, so that their x axes alone tell it.
    """

    up: np.ndarray
    free_deg: float
    headings_differ: bool


@dataclass(frozen=True)
class Upright:
    """How a scene is stood upright.

    Attributes:
        similarity: turns, so that z is up, and shifts along z, so that the floor is 0.
        floor: None where it was not asked for.
        planes: all level surfaces found, lowest first, heights along up in the old frame.
        guess_deg: angle between what the cameras alone say and the result.
    """

    similarity: Similarity
    floor: LevelPlane | None
    planes: tuple[LevelPlane, ...]
    guess_deg: float


def camera_gravity(poses: Poses) -> Gravity:
    """Up, for photos that were held level: their x axes lie in the horizontal plane, whatever their pitch.

    Where all look the same way the x axes do not span that plane, and the mean of the photos' upward axes has to do.

    Raises:
        BadInput: when the photos have no common upward side.
    """
    right = rotations.rotate(poses.world_from_cam_wxyz, [1.0, 0.0, 0.0])
    mean_up = rotations.rotate(poses.world_from_cam_wxyz, [0.0, -1.0, 0.0]).mean(axis=0)
    if np.linalg.norm(mean_up) < 0.3:
        raise BadInput(
            "the photos are held in all ways: their cameras do not tell which way is up; give --points and --known"
        )
    moments, axes = np.linalg.eigh(right.T @ right / len(right))
    if moments[1] > max(_UNLIKE_HEADINGS, 4 * moments[0]) and abs(axes[:, 0] @ mean_up) > 0.5 * np.linalg.norm(mean_up):
        return Gravity(axes[:, 0] * np.sign(axes[:, 0] @ mean_up), _ROLL_FREE_DEG, True)
    across = axes[:, 2]
    up = mean_up - across * (across @ mean_up)
    return Gravity(up / np.linalg.norm(up), _PITCH_FREE_DEG, False)


def stand_upright(poses: Poses, points: np.ndarray | None, floor: bool = True) -> Upright:
    """The turn that makes the level surfaces level, and the floor z = 0.

    The direction near the cameras' guess along which points pile up in thin layers is taken, then refined by least squares
    on all layers at once. The floor is the lowest of them that is large; large is counted in area, not in points. All
    thresholds are relative to the usual distance between points and cameras, so that the scene needs no scale.

    Args:
        poses: of the photos.
        points: (M, 3) of the scene, None where it has none.
        floor: whether z = 0 is to be the floor; else the height stays, and without level surfaces the cameras' guess is
            used.

    Raises:
        BadInput: cameras without a common upward side, or, with ``floor``, no points or no level surface to be seen.
    """
    gravity = camera_gravity(poses)
    planes: tuple[LevelPlane, ...] = ()
    up = gravity.up
    if points is not None and len(points) >= _FEWEST_POINTS:
        up, planes = _level(gravity, poses, points)
    elif floor:
        count = 0 if points is None else len(points)
        raise BadInput(
            f"the scene has {count} points, at least {_FEWEST_POINTS} are needed to see a floor: --no-floor takes gravity "
            "alone, from the cameras"
        )
    found = _floor(planes, poses.centers_m @ up) if floor else None
    turn = _turn_to_z(up)
    shift = (0.0, 0.0, -found.height) if found else (0.0, 0.0, 0.0)
    angle = float(np.degrees(np.arccos(np.clip(up @ gravity.up, -1, 1))))
    return Upright(Similarity(1.0, turn, shift), found, planes, angle)


def _level(gravity: Gravity, poses: Poses, points: np.ndarray) -> tuple[np.ndarray, tuple[LevelPlane, ...]]:
    """Up and the level surfaces; the cameras' guess and none where there are none."""
    distance = cKDTree(poses.centers_m).query(points)[0]
    usual = float(np.median(distance))
    near = points[distance < _FAR * usual]
    if len(near) > _MOST_POINTS:
        near = near[np.linspace(0, len(near) - 1, _MOST_POINTS).round().astype(int)]
    thick = _THICKNESS * usual
    start = best_direction(near, gravity.up, gravity.free_deg, thick)
    up = refined_direction(near, start, thick)
    planes = tuple(plane for plane in level_planes(near, up, thick) if plane.count >= _FEWEST_IN_PLANE)
    return (up, planes) if planes else (gravity.up, ())


def _floor(planes: tuple[LevelPlane, ...], cameras: np.ndarray) -> LevelPlane:
    """The lowest large level surface, below most cameras (their heights)."""
    below = [plane for plane in planes if plane.height < np.median(cameras)]
    largest = max((plane.area for plane in below), default=0.0)
    large = [plane for plane in below if plane.area >= _LARGE * largest]
    if not large:
        raise BadInput(
            "no level surface below the cameras stands out among the points, so no floor is to be seen: film it too, "
            "give known points, or --no-floor to take gravity alone"
        )
    return min(large, key=lambda plane: plane.height)


def _turn_to_z(up: np.ndarray) -> tuple[float, ...]:
    """The shortest rotation that takes a unit vector to +z, so that the heading stays as it can."""
    w = 1.0 + up[2]
    if w < 1e-12:
        return (0.0, 1.0, 0.0, 0.0)
    return tuple(rotations.canonical([w, up[1], -up[0], 0.0]).tolist())
