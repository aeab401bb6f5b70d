"""Method ``siamese-image``: the published network, which looks at the photo itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from irploc.encoders.base import EncoderOptions
from irploc.errors import BadInput
from irploc.estimators.base import METHODS, Method, PoseEstimates, PoseEstimator, Query
from irploc.estimators.calibrated import Trust, with_judgement
from irploc.estimators.calibration import signs_of
from irploc.estimators.siamese import (
    ITERATIONS,
    NEIGHBOURS,
    Answer,
    SiameseInference,
    SiameseOptions,
    calibration_of,
    damaged_calibration,
    neighbours_of,
)
from irploc.retrieval.index import PlaceIndex, flat_index
from irploc.scene import Frames
from irploc.training.dataset import identity_of
from irploc.training.siamese.image_model import METHOD, ImageModel, load_image_model

if TYPE_CHECKING:
    from irploc.estimators.build import Place


class SiameseImage:
    """The method on pixels. Correlated photos are found by pose, or among the mapping photos' features of its own backbone.

    Args:
        model: trained in this place.
        rows: (M,) which of its mapping photos are those of the place.
        frames: M.
        options: of inference, as for ``siamese``.
        trust: what of its calibration may be announced; there is one where the backbone was frozen.
    """

    def __init__(
        self,
        model: ImageModel,
        rows: np.ndarray,
        frames: Frames,
        options: SiameseOptions | None = None,
        trust: Trust | None = None,
    ) -> None:
        self.options, self._model, self._trust = options or SiameseOptions(), model, trust or Trust()
        self._index = flat_index(frames, unit_rows(model.vectors[rows]))
        self._inference = SiameseInference(model.model, model.vectors[rows], frames.poses)
        self._calibration = calibration_of(model.model, self.options)

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
        units = unit_rows(vectors)
        answer = answer_by_features(self._inference, self._index, vectors, self.options)
        estimates = PoseEstimates.of_poses(answer.poses, neighbours_of(self._index, units, answer.rows))
        if self._calibration is None:
            return estimates
        return with_judgement(estimates, self._calibration.judge(signs_of(self._index, units, answer.poses)), self._trust)


def answer_by_features(
    inference: SiameseInference, index: PlaceIndex, vectors: np.ndarray, options: SiameseOptions
) -> Answer:
    """Poses of photos by the features of a backbone.

    Args:
        inference: over the mapping photos' features.
        index: over the same photos, their features scaled to unit length.
        vectors: (N, D) features as they are.
        options: which form.
    """
    features = inference.features(vectors)
    if options.form == "absolute":
        return inference.absolute(features)
    if options.form == "iterative":
        most = ITERATIONS if options.max_iterations is None else options.max_iterations
        return inference.iterate(features, most, None if options.by_pose else index.search(unit_rows(vectors), 1)[0][:, 0])
    count = min(options.k or NEIGHBOURS, len(index.frames))
    if options.by_pose:
        return inference.one_shot(features, inference.nearest(inference.absolute(features).poses, count))
    return inference.one_shot(features, index.search(unit_rows(vectors), count)[0])


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """(N, D) scaled to unit length; zeros stay."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def _build(options: SiameseOptions, model_path: Path | None, place: Place) -> PoseEstimator:
    path = model_path or place.model_path(METHOD)
    device: torch.device = EncoderOptions().torch_device
    model = load_image_model(path, identity_of(place.store), device)
    frames = place.index.frames
    rows, trust = model.rows_of(frames.names, path), Trust(metric=place.trust.metric)
    try:
        return SiameseImage(model, rows, frames, options, trust)
    except (KeyError, TypeError, ValueError):
        raise damaged_calibration(path) from None


METHODS.register(METHOD)(
    Method(
        "the published network on the photos themselves, trained with 'irploc train siamese-image'",
        SiameseOptions,
        True,
        _build,
        "irploc train siamese-image {embeddings}",
    )
)
