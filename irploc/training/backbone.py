"""``PooledBackbone``: a classification network without its classifier, as a feature of a photo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from irploc.encoders.backbones import BACKBONES, Backbone, build_trunk, random_state_dict, read_state_dict
from irploc.encoders.weights import CATALOGUE, Located, find_weights, weights_folder
from irploc.errors import BadInput, NotFound

_CHUNK = 16


@dataclass(frozen=True)
class ImageOptions:
    """A backbone that looks at photos in training.

    Attributes:
        backbone: one of ``BACKBONES``.
        frozen: keep its weights; False trains them with the heads.
        random_weights: start from weights that have learned nothing, instead of ImageNet's.
        crops: random crops of each photo that a frozen backbone looks at, once; a trained one sees new ones in every step.

    Raises:
        BadInput: an unknown backbone, or no crops.
    """

    backbone: str = "resnet50"
    frozen: bool = False
    random_weights: bool = False
    crops: int = 8

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise BadInput(f"unknown backbone {self.backbone!r}, choose one of {', '.join(BACKBONES)}")
        if self.crops < 1:
            raise BadInput(f"crops is {self.crops}, it must be at least 1")

    @property
    def network(self) -> Backbone:
        """The entry of ``BACKBONES``."""
        return BACKBONES[self.backbone]


class PooledBackbone(nn.Module):
    """The mean over the last feature map.

    Args:
        backbone: which.
        weights: of the trunk.
        trainable: False keeps it in evaluation mode, batch normalisation included.

    Source: Siamese paper, sections 2.1.ii and 3.2. They leave open whether feature maps are pooled or flattened. Pooled, as
    ResNet does before its own classifier: of flattened maps (7 x 7 x 2048) the first layers of the three heads would have
    0.8 billion weights, more than their card holds with Adam. They subtract the mean image of the crops and divide by its
    standard deviation; here it is the mean and deviation of each channel that the weights were learned with, without which
    pretrained features are other ones; a mean per pixel says little about crops at random places.
    """

    def __init__(self, backbone: Backbone, weights: Mapping[str, torch.Tensor], trainable: bool) -> None:
        super().__init__()
        self.dimension, self._trainable = backbone.dimension, trainable
        trunk = build_trunk(backbone)
        trunk.load_state_dict(dict(weights), assign=True)
        self.trunk = trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        std = torch.tensor(backbone.std)
        self._scale: torch.Tensor
        self._shift: torch.Tensor
        self.register_buffer("_scale", (1.0 / (255.0 * std)).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("_shift", (-torch.tensor(backbone.mean) / std).reshape(1, 3, 1, 1), persistent=False)
        self.train(trainable).requires_grad_(trainable)

    def train(self, mode: bool = True) -> PooledBackbone:
        """As always, but that a frozen one stays in evaluation mode."""
        return super().train(mode and self._trainable)

    def forward(self, pixels_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, dimension) of (B, 3, H, W) uint8."""
        features: torch.Tensor = self.trunk(pixels_BCHW.float() * self._scale + self._shift)
        return features.mean(dim=(2, 3))

    @torch.no_grad()
    def learn_statistics(self, pixels_BCHW: torch.Tensor) -> None:
        """Sets the means and variances of batch normalisation to those of some photos, the weights staying as they are.

        Without it features of a random network grow from layer to layer, and no head can be trained on them.
        """
        layers = [layer for layer in self.modules() if isinstance(layer, nn.BatchNorm2d)]
        momenta = [layer.momentum for layer in layers]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # the mean over all batches
            layer.train()
        for part in pixels_BCHW.split(_CHUNK):
            self(part)
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
            layer.eval()

    @torch.no_grad()
    def plain(self, pixels_BCHW: torch.Tensor) -> torch.Tensor:
        """The same in evaluation mode, a few photos at a time and without gradients; fp32 that is fp32 on every device."""
        before = self.training
        self.eval()
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            parts = [self(part) for part in pixels_BCHW.split(_CHUNK)]
        self.train(before)
        return torch.cat(parts) if parts else torch.zeros(0, self.dimension)


def first_weights(options: ImageOptions, seed: int) -> tuple[dict[str, torch.Tensor], str]:
    """What the backbone starts from, and its sha256 (``random-seed-N`` for weights that have learned nothing).

    Raises:
        NotFound: the ImageNet weights are not on this machine; says how they get there. BadInput, Mismatch: they cannot be
            read, or have changed.
    """
    located = located_first_weights(options)
    if located is None:
        return random_state_dict(options.network, seed), f"random-seed-{seed}"
    return read_state_dict(options.network, located.path), located.sha256


def located_first_weights(options: ImageOptions) -> Located | None:
    """The file of ``first_weights``, None for random ones; raises as that does."""
    if options.random_weights:
        return None
    return located_weights(options.backbone, "start from random features with --random-weights")


def located_weights(backbone: str, way_out: str) -> Located:
    """ImageNet weights on this machine; raises NotFound with how to get them, or else ``way_out``."""
    file = CATALOGUE.get(backbone).file
    if not CATALOGUE.get(backbone).path.is_file():
        raise NotFound(
            f"the ImageNet weights of {backbone} are not in {weights_folder()}: run 'irploc weights fetch {backbone}', or "
            f"get {file} elsewhere and run 'irploc weights import {file}', or {way_out}"
        )
    return find_weights(backbone)
