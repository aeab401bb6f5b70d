"""``Poses``: where cameras are and how they look, in the one convention of the whole project."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from irploc.geometry import rotations

OPENCV_FROM_OPENGL = np.array([1.0, -1.0, -1.0])  # y up, z backward -> y down, z forward


@dataclass(frozen=True)
class Poses:
    """N camera poses: centres in metres and rotations ``world_from_cam``; camera axes x right, y down, z forward.

    Attributes:
        centers_m: (N, 3) float64 camera centres in the world frame.
        world_from_cam_wxyz: (N, 4) float64 unit quaternions with w >= 0 (normalised on construction).

    A row may be entirely NaN (an image that was not localized); ``valid`` tells which are not.

    Raises:
        ValueError: for other shapes, or for a zero or partly NaN row.
    """

    centers_m: np.ndarray
    world_from_cam_wxyz: np.ndarray

    def __post_init__(self) -> None:
        centers = np.asarray(self.centers_m, dtype=np.float64).reshape(-1, 3)
        quats = np.array(self.world_from_cam_wxyz, dtype=np.float64).reshape(-1, 4)
        if len(centers) != len(quats):
            raise ValueError(f"{len(centers)} centres but {len(quats)} quaternions")
        missing = np.isnan(centers).all(axis=1) & np.isnan(quats).all(axis=1)
        if not np.isfinite(centers[~missing]).all():
            raise ValueError("non-finite camera centre")
        quats[~missing] = rotations.canonical(quats[~missing])
        object.__setattr__(self, "centers_m", centers)
        object.__setattr__(self, "world_from_cam_wxyz", quats)

    @classmethod
    def from_matrices(cls, world_from_cam: ArrayLike) -> Poses:
        """From (N, 4, 4) or (N, 3, 4) matrices that map camera coordinates to world coordinates (OpenCV axes)."""
        matrices = np.asarray(world_from_cam, dtype=np.float64)
        return cls(matrices[:, :3, 3], rotations.quaternion_from_matrix(matrices[:, :3, :3]))

    @classmethod
    def from_opengl_matrices(cls, world_from_cam: ArrayLike) -> Poses:
        """From (N, 4, 4) matrices with OpenGL camera axes (x right, y up, z backward), as nerfstudio writes them."""
        matrices = np.array(world_from_cam, dtype=np.float64)
        matrices[:, :3, :3] *= OPENCV_FROM_OPENGL
        return cls.from_matrices(matrices)

    @classmethod
    def from_cam_from_world(cls, qvec_wxyz: ArrayLike, tvec_m: ArrayLike) -> Poses:
        """From COLMAP's (N, 4) rotation and (N, 3) translation, which map world to camera: centre = -R^T t."""
        world_from_cam = rotations.conjugate(qvec_wxyz)
        return cls(-rotations.rotate(world_from_cam, tvec_m), world_from_cam)

    @classmethod
    def missing(cls, count: int) -> Poses:
        """``count`` rows of NaN."""
        return cls(np.full((count, 3), np.nan), np.full((count, 4), np.nan))

    @classmethod
    def concatenate(cls, parts: list[Poses]) -> Poses:
        """All rows of all parts, in order."""
        if not parts:
            return cls.missing(0)
        return cls(
            np.concatenate([part.centers_m for part in parts]),
            np.concatenate([part.world_from_cam_wxyz for part in parts]),
        )

    def to_matrices(self) -> np.ndarray:
        """(N, 4, 4) world_from_cam."""
        matrices = np.tile(np.eye(4), (len(self), 1, 1))
        matrices[:, :3, :3] = rotations.matrix_from_quaternion(self.world_from_cam_wxyz)
        matrices[:, :3, 3] = self.centers_m
        return matrices

    def to_opengl_matrices(self) -> np.ndarray:
        """(N, 4, 4) world_from_cam with OpenGL camera axes."""
        matrices = self.to_matrices()
        matrices[:, :3, :3] *= OPENCV_FROM_OPENGL
        return matrices

    def to_cam_from_world(self) -> tuple[np.ndarray, np.ndarray]:
        """COLMAP's rotation (N, 4) wxyz and translation (N, 3) m; rows without a pose stay NaN."""
        qvec = np.full((len(self), 4), np.nan)
        tvec = np.full((len(self), 3), np.nan)
        rows = self.valid
        qvec[rows] = rotations.conjugate(self.world_from_cam_wxyz[rows])
        tvec[rows] = -rotations.rotate(qvec[rows], self.centers_m[rows])
        return qvec, tvec

    @property
    def valid(self) -> np.ndarray:
        """(N,) bool: which rows hold a pose."""
        return ~np.isnan(self.centers_m[:, 0])

    def __len__(self) -> int:
        return len(self.centers_m)

    def __getitem__(self, rows: slice | np.ndarray | list[int]) -> Poses:
        return Poses(self.centers_m[rows], self.world_from_cam_wxyz[rows])

    def __iter__(self) -> Iterator[Poses]:
        return (self[[row]] for row in range(len(self)))


def pose_errors(estimated: Poses, true: Poses) -> tuple[np.ndarray, np.ndarray]:
    """Position errors (N,) in metres and rotation errors (N,) in degrees; infinity and 180 where nothing was estimated.

    Raises:
        ValueError: when the counts differ.
    """
    if len(estimated) != len(true):
        raise ValueError(f"{len(estimated)} estimates for {len(true)} true poses")
    position_m = np.full(len(true), np.inf)
    rotation_deg = np.full(len(true), 180.0)
    rows = estimated.valid
    position_m[rows] = np.linalg.norm(estimated.centers_m[rows] - true.centers_m[rows], axis=1)
    rotation_deg[rows] = rotations.angle_between_deg(estimated.world_from_cam_wxyz[rows], true.world_from_cam_wxyz[rows])
    return position_m, rotation_deg
