"""Maps before the first and after the last layer that make training easier, and folding them into those layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from irploc.geometry.poses import Poses
from irploc.training.losses import Outputs
from irploc.training.models import ORIENTATION, POSITION

CHUNK = 512  # images at once, so that no float32 copy of all embeddings is ever made


@dataclass(frozen=True)
class InputMap:
    """z = (x - mean) basis: principal components of the embeddings, scaled as a whole to unit variance.

    The whole and not each component: whitening makes noise of the small components, and was much worse.

    Attributes:
        mean: (D,).
        basis: (D, R).
    """

    mean: torch.Tensor
    basis: torch.Tensor

    @classmethod
    def fit(cls, embeddings_NVD: torch.Tensor, components: int, generator: torch.Generator) -> InputMap:
        """The map to ``components`` dimensions, fewer where there are not so many."""
        images, versions, dimension = embeddings_NVD.shape
        count = images * versions
        mean = sum((part.sum(dim=(0, 1), dtype=torch.float64) for part in _parts(embeddings_NVD)), start=torch.zeros(()))
        mean = (mean / count).float()
        covariance = embeddings_NVD.new_zeros(dimension, dimension, dtype=torch.float32)
        for part in _parts(embeddings_NVD):
            rows = part.reshape(-1, dimension) - mean
            covariance.addmm_(rows.T, rows, alpha=1.0 / count)
        axes, variances = _leading_axes(covariance, min(components, dimension, max(count - 1, 1)), generator)
        scale = variances.sum().div(len(variances)).clamp_min(1e-20).rsqrt()
        return cls(mean, axes * scale)

    def apply(self, embeddings_NVD: torch.Tensor) -> torch.Tensor:
        """(N, V, R) float32."""
        return torch.cat([(part - self.mean) @ self.basis for part in _parts(embeddings_NVD)])

    def fold(self, layer: nn.Linear) -> nn.Linear:
        """A layer on embeddings that gives what ``layer`` gives on the mapped ones."""
        folded = nn.Linear(len(self.mean), layer.out_features)
        basis, mean = self.basis.double().cpu(), self.mean.double().cpu()
        weight = layer.weight.detach().double().cpu() @ basis.T
        folded.weight.data = weight.float()
        folded.bias.data = (layer.bias.detach().double().cpu() - weight @ mean).float()
        return folded

    def unfold(self, layer: nn.Linear) -> tuple[torch.Tensor, torch.Tensor]:
        """The inverse of ``fold``: weight and bias of a layer on mapped embeddings that gives what ``layer`` gives on the
        others, but for what the map leaves out."""
        weight = layer.weight.detach().double().to(self.basis.device)
        basis = self.basis.double()
        inverse = basis / basis.square().sum(dim=0)
        return (weight @ inverse).float(), (layer.bias.detach().to(weight) + weight @ self.mean.double()).float()


@dataclass(frozen=True)
class TargetMap:
    """Targets shifted and scaled: position and orientation each to mean 0 and unit root mean square distance from it.

    Attributes:
        offset: output -> (p,).
        scale: output -> one factor for all p numbers, so that norms keep their meaning.
    """

    offset: dict[str, torch.Tensor]
    scale: dict[str, float]

    @classmethod
    def identity(cls) -> TargetMap:
        """Changes nothing."""
        return cls({POSITION: torch.zeros(3), ORIENTATION: torch.zeros(4)}, {POSITION: 1.0, ORIENTATION: 1.0})

    @classmethod
    def fit(cls, targets: Outputs) -> TargetMap:
        """From all targets; a spread of zero (one image) counts as one."""
        offset = {name: values.mean(dim=0).cpu() for name, values in targets.items()}
        spread = {name: values.std(dim=0, correction=0).norm().item() for name, values in targets.items()}
        return cls(offset, {name: value if value > 1e-9 else 1.0 for name, value in spread.items()})

    def apply(self, targets: Outputs) -> Outputs:
        """Targets as the network sees them."""
        return {name: (values - self.offset[name].to(values)) / self.scale[name] for name, values in targets.items()}

    def undo(self, outputs: Outputs) -> Outputs:
        """What the network gives, in metres and as quaternions."""
        return {name: values * self.scale[name] + self.offset[name].to(values) for name, values in outputs.items()}

    def fold(self, layer: nn.Linear, output: str) -> None:
        """Changes the last layer of ``output`` so that it gives what ``undo`` would make of it."""
        layer.weight.data.mul_(self.scale[output])
        layer.bias.data.mul_(self.scale[output]).add_(self.offset[output].to(layer.bias))

    def unfold(self, layer: nn.Linear, output: str) -> None:
        """The inverse of ``fold``."""
        layer.bias.data.sub_(self.offset[output].to(layer.bias)).div_(self.scale[output])
        layer.weight.data.div_(self.scale[output])


def targets_of(poses: Poses, one_hemisphere: bool) -> Outputs:
    """(N, 3) positions and (N, 4) unit quaternions.

    Args:
        poses: with w >= 0, which is what the paper trains on.
        one_hemisphere: turn each quaternion to the side of their mean instead: where cameras face backwards of the world's
            axes, w is near zero and w >= 0 would tear neighbours apart.
    """
    quats = poses.world_from_cam_wxyz
    if one_hemisphere and len(quats):
        mean = np.linalg.eigh(quats.T @ quats)[1][:, -1]
        quats = quats * np.where(quats @ mean < 0, -1.0, 1.0)[:, None]
    return {
        POSITION: torch.from_numpy(poses.centers_m).float(),
        ORIENTATION: torch.from_numpy(np.ascontiguousarray(quats)).float(),
    }


def poses_of(positions_m: torch.Tensor, quats_wxyz: torch.Tensor) -> Poses:
    """``Poses`` of what networks give; quaternions are normalised, an output near zero is the identity rotation."""
    quats = quats_wxyz.double().cpu().numpy().copy()
    quats[np.linalg.norm(quats, axis=1) < 1e-9] = [1.0, 0.0, 0.0, 0.0]
    return Poses(positions_m.double().cpu().numpy(), quats)


def _parts(embeddings_NVD: torch.Tensor) -> Iterator[torch.Tensor]:
    return (part.float() for part in embeddings_NVD.split(CHUNK))


def _leading_axes(covariance: torch.Tensor, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``count`` main axes (D, count) and their variances, largest first; by subspace iteration where few of many.

    The full decomposition of a 4096 x 4096 matrix takes half a minute on two cores.
    """
    dimension = len(covariance)
    if dimension <= 2 * count or dimension <= 1024:
        variances, axes = torch.linalg.eigh(covariance.double())
        variances, axes = variances.flip(0)[:count], axes.flip(1)[:, :count]
    else:
        block = torch.randn(dimension, min(dimension, count + 64), generator=generator).to(covariance)
        for _ in range(6):
            block = torch.linalg.qr(covariance @ block).Q
        variances, inner = torch.linalg.eigh(block.T @ covariance @ block)
        variances, axes = variances.flip(0)[:count], (block @ inner.flip(1))[:, :count]
    signs = torch.sign(axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)))
    return (axes * signs).float(), variances.clamp_min(0).float()
