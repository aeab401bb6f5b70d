"""Affine interpolation over neighbourhoods of several sizes at once, and signs of how far each is to be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irploc.estimators.interpolation import affine_weights, gram_matrices
from irploc.geometry.averaging import average_poses
from irploc.geometry.poses import Poses

SIZES = (1, 2, 3, 5, 8, 12, 18, 25, 35, 50)
_TINY = 1e-4  # metres and radians; below it nothing is told apart


@dataclass(frozen=True)
class Neighbourhoods:
    """What N queries look like from C neighbourhoods of their K most similar mapping photos.

    Attributes:
        rows: (N, K) mapping photos, most similar first.
        weights: (N, C, K), each summing to one; neighbourhood c uses the first ``SIZES[c]`` photos (all K if fewer).
        signs: (N, C, S) logarithms, see ``_signs``.
        poses: C times the N interpolated poses.
    """

    rows: np.ndarray
    weights: np.ndarray
    signs: np.ndarray
    poses: list[Poses]


def look(vectors: np.ndarray, mapped: Poses, queries: np.ndarray, rows: np.ndarray) -> Neighbourhoods:
    """Interpolates in every neighbourhood.

    Args:
        vectors: (M, D) of the mapping photos.
        mapped: their poses.
        queries: (N, D).
        rows: (N, K) the most similar mapping photos of each.
    """
    grams = gram_matrices(vectors, queries, rows)
    weights = np.zeros((len(rows), len(SIZES), rows.shape[1]))
    for column, size in enumerate(SIZES):
        count = min(size, rows.shape[1])
        weights[:, column, :count] = affine_weights(grams[:, :count, :count])
    poses = [average_poses(mapped, rows, weights[:, column]) for column in range(len(SIZES))]
    return Neighbourhoods(rows, weights, _signs(grams, weights, mapped, rows, poses), poses)


def _signs(grams: np.ndarray, weights: np.ndarray, mapped: Poses, rows: np.ndarray, poses: list[Poses]) -> np.ndarray:
    """(N, C, 10) logarithms of: the distance to the nearest embedding; what the combination leaves unexplained, as it is
    and as a share of that distance; the spread of the poses used, weighted by w^2 and by |w|, in metres and in radians; the
    length of w; and how far the other neighbourhoods' poses are, in metres and in radians."""
    centers, quats = mapped.centers_m[rows], mapped.world_from_cam_wxyz[rows]
    nearest = np.sqrt(np.clip(grams[:, 0, 0], 1e-12, None))
    signs = []
    for column, pose in enumerate(poses):
        weight = weights[:, column]
        residual = np.sqrt(np.clip(np.einsum("nk,nkl,nl->n", weight, grams, weight), 1e-12, None))
        metres = np.linalg.norm(centers - pose.centers_m[:, None], axis=2)
        radians = _angles(np.einsum("nkd,nd->nk", quats, pose.world_from_cam_wxyz))
        squares, sizes = weight**2, np.abs(weight) / np.abs(weight).sum(axis=1, keepdims=True)
        others_m = [np.linalg.norm(other.centers_m - pose.centers_m, axis=1) for other in poses]
        others_rad = [_angles((other.world_from_cam_wxyz * pose.world_from_cam_wxyz).sum(axis=1)) for other in poses]
        signs.append(
            [
                nearest,
                residual,
                residual / nearest,
                np.sqrt((squares * metres**2).sum(axis=1)) + _TINY,
                np.sqrt((squares * radians**2).sum(axis=1)) + _TINY,
                np.sqrt((sizes * metres**2).sum(axis=1)) + _TINY,
                np.sqrt((sizes * radians**2).sum(axis=1)) + _TINY,
                np.sqrt(squares.sum(axis=1)),
                np.median(others_m, axis=0) + _TINY,
                np.median(others_rad, axis=0) + _TINY,
            ]
        )
    return np.log(np.array(signs)).transpose(2, 0, 1)


def _angles(products: np.ndarray) -> np.ndarray:
    return 2.0 * np.arccos(np.clip(np.abs(products), 0.0, 1.0))
