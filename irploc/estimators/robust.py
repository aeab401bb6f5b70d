"""Method ``robust``: interpolation that chooses, for each photo, which neighbourhood to trust, for position and rotation.

A fixed k is fragile: in a dense map two neighbours are best and 25 are several times worse, in a map with gaps it is the
other way round (Pion et al., 3DV 2020, show it for equal weights). Here the affine combination of ``bdi`` is made for ten
sizes of neighbourhood, and for some in a few principal components (``neighbourhoods``); a model learned on the map itself
(``holes``) predicts the error of each, and the weights of all are mixed in proportion to a power of what it predicts. There
is nothing to tune.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from irploc.errors import BadInput
from irploc.estimators.base import METHODS, Method, Neighbours, PoseEstimates, Query
from irploc.estimators.holes import LEAST_PHOTOS, ErrorModel, simulate
from irploc.estimators.neighbourhoods import SIZES, Map, Neighbourhoods, look
from irploc.geometry.averaging import average_poses
from irploc.geometry.poses import Poses
from irploc.retrieval.index import PlaceIndex

SHARPNESS = 8.0  # weights go with the predicted error to the power of minus this
LEARNED = "robust errors"  # in PlaceIndex.learned
_FEW = 3  # neighbours where the map is too small to learn from
_SHOWN = 10
_CHUNK = 256


@dataclass(frozen=True)
class RobustOptions:
    """There is nothing to choose."""


@dataclass(frozen=True)
class Expected:
    """Poses of N queries, and the errors (N,) that the map lets expect of them; NaN where it is too small to tell."""

    poses: Poses
    position_m: np.ndarray
    rotation_deg: np.ndarray


class Robust:
    """Takes what was learned on the mapping photos from the index, else learns it, which takes a second or two; also where
    the map has grown or shrunk over ``LEAST_FOR_COARSE`` since.

    Args:
        index: of the place.

    Raises:
        BadInput: when what the index has cannot be used.
    """

    def __init__(self, index: PlaceIndex) -> None:
        self._index, self._map = index, Map(index.vectors, index.frames.poses)
        self._models: tuple[ErrorModel, ErrorModel] | None = None
        if LEARNED in index.learned:
            saved = index.learned[LEARNED]
            try:
                models = ErrorModel.from_plain(saved["position"]), ErrorModel.from_plain(saved["rotation"])
            except (KeyError, TypeError, ValueError):
                raise damaged() from None
            if all(model.kinds == self._map.kinds for model in models):
                self._models = models
        if self._models is None and len(index.frames) >= LEAST_PHOTOS:
            samples = simulate(self._map)
            self._models = (
                ErrorModel.fit(samples.signs, samples.position_m),
                ErrorModel.fit(samples.signs, samples.rotation_deg),
            )

    def to_plain(self) -> dict[str, Any] | None:
        """What was learned, for ``PlaceIndex.learned``; None where the map is too small."""
        if self._models is None:
            return None
        return {"position": self._models[0].to_plain(), "rotation": self._models[1].to_plain()}

    def estimate(self, query: Query) -> PoseEstimates:
        """One interpolated pose per query."""
        expected, neighbours = self.expect(query.embeddings)
        return PoseEstimates.of_poses(expected.poses, neighbours)

    def expect(self, queries: np.ndarray) -> tuple[Expected, Neighbours]:
        """Interpolated poses of (N, D) embeddings with the errors to expect, and the ten most similar photos."""
        count = min(SIZES[-1], len(self._index.frames))
        rows, similarities = self._index.search(queries, count)
        starts = range(0, max(len(rows), 1), _CHUNK)  # bounds the memory for the gathered neighbours
        parts = [self._expect(queries[start : start + _CHUNK], rows[start : start + _CHUNK]) for start in starts]
        expected = Expected(
            Poses.concatenate([part.poses for part in parts]),
            np.concatenate([part.position_m for part in parts]),
            np.concatenate([part.rotation_deg for part in parts]),
        )
        return expected, Neighbours(rows[:, :_SHOWN], similarities[:, :_SHOWN])

    def _expect(self, queries: np.ndarray, rows: np.ndarray) -> Expected:
        mapped = self._index.frames.poses
        seen = look(self._map, queries, rows)
        if self._models is None:
            unknown = np.full(len(rows), np.nan)
            return Expected(seen.poses[SIZES.index(_FEW)], unknown, unknown)
        (in_position, metres), (in_rotation, degrees) = (_mixed(seen, model) for model in self._models)
        position, rotation = average_poses(mapped, rows, in_position), average_poses(mapped, rows, in_rotation)
        return Expected(Poses(position.centers_m, rotation.world_from_cam_wxyz), metres, degrees)


def damaged() -> BadInput:
    """What is said when saved values cannot be used."""
    return BadInput("what methods learned, kept beside the index, is damaged: run 'irploc index' again")


def _mixed(seen: Neighbourhoods, model: ErrorModel) -> tuple[np.ndarray, np.ndarray]:
    """(N, K) weights of all neighbourhoods together, and the (N,) geometric mean of their predicted errors."""
    logs = model.log_errors(seen.signs)
    trust = np.exp(-SHARPNESS * (logs - logs.min(axis=1, keepdims=True)))
    trust /= trust.sum(axis=1, keepdims=True)
    return np.einsum("nc,nck->nk", trust, seen.weights), np.exp((trust * logs).sum(axis=1))


def _robust(options: RobustOptions, model_path: Path | None, place: Any) -> Robust:
    return Robust(place.index)


METHODS.register("robust")(
    Method("interpolation that chooses its neighbours for each photo; nothing to tune", RobustOptions, False, _robust)
)
