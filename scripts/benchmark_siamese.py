"""The tables and figures of the Siamese paper, on one scene's photos or on a list of scenes.

    python scripts/benchmark_siamese.py scenes/kitchen --encoder onnx:PATH --max-side 320 --out siamese-benchmark
    python scripts/benchmark_siamese.py scenes.toml --out siamese-benchmark

With a scene: its photos are split by their index into 3 to 1, 2 to 1, 1 to 1, 1 to 2 and 1 to 3 mapping to test photos
(Table 3), and as the scene itself is split. With a list (as of benchmark_scenes.py): every scene as it is split (Table 2).
Each split is trained with and without CIPS and compared with the other methods. Writes siamese.md, siamese.csv and
siamese.html with the published rows beside ours. Interrupt it at any time and run it again: what is embedded and trained is
kept.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from benchmark_scenes import Entry, Plan, absent, indexed, read_plan, trained

from irploc.encoders import EncoderOptions, create_encoder
from irploc.errors import IrplocError, NotFound
from irploc.estimators.build import Place, build_estimator, fitting_spec
from irploc.estimators.siamese import Siamese, SiameseInference, SiameseOptions
from irploc.estimators.siamese_calibration import calibrated_model
from irploc.geometry.poses import Poses, pose_errors
from irploc.images import decode_image, to_array
from irploc.pairs import select_pairs, window_and_angle
from irploc.report.siamese import Measured, Run, Timing, write_siamese_benchmark
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.retrieval.store import EmbeddingStore
from irploc.scene import Scene
from irploc.training.checkpoint import checkpoint_path
from irploc.training.dataset import TrainingSet
from irploc.training.loop import TrainingOptions
from irploc.training.recipes import MODELS
from irploc.training.siamese.lesson import CorrelatedPairs, train_on_embeddings
from irploc.training.siamese.model import load_siamese, save_siamese
from irploc.training.siamese.recipes import SiameseRecipe, siamese_recipe
from irploc.workspace import Workspace

OWN = "own"
RATIOS = {  # is a photo with this index a test photo?
    "3:1": lambda index: index % 4 == 3,
    "2:1": lambda index: index % 3 == 2,
    "1:1": lambda index: index % 2 == 1,
    "1:2": lambda index: index % 3 != 0,
    "1:3": lambda index: index % 4 != 0,
}
ABSOLUTE, ITERATIVE, ONE_SHOT = "siamese:max_iterations=0", "siamese:one_shot=false", "siamese"
BY_EMBEDDING = "siamese:one_shot=false:lookup=embedding"
OTHERS = ("nearest", "bdi:k=3", "bdi", "robust", "irpnet", "fused")
MOST_ITERATIONS = 5
ROUNDS = 20


@dataclass(frozen=True)
class Settings:
    """What is the same for all splits."""

    plan: Plan
    splits: tuple[str, ...]
    seed: int
    steps: int | None
    tests: bool
    others: tuple[str, ...]
    out: Path

    @property
    def recipe(self) -> SiameseRecipe:
        """Of the Siamese network."""
        return siamese_recipe("fast", minimum_steps=self.steps, epochs=1 if self.steps else None)


def split_scene(scene: Scene, split: str) -> Scene:
    """The same photos, mapped and tested as the split says."""
    if split == OWN:
        return scene
    tests = RATIOS[split](scene.frames.indices)
    return scene.with_splits(np.where(tests, "test", "train").astype(object))


def embed_all(entry: Entry, scene: Scene, settings: Settings) -> Path:
    """Embeddings of all photos, jittered too, so that any of them can be mapped; once for all splits."""
    everything = scene if settings.splits == (OWN,) else scene.with_splits(np.full(len(scene.frames), "train", dtype=object))
    path = settings.out / "embeddings" / f"{entry.slug}.h5"
    folder = settings.out / "scenes" / entry.slug
    everything.save(folder)
    _embed(everything, folder, path, settings.plan)
    return path


def _embed(scene: Scene, folder: Path, path: Path, plan: Plan) -> None:
    options = EmbedOptions(augmentations=plan.augmentations, max_side=plan.max_side)
    embed_scene(scene, folder, path, create_encoder(plan.encoder, EncoderOptions()), options, quiet=not sys.stderr.isatty())


def prepare(entry: Entry, scene: Scene, split: str, embedded: Path, settings: Settings) -> tuple[Workspace, Scene]:
    """A workspace with the photos split in one way; what is embedded is not embedded again."""
    workspace = Workspace(settings.out / entry.slug / split.replace(":", "-to-"))
    path, folder = workspace.embeddings(entry.slug), workspace.root / "scenes" / entry.slug
    chosen = split_scene(scene, split)
    chosen.save(folder)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(embedded, path)
    _embed(chosen, folder, path, settings.plan)
    return workspace, chosen


def correlated(scene: Scene, store: EmbeddingStore, settings: Settings) -> CorrelatedPairs:
    """By all tests there are data for; by window and angle alone where that is wanted."""
    names = scene.frames.of_split("train").names
    if settings.tests:
        matrix = select_pairs(scene, store=store)
    else:
        matrix = window_and_angle(scene.frames.of_split("train"), cameras=scene.cameras, scene=scene.name)
    return CorrelatedPairs(matrix.accepted_among(names), float(matrix.settings["largest_angle_deg"]), "benchmark")


def train_siamese(place: Place, pairs: CorrelatedPairs, cips: bool, settings: Settings) -> Path:
    """The model file; what is trained with the same settings is kept."""
    path = place.workspace.root / "models" / f"{place.name}{'' if cips else '-any-pairs'}.siamese.pt"
    recipe = replace(settings.recipe, cips=cips)
    data = TrainingSet.from_store(place.store)
    if path.is_file():
        try:
            found = load_siamese(path, data.identity)
            if found.recipe == recipe and found.seed == settings.seed and found.pairs["count"] == len(pairs.rows):
                return path
        except IrplocError:
            pass
    options = TrainingOptions(settings.seed, EncoderOptions().torch_device, checkpoint_path(path))
    model = train_on_embeddings(data, pairs, recipe, options)
    if cips:
        model = calibrated_model(model, data, place.index, pairs, options)
    save_siamese(model, path)
    checkpoint_path(path).unlink(missing_ok=True)
    return path


def run_split(entry: Entry, scene: Scene, split: str, embedded: Path, settings: Settings) -> Run:
    """One split, measured."""
    workspace, chosen = prepare(entry, scene, split, embedded, settings)
    with EmbeddingStore.open(workspace.embeddings(entry.slug)) as store:
        place = Place(entry.slug, store, indexed(entry.slug, store, workspace.root), workspace)
        data = TrainingSet.from_store(store)
        for model in MODELS if {"irpnet", "mlp", "fused"} & set(settings.others) else ():
            trained(data, place.index, model, settings.plan, settings.seed, workspace.model(entry.slug, model))
        pairs = correlated(chosen, store, settings)
        models = {cips: train_siamese(place, pairs, cips, settings) for cips in (True, False)}
        tests = np.flatnonzero(store.frames.splits == "test")
        if not len(tests):
            raise NotFound(f"{entry.column} has no test photos in the split {split}")
        queries, vectors = store.frames[tests], store.vectors(tests)
        measured = {
            spec: _estimated(spec, place, vectors)
            for spec in (*settings.others, ABSOLUTE, ITERATIVE, BY_EMBEDDING, ONE_SHOT)
        }
        errors = {spec: Measured(*pose_errors(poses, queries.poses)) for spec, poses in measured.items()}
        return Run(
            column=entry.column,
            split=split,
            mapping=place.index.frames,
            queries=queries,
            errors=errors,
            estimated=measured,
            iterations=[_iterated(models[True], place, vectors, queries.poses, most) for most in range(MOST_ITERATIONS + 1)],
            cips={cips: _with_and_without(path, place, vectors, queries.poses) for cips, path in models.items()},
            pairs=len(pairs.rows),
        )


def _estimated(spec: str, place: Place, vectors: np.ndarray) -> Poses:
    """Answers without refusals, so that methods are compared on the same photos."""
    from irploc.estimators.base import Query
    from irploc.estimators.calibrated import Calibrated

    estimator = build_estimator(spec if ":" in spec else fitting_spec(spec, place), place)
    estimator = estimator.estimator if isinstance(estimator, Calibrated) else estimator
    return estimator.estimate(Query(vectors)).poses


def _iterated(path: Path, place: Place, vectors: np.ndarray, true: Poses, most: int) -> tuple[Measured, np.ndarray]:
    """Errors with at most so many iterations, and how many each photo took."""
    options = SiameseOptions(max_iterations=most)
    answer = Siamese(load_siamese(path), place.index, options).answer(vectors)
    return Measured(*pose_errors(answer.poses, true)), answer.iterations


def _with_and_without(path: Path, place: Place, vectors: np.ndarray, true: Poses) -> dict[str, Measured]:
    """Iterative errors on the test photos, and those of the relative poses between each mapping photo and the most similar
    other one; the paper's Figure 9 is of mapping photos, which would find themselves here."""
    model, poses = load_siamese(path), place.index.frames.poses
    iterative = Siamese(model, place.index, SiameseOptions(one_shot=False))
    inference = SiameseInference(model, place.index.vectors, poses)
    other = place.index.search(place.index.vectors, 2)[0][:, 1:]
    mapped = inference.one_shot(inference.features(place.index.vectors), other)
    return {
        "test": Measured(*pose_errors(iterative.answer(vectors).poses, true)),
        "mapping": Measured(*pose_errors(mapped.poses, poses)),
    }


