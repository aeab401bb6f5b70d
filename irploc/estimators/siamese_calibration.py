"""What answers of the method ``siamese`` are worth, learned with models that were trained without some of the photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from irploc.estimators.calibrated import calibrate
from irploc.estimators.calibration import LEAST_PHOTOS
from irploc.estimators.siamese import Siamese, SiameseOptions
from irploc.geometry.poses import Poses
from irploc.retrieval.index import PlaceIndex
from irploc.splits import pose_folds
from irploc.training.dataset import TrainingSet
from irploc.training.loop import TrainingOptions
from irploc.training.siamese.lesson import CorrelatedPairs, held_out_steps, train_without
from irploc.training.siamese.model import SiameseModel, with_calibrations

FORMS = {  # how each is inferred; ``relative`` is the one shot before the absolute pose joins it
    "absolute": SiameseOptions(max_iterations=0),
    "iterative": SiameseOptions(one_shot=False),
    "relative": SiameseOptions(),
}


def calibrated_model(
    model: SiameseModel, data: TrainingSet, index: PlaceIndex, pairs: CorrelatedPairs, options: TrainingOptions
) -> SiameseModel:
    """The same model with a calibration for each form of inference, by training others without some of the photos.

    Args:
        data, pairs, options: it was trained with.
        index: over the same photos.
    """
    if len(data) < LEAST_PHOTOS:
        return model
    folds = pose_folds(data.poses)
    others = [train_without(data, held, pairs, model.recipe, options) for held in folds]

    def learned(form: SiameseOptions, calibrations: dict[str, Any]) -> dict[str, Any]:
        found = calibrate(index, _answers(others, index, form, calibrations))
        return found.to_plain()

    calibrations: dict[str, Any] = {}
    for name, form in FORMS.items():
        calibrations[name] = learned(form, {})
    calibrations["one_shot"] = learned(SiameseOptions(), calibrations)
    return with_calibrations(model, calibrations)


def calibration_steps(model: SiameseModel, data: TrainingSet) -> int:
    """How many training steps ``calibrated_model`` takes, about; 0 where the place is too small for it."""
    return len(pose_folds(data.poses)) * held_out_steps(model.recipe) if len(data) >= LEAST_PHOTOS else 0


def _answers(
    others: list[SiameseModel], index: PlaceIndex, form: SiameseOptions, calibrations: dict[str, Any]
) -> Callable[[PlaceIndex, int, np.ndarray], Poses]:
    def answer(smaller: PlaceIndex, number: int, rows: np.ndarray) -> Poses:
        other = replace(others[number], calibrations=calibrations)
        return Siamese(other, smaller, form).answer(index.vectors[rows]).poses

    return answer
