"""What a floor map is worth: position errors on rendered corridors, raw, corrected, trained with the penalty, and both.

    python scripts/bench_floormap.py --encoder onnx:../shared/weights/googlenet_bvlc_gem.onnx --out floormap

For every seed: another building (``irploc.synthetic.corridor``: one plan, other doors and pictures), rendered and embedded
once, and one training for every weight of the penalty, 0 among them. The weight is the one whose mean raw error over all
seeds is smallest on the validation walk; the test walk, which no choice sees, is scored afterwards. Errors are those of
positions. Correcting moves an estimate outside the walkable area to the nearest walkable point; it is timed on 10,000 poses
against a loop over the pixels, in the same run. What is there already is not made again (take another
``--out`` after changing the program); the picture is ``OUT/floormap.png``.

Source of the published row: report of the walkable correction, section V-C (its own building and network).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from irploc.encoders import create_encoder
from irploc.encoders.base import EncoderOptions
from irploc.errors import IrplocError
from irploc.estimators.base import Query
from irploc.estimators.build import Place, build_estimator
from irploc.floormap import FloorMap
from irploc.floormap.picture import draw_floor, draw_moved
from irploc.geometry.poses import Poses
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.index import build_index
from irploc.retrieval.plan import EmbedOptions
from irploc.retrieval.store import EmbeddingStore
from irploc.scene import Scene
from irploc.synthetic.corridor import FLOORMAP_FILE, TEST, VALIDATION, CorridorOptions, scene_of_corridor, write_corridor
from irploc.training.checkpoint import checkpoint_path
from irploc.training.dataset import TrainingSet
from irploc.training.floor import FloorTraining
from irploc.training.loop import TrainingOptions, train
from irploc.training.modelfile import PoseRegressor, load_model, save_model
from irploc.training.recipes import place_of, recipe
from irploc.workspace import Workspace

PUBLISHED = "| published: MapNet, another building | 1.53 | | 1.30 | | |"
EPOCHS = 800  # the recipe makes 400 steps; in so few the penalty changes little
CLOSED_FORMS = ("nearest", "bdi", "robust")  # what they give on the same photos, for comparison
TIMED_POSES, LOOPED_POSES = 10_000, 100


@dataclass(frozen=True)
class Settings:
    """What to run.

    Attributes:
        out: folder of everything.
        encoder: name.
        augmentations: jittered versions of a mapping photo.
        model: irpnet or mlp.
        seeds: of buildings and trainings.
        weights: of the penalty that are tried.
        photos: of the mapping, validation and test walks.
        size: of the photos, pixels.
        epochs: of a training.
    """

    out: Path
    encoder: str
    augmentations: int
    model: str
    seeds: tuple[int, ...]
    weights: tuple[float, ...]
    photos: tuple[int, int, int]
    size: tuple[int, int]
    epochs: int


@dataclass(frozen=True)
class Errors:
    """Of the positions of one walk, metres, before and after the correction.

    Attributes:
        mean, median, corrected_mean, corrected_median: metres.
        outside: share of estimates outside the walkable area.
    """

    mean: float
    median: float
    corrected_mean: float
    corrected_median: float
    outside: float

    @classmethod
    def of(cls, estimated: Poses, true: Poses, floor_map: FloorMap) -> Errors:
        """Scores; however far outside, every estimate is moved and counted."""
        moved = floor_map.move(estimated.centers_m)
        raw_m, corrected_m = (
            np.linalg.norm(centers - true.centers_m, axis=1) for centers in (estimated.centers_m, moved.centers_m)
        )
        values = (raw_m.mean(), np.median(raw_m), corrected_m.mean(), np.median(corrected_m), moved.outside.mean())
        return cls(*map(float, values))

    @classmethod
    def mean_of(cls, several: Sequence[Errors]) -> Errors:
        """The mean of each figure."""
        rows = [list(asdict(errors).values()) for errors in several]
        return cls(*np.mean(rows, axis=0).tolist())

    def cells(self) -> str:
        """The end of a row of Markdown."""
        metres = (self.mean, self.median, self.corrected_mean, self.corrected_median)
        return " | ".join([*(f"{value:.2f}" for value in metres), f"{100 * self.outside:.0f} %"]) + " |"


@dataclass(frozen=True)
class Corridors:
    """One building, ready for training.

    Attributes:
        seed: of it.
        floor_map: its walkable area.
        data: the mapping photos.
        queries: walk -> embeddings (N, D) and true poses of its photos.
        closed: closed form -> its estimates for the test walk.
    """

    seed: int
    floor_map: FloorMap
    data: TrainingSet
    queries: dict[str, tuple[np.ndarray, Poses]]
    closed: dict[str, Poses]


def prepared(settings: Settings, seed: int) -> Corridors:
    """Renders and embeds a building, unless that was done."""
    folder, options = settings.out / "scenes" / f"corridor{seed}", corridor_options(settings, seed)
    started = time.monotonic()
    if is_rendered(folder, options):
        scene = Scene.load(folder)
    else:
        scene = write_corridor(folder, options, quiet=not sys.stderr.isatty())
        print(f"corridor{seed}: {len(scene.frames)} photos rendered in {time.monotonic() - started:.0f} s", flush=True)
    path = settings.out / "embeddings" / f"corridor{seed}.h5"
    encoder = create_encoder(settings.encoder, EncoderOptions())
    embed_scene(scene, folder, path, encoder, EmbedOptions(augmentations=settings.augmentations), quiet=True)
    with EmbeddingStore.open(path) as store:
        queries = {}
        for walk in (VALIDATION, TEST):
            rows = np.flatnonzero(store.frames.splits == walk)
            queries[walk] = (store.vectors(rows), store.frames.poses[rows])
        known = Place(scene.name, store, build_index(store), Workspace(settings.out))
        asked = Query(queries[TEST][0])
        closed = {method: build_estimator(method, known).estimate(asked).poses for method in CLOSED_FORMS}
        return Corridors(seed, FloorMap.load(folder / FLOORMAP_FILE), TrainingSet.from_store(store), queries, closed)


def corridor_options(settings: Settings, seed: int) -> CorridorOptions:
    """What is rendered for a seed."""
    mapping, validation, test = settings.photos
    width, height = settings.size
    return CorridorOptions(width, height, mapping, validation, test, seed)


def is_rendered(folder: Path, options: CorridorOptions) -> bool:
    """Whether a folder holds the scene of these options."""
    if not (folder / "scene.toml").is_file():
        return False
    found, wanted = Scene.load(folder), scene_of_corridor(folder, options)
    same = (found.source, found.cameras, found.frames.names) == (wanted.source, wanted.cameras, wanted.frames.names)
    return same and found.mapping_fingerprint == wanted.mapping_fingerprint


def trained(place: Corridors, weight: float, settings: Settings) -> PoseRegressor:
    """A model trained with the penalty (none for a weight of 0); the one on disk where it is of the same training."""
    chosen = recipe("fast", place_of(place.data.poses.centers_m), epochs=settings.epochs)
    path = settings.out / "models" / f"corridor{place.seed}.{settings.model}-{weight:g}.pt"
    floor = None if weight == 0 else FloorTraining(place.floor_map, weight)
    found = model_on_disk(path, place, settings.model)
    wanted = (chosen, place.seed, None if floor is None else floor.to_plain())
    if found is not None and (found.recipe, found.seed, found.record["floor"]) == wanted:
        return found
    options = TrainingOptions(place.seed, EncoderOptions().torch_device, checkpoint_path(path), floor=floor)
    result = train(place.data, settings.model, chosen, options)
    regressor = PoseRegressor(settings.model, result.heads, chosen, place.seed, place.data.identity, asdict(result.record))
    save_model(regressor, path)
    checkpoint_path(path).unlink(missing_ok=True)
    return regressor


def model_on_disk(path: Path, place: Corridors, model: str) -> PoseRegressor | None:
    """The model in a file, if it is of these photos."""
    if not path.is_file():
        return None
    try:
        return load_model(path, place.data.identity, model)
    except IrplocError:
        return None


def seconds_of_correcting(floor_map: FloorMap, poses: int, looped: int) -> tuple[float, float, float]:
    """Seconds of preparing the map and of moving ``poses`` positions all over the plan, and of finding the nearest pixel for
    as many in a loop that looks at every walkable pixel, measured on ``looped`` of them."""
    rng = np.random.default_rng(0)
    low, high = floor_map.grid.corners_m.min(axis=0), floor_map.grid.corners_m.max(axis=0)
    positions = np.column_stack([rng.uniform(low, high, (poses, 2)), np.full(poses, 1.5)])
    floor_map = replace(floor_map)  # what was prepared for earlier calls is not
    begun = time.perf_counter()
    floor_map.move(positions)
    prepared_at = time.perf_counter()
    moved = floor_map.move(positions)
    done = time.perf_counter()  # the first call did this too
    rows, columns = np.nonzero(floor_map.walkable)
    pixels = floor_map.grid.points_of(np.stack([columns + 0.5, rows + 0.5], axis=1))
    for number in range(looped):
        nearest_m = np.sqrt(((pixels - positions[number, :2]) ** 2).sum(axis=1).min())
        if abs(moved.moved_m[number] - nearest_m) > 2 * floor_map.metres_per_pixel:
            raise ValueError(f"the two ways differ: {moved.moved_m[number]:.3f} and {nearest_m:.3f} m")
    loop = (time.perf_counter() - done) / looped * poses
    return (prepared_at - begun) - (done - prepared_at), done - prepared_at, loop


def draw(place: Corridors, panels: dict[str, Poses], path: Path) -> None:
    """The plan with the mapping walk, and for every title its estimates before and after the correction."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.2 * len(panels), 4.4), dpi=100, layout="constrained")
    for column, (title, estimated) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), column)
        draw_floor(axes, place.floor_map)
        walked = place.floor_map.on_plane(place.data.poses.centers_m)
        axes.plot(*walked.T, ".", color="#8a8f95", markersize=2, label=f"mapping photos ({len(walked)})")
        draw_moved(axes, place.floor_map, estimated, place.floor_map.move(estimated.centers_m), 4.0)
        axes.set_title(title, loc="left", fontsize=10, pad=20)
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(-0.01, 0.99), ncols=3, fontsize=8, borderpad=0)
        axes.set_aspect("equal")
        axes.set_xlabel("x (m)")
        axes.set_ylabel("y (m)")
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(str(path))


