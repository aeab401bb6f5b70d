"""The point among a few that disagrees with the others by less than a tolerance: least squares hides it, the others tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import f as f_distribution

from irploc.geometry.similarity import Similarity
from irploc.mapping.align_weighted import fit_weighted

FEWEST = 4
MOST = 50  # one wrong of more hardly moves the whole
_DISAGREE = 3.0  # root mean square residual of all, in standard deviations
_DISAGREE_TESTED = 2.0  # where the others' own residuals are a second witness
_FALL = 4.0  # of that root mean square without the wrong one, where there are too few for a test
_TEST_FREEDOM = 5  # degrees of freedom without a point, from which on the others' own residuals say what they are worth
_CHANCE = 0.01  # that a right point of all is taken for wrong


@dataclass(frozen=True)
class Known:
    """Corresponding points and how well they are known.

    Attributes:
        source: (N, 3) with covariances (N, 3, 3).
        target: (N, 3).
        sigma: standard deviation of the target coordinates and of the map, in units of the target frame, above zero.
        keep_scale, keep_up: what the transform leaves alone.
    """

    source: np.ndarray
    covariances: np.ndarray
    target: np.ndarray
    sigma: float
    keep_scale: bool = False
    keep_up: bool = False


def odd_one_out(known: Known, kept: np.ndarray, start: Similarity) -> int | None:
    """The row, of those ``kept`` (N,) bool, without which the others agree, when they do not agree with it.

    All must disagree by more than is known of them explains. From five points on the F
    test compares what a point adds to the squares with the others' own; its level is shared among the points. Four
    leave little to compare with: there the others must agree four times better without the point, and no other point may
    do as well, as a point that is off across the plane of the others turns them and may be taken for its neighbour.

    Args:
        start: near the transform of all.

    Returns:
        None where all agree, or nobody can tell.
    """
    rows = np.flatnonzero(kept)
    if not FEWEST <= len(rows) <= MOST:
        return None
    whole, freedom = _mean_square(known, rows, start)
    if whole <= _DISAGREE_TESTED**2:
        return None
    without = [_mean_square(known, rows[rows != row], start) for row in rows]
    squares = np.array([square for square, _ in without])
    best, left = int(np.argmin(squares)), without[0][1]
    if left >= _TEST_FREEDOM:
        added = (whole * freedom - squares[best] * left) / (freedom - left)
        chance = float(f_distribution.sf(added / max(squares[best], 1e-12), freedom - left, left)) * len(rows)
        return int(rows[best]) if chance < _CHANCE else None
    second = float(np.partition(squares, 1)[1])
    is_told = squares[best] * _FALL**2 < min(whole, second) and min(whole, second) > _DISAGREE**2
    return int(rows[best]) if is_told else None


def _mean_square(known: Known, rows: np.ndarray, start: Similarity) -> tuple[float, int]:
    """Squared residuals in variances, over the degrees of freedom, of the fit to some points; and those degrees."""
    source, covariances, target = known.source[rows], known.covariances[rows], known.target[rows]
    found = fit_weighted(source, covariances, target, start, known.sigma, known.keep_scale, known.keep_up)
    turn = found.matrix[:3, :3]
    spread = turn @ covariances @ turn.T + known.sigma**2 * np.eye(3)
    missed = found.apply(source) - target
    square = float(np.einsum("ni,nij,nj->", missed, np.linalg.inv(spread), missed))
    freedom = 3 * len(rows) - (4 if known.keep_up else 6) - (not known.keep_scale)
    return square / freedom, freedom
