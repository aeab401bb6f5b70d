"""Which photos are matched with each other: similar ones that can see the same from different places."""

from __future__ import annotations

import numpy as np

from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.retrieval.index import PlaceIndex

_LEAST_SPACINGS = 0.5  # photos nearer to each other than this share of the usual distance have no baseline
_SAME_DIRECTION_DEG = 4.0
_WIDEST_TURN_DEG = 60.0  # SIFT finds little beyond; wider lenses still see the same
_CANDIDATES = 6  # times as many as are taken


def similar_pairs(index: PlaceIndex, cameras: list[Camera], count: int) -> np.ndarray:
    """(P, 2) ascending rows of photos to match: each with so many similar ones, spread out.

    Left out are photos from the same place, those that look elsewhere, and near duplicates of a partner already chosen.

    Args:
        index: over N posed photos.
        cameras: of the photos.
        count: partners a photo.
    """
    poses = index.frames.poses
    if len(poses) < 2:
        return np.empty((0, 2), dtype=np.int64)
    ranked, _ = index.search(index.vectors, min(len(poses), _CANDIDATES * count + 20))
    widest = np.array([max(_WIDEST_TURN_DEG, *camera.field_of_view_deg) for camera in cameras])
    least_m = _LEAST_SPACINGS * spacing_m(poses)
    pairs: set[tuple[int, int]] = set()
    for row in range(len(poses)):
        for partner in _partners(poses, row, ranked[row], widest, least_m, count):
            pairs.add((min(row, partner), max(row, partner)))
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def spacing_m(poses: Poses) -> float:
    """The median distance of a photo to the nearest one from another place; 0 where all are from one place."""
    from scipy.spatial import cKDTree

    centers = np.unique(poses.centers_m, axis=0)
    if len(centers) < 2:
        return 0.0
    distance, _ = cKDTree(centers).query(centers, k=2)
    return float(np.median(distance[:, 1]))


def _partners(poses: Poses, row: int, ranked: np.ndarray, widest_deg: np.ndarray, least_m: float, count: int) -> list[int]:
    """Of the photos ranked by similarity to one, those that are taken."""
    ranked = ranked[ranked != row]
    axes = optical_axes(poses[np.concatenate([[row], ranked])])
    turn = _angles_deg(axes[1:], axes[0])
    away = np.linalg.norm(poses.centers_m[ranked] - poses.centers_m[row], axis=1)
    usable = (away > least_m) & (turn < np.minimum(widest_deg[row], widest_deg[ranked]))
    ranked, axes = ranked[usable], axes[1:][usable]
    chosen: list[int] = []
    for number, partner in enumerate(ranked):
        near = np.linalg.norm(poses.centers_m[ranked[chosen]] - poses.centers_m[partner], axis=1) < least_m
        if not (near & (_angles_deg(axes[chosen], axes[number]) < _SAME_DIRECTION_DEG)).any():
            chosen.append(number)
        if len(chosen) == count:
            break
    return [int(ranked[number]) for number in chosen]


def optical_axes(poses: Poses) -> np.ndarray:
    """(N, 3) unit vectors along which cameras look, world frame."""
    return np.asarray(poses.to_matrices()[:, :3, 2])


def _angles_deg(axes: np.ndarray, axis: np.ndarray) -> np.ndarray:
    return np.asarray(np.degrees(np.arccos(np.clip(axes @ axis, -1.0, 1.0))))
