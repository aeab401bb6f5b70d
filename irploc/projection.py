"""Points to pixels and back, for every camera model: ``Camera`` projects the common ones, pycolmap the rest."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from irploc.errors import BadInput
from irploc.geometry.cameras import Camera
from irploc.pycolmap_safe import import_pycolmap

_PINHOLES = ("SIMPLE_PINHOLE", "PINHOLE")
_OWN_MODELS = (*_PINHOLES, "SIMPLE_RADIAL", "RADIAL", "OPENCV")
_FOLDS_BACK = 1.3  # beyond this many times the picture's corner, lens polynomials turn round


def project_points(camera: Camera, points_cam: np.ndarray) -> np.ndarray:
    """Pixels (M, 2) of points (M, 3) in camera coordinates, for every camera model.

    NaN for points that are not in front of the camera, or so far outside that the lens model does not hold.
    """
    points = np.asarray(points_cam, dtype=np.float64).reshape(-1, 3)
    if camera.model in _PINHOLES:
        return camera.project(points)
    ahead = points[:, 2] > 0
    radius = np.linalg.norm(points[:, :2], axis=1) / np.where(ahead, points[:, 2], np.nan)
    usable = ahead & (radius < _FOLDS_BACK * _corner_radius(camera))
    pixels = np.full((len(points), 2), np.nan)
    if camera.model in _OWN_MODELS:
        pixels[usable] = camera.project(points[usable])
    elif usable.any():
        pixels[usable] = _colmap_camera(camera).img_from_cam(points[usable])
    return pixels


def unproject_points(camera: Camera, pixels: np.ndarray, depth_m: np.ndarray) -> np.ndarray:
    """Points (M, 3) in camera coordinates of pixels (M, 2) at depths (M,), lens distortion removed."""
    if camera.model in _PINHOLES:
        return camera.unproject(pixels, depth_m)
    xy = np.asarray(_colmap_camera(camera).cam_from_img(np.asarray(pixels, dtype=np.float64)))[:, :2]
    return np.concatenate([xy, np.ones_like(xy[:, :1])], axis=1) * np.asarray(depth_m)[:, None]


def in_picture(camera: Camera, pixels: np.ndarray) -> np.ndarray:
    """(M,) bool: which of the pixels (M, 2) lie in the picture; NaN does not."""
    with np.errstate(invalid="ignore"):
        return np.all((pixels >= 0) & (pixels < (camera.width, camera.height)), axis=1)


def missing_intrinsics(name: str) -> BadInput:
    """The refusal of a photo whose camera nobody knows."""
    return BadInput(f"{name} has no intrinsics: give --focal PX, or a camera in scene.toml and its name in frames.csv")


@lru_cache(maxsize=256)
def _colmap_camera(camera: Camera) -> Any:
    return import_pycolmap().Camera(model=camera.model, width=camera.width, height=camera.height, params=list(camera.params))


@lru_cache(maxsize=256)
def _corner_radius(camera: Camera) -> float:
    """Distance of the picture's furthest border point from the optical axis, at depth 1."""
    across, down = np.linspace(0, camera.width, 9), np.linspace(0, camera.height, 9)
    border = [(x, y) for x in across for y in (0.0, camera.height)] + [(x, y) for y in down for x in (0.0, camera.width)]
    rays = np.asarray(_colmap_camera(camera).cam_from_img(np.array(border)))
    radius = np.linalg.norm(rays[:, :2], axis=1)
    return float(np.nanmax(radius)) if np.isfinite(radius).any() else np.inf
