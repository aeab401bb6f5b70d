"""What a model of ``siamese-image`` keeps besides its heads: the backbone, and the mapping photos as it sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from irploc.encoders.backbones import read_state_dict
from irploc.errors import BadInput, Mismatch
from irploc.images import Photo
from irploc.training.backbone import ImageOptions, PooledBackbone, located_weights
from irploc.training.features import chunks
from irploc.training.photos import as_batch, cropped, scaled_together
from irploc.training.siamese.model import SiameseModel, load_siamese

METHOD = "siamese-image"
TRAIN_COMMAND = "irploc train siamese-image"
_TRUNK = "trunk."
_CHUNK = 64


def extra_of(backbone: PooledBackbone, images: ImageOptions, features: torch.Tensor, names: Sequence[str]) -> dict[str, Any]:
    """``SiameseModel.extra``.

    The weights of the trunk are in the model, but where they are ImageNet's and stayed so: then they are found again by
    their hash.

    Args:
        backbone: as trained.
        features: (M, D) of the mapping photos.
        names: M.
    """
    extra: dict[str, Any] = {
        "backbone": images.backbone,
        "frozen": images.frozen,
        "random_weights": images.random_weights,
        "crops": images.crops,
        "mean": list(images.network.mean),
        "std": list(images.network.std),
        "names": list(names),
        "mapping_features": features.contiguous(),
    }
    if not images.frozen or images.random_weights:
        weights = backbone.trunk.state_dict()
        extra |= {_TRUNK + name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    return extra


class ImageModel:
    """A loaded model of ``siamese-image``.

    Args:
        model: with its ``extra``.
        path: of its file, for messages.
        device: of the backbone.

    Attributes:
        model: as given.
        names: M mapping photos.
        vectors: (M, D) float32 their features.

    Raises:
        BadInput: its content is not what such a model has. NotFound, Mismatch: its ImageNet weights are not there, or are
            others.
    """

    def __init__(self, model: SiameseModel, path: Path, device: torch.device | None = None) -> None:
        self.model, self._device = model, device or torch.device("cpu")
        extra = model.extra
        try:
            self._options = ImageOptions(extra["backbone"], extra["frozen"], extra["random_weights"], extra["crops"])
            self.names = tuple(str(name) for name in extra["names"])
            self.vectors: np.ndarray = extra["mapping_features"].float().numpy()
            if self.vectors.shape != (len(self.names), model.network.inputs):
                raise ValueError(f"it has {self.vectors.shape} features of {len(self.names)} photos")
            backbone = PooledBackbone(self._options.network, _trunk_weights(model, self._options, path), trainable=False)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise BadInput(f"{path} is damaged: {str(error).splitlines()[0]}; train again with '{TRAIN_COMMAND}'") from None
        self._backbone = backbone.to(self._device)

    def rows_of(self, names: Sequence[str], path: Path) -> np.ndarray:
        """(N,) rows of ``vectors`` of the mapping photos of a place; raises Mismatch where one is missing."""
        row_of = {name: row for row, name in enumerate(self.names)}
        missing = [name for name in names if name not in row_of]
        if missing:
            raise Mismatch(
                f"{path} knows {len(missing)} of {len(names)} mapping photos not, first {missing[0]}: train again with "
                f"'{TRAIN_COMMAND}'"
            )
        return np.array([row_of[name] for name in names], dtype=np.int64)

    def features(self, photos: Sequence[Photo]) -> np.ndarray:
        """(N, D) float32 of the centre crops of photos.

        Raises:
            NotFound, BadInput: for a path that is no photo.
        """
        recipe = self.model.recipe
        found = np.zeros((len(photos), self.vectors.shape[1]), dtype=np.float32)
        for rows in chunks(len(photos), _CHUNK):
            pixels = scaled_together([photos[row] for row in rows], recipe.side)
            crops = as_batch([cropped(photo, recipe.crop) for photo in pixels])
            found[rows] = self._backbone.plain(crops.to(self._device)).cpu().numpy()
        return found


def load_image_model(path: Path, place: Mapping[str, str | int], device: torch.device | None = None) -> ImageModel:
    """Reads a model for the place whose embeddings have this identity (``dataset.identity_of``).

    Scene, mapping photos and ground truth must be those it was trained on; the encoder of the embeddings may be any.

    Raises:
        NotFound, BadInput, Mismatch: as ``load_siamese`` and ``ImageModel``, and for another place.
    """
    model = load_siamese(path, method=METHOD)
    if model.identity["mapping_fingerprint"] != place["mapping_fingerprint"]:
        ours, theirs = model.identity["scene"], place["scene"]
        what = (
            f"scene {ours!r}, this is {theirs!r}" if ours != theirs else f"other mapping photos or poses of scene {ours!r}"
        )
        raise Mismatch(f"{path} was trained on {what}: train again with '{TRAIN_COMMAND} {theirs}'")
    return ImageModel(model, path, device)


def _trunk_weights(model: SiameseModel, options: ImageOptions, path: Path) -> dict[str, torch.Tensor]:
    if not options.frozen or options.random_weights:
        return {name.removeprefix(_TRUNK): value for name, value in model.extra.items() if name.startswith(_TRUNK)}
    located = located_weights(options.backbone, f"train {path} again with '{TRAIN_COMMAND} --trainable'")
    if located.sha256 != model.identity["weights_sha256"]:
        raise Mismatch(
            f"{path} was trained on weights {str(model.identity['weights_sha256'])[:12]}… of {options.backbone}, "
            f"{located.path} has {located.sha256[:12]}…: import those it was trained on, or train again"
        )
    return read_state_dict(options.network, located.path)
