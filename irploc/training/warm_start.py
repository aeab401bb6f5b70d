"""Starting a network from a trained one, when photos were added to a place or taken away.

A trained network works on embeddings and metres; one in training works on components of the embeddings and standardized
targets, and both change with the photos. The old weights are carried over exactly but for what the new components leave out.
The linear lane is solved anew on all photos, so that only what is not linear is remembered, and the outputs are moved so
that they are right on the mean. A tenth of the steps is then enough.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from irploc.training.batches import Batches
from irploc.training.losses import Outputs
from irploc.training.models import ORIENTATION, Regressor
from irploc.training.recipes import Recipe

SHARE_OF_STEPS = 0.1
SHARE_OF_RATE = 0.5  # of the learning rate


def shortened(recipe: Recipe, images: int) -> Recipe:
    """What is left to do when a training on ``images`` photos goes on from trained networks."""
    steps = SHARE_OF_STEPS * recipe.total_steps(images)
    epochs = max(1, round(steps / recipe.steps_per_epoch(images)))
    return replace(recipe, epochs=epochs, minimum_steps=0, learning_rate=SHARE_OF_RATE * recipe.learning_rate)


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
def centre(network: Regressor, outputs: tuple[str, ...], batches: Batches) -> None:
    """Moves the outputs so that their mean over the plain photos is that of the targets."""
    network.eval()
    found: Outputs = network(batches.embeddings[:, 0].float())
    for output in outputs:
        network.last_layer(output).bias.add_((batches.targets[output] - found[output]).mean(dim=0))
    network.train()


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
