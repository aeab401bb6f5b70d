"""``PoseCode``: poses as the six numbers that the network regresses, and relative poses between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from irploc.geometry import rotations
from irploc.geometry.poses import Poses

RELATIONS = ("difference", "group")
_IDENTITY = (1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class PoseCode:
    """A camera centre and the logarithm of its unit quaternion, shifted and scaled.

    The logarithm is taken about a reference orientation, of the mapping photos: the paper takes it about the identity, where
    the code jumps between cameras that look to either side of the world's back (q and -q). With the reference at the
    identity, no shift and scales of one it is the paper's.

    A relative pose is, by ``relation``:

    - ``difference``: the difference of two codes, x_i - x_j and w_i - w_j, as in the paper (eq. 4). It is no rigid motion;
    - ``group``: the rigid motion between the cameras, free of the world's axes: log(R_j^-1 R_i), and x_i - x_j in the axes
      half-way between both orientations, so that exchanging the photos just changes the sign of all six numbers.

    Attributes:
        relation: which of the two.
        reference_wxyz: (4,) orientation about which the logarithm is taken.
        offset: (6,) code that becomes zero: metres, then the logarithm, which is half a rotation vector in radians.
        metres, radians: what is scaled to one.
    """

    relation: str
    reference_wxyz: tuple[float, ...] = _IDENTITY
    offset: tuple[float, ...] = (0.0,) * 6
    metres: float = 1.0
    radians: float = 1.0

    def __post_init__(self) -> None:
        if self.relation not in RELATIONS:
            raise ValueError(f"unknown relation {self.relation!r}, choose one of {', '.join(RELATIONS)}")
        if len(self.reference_wxyz) != 4 or len(self.offset) != 6 or not (self.metres > 0 and self.radians > 0):
            raise ValueError("a pose code has a quaternion, six offsets and two positive scales")

    @classmethod
    def fit(cls, poses: Poses, relation: str) -> PoseCode:
        """Centred on the mapping photos' mean pose, each part with a root mean square distance of one from it."""
        quats = poses.world_from_cam_wxyz
        reference = tuple(np.linalg.eigh(quats.T @ quats)[1][:, -1].tolist())
        raw = cls(relation, reference).encode(poses)
        offset = raw.mean(axis=0)
        spread = [float(np.sqrt(((raw - offset)[:, part] ** 2).sum(axis=1).mean())) for part in _PARTS]
        metres, radians = (value if value > 1e-9 else 1.0 for value in spread)
        return cls(relation, reference, tuple(offset.tolist()), metres, radians)

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> PoseCode:
        """The inverse of ``to_plain``; ValueError, KeyError or TypeError for anything else."""
        lists = {name: tuple(float(value) for value in values[name]) for name in ("reference_wxyz", "offset")}
        return cls(str(values["relation"]), metres=float(values["metres"]), radians=float(values["radians"]), **lists)

    def to_plain(self) -> dict[str, Any]:
        """Text, numbers and lists."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def encode(self, poses: Poses) -> np.ndarray:
        """(N, 6) codes."""
        turned = rotations.multiply(rotations.conjugate(np.array(self.reference_wxyz)), poses.world_from_cam_wxyz)
        raw = np.concatenate([poses.centers_m, rotations.quaternion_log(turned)], axis=1)
        return (raw - self.offset) / self._scales

    def decode(self, codes: np.ndarray) -> Poses:
        """The inverse of ``encode``."""
        raw = np.asarray(codes, dtype=np.float64) * self._scales + self.offset
        turned = rotations.quaternion_exp(raw[:, 3:])
        return Poses(raw[:, :3], rotations.multiply(np.array(self.reference_wxyz), turned))

    def relative(self, poses_i: Poses, poses_j: Poses) -> np.ndarray:
        """(N, 6) from photos j to photos i."""
        if self.relation == "difference":
            codes_j = self.encode(poses_j)
            return self.nearest_branch(self.encode(poses_i), codes_j) - codes_j
        turn = rotations.multiply(rotations.conjugate(poses_j.world_from_cam_wxyz), poses_i.world_from_cam_wxyz)
        log = rotations.quaternion_log(turn)
        middle = rotations.multiply(poses_j.world_from_cam_wxyz, rotations.quaternion_exp(log / 2))
        moved = rotations.rotate(rotations.conjugate(middle), poses_i.centers_m - poses_j.centers_m)
        return np.concatenate([moved, log], axis=1) / self._scales

    def nearest_branch(self, codes: np.ndarray, others: np.ndarray) -> np.ndarray:
        """(N, 6) codes of the same poses, each orientation (q or -q, turned less or more than half a turn from the
        reference) in the form that is nearer to that of the other one (N, 6)."""
        return np.where(
            np.linalg.norm((codes - others)[:, 3:], axis=1, keepdims=True)
            <= np.linalg.norm((self.other_branch(codes) - others)[:, 3:], axis=1, keepdims=True),
            codes,
            self.other_branch(codes),
        )

    def other_branch(self, codes: np.ndarray) -> np.ndarray:
        """(N, 6) codes of the same poses, their orientations as turns the other way round, of 2 pi less."""
        raw = np.asarray(codes, dtype=np.float64) * self._scales + self.offset
        length = np.linalg.norm(raw[:, 3:], axis=1, keepdims=True)
        raw[:, 3:] -= np.divide(np.pi * raw[:, 3:], length, out=np.zeros_like(raw[:, 3:]), where=length > 1e-12)
        return (raw - self.offset) / self._scales

    def compose(self, poses_j: Poses, relative: np.ndarray) -> Poses:
        """Photos i from photos j and the (N, 6) relative poses from them; the inverse of ``relative`` (paper eq. 13)."""
        if self.relation == "difference":
            return self.decode(self.encode(poses_j) + relative)
        raw = np.asarray(relative, dtype=np.float64) * self._scales
        middle = rotations.multiply(poses_j.world_from_cam_wxyz, rotations.quaternion_exp(raw[:, 3:] / 2))
        turned = rotations.multiply(poses_j.world_from_cam_wxyz, rotations.quaternion_exp(raw[:, 3:]))
        return Poses(poses_j.centers_m + rotations.rotate(middle, raw[:, :3]), turned)

    @property
    def _scales(self) -> np.ndarray:
        return np.repeat([self.metres, self.radians], 3)


_PARTS = (slice(0, 3), slice(3, 6))
