"""`irploc train posenet` and `irploc train mapnet`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from irploc.cli.common import FILE, SEED, is_quiet, note, store_path, workspace_of
from irploc.cli.configuration import configured, fields_of_file, given, recorded
from irploc.cli.correlated import found_scene
from irploc.cli.recording import Training, recorded_run, unit_name
from irploc.cli.training import Lines, interruption_told, trained_or_kept

if TYPE_CHECKING:
    import torch

    from irploc.retrieval.store import EmbeddingStore
    from irploc.training.absolute.data import Unlabelled
    from irploc.training.absolute.model import AbsoluteModel
    from irploc.training.absolute.recipes import AbsoluteRecipe
    from irploc.training.loop import TrainingOptions
    from irploc.workspace import Workspace

_RECIPE = (
    *("loss", "weighting", "alpha", "beta", "gamma", "rotation", "epochs", "batch_size", "learning_rate", "crop"),
    *("steps", "skip", "relative", "relation", "unlabelled_weight"),
)  # options that are fields of the recipe


def _shared_options(command: Callable[..., None]) -> Callable[..., None]:
    """What both commands take."""
    options = (
        click.option(
            "--backbone",
            help="Look at the photos by this network (resnet18, googlenet, efficientnet-b7 …) instead of using embeddings.",
        ),
        click.option("--frozen/--trainable", default=True, show_default=True, help="Keep the backbone's weights, or not."),
        click.option("--random-weights", is_flag=True, help="Start a backbone that has learned nothing."),
        click.option("--recipe", "recipe_name", help="fast, or report (what the report prints, plain).  [default: fast]"),
        click.option("--loss", help="mse, l1, smooth-l1, rmse or norm.  [default: by the recipe]"),
        click.option("--weighting", help="fixed (--alpha) or learned (--beta, --gamma).  [default: by the recipe]"),
        click.option("--alpha", type=float, help="Weight of orientations; makes the weighting fixed.  [default: 1]"),
        click.option("--beta", type=float, help="Where the log weight of positions starts.  [default: by the recipe]"),
        click.option("--gamma", type=float, help="Where the log weight of orientations starts.  [default: by the recipe]"),
        click.option("--rotation", help="quaternion or log.  [default: quaternion]"),
        click.option("--epochs", type=int, help="Times each image is drawn.  [default: by the recipe]"),
        click.option("--batch-size", type=int, help="Images (or tuples) a step.  [default: by the recipe]"),
        click.option("--learning-rate", type=float, help="Of the optimiser.  [default: by the recipe]"),
        click.option("--crop", type=int, help="Pixels of the crops that a backbone sees.  [default: 224]"),
        click.option("--seed", type=SEED, default=0, show_default=True, help="Of every random choice."),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N."),
        click.option("--out", type=FILE, help="Model file.  [default: models/<scene>.<method>.pt]"),
        click.option("--calibration/--no-calibration", default=True, help="Also learn what confidence the answers deserve."),
        click.option("--resume/--no-resume", default=True, help="Go on with an unfinished training of the same settings."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command("posenet")
@click.argument("scene_or_h5")
@_shared_options
@recorded
@click.pass_context
def posenet(ctx: click.Context, scene_or_h5: str, **values: Any) -> None:
    """Train PoseNet: one linear layer from features to a pose, on the embeddings of SCENE_OR_H5 or on its photos.

    An interrupted training goes on where it was when the same command is run again. Where it diverges, the last good state
    is kept beside the model. The errors shown are of validation photos, else of test photos; nothing is chosen by them.
    """
    _train(ctx, "posenet", scene_or_h5)


@click.command("mapnet")
@click.argument("scene_or_h5")
@_shared_options
@click.option("--steps", type=int, help="Photos of a tuple.  [default: 3]")
@click.option("--skip", type=int, help="Photos of the walk from one of a tuple to the next.  [default: 10]")
@click.option("--relative", type=float, help="Weight of relative poses within a tuple.  [default: 1]")
@click.option("--relation", help="difference (as published) or group (rigid motions).  [default: difference]")
@click.option(
    "--unlabelled",
    multiple=True,
    metavar="SCENE_OR_H5",
    help="Embedded walks whose poses are only known to each other, from odometry or 'irploc scene build' (MapNet+).",
)
@click.option("--unlabelled-weight", type=float, help="Weight of their relative poses.  [default: 1]")
@recorded
@click.pass_context
def mapnet(ctx: click.Context, scene_or_h5: str, **values: Any) -> None:
    """Train MapNet: four layers, from tuples of photos along walks whose absolute and relative poses count.

    An interrupted training goes on where it was when the same command is run again. Where it diverges, the last good state
    is kept beside the model. The errors shown are of validation photos, else of test photos; nothing is chosen by them.
    """
    _train(ctx, "mapnet", scene_or_h5)


@dataclass(frozen=True)
class _Job:
    """What is about to be trained, but for the data."""

    ctx: click.Context
    method: str
    recipe: AbsoluteRecipe
    device: torch.device

    @property
    def quiet(self) -> bool:
        return is_quiet(self.ctx)

    def option(self, name: str) -> Any:
        return self.ctx.params.get(name)

    def path(self, workspace: Workspace, place: str) -> Path:
        """Of the model file; one that cannot be written is refused."""
        from irploc.files import check_writable

        path: Path = self.option("out") or workspace.model(place, self.method)
        check_writable(path)
        _tell_replacing(path, self.option("backbone"))
        return path

    def options(self, path: Path) -> TrainingOptions:
        from irploc.training.checkpoint import checkpoint_path
        from irploc.training.loop import TrainingOptions

        return TrainingOptions(self.option("seed"), self.device, checkpoint_path(path), self.option("resume"))

    def announce(self, what: str, images: int, more: str = "") -> None:
        """One line with the settings."""
        recipe = self.recipe
        tuples = f", tuples of {recipe.steps} photos {recipe.skip} apart" if recipe.steps > 1 else ""
        weights = f"alpha {recipe.alpha:g}" if recipe.weighting == "fixed" else "learned weights"
        note(
            f"{self.method} on {what}, recipe {recipe.name}, {recipe.loss} loss with {weights}{tuples}, "
            f"{images} images{more}, {recipe.total_steps(images)} steps on {self.device.type}"
        )


def _train(ctx: click.Context, method: str, scene_or_h5: str) -> None:
    from irploc.encoders.base import EncoderOptions
    from irploc.errors import BadInput
    from irploc.training.absolute.recipes import absolute_recipe
    from irploc.training.poseloss import completed

    name = ctx.params["recipe_name"] or fields_of_file(ctx).get("name", "fast")
    typed = given(ctx, *(option for option in _RECIPE if option in ctx.params))
    base = absolute_recipe(method, name, trainable=not ctx.params["frozen"])
    recipe = configured(ctx, base, **completed(typed))
    job = _Job(ctx, method, recipe, EncoderOptions(device=ctx.params["device"]).torch_device)
    if "unlabelled_weight" in typed and not job.option("unlabelled"):
        raise BadInput("--unlabelled-weight is of unlabelled walks: name one with --unlabelled")
    of_tuples = [option for option in ("skip", "relative", "relation") if option in typed]
    if of_tuples and job.recipe.steps < 2:
        raise BadInput(f"--{of_tuples[0]} is about tuples of photos, and --steps 1 makes none: leave it out")
    if job.option("unlabelled") and job.recipe.steps < 2:
        raise BadInput("--unlabelled walks say how the camera moved between photos: tuples need at least 2 --steps")
    if method == "posenet" and recipe.steps > 1:
        raise BadInput(
            f"posenet learns from single photos, and the configuration has tuples of {recipe.steps}: train mapnet"
        )
    if job.option("backbone") is not None:
        if job.option("unlabelled"):
            raise BadInput("--unlabelled walks are embeddings: leave --backbone out")
        _on_photos(job, scene_or_h5)
        return
    if not job.option("frozen") or job.option("random_weights") or job.option("crop") is not None:
        raise BadInput("--trainable, --random-weights and --crop are about a backbone: name one with --backbone")
    _on_embeddings(job, scene_or_h5)


def _on_embeddings(job: _Job, scene_or_h5: str) -> None:
    from irploc.estimators.absolute import calibration_steps, with_calibration
    from irploc.progress import progress
    from irploc.retrieval.index import build_index
    from irploc.retrieval.store import EmbeddingStore
    from irploc.training.absolute.model import save_absolute
    from irploc.training.absolute.train import train_on_embeddings
    from irploc.training.dataset import TrainingSet

    workspace = workspace_of(job.ctx)
    with EmbeddingStore.open(store_path(job.ctx, scene_or_h5)) as store:
        data, header = TrainingSet.from_store(store), store.header
        place = workspace.place_of_embeddings(store.path, header.scene)
        index = build_index(store) if job.option("calibration") else None
        walks = _unlabelled(job, store)
    path = job.path(workspace, place)
    options = job.options(path)
    job.announce(header.encoder, len(data), "" if walks is None else f" and {len(walks)} of unlabelled walks")
    facts = {**data.identity, "embeddings": data.fingerprint, "units": unit_name(header.units)}
    if walks is not None:
        facts |= {"unlabelled": walks.fingerprint, "unlabelled_tested": walks.tested}
    with recorded_run(job.ctx, Training(place, job.method, path, job.recipe, facts, job.device.type)) as run:
        with progress("training", job.recipe.total_steps(len(data)), "steps", job.quiet) as bar:
            told = replace(options, progress=bar, report=_lines(job), record=run.entry)
            model = trained_or_kept(
                lambda: train_on_embeddings(data, job.method, job.recipe, told, walks), save_absolute, path
            )
        steps = calibration_steps(model, data) if index is not None else 0
        if index is not None and not steps:
            note(f"{len(data)} mapping photos are too few to calibrate confidence: it will be unknown")
        elif index is not None:
            kept = "the trained model is kept, its calibration will start over; --no-calibration leaves it out"
            with progress("calibrating", steps, "steps", job.quiet) as bar, interruption_told(kept):
                model = with_calibration(model, data, index, replace(options, progress=bar))
        _save(model, path, header.units)


def _on_photos(job: _Job, scene_or_h5: str) -> None:
    from irploc.progress import progress
    from irploc.training.absolute.model import save_absolute
    from irploc.training.absolute.train import train_on_photos
    from irploc.training.backbone import ImageOptions, located_first_weights
    from irploc.training.photographed import check_sizes

    recipe = job.recipe
    if job.option("crop") is not None:
        recipe = replace(recipe, side=round(recipe.crop * 8 / 7))
    images = ImageOptions(job.option("backbone"), job.option("frozen"), job.option("random_weights"))
    check_sizes(recipe, recipe.batch_size * recipe.steps, images)
    located = located_first_weights(images)
    workspace = workspace_of(job.ctx)
    with found_scene(workspace, scene_or_h5) as (mapped, place):
        scene, path = mapped.scene, job.path(workspace, place)
    options = job.options(path)
    start = "RANDOM features (it has learned nothing)" if images.random_weights else "ImageNet features"
    kind = "frozen" if images.frozen else "trainable"
    job.announce(f"{kind} {images.backbone} from {start}", int((scene.frames.splits == "train").sum()))
    facts = {
        "mapping_fingerprint": scene.mapping_fingerprint,
        "ground_truth": scene.ground_truth,
        "units": scene.units,
        "weights_sha256": "random" if located is None else located.sha256,
    }
    with recorded_run(job.ctx, Training(place, job.method, path, recipe, facts, job.device.type)) as run:
        told = replace(options, report=_lines(job), record=run.entry)
        model = trained_or_kept(
            lambda: train_on_photos(
                scene, job.method, recipe, images, told, lambda title, total, unit: progress(title, total, unit, job.quiet)
            ),
            save_absolute,
            path,
        )
        _save(model, path, scene.units)


def _tell_replacing(path: Path, backbone: str | None) -> None:
    """One line where a model of other features will be replaced: all of a method have one default name."""
    from irploc.training.checkpoint import load_quietly

    content = load_quietly(path) if path.is_file() else None
    before = str((content or {}).get("encoder", ""))
    if before and ((content or {}).get("backbone") or backbone) and before != backbone:
        note(f"{path} is of {before} and will be replaced; --out keeps both")


def _lines(job: _Job) -> Lines:
    import sys

    return Lines(job.quiet, sys.stderr.isatty())


def _save(model: AbsoluteModel, path: Path, units: str) -> None:
    from irploc.training.absolute.model import save_absolute
    from irploc.training.checkpoint import checkpoint_path
    from irploc.training.photographed import features_path

    save_absolute(model, path)
    for left in (checkpoint_path(path), features_path(checkpoint_path(path))):
        left.unlink(missing_ok=True)
    last, line = model.record["epochs"][-1], f"{path}: trained in {model.record['seconds']:.0f} s"
    if "position_m" in last:
        unit = "m" if unit_name(units) == "metres" else f"({units})"
        line += f"; {last['split']} photos, median {last['position_m']:.3f} {unit} {last['rotation_deg']:.2f} deg"
    click.echo(line)


def _unlabelled(job: _Job, store: EmbeddingStore) -> Unlabelled | None:
    """The walks that are trained on by their odometry alone."""
    from irploc.estimators.unlabelled import unlabelled_walks
    from irploc.retrieval.index import build_index

    names: tuple[str, ...] = job.option("unlabelled") or ()
    if not names:
        return None
    walks, found = unlabelled_walks([store_path(job.ctx, name) for name in names], store, build_index(store))
    for walk in found:
        scaled = "" if walk.scale == 1.0 else f", scaled by {walk.scale:.4g}"
        tested = f"; {walk.tested} of them are test or validation photos of this place" if walk.tested else ""
        note(f"{walk.name}: {walk.photos} photos without labels{scaled}{tested}")
    return walks
