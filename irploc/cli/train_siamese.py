"""`irploc train siamese`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from irploc.cli.common import FILE, FOLDER, SEED, is_quiet, note, store_path, workspace_of
from irploc.cli.configuration import configured, fields_of_file, recorded
from irploc.cli.correlated import Mapped, Wanted, any_pairs, correlated_pairs, pairs_file
from irploc.cli.recording import Training, recorded_run, unit_name
from irploc.cli.training import Lines, interruption_told

if TYPE_CHECKING:
    from irploc.geometry.poses import Poses
    from irploc.retrieval.store import EmbeddingStore
    from irploc.training.dataset import TrainingSet
    from irploc.training.loop import TrainingOptions
    from irploc.training.siamese.lesson import CorrelatedPairs
    from irploc.training.siamese.model import SiameseModel
    from irploc.training.siamese.recipes import SiameseRecipe
    from irploc.workspace import Workspace


@click.command("siamese")
@click.argument("scene_or_h5")
@click.option("--pairs", type=FILE, help="Correlated pairs.  [default: pairs/<scene>.npz, else they are selected now]")
@click.option("--cips/--no-cips", default=None, help="Draw correlated pairs, or any two photos.  [default: cips]")
@click.option("--relative", help="What the relative head learns: difference (paper) or group.  [default: by the recipe]")
@click.option("--recipe", "recipe_name", help="fast, or paper (as published).  [default: fast]")
@click.option("--epochs", type=int, help="As many pairs are drawn as there are images.  [default: by the recipe]")
@click.option("--batch-size", type=int, help="Pairs a step.  [default: by the recipe]")
@click.option("--learning-rate", type=float, help="Of the optimiser.  [default: by the recipe]")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of every random choice.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N.")
@click.option("--out", type=FILE, help="Model file.  [default: models/<scene>.siamese.pt]")
@click.option("--scene-dir", type=FOLDER, help="Where the scene of an embeddings file is.  [default: where it was]")
@click.option("--calibration/--no-calibration", default=True, help="Also learn what confidence the answers deserve.")
@click.option("--resume/--no-resume", default=True, help="Go on with an unfinished training of the same settings.")
@recorded
@click.pass_context
def siamese(
    ctx: click.Context,
    scene_or_h5: str,
    pairs: Path | None,
    cips: bool | None,
    relative: str | None,
    recipe_name: str | None,
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    seed: int,
    device: str,
    out: Path | None,
    scene_dir: Path | None,
    calibration: bool,
    resume: bool,
) -> None:
    """Train the Siamese network on the embeddings of SCENE_OR_H5 (a scene's name, or an embeddings file).

    Two absolute heads and a relative one learn together from pairs of photos that see the same things. An interrupted
    training goes on where it was when the same command is run again.
    """
    from dataclasses import replace

    from irploc.encoders.base import EncoderOptions
    from irploc.estimators.siamese_calibration import calibrated_model
    from irploc.files import check_writable
    from irploc.retrieval.index import build_index
    from irploc.retrieval.store import EmbeddingStore
    from irploc.training.checkpoint import checkpoint_path
    from irploc.training.dataset import TrainingSet
    from irploc.training.loop import TrainingOptions
    from irploc.training.siamese.model import save_siamese
    from irploc.training.siamese.recipes import siamese_recipe

    changes = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    if epochs is not None:
        changes["minimum_steps"] = 0
    named = siamese_recipe(recipe_name or fields_of_file(ctx).get("name", "fast"))
    recipe = configured(ctx, named, relation=relative, cips=cips, **changes)
    torch_device = EncoderOptions(device=device).torch_device
    workspace, quiet = workspace_of(ctx), is_quiet(ctx)
    with EmbeddingStore.open(store_path(ctx, scene_or_h5)) as store:
        data, units = TrainingSet.from_store(store), store.header.units
        place = workspace.place_of_embeddings(store.path, store.header.scene)
        path = out or workspace.model(place, "siamese")
        check_writable(path)
        found = _pairs_for(store, workspace, pairs, scene_dir, recipe.cips, quiet)
        index = build_index(store) if calibration else None
    options = TrainingOptions(seed, torch_device, checkpoint_path(path), resume)
    note(
        f"siamese, recipe {recipe.name}, relative pose as {recipe.relation}, {len(data)} images, {found.origin}, "
        f"{recipe.total_steps(len(data))} steps on {torch_device.type}"
    )
    facts = {**data.identity, "embeddings": data.fingerprint, "pairs": found.fingerprint, "units": unit_name(units)}
    with recorded_run(ctx, Training(place, "siamese", path, recipe, facts, torch_device.type)) as run:
        options = replace(options, record=run.entry)
        model = _trained(data, found, recipe, options, quiet)
        if index is not None:
            model = calibrated(
                model, data.poses, lambda with_bar: calibrated_model(model, data, index, found, with_bar), options, quiet
            )
        save_siamese(model, path)
        checkpoint_path(path).unlink(missing_ok=True)
    click.echo(f"{path}: {summary(model, units)}")


def _pairs_for(
    store: EmbeddingStore, workspace: Workspace, given: Path | None, scene_dir: Path | None, cips: bool, quiet: bool
) -> CorrelatedPairs:
    """The pairs to train on; refuses options that would not be used."""
    from irploc.errors import BadInput
    from irploc.retrieval.origin import scene_of, scene_of_labels

    header = store.header
    wanted = Wanted(store.frames.of_split("train").names, header.scene, header.mapping_fingerprint)
    if not cips:
        if useless := given or scene_dir:
            option = "--pairs" if given else "--scene-dir"
            raise BadInput(f"--no-cips draws any two photos: leave {option} {useless} out")
        return any_pairs(wanted)
    if given and scene_dir:
        raise BadInput(f"pairs come from {given} or from the scene in {scene_dir}: leave one of them out")

    def find() -> Mapped:
        scene, folder = scene_of(store, scene_dir) or (scene_of_labels(store), None)
        return Mapped(scene, folder, store)

    saved = None if scene_dir else pairs_file(workspace, header.scene, given)
    return correlated_pairs(wanted, saved, find, quiet)


def _trained(
    data: TrainingSet, pairs: CorrelatedPairs, recipe: SiameseRecipe, options: TrainingOptions, quiet: bool
) -> SiameseModel:
    import sys
    from dataclasses import replace

    from irploc.progress import progress
    from irploc.training.siamese.lesson import train_on_embeddings

    with progress("training", recipe.total_steps(len(data)), "steps", quiet) as bar, interruption_told():
        lines = Lines(quiet, sys.stderr.isatty())
        return train_on_embeddings(data, pairs, recipe, replace(options, progress=bar, report=lines))


def calibrated(
    model: SiameseModel,
    poses: Poses,
    calibrate: Callable[[TrainingOptions], SiameseModel],
    options: TrainingOptions,
    quiet: bool,
) -> SiameseModel:
    """The model with what ``calibrate`` learns, under a progress bar; as it is where there are too few mapping photos."""
    from dataclasses import replace

    from irploc.estimators.siamese_calibration import calibration_steps
    from irploc.progress import progress

    steps = calibration_steps(model, poses)
    if not steps:
        note(f"{len(poses)} mapping photos are too few to calibrate confidence: it will be unknown")
        return model
    kept = "the trained network is kept, its calibration will start over; --no-calibration leaves it out"
    with progress("calibrating", steps, "steps", quiet) as bar, interruption_told(kept):
        return calibrate(replace(options, progress=bar))


def summary(model: SiameseModel, units: str) -> str:
    """How long a training took, and where its absolute head stands."""
    from irploc.retrieval.store import NOT_RECORDED

    last, seconds = model.record["epochs"][-1], model.record["seconds"]
    line = f"trained in {seconds:.0f} s"
    if "position_m" in last:
        unit = "m" if units in ("metres", NOT_RECORDED) else f"({units})"
        errors = f"{last['position_m']:.3f} {unit} {last['rotation_deg']:.2f} deg"
        line += f"; {model.record['monitor']} photos, absolute head alone, median {errors}"
    return line
