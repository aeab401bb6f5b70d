"""The numbers a method is judged by."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from irploc.geometry.poses import Poses, pose_errors

# Name in files and tables -> largest position error in metres and rotation error in degrees that still count.
RECALL_THRESHOLDS: dict[str, tuple[float, float]] = {
    "0.05m_5deg": (0.05, 5.0),
    "0.25m_2deg": (0.25, 2.0),
    "0.5m_5deg": (0.5, 5.0),
    "2m_5deg": (2.0, 5.0),
    "5m_10deg": (5.0, 10.0),
}
# Thresholds are inclusive; an error that only rounding lifts above one must not fall outside.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Scores:
    """Accuracy of one method over n queries.

    A query that was not localized counts as an infinite position error and 180 degrees, in the medians and means too:
    one of them makes the mean and the root mean square of the position infinite.

    Attributes:
        recall: per name of ``RECALL_THRESHOLDS``, the share of queries within both thresholds, in [0, 1].
        n_approximate: queries with a pose that is only that of the method which another one starts from; they count with
            their true errors.
        seconds_per_image: the method's own time; encoding excluded; None when nobody measured it.
    """

    median_position_m: float
    median_rotation_deg: float
    mean_position_m: float
    mean_rotation_deg: float
    rmse_position_m: float
    recall: dict[str, float]
    n: int
    n_not_localized: int
    n_approximate: int = 0
    seconds_per_image: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields in order; what is infinite becomes None, because JSON has no infinity."""
        return {name: _finite_or_none(value) for name, value in asdict(self).items()}


def score_poses(estimated: Poses, true: Poses, seconds_per_image: float | None = None, n_approximate: int = 0) -> Scores:
    """Scores of N estimates; rows without a pose were not localized.

    Raises:
        ValueError: when the counts differ or there is nothing to score.
    """
    if not len(true):
        raise ValueError("no queries to score")
    position_m, rotation_deg = pose_errors(estimated, true)
    recall = {
        name: float(np.mean((position_m <= metres + _ROUNDING) & (rotation_deg <= degrees + _ROUNDING)))
        for name, (metres, degrees) in RECALL_THRESHOLDS.items()
    }
    return Scores(
        median_position_m=float(np.median(position_m)),
        median_rotation_deg=float(np.median(rotation_deg)),
        mean_position_m=float(np.mean(position_m)),
        mean_rotation_deg=float(np.mean(rotation_deg)),
        rmse_position_m=float(np.sqrt(np.mean(position_m**2))),
        recall=recall,
        n=len(true),
        n_not_localized=int(np.sum(~estimated.valid)),
        n_approximate=n_approximate,
        seconds_per_image=seconds_per_image,
    )


def _finite_or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
