"""Whether a pose on points is to be believed, and how far it may be wrong.

A wrong pose has few inliers, in a corner of the picture, disagrees with what the embedding says, and misses most of what it
ought to see. How much each of these signs weighs is learned on mapping photos held out of the map, and on photos asked of
maps that hardly hold what they show. No sign ever speaks against a pose for being better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from irploc.structure.solution import Prior, Solution

SIGNS = ("inliers", "first_inliers", "first_share", "share", "coverage", "sd", "position", "rotation", "seen")
ACCEPTED = 0.8  # confidence from which a pose is believed
_LEAST_INLIERS, _LEAST_FIRST = 20, 15  # fewer are never believed
_SAFE_INLIERS, _SAFE_FIRST, _SAFE_SHARE, _SAFE_COVERAGE = 60, 25, 0.2, 0.15  # believed without a calibration
_UNKNOWN_M, _UNKNOWN_DEG = 0.5, 10.0  # expected of a prior of which nobody knows
_FARTHEST = 20.0  # expected errors; more disagreement says no more
_RIDGE = 0.02
_CLIP = 4.0
_LEAST = 1e-9
_USUAL_FACTOR = 3.0


@dataclass(frozen=True)
class Verdict:
    """On one pose.

    Attributes:
        accepted: whether it is believed.
        confidence: chance that it is good; NaN where nobody knows.
        position_m, rotation_deg: errors to expect (medians); NaN where nobody knows.
    """

    accepted: bool
    confidence: float
    position_m: float
    rotation_deg: float


@dataclass(frozen=True)
class StructureCalibration:
    """Of the poses in one place; plain numbers, so that files can hold it.

    Attributes:
        mean, spread: of the signs, in the order of ``SIGNS``.
        weights: constant and one factor a sign, none negative, of the log-odds of a good pose.
        position_factor, rotation_factor: median of the true error over what the covariance says.
    """

    mean: tuple[float, ...]
    spread: tuple[float, ...]
    weights: tuple[float, ...]
    position_factor: float
    rotation_factor: float

    @classmethod
    def fit(
        cls, signs: np.ndarray, good: np.ndarray, position_ratio: np.ndarray, rotation_ratio: np.ndarray
    ) -> StructureCalibration:
        """From (n, S) signs of held-out photos, whether their poses were good, and error over standard deviation."""
        mean, spread = signs.mean(axis=0), signs.std(axis=0) + 1e-6
        weights = _logistic(np.clip((signs - mean) / spread, -_CLIP, _CLIP), good)
        position, rotation = (
            max(float(np.median(ratio[good])), _LEAST) if good.any() else _USUAL_FACTOR
            for ratio in (position_ratio, rotation_ratio)
        )
        a, b, c = (tuple(float(value) for value in part) for part in (mean, spread, weights))
        return cls(a, b, c, position, rotation)

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> StructureCalibration:
        """The inverse of ``to_plain``.

        Raises:
            KeyError, TypeError, ValueError: for anything else.
        """
        lists = [tuple(float(value) for value in values[name]) for name in ("mean", "spread", "weights")]
        factors = float(values["position_factor"]), float(values["rotation_factor"])
        found = cls(lists[0], lists[1], lists[2], *factors)
        if [len(part) for part in lists] != [len(SIGNS), len(SIGNS), len(SIGNS) + 1]:
            raise ValueError("a calibration's lists differ in length")
        if not np.isfinite([*lists[0], *lists[1], *lists[2], found.position_factor, found.rotation_factor]).all():
            raise ValueError("a calibration has numbers that are not finite")
        if min(found.spread) <= 0 or min(found.position_factor, found.rotation_factor) <= 0:
            raise ValueError("a calibration's spreads and factors must be positive")
        return found

    def to_plain(self) -> dict[str, Any]:
        """Lists and numbers."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def chance(self, signs: np.ndarray) -> np.ndarray:
        """(n,) that poses with (n, S) signs are good."""
        scaled = np.clip((signs - np.array(self.mean)) / np.array(self.spread), -_CLIP, _CLIP)
        odds = self.weights[0] + scaled @ np.array(self.weights[1:])
        return np.asarray(1.0 / (1.0 + np.exp(-odds)))


