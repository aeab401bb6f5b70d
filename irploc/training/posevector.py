"""``PoseVector``: poses as the numbers that a head regresses, and relative poses between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from irploc.geometry import rotations
from irploc.geometry.poses import Poses

ROTATIONS = ("quaternion", "log")
_IDENTITY = (1.0, 0.0, 0.0, 0.0)
_SHORTEST = 1e-9  # a quaternion that a head gives with less length than this says nothing: the identity


@dataclass(frozen=True)
class PoseVector:
    """A camera centre, then its orientation as a quaternion or as the logarithm of one, all shifted and scaled.

    Quaternions are taken in the hemisphere of ``reference_wxyz``; logarithms are about it, where the mapping photos' mean
    orientation keeps them away from the jump at half a turn. With the identity as reference, no shift and scales of one
    these are the plain targets of PoseNet and MapNet.

    Attributes:
        rotation: ``quaternion`` (3 + 4 numbers) or ``log`` (3 + 3).
        reference_wxyz: (4,) orientation.
        offset: the vector that becomes zero.
        metres, radians: what is scaled to one; for quaternions the latter is a length of differences.
    """

    rotation: str
    reference_wxyz: tuple[float, ...] = _IDENTITY
    offset: tuple[float, ...] = ()
    metres: float = 1.0
    radians: float = 1.0

    def __post_init__(self) -> None:
        if self.rotation not in ROTATIONS:
            raise ValueError(f"unknown rotation {self.rotation!r}, choose one of {', '.join(ROTATIONS)}")
        if not self.offset:
            object.__setattr__(self, "offset", (0.0,) * self.size)
        if len(self.reference_wxyz) != 4 or len(self.offset) != self.size or not (self.metres > 0 and self.radians > 0):
            raise ValueError(f"a pose vector has a quaternion, {self.size} offsets and two positive scales")

    @property
    def size(self) -> int:
        """7 or 6."""
        return 7 if self.rotation == "quaternion" else 6

    @classmethod
    def fit(cls, poses: Poses, rotation: str) -> PoseVector:
        """About the mean of some poses, each part with a root mean square distance of one from it."""
        quats = poses.world_from_cam_wxyz
        reference = tuple(rotations.canonical(np.linalg.eigh(quats.T @ quats)[1][:, -1]).tolist())
        raw = cls(rotation, reference).encode(poses)
        offset = raw.mean(axis=0)
        spread = [float(np.sqrt(((raw - offset)[:, part] ** 2).sum(axis=1).mean())) for part in (slice(3), slice(3, None))]
        metres, radians = (value if value > 1e-9 else 1.0 for value in spread)
        return cls(rotation, reference, tuple(offset.tolist()), metres, radians)

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> PoseVector:
        """The inverse of ``to_plain``; ValueError, KeyError or TypeError for anything else."""
        lists = {name: tuple(float(value) for value in values[name]) for name in ("reference_wxyz", "offset")}
        return cls(str(values["rotation"]), metres=float(values["metres"]), radians=float(values["radians"]), **lists)

    def to_plain(self) -> dict[str, Any]:
        """Text, numbers and lists."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def unscaled(self) -> PoseVector:
        """The same without shift and scales."""
        return PoseVector(self.rotation, self.reference_wxyz)

    @property
    def scales(self) -> np.ndarray:
        """(P,) what each number is divided by."""
        return np.repeat([self.metres, self.radians], [3, self.size - 3])

    def encode(self, poses: Poses) -> np.ndarray:
        """(N, P)."""
        reference, quats = np.array(self.reference_wxyz), poses.world_from_cam_wxyz
        if self.rotation == "quaternion":
            turned = quats * np.where(quats @ reference < 0, -1.0, 1.0)[:, None]
        else:
            turned = rotations.quaternion_log(rotations.multiply(rotations.conjugate(reference), quats))
        return (np.concatenate([poses.centers_m, turned], axis=1) - self.offset) / self.scales

    def decode(self, vectors: np.ndarray) -> Poses:
        """The inverse of ``encode``; what a head gives need not be of unit length."""
        raw = np.asarray(vectors, dtype=np.float64) * self.scales + self.offset
        if self.rotation == "quaternion":
            quats = raw[:, 3:].copy()
            quats[np.linalg.norm(quats, axis=1) < _SHORTEST] = _IDENTITY
            return Poses(raw[:, :3], quats)
        turned = rotations.quaternion_exp(raw[:, 3:])
        return Poses(raw[:, :3], rotations.multiply(np.array(self.reference_wxyz), turned))

    def motion(self, vectors_i: torch.Tensor, vectors_j: torch.Tensor) -> torch.Tensor:
        """(B, 6) rigid motion cam_j_from_cam_i, free of the world's axes: where camera i is in the axes of camera j, over
        ``metres``, and the vector part of the unit quaternion that turns its axes (w >= 0), over ``radians``: a small turn
        weighs as in the vectors themselves.

        It can be differentiated, and is what odometry measures (Brahmbhatt et al., section 3.2).
        """
        centers_i, quats_i = self._tensors(vectors_i)
        centers_j, quats_j = self._tensors(vectors_j)
        back = quats_j * quats_j.new_tensor([1.0, -1.0, -1.0, -1.0])
        turn = _product(back, quats_i)
        turn = torch.where(turn[:, :1] < 0, -turn, turn)
        moved = _rotated(back, centers_i - centers_j)
        return torch.cat([moved / self.metres, turn[:, 1:] / self.radians], dim=1)

    def _tensors(self, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 3) centres and (B, 4) unit quaternions."""
        raw = vectors * torch.as_tensor(self.scales).to(vectors) + vectors.new_tensor(self.offset)
        if self.rotation == "quaternion":
            return raw[:, :3], _unit(raw[:, 3:])
        half = torch.sqrt(raw[:, 3:].square().sum(dim=1, keepdim=True) + 1e-16)
        turned = torch.cat([torch.cos(half), raw[:, 3:] * torch.sin(half) / half], dim=1)
        reference = vectors.new_tensor(self.reference_wxyz).expand(len(turned), 4)
        return raw[:, :3], _product(reference, turned)


def _unit(quats: torch.Tensor) -> torch.Tensor:
    """(B, 4) of unit length."""
    return torch.nn.functional.normalize(quats, dim=1, eps=_SHORTEST)


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Hamilton products of (B, 4)."""
    scalar = a[:, :1] * b[:, :1] - (a[:, 1:] * b[:, 1:]).sum(dim=1, keepdim=True)
    vector = a[:, :1] * b[:, 1:] + b[:, :1] * a[:, 1:] + torch.linalg.cross(a[:, 1:], b[:, 1:])
    return torch.cat([scalar, vector], dim=1)


def _rotated(quats: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """(B, 3) points turned by unit quaternions (B, 4)."""
    twice = 2.0 * torch.linalg.cross(quats[:, 1:], points)
    return points + quats[:, :1] * twice + torch.linalg.cross(quats[:, 1:], twice)
