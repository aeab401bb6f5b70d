"""Relative poses of cameras as ``Poses`` whose world is the first camera: free of the place's axes.

A motion ``a_from_b`` maps points in the axes of camera b to those of camera a; its centre is where camera b is seen from
camera a, and its quaternion turns directions of b into those of a.
"""

from __future__ import annotations

import numpy as np

from irploc.geometry import rotations
from irploc.geometry.poses import Poses
from irploc.geometry.relative import relative_poses


def motions(poses: Poses, pairs: np.ndarray) -> Poses:
    """P motions ``a_from_b`` of the cameras in the rows (P, 2), a first."""
    return relative_poses(poses[pairs[:, 0]], poses[pairs[:, 1]])


def inverse(a_from_b: Poses) -> Poses:
    """N motions ``b_from_a``."""
    qvec, tvec = a_from_b.to_cam_from_world()
    return Poses(tvec, qvec)


def composed(a_from_b: Poses, b_from_c: Poses) -> Poses:
    """N motions ``a_from_c``."""
    quats = a_from_b.world_from_cam_wxyz
    moved = a_from_b.centers_m + rotations.rotate(quats, b_from_c.centers_m)
    return Poses(moved, rotations.multiply(quats, b_from_c.world_from_cam_wxyz))


def halfway(one: Poses, other: Poses) -> Poses:
    """N motions in the middle of two each, on the screw from one to the other.

    The middle of m and of the inverse of the other order's answer is exactly inverted when the photos are exchanged, and is
    exactly no motion where both photos are the same; a mean of coordinates would be neither.
    """
    between = composed(inverse(one), other)
    half = rotations.quaternion_exp(rotations.quaternion_log(between.world_from_cam_wxyz) / 2)
    # the half h of a screw moves twice to the whole: t = t_h + R_h t_h
    moved = np.linalg.solve(np.eye(3) + rotations.matrix_from_quaternion(half), between.centers_m[..., None])[..., 0]
    return composed(one, Poses(moved, half))