def timing(entry: Entry, scene: Scene, settings: Settings) -> Timing:
    """Milliseconds for one photo: the encoder alone, and with each form of inference after it; medians, in turns."""
    split = settings.splits[0]
    workspace = Workspace(settings.out / entry.slug / split.replace(":", "-to-"))
    encoder = create_encoder(settings.plan.encoder, EncoderOptions())
    with EmbeddingStore.open(workspace.embeddings(entry.slug)) as store:
        if encoder.needs_fitting:
            encoder.load_state(store.encoder_state())
        place = Place(entry.slug, store, indexed(entry.slug, store, workspace.root), workspace)
        model = load_siamese(workspace.model(entry.slug, "siamese"))
        forms = {
            "absolute": Siamese(model, place.index, SiameseOptions(max_iterations=0)),
            "iterative": Siamese(model, place.index, SiameseOptions(one_shot=False)),
            "one shot": Siamese(model, place.index, SiameseOptions()),
        }
        import torch

        pixels = torch.from_numpy(to_array(decode_image(scene.frames.images[0], settings.plan.max_side)))[None]
        seconds: dict[str, list[float]] = {name: [] for name in ("encoder", *forms)}
        for _ in range(ROUNDS + 2):
            started = time.perf_counter()
            vector = encoder.encode(pixels).numpy()
            encoding = time.perf_counter() - started
            seconds["encoder"].append(encoding)
            for name, form in forms.items():
                started = time.perf_counter()
                form.answer(vector)
                seconds[name].append(encoding + time.perf_counter() - started)
    return Timing({name: 1e3 * float(np.median(values[2:])) for name, values in seconds.items()})


