"""The tables of the IRPNet paper with our rows in them: embed, index, train and evaluate every scene of a list.

    python scripts/benchmark_scenes.py scenes.toml --out benchmark

The list is a TOML file; scenes are what `irploc scene import` made. Everything but ``[[scenes]]`` has a default:

    encoder = "netvlad-vgg16"       # as `irploc embed --encoder`
    augmentations = 10
    max_side = 320                  # left out: native resolution
    recipe = "fast"
    seeds = [0, 1, 2]
    methods = ["nearest", "bdi", "robust", "irpnet", "mlp", "fused"]

    [[scenes]]
    scene = "scenes/shop"           # relative to the list
    dataset = "cambridge"           # cambridge or 7scenes: published rows beside ours; left out: ours alone
    column = "Shop Facade"          # its name in the tables

Writes benchmark.md, benchmark.csv and benchmark.html after every scene. A scene that is not there, or whose photos are not,
is listed as absent. Interrupt it at any time and run it again: what is embedded and trained is kept.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from irploc.encoders import EncoderOptions, create_encoder
from irploc.errors import BadInput, IrplocError, NotFound
from irploc.estimators.build import Place
from irploc.evaluation import evaluate_place
from irploc.report.benchmark import Cell, SceneResult, write_benchmark
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.index import build_index, save_index
from irploc.retrieval.plan import EmbedOptions
from irploc.retrieval.store import EmbeddingStore
from irploc.scene import Scene
from irploc.training.checkpoint import checkpoint_path
from irploc.training.dataset import TrainingSet, identity_of
from irploc.training.loop import TrainingOptions, train
from irploc.training.modelfile import PoseRegressor, load_model, save_model
from irploc.training.recipes import MODELS, place_of, recipe
from irploc.workspace import Workspace


@dataclass(frozen=True)
class Entry:
    """One scene of the list."""

    scene: Path
    column: str
    dataset: str | None

    @property
    def slug(self) -> str:
        """For file names."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.dataset or 'own'}-{self.column}".lower()).strip("-")


@dataclass(frozen=True)
class Plan:
    """The list."""

    entries: tuple[Entry, ...]
    encoder: str = "netvlad-vgg16"
    augmentations: int = 10
    max_side: int | None = None
    recipe: str = "fast"
    seeds: tuple[int, ...] = (0, 1, 2)
    methods: tuple[str, ...] = ("nearest", "bdi", "robust", "irpnet", "mlp", "fused")
    epochs: int | None = None
    known: tuple[str, ...] = field(
        default=("encoder", "augmentations", "max_side", "recipe", "seeds", "methods", "epochs", "scenes"), repr=False
    )


