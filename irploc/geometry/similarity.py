"""``Similarity``: scale, rotation and shift of a frame; ``AlignmentStep``: one that was applied to a scene, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from irploc.geometry import rotations
from irploc.geometry.poses import Poses


@dataclass(frozen=True)
class Similarity:
    """``target_from_source``: a point p of the source frame is ``scale * R p + translation`` in the target frame.

    Attributes:
        scale: length in the target frame of a unit of the source frame, above zero: there are no reflections.
        rotation_wxyz: unit quaternion, canonical.
        translation: in units of the target frame.

    Raises:
        ValueError: for a scale that is not positive, a zero quaternion, or values that are not finite.
    """

    scale: float = 1.0
    rotation_wxyz: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0)
    translation: tuple[float, ...] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        shift = np.asarray(self.translation, dtype=np.float64)
        if not (np.isfinite(self.scale) and self.scale > 0 and shift.shape == (3,) and np.isfinite(shift).all()):
            raise ValueError(f"no similarity: scale {self.scale}, translation {self.translation}")
        object.__setattr__(self, "scale", float(self.scale))
        object.__setattr__(self, "rotation_wxyz", tuple(rotations.canonical(self.rotation_wxyz).tolist()))
        object.__setattr__(self, "translation", tuple(shift.tolist()))

    @classmethod
    def from_matrix(cls, target_from_source: ArrayLike) -> Similarity:
        """From a (3, 4) or (4, 4) matrix [sR | t].

        Raises:
            ValueError: when it is mirrored or sheared.
        """
        matrix = np.asarray(target_from_source, dtype=np.float64)
        determinant = float(np.linalg.det(matrix[:3, :3]))
        if not determinant > 0:
            raise ValueError("matrix is no similarity: it mirrors, or has no volume")
        scale = float(np.cbrt(determinant))
        quat = rotations.quaternion_from_matrix(matrix[:3, :3] / scale)
        return cls(scale, tuple(quat.tolist()), tuple(matrix[:3, 3].tolist()))

    @property
    def matrix(self) -> np.ndarray:
        """(4, 4) [sR | t]."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.scale * rotations.matrix_from_quaternion(self.rotation_wxyz)
        matrix[:3, 3] = self.translation
        return matrix

    @property
    def angle_deg(self) -> float:
        """Of the rotation, [0, 180]."""
        return float(rotations.angle_between_deg(self.rotation_wxyz, [1.0, 0.0, 0.0, 0.0]))

    def apply(self, points: ArrayLike) -> np.ndarray:
        """Points (..., 3) of the source frame, in the target frame."""
        return self.scale * rotations.rotate(self.rotation_wxyz, points) + self.translation

    def apply_to_poses(self, poses: Poses) -> Poses:
        """Camera poses in the target frame; rows without a pose stay without."""
        centers, quats = np.full((len(poses), 3), np.nan), np.full((len(poses), 4), np.nan)
        rows = poses.valid
        centers[rows] = self.apply(poses.centers_m[rows])
        quats[rows] = rotations.multiply(self.rotation_wxyz, poses.world_from_cam_wxyz[rows])
        return Poses(centers, quats)

    def inverse(self) -> Similarity:
        """``source_from_target``."""
        back = rotations.conjugate(self.rotation_wxyz)
        shift = -rotations.rotate(back, self.translation) / self.scale
        return Similarity(1.0 / self.scale, tuple(back.tolist()), tuple(shift.tolist()))

    def compose(self, before: Similarity) -> Similarity:
        """``c_from_b.compose(b_from_a)`` is ``c_from_a``."""
        turn = rotations.multiply(self.rotation_wxyz, before.rotation_wxyz)
        shift = self.apply(before.translation)
        return Similarity(self.scale * before.scale, tuple(turn.tolist()), tuple(shift.tolist()))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for TOML and JSON; nothing is rounded."""
        return {"scale": self.scale, "rotation_wxyz": list(self.rotation_wxyz), "translation": list(self.translation)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Similarity:
        """The inverse of ``to_dict``.

        Raises:
            KeyError, TypeError, ValueError: for anything else.
        """
        quat, shift = values["rotation_wxyz"], values["translation"]
        return cls(float(values["scale"]), tuple(map(float, quat)), tuple(map(float, shift)))


@dataclass(frozen=True)
class AlignmentStep:
    """A similarity that was applied to a scene, with what it was made from.

    Attributes:
        method: ``distance``, ``points``, ``positions``, ``gps``, ``trajectory``, ``upright`` or ``plan``.
        similarity: new frame from old frame.
        units_before, units_after: of the scene.
        used: how many points, photos or distances it rests on.
        rms: root mean square residual of those used, in ``units_after``.
        residuals: name -> residual in ``units_after``, also of those left out; the largest ones only, where photos are many.
        left_out: names that disagreed with the others.
        inputs: what the user gave and what was assumed, as plain values.
    """

    method: str
    similarity: Similarity
    units_before: str
    units_after: str
    used: int = 0
    rms: float = 0.0
    residuals: Mapping[str, float] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for TOML and JSON."""
        return {
            "method": self.method,
            "units_before": self.units_before,
            "units_after": self.units_after,
            "used": self.used,
            "rms": self.rms,
            "left_out": list(self.left_out),
            "similarity": self.similarity.to_dict(),
            "residuals": dict(self.residuals),
            "inputs": dict(self.inputs),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AlignmentStep:
        """The inverse of ``to_dict``.

        Raises:
            KeyError, TypeError, ValueError: for anything else.
        """
        return cls(
            method=str(values["method"]),
            similarity=Similarity.from_dict(values["similarity"]),
            units_before=str(values["units_before"]),
            units_after=str(values["units_after"]),
            used=int(values["used"]),
            rms=float(values["rms"]),
            residuals={str(name): float(value) for name, value in values["residuals"].items()},
            left_out=tuple(map(str, values["left_out"])),
            inputs=dict(values["inputs"]),
        )
