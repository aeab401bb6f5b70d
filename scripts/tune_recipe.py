"""Compares variants of a training recipe on mapping photos alone: blocks of them are held out in turn.

Test photos are never read. The photos are cut, in the order they were taken, into ``--blocks`` blocks, and fold f holds out
every ``--folds``-th of them, from the f-th on. Every variant is trained once per file, fold and seed on the photos outside
the fold and scored on those inside; a file's score is the median error over all its held-out photos, mean over seeds. The
last column is the geometric mean, over files, of position and rotation errors as a share of the first row's:

    python scripts/tune_recipe.py embeddings/kitchen.h5 embeddings/room.h5 --blocks 20 --folds 4 --seeds 2 \
        --try "" --try orientation_teacher=1 --try ridge=0.03,noise=0.2

``--try`` takes fields of ``irploc.training.recipes.Recipe`` (``""`` is the recipe as it is), ``recipe=NAME``, ``model=mlp``;
with ``model=posenet`` or ``model=mapnet`` fields of ``irploc.training.absolute.recipes.AbsoluteRecipe``. Results are kept in
``--out`` and not computed twice.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from irploc.errors import BadInput, IrplocError
from irploc.geometry.poses import pose_errors
from irploc.retrieval.store import EmbeddingStore
from irploc.training.absolute.recipes import METHODS as ABSOLUTE
from irploc.training.absolute.recipes import AbsoluteRecipe, absolute_recipe
from irploc.training.absolute.train import train_on_embeddings
from irploc.training.dataset import Monitor, TrainingSet
from irploc.training.loop import TrainingOptions, train
from irploc.training.modelfile import PoseRegressor
from irploc.training.recipes import Recipe, place_of, recipe


@dataclasses.dataclass(frozen=True)
class Folds:
    """How photos are held out."""

    blocks: int
    count: int

    def rows(self, data: TrainingSet, fold: int) -> np.ndarray:
        """Row numbers of the photos that one fold holds out."""
        order = np.lexsort((data.indices, data.sequences))
        return np.concatenate(np.array_split(order, self.blocks)[fold :: self.count])


def without(data: TrainingSet, held_out: np.ndarray) -> TrainingSet:
    """The photos outside ``held_out``, which become the monitor."""
    kept = np.setdiff1d(np.arange(len(data)), held_out)
    return TrainingSet(
        embeddings=data.embeddings[kept],
        poses=data.poses[kept],
        sequences=data.sequences[kept],
        indices=data.indices[kept],
        monitor=Monitor("validation", data.embeddings[held_out, 0].astype(np.float32), data.poses[held_out]),
    )


def variant(text: str, place: str) -> tuple[str, Recipe | AbsoluteRecipe]:
    """The model and recipe that ``--try`` asks for."""
    changes = dict(item.split("=", 1) for item in text.split(",") if item)
    model, name = changes.pop("model", "irpnet"), changes.pop("recipe", "fast")
    base = absolute_recipe(model, name) if model in ABSOLUTE else recipe(name, place)
    if unknown := sorted(set(changes) - {field.name for field in dataclasses.fields(base)}):
        raise BadInput(f"--try {text}: a recipe has no field {unknown[0]!r}")
    kinds = {field.name: type(getattr(base, field.name)) for field in dataclasses.fields(base)}
    values = {key: value == "True" if kinds[key] is bool else kinds[key](value) for key, value in changes.items()}
    return model, absolute_recipe(model, name, **values) if model in ABSOLUTE else dataclasses.replace(base, **values)


def errors_of(data: TrainingSet, text: str, held_out: np.ndarray, seed: int) -> dict[str, list[float]]:
    """Position and rotation errors of every photo that is held out."""
    split = without(data, held_out)
    assert split.monitor is not None
    model, chosen = variant(text, place_of(data.poses.centers_m))
    if isinstance(chosen, AbsoluteRecipe):
        poses = train_on_embeddings(split, model, chosen, TrainingOptions(seed)).poses(split.monitor.embeddings)
    else:
        trained = train(split, model, chosen, TrainingOptions(seed))
        regressor = PoseRegressor(model, trained.heads, chosen, seed, {"dimension": data.dimension}, {})
        poses = regressor.poses(split.monitor.embeddings)
    position_m, rotation_deg = pose_errors(poses, split.monitor.poses)
    return {"position_m": position_m.tolist(), "rotation_deg": rotation_deg.tolist()}


def cached(cache: Path, key: list[object], compute: Callable[[], dict[str, list[float]]]) -> dict[str, list[float]]:
    """What ``compute`` gives, read from ``cache`` (a line of JSON per result) where it was computed before."""
    if cache.is_file():
        for line in cache.read_text().splitlines():
            record = json.loads(line)
            if record["key"] == key:
                return record["errors"]
    errors = compute()
    with cache.open("a") as file:
        file.write(json.dumps({"key": key, "errors": errors}) + "\n")
    return errors


def medians(data: TrainingSet, stem: str, text: str, options: argparse.Namespace) -> np.ndarray:
    """Median position and rotation error over all held-out photos of one file, mean over seeds."""
    folds = Folds(options.blocks, options.folds)
    what = [stem, data.fingerprint[:16], repr(variant(text, place_of(data.poses.centers_m))), repr(folds)]
    per_seed = []
    for seed in range(options.seeds):
        parts = []
        for fold in range(options.folds):
            work = partial(errors_of, data, text, folds.rows(data, fold), seed)
            parts.append(cached(options.out, [*what, fold, seed], work))
        kinds = ("position_m", "rotation_deg")
        per_seed.append([float(np.median(np.concatenate([part[kind] for part in parts]))) for kind in kinds])
    return np.mean(per_seed, axis=0)


def main() -> None:
    """Prints a table in Markdown, a row per variant as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("embeddings", nargs="+", type=Path)
    parser.add_argument("--try", dest="tries", action="append", help="field=value,… of the recipe; may be repeated")
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("tune_recipe.jsonl"))
    options = parser.parse_args()
    sets = {}
    for path in options.embeddings:
        with EmbeddingStore.open(path) as store:
            sets[path.stem] = TrainingSet.from_store(store)
    print("| recipe | " + " | ".join(sets) + " | relative |\n|---|" + "---|" * (len(sets) + 1), flush=True)
    first = None
    for text in options.tries or [""]:
        rows = np.stack([medians(data, stem, text, options) for stem, data in sets.items()])
        first = rows if first is None else first
        relative = math.exp(float(np.log(rows / first).mean()))
        cells = " | ".join(f"{position:.3f} m {rotation:.2f}°" for position, rotation in rows)
        print(f"| {text or 'as it is'} | {cells} | {relative:.3f} |", flush=True)


if __name__ == "__main__":
    try:
        main()
    except IrplocError as error:
        raise SystemExit(f"Error: {error}") from None
