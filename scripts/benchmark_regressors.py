"""PoseNet and MapNet as in the report's Tables II to V, on the splits of a scene, and what a pose graph makes of them.

    python scripts/benchmark_regressors.py kitchen kitchen3 --seeds 3
    python scripts/benchmark_regressors.py kitchen --graph --sfm 5

Each name is a scene of the workspace (``IRPLOC_WORKSPACE``) with embeddings, for example one split into blocks and one by
number modulo 3, as the report splits. Heads are trained here, on the embeddings and on every backbone of the report whose
ImageNet weights are on this machine (``irploc weights list``); for the others the table says that they are not. Errors are
medians over test photos, then the median over seeds. The report's own figures are of another place, in units of its own:
only their order can be compared. ``--graph`` smooths the answers of the models that ``irploc train`` left in the workspace,
see ``bench_trajectory.py``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from bench_trajectory import measure, measure_sfm

from irploc.encoders.backbones import BACKBONES
from irploc.encoders.weights import CATALOGUE
from irploc.errors import Diverged
from irploc.estimators.build import Place, open_place
from irploc.estimators.parameters import parameters_of_methods
from irploc.evaluation import score_poses
from irploc.geometry.posegraph import PoseGraphOptions
from irploc.retrieval.store import EmbeddingStore
from irploc.scene import Scene
from irploc.training.absolute.model import AbsoluteModel
from irploc.training.absolute.recipes import METHODS, AbsoluteRecipe, absolute_recipe
from irploc.training.absolute.train import train_on_embeddings, train_on_photos
from irploc.training.backbone import ImageOptions
from irploc.training.backbone_file import backbone_from_plain, features_of_photos
from irploc.training.dataset import TrainingSet
from irploc.training.loop import TrainingOptions
from irploc.workspace import Workspace

# Tables II and IV: position and rotation error in the report's units, its total and trainable parameters
REPORT = {
    "posenet": {
        "googlenet": ("0.781 0.119", "~7,000,000 3,591"),
        "resnet18": ("0.635 0.288", "11,180,103 3,591"),
        "resnet34": ("0.632 0.223", "21,288,263 3,591"),
        "resnet50": ("0.707 0.191", "23,522,375 14,343"),
        "resnet152": ("0.594 0.139", "58,158,151 14,343"),
        "efficientnet-b7": ("0.817 0.132", "63,804,887 17,927"),
    },
    "mapnet": {
        "googlenet": ("0.225 0.0876", "~7,000,000 3,677,191"),
        "resnet18": ("0.202 0.0658", "14,853,703 3,677,191"),
        "resnet34": ("0.187 0.0757", "24,961,863 3,677,191"),
        "resnet50": ("0.220 0.0969", "30,330,951 6,822,919"),
        "resnet152": ("0.233 0.0869", "64,966,727 3,677,191"),
        "efficientnet-b7": ("0.210 0.0848", "71,658,455 7,871,495"),
    },
}
# Tables III and V: (method, what is changed of the recipe, the report's errors)
LOSSES = (
    ("posenet", {"loss": "smooth-l1"}, "0.594 0.139"),
    ("posenet", {"loss": "l1"}, "0.906 0.226"),
    ("posenet", {"loss": "mse"}, "NaN NaN"),
    ("posenet", {"loss": "mse", "alpha": 10.0}, "NaN NaN"),
    ("mapnet", {"loss": "l1"}, "0.227 0.042"),
    ("mapnet", {"loss": "smooth-l1"}, "0.187 0.076"),
    ("mapnet", {"loss": "rmse"}, "0.187 0.038"),
)


@dataclass(frozen=True)
class Split:
    """One scene: its embeddings, photos, and the test photos."""

    name: str
    scene: Scene
    store: EmbeddingStore
    data: TrainingSet

    def errors(self, model: AbsoluteModel, photos: bool) -> np.ndarray:
        """(2,) medians in metres and degrees over the test photos."""
        frames = self.store.frames
        rows = frames.splits == "test"
        if photos:
            backbone = backbone_from_plain(model.backbone, str(model.identity["weights_sha256"]), self.store.path, "")
            vectors = features_of_photos(backbone, frames[rows].images, model.recipe.side, model.recipe.crop)
        else:
            vectors = self.store.vectors(rows)
        scores = score_poses(model.poses(vectors), frames.poses[rows])
        return np.array([scores.median_position_m, scores.median_rotation_deg])


def main() -> None:
    """Trains, prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--graph", action="store_true", help="only smooth the answers of trained models, over test walks")
    parser.add_argument("--sfm", type=int, default=0, metavar="WALKS", help="also by structure from motion on test walks")
    parser.add_argument("--methods", default=",".join(METHODS), help="of --graph")
    options = parser.parse_args()
    home = Workspace.locate()
    if options.graph:
        for name in options.scenes:
            smooth(open_place(home, name), options.methods.split(","), options.seeds, options.sfm)
        return
    splits = []
    for name in options.scenes:
        store = EmbeddingStore.open(home.embeddings_of(name))
        splits.append(Split(name, home.load_scene(name), store, TrainingSet.from_store(store)))
    backbones(splits, options.seeds)
    losses(splits, options.seeds)


