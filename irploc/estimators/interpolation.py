"""Poses interpolated from the nearest mapping photos, in closed form: nearest, ewb, csi, bdi."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from irploc.estimators.base import METHODS, Method, Neighbours, PoseEstimates, Query
from irploc.geometry.averaging import average_poses
from irploc.retrieval.index import PlaceIndex

BDI_RIDGE = 1e-6
_CHUNK = 64


@dataclass(frozen=True)
class NearestOptions:
    """None."""


@dataclass(frozen=True)
class EwbOptions:
    """k: how many neighbours are averaged."""

    k: int = 10

    def __post_init__(self) -> None:
        _check_k(self.k)


@dataclass(frozen=True)
class BdiOptions:
    """k: how many neighbours the query's embedding is written as a combination of."""

    k: int = 25

    def __post_init__(self) -> None:
        _check_k(self.k)


@dataclass(frozen=True)
class CsiOptions:
    """k: how many neighbours are averaged; alpha: power of the similarities."""

    k: int = 20
    alpha: float = 8.0

    def __post_init__(self) -> None:
        _check_k(self.k)
        if not 0 <= self.alpha <= 1000:
            raise ValueError(f"alpha is {self.alpha}, it must lie in [0, 1000]")


def _check_k(k: int) -> None:
    if k < 1:
        raise ValueError(f"k is {k}, it must be at least 1")


class Interpolation(ABC):
    """The weighted mean of the poses of the k nearest mapping photos; subclasses give the weights."""

    def __init__(self, index: PlaceIndex, k: int) -> None:
        self.index = index
        self.k = k

    def estimate(self, query: Query) -> PoseEstimates:
        """One interpolated pose per query.

        Raises:
            BadInput: when the place has fewer than k mapping photos.
        """
        rows, similarities = self.index.search(query.embeddings, self.k)
        weights = self.weights(query.embeddings, rows, similarities)
        poses = average_poses(self.index.frames.poses, rows, weights)
        return PoseEstimates.of_poses(poses, Neighbours(rows, similarities))

    @abstractmethod
    def weights(self, queries: np.ndarray, rows: np.ndarray, similarities: np.ndarray) -> np.ndarray:
        """(N, k) weights, each row summing to one, of the neighbours of (N, D) queries."""


class Ewb(Interpolation):
    """Equal weights; k = 1 is the nearest photo's pose.

    Source: equal weighted barycentre, Pion et al., 3DV 2020.
    """

    def weights(self, queries: np.ndarray, rows: np.ndarray, similarities: np.ndarray) -> np.ndarray:
        """1 / k each."""
        return np.full(rows.shape, 1.0 / rows.shape[1])


class Csi(Interpolation):
    """Weights proportional to the similarity to the power alpha.

    Source: cosine similarity interpolation, Pion et al., 3DV 2020. Negative similarities count as zero; when all are,
    the weights are equal.
    """

    def __init__(self, index: PlaceIndex, k: int, alpha: float) -> None:
        super().__init__(index, k)
        self.alpha = alpha

    def weights(self, queries: np.ndarray, rows: np.ndarray, similarities: np.ndarray) -> np.ndarray:
        """Similarities to the power alpha, normalised; taken relative to the best, so that no power underflows."""
        clamped = np.maximum(similarities.astype(np.float64), 0.0)
        best = clamped.max(axis=1, keepdims=True)
        powers = np.where(best > 0, clamped / np.where(best > 0, best, 1.0), 1.0) ** self.alpha
        return powers / powers.sum(axis=1, keepdims=True)


class Bdi(Interpolation):
    """The affine combination of the neighbours' embeddings that comes closest to the query's; signs are free.

    Source: barycentric descriptor interpolation: Torii et al., ICCV 2011; Sattler et al., CVPR 2019, the "IR baseline".
    min |sum w_i d_i - d_q|^2 with sum w_i = 1 is solved by the Gram matrix G of (d_i - d_q): w ~ G^-1 1. A ridge of 1e-6
    on the diagonal, in units of squared embedding length, keeps near-duplicate photos from making G singular.
    """

    def weights(self, queries: np.ndarray, rows: np.ndarray, similarities: np.ndarray) -> np.ndarray:
        """Solutions of (G + ridge I) w = 1, normalised; equal weights where a query equals all its neighbours."""
        return affine_weights(gram_matrices(self.index.vectors, queries, rows))


def gram_matrices(vectors: np.ndarray, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(N, k, k) products of the differences between (N, D) queries and their neighbours, ``rows`` (N, k) of ``vectors``."""
    grams = np.empty((*rows.shape, rows.shape[1]))
    for start in range(0, len(rows), _CHUNK):  # bounds the memory for the gathered neighbours
        part = slice(start, start + _CHUNK)
        differences = torch.from_numpy(vectors[rows[part]] - queries[part, None])
        grams[part] = torch.bmm(differences, differences.transpose(1, 2)).numpy()  # numpy's threads fight the encoder's
    return grams


def affine_weights(grams: np.ndarray, ridge: float = BDI_RIDGE) -> np.ndarray:
    """(N, k) solutions of (G + ridge I) w = 1, normalised; equal weights where a query equals all its neighbours."""
    count = grams.shape[1]
    regular = grams + ridge * np.eye(count)
    solution = np.linalg.solve(regular, np.ones((*grams.shape[:2], 1)))[..., 0]
    return np.asarray(solution / solution.sum(axis=1, keepdims=True))


def _nearest(options: NearestOptions, model_path: Path | None, place: Any) -> Ewb:
    return Ewb(place.index, 1)


def _ewb(options: EwbOptions, model_path: Path | None, place: Any) -> Ewb:
    return Ewb(place.index, options.k)


def _csi(options: CsiOptions, model_path: Path | None, place: Any) -> Csi:
    return Csi(place.index, options.k, options.alpha)


def _bdi(options: BdiOptions, model_path: Path | None, place: Any) -> Bdi:
    return Bdi(place.index, options.k)


METHODS.register("nearest")(Method("pose of the most similar mapping photo", NearestOptions, False, _nearest))
METHODS.register("ewb")(Method("mean pose of the k nearest, equal weights", EwbOptions, False, _ewb))
METHODS.register("csi")(Method("mean pose of the k nearest, weighted by similarity", CsiOptions, False, _csi))
METHODS.register("bdi")(
    Method("interpolation by the embedding's affine combination: the IR baseline", BdiOptions, False, _bdi)
)
