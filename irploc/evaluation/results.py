"""What was measured: the methods side by side on the same queries."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from irploc.estimators.base import APPROXIMATE, PoseEstimates, PoseEstimator, Query
from irploc.evaluation.confidence import Reliability, reliability
from irploc.evaluation.scores import Scores, score_poses
from irploc.floormap import FloorMap
from irploc.geometry.poses import Poses
from irploc.scene import Frames


@dataclass(frozen=True)
class Corrected:
    """A method's answers moved onto a floor map, and what they are worth then.

    Attributes:
        estimates: none too far from walkable ground has a pose.
        moved_m: (N,) metres from the raw position to walkable ground, 0 on it; NaN without a pose.
    """

    estimates: PoseEstimates
    scores: Scores
    moved_m: np.ndarray

    @property
    def n_outside(self) -> int:
        """How many raw positions are not walkable."""
        return int((self.moved_m > 0).sum())

    @property
    def n_too_far(self) -> int:
        """How many of them are too far away to be believed."""
        return int(((self.moved_m > 0) & ~self.estimates.poses.valid).sum())

    def to_json(self) -> dict[str, Any]:
        """Scores as those of the raw estimates, and how many were moved how far; None where a value is infinite."""
        outside = self.moved_m[self.moved_m > 0]
        known = len(outside) > 0
        moved = {
            "mean_m": float(outside.mean()) if known else None,
            "median_m": float(np.median(outside)) if known else None,
            "max_m": float(outside.max()) if known else None,
        }
        return {**self.scores.to_json(), "n_outside": self.n_outside, "n_too_far": self.n_too_far, "moved": moved}


@dataclass(frozen=True)
class MethodResult:
    """One method's answers to all queries of an ``Evaluation``, and what they are worth.

    Attributes:
        reliability: of the confidence; None where the method has none.
        corrected: the answers moved onto a floor map; None without one.
    """

    estimates: PoseEstimates
    scores: Scores
    reliability: Reliability | None = None
    corrected: Corrected | None = None

    @classmethod
    def measured(cls, estimates: PoseEstimates, true: Poses, seconds_per_image: float | None = None) -> MethodResult:
        """The answers compared with the truth."""
        return cls(estimates, score_estimates(estimates, true, seconds_per_image), reliability(estimates, true))

    def to_json(self) -> dict[str, Any]:
        """Scores, under ``confidence`` what the confidence is worth, and with a floor map ``corrected`` ones; None where a
        value is unknown or infinite."""
        confidence = None if self.reliability is None else self.reliability.to_json()
        scores = {**self.scores.to_json(), "confidence": confidence}
        return scores if self.corrected is None else {**scores, "corrected": self.corrected.to_json()}


@dataclass(frozen=True)
class Evaluation:
    """Methods measured on the same queries.

    Attributes:
        scene: its name.
        ground_truth: where the true poses come from.
        split: which photos were the queries; None when a file listed them.
        queries: the queries with their true poses.
        results: method as typed -> result, in the order asked for.
        mapping: the mapping photos that ``Neighbours.rows`` count; None when unknown (poses of another tool).
        encoder: None when unknown.
        provenance: further facts for readers, in order: weights, preprocessing, seed, versions.
        notes: what a reader of the numbers must know, a sentence each.
        floor_map: onto which the answers were moved; None without one.
        units: of the poses.

    Raises:
        ValueError: when a result does not have one answer per query.
    """

    scene: str
    ground_truth: str
    split: str | None
    queries: Frames
    results: Mapping[str, MethodResult]
    mapping: Frames | None = None
    encoder: str | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    floor_map: FloorMap | None = None
    units: str = "metres"

    def __post_init__(self) -> None:
        for method, result in self.results.items():
            if len(result.estimates) != len(self.queries):
                raise ValueError(f"{method}: {len(result.estimates)} answers to {len(self.queries)} queries")

    @property
    def n_train(self) -> int | None:
        """How many mapping photos there are."""
        return None if self.mapping is None else len(self.mapping)

    def to_json(self) -> dict[str, Any]:
        """What ``irploc evaluate --json`` writes; None where a value is unknown or infinite."""
        floor = self.floor_map
        told = (
            {} if floor is None else {"floor_map": {"sha256": floor.sha256, "max_distance_m": _finite(floor.max_distance_m)}}
        )
        return {
            "scene": self.scene,
            "ground_truth": self.ground_truth,
            "split": self.split,
            "n_train": self.n_train,
            "n_test": len(self.queries),
            "encoder": self.encoder,
            **told,
            "results": {method: result.to_json() for method, result in self.results.items()},
        }


def evaluate_methods(estimators: Mapping[str, PoseEstimator], query: Query, true: Poses) -> dict[str, MethodResult]:
    """Runs every method on all queries at once and scores its answers.

    ``seconds_per_image`` is the time of ``estimate`` from embeddings that are there, divided by the number of queries.
    """
    results = {}
    for method, estimator in estimators.items():
        estimator.estimate(
            Query(query.embeddings[:1], query.cameras[:1], query.images[:1])
        )  # what is loaded on first use is not its time
        started = time.perf_counter()
        estimates = estimator.estimate(query)
        seconds = time.perf_counter() - started
        results[method] = MethodResult.measured(estimates, true, seconds / max(len(true), 1))
    return results


def score_estimates(estimates: PoseEstimates, true: Poses, seconds_per_image: float | None = None) -> Scores:
    """Scores of a method's answers, those that are only approximate counted."""
    return score_poses(estimates.poses, true, seconds_per_image, estimates.status.count(APPROXIMATE))


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
