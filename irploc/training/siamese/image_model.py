"""What a model of ``siamese-image`` keeps besides its heads: the backbone, and the mapping photos as it sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from irploc.errors import BadInput, Mismatch
from irploc.images import Photo
from irploc.training.backbone import ImageOptions, PooledBackbone
from irploc.training.backbone_file import backbone_from_plain, backbone_to_plain, features_of_photos
from irploc.training.siamese.model import SiameseModel, load_siamese

METHOD = "siamese-image"
TRAIN_COMMAND = "irploc train siamese-image"


def extra_of(backbone: PooledBackbone, images: ImageOptions, features: torch.Tensor, names: Sequence[str]) -> dict[str, Any]:
    """``SiameseModel.extra``.

    Args:
        backbone: as trained.
        features: (M, D) of the mapping photos.
        names: M.
    """
    return {
        **backbone_to_plain(backbone, images),
        "names": list(names),
        "mapping_features": features.contiguous(),
    }


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
            self.names = tuple(str(name) for name in extra["names"])
            self.vectors: np.ndarray = extra["mapping_features"].float().numpy()
            if self.vectors.shape != (len(self.names), model.network.inputs):
                raise ValueError(f"it has {self.vectors.shape} features of {len(self.names)} photos")
            sha256 = str(model.identity["weights_sha256"])
            backbone = backbone_from_plain(extra, sha256, path, TRAIN_COMMAND)
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
        return features_of_photos(self._backbone, photos, recipe.side, recipe.crop)


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
