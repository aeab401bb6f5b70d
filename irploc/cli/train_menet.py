"""`irploc train menet`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from irploc.cli.common import FILE, SEED, is_quiet, note, workspace_of
from irploc.cli.configuration import configured, fields_of_file, given, recorded
from irploc.cli.correlated import found_scene, pairs_for
from irploc.cli.recording import Training, recorded_run, unit_name
from irploc.cli.training import Lines, trained_or_kept

if TYPE_CHECKING:
    from irploc.scene import Scene
    from irploc.training.loop import TrainingOptions
    from irploc.training.menet.model import MeNetModel
    from irploc.training.menet.recipes import MeNetRecipe
    from irploc.training.siamese.lesson import CorrelatedPairs

_METHOD = "menet"
_RECIPE = (
    *("loss", "weighting", "alpha", "beta", "gamma", "rotation", "cips", "wide", "shape", "side"),
    *("mirror", "turn_deg", "jitter", "epochs", "batch_size", "learning_rate"),
)  # options that are fields of the recipe


@click.command(_METHOD)
@click.argument("scene_or_h5")
@click.option("--recipe", "recipe_name", help="fast, or report (what the report prints, plain).  [default: fast]")
@click.option("--pairs", type=FILE, help="Correlated pairs.  [default: pairs/<scene>.npz, else they are selected now]")
@click.option("--cips/--no-cips", default=True, help="Draw correlated pairs, or any two photos.  [default: cips]")
@click.option(
    "--wide", type=float, help="Share of pairs of any two photos that look the same way.  [default: by the recipe]"
)
@click.option("--loss", help="mse, l1, smooth-l1, rmse or norm.  [default: by the recipe]")
@click.option("--weighting", help="fixed (--alpha) or learned (--beta, --gamma).  [default: by the recipe]")
@click.option("--alpha", type=float, help="Weight of turns; makes the weighting fixed.  [default: 1]")
@click.option("--beta", type=float, help="Where the log weight of translations starts.  [default: by the recipe]")
@click.option("--gamma", type=float, help="Where the log weight of turns starts.  [default: by the recipe]")
@click.option("--rotation", help="quaternion or log.  [default: quaternion]")
@click.option("--shape", help="What is looked at: whole photos, or the square in their middle.  [default: by the recipe]")
@click.option("--side", type=int, help="Pixels of the shorter side of photos.  [default: by the recipe]")
@click.option("--mirror", type=float, help="Share of pairs that are mirrored.  [default: by the recipe]")
@click.option(
    "--turn", "turn_deg", type=float, help="Degrees that cameras are turned by, by computation.  [default: by the recipe]"
)
@click.option("--jitter", type=float, help="Changes of brightness and colours.  [default: by the recipe]")
@click.option("--epochs", type=int, help="Times each image is drawn.  [default: by the recipe]")
@click.option("--batch-size", type=int, help="Pairs a step.  [default: by the recipe]")
@click.option("--learning-rate", type=float, help="Of the optimiser.  [default: by the recipe]")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of every random choice.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N.")
@click.option("--out", type=FILE, help="Model file.  [default: models/<scene>.menet.pt]")
@click.option("--resume/--no-resume", default=True, help="Go on with an unfinished training of the same settings.")
@recorded
@click.pass_context
def menet(ctx: click.Context, scene_or_h5: str, pairs: Path | None, seed: int, device: str, **values: Any) -> None:
    """Train MeNet: the relative pose of two photos, on pairs of the photos of SCENE_OR_H5 that see the same things.

    The answers are for 'irploc relate A.jpg B.jpg'. An interrupted training goes on where it was when the same command is
    run again. Where it diverges, the last good state is kept beside the model. The errors shown are of pairs of validation
    photos, else of test photos; nothing is chosen by them.
    """
    from dataclasses import replace

    from irploc.encoders.base import EncoderOptions
    from irploc.files import check_writable
    from irploc.training.checkpoint import checkpoint_path
    from irploc.training.loop import TrainingOptions
    from irploc.training.menet.model import save_menet
    from irploc.training.menet.recipes import menet_recipe
    from irploc.training.poseloss import completed

    name = values["recipe_name"] or fields_of_file(ctx).get("name", "fast")
    recipe = configured(ctx, menet_recipe(name), **completed(given(ctx, *_RECIPE)))
    torch_device = EncoderOptions(device=device).torch_device
    workspace, quiet = workspace_of(ctx), is_quiet(ctx)
    with found_scene(workspace, scene_or_h5) as (mapped, place):
        scene, path = mapped.scene, values["out"] or workspace.model(place, _METHOD)
        check_writable(path)
        correlated = pairs_for(mapped, workspace, pairs, recipe.cips, quiet)
    options = TrainingOptions(seed, torch_device, checkpoint_path(path), values["resume"])
    note(_settings(scene, correlated, recipe, torch_device.type))
    facts = {
        "mapping_fingerprint": scene.mapping_fingerprint,
        "ground_truth": scene.ground_truth,
        "units": scene.units,
        "pairs": correlated.fingerprint,
    }
    with recorded_run(ctx, Training(place, _METHOD, path, recipe, facts, torch_device.type)) as run:
        model = _trained(scene, correlated, recipe, replace(options, record=run.entry), path, quiet)
        save_menet(model, path)
        checkpoint_path(path).unlink(missing_ok=True)
    click.echo(f"{path}: {_summary(model)}")


def _settings(scene: Scene, pairs: CorrelatedPairs, recipe: MeNetRecipe, device: str) -> str:
    count = int((scene.frames.splits == "train").sum())
    weights = f"alpha {recipe.alpha:g}" if recipe.weighting == "fixed" else "learned weights"
    return (
        f"{_METHOD}, recipe {recipe.name}, {recipe.shape} photos of {recipe.side} px, {recipe.loss} loss with {weights}, "
        f"{count} images, {pairs.origin}, {recipe.total_steps(count)} steps on {device}"
    )


def _trained(
    scene: Scene, pairs: CorrelatedPairs, recipe: MeNetRecipe, options: TrainingOptions, path: Path, quiet: bool
) -> MeNetModel:
    import sys
    from dataclasses import replace

    from irploc.progress import progress
    from irploc.training.menet.model import save_menet
    from irploc.training.menet.train import train_menet

    told = replace(options, report=Lines(quiet, sys.stderr.isatty()))
    return trained_or_kept(
        lambda: train_menet(scene, pairs, recipe, told, lambda title, total, unit: progress(title, total, unit, quiet)),
        save_menet,
        path,
    )


def _summary(model: MeNetModel) -> str:
    line = f"trained in {model.record['seconds']:.0f} s"
    if (errors := model.watched_errors) is None:
        return line
    unit = "m" if unit_name(model.identity["units"]) == "metres" else f"({model.identity['units']})"
    return f"{line}; {model.record['monitor']} photos, median {errors[0]:.3f} {unit} {errors[1]:.2f} deg"
