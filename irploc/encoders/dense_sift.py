"""RootSIFT descriptors on a dense grid at several scales.

kornia's DenseSIFTDescriptor computes all 128 channels with full convolutions at every pixel before it strides; here the
cells that neighbouring descriptors share are pooled once, and a descriptor is 4x4 of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.nn.functional import interpolate, pad

ANGLES = 8
CELLS = 4
DIMENSION = ANGLES * CELLS * CELLS
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class DenseSiftOptions:
    """The grid.

    Attributes:
        cell: width of one of the 4x4 cells of a descriptor, and the distance between descriptors, pixels at each scale.
        scales: factors by which the image is reduced before the grid is laid; a small factor means large regions.
        contrast: mean gradient magnitude (grey values in [0, 1], per pixel) below which a descriptor is dropped.
        max_side: images whose longer side has more pixels are reduced to it first.
        clip: largest value of a bin of a unit descriptor before the square root.
    """

    cell: int = 4
    scales: tuple[float, ...] = (1.0, 0.71, 0.5, 0.35, 0.25)
    max_side: int = 640
    contrast: float = 0.005
    clip: float = 0.2


def dense_root_sift(image_CHW: torch.Tensor, options: DenseSiftOptions) -> torch.Tensor:
    """(N, 128) float32 RootSIFT descriptors of unit length of a (3, H, W) uint8 RGB image; N is 0 where it has no texture.

    Scales at which the image is smaller than one descriptor are left out.

    Source: Torii et al., CVPR 2015 (DenseVLAD), and Arandjelovic and Zisserman, CVPR 2012 (RootSIFT). Deviations: the
    scales are an image pyramid, whose grid is coarser where regions are larger; no Gaussian window over the region.
    """
    grey_11HW = _grey(image_CHW, options.max_side)
    height, width = grey_11HW.shape[-2:]
    found = []
    for scale in options.scales:
        size = (round(height * scale), round(width * scale))
        if min(size) < CELLS * options.cell:
            continue
        scaled = _resized(grey_11HW, size)
        found.append(_describe(_pool_cells(_orientation_maps(scaled[0, 0]), options.cell), options))
    return torch.cat(found) if found else torch.empty(0, DIMENSION)


def _grey(image_CHW: torch.Tensor, max_side: int) -> torch.Tensor:
    weights = torch.tensor(_LUMA) / 255.0
    grey_11HW = torch.einsum("c,chw->hw", weights, image_CHW.float())[None, None]
    height, width = grey_11HW.shape[-2:]
    scale = min(1.0, max_side / max(height, width))
    return _resized(grey_11HW, (max(1, round(height * scale)), max(1, round(width * scale))))


def _resized(grey_11HW: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if grey_11HW.shape[-2:] == size:
        return grey_11HW
    return interpolate(grey_11HW, size, mode="bilinear", antialias=True)


def _orientation_maps(grey_HW: torch.Tensor) -> torch.Tensor:
    """(8, H, W): each gradient as the non-negative sum of its two nearest of eight directions."""
    padded = pad(grey_HW[None], (1, 1, 1, 1), mode="replicate")[0]
    dx = padded[1:-1, 2:] - padded[1:-1, :-2]
    dy = padded[2:, 1:-1] - padded[:-2, 1:-1]
    angles = torch.arange(ANGLES) * (2.0 * math.pi / ANGLES)
    # Along direction k the share is |g| sin(45 deg - |angle to k|) / sin(45 deg): the lesser of two linear forms of g.
    forms = torch.stack([-angles.sin(), angles.cos()], 1) / (2.0 * math.sin(2.0 * math.pi / ANGLES))
    sines_AP = forms @ torch.stack([dx.flatten(), dy.flatten()])
    maps_AP = torch.minimum(sines_AP.roll(1, 0), sines_AP.roll(3, 0)).clamp_(min=0.0)
    return maps_AP.unflatten(1, grey_HW.shape)


def _pool_cells(maps_AHW: torch.Tensor, cell: int) -> torch.Tensor:
    """(8, rows, columns): mean of each map around the cell centres, weighted by a triangle two cells wide."""
    rows_RH, columns_CW = (_pooling(length, cell) for length in maps_AHW.shape[1:])
    return rows_RH @ (maps_AHW @ columns_CW.T)


@lru_cache(maxsize=64)
def _pooling(length: int, cell: int) -> torch.Tensor:
    """(cells, length): weights of the pixels of a line in its cells; a product with it beats a strided pool."""
    count = length // cell
    centres = (torch.arange(count) + 0.5) * cell - 0.5 + 0.5 * (length - count * cell)
    distance = (torch.arange(length)[None] - centres[:, None]).abs()
    return (1.0 - distance / cell).clamp_(min=0.0) / cell


def _describe(cells_ARC: torch.Tensor, options: DenseSiftOptions) -> torch.Tensor:
    windows = cells_ARC.unfold(1, CELLS, 1).unfold(2, CELLS, 1)
    raw_ND = windows.permute(1, 2, 0, 3, 4).reshape(-1, DIMENSION)
    raw_ND = raw_ND[raw_ND.sum(1) > options.contrast * CELLS * CELLS]
    unit_ND = raw_ND / raw_ND.norm(dim=1, keepdim=True)
    clipped_ND = unit_ND.clamp_(max=options.clip)
    return (clipped_ND / clipped_ND.sum(1, keepdim=True)).sqrt_()
