"""Methods ``irpnet`` and ``mlp``: poses from trained regressors.

Source: IRPNet paper, section III. ``irpnet`` takes the position from the network trained for it and the orientation from the
other one, ``mlp`` both from one network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
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


def _build(method: str, options: RegressorOptions, model_path: Path | None, place: Place) -> RegressorEstimator:
    return RegressorEstimator(load_model(model_path or place.model_path(method), identity_of(place.store), method))


for _name, _summary in (
    ("irpnet", "two-branch network on embeddings, trained with 'irploc train-mlp'"),
    ("mlp", "plain network on embeddings, trained with 'irploc train-mlp --model mlp'"),
):
    _command = f"irploc train-mlp {{embeddings}} --model {_name}"
    METHODS.register(_name)(Method(_summary, RegressorOptions, True, partial(_build, _name), _command))
