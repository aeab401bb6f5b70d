"""Pairs of features and points where a pose is nearly known: by place in the picture first, then by descriptor."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from irploc.structure.features import LocalFeatures, unit_descriptors
from irploc.structure.pointmap import PointMap

_ALIKE = 0.85  # cosine of RootSIFT descriptors; below it chance pairs come in, and the covariance promises too much


def guided_pairs(
    features: LocalFeatures,
    point_map: PointMap,
    rows: np.ndarray,
    pixels: np.ndarray,
    reach_px: float,
    vectors: np.ndarray | None = None,
    ratio: float = 1.0,
) -> np.ndarray:
    """(M, 2) rows of features and of points, one to one.

    Args:
        rows: (V,) of the points that ought to be seen. pixels: (V, 2) where.
        reach_px: a feature this near to where a point ought to be may be it.
        vectors: (K, 128) unit descriptors of the features, where they are at hand.
        ratio: with less than 1, the second best point within reach must be clearly worse (for long reaches).

    Returns:
        Pairs that are each other's most alike within reach, and alike at all.
    """
    if not len(rows) or not len(features):
        return np.empty((0, 2), dtype=np.int64)
    vectors = unit_descriptors(features.descriptors) if vectors is None else vectors
    near = cKDTree(features.pixels).sparse_distance_matrix(cKDTree(pixels), reach_px, output_type="ndarray")
    first, second = near["i"].astype(np.int64), near["j"].astype(np.int64)
    alike = np.einsum("pd,pd->p", vectors[first], point_map.unit_descriptors[rows[second]])
    kept = alike > _ALIKE
    order = np.argsort(-alike[kept], kind="stable")
    first, second, alike = first[kept][order], second[kept][order], alike[kept][order]
    best_of_feature = np.unique(first, return_index=True)[1]
    best_of_point = np.unique(second, return_index=True)[1]
    both = np.intersect1d(best_of_feature, best_of_point)
    if ratio < 1.0:
        both = both[_is_clear(first, alike, ratio)[both]]
    return np.stack([first[both], rows[second[both]]], axis=1)


def _is_clear(first: np.ndarray, alike: np.ndarray, ratio: float) -> np.ndarray:
    """(P,) of pairs, most alike first, whether the next best point of the same feature is clearly less alike."""
    order = np.lexsort((np.arange(len(first)), first))
    ordered, distance = first[order], 2.0 - 2.0 * alike[order].astype(np.float64)
    clear = np.ones(len(first), dtype=bool)
    same = ordered[:-1] == ordered[1:]
    clear[:-1] = ~same | (distance[:-1] < ratio**2 * distance[1:])
    found = np.empty(len(first), dtype=bool)
    found[order] = clear
    return found
