"""Starting a network as the best linear map, so that training only has to learn what is not linear.

On a few hundred mapping photos ridge regression on good embeddings is hard to beat; a network that starts at random
needs many steps to come near it and then generalises worse, above all in rotation.
"""

from __future__ import annotations

from dataclasses import dataclass

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
        network: just made; its weights are changed so that it begins as the linear map.
        linear: output -> (R, p) weights.
        spreads: output -> (p,) standard deviations of the targets, to know what values to expect.
        alone: the network is to give the linear map and nothing else; False leaves what the other units add to it.
    """

    @torch.no_grad()
    def __init__(self, network: Regressor, linear: Outputs, spreads: Outputs, alone: bool = True) -> None:
        self._chains: list[_Chain] = []
        first = network.first_layer
        for heads, hidden in _routes(network):
            weights = torch.cat([linear[name] for name in heads], dim=1)
            shift = MARGIN * torch.cat([spreads[name] for name in heads])
            start = self._chains[-1].entry.stop if self._chains else 0
            entry = slice(start, start + weights.shape[1])
            first.weight[entry] = weights.T
            first.bias[entry] = shift
            for name, head in heads.items():
                if alone:
                    head.weight.zero_()
                head.bias[:] = -MARGIN * spreads[name]
            self._chains.append(_Chain(entry, hidden, heads))
        self.restore()

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
            start = 0
            for head in chain.heads.values():
                head.weight[:, lane] = 0.0
                head.weight[:, start : start + head.out_features].fill_diagonal_(1.0)
                start += head.out_features


def _routes(network: Regressor) -> list[tuple[dict[str, nn.Linear], list[nn.Linear]]]:
    """The heads that share their hidden layers, and those layers, first one excluded."""
    if isinstance(network, IRPNet):
        return [
            ({name: network.last_layer(name)}, list(linear_layers(branch))[:-1]) for name, branch in network.branches.items()
        ]
    heads = {name: network.last_layer(name) for name in network.heads}
    return [(heads, list(linear_layers(network.trunk))[1:])]
