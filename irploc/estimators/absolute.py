"""Methods ``posenet`` and ``mapnet``: poses by a small head on embeddings, or on a backbone's view of the photo.

Source: the report, parts IV-B and IV-C.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from irploc.encoders.base import EncoderOptions
from irploc.errors import BadInput
from irploc.estimators.base import METHODS, Method, PoseEstimates, PoseEstimator, Query
from irploc.estimators.calibrated import Calibrated, calibrate
from irploc.estimators.calibration import LEAST_PHOTOS, Calibration
from irploc.geometry.poses import Poses
from irploc.retrieval.index import PlaceIndex
from irploc.splits import pose_folds
from irploc.training.absolute.model import AbsoluteModel, check_place, load_absolute, train_command
from irploc.training.absolute.recipes import METHODS as NAMES
from irploc.training.absolute.recipes import AbsoluteRecipe
from irploc.training.absolute.train import train_on_embeddings
from irploc.training.backbone import PooledBackbone
from irploc.training.backbone_file import backbone_from_plain, features_of_photos
from irploc.training.dataset import TrainingSet, identity_of
from irploc.training.loop import TrainingOptions

if TYPE_CHECKING:
    from irploc.estimators.build import Place

HELD_OUT_STEPS = 200  # of a model that learns what the errors are; not more than the model itself had


@dataclass(frozen=True)
class AbsoluteOptions:
    """A trained model has nothing to choose."""


class Absolute:
    """Poses of a trained model on embeddings; it looks at no neighbours.

    Args:
        model: without a backbone.
    """

    def __init__(self, model: AbsoluteModel) -> None:
        self.model = model

    def estimate(self, query: Query) -> PoseEstimates:
        """One pose per query."""
        return PoseEstimates.of_poses(self.model.poses(query.embeddings))


class AbsoluteImage:
    """Poses of a trained model on the photos themselves.

    Args:
        model: with a backbone.
        backbone: that, on its device.
    """

    def __init__(self, model: AbsoluteModel, backbone: PooledBackbone) -> None:
        self.model, self._backbone = model, backbone

    def estimate(self, query: Query) -> PoseEstimates:
        """One pose per query.

        Raises:
            BadInput: for queries without photos.
        """
        model = self.model
        if len(query.images) != len(query):
            raise BadInput(
                f"this {model.method} looks at photos by {model.identity['encoder']}, and got embeddings of {len(query)} "
                f"alone: give the photos, or train one on embeddings with '{train_command(model.method)}'"
            )
        photos = [
            image if pixels is None else pixels
            for image, pixels in zip(query.images, query.decoded or [None] * len(query), strict=True)
        ]
        return PoseEstimates.of_poses(
            model.poses(features_of_photos(self._backbone, photos, model.recipe.side, model.recipe.crop))
        )


def calibration_steps(model: AbsoluteModel, data: TrainingSet) -> int:
    """How many training steps ``with_calibration`` takes; 0 where the place is too small for one."""
    if len(data) < LEAST_PHOTOS:
        return 0
    folds = pose_folds(data.poses)
    return sum(_quick(model, int((~held).sum())).total_steps(int((~held).sum())) for held in folds)


def with_calibration(model: AbsoluteModel, data: TrainingSet, index: PlaceIndex, options: TrainingOptions) -> AbsoluteModel:
    """The same model with its calibration, by training others like it without some of the photos.

    Args:
        data, options: it was trained with.
        index: over the same photos.
    """
    if len(data) < LEAST_PHOTOS:
        return model
    options = replace(options, checkpoint=None, report=lambda line: None, record=lambda entry: None)
    others: dict[int, AbsoluteModel] = {}
    folds = pose_folds(data.poses)

    def answer(smaller: PlaceIndex, fold: int, rows: np.ndarray) -> Poses:
        if fold not in others:
            some = data.only(~folds[fold])
            others[fold] = train_on_embeddings(some, model.method, _quick(model, len(some)), options)
        return others[fold].poses(np.asarray(data.embeddings[rows, 0], dtype=np.float32))

    return replace(model, calibration=calibrate(index, answer).to_plain())


def _quick(model: AbsoluteModel, photos: int) -> AbsoluteRecipe:
    steps = min(HELD_OUT_STEPS, model.recipe.total_steps(photos))
    return replace(model.recipe, epochs=1, minimum_steps=steps)


def _build(method: str, options: AbsoluteOptions, model_path: Path | None, place: Place) -> PoseEstimator:
    path = model_path or place.model_path(method)
    model = load_absolute(path, method)
    check_place(model, identity_of(place.store), path)
    if model.backbone:
        return AbsoluteImage(model, _backbone_of(model, path))
    estimator = Absolute(model)
    if model.calibration is None:
        return estimator
    try:
        return Calibrated(estimator, Calibration.from_plain(model.calibration), place.index, place.trust)
    except (KeyError, TypeError, ValueError):
        raise BadInput(f"{path} is damaged: its calibration cannot be read; train again") from None


def _backbone_of(model: AbsoluteModel, path: Path) -> PooledBackbone:
    command = train_command(model.method)
    try:
        backbone = backbone_from_plain(model.backbone, str(model.identity["weights_sha256"]), path, command)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise BadInput(f"{path} is damaged: {str(error).splitlines()[0]}; train again with '{command}'") from None
    return backbone.to(EncoderOptions().torch_device)


_SUMMARIES = {
    "posenet": "one linear layer on embeddings or on a backbone, trained with 'irploc train posenet'",
    "mapnet": "four layers, trained on tuples of photos along walks with 'irploc train mapnet'",
}
for _name in NAMES:
    METHODS.register(_name)(
        Method(_SUMMARIES[_name], AbsoluteOptions, True, partial(_build, _name), f"{train_command(_name)} {{embeddings}}")
    )
