"""One pose from several hypotheses of which some are wrong."""

from __future__ import annotations

import numpy as np

from irploc.geometry.averaging import average_quaternions
from irploc.geometry.poses import Poses
from irploc.geometry.rotations import angles_of_products

_INLIER = 2.0  # times the median distance to the best hypothesis
_ROUNDS = 3
_MOST_DISTANCES = 1_000_000


def consensus(hypotheses: Poses, count: int) -> tuple[Poses, np.ndarray]:
    """RANSAC over pose hypotheses, with every one of them as a sample, and the mean of those that agree.

    The hypothesis with the smallest median distance to the others is the sample that wins; those within twice that distance
    are averaged, positions and orientations by themselves (the mean of unit quaternions is the geodesic one to second
    order), and looked for again around the mean. No threshold in metres is needed.

    Args:
        hypotheses: count poses of each of N photos, one photo after the other.
        count: K, at least 1.

    Returns:
        N poses, and the (N,) shares of hypotheses that agree in position and orientation.

    Source: what Kim and Ko 2022 propose in section 4 and did not do.
    """
    photos = max(1, _MOST_DISTANCES // count**2)  # bounds the memory for all distances
    starts = range(0, max(len(hypotheses), 1), photos * count)
    parts = [_consensus(hypotheses[slice(start, start + photos * count)], count) for start in starts]
    return Poses.concatenate([poses for poses, _ in parts]), np.concatenate([shares for _, shares in parts])


def _consensus(hypotheses: Poses, count: int) -> tuple[Poses, np.ndarray]:
    photos = len(hypotheses) // count
    centers = hypotheses.centers_m.reshape(photos, count, 3)
    quats = hypotheses.world_from_cam_wxyz.reshape(photos, count, 4)
    apart_m = np.linalg.norm(centers[:, :, None] - centers[:, None], axis=3)
    apart_rad = angles_of_products(np.einsum("nkd,nld->nkl", quats, quats))
    metres, agree_m = _best(apart_m)
    radians, agree_rad = _best(apart_rad)
    found = _averaged(centers, quats, agree_m, agree_rad)
    for _ in range(_ROUNDS if count > 2 else 0):
        near_m = np.linalg.norm(centers - found.centers_m[:, None], axis=2) <= _INLIER * metres[:, None]
        near_rad = (
            angles_of_products(np.einsum("nkd,nd->nk", quats, found.world_from_cam_wxyz)) <= _INLIER * radians[:, None]
        )
        agree_m, agree_rad = _unless_none(near_m, agree_m), _unless_none(near_rad, agree_rad)
        found = _averaged(centers, quats, agree_m, agree_rad)
    return found, (agree_m & agree_rad).mean(axis=1)


def _best(apart: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smallest median distance (N,) of a hypothesis to all, and which (N, K) are within twice that of it."""
    medians = np.median(apart, axis=2)
    best = np.argmin(medians, axis=1)
    rows = np.arange(len(apart))
    return medians[rows, best], apart[rows, best] <= _INLIER * medians[rows, best][:, None]


def _unless_none(agree: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Equal hypotheses have no distance from each other, and rounding alone takes the mean away from them."""
    return np.where(agree.any(axis=1, keepdims=True), agree, before)


def _averaged(centers: np.ndarray, quats: np.ndarray, in_m: np.ndarray, in_rad: np.ndarray) -> Poses:
    of_m, of_rad = (mask / mask.sum(axis=1, keepdims=True) for mask in (in_m, in_rad))
    return Poses(np.einsum("nk,nkd->nd", of_m, centers), average_quaternions(quats, of_rad))
