"""Classification networks of torchvision, cut before the classifier, with GeM pooling: ``resnet50-gem`` and its like."""

from __future__ import annotations

import functools
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from irploc.encoders.base import ENCODERS, EncoderEntry, EncoderOptions
from irploc.encoders.network import NetworkEncoder, frozen, he_normal
from irploc.encoders.weights import CATALOGUE, WeightsFile, find_weights
from irploc.errors import BadInput, summarize

POWER = 3.0
_FLOOR = 1e-6
_RANDOM_GAIN = 1.5  # with 2, features of a random EfficientNet-B7 reach 1e5 and rounding alone changes the vector
_URL = "https://download.pytorch.org/models/"
_CLASSIFIER = ("avgpool", "dropout", "fc", "classifier", "aux1", "aux2")
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Backbone:
    """One network of torchvision.

    Attributes:
        model: its builder's name.
        dimension: channels of its last feature map.
        file: of its ImageNet weights (IMAGENET1K_V1); ends in the first eight digits of the file's sha256.
        mean, std: of the RGB values in [0, 1] that its weights were trained with.
    """

    model: str
    dimension: int
    file: str
    mean: tuple[float, float, float] = _IMAGENET[0]
    std: tuple[float, float, float] = _IMAGENET[1]

    @property
    def name(self) -> str:
        """As users type it: of the weights; the encoder's has ``-gem`` after it."""
        return self.model.replace("_", "-")


BACKBONES = {
    backbone.name: backbone
    for backbone in (
        Backbone("resnet18", 512, "resnet18-f37072fd.pth"),
        Backbone("resnet34", 512, "resnet34-b627a593.pth"),
        Backbone("resnet50", 2048, "resnet50-0676ba61.pth"),
        Backbone("resnet101", 2048, "resnet101-63fe2227.pth"),
        Backbone("resnet152", 2048, "resnet152-394f9c45.pth"),
        Backbone("vgg16", 512, "vgg16-397923af.pth"),
        # Its weights come from TensorFlow: torchvision undoes ImageNet's mean and deviation for it (transform_input).
        Backbone("googlenet", 1024, "googlenet-1378be20.pth", *_HALVES),
        Backbone("efficientnet_b0", 1280, "efficientnet_b0_rwightman-7f5810bc.pth"),
        Backbone("efficientnet_b7", 2560, "efficientnet_b7_lukemelas-c5b4e57e.pth"),
        Backbone("mobilenet_v3_large", 960, "mobilenet_v3_large-8738ca79.pth"),
    )
}


class GemEncoder(NetworkEncoder):
    """Feature map of a backbone, averaged with exponent 3.

    Source: Radenovic et al., TPAMI 2019. Features below 1e-6 (networks that do not end in a ReLU have negative ones)
    count as 1e-6, as there. No whitening is learned.
    """

    def __init__(
        self, backbone: Backbone, weights: Mapping[str, torch.Tensor], sha256: str, options: EncoderOptions
    ) -> None:
        mean, std = torch.tensor(backbone.mean), torch.tensor(backbone.std)
        super().__init__(options, 1.0 / (255.0 * std), -mean / std)
        self.name = f"{backbone.name}-gem"
        self.dimension = backbone.dimension
        self.weights_sha256 = sha256
        self.preprocessing = f"RGB / 255, mean {_listed(backbone.mean)}, std {_listed(backbone.std)}"
        trunk = build_trunk(backbone)
        trunk.load_state_dict(dict(weights), assign=True)
        self._trunk = frozen(trunk, options)

    def _describe(self, pixels_BCHW: torch.Tensor) -> torch.Tensor:
        return generalized_mean(self._trunk(pixels_BCHW).float())


def generalized_mean(features_BCHW: torch.Tensor) -> torch.Tensor:
    """(B, C): the mean over all locations with exponent 3, relative to the largest value so that no power overflows."""
    features_BCHW = features_BCHW.clamp(min=_FLOOR)
    peaks_B111 = features_BCHW.amax(dim=(1, 2, 3), keepdim=True)
    powers_BC = (features_BCHW / peaks_B111).pow(POWER).mean(dim=(2, 3))
    return powers_BC.pow(1.0 / POWER) * peaks_B111[:, :, 0, 0]


