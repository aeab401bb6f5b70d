"""Where cameras are seen from other cameras: relative poses, free of the world's axes."""

from __future__ import annotations

import numpy as np

from irploc.geometry.poses import Poses
from irploc.geometry.rotations import conjugate, multiply, rotate


def relative_poses(first: Poses, second: Poses) -> Poses:
    """N poses ``first_from_second``: the second cameras in the axes of the first; NaN where either is missing.

    Raises:
        ValueError: when the counts differ.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} first cameras but {len(second)} second ones")
    found, rows = Poses.missing(len(first)), np.flatnonzero(first.valid & second.valid)
    first_from_world = conjugate(first.world_from_cam_wxyz[rows])
    found.centers_m[rows] = rotate(first_from_world, second.centers_m[rows] - first.centers_m[rows])
    found.world_from_cam_wxyz[rows] = multiply(first_from_world, second.world_from_cam_wxyz[rows])
    return found