def smooth(place: Place, methods: list[str], seeds: int, walks: int) -> None:
    """Pose graphs over the test walks of a scene, with noisy odometry and with one from its photos alone."""
    with place.store:
        measure(place, methods, seeds, PoseGraphOptions())
        if walks:
            measure_sfm(place, methods, walks, PoseGraphOptions())


def backbones(splits: list[Split], seeds: int) -> None:
    """Tables II and IV."""
    titles = [part for split in splits for part in (f"{split.name}, fast", f"{split.name}, report")]
    print(f"| method | features | {' | '.join(titles)} | report | parameters, trained | as printed |")
    print("|---" * (5 + len(titles)) + "|")
    for method in METHODS:
        recipes = [(split, absolute_recipe(method, name)) for split in splits for name in ("fast", "report")]
        encoder = str(splits[0].data.identity["encoder"]).rpartition("/")[2]
        cells = [over_seeds(partial(on_embeddings, split, method, recipe), seeds) for split, recipe in recipes]
        print(f"| `{method}` | {encoder} | {' | '.join(cells)} | | | |", flush=True)
        for name, (errors, printed) in REPORT[method].items():
            cells = ["weights not here"] * len(titles)
            if CATALOGUE.get(BACKBONES[name].name).path.is_file():
                cells = [over_seeds(partial(on_photos, split, method, recipe, name), seeds) for split, recipe in recipes]
            counts = parameters_of_methods(name)[method]
            ours = f"{counts.total:,} {counts.trainable:,}"
            print(f"| `{method}` | {name} | {' | '.join(cells)} | {errors} | {ours} | {printed} |", flush=True)


def losses(splits: list[Split], seeds: int) -> None:
    """Tables III and V, with the report's plain recipe."""
    print(f"\n| method | loss | {' | '.join(split.name for split in splits)} | report |")
    print("|---" * (3 + len(splits)) + "|")
    for method, changes, printed in LOSSES:
        recipe = absolute_recipe(method, "report", **changes)
        cells = [over_seeds(partial(on_embeddings, split, method, recipe), seeds) for split in splits]
        words = " ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in changes.values())
        print(f"| `{method}` | {words} | {' | '.join(cells)} | {printed} |", flush=True)


def over_seeds(train: Callable[[int], np.ndarray], seeds: int) -> str:
    """The median error over trainings, in words, and the seconds of one."""
    started = time.perf_counter()
    try:
        found = np.median([train(seed) for seed in range(seeds)], axis=0)
    except Diverged:
        return "diverged"
    return f"{found[0]:.3f} m {found[1]:.2f}° ({(time.perf_counter() - started) / seeds:.0f} s)"


def on_embeddings(split: Split, method: str, recipe: AbsoluteRecipe, seed: int) -> np.ndarray:
    """Errors of a head on the stored embeddings."""
    return split.errors(train_on_embeddings(split.data, method, recipe, TrainingOptions(seed)), photos=False)


def on_photos(split: Split, method: str, recipe: AbsoluteRecipe, backbone: str, seed: int) -> np.ndarray:
    """Errors of a head on a frozen backbone with ImageNet weights."""
    model = train_on_photos(split.scene, method, recipe, ImageOptions(backbone, frozen=True), TrainingOptions(seed))
    return split.errors(model, photos=True)


if __name__ == "__main__":
    main()