def build_trunk(backbone: Backbone) -> nn.Sequential:
    """The network up to its last feature map, on the meta device; names of weights are torchvision's."""
    from irploc.torchvision_safe import models

    extra = {"init_weights": False} if backbone.model == "googlenet" else {}
    with torch.device("meta"):
        model = models.get_model(backbone.model, weights=None, **extra)
    parts = OrderedDict((name, part) for name, part in model.named_children() if name not in _CLASSIFIER)
    if backbone.model == "vgg16":
        parts["features"] = parts["features"][:-1]  # its last pooling belongs to the classifier
    return nn.Sequential(parts)


def read_state_dict(backbone: Backbone, path: Path) -> dict[str, torch.Tensor]:
    """The backbone's weights of a torchvision state dict, float32; what belongs to the classifier is left out.

    Raises:
        BadInput: the file cannot be read, or lacks weights, or has them in another shape; says which.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path} is not a torch state dict of {backbone.name}: {_first_sentence(error)}") from None
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise BadInput(f"{path} is not a torch state dict of {backbone.name}: expected a mapping of names to tensors")
    wanted = build_trunk(backbone).state_dict()
    # Counters of training steps, which old files do not have; inference does not use them.
    counters = [name for name in wanted if name.endswith("num_batches_tracked")]
    missing = [name for name in wanted if name not in content and name not in counters]
    if missing:
        raise BadInput(f"{path} lacks {len(missing)} of {len(wanted)} weights of {backbone.name}: {summarize(missing)}")
    found = {name: content.get(name, torch.tensor(0)) for name in wanted}
    other = [name for name in wanted if name not in counters and found[name].shape != wanted[name].shape]
    if other:
        shapes = f"{tuple(found[other[0]].shape)} instead of {tuple(wanted[other[0]].shape)}"
        raise BadInput(f"{path} is not {backbone.name}: {len(other)} weights have another shape; {other[0]} is {shapes}")
    return {name: value if name in counters else value.float() for name, value in found.items()}


def random_state_dict(backbone: Backbone, seed: int) -> dict[str, torch.Tensor]:
    """Weights that have learned nothing; the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return {name: _random(name, value, generator) for name, value in build_trunk(backbone).state_dict().items()}


def _random(name: str, like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if like.ndim > 1:
        return he_normal(like.shape, generator, _RANDOM_GAIN)
    one = name.endswith(("running_var", "weight"))
    return torch.full(like.shape, 1 if one else 0, dtype=like.dtype)


def _listed(values: tuple[float, ...]) -> str:
    return "/".join(f"{value:g}" for value in values)


def _first_sentence(error: Exception) -> str:
    return " ".join(str(error).split()).partition(". ")[0][:120] or type(error).__name__


def _create(backbone: Backbone, name: str, options: EncoderOptions) -> GemEncoder:
    if name != f"{backbone.name}-gem":
        raise BadInput(f"{backbone.name}-gem takes no argument, got {name!r}")
    if options.random_weights is not None:
        seed = options.random_weights
        return GemEncoder(backbone, random_state_dict(backbone, seed), f"random-seed-{seed}", options)
    located = find_weights(backbone.name)
    return GemEncoder(backbone, read_state_dict(backbone, located.path), located.sha256, options)


def _check(backbone: Backbone, path: Path) -> None:
    read_state_dict(backbone, path)


for _backbone in BACKBONES.values():
    _digits = _backbone.file.removesuffix(".pth").rpartition("-")[2]
    _source = "torchvision, ImageNet-1k (V1)"
    CATALOGUE.register(_backbone.name)(
        WeightsFile(
            name=_backbone.name,
            file=_backbone.file,
            url=_URL + _backbone.file,
            sha256=_digits,
            source=_source,
            licence="BSD-3-Clause (torchvision); ImageNet's terms apply to what was trained on it",
            check=functools.partial(_check, _backbone),
        )
    )
    ENCODERS.register(f"{_backbone.name}-gem")(
        EncoderEntry(functools.partial(_create, _backbone), _backbone.dimension, _source, weights=_backbone.name)
    )
