"""NetVLAD on VGG16, from the MATLAB file of its authors: ``netvlad-vgg16``.

Source: Arandjelovic et al., CVPR 2016. The published weights were trained on Pitts30K; the IRPNet paper used Pitts250K.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from irploc.encoders.base import ENCODERS, EncoderEntry, EncoderOptions
from irploc.encoders.network import NetworkEncoder, frozen, he_normal, rounded
from irploc.encoders.weights import CATALOGUE, WeightsFile, converted_tensors, find_weights
from irploc.errors import BadInput

NAME = "netvlad-vgg16"
CHANNELS, CLUSTERS, DIMENSION = 512, 64, 4096
_ASSIGNMENT_LAYER, _WHITENING_LAYER = 30, 33
_IMAGENET_MEAN_RGB = (123.68, 116.779, 103.939)  # of the random network only; a file brings its own

# A ReLU network with its biases scaled by s on an input scaled by s gives s times the features, and the head looks at
# their directions only. So fp16, whose range VGG's features on 0..255 can leave, computes all of it at this scale.
_FP16_SCALE = 2.0**-7

Weights = dict[str, torch.Tensor]
"""trunk.* as torchvision's vgg16().features[:-2]; assignment (64, 512), centres (64, 512), whitening (D, 32768),
bias (D,), mean (3,)."""


class NetVladEncoder(NetworkEncoder):
    """RGB 0..255 minus the mean -> conv5_3 -> soft assignment and residual sums -> intra-normalised, whitened."""

    def __init__(self, weights: Weights, weights_sha256: str, options: EncoderOptions) -> None:
        scale = _FP16_SCALE if options.precision == "fp16" else 1.0
        super().__init__(options, torch.full((3,), scale), -scale * weights["mean"])
        self.name = NAME
        self.weights_sha256 = weights_sha256
        self.preprocessing = "RGB 0..255 minus the training mean, native aspect ratio"
        self.dimension = len(weights["bias"])
        self._trunk = frozen(_trunk(weights, scale), options)
        device = options.torch_device
        # The head is a few thousandths of the work: fp32 here costs nothing and keeps sums over all locations exact.
        self._assignment_DK = weights["assignment"].to(device).T.contiguous()
        self._centres_DK = weights["centres"].to(device).T.contiguous()
        self._whitening = rounded(weights["whitening"], options)
        self._bias = rounded(weights["bias"], options)

    def _describe(self, pixels_BCHW: torch.Tensor) -> torch.Tensor:
        features_BCHW = self._trunk(pixels_BCHW)
        return aggregate(features_BCHW.flatten(2).transpose(1, 2).float(), self._assignment_DK, self._centres_DK)

    def _finish(self, described_BK: torch.Tensor) -> torch.Tensor:
        return functional.linear(described_BK.to(self._whitening.dtype), self._whitening, self._bias)


def aggregate(features_BLD: torch.Tensor, assignment_DK: torch.Tensor, centres_DK: torch.Tensor) -> torch.Tensor:
    """(B, D * K) unit VLAD vectors, index d * K + k, of the features of L locations.

    The weighted sum of residuals is sum(a x) - sum(a) c: the residuals themselves, (D, K) per location, are never made.
    """
    features_BLD = functional.normalize(features_BLD, dim=2)
    weights_BLK = torch.softmax(features_BLD @ assignment_DK, dim=2)
    sums_BDK = torch.bmm(features_BLD.transpose(1, 2), weights_BLK)
    residuals_BDK = sums_BDK - weights_BLK.sum(dim=1)[:, None, :] * centres_DK
    return functional.normalize(functional.normalize(residuals_BDK, dim=1).flatten(1), dim=1)


def read_mat(path: Path) -> Weights:
    """The network of the authors' MATLAB file, float32.

    Raises:
        BadInput: the file cannot be read or is built differently; says where.
    """
    layers, mean = _read_struct(path)
    weights: Weights = {"mean": mean}
    for index, module in enumerate(vgg_trunk()):
        if isinstance(module, nn.Conv2d):
            kernel_SSIO, bias = _pair(path, layers, index)
            shape = (*module.kernel_size, module.in_channels, module.out_channels)
            weights[f"trunk.{index}.weight"] = _tensor(path, index, kernel_SSIO, shape).permute(3, 2, 0, 1).contiguous()
            weights[f"trunk.{index}.bias"] = _tensor(path, index, bias, (module.out_channels,))
    assignment, negated_centres = _pair(path, layers, _ASSIGNMENT_LAYER)
    shape = (CHANNELS, CLUSTERS)
    weights["assignment"] = _tensor(path, _ASSIGNMENT_LAYER, assignment, shape).T.contiguous()
    weights["centres"] = -_tensor(path, _ASSIGNMENT_LAYER, negated_centres, shape).T.contiguous()
    whitening, bias = _pair(path, layers, _WHITENING_LAYER)
    dimension = np.size(bias)
    shape = (CHANNELS * CLUSTERS, dimension)
    matrix = np.reshape(whitening, shape) if np.size(whitening) == shape[0] * shape[1] else whitening
    weights["whitening"] = _tensor(path, _WHITENING_LAYER, matrix, shape).T.contiguous()
    weights["bias"] = _tensor(path, _WHITENING_LAYER, np.reshape(bias, -1), (dimension,))
    return weights


def random_weights(seed: int, dimension: int = DIMENSION) -> Weights:
    """A network of the same shape that has learned nothing; the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    weights: Weights = {"mean": torch.tensor(_IMAGENET_MEAN_RGB)}
    for index, module in enumerate(vgg_trunk()):
        if isinstance(module, nn.Conv2d):
            weights[f"trunk.{index}.weight"] = he_normal(module.weight.shape, generator)
            weights[f"trunk.{index}.bias"] = torch.zeros(module.out_channels)
    weights["assignment"] = torch.randn(CLUSTERS, CHANNELS, generator=generator) * 4.0
    weights["centres"] = torch.randn(CLUSTERS, CHANNELS, generator=generator) * CHANNELS**-0.5
    weights["whitening"] = torch.empty(dimension, CHANNELS * CLUSTERS).normal_(0.0, 1.0, generator=generator)
    weights["bias"] = torch.zeros(dimension)
    return weights


