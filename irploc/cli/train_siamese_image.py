"""`irploc train siamese-image`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from irploc.cli.common import FILE, SEED, is_quiet, note, workspace_of
from irploc.cli.training import Lines, interruption_told

if TYPE_CHECKING:
    from irploc.scene import Scene
    from irploc.training.loop import TrainingOptions
    from irploc.training.siamese.backbone import ImageOptions
    from irploc.training.siamese.lesson import CorrelatedPairs
    from irploc.training.siamese.model import SiameseModel
    from irploc.training.siamese.recipes import SiameseRecipe
    from irploc.workspace import Workspace

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
@click.option("--resume/--no-resume", default=True, help="Go on with an unfinished training of the same settings.")
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
    resume: bool,
) -> None:
    """Train the Siamese network on the photos of SCENE_OR_H5 (a scene's name or folder, or its embeddings file).

    The published network and its settings: a ResNet-50 that both photos go through, two absolute heads and a relative one.
    With --trainable it needs a GPU or days; --frozen is the one for a CPU. An interrupted training goes on where it was when
    the same command is run again.
    """
    from irploc.encoders.base import EncoderOptions
    from irploc.files import check_writable
    from irploc.training.checkpoint import checkpoint_path
    from irploc.training.loop import TrainingOptions
    from irploc.training.siamese.backbone import ImageOptions, located_first_weights
    from irploc.training.siamese.image_lesson import check_sizes, features_path
    from irploc.training.siamese.model import save_siamese
    from irploc.training.siamese.recipes import siamese_recipe

    numbers = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    recipe = siamese_recipe("paper", relation=relative, cips=cips, crop=crop, side=round(crop * 8 / 7), **numbers)
    images = ImageOptions(backbone, frozen, random_weights)
    check_sizes(recipe, images)
    torch_device = EncoderOptions(device=device).torch_device
    workspace, quiet = workspace_of(ctx), is_quiet(ctx)
    found = _found(workspace, scene_or_h5)
    path = out or workspace.model(found.place, _METHOD)
    check_writable(path)
    located_first_weights(images)  # that they are not there is said before pairs are selected
    correlated = _pairs_for(found, workspace, pairs, recipe, quiet)
    options = TrainingOptions(seed, torch_device, checkpoint_path(path), resume)
    note(_settings(found.scene, correlated, recipe, images, torch_device.type))
    model = _trained(found.scene, correlated, recipe, images, options, quiet)
    save_siamese(model, path)
    for left in (checkpoint_path(path), features_path(checkpoint_path(path))):
        left.unlink(missing_ok=True)
    click.echo(f"{path}: {_summary(model, found.scene.units)}")


@dataclass(frozen=True)
class _Found:
    """A scene and its folder, the name under which its models are kept, and its embeddings, if there are any."""

    scene: Scene
    folder: Path
    place: str
    embeddings: Path | None


def _found(workspace: Workspace, scene_or_h5: str) -> _Found:
    from irploc.errors import Mismatch, NotFound
    from irploc.retrieval.store import EmbeddingStore
    from irploc.scene import Scene

    path = Path(scene_or_h5)
    if path.suffix not in (".h5", ".hdf5") and not path.is_file():
        scene = workspace.load_scene(scene_or_h5)
        embedded = workspace.embeddings(scene.name)
        folder = workspace.scene_folder(scene_or_h5)
        return _Found(scene, folder, scene.name, embedded if embedded.is_file() else None)
    with EmbeddingStore.open(path) as store:
        header = store.header
    folder = Path(header.scene_folder)
    if not (folder / "scene.toml").is_file():
        raise NotFound(f"the scene of {path} is not at {folder} any more: give the scene's folder instead")
    scene = Scene.load(folder)
    if scene.mapping_fingerprint != header.mapping_fingerprint:
        raise Mismatch(f"{path} was made from other mapping photos or poses than {folder} has: run 'irploc embed' again")
    return _Found(scene, folder, workspace.place_of_embeddings(path, header.scene), path)


def _pairs_for(
    found: _Found, workspace: Workspace, given: Path | None, recipe: SiameseRecipe, quiet: bool
) -> CorrelatedPairs:
    """The correlated pairs among the mapping photos of a scene: from a file, or selected now."""
    import numpy as np

    from irploc.errors import BadInput
    from irploc.pairs import PairMatrix
    from irploc.training.siamese.lesson import CorrelatedPairs

    scene = found.scene
    names = scene.frames.of_split("train").names
    if len(names) < 2:
        raise BadInput(f"{scene.name} has {len(names)} mapping photos; a Siamese network needs at least two")
    if not recipe.cips:
        if given is not None:
            raise BadInput(f"--no-cips draws any two photos: leave --pairs {given} out")
        return CorrelatedPairs(np.zeros((0, 2), dtype=np.int64), 180.0, "pairs of any two photos")
    saved = given or workspace.root / "pairs" / f"{scene.name}.npz"
    if given or saved.is_file():
        matrix, origin = PairMatrix.load(saved), f"pairs of {saved.name}"
        matrix.check_scene(scene.mapping_fingerprint, saved)
    else:
        matrix, origin = _selected(found, quiet), "selected now"
    rows = matrix.accepted_among(names)
    return CorrelatedPairs(rows, float(matrix.settings["largest_angle_deg"]), f"{len(rows)} correlated pairs ({origin})")


def _selected(found: _Found, quiet: bool) -> Any:
    from irploc.pairs import select_pairs
    from irploc.pointcloud import check_frame, scene_points
    from irploc.retrieval.store import EmbeddingStore

    note("selecting correlated pairs; 'irploc pairs' keeps them for the next time")
    cloud = scene_points(found.folder)
    if cloud is not None:
        check_frame(cloud, found.scene)
    if found.embeddings is None:
        return select_pairs(found.scene, cloud=cloud, quiet=quiet)
    with EmbeddingStore.open(found.embeddings) as store:
        same = store.header.mapping_fingerprint == found.scene.mapping_fingerprint and not store.left_out
        return select_pairs(found.scene, store=store if same else None, cloud=cloud, quiet=quiet)


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
    from irploc.cli.train_siamese import _summary as summary

    start = " from random features" if model.extra["random_weights"] else ""
    return f"{model.extra['backbone']}{start}, {summary(model, units)}"
