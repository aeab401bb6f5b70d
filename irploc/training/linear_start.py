"""Starting a network as the best linear map, so that training only has to learn what is not linear.

On a few hundred mapping photos ridge regression on good embeddings is hard to beat; a network that starts at random
needs many steps to come near it and then generalises worse, above all in rotation.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import nn

from irploc.training.losses import Outputs
from irploc.training.models import IRPNet, Regressor, linear_layers

MARGIN = 4.0  # a carried value stays positive, and so passes the ReLUs unchanged, up to this many times its spread


@dataclass(frozen=True)
class _Chain:
    """The layers behind the first one that lead to some outputs, and the units of the first one that carry them."""

    entry: slice
    hidden: list[nn.Linear]
    heads: dict[str, nn.Linear]


class LinearLane:
    """A few units per layer that carry a linear map past the ReLUs; all the others learn what it misses.

    In every hidden layer the first p units carry the p linear outputs, shifted by ``MARGIN`` spreads so that ReLU lets them
    through; the last layer takes the shift away. The linear map itself, in the first layer, is trained like everything
    else; ``restore`` keeps the other units out of the lane: where they could enter, errors were a tenth larger.

    Args:
        network: just made; its weights are changed so that it begins as the linear map. With ``linear`` None it has the lane
            of a trained network, which is kept; only the scale of its targets may have become another one.
        linear: output -> (R, p) weights.
        spreads: output -> (p,) standard deviations of the targets, to know what values to expect.
    """

    @torch.no_grad()
    def __init__(self, network: Regressor, linear: Outputs | None, spreads: Outputs) -> None:
        self._chains: list[_Chain] = []
        self._first = first = network.first_layer
        for heads, hidden in _routes(network):
            start = self._chains[-1].entry.stop if self._chains else 0
            entry = slice(start, start + sum(head.out_features for head in heads.values()))
            if linear is None:
                _rescale(first, entry, heads)
            else:
                first.weight[entry] = torch.cat([linear[name] for name in heads], dim=1).T
                first.bias[entry] = MARGIN * torch.cat([spreads[name] for name in heads])
                for name, head in heads.items():
                    head.weight.zero_()
                    head.bias[:] = -MARGIN * spreads[name]
            self._chains.append(_Chain(entry, hidden, heads))
        self.restore()

    @torch.no_grad()
    def add(self, linear: Outputs) -> None:
        """Adds a linear map, output -> (R, p) weights, to the one that the lane carries."""
        for chain in self._chains:
            self._first.weight[chain.entry] += torch.cat([linear[name] for name in chain.heads], dim=1).T

    @torch.no_grad()
    def restore(self) -> None:
        """Undoes what an optimiser step did to the lane behind the first layer."""
        for chain in self._chains:
            entry, lane = chain.entry, slice(0, chain.entry.stop - chain.entry.start)
            for layer in chain.hidden:
                layer.weight[:, entry] = 0.0
                layer.weight[lane] = 0.0
                layer.bias[lane] = 0.0
                layer.weight[lane, entry].fill_diagonal_(1.0)
                entry = lane
            for start, head in _starts(chain.heads):
                head.weight[:, lane] = 0.0
                head.weight[:, start : start + head.out_features].fill_diagonal_(1.0)


def _rescale(first: nn.Linear, entry: slice, heads: dict[str, nn.Linear]) -> None:
    """Moves the factors with which the heads take the lane to its entry, where ``restore`` leaves them."""
    factors = [head.weight[:, start : start + head.out_features].diagonal() for start, head in _starts(heads)]
    factor = torch.cat(factors)
    margin = first.bias[entry].clone()
    first.weight[entry] *= factor[:, None]
    first.bias[entry] *= factor.abs()  # the margin that keeps the lane positive, also where the targets changed their sign
    moved = ((factor - factor.abs()) * margin).split([head.out_features for head in heads.values()])
    for head, shift in zip(heads.values(), moved, strict=True):
        head.bias.add_(shift)


def _starts(heads: dict[str, nn.Linear]) -> list[tuple[int, nn.Linear]]:
    """Where in the lane the outputs of each head begin."""
    ends = list(accumulate((head.out_features for head in heads.values()), initial=0))
    return list(zip(ends, heads.values(), strict=False))


def _routes(network: Regressor) -> list[tuple[dict[str, nn.Linear], list[nn.Linear]]]:
    """The heads that share their hidden layers, and those layers, first one excluded."""
    if isinstance(network, IRPNet):
        return [
            ({name: network.last_layer(name)}, list(linear_layers(branch))[:-1]) for name, branch in network.branches.items()
        ]
    heads = {name: network.last_layer(name) for name in network.heads}
    return [(heads, list(linear_layers(network.trunk))[1:])]
