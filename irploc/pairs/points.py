"""The point test: what share of a point cloud's points that one photo sees the other sees too."""

from __future__ import annotations

import numpy as np

from irploc.geometry.cameras import Camera, cam_from_world
from irploc.geometry.poses import Poses
from irploc.progress import Progress
from irploc.projection import in_picture, project_points

MOST_POINTS = 20_000
_BATCH = 4096  # pairs whose rows of bits are compared at once


def seen_bits(points_m: np.ndarray, poses: Poses, cameras: dict[int, Camera], bar: Progress) -> np.ndarray:
    """Which points land inside which photos.

    Args:
        points_m: (M, 3), world frame.
        poses: of all N photos.
        cameras: of those to look at, by row.

    Returns:
        (N, ceil(M / 8)) uint8, a bit a point; rows without a camera are zero.
    """
    bits = np.zeros((len(poses), (len(points_m) + 7) // 8), dtype=np.uint8)
    for row, camera in cameras.items():
        pixels = project_points(camera, cam_from_world(points_m, poses[[row]]))
        bits[row] = np.packbits(in_picture(camera, pixels))
        bar.advance()
    return bits


def point_shares(pairs: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """How many of the points that one photo sees the other sees too.

    Args:
        pairs: (P, 2) rows.
        bits: of ``seen_bits``.

    Returns:
        (P,) in [0, 1], the mean of both directions; NaN where a photo sees no point at all.

    Source: section 2.1 i of the paper, which compares the numbers of points. As there, what hides a point is not asked.
    """
    totals = np.bitwise_count(bits).sum(axis=1, dtype=np.int64)
    both = np.empty(len(pairs), dtype=np.int64)
    for start in range(0, len(pairs), _BATCH):
        first, second = pairs[start : start + _BATCH].T
        both[start : start + _BATCH] = np.bitwise_count(bits[first] & bits[second]).sum(axis=1, dtype=np.int64)
    return mean_share(both, totals[pairs[:, 0]], totals[pairs[:, 1]])


def mean_share(common: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Mean of ``common / first`` and ``common / second``; NaN where either has nothing."""
    known = (first > 0) & (second > 0)
    share = (common / np.maximum(first, 1) + common / np.maximum(second, 1)) / 2
    return np.where(known, share, np.nan)
