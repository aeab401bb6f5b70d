"""How many parameters methods have on a backbone, and how many of them are trained."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from irploc.encoders.backbones import BACKBONES, Backbone
from irploc.errors import BadInput
from irploc.training.absolute.heads import ParameterCounts, head_parameters, parameters_on
from irploc.training.absolute.recipes import METHODS as ABSOLUTE
from irploc.training.menet.network import menet_parameters
from irploc.training.models import MLP, IRPNet, parameter_count
from irploc.training.siamese.network import SiameseNetwork
from irploc.training.siamese.recipes import siamese_recipe


def parameters_of_methods(backbone: str) -> dict[str, ParameterCounts]:
    """By method, of those that have a network: on a backbone that is frozen and counted without its classifier.

    ``irpnet``, ``mlp`` and the Siamese ones are counted as their papers have them; ``menet`` has no backbone.

    Raises:
        BadInput: an unknown backbone.
    """
    if backbone not in BACKBONES:
        raise BadInput(f"unknown backbone {backbone!r}, choose one of {', '.join(BACKBONES)}")
    network = BACKBONES[backbone]
    counts = {method: parameters_on(network, head_parameters(method, network.dimension)) for method in ABSOLUTE}
    counts |= {method: parameters_on(network, _count(make, network)) for method, make in _OTHERS.items()}
    return counts | {"menet": ParameterCounts(menet_parameters(), menet_parameters())}


def _count(make: Callable[[int], nn.Module], network: Backbone) -> int:
    with torch.device("meta"):
        return parameter_count(make(network.dimension))


def _siamese(inputs: int) -> nn.Module:
    return SiameseNetwork.of(inputs, siamese_recipe("paper"))


_OTHERS: dict[str, Callable[[int], nn.Module]] = {
    "irpnet": IRPNet,
    "mlp": MLP,
    "siamese": _siamese,
    "siamese-image": _siamese,
}
