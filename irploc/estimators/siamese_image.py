"""Method ``siamese-image``: the published network, which looks at the photo itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from irploc.encoders.base import EncoderOptions
from irploc.errors import BadInput
from irploc.estimators.base import METHODS, Method, Neighbours, PoseEstimates, PoseEstimator, Query
from irploc.estimators.siamese import ITERATIONS, NEIGHBOURS, Answer, SiameseInference, SiameseOptions
from irploc.geometry.poses import Poses
from irploc.training.dataset import identity_of
from irploc.training.siamese.image_model import METHOD, ImageModel, load_image_model

if TYPE_CHECKING:
    from irploc.estimators.build import Place


@dataclass(frozen=True)
class _Seen:
    """(N, D) features of queries, and their cosine similarities to the M mapping photos (N, M)."""

    vectors: np.ndarray
    similarities: np.ndarray


class SiameseImage:
    """The method on pixels. Correlated photos are found by pose, or among the mapping photos' features of its own backbone.

    Its confidence is unknown: to learn it, several networks would have to be trained.

    Args:
        model: trained in this place.
        rows: (M,) which of its mapping photos are those of the place.
        poses: M.
        options: of inference, as for ``siamese``.
    """

    def __init__(self, model: ImageModel, rows: np.ndarray, poses: Poses, options: SiameseOptions | None = None) -> None:
        self.options, self._model = options or SiameseOptions(), model
        self._units = _unit(model.vectors[rows])
        self._inference = SiameseInference(model.model, model.vectors[rows], poses)

    def estimate(self, query: Query) -> PoseEstimates:
        """One pose per query; neighbours are the mapping photos that were looked at.

        Raises:
            BadInput: for queries without photos.
        """
        if len(query.images) != len(query):
            raise BadInput(
                f"{METHOD} looks at photos, and got embeddings of {len(query)} alone: give the photos, or take siamese"
            )
        vectors = self._model.features(query.images)
        seen = _Seen(vectors, _unit(vectors) @ self._units.T)
        answer = self._answer(seen)
        return PoseEstimates.of_poses(answer.poses, _neighbours(seen, answer.rows))

    def _answer(self, seen: _Seen) -> Answer:
        options, inference = self.options, self._inference
        features = inference.features(seen.vectors)
        if options.form == "absolute":
            return inference.absolute(features)
        order = np.argsort(-seen.similarities, axis=1, kind="stable")
        if options.form == "iterative":
            most = ITERATIONS if options.max_iterations is None else options.max_iterations
            return inference.iterate(features, most, None if options.by_pose else order[:, 0])
        count = min(options.k or NEIGHBOURS, len(self._units))
        rows = inference.nearest(inference.absolute(features).poses, count) if options.by_pose else order[:, :count]
        return inference.one_shot(features, rows)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def _neighbours(seen: _Seen, rows: np.ndarray) -> Neighbours:
    if not rows.shape[1] or (rows < 0).any():  # different numbers of iterations: shown are the most similar embeddings
        return Neighbours.none(len(rows))
    return Neighbours(rows, np.take_along_axis(seen.similarities, rows, axis=1).astype(np.float32))


def _build(options: SiameseOptions, model_path: Path | None, place: Place) -> PoseEstimator:
    path = model_path or place.model_path(METHOD)
    device: torch.device = EncoderOptions().torch_device
    model = load_image_model(path, identity_of(place.store), device)
    frames = place.index.frames
    return SiameseImage(model, model.rows_of(frames.names, path), frames.poses, options)


METHODS.register(METHOD)(
    Method(
        "the published network on the photos themselves, trained with 'irploc train siamese-image'",
        SiameseOptions,
        True,
        _build,
        "irploc train siamese-image {embeddings}",
    )
)
