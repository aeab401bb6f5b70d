"""How good each answer of a method is, for those who smooth answers: as good as the map is near the photo.

Methods that look at embeddings err most where no mapping photo looks like the photo. What error the most similar mapping
photo has is learned in every place (``nearest``, see ``estimators.calibration``): it is no error that a method announces,
but it tells which of its answers to follow, better than the errors that methods expect themselves (docs/trajectory.md). A
method that looks at the photo's points errs for other reasons, and knows better.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from irploc.estimators.base import PoseEstimates, PoseEstimator, Query
from irploc.estimators.build import Place, build_estimator
from irploc.estimators.calibrated import Calibrated
from irploc.geometry.posegraph import MEDIAN
from irploc.geometry.posegraph_terms import Absolute

_MEASURE = "nearest"


class Yardstick:
    """Errors to expect of the most similar mapping photos of a place."""

    def __init__(self, place: Place) -> None:
        self._estimator = build_estimator(_MEASURE, place)

    def errors(self, embeddings: np.ndarray) -> np.ndarray:
        """(N, 2) metres and degrees, for (N, D) embeddings; NaN where the place is too small to learn them."""
        if not isinstance(self._estimator, Calibrated):
            return np.full((len(embeddings), 2), np.nan)
        _, judgement = self._estimator.judged(Query(embeddings))
        return np.stack([judgement.position_m, judgement.rotation_deg], axis=1)


class Overheard:
    """A method whose answers stay as they are, while those who smooth them hear of each how good it may be.

    Args:
        estimator: the method.
        place: where it answers.
        trusted: whether the errors that the method expects are taken before those of the yardstick.
    """

    def __init__(self, estimator: PoseEstimator, place: Place, trusted: bool = False) -> None:
        self._estimator, self._yardstick, self._trusted = estimator, Yardstick(place), trusted
        self.heard: deque[tuple[float, float]] = deque()  # of every answer, in order, until somebody takes it

    def estimate(self, query: Query) -> PoseEstimates:
        """What the method says."""
        found = self._estimator.estimate(query)
        for metres, degrees in known_errors(found, self._yardstick, query, self._trusted).tolist():
            self.heard.append((metres, degrees))
        return found


def known_errors(estimates: PoseEstimates, yardstick: Yardstick, query: Query, trusted: bool = False) -> np.ndarray:
    """(N, 2) errors of the yardstick, or where it knows none, those that the method expects of its answers.

    Args:
        trusted: the other way round.
    """
    own = np.stack([estimates.position_m, estimates.rotation_deg], axis=1)
    if trusted and not np.isnan(own).any():
        return own
    first, second = yardstick.errors(query.embeddings), own
    if trusted:
        first, second = second, first
    return np.where(np.isnan(first).any(axis=1, keepdims=True), second, first)


def absolute_of(estimates: PoseEstimates, place: Place, query: Query, trusted: bool = False) -> Absolute:
    """Answers of a method as a pose graph takes them; ``trusted`` as in ``known_errors``."""
    errors = known_errors(estimates, Yardstick(place), query, trusted) / MEDIAN
    return Absolute(estimates.poses, errors[:, 0], errors[:, 1])
