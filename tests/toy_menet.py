"""A training of MeNet that takes a moment: photos of 32 pixels, a few steps."""

from __future__ import annotations

from typing import Any

from toy_images import walk_pairs

from irploc.scene import Scene
from irploc.training.loop import TrainingOptions
from irploc.training.menet.model import MeNetModel
from irploc.training.menet.recipes import MeNetRecipe, menet_recipe
from irploc.training.menet.train import train_menet


def small_recipe(**changes: Any) -> MeNetRecipe:
    """Three steps of 4 pairs for 12 photos."""
    return menet_recipe("fast", **{"side": 32, "hidden": (8,), "epochs": 1, "batch_size": 4, **changes})


def trained(scene: Scene, options: TrainingOptions | None = None, **changes: Any) -> MeNetModel:
    """A model after a few steps."""
    pairs = walk_pairs(int((scene.frames.splits == "train").sum()))
    return train_menet(scene, pairs, small_recipe(**changes), options or TrainingOptions())
