"""``Trainee``: one network on its way, with its loss, optimiser and averaged weights."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from irploc.training.batches import Batches
from irploc.training.inplace import inplace_layers, make_inplace
from irploc.training.linear_start import LinearLane
from irploc.training.losses import KENDALL_START, LearnedWeighting, Outputs, WeightedNorms
from irploc.training.models import MLP, ORIENTATION, OUTPUTS, POSITION, IRPNet, Regressor, linear_layers
from irploc.training.normalisation import InputMap, TargetMap
from irploc.training.recipes import Recipe

JOINT = "joint"  # the one training of an MLP; an IRPNet has a training for each output


class Trainee:
    """One network in training.

    Args:
        training: ``position``, ``orientation`` or ``joint``.
        network: takes mapped embeddings, gives standardized outputs.
        criterion: its loss; may have trained parameters of its own.
        recipe: optimiser, schedule and averaging.
        total_steps: where the schedule ends.
        lane: the linear map in the network, if it has one.
    """

    def __init__(
        self,
        training: str,
        network: Regressor,
        criterion: nn.Module,
        recipe: Recipe,
        total_steps: int,
        lane: LinearLane | None = None,
    ) -> None:
        self.training, self.network, self.criterion, self._lane = training, network, criterion, lane
        self._recipe, self._total_steps = recipe, total_steps
        self._inplace = make_inplace(network, recipe) if _may_be_inplace(recipe) else None
        self._optimizer = _optimizer(network, criterion, recipe)
        self._average = copy.deepcopy(network).requires_grad_(False) if recipe.averaging else None

    @property
    def outputs(self) -> tuple[str, ...]:
        """What this network is kept for."""
        return tuple(OUTPUTS) if self.training == JOINT else (self.training,)

    def step(self, embeddings: torch.Tensor, targets: Outputs, number: int) -> torch.Tensor:
        """One optimiser step, the ``number``-th from 0; gives the loss, a scalar on the device."""
        rate = self._recipe.learning_rate * schedule_factor(self._recipe, number, self._total_steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        if self._inplace is not None:
            self._inplace.learning_rate = rate
        self.network.train()
        loss = self.criterion(self.network(embeddings), targets)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        if self._lane is not None:
            self._lane.restore()
        if self._average is not None:
            decay = min(self._recipe.averaging, (number + 1) / (number + 10))
            ours: list[torch.Tensor] = list(self._average.parameters())
            theirs: list[torch.Tensor] = list(self.network.parameters())
            with torch.no_grad():
                torch._foreach_lerp_(ours, theirs, 1.0 - decay)
        return loss.detach()

    @property
    def result(self) -> Regressor:
        """The network with the weights that count, in evaluation mode."""
        return (self._average if self._average is not None else self.network).eval()

    def finished(self, inputs: InputMap | None, targets: TargetMap) -> Regressor:
        """What inference needs on the CPU: maps folded in, branches that are not ``outputs`` and all dropout gone."""
        result = self.result
        first = inputs.fold(result.first_layer) if inputs is not None else result.first_layer
        width = result.first_layer.out_features
        clean: Regressor
        if isinstance(result, IRPNet):
            clean = IRPNet(first.in_features, width, self.outputs, dropout=0.0)
        else:
            clean = MLP(first.in_features, width)
        kept = clean.state_dict().keys()
        state = {name: value.cpu() for name, value in result.state_dict().items() if name in kept}
        prefix = next(name for name, module in clean.named_modules() if module is clean.first_layer)
        state |= {f"{prefix}.{name}": value for name, value in first.state_dict().items()}
        clean.load_state_dict(state)
        for output in self.outputs:
            targets.fold(clean.last_layer(output), output)
        return clean.eval().requires_grad_(False)

    def state(self) -> dict[str, Any]:
        """All that must be kept to go on."""
        average = self._average.state_dict() if self._average is not None else {}
        return {
            "network": self.network.state_dict(),
            "criterion": self.criterion.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "average": average,
            "moments": {name: layer.moments() for name, layer in inplace_layers(self.network).items()},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``state``."""
        self.network.load_state_dict(state["network"])
        self.criterion.load_state_dict(state["criterion"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        for name, layer in inplace_layers(self.network).items():
            layer.load_moments(state["moments"][name])


def make_trainees(model: str, recipe: Recipe, batches: Batches, total_steps: int) -> list[Trainee]:
    """The networks of a model, initialised from torch's global generator.

    Only branches whose loss has a weight are built: the others have zero gradients, and what weight decay would do to
    them is never seen.
    """
    dimension, device = batches.embeddings.shape[2], batches.embeddings.device
    spreads = {name: values.std(dim=0, correction=0) for name, values in batches.targets.items()}

    def trainee(training: str, network: Regressor, criterion: nn.Module) -> Trainee:
        network = network.to(device)
        lane = LinearLane(network, batches.teacher.linear, spreads) if batches.teacher is not None else None
        return Trainee(training, network, criterion.to(device), recipe, total_steps, lane)

    if model == "mlp":
        start = 0.0 if recipe.standardize else KENDALL_START
        return [trainee(JOINT, MLP(dimension, recipe.width, recipe.input_dropout), LearnedWeighting(start, recipe.softness))]
    trainees = []
    for training in (POSITION, ORIENTATION):
        loss = WeightedNorms(recipe.weights_of(training), recipe.softness)
        branches = tuple(loss.weights)
        network = IRPNet(dimension, recipe.width, branches, recipe.dropout, recipe.input_dropout, recipe.shared_dropout)
        trainees.append(trainee(training, network, loss))
    return trainees


def schedule_factor(recipe: Recipe, number: int, total_steps: int) -> float:
    """What the learning rate is multiplied with in step ``number`` (from 0) of ``total_steps``."""
    if recipe.schedule == "constant":
        return 1.0
    rise = max(1.0, recipe.warmup * total_steps)
    return min(1.0, (number + 1) / rise) * 0.5 * (1.0 + math.cos(math.pi * number / total_steps))


def _may_be_inplace(recipe: Recipe) -> bool:
    """Whether nothing but Adam changes the weights, and nothing else needs their gradients."""
    return recipe.optimizer == "adam" and not recipe.averaging and not recipe.ridge


def _optimizer(network: nn.Module, criterion: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Fused: one pass over parameters, gradients and moments a step. Only weight matrices decay where it is decoupled."""
    betas = (recipe.beta1, recipe.beta2)
    if recipe.optimizer == "adam":
        parameters = [value for value in (*network.parameters(), *criterion.parameters()) if value.requires_grad]
        return torch.optim.Adam(parameters, recipe.learning_rate, betas, recipe.epsilon, recipe.weight_decay, fused=True)
    weights = [layer.weight for layer in linear_layers(network)]
    others = [layer.bias for layer in linear_layers(network)] + list(criterion.parameters())
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, recipe.learning_rate, betas, recipe.epsilon, fused=True)
