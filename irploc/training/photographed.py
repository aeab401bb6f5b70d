"""The photos of a scene, ready for a backbone: mapping photos first, then those that are watched in training."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from irploc.errors import BadInput
from irploc.progress import Progress, Stages
from irploc.scene import Frames, Scene
from irploc.training.backbone import ImageOptions, PooledBackbone, first_weights
from irploc.training.dataset import spread
from irploc.training.features import FeatureSource
from irploc.training.image_features import FrozenImages, TrainedImages, fingerprint_of
from irploc.training.loop import TrainingOptions
from irploc.training.photos import Photos

LEAST_CROP = 32  # what the deepest of the backbones shrinks to one pixel
WATCHED = 64  # photos: each report takes a backbone's time for each of them
_SETTLING = 64  # photos that batch normalisation of a random frozen backbone is set by
_CHUNK = 64


class Sizes(Protocol):
    """What recipes say of photos."""

    @property
    def side(self) -> int:
        """Pixels of the shorter side."""
        ...

    @property
    def crop(self) -> int:
        """Pixels of the square that is cut out."""
        ...


@dataclass(frozen=True)
class Photographed:
    """The mapping photos, then those that are watched.

    Attributes:
        mapping, watched: their frames.
        photos: of both, in this order.
        watched_split: name of the split of the latter.
    """

    mapping: Frames
    watched: Frames
    photos: Photos
    watched_split: str

    @property
    def watched_rows(self) -> np.ndarray:
        """Where the watched ones are among ``photos``."""
        return len(self.mapping) + np.arange(len(self.watched))


def photographed(scene: Scene, sizes: Sizes, device: torch.device, stages: Stages) -> Photographed:
    """Decodes the photos of a scene; raises BadInput for those that cannot be used."""
    mapping = scene.frames.of_split("train")
    split = next((name for name in ("validation", "test") if (scene.frames.splits == name).any()), "")
    watched = scene.frames.of_split(split)
    watched = watched[spread(len(watched), WATCHED)]
    paths = (*mapping.images, *watched.images)
    with stages("decoding", len(paths), "images") as bar:
        photos = Photos(paths, sizes.side, sizes.crop, device, progress=bar)
    return Photographed(mapping, watched, photos, split)


@dataclass(frozen=True)
class Looking:
    """A backbone at the start of a training, and what it gives.

    Attributes:
        backbone: on its device.
        source: features of the photos.
        sha256: of the weights it started from.
    """

    backbone: PooledBackbone
    source: FrozenImages | TrainedImages
    sha256: str


def look(
    seen: Photographed,
    images: ImageOptions,
    sizes: Sizes,
    facts: list[str],
    options: TrainingOptions,
    stages: Stages,
) -> Looking:
    """Features of photos: of a frozen backbone at once, of a trained one when they are asked for.

    Args:
        facts: what else the training depends on, for the fingerprint.
        options: beside ``checkpoint`` lie the features of a frozen backbone while it trains, see ``features_path``.

    Raises:
        NotFound, Mismatch: ImageNet weights that are not there, or have changed.
    """
    weights, sha256 = first_weights(images, options.seed)
    backbone = PooledBackbone(images.network, weights, not images.frozen).to(options.device)
    known = [seen.photos.fingerprint, sha256, repr(images), repr(options.seed), repr((sizes.side, sizes.crop))]
    fingerprint = fingerprint_of([*facts, *known, options.device.type])
    if not images.frozen:
        return Looking(backbone, TrainedImages(seen.photos, backbone, fingerprint), sha256)
    if images.random_weights:
        backbone.learn_statistics(seen.photos.crops(spread(len(seen.mapping), _SETTLING)))
    return Looking(backbone, _frozen(seen, backbone, images, fingerprint, options, stages), sha256)


def features_path(checkpoint: Path) -> Path:
    """Where the features of a frozen backbone are kept while a training is unfinished."""
    return checkpoint.with_name(f"{checkpoint.name}.features")


def check_sizes(sizes: Sizes, batch_size: int, images: ImageOptions) -> None:
    """Raises BadInput for crops and batches that cannot be."""
    if sizes.crop < LEAST_CROP:
        raise BadInput(f"crop is {sizes.crop} pixels, it must be at least {LEAST_CROP}")
    if sizes.crop > sizes.side:
        raise BadInput(f"crop is {sizes.crop} pixels of photos whose shorter side is {sizes.side}: it must be smaller")
    if not images.frozen and batch_size < 2:
        raise BadInput("batch size is 1, a trainable backbone normalises over a batch and needs at least 2")


def plain_features(source: FeatureSource, count: int, progress: Progress) -> torch.Tensor:
    """(count, D) features of the first photos, on the CPU."""
    parts = []
    for start in range(0, count, _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, count))
        parts.append(source.plain(rows).float().cpu())
        progress.advance(len(rows))
    return torch.cat(parts)


def identity_of_scene(scene: Scene, images: ImageOptions, sizes: Sizes, sha256: str) -> dict[str, str | int]:
    """What ties a model on photos to a place; the encoder of the place's embeddings has no part in it."""
    return {
        "scene": scene.name,
        "mapping_fingerprint": scene.mapping_fingerprint,
        "ground_truth": scene.ground_truth,
        "encoder": images.backbone,
        "weights_sha256": sha256,
        "preprocessing": f"shorter side {sizes.side}, centre crop {sizes.crop}, mean and std of {images.backbone}",
        "max_side": 0,
        "dimension": images.network.dimension,
    }


def repeatable() -> AbstractContextManager[None]:
    """The same bits every time, also where convolutions run on a GPU; fp32 that is fp32."""
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)


def _frozen(
    seen: Photographed,
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
