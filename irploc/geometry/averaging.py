"""Weighted means of poses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from irploc.geometry.poses import Poses, pose_errors


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


def mean_poses(answers: Sequence[Poses]) -> tuple[Poses, np.ndarray, np.ndarray]:
    """The mean of several answers to the same N queries, none missing, and how far apart they are.

    Returns:
        N poses, and the root mean square distances (N,) of the answers from them, in metres and in degrees.
    """
    if len(answers) == 1:
        return answers[0], np.zeros(len(answers[0])), np.zeros(len(answers[0]))
    centers = np.stack([poses.centers_m for poses in answers], axis=1)
    quats = np.stack([poses.world_from_cam_wxyz for poses in answers], axis=1)
    equal = np.full(quats.shape[:2], 1.0 / len(answers))
    mean = Poses(centers.mean(axis=1), average_quaternions(quats, equal))
    errors = [pose_errors(poses, mean) for poses in answers]
    spread_m, spread_deg = (np.sqrt(np.mean(np.square(part), axis=0)) for part in zip(*errors, strict=True))
    return mean, spread_m, spread_deg