def signs_of(solution: Solution, prior: Prior | None) -> np.ndarray:
    """(9,) signs of a pose, larger ones better; without a prior it is taken to agree as half of the priors do."""
    apart = _apart(solution, prior)
    return np.array(
        [
            np.log(solution.inliers),
            np.log1p(solution.first_inliers),
            solution.first_inliers / max(solution.first_matched, 1),
            solution.inliers / max(solution.matched, 1),
            np.log(max(solution.coverage, 1e-3)),
            -np.log(max(solution.position_sd_m, _LEAST)),
            -np.log1p(apart[0]),
            -np.log1p(apart[1]),
            np.log(solution.inliers / max(solution.visible, 1)),
        ]
    )


def judge(solution: Solution, prior: Prior | None, calibration: StructureCalibration | None) -> Verdict:
    """Whether a pose is believed; without a calibration only where it is beyond doubt, and without a confidence."""
    enough = solution.inliers >= _LEAST_INLIERS and solution.first_inliers >= _LEAST_FIRST
    if calibration is None:
        safe = (
            solution.inliers >= _SAFE_INLIERS
            and solution.first_inliers >= max(_SAFE_FIRST, _SAFE_SHARE * solution.first_matched)
            and solution.coverage >= _SAFE_COVERAGE
        )
        return Verdict(safe, float("nan"), float("nan"), float("nan"))
    confidence = float(calibration.chance(signs_of(solution, prior)[None])[0])
    return Verdict(
        enough and confidence >= ACCEPTED,
        confidence,
        calibration.position_factor * solution.position_sd_m,
        calibration.rotation_factor * solution.rotation_sd_deg,
    )


def _apart(solution: Solution, prior: Prior | None) -> tuple[float, float]:
    """How far a pose is from its prior, in errors that the prior expects of itself."""
    if prior is None:
        return 1.0, 1.0
    metres = float(np.linalg.norm(solution.pose.centers_m[0] - prior.pose.centers_m[0]))
    cosine = abs(float(solution.pose.world_from_cam_wxyz[0] @ prior.pose.world_from_cam_wxyz[0]))
    degrees = float(np.degrees(2.0 * np.arccos(min(cosine, 1.0))))
    expected_m = _UNKNOWN_M if np.isnan(prior.position_m) else max(prior.position_m, _LEAST)
    expected_deg = _UNKNOWN_DEG if np.isnan(prior.rotation_deg) else max(prior.rotation_deg, _LEAST)
    return min(metres / expected_m, _FARTHEST), min(degrees / expected_deg, _FARTHEST)


def _logistic(scaled: np.ndarray, good: np.ndarray) -> np.ndarray:
    """(1 + S,) of a logistic regression whose factors are not negative; where all are alike, their smoothed share."""
    count, size = scaled.shape
    if good.all() or not good.any():
        share = (good.sum() + 1.0) / (count + 2.0)
        return np.array([np.log(share / (1.0 - share)), *np.zeros(size)])
    sides = np.where(good, 1.0, -1.0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margins = sides * (weights[0] + scaled @ weights[1:])
        slope = -sides / (1.0 + np.exp(margins)) / count
        gradient = np.concatenate([[slope.sum()], scaled.T @ slope + 2.0 * _RIDGE * weights[1:] / size])
        return float(np.logaddexp(0.0, -margins).mean() + _RIDGE * (weights[1:] ** 2).sum() / size), gradient

    found = minimize(loss, np.zeros(1 + size), jac=True, method="L-BFGS-B", bounds=[(None, None)] + [(0.0, None)] * size)
    return np.asarray(found.x)
