"""A backbone in a model file, and out of it: what photos look like to a trained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from irploc.encoders.backbones import read_state_dict
from irploc.errors import Mismatch
from irploc.images import Photo
from irploc.training.backbone import ImageOptions, PooledBackbone, located_weights
from irploc.training.features import chunks
from irploc.training.photos import as_batch, cropped, scaled_together

_TRUNK = "trunk."
_CHUNK = 64


def backbone_to_plain(backbone: PooledBackbone, images: ImageOptions) -> dict[str, Any]:
    """Its options, and the weights of the trunk, but where they are ImageNet's and stayed so: then they are found again by
    their hash."""
    plain: dict[str, Any] = {
        "backbone": images.backbone,
        "frozen": images.frozen,
        "random_weights": images.random_weights,
        "crops": images.crops,
        "mean": list(images.network.mean),
        "std": list(images.network.std),
    }
    if not images.frozen or images.random_weights:
        weights = backbone.trunk.state_dict()
        plain |= {_TRUNK + name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    return plain


def backbone_from_plain(plain: Mapping[str, Any], sha256: str, path: Path, command: str) -> PooledBackbone:
    """The inverse of ``backbone_to_plain``, frozen.

    Args:
        plain: of the file.
        sha256: of the ImageNet weights it was trained on.
        path: of the model file, and command: that makes it, for messages.

    Raises:
        NotFound, Mismatch: its ImageNet weights are not there, or are others. KeyError, TypeError, RuntimeError: damage.
    """
    images = ImageOptions(plain["backbone"], plain["frozen"], plain["random_weights"], plain["crops"])
    return PooledBackbone(images.network, _trunk(plain, images, sha256, path, command), trainable=False)


def _trunk(plain: Mapping[str, Any], images: ImageOptions, sha256: str, path: Path, command: str) -> dict[str, torch.Tensor]:
    if not images.frozen or images.random_weights:
        return {name.removeprefix(_TRUNK): value for name, value in plain.items() if name.startswith(_TRUNK)}
    located = located_weights(images.backbone, f"train {path} again with '{command} --trainable'")
    if located.sha256 != sha256:
        raise Mismatch(
            f"{path} was trained on weights {sha256[:12]}… of {images.backbone}, {located.path} has "
            f"{located.sha256[:12]}…: import those it was trained on, or train again"
        )
    return read_state_dict(images.network, located.path)


def features_of_photos(backbone: PooledBackbone, photos: Sequence[Photo], side: int, crop: int) -> np.ndarray:
    """(N, D) float32 of the centre crops of photos.

    Raises:
        NotFound, BadInput: for a path that is no photo.
    """
    device = next(backbone.parameters()).device
    found = np.zeros((len(photos), backbone.dimension), dtype=np.float32)
    for rows in chunks(len(photos), _CHUNK):
        pixels = scaled_together([photos[row] for row in rows], side)
        crops = as_batch([cropped(photo, crop) for photo in pixels])
        found[rows] = backbone.plain(crops.to(device)).cpu().numpy()
    return found
