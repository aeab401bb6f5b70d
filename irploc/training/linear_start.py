"""Starting a network as the best linear map, so that training only has to learn what is not linear.

On a few hundred mapping photos ridge regression on good embeddings is hard to beat; a network that starts at random
needs many steps to come near it and then generalises worse, above all in rotation.
"""

from __future__ import annotations

import torch

from irploc.training.losses import Outputs
from irploc.training.models import IRPNet, Regressor

GAUSS_SHARES = (0.5 - 0.5 / 3**0.5, 0.5 + 0.5 / 3**0.5)  # exact for second moments of a uniform share
MARGIN = 4.0  # a carried value stays positive, and so passes the ReLUs unchanged, up to this many times its spread


def ridge_map(embeddings_NVR: torch.Tensor, targets_NP: torch.Tensor, penalty: float, partial_jitter: bool) -> torch.Tensor:
    """(R, P) weights of ridge regression without intercept, for the draws that training will make.

    Args:
        embeddings_NVR: centred; all versions of an image count alike.
        targets_NP: centred.
        penalty: as a share of the total variance of the embeddings, per image: fewer images are fitted less closely.
        partial_jitter: draws lie anywhere between version 0 and another one; two points of Gauss stand for all of them.
    """
    images, versions, size = embeddings_NVR.shape
    gram = torch.zeros(size, size, dtype=torch.float64, device=embeddings_NVR.device)
    product = torch.zeros(size, targets_NP.shape[1], dtype=torch.float64, device=embeddings_NVR.device)
    shares = GAUSS_SHARES if partial_jitter else (1.0,)
    for share in shares:
        for version in range(versions):
            rows = torch.lerp(embeddings_NVR[:, 0].double(), embeddings_NVR[:, version].double(), share)
            gram.addmm_(rows.T, rows)
            product.addmm_(rows.T, targets_NP.double())
    gram.diagonal().add_(penalty * gram.diagonal().sum() / images)
    return torch.linalg.solve(gram, product).float()


@torch.no_grad()
def start_linear(
    network: Regressor, embeddings_NVR: torch.Tensor, targets: Outputs, penalty: float, partial_jitter: bool
) -> None:
    """Changes fresh weights so that the network begins as ridge regression.

    In every hidden layer the first p units carry the p linear outputs, shifted by ``MARGIN`` spreads so that ReLU lets them
    through; the last layer takes the shift away. All other units keep their random weights, with zero weights in the last
    layer, and all weights are trained.
    """
    if not isinstance(network, IRPNet):
        raise ValueError("the linear start is written for the branches of an IRPNet")
    first_unit = 0
    for name, branch in network.branches.items():
        weights = ridge_map(embeddings_NVR, targets[name], penalty, partial_jitter)
        outputs = weights.shape[1]
        units = slice(first_unit, first_unit + outputs)
        spread = targets[name].std(dim=0, correction=0).mul(MARGIN)
        network.shared.weight[units] = weights.T
        network.shared.bias[units] = spread
        _carry(branch.get_submodule("first"), units, outputs)
        _carry(branch.get_submodule("second"), slice(0, outputs), outputs)
        _carry(branch.get_submodule("third"), slice(0, outputs), outputs)
        head = network.last_layer(name)
        head.weight.zero_()
        head.weight[:, :outputs] = torch.eye(outputs)
        head.bias[:] = -spread
        first_unit += outputs


def _carry(layer: torch.nn.Module, units: slice, outputs: int) -> None:
    """The first ``outputs`` units of a layer copy ``units`` of the one before; the others do not see them."""
    assert isinstance(layer, torch.nn.Linear)
    layer.weight[:, units] = 0.0
    layer.weight[:outputs] = 0.0
    layer.weight[:outputs, units] = torch.eye(outputs)
