"""Starting a network as the best linear map, so that training only has to learn what is not linear.

On a few hundred mapping photos ridge regression on good embeddings is hard to beat; a network that starts at random
needs many steps to come near it and then generalises worse, above all in rotation.
"""

from __future__ import annotations

import torch

from irploc.training.losses import Outputs
from irploc.training.models import IRPNet, linear_layers

MARGIN = 4.0  # a carried value stays positive, and so passes the ReLUs unchanged, up to this many times its spread


class LinearLane:
    """A few units per layer of an ``IRPNet`` that carry a linear map past the ReLUs; all the others learn what it misses.

    In every hidden layer the first p units carry the p linear outputs, shifted by ``MARGIN`` spreads so that ReLU lets them
    through; the last layer takes the shift away. The linear map itself, in the shared layer, is trained like everything
    else; ``restore`` keeps the other units out of the lane, which made the error a tenth larger where they could enter.

    Args:
        network: just made; its weights are changed so that it begins as the linear map.
        linear: output -> (R, p) weights.
        spreads: output -> (p,) standard deviations of the targets, to know what values to expect.
    """

    @torch.no_grad()
    def __init__(self, network: IRPNet, linear: Outputs, spreads: Outputs) -> None:
        self._network = network
        self._units: dict[str, slice] = {}
        first_unit = 0
        for name in network.branches:
            weights, shift = linear[name], MARGIN * spreads[name]
            units = slice(first_unit, first_unit + weights.shape[1])
            network.shared.weight[units] = weights.T
            network.shared.bias[units] = shift
            head = network.last_layer(name)
            head.weight.zero_()
            head.bias[:] = -shift
            self._units[name] = units
            first_unit = units.stop
        self.restore()

    @torch.no_grad()
    def restore(self) -> None:
        """Undoes what an optimiser step did to the lane behind the shared layer."""
        for name, units in self._units.items():
            outputs = units.stop - units.start
            entry, lane = units, slice(0, outputs)
            for layer in linear_layers(self._network.branches[name]):
                if layer.out_features > outputs:
                    layer.weight[:, entry] = 0.0
                    layer.weight[lane] = 0.0
                    layer.bias[lane] = 0.0
                layer.weight[lane, entry] = torch.eye(outputs, device=layer.weight.device)
                entry = lane
