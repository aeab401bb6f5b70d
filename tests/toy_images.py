"""A training on photos that takes a moment: resnet18, crops of 64 pixels, small heads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from irploc.progress import Stages, silent_stages
from irploc.scene import Scene
from irploc.training.backbone import ImageOptions
from irploc.training.loop import TrainingOptions
from irploc.training.siamese.image_lesson import train_on_images
from irploc.training.siamese.lesson import CorrelatedPairs
from irploc.training.siamese.model import SiameseModel
from irploc.training.siamese.recipes import SiameseRecipe, siamese_recipe

FROZEN = ImageOptions("resnet18", frozen=True, random_weights=True, crops=2)
TRAINABLE = ImageOptions("resnet18", frozen=False, random_weights=True)


def small_recipe(**changes: Any) -> SiameseRecipe:
    """Three steps of 8 pairs for 24 photos."""
    sizes = {"absolute_widths": (8,), "relative_widths": (8, 8), "epochs": 1, "batch_size": 8, "side": 73, "crop": 64}
    return siamese_recipe("paper", **{**sizes, **changes})


def first_photos(scene: Scene, mapping: int, test: int = 2) -> Scene:
    """The first mapping and test photos of a scene."""
    rows = [np.flatnonzero(scene.frames.splits == split)[:count] for split, count in (("train", mapping), ("test", test))]
    return replace(scene, frames=scene.frames[np.concatenate(rows)])


def walk_pairs(count: int) -> CorrelatedPairs:
    """Each photo with the two that follow."""
    rows = [[row, row + step] for step in (1, 2) for row in range(count - step)]
    return CorrelatedPairs(np.array(rows, dtype=np.int64).reshape(-1, 2), 60.0, "the walk")


def trained(
    scene: Scene,
    images: ImageOptions,
    options: TrainingOptions | None = None,
    stages: Stages = silent_stages,
    **changes: Any,
) -> SiameseModel:
    """A model after a few steps."""
    pairs = walk_pairs(int((scene.frames.splits == "train").sum()))
    return train_on_images(scene, pairs, small_recipe(**changes), images, options or TrainingOptions(), stages)
