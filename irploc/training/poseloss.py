"""Losses of poses: how far, weighted how, and MapNet's relative terms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional

from irploc.errors import BadInput
from irploc.training.steps import StepLoss

_SMOOTHEST = 1e-12  # keeps the gradient of a root finite where there is no error


def _norm(difference_BP: torch.Tensor) -> torch.Tensor:
    return torch.sqrt(difference_BP.square().sum(dim=1) + _SMOOTHEST).mean()


def _rmse(difference_BP: torch.Tensor) -> torch.Tensor:
    return torch.sqrt(difference_BP.square().mean() + _SMOOTHEST)


def _smooth_l1(difference_BP: torch.Tensor) -> torch.Tensor:
    return functional.smooth_l1_loss(difference_BP, torch.zeros_like(difference_BP))


# name -> a number of (B, P) differences. All but ``norm`` are means over all B * P numbers, as torch's losses are.
DISTANCES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "mse": lambda difference: difference.square().mean(),
    "l1": lambda difference: difference.abs().mean(),
    "smooth-l1": _smooth_l1,
    "rmse": _rmse,
    "norm": _norm,  # the Euclidean distance, mean over the batch: PoseNet's own loss (Kendall and Cipolla, CVPR 2017)
}
WEIGHTINGS = ("fixed", "learned")


class Weighted(Protocol):
    """What recipes with a ``PoseLoss`` have."""

    @property
    def weighting(self) -> str:
        """Of ``WEIGHTINGS``."""
        ...

    @property
    def alpha(self) -> float:
        """See ``PoseLoss``, as beta and gamma."""
        ...

    @property
    def beta(self) -> float:
        """Where it starts."""
        ...

    @property
    def gamma(self) -> float:
        """Where it starts."""
        ...


class PoseLoss(nn.Module):
    """A distance of positions and one of orientations, weighted.

    - ``fixed``: D_x + alpha D_q (the report's eq. 9).
    - ``learned``: D_x e^-beta + beta + D_q e^-gamma + gamma with trained beta and gamma (eq. 11; Kendall and Cipolla).

    Args:
        distance: a name of ``DISTANCES``.
        weighting: of ``WEIGHTINGS``.
        alpha: weight of orientations where it is fixed.
        beta, gamma: where the trained ones start.
    """

    def __init__(self, distance: str, weighting: str, alpha: float, beta: float, gamma: float) -> None:
        super().__init__()
        self._distance, self._learned, self._alpha = DISTANCES[distance], weighting == "learned", alpha
        if self._learned:
            self.beta = nn.Parameter(torch.tensor(float(beta)))
            self.gamma = nn.Parameter(torch.tensor(float(gamma)))

    def forward(self, differences_BP: torch.Tensor) -> StepLoss:
        """The loss of (B, 3 + r) differences of pose vectors or of motions, and D_x + D_q."""
        position = self._distance(differences_BP[:, :3])
        orientation = self._distance(differences_BP[:, 3:])
        distance = (position + orientation).detach()
        if not self._learned:
            return StepLoss(position + self._alpha * orientation, distance)
        loss = position * torch.exp(-self.beta) + self.beta + orientation * torch.exp(-self.gamma) + self.gamma
        return StepLoss(loss, distance)


def check_weighting(recipe: Weighted) -> None:
    """Raises BadInput for weights that the weighting of a recipe does not use, and for those that cannot be."""
    for name in ("alpha", "beta", "gamma"):
        if not math.isfinite(getattr(recipe, name)):
            raise BadInput(f"{name} is {getattr(recipe, name)}, it must be finite")
    if recipe.alpha < 0:
        raise BadInput(f"alpha is {recipe.alpha}, it must be at least 0")
    if recipe.weighting == "learned" and recipe.alpha != 1.0:
        raise BadInput(f"alpha is {recipe.alpha:g}, but a learned weighting has beta and gamma: leave one of them out")
    if recipe.weighting == "fixed" and (recipe.beta or recipe.gamma):
        raise BadInput("beta and gamma are weights that are learned: take the learned weighting, or leave them out")


def completed(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changes of a recipe with those that they imply: epochs are exact, without a minimum of steps, alpha goes with a fixed
    weighting, beta and gamma with a learned one. None changes nothing."""
    given = {key: value for key, value in changes.items() if value is not None}
    if "epochs" in given:
        given.setdefault("minimum_steps", 0)
    if "alpha" in given:
        given.setdefault("weighting", "fixed")
    elif "beta" in given or "gamma" in given:
        given.setdefault("weighting", "learned")
    unused = {"fixed": {"beta": 0.0, "gamma": 0.0}, "learned": {"alpha": 1.0}}
    return unused.get(str(given.get("weighting")), {}) | given


def tuple_pairs(steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """All i < j within a tuple of so many photos; the report sums over i != j, each pair twice, which only doubles it."""
    first, second = torch.triu_indices(steps, steps, offset=1)
    return first, second
