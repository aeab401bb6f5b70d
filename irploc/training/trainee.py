"""``Trainee``: one network on its way, with its loss, optimiser and averaged weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from irploc.training.batches import Batches
from irploc.training.floor import FloorPenalty, FloorTraining
from irploc.training.inplace import inplace_layers, make_inplace
from irploc.training.linear_start import LinearLane
from irploc.training.losses import KENDALL_START, LearnedWeighting, OnUnitSphere, Outputs, WeightedNorms
from irploc.training.models import MLP, ORIENTATION, OUTPUTS, POSITION, IRPNet, Networks, Regressor
from irploc.training.normalisation import InputMap, TargetMap
from irploc.training.recipes import Recipe
from irploc.training.stack import Stack
from irploc.training.warm_start import adapt, load_trained

JOINT = "joint"  # the one training of an MLP; an IRPNet has a training for each output


class Trainee:
    """One network in training, or several of one shape at once.

    Args:
        training: ``position``, ``orientation`` or ``joint``.
        networks: take mapped embeddings, give standardized outputs.
        criterion: its loss; may have trained parameters of its own.
        recipe: optimiser, schedule and averaging.
        total_steps: where the schedule ends.
        lanes: the linear map in each network, if they have one.
    """

    def __init__(
        self,
        training: str,
        networks: Sequence[Regressor],
        criterion: nn.Module,
        recipe: Recipe,
        total_steps: int,
        lanes: Sequence[LinearLane] = (),
    ) -> None:
        self.training, self.criterion, self._lanes = training, criterion, lanes
        self.network: Regressor | Stack = networks[0] if len(networks) == 1 else Stack(networks)
        self._recipe, self._total_steps = recipe, total_steps
        alone = len(networks) == 1
        self._inplace = make_inplace(self.network, recipe) if alone and _may_be_inplace(recipe) else None
        self._optimizer = _optimizer(self.network, criterion, recipe)
        self._average = _copy_of(self.network).requires_grad_(False) if recipe.averaging else None

    @property
    def outputs(self) -> tuple[str, ...]:
        """What this network is kept for."""
        return tuple(OUTPUTS) if self.training == JOINT else (self.training,)

    def step(self, embeddings: torch.Tensor, targets: Outputs, number: int) -> torch.Tensor:
        """One optimiser step, the ``number``-th from 0, on embeddings (E, B, R) and targets (E, B, p) for the E networks;
        gives their mean loss, a scalar on the device."""
        rate = self._recipe.learning_rate * schedule_factor(self._recipe, number, self._total_steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        if self._inplace is not None:
            self._inplace.learning_rate = rate
        if isinstance(self.criterion, FloorPenalty):
            self.criterion.advance(number / self._total_steps)
        self.network.train()
        count = len(embeddings)
        outputs = self.network(embeddings if isinstance(self.network, Stack) else embeddings[0])
        flat = {name: values.flatten(0, 1) for name, values in targets.items()}
        loss = self.criterion({name: values.reshape(-1, values.shape[-1]) for name, values in outputs.items()}, flat)
        self._optimizer.zero_grad()
        (count * loss).backward()  # each network has the gradient it would have alone
        self._optimizer.step()
        for lane in self._lanes:
            lane.restore()
        if self._average is not None:
            decay = min(self._recipe.averaging, (number + 1) / (number + 10))
            ours: list[torch.Tensor] = list(self._average.parameters())
            theirs: list[torch.Tensor] = list(self.network.parameters())
            with torch.no_grad():
                torch._foreach_lerp_(ours, theirs, 1.0 - decay)
        return loss.detach()

    @property
    def results(self) -> list[Regressor]:
        """The networks with the weights that count, in evaluation mode."""
        result = self._average if self._average is not None else self.network
        return [member.eval() for member in (result.members if isinstance(result, Stack) else (result,))]

    def finished(self, inputs: InputMap | None, targets: TargetMap) -> list[Regressor]:
        """What inference needs on the CPU: maps folded in, branches that are not ``outputs`` and all dropout gone."""
        return [self._finished(result, inputs, targets) for result in self.results]

    def _finished(self, result: Regressor, inputs: InputMap | None, targets: TargetMap) -> Regressor:
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


def make_trainees(
    model: str,
    recipe: Recipe,
    batches: Batches,
    total_steps: int,
    start: Sequence[Networks] = (),
    floor: FloorTraining | None = None,
) -> list[Trainee]:
    """The networks of a model, as many of each as the recipe has heads, initialised from torch's global generator, or from
    trained ones; with a floor map, those kept for their positions pay for what is outside.

    Only branches whose loss has a weight are built: the others have zero gradients, and what weight decay would do to
    them is never seen.
    """
    dimension, device = batches.embeddings.shape[2], batches.embeddings.device
    spreads = {name: values.std(dim=0, correction=0) for name, values in batches.targets.items()}

    def trainee(training: str, make: Callable[[], Regressor], criterion: nn.Module) -> Trainee:
        networks, lanes = [make().to(device) for _ in range(recipe.heads)], []
        outputs = tuple(OUTPUTS) if training == JOINT else (training,)
        for network, trained in zip(networks, start, strict=bool(start)):
            load_trained(network, trained[training], outputs, batches)
        if batches.teacher is not None:
            linear = None if start else batches.teacher.linear
            lanes = [LinearLane(network, linear, spreads) for network in networks]
        if start:
            adapt(networks, lanes, outputs, batches, recipe)
        if recipe.unit_orientation:
            maps = batches.target_map
            criterion = OnUnitSphere(criterion, maps.offset[ORIENTATION], maps.scale[ORIENTATION])
        if floor is not None and POSITION in outputs:
            maps = batches.target_map
            criterion = FloorPenalty(criterion, floor, maps.offset[POSITION], maps.scale[POSITION])
        return Trainee(training, networks, criterion.to(device), recipe, total_steps, lanes)

    if model == "mlp":
        scale = 0.0 if recipe.standardize else KENDALL_START
        make_mlp = partial(MLP, dimension, recipe.width, recipe.input_dropout)
        return [trainee(JOINT, make_mlp, LearnedWeighting(scale, recipe.softness))]
    trainees = []
    for training in (POSITION, ORIENTATION):
        loss = WeightedNorms(recipe.weights_of(training), recipe.softness)
        dropouts = recipe.dropout, recipe.input_dropout, recipe.shared_dropout
        trainees.append(trainee(training, partial(IRPNet, dimension, recipe.width, tuple(loss.weights), *dropouts), loss))
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


def _optimizer(network: Regressor | Stack, criterion: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Fused: one pass over parameters, gradients and moments a step. Only weight matrices decay where it is decoupled."""
    betas = (recipe.beta1, recipe.beta2)
    if recipe.optimizer == "adam":
        parameters = [value for value in (*network.parameters(), *criterion.parameters()) if value.requires_grad]
        return torch.optim.Adam(parameters, recipe.learning_rate, betas, recipe.epsilon, recipe.weight_decay, fused=True)
    named = list(network.named_parameters())
    weights = [value for name, value in named if name.endswith("weight")]
    others = [value for name, value in named if not name.endswith("weight")] + list(criterion.parameters())
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, recipe.learning_rate, betas, recipe.epsilon, fused=True)


def _copy_of(network: Regressor | Stack) -> Regressor | Stack:
    return network.copy() if isinstance(network, Stack) else copy.deepcopy(network)
