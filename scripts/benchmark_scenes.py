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
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from irploc.encoders import EncoderOptions, create_encoder
from irploc.errors import BadInput, IrplocError, NotFound
from irploc.estimators.build import Place, check_specs, learned_of
from irploc.estimators.mlp import with_calibration
from irploc.evaluation import evaluate_place
from irploc.evaluation.published import PUBLISHED
from irploc.progress import Silent
from irploc.report.benchmark import Cell, SceneResult, write_benchmark
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.index import PlaceIndex, build_index, load_index, save_index
from irploc.retrieval.plan import EmbedOptions
from irploc.retrieval.store import EmbeddingStore
from irploc.scene import Scene
from irploc.training.checkpoint import checkpoint_path
from irploc.training.dataset import TrainingSet
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
        return re.sub(r"[^\w]+", "-", f"{self.dataset or 'own'}-{self.column}".lower()).strip("-")


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


SETTINGS: dict[str, type] = {
    "encoder": str,
    "augmentations": int,
    "max_side": int,
    "recipe": str,
    "seeds": list,
    "methods": list,
    "epochs": int,
}


def read_plan(path: Path) -> Plan:
    """The list in a TOML file.

    Raises:
        NotFound, BadInput: naming what is wrong.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotFound(f"cannot read the list of scenes {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not valid TOML: {error}") from None
    scenes = content.pop("scenes", None)
    if not isinstance(scenes, list) or not scenes or not all(isinstance(item, dict) for item in scenes):
        raise BadInput(f"{path} has no [[scenes]]")
    _check_keys(content, SETTINGS, str(path))
    for name, kind in (("seeds", int), ("methods", str)):
        if name in content and (not content[name] or not all(isinstance(item, kind) for item in content[name])):
            raise BadInput(f"{path}: {name} is {content[name]!r}, expected a list of {kind.__name__}")
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
    entries = tuple(_entry(item, path, f"{path}: scene {number}") for number, item in enumerate(scenes, start=1))
    plan = Plan(entries, **settings)
    check_specs(list(plan.methods))
    recipe(plan.recipe, "indoor", epochs=plan.epochs)
    if len({entry.slug for entry in entries}) < len(entries):
        raise BadInput(f"{path} has two scenes with the same dataset and column")
    return plan


def _entry(item: dict[str, object], path: Path, where: str) -> Entry:
    _check_keys(item, {"scene": str, "dataset": str, "column": str}, where)
    if "scene" not in item:
        raise BadInput(f'{where} has no scene = "FOLDER"')
    folder = path.parent / str(item["scene"])
    column, dataset = str(item.get("column", folder.name)), item.get("dataset")
    if dataset is None:
        return Entry(folder, column, None)
    if dataset not in PUBLISHED:
        raise BadInput(f"{where}: unknown dataset {dataset!r}, choose one of {', '.join(PUBLISHED)}, or leave it out")
    if column not in PUBLISHED[str(dataset)].scenes:
        raise BadInput(f"{where}: {dataset} has no column {column!r}, it has {', '.join(PUBLISHED[str(dataset)].scenes)}")
    return Entry(folder, column, str(dataset))


def _check_keys(content: dict[str, object], kinds: dict[str, type], where: str) -> None:
    for key, value in content.items():
        if key not in kinds:
            raise BadInput(f"{where} has the unknown key {key!r}; it takes {', '.join(kinds)}")
        if not isinstance(value, kinds[key]) or isinstance(value, bool):
            raise BadInput(f"{where}: {key} is {value!r}, expected {kinds[key].__name__}")


def absent(entry: Entry) -> str:
    """Why a scene cannot be run; empty if it can."""
    if not (entry.scene / "scene.toml").is_file():
        return f"no scene at {entry.scene}: make it with 'irploc scene import'"
    scene = Scene.load(entry.scene)
    missing = sum(not path.is_file() for path in scene.frames.images)
    return f"{missing} of {len(scene.frames)} photos of {entry.scene} are missing" if missing else ""


def trained(data: TrainingSet, index: PlaceIndex, model: str, plan: Plan, seed: int, path: Path) -> None:
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
    regressor = PoseRegressor(model, result.heads, wanted, seed, data.identity, asdict(result.record))
    save_model(with_calibration(regressor, data, index, options), path)
    checkpoint_path(path).unlink(missing_ok=True)


def indexed(slug: str, store: EmbeddingStore, out: Path) -> PlaceIndex:
    """The index that is there, or a new one with what methods learn from it."""
    path = out / "indexes" / f"{slug}.faiss"
    try:
        return load_index(path, store)
    except IrplocError:
        index = build_index(store)
    index = replace(index, learned=learned_of(Place(slug, store, index, Workspace(out)), Silent()))
    save_index(index, store.header, path)
    return index


def run_scene(entry: Entry, plan: Plan, out: Path) -> SceneResult:
    """Everything for one scene."""
    scene = Scene.load(entry.scene)
    store_path = out / "embeddings" / f"{entry.slug}.h5"
    encoder = create_encoder(plan.encoder, EncoderOptions())
    options = EmbedOptions(augmentations=plan.augmentations, max_side=plan.max_side)
    embed_scene(scene, entry.scene, store_path, encoder, options, quiet=not sys.stderr.isatty())
    cells: dict[str, list[Cell]] = {method: [] for method in plan.methods}
    with EmbeddingStore.open(store_path) as store:
        index = indexed(entry.slug, store, out)
        data = TrainingSet.from_store(store)
        needed = [model for model in MODELS if model in plan.methods or "fused" in plan.methods]
        for seed in plan.seeds:
            workspace = Workspace(out / f"seed-{seed}")
            for model in needed:
                trained(data, index, model, plan, seed, workspace.model(entry.slug, model))
            evaluation = evaluate_place(Place(entry.slug, store, index, workspace), plan.methods)
            for method, result in evaluation.results.items():
                cells[method].append((result.scores.median_position_m, result.scores.median_rotation_deg))
        facts = {
            "encoder": store.header.encoder,
            "ground truth": store.header.ground_truth,
            "photos": f"{len(data)} mapping, {len(evaluation.queries)} test",
        }
    medians = {name: tuple(values) for name, values in cells.items()}
    return SceneResult(entry.column, entry.dataset, entry.slug, medians, facts)


def run(plan: Plan, out: Path) -> bool:
    """Runs what is there and writes the tables after every scene; gives whether one of those failed.

    Raises:
        NotFound: when nothing could be run.
    """
    settings = f"recipe {plan.recipe}, seeds {', '.join(map(str, plan.seeds))}"
    results: list[SceneResult] = []
    reasons = {entry.slug: absent(entry) for entry in plan.entries}
    failed = False
    for entry in plan.entries:
        if not reasons[entry.slug]:
            try:
                results.append(run_scene(entry, plan, out))
            except IrplocError as error:
                reasons[entry.slug], failed = str(error), True
        print(f"{entry.column}: {reasons[entry.slug] or results[-1].summary()}", flush=True)
        if results:
            done = {result.slug for result in results}
            left = [other for other in plan.entries if other.slug not in done]
            write_benchmark(results, {o.column: reasons[o.slug] or "not reached yet" for o in left}, settings, out)
    if not results:
        raise NotFound(f"none of the {len(plan.entries)} scenes could be run")
    return failed


def main(arguments: list[str] | None = None) -> None:
    """Runs the list and writes the tables after every scene."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path, help="TOML file")
    parser.add_argument("--out", type=Path, default=Path("benchmark"))
    options = parser.parse_args(arguments)
    try:
        failed = run(read_plan(options.scenes), options.out)
    except KeyboardInterrupt:
        raise SystemExit("interrupted; run the same command again to go on") from None
    except IrplocError as error:
        raise SystemExit(f"Error: {error}") from None
    print(f"wrote {options.out}/benchmark.md, .csv and .html")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
