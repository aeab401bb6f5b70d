"""``FloorPenalty``: makes positions outside the walkable ground of a floor map cost something.

Source: named as a next step by the paper whose post-processing ``floormap`` follows; the form is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from irploc.errors import BadInput
from irploc.floormap import FloorMap, plane_axes
from irploc.training.losses import Outputs
from irploc.training.models import POSITION
from irploc.training.recipes import Recipe

FLOOR_WEIGHT = 3.0
_LONGER = 4  # times more steps of a short recipe: positions must learn to cross between walkable parts quickly
_RISE = 0.8  # share of the training in which the weight rises: at once, it holds positions in the wrong corridor


@dataclass(frozen=True)
class FloorTraining:
    """A floor map to train with.

    Attributes:
        floor_map: of the scene.
        weight: cost of a metre outside at the end of the training, in metres of position error; it rises from 0.

    Raises:
        BadInput: for a weight that is not positive and finite.
    """

    floor_map: FloorMap
    weight: float = FLOOR_WEIGHT

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise BadInput(f"the floor weight is {self.weight:g}, it must be positive and finite")

    def to_plain(self) -> dict[str, Any]:
        """What is kept with a model."""
        return {"sha256": self.floor_map.sha256, "weight": float(self.weight)}


def with_steps_for_floor(recipe: Recipe, photos: int) -> Recipe:
    """A recipe that is short for small places, with enough steps for the penalty to work; others as they are.

    On the rendered corridors the fast recipe's 400 steps leave the error as it is, 1600 take 13 % off
    (``scripts/bench_floormap.py``).
    """
    if not recipe.minimum_steps:
        return recipe
    return replace(recipe, minimum_steps=_LONGER * recipe.total_steps(photos))


class FloorPenalty(nn.Module):
    """A loss, and ``weight`` times the mean distance of the positions to walkable ground, weighted as position errors are.

    The distance is looked up in a raster, bilinearly, so that it has a gradient; off the raster the distance to it is added.
    It applies to every draw, also blended and noisy ones: it needs no label.

    Args:
        criterion: the loss; its ``weight_of`` positions is taken, also while it is learned.
        floor: map and weight.
        offset, scale: of standardized positions, (3,) and a number; the penalty is in their units too.
    """

    raster: torch.Tensor
    to_grid: torch.Tensor
    shift: torch.Tensor

    def __init__(self, criterion: nn.Module, floor: FloorTraining, offset: torch.Tensor, scale: float) -> None:
        super().__init__()
        self.criterion, self._factor = criterion, floor.weight / scale
        floor_map, grid = floor.floor_map, floor.floor_map.grid
        self._metres, self._risen = grid.metres_per_pixel, 1.0
        to_pixels = np.zeros((3, 2))  # columns and rows of standardized positions, as an affine map
        base = grid.pixels_of(floor_map.on_plane(offset.double().numpy()[None]))[0]
        for axis in plane_axes(floor_map.up):
            step = offset.double().numpy().copy()
            step[axis] += scale
            to_pixels[axis] = grid.pixels_of(floor_map.on_plane(step[None]))[0] - base
        self.register_buffer("raster", torch.from_numpy(floor_map.outside_m())[None, None], persistent=False)
        self.register_buffer("to_grid", torch.from_numpy(to_pixels).float(), persistent=False)
        self.register_buffer("shift", torch.from_numpy(base).float(), persistent=False)

    def forward(self, outputs: Outputs, targets: Outputs) -> torch.Tensor:
        """The loss, a scalar, of (B, 3) positions and whatever else the criterion takes."""
        loss: torch.Tensor = self.criterion(outputs, targets)
        weight = self._risen * self._factor * self.criterion.weight_of(POSITION)  # type: ignore[operator]
        return loss + weight * self.outside_m(outputs[POSITION]).mean()

    def advance(self, share_done: float) -> None:
        """Sets the weight for a step before which ``share_done`` of the training was done; the whole weight unless told."""
        self._risen = min(1.0, share_done / _RISE)

    def outside_m(self, positions: torch.Tensor) -> torch.Tensor:
        """(B,) metres to walkable ground of (B, 3) standardized positions, 0 on it; exact to about a pixel."""
        pixels = positions @ self.to_grid + self.shift
        size = pixels.new_tensor([self.raster.shape[3], self.raster.shape[2]])
        on = torch.minimum(pixels.clamp_min(0.5), size - 0.5)  # the centres of the outermost pixels
        inside = nn.functional.grid_sample(
            self.raster, (2.0 * on / size - 1.0)[None, None], padding_mode="border", align_corners=False
        )
        beyond = pixels - on
        # the norm has no gradient at 0, where most positions are
        off = (beyond != 0).any(dim=1)
        return inside[0, 0, 0] + self._metres * torch.linalg.vector_norm(torch.where(off[:, None], beyond, 1.0), dim=1) * off