def run(settings: Settings) -> None:
    """All splits of all scenes; the tables are written after each.

    Raises:
        NotFound: when nothing could be run.
    """
    runs: list[Run] = []
    plan = settings.plan
    missing = {entry.column: reason for entry in plan.entries if (reason := absent(entry))}
    speed: Timing | None = None
    facts = f"encoder {plan.encoder.partition(':')[0]}, {plan.augmentations} jittered versions, seed {settings.seed}"
    for entry in plan.entries:
        if entry.column in missing:
            continue
        scene = Scene.load(entry.scene)
        embedded = embed_all(entry, scene, settings)
        for split in settings.splits:
            runs.append(run_split(entry, scene, split, embedded, settings))
            speed = speed or timing(entry, scene, settings)
            print(runs[-1].summary(), flush=True)
            write_siamese_benchmark(runs, speed, missing, f"{facts}; ground truth {scene.ground_truth}", settings.out)
    if not runs:
        raise NotFound("none of the scenes could be run: " + "; ".join(missing.values()))


def main(arguments: list[str] | None = None) -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path, help="a scene's folder, or a list of scenes (TOML)")
    parser.add_argument("--encoder", default="densevlad")
    parser.add_argument("--max-side", type=int)
    parser.add_argument("--augmentations", type=int, default=10)
    parser.add_argument("--splits", default=f"{','.join(RATIOS)},{OWN}", help="of a scene; a list has its own ones")
    parser.add_argument("--others", default=",".join(OTHERS), help="methods to compare with")
    parser.add_argument("--steps", type=int, help="of the training; the default is the recipe's")
    parser.add_argument("--epochs", type=int, help="of irpnet and mlp; the default is their recipe's")
    parser.add_argument("--no-tests", action="store_true", help="pairs by window and angle alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("siamese-benchmark"))
    given = parser.parse_args(arguments)
    try:
        if given.scene.suffix == ".toml":
            plan, splits = read_plan(given.scene), (OWN,)
        else:
            entry = Entry(given.scene, given.scene.name, None)
            plan = Plan((entry,), given.encoder, given.augmentations, given.max_side, epochs=given.epochs)
            splits = tuple(given.splits.split(","))
        unknown = [split for split in splits if split not in (*RATIOS, OWN)]
        if unknown:
            raise SystemExit(f"Error: unknown split {unknown[0]!r}, choose of {', '.join((*RATIOS, OWN))}")
        run(Settings(plan, splits, given.seed, given.steps, not given.no_tests, tuple(given.others.split(",")), given.out))
    except KeyboardInterrupt:
        raise SystemExit("interrupted; run the same command again to go on") from None
    except IrplocError as error:
        raise SystemExit(f"Error: {error}") from None
    print(f"wrote {given.out}/siamese.md, .csv and .html")


if __name__ == "__main__":
    main()
