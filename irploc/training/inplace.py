"""Wide linear layers that take their own Adam step while the gradient passes through them.

On a CPU a step of the paper's network with a batch of 8 is bound by memory, not arithmetic. Autograd writes the gradients
of 44 million weights to memory, and the optimiser reads them back: with the weights and both moments, ten passes. Here
backward goes through a layer in blocks of rows small enough for the cache. A block is read once, gives its part of the
gradient of the input, gets its own gradient, and is updated before the next one is read: seven passes, and no memory for
gradients. The arithmetic is torch's own fused Adam; only the order of rounding in the products differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from irploc.training.recipes import Recipe

LEAST_WEIGHTS = 2**18  # smaller layers lie in the cache anyway
BLOCK_WEIGHTS = 2**16  # a quarter of a megabyte each of weights, gradient and moments


@dataclass
class AdamSettings:
    """What all layers of a network share; ``learning_rate`` is set before every step."""

    learning_rate: float
    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float


class InplaceLinear(nn.Linear):
    """A linear layer whose weights are updated during ``backward``; its bias has a gradient as usual.

    It must be used once per step.

    Args:
        layer: whose weights and bias it takes over.
        settings: of Adam, with coupled weight decay.
    """

    def __init__(self, layer: nn.Linear, settings: AdamSettings) -> None:
        super().__init__(layer.in_features, layer.out_features, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.weight.requires_grad_(False)
        self._settings = settings
        self._rows = max(1, BLOCK_WEIGHTS // layer.in_features)
        self._step = torch.zeros(())
        self._mean = torch.zeros_like(self.weight)
        self._square = torch.zeros_like(self.weight)
        self._gradient = torch.empty(self._rows, layer.in_features)

    def forward(self, inputs_BI: torch.Tensor) -> torch.Tensor:
        """(B, O) of (B, I)."""
        if not torch.is_grad_enabled():
            return super().forward(inputs_BI)
        outputs: torch.Tensor = _Product.apply(inputs_BI, self.bias, self)
        return outputs

    @torch.no_grad()
    def update(self, inputs_BI: torch.Tensor, gradients_BO: torch.Tensor, gives_input: bool) -> torch.Tensor | None:
        """One Adam step; gives the gradient of the inputs at the weights before it."""
        settings = self._settings
        self._step += 1
        passed_on = torch.zeros_like(inputs_BI) if gives_input else None
        for start in range(0, self.out_features, self._rows):
            block = slice(start, min(start + self._rows, self.out_features))
            weight, part = self.weight[block], gradients_BO[:, block]
            if passed_on is not None:
                passed_on.addmm_(part, weight)
            gradient = torch.mm(part.T, inputs_BI, out=self._gradient[: len(weight)])
            torch._fused_adam_(
                [weight],
                [gradient],
                [self._mean[block]],
                [self._square[block]],
                [],
                [self._step],
                lr=settings.learning_rate,
                beta1=settings.beta1,
                beta2=settings.beta2,
                weight_decay=settings.weight_decay,
                eps=settings.epsilon,
                amsgrad=False,
                maximize=False,
            )
        return passed_on

    def moments(self) -> dict[str, torch.Tensor]:
        """What must be kept to go on, beside the weights."""
        return {"step": self._step, "mean": self._mean, "square": self._square}

    def load_moments(self, state: dict[str, torch.Tensor]) -> None:
        """The inverse of ``moments``."""
        self._step.copy_(state["step"])
        self._mean.copy_(state["mean"])
        self._square.copy_(state["square"])


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs_BI: torch.Tensor, bias: torch.Tensor, layer: InplaceLinear) -> torch.Tensor:
        ctx.layer = layer
        ctx.save_for_backward(inputs_BI)
        return torch.addmm(bias, inputs_BI, layer.weight.T)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor, None]:
        gradients_BO = gradients[0].contiguous()
        (inputs_BI,) = ctx.saved_tensors
        return ctx.layer.update(inputs_BI, gradients_BO, ctx.needs_input_grad[0]), gradients_BO.sum(dim=0), None


def make_inplace(network: nn.Module, recipe: Recipe) -> AdamSettings:
    """Turns the wide layers of a network on the CPU into ``InplaceLinear``; gives the settings they share."""
    settings = AdamSettings(recipe.learning_rate, recipe.beta1, recipe.beta2, recipe.epsilon, recipe.weight_decay)
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Linear and child.weight.numel() >= LEAST_WEIGHTS and child.weight.device.type == "cpu":
                setattr(parent, name, InplaceLinear(child, settings))
    return settings


def inplace_layers(network: nn.Module) -> dict[str, InplaceLinear]:
    """The layers that ``make_inplace`` made, by name."""
    return {name: module for name, module in network.named_modules() if isinstance(module, InplaceLinear)}
