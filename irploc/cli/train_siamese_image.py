"""`irploc train siamese-image`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from irploc.cli.common import FILE, SEED, is_quiet, note, workspace_of
from irploc.cli.configuration import configured, given, recorded
from irploc.cli.correlated import found_scene, pairs_for
from irploc.cli.recording import Training, recorded_run
from irploc.cli.train_siamese import calibrated, summary
from irploc.cli.training import Lines, interruption_told

if TYPE_CHECKING:
    from irploc.scene import Scene
    from irploc.training.backbone import ImageOptions
    from irploc.training.loop import TrainingOptions
    from irploc.training.siamese.lesson import CorrelatedPairs
    from irploc.training.siamese.model import SiameseModel
    from irploc.training.siamese.recipes import SiameseRecipe

_METHOD = "siamese-image"


@click.command(_METHOD)
@click.argument("scene_or_h5")
@click.option("--backbone", default="resnet50", show_default=True, help="resnet18 … resnet152, vgg16, efficientnet-b0 …")
@click.option(
    "--frozen/--trainable", default=False, help="Keep the backbone's weights, or train them too.  [default: trainable]"
)
@click.option("--random-weights", is_flag=True, help="Start from a backbone that has learned nothing.")
@click.option("--pairs", type=FILE, help="Correlated pairs.  [default: pairs/<scene>.npz, else they are selected now]")
@click.option("--cips/--no-cips", default=True, help="Draw correlated pairs, or any two photos.  [default: cips]")
@click.option(
    "--relative", default="difference", show_default=True, help="What the relative head learns: difference or group."
)
@click.option("--epochs", type=int, default=300, show_default=True, help="Times each image is drawn.")
@click.option("--batch-size", type=int, default=30, show_default=True, help="Pairs a step.")
@click.option("--learning-rate", type=float, default=1e-3, show_default=True, help="Of the optimiser.")
@click.option(
    "--crop", type=int, default=224, show_default=True, help="Pixels of the crops; photos are scaled to 8/7 of it."
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of every random choice.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N.")
@click.option("--out", type=FILE, help="Model file.  [default: models/<scene>.siamese-image.pt]")
@click.option(
    "--calibration/--no-calibration", default=True, help="With --frozen, also learn what confidence the answers deserve."
)
@click.option("--resume/--no-resume", default=True, help="Go on with an unfinished training of the same settings.")
@recorded
@click.pass_context
def siamese_image(
    ctx: click.Context,
    scene_or_h5: str,
    backbone: str,
    frozen: bool,
    random_weights: bool,
    pairs: Path | None,
    cips: bool,
    relative: str,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    crop: int,
    seed: int,
    device: str,
    out: Path | None,
    calibration: bool,
    resume: bool,
) -> None:
    """Train the Siamese network on the photos of SCENE_OR_H5 (a scene's name or folder, or its embeddings file).

    The published network and its settings: a ResNet-50 that both photos go through, two absolute heads and a relative one.
    With --trainable it needs a GPU or days; --frozen is the one for a CPU. An interrupted training goes on where it was when
    the same command is run again.
    """
    from dataclasses import replace

    from irploc.encoders.base import EncoderOptions
    from irploc.estimators.siamese_calibration import calibrated_image_model
    from irploc.files import check_writable
    from irploc.training.backbone import ImageOptions, located_first_weights
    from irploc.training.checkpoint import checkpoint_path
    from irploc.training.loop import TrainingOptions
    from irploc.training.photographed import check_sizes, features_path
    from irploc.training.siamese.model import save_siamese
    from irploc.training.siamese.recipes import siamese_recipe

    chosen = given(ctx, "relative", "cips", "epochs", "batch_size", "learning_rate", "crop")
    if "crop" in chosen:
        chosen["side"] = round(crop * 8 / 7)
    recipe = configured(ctx, siamese_recipe("paper"), **chosen)
    images = ImageOptions(backbone, frozen, random_weights)
    check_sizes(recipe, recipe.batch_size, images)
    torch_device = EncoderOptions(device=device).torch_device
    workspace, quiet = workspace_of(ctx), is_quiet(ctx)
    with found_scene(workspace, scene_or_h5) as (mapped, place):
        scene, path = mapped.scene, out or workspace.model(place, _METHOD)
        check_writable(path)
        weights = located_first_weights(images)  # that they are not there is said before pairs are selected
        correlated = pairs_for(mapped, workspace, pairs, recipe.cips, quiet)
    options = TrainingOptions(seed, torch_device, checkpoint_path(path), resume)
    note(_settings(scene, correlated, recipe, images, torch_device.type))
    facts = {**_data(scene, correlated), "weights_sha256": weights.sha256 if weights is not None else ""}
    with recorded_run(ctx, Training(place, _METHOD, path, recipe, facts, torch_device.type)) as run:
        options = replace(options, record=run.entry)
        model = _trained(scene, correlated, recipe, images, options, quiet)
        if calibration and frozen:
            mapping = scene.frames.of_split("train")
            model = calibrated(
                model,
                mapping.poses,
                lambda with_bar: calibrated_image_model(model, mapping, correlated, with_bar),
                options,
                quiet,
            )
        save_siamese(model, path)
        for left in (checkpoint_path(path), features_path(checkpoint_path(path))):
            left.unlink(missing_ok=True)
    click.echo(f"{path}: {_summary(model, scene.units)}")


def _data(scene: Scene, pairs: CorrelatedPairs) -> dict[str, Any]:
    """What a result depends on besides the backbone and the settings."""
    return {
        "scene": scene.name,
        "mapping_fingerprint": scene.mapping_fingerprint,
        "ground_truth": scene.ground_truth,
        "units": scene.units,
        "pairs": pairs.fingerprint,
    }


def _settings(scene: Scene, pairs: CorrelatedPairs, recipe: SiameseRecipe, images: ImageOptions, device: str) -> str:
    count = int((scene.frames.splits == "train").sum())
    start = "RANDOM features (it has learned nothing)" if images.random_weights else "ImageNet features"
    kind = "frozen" if images.frozen else "trainable"
    crops = f" after {count * (1 + images.crops)} crops" if images.frozen else ""
    return (
        f"{_METHOD}, {kind} {images.backbone} from {start}, crops of {recipe.crop} px, relative pose as {recipe.relation}, "
        f"{count} images, {pairs.origin}, {recipe.total_steps(count)} steps on {device}{crops}"
    )


def _trained(
    scene: Scene,
    pairs: CorrelatedPairs,
    recipe: SiameseRecipe,
    images: ImageOptions,
    options: TrainingOptions,
    quiet: bool,
) -> SiameseModel:
    import sys
    from dataclasses import replace

    from irploc.progress import progress
    from irploc.training.siamese.image_lesson import train_on_images

    lines = Lines(quiet, sys.stderr.isatty())
    with interruption_told():
        return train_on_images(
            scene,
            pairs,
            recipe,
            images,
            replace(options, report=lines),
            lambda title, total, unit: progress(title, total, unit, quiet),
        )


def _summary(model: SiameseModel, units: str) -> str:
    start = " from random features" if model.extra["random_weights"] else ""
    return f"{model.extra['backbone']}{start}, {summary(model, units)}"
