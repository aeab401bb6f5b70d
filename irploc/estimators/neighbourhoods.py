"""Affine interpolation over neighbourhoods of several sizes at once, and signs of how far each is to be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irploc.estimators.interpolation import affine_weights, gram_matrices
from irploc.geometry.averaging import average_poses
from irploc.geometry.poses import Poses
from irploc.geometry.rotations import angles_of_products

SIZES = (1, 2, 3, 5, 8, 12, 18, 25, 35, 50)
COARSE = ((8, 25), (16, 10), (16, 25), (32, 25), (32, 50))  # principal components, neighbours
LEAST_FOR_COARSE = 150  # photos; in smaller maps the components say little
SIGNS = 10  # S, see ``_signs``
_COARSE_RIDGE = 1e-2
_BASIS_PHOTOS = 1000
_TINY = 1e-4  # metres and radians; below it nothing is told apart


class Map:
    """The mapping photos as neighbourhoods see them.

    A combination that meets the query exactly in a few principal components and is short otherwise is a local linear
    regression: it bridges gaps that no combination of nearest photos spans.

    Args:
        vectors: (M, D) embeddings.
        poses: M.
    """

    def __init__(self, vectors: np.ndarray, poses: Poses) -> None:
        self.vectors, self.poses = vectors, poses
        self.coarse = COARSE if len(vectors) >= LEAST_FOR_COARSE else ()
        self._basis = _principal_axes(vectors, max(size for size, _ in COARSE)) if self.coarse else vectors[:0].T
        self.reduced = vectors @ self._basis

    @property
    def kinds(self) -> int:
        """C, how many neighbourhoods there are."""
        return len(SIZES) + len(self.coarse)

    def reduce(self, queries: np.ndarray) -> np.ndarray:
        """(N, R) main components of (N, D) embeddings, not centred."""
        return np.asarray(queries @ self._basis)


@dataclass(frozen=True)
class Neighbourhoods:
    """What N queries look like from C neighbourhoods of their K most similar mapping photos.

    Attributes:
        rows: (N, K) mapping photos, most similar first.
        weights: (N, C, K), each summing to one; neighbourhood c uses the first ``SIZES[c]`` photos (all K if fewer), or as
            ``COARSE`` says.
        signs: (N, C, S) logarithms, see ``_signs``.
        poses: C times the N interpolated poses.
    """

    rows: np.ndarray
    weights: np.ndarray
    signs: np.ndarray
    poses: list[Poses]


def look(mapped: Map, queries: np.ndarray, rows: np.ndarray) -> Neighbourhoods:
    """Interpolates in every neighbourhood.

    Args:
        mapped: the mapping photos.
        queries: (N, D).
        rows: (N, K) the most similar mapping photos of each.
    """
    grams = gram_matrices(mapped.vectors, queries, rows)
    weights = np.zeros((len(rows), mapped.kinds, rows.shape[1]))
    for column, size in enumerate(SIZES):
        count = min(size, rows.shape[1])
        weights[:, column, :count] = affine_weights(grams[:, :count, :count])
    reduced = mapped.reduce(queries)
    for column, (size, neighbours) in enumerate(mapped.coarse, start=len(SIZES)):
        count = min(neighbours, rows.shape[1])
        coarse = gram_matrices(mapped.reduced[:, :size], reduced[:, :size], rows[:, :count])
        scale = np.einsum("nkk->n", coarse) / count + 1e-12
        weights[:, column, :count] = affine_weights(coarse / scale[:, None, None], _COARSE_RIDGE)
    poses = [average_poses(mapped.poses, rows, weights[:, column]) for column in range(mapped.kinds)]
    return Neighbourhoods(rows, weights, _signs(grams, weights, mapped.poses, rows, poses), poses)


def _principal_axes(vectors: np.ndarray, count: int) -> np.ndarray:
    """(D, count) of largest variance, from at most ``_BASIS_PHOTOS`` photos at even distances."""
    chosen = vectors[np.unique(np.linspace(0, len(vectors) - 1, _BASIS_PHOTOS).round().astype(np.int64))]
    centred = (chosen - chosen.mean(axis=0)).astype(np.float64)
    values, axes = np.linalg.eigh(centred @ centred.T)
    largest = slice(-1, -1 - min(count, len(chosen), vectors.shape[1]), -1)
    found = centred.T @ (axes[:, largest] / np.sqrt(np.maximum(values[largest], 1e-12)))
    return np.asarray(found, dtype=np.float32)


def _signs(grams: np.ndarray, weights: np.ndarray, mapped: Poses, rows: np.ndarray, poses: list[Poses]) -> np.ndarray:
    """(N, C, 10) logarithms of: the distance to the nearest embedding; what the combination leaves unexplained, as it is
    and as a share of that distance; the spread of the poses used, weighted by w^2 and by |w|, in metres and in radians; the
    length of w; and how far the other neighbourhoods' poses are, in metres and in radians."""
    centers = np.stack([pose.centers_m for pose in poses], axis=1)
    quats = np.stack([pose.world_from_cam_wxyz for pose in poses], axis=1)
    nearest = np.sqrt(np.clip(grams[:, :1, 0], 1e-12, None))
    residual = np.sqrt(np.clip(np.einsum("nck,nkl,ncl->nc", weights, grams, weights, optimize=True), 1e-12, None))
    metres = np.linalg.norm(mapped.centers_m[rows][:, None] - centers[:, :, None], axis=3)
    radians = angles_of_products(np.einsum("nkd,ncd->nck", mapped.world_from_cam_wxyz[rows], quats))
    squares, sizes = weights**2, np.abs(weights) / np.abs(weights).sum(axis=2, keepdims=True)
    others_m = np.linalg.norm(centers[:, None] - centers[:, :, None], axis=3)
    others_rad = angles_of_products(np.einsum("nbd,ncd->nbc", quats, quats))
    signs = [
        np.broadcast_to(nearest, residual.shape),
        residual,
        residual / nearest,
        np.sqrt((squares * metres**2).sum(axis=2)) + _TINY,
        np.sqrt((squares * radians**2).sum(axis=2)) + _TINY,
        np.sqrt((sizes * metres**2).sum(axis=2)) + _TINY,
        np.sqrt((sizes * radians**2).sum(axis=2)) + _TINY,
        np.sqrt(squares.sum(axis=2)),
        np.median(others_m, axis=1) + _TINY,
        np.median(others_rad, axis=1) + _TINY,
    ]
    return np.log(np.stack(signs, axis=2))
