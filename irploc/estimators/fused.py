"""Method ``fused``: what ``robust`` interpolates and what the trained regressors say, each weighted by its expected error.

``robust`` predicts its own error e for every photo. A regressor cannot be asked that on the photos it was trained on, but
two things are known of it: the error r that is left on its own mapping photos, because it smooths, and that a gap in the map
costs it about what it costs interpolation. Its expected error is taken as (r^2 + e^2)^1/2, and everything is averaged with
weights 1 / error^2, position and rotation by themselves. Where the map is dense, ``robust`` has nearly all the weight; in
gaps all count alike, and their errors partly cancel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from irploc.errors import NotFound
from irploc.estimators.base import METHODS, Method, PoseEstimates, PoseEstimator, Query
from irploc.estimators.robust import Robust
from irploc.geometry.averaging import average_quaternions
from irploc.geometry.poses import Poses, pose_errors

if TYPE_CHECKING:
    from irploc.estimators.build import Place

MEMBERS = ("irpnet", "mlp")
_ASKED = 1000  # mapping photos that a regressor's remaining error is measured on


@dataclass(frozen=True)
class FusedOptions:
    """There is nothing to choose."""


@dataclass(frozen=True)
class _Member:
    """A regressor and the median errors that are left on its mapping photos."""

    estimator: PoseEstimator
    position_m: float
    rotation_deg: float


class Fused:
    """``robust`` and some regressors of the same place.

    Args:
        robust: of the place.
        regressors: trained on its mapping photos.
        vectors: (M, D) of the mapping photos.
        mapped: their poses.
    """

    def __init__(self, robust: Robust, regressors: list[PoseEstimator], vectors: np.ndarray, mapped: Poses) -> None:
        self._robust = robust
        rows = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), _ASKED)).round().astype(np.int64))
        self._members = []
        for regressor in regressors:
            errors = pose_errors(regressor.estimate(Query(vectors[rows])).poses, mapped[rows])
            self._members.append(_Member(regressor, *(float(np.median(part)) for part in errors)))

    def estimate(self, query: Query) -> PoseEstimates:
        """One pose per query."""
        expected, neighbours = self._robust.expect(query.embeddings)
        answers = [expected.poses, *(member.estimator.estimate(query).poses for member in self._members)]
        in_position = _weights(expected.position_m, [member.position_m for member in self._members])
        in_rotation = _weights(expected.rotation_deg, [member.rotation_deg for member in self._members])
        centers = np.stack([poses.centers_m for poses in answers], axis=1)
        quats = np.stack([poses.world_from_cam_wxyz for poses in answers], axis=1)
        fused = Poses(np.einsum("na,nai->ni", in_position, centers), average_quaternions(quats, in_rotation))
        return PoseEstimates.of_poses(fused, neighbours)


def _weights(expected: np.ndarray, remaining: list[float]) -> np.ndarray:
    """(N, 1 + members), rows summing to one; all alike where the map is too small to expect anything."""
    floor = 1e-9
    errors = np.stack([expected, *(np.hypot(expected, value) for value in remaining)], axis=1) + floor
    weights = np.where(np.isfinite(errors), 1.0 / errors**2, 0.0)
    weights[~np.isfinite(errors).any(axis=1)] = 1.0
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _fused(options: FusedOptions, model_path: Path | None, place: Place) -> Fused:
    trained = place.trained(MEMBERS)
    if not trained:
        command = METHODS.get(MEMBERS[0]).train_command.format(embeddings=place.store.path)
        raise NotFound(f"no model for fused in {place.model_path(MEMBERS[0]).parent}: train one with '{command}'")
    regressors = [METHODS.get(name).build(METHODS.get(name).options(), place.model_path(name), place) for name in trained]
    return Fused(Robust(place.index), regressors, place.index.vectors, place.index.frames.poses)


METHODS.register("fused")(
    Method("robust and the trained regressors together, by expected error", FusedOptions, False, _fused, members=MEMBERS)
)