def run(settings: Settings) -> None:
    """Everything; prints tables in Markdown."""
    places = [prepared(settings, seed) for seed in settings.seeds]
    models = {}
    for place in places:
        for weight in (0.0, *settings.weights):
            models[place.seed, weight] = trained(place, weight, settings)

    def errors(walk: str, weight: float) -> list[Errors]:
        scored = []
        for place in places:
            vectors, true = place.queries[walk]
            scored.append(Errors.of(models[place.seed, weight].poses(vectors), true, place.floor_map))
        return scored

    print("\nValidation walk (chooses the weight), mean of the seeds:\n")
    table_head("weight of the penalty")
    validation = {weight: Errors.mean_of(errors(VALIDATION, weight)) for weight in (0.0, *settings.weights)}
    for weight, found in validation.items():
        print(f"| {weight:g} | {found.cells()}")
    best = min(settings.weights, key=lambda weight: validation[weight].mean)
    names = {0.0: f"{settings.model}, no penalty", best: f"{settings.model}, penalty {best:g}"}

    print(f"\nTest walk, {settings.photos[2]} photos a seed, encoder {settings.encoder}:\n")
    table_head("training")
    print(PUBLISHED)
    for weight, name in names.items():
        scored = errors(TEST, weight)
        for place, found in zip(places, scored, strict=True):
            print(f"| {name}, seed {place.seed} | {found.cells()}")
        print(f"| **{name}, mean** | {Errors.mean_of(scored).cells()}")
    for method in CLOSED_FORMS:
        scored = [Errors.of(place.closed[method], place.queries[TEST][1], place.floor_map) for place in places]
        print(f"| `{method}`, untrained, mean | {Errors.mean_of(scored).cells()}")

    first = places[0]
    ready, fast, loop = seconds_of_correcting(first.floor_map, TIMED_POSES, LOOPED_POSES)
    print(
        f"\nCorrecting {TIMED_POSES:,} poses: {1e3 * fast:.1f} ms (the map prepared once in {1e3 * ready:.0f} ms); "
        f"looking at every walkable pixel: {loop:.1f} s ({LOOPED_POSES} poses, scaled); ratio {loop / fast:,.0f}"
    )
    picture = settings.out / "floormap.png"
    asked = first.queries[TEST][0]
    draw(first, {name: models[first.seed, weight].poses(asked) for weight, name in names.items()}, picture)
    print(f"wrote {picture}")


