"""What a model would answer for mapping photos that it has not been trained on, so that its errors can be learned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from irploc.geometry.poses import Poses
from irploc.training.dataset import TrainingSet
from irploc.training.loop import TrainingOptions, train
from irploc.training.modelfile import PoseRegressor
from irploc.training.recipes import recipe

STEPS = 200  # of the fast recipe, whatever the model's own one: the paper's would take hours


class HeldOut:
    """Models of the same kind, each trained without one fold of the photos.

    The heads of an ensemble share one such model: averaging them changes errors little.

    Args:
        data: all mapping photos.
        model: ``irpnet`` or ``mlp``.
        place: ``indoor`` or ``outdoor``.
        options: as of the model itself.
        folds: (N,) masks of the photos to leave out.
    """

    def __init__(self, data: TrainingSet, model: str, place: str, options: TrainingOptions, folds: list[np.ndarray]) -> None:
        self._data, self._model, self._folds = data, model, folds
        self._recipe = replace(recipe("fast", place), epochs=1, minimum_steps=STEPS, heads=1)
        self._options = replace(options, start=(), checkpoint=None, report=lambda line: None, record=lambda entry: None)
        self._trained: dict[int, PoseRegressor] = {}

    @property
    def steps(self) -> int:
        """Of all the trainings together."""
        return sum(self._recipe.total_steps(self._data.only(~held).rows) for held in self._folds)

    def poses(self, fold: int, rows: np.ndarray) -> Poses:
        """For photos of the fold, which the model has not seen."""
        if fold not in self._trained:
            self._trained[fold] = self._train(fold)
        return self._trained[fold].poses(np.asarray(self._data.embeddings[rows, 0], dtype=np.float32))

    def _train(self, fold: int) -> PoseRegressor:
        data = self._data
        trained = train(data.only(~self._folds[fold]), self._model, self._recipe, self._options)
        identity: dict[str, str | int] = {"dimension": data.dimension}
        return PoseRegressor(self._model, trained.heads, self._recipe, self._options.seed, identity, {})
