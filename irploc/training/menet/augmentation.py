"""What a pair of photos would look like had it been taken otherwise, and the motion that it would then have had."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from irploc.geometry import rotations
from irploc.geometry.poses import Poses
from irploc.training.menet.motions import composed, inverse

_COLOUR = 0.3  # of the change of each channel by itself, as a share of that of brightness
_EDGE = 0.2  # of a ray's depth, below which it points too far aside to be looked at


@dataclass(frozen=True)
class Pairs:
    """B pairs of normalized photos (B, 3, H, W), and their B motions ``a_from_b``."""

    first: torch.Tensor
    second: torch.Tensor
    motions: Poses


def jittered(photos: torch.Tensor, amount: float, random: np.random.Generator) -> torch.Tensor:
    """Other contrast (factors), brightness and colour (shifts): normalized photos (B, 3, H, W)."""
    shape = (len(photos), 1, 1, 1)
    contrast = 1.0 + amount * random.uniform(-1, 1, shape)
    shift = amount * random.uniform(-1, 1, shape) + _COLOUR * amount * random.uniform(-1, 1, (len(photos), 3, 1, 1))
    return photos * _like(contrast, photos) + _like(shift, photos)


def mirrored(pairs: Pairs, chosen: np.ndarray) -> Pairs:
    """Left for right where the mask (B,) says so: x turns its sign, and so do turns about the other two axes."""
    rows = torch.from_numpy(chosen).to(pairs.first.device)[:, None, None, None]
    sign = np.where(chosen, -1.0, 1.0)
    ones = np.ones_like(sign)
    centers = pairs.motions.centers_m * np.stack([sign, ones, ones], axis=1)
    quats = pairs.motions.world_from_cam_wxyz * np.stack([ones, ones, sign, sign], axis=1)
    first, second = (torch.where(rows, photos.flip(3), photos) for photos in (pairs.first, pairs.second))
    return Pairs(first, second, Poses(centers, quats))


def turned(pairs: Pairs, first_wxyz: np.ndarray, second_wxyz: np.ndarray, focal_px: np.ndarray) -> Pairs:
    """As if each camera had looked elsewhere from the same place.

    Args:
        first_wxyz, second_wxyz: (B, 4) rotations ``old_from_new`` of both cameras.
        focal_px: (B, 2) focal lengths of both at the photos' scale; NaN leaves the pair as it is.
    """
    known = np.isfinite(focal_px).all(axis=1)
    still = np.where(known[:, None], 0.0, 1.0)
    nowhere = np.array([1.0, 0.0, 0.0, 0.0])
    turns = [quats * (1.0 - still) + nowhere * still for quats in (first_wxyz, second_wxyz)]
    focal = np.where(known[:, None], focal_px, 1.0)
    zeros = np.zeros((len(known), 3))
    # new a from new b = (new a from a) (a from b) (b from new b)
    motions = composed(composed(inverse(Poses(zeros, turns[0])), pairs.motions), Poses(zeros, turns[1]))
    rows = torch.from_numpy(known).to(pairs.first.device)[:, None, None, None]
    first, second = (
        torch.where(rows, _seen_turned(photos, quats, focal[:, column]), photos)
        for column, (photos, quats) in enumerate(zip((pairs.first, pairs.second), turns, strict=True))
    )
    return Pairs(first, second, motions)


def _seen_turned(photos: torch.Tensor, old_from_new_wxyz: np.ndarray, focal_px: np.ndarray) -> torch.Tensor:
    """(B, 3, H, W) what cameras turned by (B, 4) see; mean colour (zero) where the photos end."""
    height, width = photos.shape[2:]
    y, x = np.meshgrid(np.arange(height) + 0.5 - height / 2, np.arange(width) + 0.5 - width / 2, indexing="ij")
    rays = np.stack([x, y, np.ones_like(x)], axis=-1)[None] / _with_depth(focal_px)
    matrices = _like(rotations.matrix_from_quaternion(old_from_new_wxyz), photos)
    seen = torch.einsum("bij,bhwj->bhwi", matrices, _like(rays, photos))
    flat = seen[..., :2] / seen[..., 2:].clamp(min=_EDGE)
    scale = _like(np.stack([2 * focal_px / width, 2 * focal_px / height], axis=1), photos)
    places = flat * scale[:, None, None, :]
    found: torch.Tensor = functional.grid_sample(photos, places, padding_mode="zeros", align_corners=False)
    return found


def _with_depth(focal_px: np.ndarray) -> np.ndarray:
    """(B, 1, 1, 3) what pixels are divided by to become rays of depth one."""
    ones = np.ones_like(focal_px)
    return np.stack([focal_px, focal_px, ones], axis=1)[:, None, None, :]


def _like(values: np.ndarray, photos: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(photos)
