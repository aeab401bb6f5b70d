"""The heads of PoseNet and MapNet, and how many parameters they have on each backbone."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from irploc.encoders.backbones import Backbone, build_trunk
from irploc.training.models import initialize, parameter_count

WIDTHS: dict[str, tuple[int, ...]] = {"posenet": (), "mapnet": (2048, 1024, 512)}
QUATERNION_OUTPUTS = 7


def make_head(method: str, inputs: int, outputs: int = QUATERNION_OUTPUTS) -> nn.Sequential:
    """Fully connected layers with ReLU between them; draws from torch's global generator.

    Args:
        method: ``posenet``, one layer, or ``mapnet``, four: the report's text says three for it, its parameter counts need
            f -> 2048 -> 1024 -> 512 -> 7.
        inputs: f features.
        outputs: 3 for the position, then 4 for a quaternion or 3 for its logarithm.
    """
    sizes = (inputs, *WIDTHS[method], outputs)
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    head = nn.Sequential(*layers[:-1])
    initialize(head)
    return head


def first_layer(head: nn.Sequential) -> nn.Linear:
    """The layer that sees the features."""
    layer = head[0]
    assert isinstance(layer, nn.Linear)
    return layer


def last_layer(head: nn.Sequential) -> nn.Linear:
    """The layer that gives the pose."""
    layer = head[-1]
    assert isinstance(layer, nn.Linear)
    return layer


@dataclass(frozen=True)
class ParameterCounts:
    """Of backbone and head together, and of what is trained where the backbone is frozen."""

    total: int
    trainable: int


def parameters_on(backbone: Backbone, head_parameters: int) -> ParameterCounts:
    """With a head of so many parameters; the backbone without its classifier.

    Source: the report, Tables II and IV, which these counts reproduce but for its misprints (see the tests).
    """
    return ParameterCounts(_trunk_parameters(backbone) + head_parameters, head_parameters)


@functools.cache  # torchvision takes a second to build its largest networks, even without weights
def _trunk_parameters(backbone: Backbone) -> int:
    return parameter_count(build_trunk(backbone))


def head_parameters(method: str, inputs: int) -> int:
    """Of a head with quaternion output."""
    with torch.device("meta"):
        return parameter_count(make_head(method, inputs))
