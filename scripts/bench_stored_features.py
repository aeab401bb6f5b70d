"""An epoch of training a PoseNet head on stored features, against the same epoch through the frozen backbone on photos.

    python scripts/bench_stored_features.py kitchen --backbone resnet18

The scene is one of the workspace (``IRPLOC_WORKSPACE``). Both epochs see every mapping photo once, with the same head, loss
and optimiser, in one run. Through the backbone each photo is cropped at random and passes the network, as in published code;
photos are decoded once, before the clock starts, which is to its advantage. Random weights take as long as ImageNet's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from irploc.progress import silent_stages
from irploc.training.absolute.heads import make_head
from irploc.training.absolute.lesson import AbsoluteLesson
from irploc.training.absolute.recipes import absolute_recipe
from irploc.training.absolute.walks import Walks
from irploc.training.backbone import ImageOptions
from irploc.training.features import FeatureSource, StoredFeatures
from irploc.training.image_features import FrozenImages, TrainedImages
from irploc.training.loop import TrainingOptions
from irploc.training.photographed import Photographed, look, photographed
from irploc.training.posevector import PoseVector
from irploc.training.steps import train_steps
from irploc.workspace import Workspace

EPOCHS = 20  # on stored features, of which the mean is taken: one alone is too short to be timed


def main() -> None:
    """Times both, prints the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene")
    parser.add_argument("--backbone", default="resnet18")
    options = parser.parse_args()
    images = ImageOptions(options.backbone, frozen=True, random_weights=True, crops=1)
    recipe = absolute_recipe("posenet", "report", epochs=1)
    seen = photographed(Workspace.locate().load_scene(options.scene), recipe, torch.device("cpu"), silent_stages)
    started = time.perf_counter()
    found = look(seen, images, recipe, [], TrainingOptions(), silent_stages)
    computed = time.perf_counter() - started
    assert isinstance(found.source, FrozenImages)
    stored = StoredFeatures(found.source.table, 0, 0, torch.device("cpu"), "features")
    through = TrainedImages(seen.photos, found.backbone, "photos")
    count = len(seen.mapping)
    print(f"{count} mapping photos, {options.backbone}, crops of {recipe.crop} px, batches of {recipe.batch_size}")
    print(f"features of all photos, two crops each, once: {computed:.1f} s")
    quick = seconds(trainer(seen, stored, recipe_epochs=EPOCHS)) / EPOCHS
    slow = seconds(trainer(seen, through, recipe_epochs=1))
    print(f"an epoch on stored features:       {1e3 * quick:9.1f} ms")
    print(f"an epoch through the backbone:     {1e3 * slow:9.1f} ms   {slow / quick:.0f} times as long")


def trainer(seen: Photographed, source: FeatureSource, recipe_epochs: int) -> Callable[[], object]:
    """A training of a head, ready to run."""
    recipe = replace(absolute_recipe("posenet", "report"), epochs=recipe_epochs)
    frames, code = seen.mapping, PoseVector(recipe.rotation)
    vectors = torch.from_numpy(code.encode(frames.poses)).float()
    network = torch.nn.ModuleDict({"head": make_head("posenet", source.inputs, code.size)})
    walks = Walks(frames.sequences, frames.indices, recipe.steps, recipe.skip)
    lesson = AbsoluteLesson(source, walks, vectors, code, recipe, network, 0, {})
    return lambda: train_steps(lesson, TrainingOptions())


def seconds(run: Callable[[], object]) -> float:
    """That it takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
