"""The two regressors of the IRPNet paper: ``IRPNet`` and the plain ``MLP`` of its Table I."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from irploc import provenance

POSITION, ORIENTATION = "position", "orientation"
OUTPUTS = {POSITION: 3, ORIENTATION: 4}
PAPER_WIDTH = 4096
DROPOUT = 0.2


class IRPNet(nn.Module):
    """One shared layer, then a branch for the position and one for the orientation.

    Args:
        dimension: of an embedding.
        width: of the shared layer and of the first layer of a branch; the next two have a half and a quarter of it.
        branches: which of the two to build. A branch whose loss has weight zero changes nothing and need not exist.
        dropout: after the second layer of each branch.
        input_dropout, shared_dropout: before and after the shared layer; the paper has none.

    Source: IRPNet paper, Fig. 2 and section IV-B. With the paper's width 71,328,775 parameters for 4096-D embeddings.
    """

    def __init__(
        self,
        dimension: int,
        width: int = PAPER_WIDTH,
        branches: tuple[str, ...] = (POSITION, ORIENTATION),
        dropout: float = DROPOUT,
        input_dropout: float = 0.0,
        shared_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.input_dropout = nn.Dropout(input_dropout)
        self.shared = nn.Linear(dimension, width)
        self.shared_dropout = nn.Dropout(shared_dropout)
        self.branches = nn.ModuleDict({name: _branch(width, OUTPUTS[name], dropout) for name in branches})
        initialize(self)

    @property
    def first_layer(self) -> nn.Linear:
        """The layer that sees the embedding."""
        return self.shared

    def last_layer(self, output: str) -> nn.Linear:
        """The layer that gives ``position`` or ``orientation``."""
        layer = self.branches[output].get_submodule("head")
        assert isinstance(layer, nn.Linear)
        return layer

    def forward(self, embeddings_BD: torch.Tensor) -> dict[str, torch.Tensor]:
        """(B, 3) ``position`` and (B, 4) ``orientation`` (not normalised), those of the branches there are."""
        hidden = self.shared_dropout(torch.relu(self.shared(self.input_dropout(embeddings_BD))))
        return {name: branch(hidden) for name, branch in self.branches.items()}


class MLP(nn.Module):
    """Fully connected layers of ``width``, a half and a quarter of it, then the two heads.

    Source: IRPNet paper, section III-A and Table I.
    """

    def __init__(self, dimension: int, width: int = PAPER_WIDTH, input_dropout: float = 0.0) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            OrderedDict(
                input_dropout=nn.Dropout(input_dropout),
                first=nn.Linear(dimension, width),
                relu1=nn.ReLU(),
                second=nn.Linear(width, width // 2),
                relu2=nn.ReLU(),
                third=nn.Linear(width // 2, width // 4),
                relu3=nn.ReLU(),
            )
        )
        self.heads = nn.ModuleDict({name: nn.Linear(width // 4, size) for name, size in OUTPUTS.items()})
        initialize(self)

    @property
    def first_layer(self) -> nn.Linear:
        """The layer that sees the embedding."""
        layer = self.trunk.get_submodule("first")
        assert isinstance(layer, nn.Linear)
        return layer

    def last_layer(self, output: str) -> nn.Linear:
        """The layer that gives ``position`` or ``orientation``."""
        layer = self.heads[output]
        assert isinstance(layer, nn.Linear)
        return layer

    def forward(self, embeddings_BD: torch.Tensor) -> dict[str, torch.Tensor]:
        """(B, 3) ``position`` and (B, 4) ``orientation`` (not normalised)."""
        hidden = self.trunk(embeddings_BD)
        return {name: head(hidden) for name, head in self.heads.items()}


Regressor = IRPNet | MLP
Networks = dict[str, Regressor]  # of one model, by training


def _branch(width: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            first=nn.Linear(width, width),
            relu1=nn.ReLU(),
            second=nn.Linear(width, width // 2),
            relu2=nn.ReLU(),
            dropout=nn.Dropout(dropout),
            third=nn.Linear(width // 2, width // 4),
            relu3=nn.ReLU(),
            head=nn.Linear(width // 4, outputs),
        )
    )


def linear_layers(network: nn.Module) -> Iterator[nn.Linear]:
    """Its fully connected layers, from the embedding to the outputs."""
    return (module for module in network.modules() if isinstance(module, nn.Linear))


def initialize(network: nn.Module) -> None:
    """He initialisation: normal weights of variance 2 / inputs, zero biases. Draws from torch's global generator.

    Layers on the meta device, which get their weights from a file, are left: drawing for them takes torch over a second.
    """
    for layer in linear_layers(network):
        if layer.weight.is_meta:
            continue
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)


def parameter_count(network: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for parameter in network.parameters())


def sha256_of(heads: Sequence[Networks], more: object = None) -> str:
    """Over all weights, and something that JSON can hold; torch's own files carry checksums that torch does not look at."""
    weights = (
        part
        for number, networks in enumerate(heads)
        for name in sorted(networks)
        for key, values in sorted(networks[name].state_dict().items())
        for part in (f"{number}.{name}.{key}{tuple(values.shape)}".encode(), values.cpu().numpy().tobytes())
    )
    return provenance.sha256_of_parts([*weights, json.dumps(more, sort_keys=True).encode()])
