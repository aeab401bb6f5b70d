"""``Calibrated``: a method with a confidence, the errors to expect, and the courage to say that it does not know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from irploc.estimators.base import NOT_LOCALIZED, PoseEstimates, PoseEstimator, Query
from irploc.estimators.calibration import Calibration, Judgement, asked_in, refusal_limit, signs_of
from irploc.geometry.poses import Poses, pose_errors
from irploc.retrieval.index import PlaceIndex
from irploc.splits import pose_folds


@dataclass(frozen=True)
class Trust:
    """What of a calibration may be announced.

    Attributes:
        holds: whether what is learned on mapping photos holds for others. Not where the encoder was fitted on them: it tells
            them apart better than any other photos, so that held-out ones seem farther from the map than queries are. The
            calibration then still says which method to believe more.
        metric: whether the scene is in metres, without which 0.25 m mean nothing.
    """

    holds: bool = True
    metric: bool = True


class Calibrated:
    """Answers of a method, each with what its calibration makes of it; photos that are not of this place are refused.

    Args:
        estimator: the method.
        calibration: of it in this place.
        index: of the place.
        trust: what of it may be announced.
    """

    def __init__(
        self, estimator: PoseEstimator, calibration: Calibration, index: PlaceIndex, trust: Trust | None = None
    ) -> None:
        self.estimator, self.calibration, self._index = estimator, calibration, index
        self.trust = trust or Trust()

    def estimate(self, query: Query) -> PoseEstimates:
        """One answer per query; refused ones have no pose and confidence 0."""
        estimates, judgement = self.judged(query)
        return with_judgement(estimates, judgement, self.trust)

    def judged(self, query: Query) -> tuple[PoseEstimates, Judgement]:
        """All poses, also those of photos that will be refused."""
        estimates = self.estimator.estimate(query)
        return estimates, self.calibration.judge(signs_of(self._index, query.embeddings, estimates.poses))


def with_judgement(estimates: PoseEstimates, judgement: Judgement, trust: Trust) -> PoseEstimates:
    """The estimates with confidence and expected errors, as far as they may be announced; refused ones have no pose."""
    if not trust.holds:
        return estimates
    refused = judgement.refused
    centers = np.where(refused[:, None], np.nan, estimates.poses.centers_m)
    quats = np.where(refused[:, None], np.nan, estimates.poses.world_from_cam_wxyz)
    return replace(
        estimates,
        poses=Poses(centers, quats),
        status=tuple(NOT_LOCALIZED if gone else status for gone, status in zip(refused, estimates.status, strict=True)),
        confidence=np.where(refused, 0.0, judgement.confidence) if trust.metric else estimates.confidence,
        position_m=np.where(refused, np.nan, judgement.position_m),
        rotation_deg=np.where(refused, np.nan, judgement.rotation_deg),
        spread_m=np.where(refused, np.nan, estimates.spread_m),
        spread_deg=np.where(refused, np.nan, estimates.spread_deg),
    )


def calibrate(
    index: PlaceIndex,
    answer: Callable[[PlaceIndex, int, np.ndarray], Poses],
    more: Sequence[np.ndarray] = (),
) -> Calibration:
    """Learns how far a method is to be trusted in a place.

    Args:
        index: over all mapping photos.
        answer: the method's poses for some mapping photos: takes an index over the photos of a fold that are not held out,
            the number of the fold, and the row numbers (in ``index``) of the photos that are asked for.
        more: masks of further folds, numbered after those of ``pose_folds``; they say nothing about refusals.
    """
    folds = pose_folds(index.frames.poses)
    parts = []
    for number, held in enumerate([*folds, *more]):
        rows, smaller = asked_in(held), index.without(held)
        poses = answer(smaller, number, rows)
        errors = pose_errors(poses, index.frames.poses[rows])
        parts.append((signs_of(smaller, index.vectors[rows], poses), *errors))
    signs, position_m, rotation_deg = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Calibration.fit(signs, position_m, rotation_deg, refusal_limit(index, folds))
