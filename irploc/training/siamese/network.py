"""``SiameseNetwork``: two absolute heads and a relative one over features of two photos."""

from __future__ import annotations

import torch
from torch import nn

from irploc.training.models import initialize
from irploc.training.siamese.recipes import SiameseRecipe
from irploc.training.steps import StepLoss

CODE = 6


class Head(nn.Module):
    """Fully connected layers with ReLU, then a location (3) and an orientation (3).

    Args:
        inputs: D features.
        widths: of the hidden layers.
        dropout: after the last of them.

    Source: paper section 2.1.ii and Fig. 2a: fc1 of 2048, fc2 and fc3 of 3.
    """

    def __init__(self, inputs: int, widths: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        sizes = (inputs, *widths)
        layers: list[nn.Module] = []
        for before, after in zip(sizes, widths, strict=False):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.hidden = nn.Sequential(*layers, nn.Dropout(dropout))
        self.location = nn.Linear(sizes[-1], 3)
        self.orientation = nn.Linear(sizes[-1], 3)
        initialize(self)

    def forward(self, features_BD: torch.Tensor) -> torch.Tensor:
        """(B, 6) codes."""
        hidden = self.hidden(features_BD)
        return torch.cat([self.location(hidden), self.orientation(hidden)], dim=1)


class SiameseNetwork(nn.Module):
    """The heads, and the learned weights of their losses.

    The relative head sees both features side by side. With ``antisymmetric``, which the paper has not, it answers half the
    difference of what it gives for (i, j) and for (j, i): exchanging the photos changes the sign, and equal photos are at
    the same place. With ``lane`` each head adds a linear map, the relative one of the difference of the features; it can
    start as ridge regression.

    Args:
        inputs: D features of a photo.
        absolute_widths, relative_widths: of the hidden layers.
        dropout: in each head.
        antisymmetric, lane: see above.
        log_scales: s_x and s_q at the start.
    """

    def __init__(
        self,
        inputs: int,
        absolute_widths: tuple[int, ...],
        relative_widths: tuple[int, ...],
        dropout: float,
        antisymmetric: bool,
        lane: bool,
        log_scales: tuple[float, float],
    ) -> None:
        super().__init__()
        self.inputs, self.antisymmetric = inputs, antisymmetric
        self.first = Head(inputs, absolute_widths, dropout)
        self.second = Head(inputs, absolute_widths, dropout)
        self.between = Head(2 * inputs, relative_widths, dropout)
        names = ("first", "second", "between") if lane else ()
        self.lanes = nn.ModuleDict({name: nn.Linear(inputs, CODE, bias=False) for name in names})
        self.log_scales = nn.Parameter(torch.tensor(log_scales))

    @classmethod
    def of(cls, inputs: int, recipe: SiameseRecipe) -> SiameseNetwork:
        """As a recipe has it."""
        return cls(
            inputs,
            recipe.absolute_widths,
            recipe.relative_widths,
            recipe.dropout,
            recipe.antisymmetric,
            recipe.lane,
            recipe.log_scales,
        )

    def absolute(self, features_BD: torch.Tensor, head: str = "first") -> torch.Tensor:
        """(B, 6) codes by the head for photos i (``first``) or j (``second``)."""
        found: torch.Tensor = self.get_submodule(head)(features_BD)
        return found + self.lanes[head](features_BD) if head in self.lanes else found

    def relative(self, features_i_BD: torch.Tensor, features_j_BD: torch.Tensor) -> torch.Tensor:
        """(B, 6) relative codes from photos j to photos i."""
        found: torch.Tensor = self.between(torch.cat([features_i_BD, features_j_BD], dim=1))
        if self.antisymmetric:
            found = 0.5 * (found - self.between(torch.cat([features_j_BD, features_i_BD], dim=1)))
        return found + self.lanes["between"](features_i_BD - features_j_BD) if "between" in self.lanes else found

    def loss(self, outputs_B6: torch.Tensor, targets_B6: torch.Tensor, softness: float = 0.0) -> StepLoss:
        """exp(-s_x) |dx| + s_x + exp(-s_q) |dw| + s_q, mean over the batch (paper eqs. 3 and 4), and |dx| + |dw|.

        Args:
            outputs_B6, targets_B6: codes, or relative codes.
            softness: norms below it become quadratic; 0 is the plain norm.
        """
        parts = (outputs_B6 - targets_B6).split(3, dim=1)
        norms = [torch.sqrt(part.square().sum(dim=1) + max(softness, 1e-9) ** 2).mean() - softness for part in parts]
        zero = torch.zeros((), device=outputs_B6.device)
        terms = (torch.exp(-scale) * norm + scale for scale, norm in zip(self.log_scales, norms, strict=True))
        return StepLoss(sum(terms, start=zero), sum((norm.detach() for norm in norms), start=zero))

    @torch.no_grad()
    def start_from(self, linear_D6: torch.Tensor) -> None:
        """Makes every head the linear map to begin with; what is not linear begins near zero."""
        for name, lane in self.lanes.items():
            assert isinstance(lane, nn.Linear)
            lane.weight.copy_(linear_D6.T)
            head = self.get_submodule(name)
            assert isinstance(head, Head)
            for layer in (head.location, head.orientation):
                layer.weight.mul_(0.01)

    @property
    def weights_of_distance(self) -> tuple[float, float]:
        """exp(-s_x) and exp(-s_q), with which pose distances are weighed: the paper's eq. 12 prints exp(s), but is said to
        be its eq. 4, which has exp(-s)."""
        location, orientation = torch.exp(-self.log_scales.detach()).tolist()
        return location, orientation