def table_head(first: str) -> None:
    """The head of a table of ``Errors``."""
    print(
        f"| {first} | mean, m | median, m | corrected: mean, m | corrected: median, m | outside |\n|---|---|---|---|---|---|"
    )


def numbers(kind: type) -> object:
    """Parses ``1,2,3``."""
    return lambda text: tuple(kind(part) for part in text.split(","))


def main(arguments: list[str] | None = None) -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("floormap"))
    parser.add_argument("--encoder", default="densevlad")
    parser.add_argument("--augmentations", type=int, default=5)
    parser.add_argument("--model", default="mlp", choices=("mlp", "irpnet"))
    parser.add_argument("--seeds", type=numbers(int), default=(0, 1, 2))
    parser.add_argument("--weights", type=numbers(float), default=(1.0, 3.0, 10.0), help="of the penalty, to choose from")
    parser.add_argument("--photos", type=numbers(int), default=(400, 80, 120), help="mapping, validation, test")
    parser.add_argument("--size", type=numbers(int), default=(320, 240), help="width and height of the photos, pixels")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of a training, two steps each")
    try:
        run(Settings(**vars(parser.parse_args(arguments))))
    except KeyboardInterrupt:
        raise SystemExit("interrupted; run the same command again to go on") from None
    except IrplocError as error:
        raise SystemExit(f"Error: {error}") from None


if __name__ == "__main__":
    main()
