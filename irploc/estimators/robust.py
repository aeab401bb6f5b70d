"""Method ``robust``: interpolation that chooses, for each photo, which neighbourhood to trust, for position and rotation.

A fixed k is fragile: in a dense map two neighbours are best and 25 are several times worse, in a map with gaps it is the
other way round (Pion et al., 3DV 2020, show it for equal weights). Here the affine combination of ``bdi`` is made for ten
sizes of neighbourhood; a model learned on the map itself (``holes``) predicts the error of each, and the weights of all are
mixed in proportion to a power of what it predicts. There is nothing to tune.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from irploc.estimators.base import METHODS, Method, Neighbours, PoseEstimates, Query
from irploc.estimators.holes import LEAST_PHOTOS, ErrorModel, simulate
from irploc.estimators.neighbourhoods import SIZES, Neighbourhoods, look
from irploc.geometry.averaging import average_poses
from irploc.geometry.poses import Poses
from irploc.retrieval.index import PlaceIndex

SHARPNESS = 6.0  # weights go with the predicted error to the power of minus this
_FEW = 3  # neighbours where the map is too small to learn from
_CHUNK = 256


@dataclass(frozen=True)
class RobustOptions:
    """There is nothing to choose."""


class Robust:
    """Learns on the mapping photos of an index when it is made, which takes a second or two.

    Args:
        index: of the place.
    """

    def __init__(self, index: PlaceIndex) -> None:
        self._index = index
        self._models: tuple[ErrorModel, ErrorModel] | None = None
        if len(index.frames) >= LEAST_PHOTOS:
            samples = simulate(index.vectors, index.frames.poses)
            self._models = (
                ErrorModel(samples.signs, samples.position_m),
                ErrorModel(samples.signs, samples.rotation_deg),
            )

    def estimate(self, query: Query) -> PoseEstimates:
        """One interpolated pose per query."""
        count = min(SIZES[-1], len(self._index.frames))
        rows, similarities = self._index.search(query.embeddings, count)
        starts = range(0, max(len(rows), 1), _CHUNK)  # bounds the memory for the gathered neighbours
        parts = [self._poses(query.embeddings[start : start + _CHUNK], rows[start : start + _CHUNK]) for start in starts]
        shown = min(count, 10)
        return PoseEstimates.of_poses(Poses.concatenate(parts), Neighbours(rows[:, :shown], similarities[:, :shown]))

    def _poses(self, queries: np.ndarray, rows: np.ndarray) -> Poses:
        mapped = self._index.frames.poses
        seen = look(self._index.vectors, mapped, queries, rows)
        if self._models is None:
            return seen.poses[SIZES.index(_FEW)]
        position, rotation = (average_poses(mapped, rows, _mixed(seen, model)) for model in self._models)
        return Poses(position.centers_m, rotation.world_from_cam_wxyz)


def _mixed(seen: Neighbourhoods, model: ErrorModel) -> np.ndarray:
    """(N, K) weights of all neighbourhoods together."""
    logs = model.log_errors(seen.signs)
    trust = np.exp(-SHARPNESS * (logs - logs.min(axis=1, keepdims=True)))
    return np.einsum("nc,nck->nk", trust / trust.sum(axis=1, keepdims=True), seen.weights)


def _robust(options: RobustOptions, model_path: Path | None, place: Any) -> Robust:
    return Robust(place.index)


METHODS.register("robust")(
    Method("interpolation that chooses its neighbours for each photo; nothing to tune", RobustOptions, False, _robust)
)
