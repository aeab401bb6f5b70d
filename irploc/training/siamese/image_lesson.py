"""From photos and pairs to a trained ``SiameseModel`` of the method ``siamese-image``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from irploc.errors import BadInput
from irploc.progress import Progress, Stages, silent_stages
from irploc.scene import Frames, Scene
from irploc.training.backbone import ImageOptions, PooledBackbone, first_weights
from irploc.training.dataset import spread
from irploc.training.features import FeatureSource
from irploc.training.image_features import FrozenImages, TrainedImages, fingerprint_of
from irploc.training.loop import TrainingOptions
from irploc.training.photos import Photos
from irploc.training.siamese.code import PoseCode
from irploc.training.siamese.draws import PairDraws
from irploc.training.siamese.image_model import METHOD, extra_of
from irploc.training.siamese.lesson import CorrelatedPairs, described
from irploc.training.siamese.loop import Lesson, Watched, train_siamese
from irploc.training.siamese.model import SiameseModel
from irploc.training.siamese.recipes import SiameseRecipe

LEAST_CROP = 32  # what the deepest of the backbones shrinks to one pixel
WATCHED = 64  # photos: each report takes a backbone's time for each of them
_SETTLING = 64  # photos that batch normalisation of a random frozen backbone is set by
_CHUNK = 64


@dataclass(frozen=True)
class _Photographed:
    """The mapping photos, then those that are watched, and what they are worth."""

    mapping: Frames
    watched: Frames
    photos: Photos
    watched_split: str


def train_on_images(
    scene: Scene,
    pairs: CorrelatedPairs,
    recipe: SiameseRecipe,
    images: ImageOptions,
    options: TrainingOptions,
    stages: Stages = silent_stages,
) -> SiameseModel:
    """The published network.

    Args:
        scene: its photos must be there.
        pairs: rows of its mapping photos, in their order.
        recipe: ``siamese_recipe("paper")``, with ``side`` and ``crop``.
        images: the backbone.
        options: beside ``checkpoint`` lie the features of a frozen backbone while it trains, see ``features_path``.
        stages: gives a progress bar for a title, a total and a unit, in place of the one of ``options``.

    Raises:
        BadInput: fewer than two mapping photos, photos that cannot be used, no pairs, a crop that cannot be, a loss that
            runs away. NotFound, Mismatch: ImageNet weights that are not there, or have changed.
    """
    check_sizes(recipe, images)
    weights, sha256 = first_weights(images, options.seed)
    mapping = scene.frames.of_split("train")
    draws = PairDraws(mapping.poses, pairs.rows, pairs.angle_deg, recipe)
    backbone = PooledBackbone(images.network, weights, not images.frozen).to(options.device)
    seen = _photographed(scene, mapping, recipe, options.device, stages)
    facts = [scene.mapping_fingerprint, seen.photos.fingerprint, pairs.fingerprint, sha256, repr(images), repr(options.seed)]
    fingerprint = fingerprint_of([*facts, repr((recipe.side, recipe.crop)), options.device.type])
    source: FeatureSource
    if images.frozen:
        if images.random_weights:
            backbone.learn_statistics(seen.photos.crops(spread(len(mapping), _SETTLING)))
        source = _frozen(seen, backbone, images, fingerprint, options, stages)
    else:
        source = TrainedImages(seen.photos, backbone, fingerprint)
    code = PoseCode.fit(mapping.poses, recipe.relation) if recipe.standardize else PoseCode(recipe.relation)
    lesson = Lesson(source, mapping.poses, draws, code, watched=_watched(seen, source, images))
    with stages("training", recipe.total_steps(len(mapping)), "steps") as bar, _repeatable():
        network, record = train_siamese(lesson, recipe, replace(options, progress=bar))
    with stages("features", len(mapping), "images") as bar:
        features = _all_plain(source, len(mapping), bar)
    return SiameseModel(
        method=METHOD,
        network=network,
        code=code,
        recipe=recipe,
        seed=options.seed,
        identity=_identity(scene, images, recipe, sha256),
        record=asdict(record),
        pairs=described(pairs),
        extra=extra_of(backbone, images, features, mapping.names),
    )


def features_path(checkpoint: Path) -> Path:
    """Where the features of a frozen backbone are kept while a training is unfinished."""
    return checkpoint.with_name(f"{checkpoint.name}.features")


def check_sizes(recipe: SiameseRecipe, images: ImageOptions) -> None:
    """Raises BadInput for crops and batches that cannot be."""
    if recipe.crop < LEAST_CROP:
        raise BadInput(f"crop is {recipe.crop} pixels, it must be at least {LEAST_CROP}")
    if recipe.crop > recipe.side:
        raise BadInput(f"crop is {recipe.crop} pixels of photos whose shorter side is {recipe.side}: it must be smaller")
    if not images.frozen and recipe.batch_size < 2:
        raise BadInput("batch size is 1, a trainable backbone normalises over a batch and needs at least 2")


def _photographed(
    scene: Scene, mapping: Frames, recipe: SiameseRecipe, device: torch.device, stages: Stages
) -> _Photographed:
    split = next((name for name in ("validation", "test") if (scene.frames.splits == name).any()), "")
    watched = scene.frames.of_split(split)
    watched = watched[spread(len(watched), WATCHED)]
    paths = (*mapping.images, *watched.images)
    with stages("decoding", len(paths), "images") as bar:
        photos = Photos(paths, recipe.side, recipe.crop, device, progress=bar)
    return _Photographed(mapping, watched, photos, split)


def _frozen(
    seen: _Photographed,
    backbone: PooledBackbone,
    images: ImageOptions,
    fingerprint: str,
    options: TrainingOptions,
    stages: Stages,
) -> FrozenImages:
    count = len(seen.mapping)
    kept = features_path(options.checkpoint) if options.checkpoint is not None else None
    if kept is not None and not options.resume:
        kept.unlink(missing_ok=True)
    with stages("features", count * (1 + images.crops) + len(seen.watched), "crops") as bar:
        return FrozenImages(seen.photos, count, backbone, images.crops, options.seed, fingerprint, kept, bar)


def _watched(seen: _Photographed, source: FeatureSource, images: ImageOptions) -> Watched | None:
    if not len(seen.watched):
        return None
    rows = len(seen.mapping) + np.arange(len(seen.watched))
    features = source.plain(rows) if images.frozen else lambda: source.plain(rows)
    return Watched(seen.watched_split, features, seen.watched.poses)


def _all_plain(source: FeatureSource, count: int, progress: Progress) -> torch.Tensor:
    """(count, D) features of the first photos, on the CPU."""
    parts = []
    for start in range(0, count, _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, count))
        parts.append(source.plain(rows).float().cpu())
        progress.advance(len(rows))
    return torch.cat(parts)


def _identity(scene: Scene, images: ImageOptions, recipe: SiameseRecipe, sha256: str) -> dict[str, str | int]:
    """The scene ties the model to a place; the encoder of the place's embeddings has no part in it."""
    return {
        "scene": scene.name,
        "mapping_fingerprint": scene.mapping_fingerprint,
        "ground_truth": scene.ground_truth,
        "encoder": images.backbone,
        "weights_sha256": sha256,
        "preprocessing": f"shorter side {recipe.side}, centre crop {recipe.crop}, mean and std of {images.backbone}",
        "max_side": 0,
        "dimension": images.network.dimension,
    }


def _repeatable() -> AbstractContextManager[None]:
    """The same bits every time, also where convolutions run on a GPU; fp32 that is fp32."""
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
