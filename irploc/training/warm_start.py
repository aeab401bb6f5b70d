"""Starting a network from a trained one, when photos were added to a place or taken away.

A trained network works on embeddings and metres; one in training works on components of the embeddings and standardized
targets, and both change with the photos. The old weights are carried over exactly but for what the new components leave out.
Ridge regression on what they miss is added to the linear lane. Then a tenth of the steps is enough.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from irploc.training.batches import Batches
from irploc.training.linear_start import LinearLane
from irploc.training.losses import Outputs
from irploc.training.models import ORIENTATION, Regressor
from irploc.training.recipes import Recipe
from irploc.training.teacher import ridge_map

SHARE_OF_STEPS = 0.1


@torch.no_grad()
def load_trained(network: Regressor, trained: Regressor, outputs: tuple[str, ...], batches: Batches) -> None:
    """Gives a network the weights of a trained one.

    Args:
        network: in training, just made.
        trained: for inference, of the same width.
        outputs: what it was trained for; other branches stay as they are.
        batches: with the maps that lie between the two.
    """
    theirs, ours = trained.state_dict(), network.state_dict()
    for name in ours.keys() & theirs.keys():
        if ours[name].shape == theirs[name].shape:
            ours[name].copy_(theirs[name])
    first, source = network.first_layer, trained.first_layer
    if batches.input_map is not None:
        weight, bias = batches.input_map.unfold(source)
        first.weight.copy_(weight)
        first.bias.copy_(bias)
    for output in outputs:
        batches.target_map.unfold(network.last_layer(output), output)
    if ORIENTATION in outputs:
        _turn(network, batches)


@torch.no_grad()
def adapt(
    networks: Sequence[Regressor], lanes: Sequence[LinearLane], outputs: tuple[str, ...], batches: Batches, recipe: Recipe
) -> None:
    """Adds what a closed form can: the mean of what is missing and, where there are lanes, ridge regression on the rest."""
    for network in networks:
        for output, rest in _missing(network, outputs, batches).items():
            network.last_layer(output).bias.add_(rest.mean(dim=0))
    if not lanes:
        return
    rests = [_missing(network, outputs, batches)[output] for network in networks for output in outputs]
    linear = ridge_map(batches.embeddings.float(), torch.cat(rests, dim=1), recipe.ridge, recipe.partial_jitter)
    parts = iter(linear.split([rest.shape[1] for rest in rests], dim=1))
    for lane in lanes:
        lane.add({output: next(parts) for output in outputs})


def _missing(network: Regressor, outputs: tuple[str, ...], batches: Batches) -> Outputs:
    """Targets less outputs, of the plain photos."""
    network.eval()
    found: Outputs = network(batches.embeddings[:, 0].float())
    network.train()
    return {output: batches.targets[output] - found[output] for output in outputs}


def _turn(network: Regressor, batches: Batches) -> None:
    """q and -q are the same rotation; the new targets may all have the other sign."""
    network.eval()
    found = network(batches.embeddings[:, 0].float())[ORIENTATION]
    means = (
        batches.target_map.undo({ORIENTATION: found}),
        batches.target_map.undo({ORIENTATION: batches.targets[ORIENTATION]}),
    )
    if float((means[0][ORIENTATION] * means[1][ORIENTATION]).sum()) < 0:
        layer = network.last_layer(ORIENTATION)
        scale, offset = batches.target_map.scale[ORIENTATION], batches.target_map.offset[ORIENTATION].to(layer.bias)
        layer.weight.neg_()
        layer.bias.neg_().sub_(2.0 * offset / scale)
    network.train()
