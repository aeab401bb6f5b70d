"""Losses of poses: how far, weighted how, and MapNet's relative terms."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

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

    def forward(self, differences_BP: torch.Tensor) -> torch.Tensor:
        """The loss, a scalar, of (B, 3 + r) differences of pose vectors or of motions."""
        position = self._distance(differences_BP[:, :3])
        orientation = self._distance(differences_BP[:, 3:])
        if not self._learned:
            return position + self._alpha * orientation
        return position * torch.exp(-self.beta) + self.beta + orientation * torch.exp(-self.gamma) + self.gamma


def tuple_pairs(steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """All i < j within a tuple of so many photos; the report sums over i != j, each pair twice, which only doubles it."""
    first, second = torch.triu_indices(steps, steps, offset=1)
    return first, second
