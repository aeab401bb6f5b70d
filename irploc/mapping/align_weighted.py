"""Least squares between points of which some directions are better known than others."""

from __future__ import annotations

import numpy as np
from scipy.optimize import least_squares

from irploc.geometry import rotations
from irploc.geometry.similarity import Similarity

_ROUNDS = 2


def fit_weighted(
    source: np.ndarray,
    covariances: np.ndarray,
    target: np.ndarray,
    start: Similarity,
    sigma: float,
    keep_scale: bool = False,
    keep_up: bool = False,
) -> Similarity:
    """The most likely similarity, target_from_source, near ``start``.

    A point triangulated from clicks is known well across its rays and badly along them; a plain mean of squares lets the
    bad direction of one point turn the whole.

    Args:
        source: (N, 3), N enough to determine ``start``.
        covariances: (N, 3, 3) of the source points, in the source frame; zero where nothing is known of them.
        target: (N, 3).
        sigma: standard deviation of the target coordinates, in the target frame, above zero.
    """
    found = start
    for _ in range(_ROUNDS):  # the weights turn with the points
        found = _refined(source, covariances, target, found, sigma, keep_scale, keep_up)
    return found


def _refined(
    source: np.ndarray,
    covariances: np.ndarray,
    target: np.ndarray,
    start: Similarity,
    sigma: float,
    keep_scale: bool,
    keep_up: bool,
) -> Similarity:
    """One minimisation, with the weights of the start."""
    turn = start.matrix[:3, :3]
    spread = turn @ covariances @ turn.T + sigma**2 * np.eye(3)
    whiten = np.linalg.inv(np.linalg.cholesky(spread))
    middle, placed = source.mean(axis=0), start.apply(source)
    origin = placed.mean(axis=0)

    def moved(values: np.ndarray) -> np.ndarray:
        turned = rotations.rotate(rotations.quaternion_exp(_rotation(values, keep_up) / 2), placed - origin)
        return np.exp(0.0 if keep_scale else values[3]) * turned + origin + values[:3]

    def errors(values: np.ndarray) -> np.ndarray:
        return np.einsum("nij,nj->ni", whiten, moved(values) - target).ravel()

    found = least_squares(errors, np.zeros(5 if keep_up else 7), x_scale=1.0).x
    scale = start.scale * (1.0 if keep_scale else float(np.exp(found[3])))
    quat = rotations.multiply(rotations.quaternion_exp(_rotation(found, keep_up) / 2), start.rotation_wxyz)
    result = Similarity(scale, tuple(quat.tolist()))
    return Similarity(scale, result.rotation_wxyz, tuple((origin + found[:3] - result.apply(middle)).tolist()))


def _rotation(values: np.ndarray, keep_up: bool) -> np.ndarray:
    """(3,) axis times angle, from the shift, log of the scale, and the one or three numbers after them."""
    return np.array([0.0, 0.0, values[4]]) if keep_up else values[4:7]
