"""Two photos with known poses: how far matches are from what these allow."""

from __future__ import annotations

import numpy as np


def essential_matrix(first_from_world: np.ndarray, second_from_world: np.ndarray) -> np.ndarray:
    """(3, 3) E with ``ray_second @ E @ ray_first == 0`` for rays to the same point; of unit translation.

    Args:
        first_from_world, second_from_world: (4, 4) cam_from_world of two photos.

    Returns:
        Zeros where both were taken at the same place.
    """
    relative = second_from_world @ np.linalg.inv(first_from_world)
    x, y, z = relative[:3, 3] / max(float(np.linalg.norm(relative[:3, 3])), 1e-12)
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ relative[:3, :3]


def sampson_distance(essential: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(M,) distances of matches from their epipolar lines, in the plane at depth 1; times the focal length in pixels.

    Args:
        first, second: (M, 2) places in that plane.

    Source: Hartley and Zisserman, Multiple View Geometry, eq. 11.9 (its square root). NaN for matches that hold a NaN.
    """
    lines = first @ essential[:, :2].T + essential[:, 2]
    back = second @ essential[:2, :2] + essential[2, :2]
    residual = np.einsum("mc,mc->m", second, lines[:, :2]) + lines[:, 2]
    square = (lines[:, :2] ** 2).sum(axis=1) + (back**2).sum(axis=1)
    return np.asarray(np.abs(residual) / np.sqrt(np.maximum(square, 1e-24)))
