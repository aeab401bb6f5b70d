"""`irploc train-mlp`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from irploc.cli.common import FILE, SEED, is_quiet, note, store_path, workspace_of
from irploc.cli.configuration import configured, fields_of_file, recorded
from irploc.cli.recording import Training, recorded_run, unit_name
from irploc.cli.training import Lines, interruption_told

if TYPE_CHECKING:
    from irploc.retrieval.index import PlaceIndex
    from irploc.retrieval.store import EmbeddingStore
    from irploc.training.dataset import TrainingSet
    from irploc.training.floor import FloorTraining
    from irploc.training.loop import TrainingOptions
    from irploc.training.modelfile import PoseRegressor
    from irploc.training.models import Networks
    from irploc.training.recipes import Recipe
    from irploc.workspace import Workspace


@click.command("train-mlp")
@click.argument("h5")
@click.option("--model", default="irpnet", show_default=True, help="irpnet (two branches) or mlp.")
@click.option("--recipe", "recipe_name", help="fast, or paper (as published).  [default: fast, or that of --init]")
@click.option("--place", help="indoor or outdoor: which of the paper's settings.  [default: by the extent of the cameras]")
@click.option("--epochs", type=int, help="Times each image is drawn.  [default: by the recipe]")
@click.option("--batch-size", type=int, help="Images a step.  [default: by the recipe]")
@click.option("--learning-rate", type=float, help="Of the optimiser.  [default: by the recipe]")
@click.option("--width", type=int, help="Units of the first layers.  [default: by the recipe]")
@click.option("--ensemble", type=int, help="Heads trained at once; their poses are averaged.  [default: by the recipe]")
@click.option("--init", type=FILE, help="Go on from this model after photos were added or removed: a tenth of the steps.")
@click.option(
    "--floor-map",
    type=FILE,
    help="Where one can walk, see 'irploc floormap'; positions outside cost something, and the fast recipe gets more steps.",
)
@click.option("--floor-weight", type=float, help="Cost of a metre outside, in metres of position error.  [default: 3]")
@click.option("--views/--no-views", default=True, help="Train on the views of 'irploc views' too, where there are any.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of every random choice.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N.")
@click.option("--out", type=FILE, help="Model file.  [default: models/<scene>.<model>.pt]")
@click.option(
    "--calibration/--no-calibration",
    default=None,
    help="Also train on parts of the photos, to learn what confidence the answers deserve.  [default: yes; with --init that "
    "of the model is kept]",
)
@click.option("--resume/--no-resume", default=True, help="Go on with an unfinished training of the same settings.")
@recorded
@click.pass_context
def train_mlp(
    ctx: click.Context,
    h5: str,
    model: str,
    recipe_name: str | None,
    place: str | None,
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    width: int | None,
    ensemble: int | None,
    init: Path | None,
    floor_map: Path | None,
    floor_weight: float | None,
    views: bool,
    seed: int,
    device: str,
    out: Path | None,
    calibration: bool | None,
    resume: bool,
) -> None:
    """Train a pose regressor on the embeddings H5 (a file, or a scene's name).

    An interrupted training goes on where it was when the same command is run again. The errors shown are of the scene's
    validation photos, else of its test photos; nothing is chosen by them.
    """
    import time
    from dataclasses import replace

    from irploc.encoders.base import EncoderOptions
    from irploc.errors import BadInput
    from irploc.files import check_writable
    from irploc.retrieval.index import build_index
    from irploc.retrieval.store import EmbeddingStore
    from irploc.training.checkpoint import checkpoint_path
    from irploc.training.dataset import TrainingSet
    from irploc.training.loop import TrainingOptions
    from irploc.training.modelfile import save_model
    from irploc.training.recipes import MODELS

    if model not in MODELS:
        raise BadInput(f"unknown model {model!r}, choose one of {', '.join(MODELS)}")
    torch_device = EncoderOptions(device=device).torch_device
    with EmbeddingStore.open(store_path(ctx, h5)) as store:
        data, units = TrainingSet.from_store(store), store.header.units
        data = _with_views(data, store) if views else data
        floor = _floor(floor_map, floor_weight, data, units)
        index = build_index(store) if calibration or (calibration is None and init is None) else None
        workspace = workspace_of(ctx)
        name = workspace.place_of_embeddings(store.path, store.header.scene)
    path = out or workspace.model(name, model)
    changes = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    start: Sequence[Networks] = ()
    saved: Mapping[str, Any] | None = None
    if init is not None:
        if recipe_name or place or width:
            raise BadInput("--init keeps the recipe, place and width of its model: leave --recipe, --place and --width out")
        init = _found(init, workspace)
        chosen, start, saved = _continued(ctx, init, model, data, ensemble, changes)
    else:
        chosen = _recipe(ctx, recipe_name, place, data, floor, {"width": width, "heads": ensemble, **changes})
    check_writable(path)
    options = TrainingOptions(seed, torch_device, checkpoint_path(path), resume, start, floor)
    note(_settings(model, chosen, data, init, floor_map, options))
    facts = {**data.identity, **_data(data, units, options)}
    calibrated = None
    with recorded_run(ctx, Training(name, model, path, chosen, facts, torch_device.type, {"init": init})) as run:
        options = replace(options, record=run.entry)
        regressor = _train_with_progress(data, model, chosen, options, is_quiet(ctx))
        started = time.monotonic()
        if index is not None:
            regressor = _calibrated(regressor, data, index, options, is_quiet(ctx))
            calibrated = time.monotonic() - started
        elif calibration is None:
            regressor = replace(regressor, calibration=saved)
        save_model(regressor, path)
        checkpoint_path(path).unlink(missing_ok=True)
    click.echo(f"{path}: {_summary(regressor, calibrated, units)}")


def _recipe(
    ctx: click.Context,
    name: str | None,
    place: str | None,
    data: TrainingSet,
    floor: FloorTraining | None,
    changes: Mapping[str, Any],
) -> Recipe:
    """The recipe by name, with what a file says of it and what the command line changes."""
    from irploc.training.floor import with_steps_for_floor
    from irploc.training.recipes import changed, place_of, recipe
    from irploc.training.views import with_epochs_for_views

    fields = fields_of_file(ctx)
    where = place or fields.get("place") or place_of(data.poses.centers_m)
    chosen = configured(ctx, recipe(name or fields.get("name", "fast"), where))
    chosen = changed(chosen, **changes)
    if changes["epochs"] is not None or {"epochs", "minimum_steps"} & set(fields):
        return chosen
    if data.views is not None:
        chosen = with_epochs_for_views(chosen)
    return with_steps_for_floor(chosen, data.rows) if floor is not None else chosen


def _data(data: TrainingSet, units: str, options: TrainingOptions) -> dict[str, Any]:
    """What a result depends on besides the encoder and the settings."""
    from irploc.training.models import sha256_of

    facts: dict[str, Any] = {"embeddings": data.fingerprint, "units": unit_name(units)}
    if options.start:
        facts["start"] = sha256_of(options.start)
    if options.floor is not None:
        facts["floor_map"] = options.floor.floor_map.sha256
    return facts


def _settings(
    model: str, chosen: Recipe, data: TrainingSet, init: Path | None, floor_map: Path | None, options: TrainingOptions
) -> str:
    """What will be done."""
    floored = f", outside of {floor_map} costs {options.floor.weight:g} m per m" if options.floor is not None else ""
    heads = (f", {chosen.heads} heads" if chosen.heads > 1 else "") + (f", from {init}" if init else "")
    images = f"{len(data)} images" + (f" and {len(data.views)} views" if data.views is not None else "")
    return (
        f"{model}, recipe {chosen.name} ({chosen.place}){heads}, {images} of {data.embeddings.shape[1]} versions, "
        f"{chosen.total_steps(data.rows)} steps on {options.device.type}{floored}"
    )


def _with_views(data: TrainingSet, store: EmbeddingStore) -> TrainingSet:
    """The training set with the views that were drawn of its photos, if there are any that fit."""
    from dataclasses import replace

    from irploc.training.views import load_views

    found, words = load_views(store)
    if found is None and words:
        note(words)
    return replace(data, views=found)


def _summary(regressor: PoseRegressor, calibration_seconds: float | None, units: str) -> str:
    from irploc.retrieval.store import NOT_RECORDED

    last, record = regressor.record["epochs"][-1], regressor.record
    unit = "m" if units in ("metres", NOT_RECORDED) else f"({units})"
    calibrated = "" if calibration_seconds is None else f", calibrated in {calibration_seconds:.0f} s"
    errors = f"{last['position_m']:.3f} {unit} {last['rotation_deg']:.2f} deg"
    return f"trained in {record['seconds']:.0f} s{calibrated}; {record['monitor']} photos, median {errors}"


def _floor(path: Path | None, weight: float | None, data: TrainingSet, units: str) -> FloorTraining | None:
    """The floor map to train with, if it is one of the scene."""
    from irploc.floormap import FloorMap, check_fit, check_metric
    from irploc.retrieval.store import NOT_RECORDED
    from irploc.training.floor import FLOOR_WEIGHT, FloorTraining

    if path is None:
        if weight is not None:
            raise click.UsageError("--floor-weight needs --floor-map FILE")
        return None
    floor = FloorTraining(FloorMap.load(path), FLOOR_WEIGHT if weight is None else weight)
    where = f"scene {data.identity['scene']}"
    if units != NOT_RECORDED:
        check_metric(units, where)
    check_fit(floor.floor_map, data.poses, where)
    return floor


def _found(model: Path, workspace: Workspace) -> Path:
    """Where a model is that is given from here or from the workspace."""
    inside = workspace.root / model
    return inside if inside.is_file() and not model.is_file() else model


def _continued(
    ctx: click.Context, init: Path, model: str, data: TrainingSet, ensemble: int | None, changes: dict[str, Any]
) -> tuple[Recipe, Sequence[Networks], Mapping[str, Any] | None]:
    """The rest of the recipe, the heads and the calibration of a trained model of the same encoder."""
    from dataclasses import replace

    from irploc.errors import BadInput, Mismatch
    from irploc.training.modelfile import check_identity, load_model
    from irploc.training.warm_start import SHARE_OF_STEPS

    trained = load_model(init, method=model)
    other_photos = {"mapping_fingerprint": trained.identity["mapping_fingerprint"]}  # are what this is for
    check_identity(trained.identity, {**data.identity, **other_photos}, init)
    if trained.identity["scene"] != data.identity["scene"]:
        there, here = trained.identity["scene"], data.identity["scene"]
        raise Mismatch(f"{init} was trained on the scene {there!r}, not on {here!r}: leave --init out")
    if ensemble not in (None, trained.recipe.heads):
        raise BadInput(f"{init} has {trained.recipe.heads} heads: leave --ensemble out, or train without --init")
    given = {key: value for key, value in changes.items() if value is not None}
    if "epochs" in given:
        given |= {"share": 1.0, "minimum_steps": 0}
    chosen = configured(ctx, replace(trained.recipe, share=SHARE_OF_STEPS), **given)
    if (chosen.width, chosen.heads) != (trained.recipe.width, trained.recipe.heads):
        there = f"{trained.recipe.heads} heads of width {trained.recipe.width}"
        raise BadInput(f"{init} has {there}: leave width and heads out of the configuration")
    return chosen, trained.heads, trained.calibration


def _train_with_progress(
    data: TrainingSet, model: str, chosen: Recipe, options: TrainingOptions, quiet: bool
) -> PoseRegressor:
    """Trains with a bar on a terminal, and with a line now and then elsewhere."""
    import sys
    from dataclasses import asdict, replace

    from irploc.progress import progress
    from irploc.training.loop import train
    from irploc.training.modelfile import PoseRegressor

    on_terminal = sys.stderr.isatty()
    with progress("training", chosen.total_steps(data.rows), "steps", quiet) as bar, interruption_told():
        lines = Lines(quiet, on_terminal)
        trained = train(data, model, chosen, replace(options, progress=bar, report=lines))
    identity = data.identity or {"dimension": data.dimension}
    record = {**asdict(trained.record), "views": data.rows - len(data)}
    return PoseRegressor(model, trained.heads, chosen, options.seed, identity, record)


def _calibrated(
    regressor: PoseRegressor, data: TrainingSet, index: PlaceIndex, options: TrainingOptions, quiet: bool
) -> PoseRegressor:
    """The same model with its calibration, unless the place is too small for one."""
    from dataclasses import replace

    from irploc.estimators.mlp import calibration_steps, with_calibration
    from irploc.progress import progress

    steps = calibration_steps(regressor, data)
    if not steps:
        note(f"{len(data)} mapping photos are too few to calibrate confidence: it will be unknown")
        return regressor
    with progress("calibrating", steps, "steps", quiet) as bar, interruption_told():
        calibrated = with_calibration(regressor, data, index, replace(options, progress=bar))
    if calibrated.calibration is None:
        note("the model does not even fit its own photos: its confidence will be unknown")
    return calibrated
