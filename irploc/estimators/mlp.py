"""Methods ``irpnet`` and ``mlp``: poses from trained regressors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from irploc.estimators.base import METHODS, Method, PoseEstimates, Query
from irploc.training.dataset import identity_of
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
        """One pose per query; the confidence is NaN, since regressors are not calibrated."""
        return PoseEstimates.of_poses(self.regressor.poses(query.embeddings))


class IRPNetEstimator(RegressorEstimator):
    """Position from the network trained for it, orientation from the other one.

    Source: IRPNet paper, section III-B.
    """


class MLPEstimator(RegressorEstimator):
    """Both from one network. Source: IRPNet paper, section III-A."""


def _build_irpnet(options: RegressorOptions, model_path: Path | None, place: Place) -> IRPNetEstimator:
    path = model_path or place.model_path("irpnet")
    return IRPNetEstimator(load_model(path, identity_of(place.store), "irpnet"))


def _build_mlp(options: RegressorOptions, model_path: Path | None, place: Place) -> MLPEstimator:
    path = model_path or place.model_path("mlp")
    return MLPEstimator(load_model(path, identity_of(place.store), "mlp"))


METHODS.register("irpnet")(
    Method("two-branch network on embeddings, trained with 'irploc train-mlp'", RegressorOptions, True, _build_irpnet)
)
METHODS.register("mlp")(
    Method("plain network on embeddings, trained with 'irploc train-mlp --model mlp'", RegressorOptions, True, _build_mlp)
)
