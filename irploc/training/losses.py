"""What training makes small."""

from __future__ import annotations

import torch
from torch import nn

from irploc.training.models import ORIENTATION, POSITION

KENDALL_START = -3.0  # for metres and raw quaternions
Outputs = dict[str, torch.Tensor]


class WeightedNorms(nn.Module):
    """s_x |x^ - x| + s_q |q^ - q|, Euclidean norms, mean over the batch; terms of weight zero are not computed.

    Args:
        weights: ``position`` and ``orientation`` -> s.
        softness: norms below it become quadratic (in the units of the targets); 0 is the plain norm.

    Source: IRPNet paper, eq. 1; q is of unit length, q^ is raw.
    """

    def __init__(self, weights: dict[str, float], softness: float = 0.0) -> None:
        super().__init__()
        self.weights = {name: weight for name, weight in weights.items() if weight}
        self.softness = softness

    def forward(self, outputs: Outputs, targets: Outputs) -> torch.Tensor:
        """The loss, a scalar, of (B, 3) positions and (B, 4) quaternions."""
        terms = [weight * _norm(outputs[name] - targets[name], self.softness) for name, weight in self.weights.items()]
        return torch.stack(terms).sum()

    def weight_of(self, name: str) -> torch.Tensor | float:
        """What the norm of an output is multiplied with."""
        return self.weights.get(name, 0.0)


class OnUnitSphere(nn.Module):
    """A loss of quaternions brought to unit length, as rotations are.

    Args:
        criterion: the loss.
        offset, scale: of standardized quaternions, (4,) and a number.
    """

    offset: torch.Tensor

    def __init__(self, criterion: nn.Module, offset: torch.Tensor, scale: float) -> None:
        super().__init__()
        self.criterion, self.scale = criterion, scale
        self.register_buffer("offset", offset)

    def forward(self, outputs: Outputs, targets: Outputs) -> torch.Tensor:
        """The loss, a scalar, of (B, 3) positions and (B, 4) quaternions."""
        loss: torch.Tensor = self.criterion(self._unit(outputs), self._unit(targets))
        return loss

    def weight_of(self, name: str) -> torch.Tensor | float:
        """That of the loss."""
        weight: torch.Tensor | float = self.criterion.weight_of(name)  # type: ignore[operator]
        return weight

    def _unit(self, values: Outputs) -> Outputs:
        if ORIENTATION not in values:
            return values
        quats = nn.functional.normalize(values[ORIENTATION] * self.scale + self.offset, dim=1)
        return {**values, ORIENTATION: quats / self.scale}


class LearnedWeighting(nn.Module):
    """exp(-s_x) |x^ - x| + s_x + exp(-s_q) |q^ - q| + s_q with trained s.

    Args:
        orientation_start: s_q at the start; s_x starts from 0.
        softness: as in ``WeightedNorms``.

    Source: Kendall and Cipolla, CVPR 2017; used for the MLP of Table I.
    """

    def __init__(self, orientation_start: float = KENDALL_START, softness: float = 0.0) -> None:
        super().__init__()
        self.log_scales = nn.ParameterDict({POSITION: torch.tensor(0.0), ORIENTATION: torch.tensor(orientation_start)})
        self.softness = softness

    def forward(self, outputs: Outputs, targets: Outputs) -> torch.Tensor:
        """The loss, a scalar, of (B, 3) positions and (B, 4) quaternions."""
        terms = [
            torch.exp(-scale) * _norm(outputs[name] - targets[name], self.softness) + scale
            for name, scale in self.log_scales.items()
        ]
        return torch.stack(terms).sum()

    def weight_of(self, name: str) -> torch.Tensor | float:
        """What the norm of an output is multiplied with now."""
        return torch.exp(-self.log_scales[name])


def _norm(difference: torch.Tensor, softness: float) -> torch.Tensor:
    if softness:
        return torch.sqrt((difference**2).sum(dim=1) + softness**2).mean() - softness
    return torch.linalg.vector_norm(difference, dim=1).mean()
