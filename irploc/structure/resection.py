"""The pose of a camera from points and the pixels where it sees them, by pycolmap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.geometry.rotations import matrix_from_quaternion
from irploc.pycolmap_safe import import_pycolmap

_CONFIDENCE = 0.9999
_TRIALS = (30, 2000)
_FREE_TRIALS = (100, 5000)  # of RANSAC with an unknown focal length: its samples hold one point more


@dataclass(frozen=True)
class Resection:
    """A pose and the camera it holds with.

    Attributes:
        inliers: (M,) mask of the pairs that were given.
        covariance: (6, 6) of centre and rotation about the world's axes, for errors of one pixel.
    """

    pose: Poses
    camera: Camera
    inliers: np.ndarray
    covariance: np.ndarray


def resect(
    pixels: np.ndarray, points: np.ndarray, camera: Camera, max_error_px: float, seed: int, focal_known: bool = True
) -> Resection | None:
    """By LO-RANSAC (P3P, or P4Pf with an unknown focal length) and refinement; the same seed gives the same pose.

    Args:
        pixels: (M, 2) in the photo. points: (M, 3) in the world.
        max_error_px: of an inlier.
    """
    if len(pixels) < (4 if focal_known else 5):
        return None
    pycolmap = import_pycolmap()
    options, refinement = pycolmap.AbsolutePoseEstimationOptions(), _refinement(1.0, focal_known)
    options.estimate_focal_length = not focal_known
    options.ransac.max_error, options.ransac.random_seed, options.ransac.confidence = max_error_px, seed, _CONFIDENCE
    options.ransac.min_num_trials, options.ransac.max_num_trials = _TRIALS if focal_known else _FREE_TRIALS
    theirs = colmap_camera(camera)
    found = pycolmap.estimate_and_refine_absolute_pose(
        np.asarray(pixels, dtype=np.float64), points, theirs, options, refinement, True
    )
    return None if found is None else _resection(found, np.asarray(found["inlier_mask"]), theirs, camera)


def refine(
    pixels: np.ndarray, points: np.ndarray, pose: Poses, camera: Camera, loss_px: float, focal_known: bool = True
) -> Resection | None:
    """A pose improved on all pairs (M, 2) and (M, 3) with a Cauchy loss of a scale; None where it goes astray."""
    if len(pixels) < 4:
        return None
    pycolmap = import_pycolmap()
    qvec, tvec = pose.to_cam_from_world()
    w, x, y, z = qvec[0]
    start = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([x, y, z, w])), tvec[0])
    theirs, mask = colmap_camera(camera), np.ones(len(pixels), dtype=bool)
    found = pycolmap.refine_absolute_pose(
        start, np.asarray(pixels, dtype=np.float64), points, mask, theirs, _refinement(loss_px, focal_known), True
    )
    return None if found is None else _resection(found, mask, theirs, camera)


def colmap_camera(camera: Camera) -> Any:
    """A fresh one: refinement changes it."""
    return import_pycolmap().Camera(model=camera.model, width=camera.width, height=camera.height, params=list(camera.params))


def world_covariance(covariance: np.ndarray, qvec_wxyz: np.ndarray, tvec: np.ndarray) -> np.ndarray:
    """pycolmap's covariance as that of the centre and of the rotation about the world's axes.

    Args:
        covariance: (6, 6) of half the rotation vector about the camera's axes, and of the translation of cam_from_world.
        qvec_wxyz, tvec: (4,) and (3,) of cam_from_world.

    Returns:
        (6, 6): metres, then radians.
    """
    world_from_cam = matrix_from_quaternion(qvec_wxyz).T
    x, y, z = tvec
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    jacobian = np.zeros((6, 6))
    jacobian[:3, :3], jacobian[:3, 3:] = -2.0 * world_from_cam @ cross, -world_from_cam  # Ceres' step turns by twice itself
    jacobian[3:, :3] = -2.0 * world_from_cam
    return np.asarray(jacobian @ covariance @ jacobian.T)


def _refinement(loss_px: float, focal_known: bool) -> Any:
    options = import_pycolmap().AbsolutePoseRefinementOptions()
    options.loss_function_scale, options.refine_focal_length = loss_px, not focal_known
    return options


def _resection(found: Any, inliers: np.ndarray, theirs: Any, camera: Camera) -> Resection | None:
    rotation, tvec = found["cam_from_world"].rotation.quat, np.asarray(found["cam_from_world"].translation)
    qvec = np.array([rotation[3], *rotation[:3]])
    covariance = found.get("covariance")
    params = tuple(float(value) for value in theirs.params)
    if covariance is None or not np.isfinite([*qvec, *tvec, *params]).all() or not np.isfinite(covariance).all():
        return None
    if min(params[0], theirs.focal_length_y) <= 0:
        return None
    used = Camera(camera.model, camera.width, camera.height, params)
    pose = Poses.from_cam_from_world(qvec[None], tvec[None])
    return Resection(pose, used, inliers, world_covariance(np.asarray(covariance), qvec, tvec))
