"""Two cameras worked out by hand, written down in every pose convention, and tiny photos to go with them.

The first stands at (1, 2, 3) and looks along the world's x: its right is -y, its down -z. The second stands at (4, 5, 6),
looks along the world's z and is rolled by a quarter turn: its right is +y, its down -x.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from irploc.geometry import rotations
from irploc.geometry.poses import Poses

H = float(np.sqrt(0.5))
CENTERS_M = np.array([[1.0, 2, 3], [4, 5, 6]])
WORLD_FROM_CAM_WXYZ = np.array([[0.5, -0.5, 0.5, -0.5], [H, 0, 0, H]])
CAM_FROM_WORLD_WXYZ = np.array([[0.5, 0.5, -0.5, 0.5], [H, 0, 0, -H]])
TVEC_M = np.array([[2.0, 3, -1], [-5, 4, -6]])  # -R c
WORLD_FROM_CAM = np.array(
    [
        [[0.0, 0, 1, 1], [-1, 0, 0, 2], [0, -1, 0, 3], [0, 0, 0, 1]],
        [[0.0, -1, 0, 4], [1, 0, 0, 5], [0, 0, 1, 6], [0, 0, 0, 1]],
    ]
)
WORLD_FROM_CAM_OPENGL = np.array(
    [
        [[0.0, 0, -1, 1], [-1, 0, 0, 2], [0, 1, 0, 3], [0, 0, 0, 1]],
        [[0.0, 1, 0, 4], [1, 0, 0, 5], [0, 0, -1, 6], [0, 0, 0, 1]],
    ]
)


def check_poses(poses: Poses, rows: list[int], within: float = 1e-9) -> None:
    """Asserts that the poses are those of the known cameras, and that the right axes point the right way."""
    np.testing.assert_allclose(poses.centers_m, CENTERS_M[rows], atol=within)
    right, down, forward = np.eye(3)
    for axis, expected in (
        (right, [[0, -1, 0], [0, 1, 0]]),
        (down, [[0, 0, -1], [-1, 0, 0]]),
        (forward, [[1, 0, 0], [0, 0, 1]]),
    ):
        seen = rotations.rotate(poses.world_from_cam_wxyz, axis)
        np.testing.assert_allclose(seen, np.array(expected, dtype=float)[rows], atol=within)


def write_photo(path: Path, width: int = 64, height: int = 48) -> Path:
    """A small grey photo; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (90, 120, 150)).save(path)
    return path


def words(values: np.ndarray) -> str:
    """Numbers separated by spaces, in full precision."""
    return " ".join(repr(float(value)) for value in np.ravel(values))