def vgg_trunk() -> nn.Sequential:
    """conv1_1 … conv5_3 of VGG16, no ReLU or pooling after the last; its weights are on the meta device."""
    from irploc.torchvision_safe import models

    with torch.device("meta"):
        layers: nn.Sequential = models.vgg.make_layers(models.vgg.cfgs["D"], batch_norm=False)[:-2]
    return layers


def _trunk(weights: Weights, scale: float) -> nn.Module:
    trunk = vgg_trunk()
    prefix = "trunk."
    state = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    state = {key: value * scale if key.endswith("bias") else value for key, value in state.items()}
    trunk.load_state_dict(state, assign=True)
    return trunk


def _read_struct(path: Path) -> tuple[list[Any], torch.Tensor]:
    import scipy.io
    from scipy.io.matlab import MatReadError

    wrong = (MatReadError, NotImplementedError, ValueError, TypeError, LookupError, AttributeError, zlib.error, OSError)
    try:
        net = scipy.io.loadmat(path, struct_as_record=False, squeeze_me=True, variable_names=["net"])["net"]
        layers = list(np.atleast_1d(net.layers))
        mean = np.asarray(net.meta.normalization.averageImage, dtype=np.float32)
    except wrong as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's, not scipy's own for a file that ends too early
        raise BadInput(f"{path} is not NetVLAD's MATLAB file: {_reason(error)}") from None
    if mean.size == 0 or mean.shape[-1:] != (3,):
        raise BadInput(f"{path} is not NetVLAD's MATLAB file: its averageImage is {mean.shape}, expected three channels")
    return layers, torch.from_numpy(mean.reshape(-1, 3)[0].copy())


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return "it has no variable 'net'"
    return " ".join(str(error).split())[:120] or type(error).__name__


def _pair(path: Path, layers: list[Any], index: int) -> tuple[Any, Any]:
    weights = getattr(layers[index], "weights", None) if index < len(layers) else None
    if weights is None or np.shape(weights)[:1] != (2,):
        raise BadInput(f"{path} is not NetVLAD's MATLAB file: net.layers[{index}] has no pair of weights")
    return weights[0], weights[1]


def _tensor(path: Path, index: int, values: Any, shape: tuple[int, ...]) -> torch.Tensor:
    array = np.asarray(values)
    if array.shape != shape or array.dtype.kind != "f" or not np.isfinite(array).all():
        found = f"{array.shape} {array.dtype}" if array.shape != shape or array.dtype.kind != "f" else "not all finite"
        raise BadInput(f"{path} is not NetVLAD's MATLAB file: a weight of net.layers[{index}] is {found}, expected {shape}")
    return torch.from_numpy(np.asarray(array, dtype=np.float32))


def _create(name: str, options: EncoderOptions) -> NetVladEncoder:
    if name != NAME:
        raise BadInput(f"{NAME} takes no argument, got {name!r}")
    if options.random_weights is not None:
        seed = options.random_weights
        return NetVladEncoder(random_weights(seed), f"random-seed-{seed}", options)
    located = find_weights(NAME)
    return NetVladEncoder(converted_tensors(NAME, located, read_mat), located.sha256, options)


def _check(path: Path) -> None:
    read_mat(path)


CATALOGUE.register(NAME)(
    WeightsFile(
        name=NAME,
        file="Pitts30K_struct.mat",
        url="https://cvg-data.inf.ethz.ch/hloc/netvlad/Pitts30K_struct.mat",
        sha256=None,
        source="NetVLAD authors, VGG16 trained on Pitts30K",
        licence="MIT (the authors' code; none is stated for the weights)",
        check=_check,
    )
)
ENCODERS.register(NAME)(EncoderEntry(_create, DIMENSION, "NetVLAD authors, Pitts30K", weights=NAME))
