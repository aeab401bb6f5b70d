"""What answers of ``siamese`` and ``siamese-image`` are worth, learned with models trained without some of the photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from irploc.estimators.calibrated import calibrate
from irploc.estimators.calibration import LEAST_PHOTOS
from irploc.estimators.siamese import Siamese, SiameseInference, SiameseOptions
from irploc.estimators.siamese_image import answer_by_features, unit_rows
from irploc.geometry.poses import Poses
from irploc.retrieval.index import PlaceIndex, flat_index
from irploc.scene import Frames
from irploc.splits import pose_folds
from irploc.training.dataset import TrainingSet
from irploc.training.loop import TrainingOptions
from irploc.training.siamese.lesson import CorrelatedPairs, held_out_steps, train_without
from irploc.training.siamese.model import SiameseModel, with_calibrations

_SINGLE = 4  # one photo in so many is held out by itself
FORMS = {  # how each is inferred; ``relative`` is the one shot before the absolute pose joins it
    "absolute": SiameseOptions(max_iterations=0),
    "iterative": SiameseOptions(one_shot=False),  # as published, by pose
    "relative": SiameseOptions(),
}


def calibrated_model(
    model: SiameseModel, data: TrainingSet, index: PlaceIndex, pairs: CorrelatedPairs, options: TrainingOptions
) -> SiameseModel:
    """The same model with a calibration for each form of inference, by training others without some of the photos: in holes
    of four sizes (``splits.pose_folds``), and one photo here and there, where relative poses are at their best.

    Args:
        data, pairs, options: it was trained with.
        index: over the same photos.
    """
    if len(data) < LEAST_PHOTOS:
        return model
    folds = _folds(data, options)
    others = [train_without(data, held, pairs, model.recipe, options) for held in folds]

    def learned(form: SiameseOptions, calibrations: dict[str, Any]) -> dict[str, Any]:
        return calibrate(index, _answers(others, index, form, calibrations), folds[-1:]).to_plain()

    calibrations: dict[str, Any] = {name: learned(form, {}) for name, form in FORMS.items()}
    calibrations["one_shot"] = learned(SiameseOptions(), calibrations)
    return with_calibrations(model, calibrations)


def calibrated_image_model(
    model: SiameseModel, mapping: Frames, pairs: CorrelatedPairs, options: TrainingOptions
) -> SiameseModel:
    """The same for ``siamese-image`` with a frozen backbone: other heads on its features of the centre crops.

    A backbone that was trained has seen all mapping photos: with its features held-out photos are none, so its model stays
    without a calibration.

    Args:
        model: as trained.
        mapping: the photos in the order of its features.
        pairs, options: it was trained with.
    """
    if not model.extra["frozen"] or len(mapping) < LEAST_PHOTOS:
        return model
    vectors = model.extra["mapping_features"].float().numpy()
    data = TrainingSet(vectors[:, None], mapping.poses, mapping.sequences, mapping.indices)
    index, folds = flat_index(mapping, unit_rows(vectors)), _folds(data, options)
    others = [train_without(data, held, pairs, model.recipe, options) for held in folds]

    def learned(form: SiameseOptions) -> dict[str, Any]:
        def answer(smaller: PlaceIndex, number: int, rows: np.ndarray) -> Poses:
            inference = SiameseInference(others[number], vectors[~folds[number]], smaller.frames.poses)
            return answer_by_features(inference, smaller, vectors[rows], form).poses

        return calibrate(index, answer, folds[-1:]).to_plain()

    return with_calibrations(
        model, {form.form: learned(form) for form in (FORMS["absolute"], FORMS["iterative"], SiameseOptions())}
    )


def calibration_steps(model: SiameseModel, poses: Poses) -> int:
    """How many training steps a calibration takes, about; 0 where the place is too small for it."""
    folds = len(pose_folds(poses)) + 1 if len(poses) >= LEAST_PHOTOS else 0
    return folds * held_out_steps(model.recipe, len(poses))


def _folds(data: TrainingSet, options: TrainingOptions) -> list[np.ndarray]:
    """Masks (N,): those of ``calibrate``, and the one of single photos last."""
    return [*pose_folds(data.poses), _single(len(data), options.seed)]


def _single(count: int, seed: int) -> np.ndarray:
    """(N,) mask of a quarter of the photos, drawn one by one."""
    held = np.zeros(count, dtype=bool)
    held[np.random.default_rng(seed).permutation(count)[: count // _SINGLE]] = True
    return held


def _answers(
    others: list[SiameseModel], index: PlaceIndex, form: SiameseOptions, calibrations: dict[str, Any]
) -> Callable[[PlaceIndex, int, np.ndarray], Poses]:
    def answer(smaller: PlaceIndex, number: int, rows: np.ndarray) -> Poses:
        other = replace(others[number], calibrations=calibrations)
        return Siamese(other, smaller, form).answer(index.vectors[rows]).poses

    return answer
