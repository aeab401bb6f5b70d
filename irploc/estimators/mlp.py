"""Methods ``irpnet`` and ``mlp``: poses from trained regressors.

Source: IRPNet paper, section III. ``irpnet`` takes the position from the network trained for it and the orientation from the
other one, ``mlp`` both from one network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from irploc.errors import BadInput
from irploc.estimators.base import METHODS, Method, PoseEstimates, PoseEstimator, Query
from irploc.estimators.calibrated import Calibrated, calibrate
from irploc.estimators.calibration import LEAST_PHOTOS, Calibration, asked_in
from irploc.geometry.poses import pose_errors
from irploc.retrieval.index import PlaceIndex
from irploc.splits import pose_folds
from irploc.training.dataset import TrainingSet, identity_of
from irploc.training.heldout import HeldOut
from irploc.training.loop import TrainingOptions
from irploc.training.modelfile import PoseRegressor, load_model

if TYPE_CHECKING:
    from irploc.estimators.build import Place


@dataclass(frozen=True)
class RegressorOptions:
    """A trained model has nothing to choose."""


class RegressorEstimator:
    """Poses of a trained regressor; it looks at no neighbours.

    Args:
        regressor: on the CPU.
    """

    def __init__(self, regressor: PoseRegressor) -> None:
        self.regressor = regressor

    def estimate(self, query: Query) -> PoseEstimates:
        """One pose per query, and the spread of the heads where there are several."""
        poses, spread_m, spread_deg = self.regressor.poses_and_spread(query.embeddings)
        estimates = PoseEstimates.of_poses(poses)
        if len(self.regressor.heads) == 1:
            return estimates
        return replace(estimates, spread_m=spread_m, spread_deg=spread_deg)


def _build(method: str, options: RegressorOptions, model_path: Path | None, place: Place) -> PoseEstimator:
    path = model_path or place.model_path(method)
    regressor = load_model(path, identity_of(place.store), method)
    estimator = RegressorEstimator(regressor)
    if regressor.calibration is None:
        return estimator
    try:
        return Calibrated(estimator, Calibration.from_plain(regressor.calibration), place.index, place.trust)
    except (KeyError, TypeError, ValueError):
        raise BadInput(f"{path} is damaged: its calibration cannot be read; train again") from None


def calibration_steps(regressor: PoseRegressor, data: TrainingSet) -> int:
    """How many training steps ``with_calibration`` takes; 0 where the place is too small for one."""
    return _held_out(regressor, data, TrainingOptions()).steps if len(data) >= LEAST_PHOTOS else 0


def with_calibration(
    regressor: PoseRegressor, data: TrainingSet, index: PlaceIndex, options: TrainingOptions
) -> PoseRegressor:
    """The same model with its calibration, by training others like it without some of the photos.

    They are trained in the quick way whatever the model's own recipe. A model that fits its own photos worse than they fit
    photos they never saw is not like them, and stays without a calibration.

    Args:
        data, options: it was trained with.
        index: over the same photos.
    """
    if len(data) < LEAST_PHOTOS:
        return regressor
    held_out, folds = _held_out(regressor, data, options), pose_folds(data.poses)
    calibration = calibrate(index, lambda _, fold, rows: held_out.poses(fold, rows))
    asked = [asked_in(held) for held in folds]
    theirs = [pose_errors(held_out.poses(fold, rows), data.poses[rows]) for fold, rows in enumerate(asked)]
    rows = np.concatenate(asked)
    ours = pose_errors(regressor.poses(index.vectors[rows]), data.poses[rows])
    if any(np.median(ours[kind]) > np.median(np.concatenate([errors[kind] for errors in theirs])) for kind in (0, 1)):
        return regressor
    return replace(regressor, calibration=calibration.to_plain())


def _held_out(regressor: PoseRegressor, data: TrainingSet, options: TrainingOptions) -> HeldOut:
    return HeldOut(data, regressor.model, regressor.recipe.place, options, pose_folds(data.poses))


for _name, _summary in (
    ("irpnet", "two-branch network on embeddings, trained with 'irploc train-mlp'"),
    ("mlp", "plain network on embeddings, trained with 'irploc train-mlp --model mlp'"),
):
    _command = f"irploc train-mlp {{embeddings}} --model {_name}"
    METHODS.register(_name)(Method(_summary, RegressorOptions, True, partial(_build, _name), _command))
