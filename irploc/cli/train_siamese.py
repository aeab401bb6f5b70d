"""`irploc train siamese`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from irploc.cli.common import FILE, FOLDER, SEED, is_quiet, note, store_path, workspace_of
from irploc.cli.training import Lines, interruption_told

if TYPE_CHECKING:
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
@click.option("--recipe", "recipe_name", default="fast", show_default=True, help="fast, or paper (as published).")
@click.option("--epochs", type=int, help="As many pairs are drawn as there are images.  [default: by the recipe]")
@click.option("--batch-size", type=int, help="Pairs a step.  [default: by the recipe]")
@click.option("--learning-rate", type=float, help="Of the optimiser.  [default: by the recipe]")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of every random choice.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N.")
@click.option("--out", type=FILE, help="Model file.  [default: models/<scene>.siamese.pt]")
@click.option("--scene-dir", type=FOLDER, help="Where the scene of an embeddings file is.  [default: where it was]")
@click.option("--calibration/--no-calibration", default=True, help="Also learn what confidence the answers deserve.")
@click.option("--resume/--no-resume", default=True, help="Go on with an unfinished training of the same settings.")
@click.pass_context
def siamese(
    ctx: click.Context,
    scene_or_h5: str,
    pairs: Path | None,
    cips: bool | None,
    relative: str | None,
    recipe_name: str,
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
    from irploc.encoders.base import EncoderOptions
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
    recipe = siamese_recipe(recipe_name, relation=relative, cips=cips, **changes)
    torch_device = EncoderOptions(device=device).torch_device
    workspace, quiet = workspace_of(ctx), is_quiet(ctx)
    with EmbeddingStore.open(store_path(ctx, scene_or_h5)) as store:
        data, units = TrainingSet.from_store(store), store.header.units
        path = out or workspace.model(workspace.place_of_embeddings(store.path, store.header.scene), "siamese")
        check_writable(path)
        found = _pairs_for(store, _Where(workspace, pairs, scene_dir), recipe, quiet)
        index = build_index(store) if calibration else None
    options = TrainingOptions(seed, torch_device, checkpoint_path(path), resume)
    note(
        f"siamese, recipe {recipe.name}, relative pose as {recipe.relation}, {len(data)} images, {found.origin}, "
        f"{recipe.total_steps(len(data))} steps on {torch_device.type}"
    )
    model = _trained(data, found, recipe, options, quiet)
    if index is not None:
        model = _calibrated(model, data, index, found, options, quiet)
    save_siamese(model, path)
    checkpoint_path(path).unlink(missing_ok=True)
    click.echo(f"{path}: {_summary(model, units)}")


@dataclass(frozen=True)
class _Where:
    workspace: Workspace
    pairs: Path | None
    scene_dir: Path | None


def _pairs_for(store: EmbeddingStore, where: _Where, recipe: SiameseRecipe, quiet: bool) -> CorrelatedPairs:
    """The correlated pairs among the mapping photos of a store: from a file, or selected now."""
    import numpy as np

    from irploc.errors import BadInput
    from irploc.pairs import PairMatrix
    from irploc.training.siamese.lesson import CorrelatedPairs

    names = [name for name, split in zip(store.frames.names, store.frames.splits, strict=True) if split == "train"]
    if len(names) < 2:
        raise BadInput(f"mapping photos in {store.path}: {len(names)}; a Siamese network needs at least two")
    if not recipe.cips:
        if given := where.pairs or where.scene_dir:
            raise BadInput(
                f"--no-cips draws any two photos: leave {'--pairs' if where.pairs else '--scene-dir'} {given} out"
            )
        return CorrelatedPairs(np.zeros((0, 2), dtype=np.int64), 180.0, "pairs of any two photos")
    saved = where.pairs or where.workspace.root / "pairs" / f"{store.header.scene}.npz"
    if where.pairs and where.scene_dir:
        raise BadInput(f"pairs come from {where.pairs} or from the scene in {where.scene_dir}: leave one of them out")
    if where.pairs or (saved.is_file() and not where.scene_dir):
        matrix = PairMatrix.load(saved)
        matrix.check_scene(store.header.mapping_fingerprint, saved)
        origin = f"pairs of {saved.name}"
    else:
        matrix, origin = _selected(store, where, quiet)
    angle = matrix.settings.get("largest_angle_deg")
    if not isinstance(angle, int | float):
        raise BadInput(f"{saved} does not say what angle its pairs may be turned by: make it again with 'irploc pairs'")
    rows = matrix.accepted_among(names)
    return CorrelatedPairs(rows, float(angle), f"{len(rows)} correlated pairs ({origin})")


def _selected(store: EmbeddingStore, where: _Where, quiet: bool) -> tuple[Any, str]:
    """Pairs by everything that the scene has to tell; by window and angle where it is not found."""
    from dataclasses import replace

    from irploc.errors import BadInput
    from irploc.pairs import PairOptions, select_pairs
    from irploc.pointcloud import check_frame, scene_points
    from irploc.retrieval.origin import scene_of, scene_of_labels

    found = scene_of(store, where.scene_dir)
    options, origin = PairOptions(), "selected now"
    if found is None:
        note(
            f"the scene of {store.path} is not at {store.header.scene_folder} any more: its pairs are found by window and "
            "angle alone (give --scene-dir to test what photos show)"
        )
        scene, cloud = scene_of_labels(store), None
        options, origin = replace(options, test="none"), "by window and angle"
    else:
        scene, cloud = found[0], scene_points(found[1])
        if cloud is not None:
            check_frame(cloud, scene)
        note("selecting correlated pairs; 'irploc pairs' keeps them for the next time")
    try:
        return select_pairs(scene, options, store, cloud, quiet), origin
    except BadInput as error:
        raise BadInput(f"{error} (an option of 'irploc pairs', whose file this command takes)") from None


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


def _calibrated(
    model: SiameseModel, data: TrainingSet, index: Any, pairs: CorrelatedPairs, options: TrainingOptions, quiet: bool
) -> SiameseModel:
    from dataclasses import replace

    from irploc.estimators.siamese_calibration import calibrated_model, calibration_steps
    from irploc.progress import progress

    steps = calibration_steps(model, data)
    if not steps:
        note(f"{len(data)} mapping photos are too few to calibrate confidence: it will be unknown")
        return model
    kept = "the trained network is kept, its calibration will start over; --no-calibration leaves it out"
    with progress("calibrating", steps, "steps", quiet) as bar, interruption_told(kept):
        return calibrated_model(model, data, index, pairs, replace(options, progress=bar))


def _summary(model: SiameseModel, units: str) -> str:
    from irploc.retrieval.store import NOT_RECORDED

    last, seconds = model.record["epochs"][-1], model.record["seconds"]
    line = f"trained in {seconds:.0f} s"
    if "position_m" in last:
        unit = "m" if units in ("metres", NOT_RECORDED) else f"({units})"
        errors = f"{last['position_m']:.3f} {unit} {last['rotation_deg']:.2f} deg"
        line += f"; {model.record['monitor']} photos, absolute head alone, median {errors}"
    return line