def read_plan(path: Path) -> Plan:
    """The list in a TOML file.

    Raises:
        NotFound, BadInput: naming what is wrong.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"no list of scenes {path}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not valid TOML: {error}") from None
    if unknown := sorted(set(content) - set(Plan.known)):
        raise BadInput(f"{path} has the unknown key {unknown[0]!r}; it takes {', '.join(Plan.known)}")
    scenes = content.pop("scenes", [])
    if not scenes:
        raise BadInput(f"{path} has no [[scenes]]")
    entries = []
    for number, item in enumerate(scenes, start=1):
        if not isinstance(item.get("scene"), str):
            raise BadInput(f'{path}: scene {number} has no scene = "FOLDER"')
        folder = path.parent / item["scene"]
        entries.append(Entry(folder, item.get("column", folder.name), item.get("dataset")))
    repeated = [entry.slug for entry in entries]
    if len(set(repeated)) < len(repeated):
        raise BadInput(f"{path} has two scenes with the same dataset and column")
    return Plan(
        tuple(entries), **{key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
    )


def absent(entry: Entry) -> str:
    """Why a scene cannot be run; empty if it can."""
    if not (entry.scene / "scene.toml").is_file():
        return f"no scene at {entry.scene}: make it with 'irploc scene import'"
    scene = Scene.load(entry.scene)
    missing = sum(not path.is_file() for path in scene.frames.images)
    return f"{missing} of {len(scene.frames)} photos of {entry.scene} are missing" if missing else ""


def trained(data: TrainingSet, model: str, plan: Plan, seed: int, path: Path) -> None:
    """Trains a model unless the file holds the same training of the same data."""
    wanted = recipe(plan.recipe, place_of(data.poses.centers_m), epochs=plan.epochs)
    if path.is_file():
        try:
            found = load_model(path, data.identity, model)
        except IrplocError:
            found = None
        if found is not None and found.recipe == wanted and found.seed == seed:
            return
    options = TrainingOptions(seed, EncoderOptions().torch_device, checkpoint_path(path))
    result = train(data, model, wanted, options)
    save_model(PoseRegressor(model, result.networks, wanted, seed, data.identity, {"seconds": result.record.seconds}), path)
    checkpoint_path(path).unlink(missing_ok=True)


def run_scene(entry: Entry, plan: Plan, out: Path) -> SceneResult:
    """Everything for one scene."""
    scene = Scene.load(entry.scene)
    store_path = out / "embeddings" / f"{entry.slug}.h5"
    encoder = create_encoder(plan.encoder, EncoderOptions())
    options = EmbedOptions(augmentations=plan.augmentations, max_side=plan.max_side)
    embed_scene(scene, entry.scene, store_path, encoder, options, quiet=not sys.stderr.isatty())
    cells: dict[str, list[Cell]] = {method: [] for method in plan.methods}
    with EmbeddingStore.open(store_path) as store:
        index = build_index(store)
        save_index(index, store.header, out / "indexes" / f"{entry.slug}.faiss")
        data = TrainingSet.from_store(store)
        assert data.identity == identity_of(store)
        needed = [model for model in MODELS if model in plan.methods or "fused" in plan.methods]
        for seed in plan.seeds:
            workspace = Workspace(out / f"seed-{seed}")
            for model in needed:
                trained(data, model, plan, seed, workspace.model(entry.slug, model))
            evaluation = evaluate_place(Place(entry.slug, store, index, workspace), plan.methods)
            for method, result in evaluation.results.items():
                cells[method].append((result.scores.median_position_m, result.scores.median_rotation_deg))
        facts = {
            "encoder": store.header.encoder,
            "ground truth": store.header.ground_truth,
            "photos": f"{len(data)} mapping, {len(evaluation.queries)} test",
        }
    return SceneResult(entry.column, entry.dataset, {name: tuple(values) for name, values in cells.items()}, facts)


def main(arguments: list[str] | None = None) -> None:
    """Runs the list and writes the tables after every scene."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path, help="TOML file")
    parser.add_argument("--out", type=Path, default=Path("benchmark"))
    options = parser.parse_args(arguments)
    try:
        plan = read_plan(options.scenes)
        settings = f"recipe {plan.recipe}, seeds {', '.join(map(str, plan.seeds))}"
        results: list[SceneResult] = []
        missing = {entry.column: absent(entry) for entry in plan.entries}
        for entry in plan.entries:
            if missing[entry.column]:
                print(f"{entry.column}: {missing[entry.column]}", flush=True)
                continue
            results.append(run_scene(entry, plan, options.out))
            print(f"{entry.column}: {results[-1].summary()}", flush=True)
            write_benchmark(results, {name: why for name, why in missing.items() if why}, settings, options.out)
        if not results:
            raise NotFound(f"none of the {len(plan.entries)} scenes is there")
    except KeyboardInterrupt:
        raise SystemExit("interrupted; run the same command again to go on") from None
    except IrplocError as error:
        raise SystemExit(f"Error: {error}") from None
    print(f"wrote {options.out}/benchmark.md, .csv and .html")


if __name__ == "__main__":
    main()
