"""A photo as it would look from a little beside: bent by the depth of the points that it sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator
from scipy.spatial import QhullError, cKDTree

from irploc.geometry.cameras import Camera, cam_from_world, world_from_cam
from irploc.geometry.poses import Poses
from irploc.opencv_safe import opencv
from irploc.projection import project_points, unproject_points

_MESH = (41, 31)  # vertices across and down; depth is not known finer
_NEIGHBOURS = 7
_SOFT_PX = 0.01  # of the width: neighbours nearer than that weigh alike
_LEAST_POINTS = 20


@dataclass(frozen=True)
class Relief:
    """The surface that a photo shows, as a mesh of points.

    Attributes:
        pixels: (V, 2) of the vertices in the photo, a regular grid over all of it.
        points_m: (V, 3) where they are, world frame.
        depth_m: median depth of the points that it was made from.
    """

    pixels: np.ndarray
    points_m: np.ndarray
    depth_m: float


def relief_of(camera: Camera, pose: Poses, points_m: np.ndarray) -> Relief | None:
    """The surface through the points that a photo sees; between them depth is interpolated, smoothly over edges.

    Args:
        camera, pose: of the photo; pose of one.
        points_m: (K, 3) that it sees, world frame.

    Returns:
        None for fewer than twenty points: there is no surface to speak of.
    """
    local = cam_from_world(points_m, pose)
    seen_at = project_points(camera, local)
    usable = np.isfinite(seen_at).all(axis=1) & (local[:, 2] > 0)
    if usable.sum() < _LEAST_POINTS:
        return None
    depth, seen_at = local[usable, 2], seen_at[usable]
    across, down = (np.linspace(0.0, size, count) for size, count in zip((camera.width, camera.height), _MESH, strict=True))
    grid = np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)
    away, near = cKDTree(seen_at).query(grid, k=_NEIGHBOURS)
    weights = 1.0 / (away + _SOFT_PX * camera.width)
    depths = np.exp((np.log(depth)[near] * weights).sum(axis=1) / weights.sum(axis=1))
    vertices = world_from_cam(unproject_points(camera, grid, depths), pose)
    return Relief(grid, vertices, float(np.median(depth)))


def warped(photo: np.ndarray, camera: Camera, relief: Relief, pose: Poses) -> tuple[np.ndarray, float] | None:
    """The photo bent to what a camera sees from another pose.

    What the photo does not show is filled from its edge; what comes to lie behind something is not hidden.

    Args:
        photo: (H, W, 3) uint8, in any size of the camera's shape.
        camera: of both.
        pose: one, near the photo's.

    Returns:
        The picture, and the share of it that the photo does not show; None where parts would lie behind the camera.
    """
    target = project_points(camera, cam_from_world(relief.points_m, pose))
    if not np.isfinite(target).all():
        return None
    try:
        inside = LinearNDInterpolator(target, relief.pixels)(relief.pixels)
    except QhullError:
        return None
    unknown = np.isnan(inside[:, 0])
    if unknown.all():
        return None
    inside[unknown] = NearestNDInterpolator(target, relief.pixels)(relief.pixels[unknown])
    height, width = photo.shape[:2]
    scale = np.array([width / camera.width, height / camera.height])
    mesh = (inside * scale - 0.5).reshape(_MESH[1], _MESH[0], 2).astype(np.float32)
    cv2 = opencv()
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) + 0.5
    at = (columns / width * (_MESH[0] - 1), rows / height * (_MESH[1] - 1))
    dense = cv2.remap(mesh, *at, cv2.INTER_LINEAR)
    picture = cv2.remap(photo, dense[..., 0], dense[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(picture), float(unknown.mean())
