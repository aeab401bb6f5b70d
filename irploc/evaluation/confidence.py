"""Is a method's confidence worth anything: does it come true, and does it tell good answers from bad ones?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from irploc.estimators.base import PoseEstimates
from irploc.estimators.calibration import GOOD_DEG, GOOD_M
from irploc.geometry.poses import Poses, pose_errors

BINS = 10
_SHARES = 20


@dataclass(frozen=True)
class KeptCurve:
    """What is left when only the most confident answers are kept.

    Attributes:
        shares: (S,) of the queries that are kept, rising to 1.
        position_m, rotation_deg: (S,) median errors of those; infinite where most of them were not localized.
    """

    shares: np.ndarray
    position_m: np.ndarray
    rotation_deg: np.ndarray


@dataclass(frozen=True)
class Reliability:
    """How far the confidence of N answers can be relied on.

    Attributes:
        good: share of the answers within 0.25 m and 5 degrees.
        mean_confidence: what was announced.
        calibration_error: mean distance between announced and true share over ten groups of like confidence, each as large
            as the others (expected calibration error, with equal counts).
        area_m, area_deg: under the curve of median errors against the share of queries kept.
        best_area_m, best_area_deg: the same were they kept in order of their true errors.
        blind_area_m, blind_area_deg: were they kept at random: the median of all.
        expected_within_2: share of the localized answers whose position error is within a factor of two of the announced.
    """

    good: float
    mean_confidence: float
    calibration_error: float
    area_m: float
    area_deg: float
    best_area_m: float
    best_area_deg: float
    blind_area_m: float
    blind_area_deg: float
    expected_within_2: float

    def to_json(self) -> dict[str, Any]:
        """The fields; None where a value is infinite or unknown."""
        return {name: value if np.isfinite(value) else None for name, value in asdict(self).items()}


def reliability(estimates: PoseEstimates, true: Poses) -> Reliability | None:
    """Of N answers to queries with known poses; None where the method has no confidence."""
    confidence = estimates.confidence
    if np.isnan(confidence).any() or not len(confidence):
        return None
    position_m, rotation_deg = _errors(estimates, true)
    good = _good(position_m, rotation_deg)
    kept = _kept(confidence, position_m, rotation_deg)
    best_m, best_deg = (_kept(-part, part, part).position_m for part in (position_m, rotation_deg))
    found = estimates.poses.valid
    ratio = position_m[found] / np.maximum(estimates.position_m[found], 1e-9)
    return Reliability(
        good=float(good.mean()),
        mean_confidence=float(confidence.mean()),
        calibration_error=calibration_error(confidence, good),
        area_m=float(kept.position_m.mean()),
        area_deg=float(kept.rotation_deg.mean()),
        best_area_m=float(best_m.mean()),
        best_area_deg=float(best_deg.mean()),
        blind_area_m=float(np.median(position_m)),
        blind_area_deg=float(np.median(rotation_deg)),
        expected_within_2=float(((ratio >= 0.5) & (ratio <= 2.0)).mean()) if found.any() else float("nan"),
    )


def kept_curve(estimates: PoseEstimates, true: Poses) -> KeptCurve | None:
    """Errors against the share of queries kept, most confident first; None where the method has no confidence."""
    if np.isnan(estimates.confidence).any() or not len(estimates.confidence):
        return None
    return _kept(estimates.confidence, *_errors(estimates, true))


def calibration_curve(estimates: PoseEstimates, true: Poses) -> tuple[np.ndarray, np.ndarray] | None:
    """(G,) mean confidence, rising, and share of good answers, in equal groups; None where the method has no confidence."""
    if np.isnan(estimates.confidence).any() or not len(estimates.confidence):
        return None
    announced, share, _ = _groups(estimates.confidence, _good(*_errors(estimates, true)), BINS)
    return announced, share


def calibration_error(confidence: np.ndarray, good: np.ndarray, bins: int = BINS) -> float:
    """Mean over ``bins`` equal groups, by confidence (N,), of how far its mean is from the share that is ``good`` (N,)."""
    announced, share, sizes = _groups(confidence, good, bins)
    return float(np.average(np.abs(announced - share), weights=sizes))


def _errors(estimates: PoseEstimates, true: Poses) -> tuple[np.ndarray, np.ndarray]:
    """Both errors, both infinite where nothing was localized: 180 degrees would be a number among others."""
    position_m, rotation_deg = pose_errors(estimates.poses, true)
    return position_m, np.where(estimates.poses.valid, rotation_deg, np.inf)


def _good(position_m: np.ndarray, rotation_deg: np.ndarray) -> np.ndarray:
    return np.asarray((position_m <= GOOD_M) & (rotation_deg <= GOOD_DEG))


def _groups(confidence: np.ndarray, good: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean confidence, share that is good, and size, of groups as equal as can be; the least confident first."""
    order = np.argsort(confidence, kind="stable")
    groups = np.array_split(order, min(bins, len(order)))
    means = [[part[rows].mean() for rows in groups] for part in (confidence, good)]
    return np.array(means[0]), np.array(means[1]), np.array([len(rows) for rows in groups])


def _kept(confidence: np.ndarray, position_m: np.ndarray, rotation_deg: np.ndarray) -> KeptCurve:
    order = np.argsort(-confidence, kind="stable")
    counts = np.unique(np.ceil(np.arange(1, _SHARES + 1) / _SHARES * len(order)).astype(int))
    medians = [[float(np.median(part[order[:count]])) for count in counts] for part in (position_m, rotation_deg)]
    return KeptCurve(counts / len(order), np.array(medians[0]), np.array(medians[1]))
