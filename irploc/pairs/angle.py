"""The orientation test: two photos that look too far apart cannot share much."""

from __future__ import annotations

import numpy as np

from irploc.geometry import rotations
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses

DEFAULT_ANGLE_DEG = 35.0  # half the diagonal field of view, 70 degrees, of an ordinary wide camera


def angles_deg(poses: Poses, pairs: np.ndarray) -> np.ndarray:
    """(P,) degrees between the orientations of each pair (P, 2); the paper's equation 1, roll included."""
    quats = poses.world_from_cam_wxyz
    return rotations.angle_between_deg(quats[pairs[:, 0]], quats[pairs[:, 1]])


def corner_angle_deg(camera: Camera) -> float:
    """Degrees from the optical axis to the farthest corner of the image, lens distortion left out.

    With the principal point in the centre this is half the diagonal field of view. Fisheye models are equidistant.
    """
    corners = np.array([[x, y] for x in (0, camera.width) for y in (0, camera.height)], dtype=np.float64)
    radius = np.linalg.norm((corners - camera.principal_point_px) / camera.focal_px, axis=1).max()
    return float(np.degrees(radius if "FISHEYE" in camera.model else np.arctan(radius)))


def thresholds_deg(corner_deg: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """(P,) largest accepted angle of each pair: half of the largest at which the two frustums still touch.

    Args:
        corner_deg: (N,) ``corner_angle_deg`` of each photo.
        pairs: (P, 2) rows.

    Two frustums with the same centre, turned away from each other along a diagonal, last touch with a corner of each:
    then the corner ray is ``corner_deg[i]`` from one axis and ``corner_deg[j]`` from the other, on the line between
    them, so the axes are ``corner_deg[i] + corner_deg[j]`` apart; for one camera, its diagonal field of view. Turned any
    other way they part sooner. Half of that is the threshold: 45 degrees for a camera of 90 degrees across the diagonal,
    37.3 for the 7-Scenes camera (640x480, f = 525.5).

    Source: section 2.1 i of the paper ("Half of the maximum angular difference was set as the threshold").
    """
    return (corner_deg[pairs[:, 0]] + corner_deg[pairs[:, 1]]) / 2
