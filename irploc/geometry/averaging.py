"""Weighted means of poses."""

from __future__ import annotations

import numpy as np

from irploc.geometry.poses import Poses


def average_quaternions(quats_wxyz: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean rotations, vectorised over batches.

    Args:
        quats_wxyz: (..., K, 4) unit quaternions; their signs do not matter.
        weights: (..., K); they may be negative and need not sum to one, but not all be zero.

    Returns:
        (..., 4) unit quaternions, w >= 0 not guaranteed: ``Poses`` takes care of it.

    Source: Markley et al., "Averaging Quaternions", 2007: the eigenvector of the largest eigenvalue of
    sum_i w_i q_i q_i^T.
    """
    outer = np.einsum("...k,...ki,...kj->...ij", weights, quats_wxyz, quats_wxyz)
    return np.linalg.eigh(outer)[1][..., -1]


def average_poses(poses: Poses, neighbours: np.ndarray, weights: np.ndarray) -> Poses:
    """One pose per query from the poses of its neighbours.

    Args:
        poses: the mapping poses that ``neighbours`` points into.
        neighbours: (N, K) row numbers.
        weights: (N, K), each row summing to one.
    """
    centers_m = np.einsum("nk,nki->ni", weights, poses.centers_m[neighbours])
    return Poses(centers_m, average_quaternions(poses.world_from_cam_wxyz[neighbours], weights))
