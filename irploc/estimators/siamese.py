"""Method ``siamese``: an absolute pose, corrected by relative poses to mapping photos.

Three forms of inference with one model: ``absolute`` (``max_iterations=0``), ``iterative`` as published, and ``one_shot``:
relative poses to K correlated photos in one batch, averaged robustly, and with the absolute pose by expected error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from irploc.errors import BadInput
from irploc.estimators.base import METHODS, Method, Neighbours, PoseEstimates, PoseEstimator, Query
from irploc.estimators.calibrated import Calibrated
from irploc.estimators.calibration import Calibration, inverse_square, signs_of
from irploc.estimators.pose_lookup import PoseLookup
from irploc.geometry.averaging import average_quaternions
from irploc.geometry.consensus import consensus
from irploc.geometry.poses import Poses
from irploc.retrieval.index import PlaceIndex
from irploc.training.dataset import identity_of
from irploc.training.siamese.model import SiameseModel, load_siamese

if TYPE_CHECKING:
    from irploc.estimators.build import Place

LOOKUPS = ("embedding", "pose")
ITERATIONS, NEIGHBOURS = 5, 10


@dataclass(frozen=True)
class SiameseOptions:
    """How poses are inferred; None is the default of the form.

    Attributes:
        one_shot: all relative poses in one batch, instead of one after the other; the default unless iterations are asked
            for.
        k: correlated photos of the one shot, 10.
        lookup: correlated photos by ``embedding`` (most similar; the one shot's) or by ``pose`` (nearest to the pose so far,
            as published; the iterations').
        max_iterations: of the other form, 5; 0 is the absolute pose alone.

    Raises:
        BadInput: for values that cannot be, and for options that the form does not use.
    """

    one_shot: bool | None = None
    k: int | None = None
    lookup: str | None = None
    max_iterations: int | None = None

    def __post_init__(self) -> None:
        if self.lookup not in (None, *LOOKUPS):
            raise BadInput(f"lookup is {self.lookup!r}, choose one of {', '.join(LOOKUPS)}")
        if self.k is not None and self.k < 1:
            raise BadInput(f"k is {self.k}, it must be at least 1")
        if self.max_iterations is not None and self.max_iterations < 0:
            raise BadInput(f"max_iterations is {self.max_iterations}, it must be 0 or more")
        if self.one_shot and self.max_iterations is not None:
            raise BadInput("the one shot makes no iterations: leave max_iterations or one_shot out")
        if self.form != "one_shot" and self.k is not None:
            raise BadInput("k is of the one shot: leave it out where there are iterations")
        if self.form == "absolute" and self.lookup is not None:
            raise BadInput("the absolute pose looks at no photos: leave lookup out")

    @property
    def form(self) -> str:
        """``absolute``, ``iterative`` or ``one_shot``."""
        if self.max_iterations == 0:
            return "absolute"
        one_shot = self.max_iterations is None if self.one_shot is None else self.one_shot
        return "one_shot" if one_shot else "iterative"

    @property
    def by_pose(self) -> bool:
        """Whether photos are looked up by pose."""
        return self.lookup == "pose" or (self.lookup is None and self.form == "iterative")

    @property
    def has_default_numbers(self) -> bool:
        """Whether it is the form as it was calibrated."""
        usual = {"absolute": True, "iterative": self.by_pose, "one_shot": not self.by_pose}[self.form]
        return usual and self.k in (None, NEIGHBOURS) and self.max_iterations in (None, 0, ITERATIONS)


@dataclass(frozen=True)
class Answer:
    """Poses of N photos, and what was looked at.

    Attributes:
        rows: (N, K) mapping photos, those looked at last in front.
        iterations: (N,) relative poses that followed one another.
    """

    poses: Poses
    rows: np.ndarray
    iterations: np.ndarray


class SiameseInference:
    """The three forms of inference in one place.

    Args:
        model: trained there.
        vectors: (M, D) features of the mapping photos, embeddings for ``siamese``.
        poses: M.
    """

    def __init__(self, model: SiameseModel, vectors: np.ndarray, poses: Poses) -> None:
        self.model, self._poses = model, poses
        self._features = model.features(vectors)
        self._lookup = PoseLookup(poses, model.code, model.network.weights_of_distance)

    def features(self, vectors: np.ndarray) -> torch.Tensor:
        """(N, R) of (N, D) queries."""
        return self.model.features(vectors)

    def absolute(self, features: torch.Tensor) -> Answer:
        """The first absolute head alone."""
        count = len(features)
        return Answer(self.model.absolute(features), np.zeros((count, 0), dtype=np.int64), np.zeros(count, dtype=np.int64))

    def iterate(self, features: torch.Tensor, max_iterations: int, similar: np.ndarray | None = None) -> Answer:
        """Relative poses one after the other, until a photo repeats (paper section 2.2).

        Args:
            features: (N, R).
            max_iterations: of them at most.
            similar: (N,) the most similar mapping photos, to be taken instead of those nearest to the pose: they stay the
                same, and so repeat after one iteration.
        """
        current, count = self.model.absolute(features), len(features)
        visited = np.full((count, 0), -1, dtype=np.int64)
        iterations, open_rows = np.zeros(count, dtype=np.int64), np.arange(count)
        for _ in range(max_iterations):
            nearest = self._lookup.nearest(current[open_rows], 1)[:, 0] if similar is None else similar[open_rows]
            new = ~(visited[open_rows] == nearest[:, None]).any(axis=1)
            open_rows, nearest = open_rows[new], nearest[new]
            if not len(open_rows):
                break
            visited = np.concatenate([np.full((count, 1), -1, dtype=np.int64), visited], axis=1)
            visited[open_rows, 0] = nearest
            current = _replaced(current, open_rows, self._from(features[open_rows], nearest[:, None]))
            iterations[open_rows] += 1
        return Answer(current, visited, iterations)

    def one_shot(self, features: torch.Tensor, rows: np.ndarray) -> Answer:
        """The consensus of the poses that (N, K) mapping photos suggest."""
        poses, _ = consensus(self._from(features, rows), rows.shape[1])
        return Answer(poses, rows, np.ones(len(features), dtype=np.int64))

    def nearest(self, poses: Poses, count: int) -> np.ndarray:
        """(N, count) mapping photos nearest to poses."""
        return self._lookup.nearest(poses, count)

    def _from(self, features: torch.Tensor, rows: np.ndarray) -> Poses:
        """N times K poses, those of a photo one after the other."""
        flat = rows.reshape(-1)
        repeated = features.repeat_interleave(rows.shape[1], dim=0)
        return self.model.from_photos(repeated, self._features[torch.from_numpy(flat)], self._poses[flat])


class Siamese:
    """The method on embeddings.

    Args:
        model: trained in this place, or without some of its photos.
        index: over the mapping photos.
        options: of inference.
    """

    def __init__(self, model: SiameseModel, index: PlaceIndex, options: SiameseOptions | None = None) -> None:
        self.options, self._index = options or SiameseOptions(), index
        self._inference = SiameseInference(model, index.vectors, index.frames.poses)
        self._weighed = [_calibration(model, form) for form in ("absolute", "relative")]

    def estimate(self, query: Query) -> PoseEstimates:
        """One pose per query; neighbours are the mapping photos that were looked at."""
        answer = self.answer(query.embeddings)
        return PoseEstimates.of_poses(answer.poses, neighbours_of(self._index, query.embeddings, answer.rows))

    def answer(self, embeddings: np.ndarray) -> Answer:
        """Of (N, D) embeddings, with what was looked at."""
        options, inference = self.options, self._inference
        features = inference.features(embeddings)
        if options.form == "absolute":
            return inference.absolute(features)
        if options.form == "iterative":
            most = ITERATIONS if options.max_iterations is None else options.max_iterations
            similar = None if options.by_pose else self._index.search(embeddings, 1)[0][:, 0]
            return inference.iterate(features, most, similar)
        absolute, count = inference.absolute(features), min(options.k or NEIGHBOURS, len(self._index.frames))
        rows = inference.nearest(absolute.poses, count) if options.by_pose else self._index.search(embeddings, count)[0]
        return self._together(embeddings, absolute, inference.one_shot(features, rows))

    def _together(self, embeddings: np.ndarray, absolute: Answer, relative: Answer) -> Answer:
        """Both with weights 1 / expected error^2, position and orientation by themselves; the relative one alone where
        nobody knows what to expect."""
        first, second = self._weighed
        if first is None or second is None:
            return relative
        judged = [
            calibration.judge(signs_of(self._index, embeddings, answer.poses))
            for calibration, answer in ((first, absolute), (second, relative))
        ]
        in_m, in_rad = (
            inverse_square(np.stack([getattr(judgement, name) for judgement in judged], axis=1))
            for name in ("position_m", "rotation_deg")
        )
        centers = np.stack([absolute.poses.centers_m, relative.poses.centers_m], axis=1)
        quats = np.stack([absolute.poses.world_from_cam_wxyz, relative.poses.world_from_cam_wxyz], axis=1)
        poses = Poses(np.einsum("na,nad->nd", in_m, centers), average_quaternions(quats, in_rad))
        return replace(relative, poses=poses)


def neighbours_of(index: PlaceIndex, vectors: np.ndarray, rows: np.ndarray) -> Neighbours:
    """The (N, K) photos that were looked at, with their similarities to (N, D) unit vectors; none where queries looked at
    different numbers of them, so that the most similar ones are shown."""
    if not rows.shape[1] or (rows < 0).any():
        return Neighbours.none(len(vectors))
    similarities = np.einsum("nd,nkd->nk", vectors, index.vectors[rows])
    return Neighbours(rows, similarities.astype(np.float32))


def _replaced(poses: Poses, rows: np.ndarray, others: Poses) -> Poses:
    centers, quats = poses.centers_m.copy(), poses.world_from_cam_wxyz.copy()
    centers[rows], quats[rows] = others.centers_m, others.world_from_cam_wxyz
    return Poses(centers, quats)


def _calibration(model: SiameseModel, form: str) -> Calibration | None:
    return Calibration.from_plain(model.calibrations[form]) if form in model.calibrations else None


def calibration_of(model: SiameseModel, options: SiameseOptions) -> Calibration | None:
    """What the model knows of a form with its usual numbers; raises KeyError, TypeError, ValueError for anything else."""
    return _calibration(model, options.form) if options.has_default_numbers else None


def damaged_calibration(path: Path) -> BadInput:
    """What to say of a model file whose calibration cannot be read."""
    return BadInput(f"{path} is damaged: its calibration cannot be read; train again")


def _build(options: SiameseOptions, model_path: Path | None, place: Place) -> PoseEstimator:
    path = model_path or place.model_path("siamese")
    model = load_siamese(path, identity_of(place.store))
    try:
        estimator = Siamese(model, place.index, options)
        calibration = calibration_of(model, options)
    except (KeyError, TypeError, ValueError):
        raise damaged_calibration(path) from None
    return estimator if calibration is None else Calibrated(estimator, calibration, place.index, place.trust)


METHODS.register("siamese")(
    Method(
        "absolute pose corrected by relative poses to mapping photos, trained with 'irploc train siamese'",
        SiameseOptions,
        True,
        _build,
        "irploc train siamese {embeddings}",
    )
)
