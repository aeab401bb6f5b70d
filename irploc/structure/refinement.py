"""Points adjusted to where posed photos see them, poses held: all points at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.projection import unproject_points

_WIDEST = 6.0  # tangent of 80 degrees: rays further from the axis are not used
_LOSS_PX = 1.0  # Cauchy's scale
_DAMPING = 1e-6  # of the diagonal
_NEAR = 1e-9


@dataclass(frozen=True)
class Sightings:
    """O observations of points in posed photos.

    Attributes:
        cam_from_world: (O, 3, 4) of the photo of each.
        rays: (O, 2) where it was seen, in the plane at depth 1.
        focal_px: (O,) of the photo.
        points: (O,) rows of points.
    """

    cam_from_world: np.ndarray
    rays: np.ndarray
    focal_px: np.ndarray
    points: np.ndarray


@dataclass(frozen=True)
class RefinedPoints:
    """P points after adjustment.

    Attributes:
        points_m: (P, 3).
        errors_px: (O,) distance of each observation from its point's projection; infinite behind the photo.
        relative_sigma: (P,) standard deviation of the point along its least certain direction for an error of one pixel,
            divided by its distance from the photos: free of scale.
    """

    points_m: np.ndarray
    errors_px: np.ndarray
    relative_sigma: np.ndarray


def rays_of(camera: Camera, pixels: np.ndarray) -> np.ndarray:
    """(K, 2) places of pixels (K, 2) in the plane at depth 1, lens distortion removed; NaN where that is too far out."""
    rays = unproject_points(camera, pixels, np.ones(len(pixels)))[:, :2]
    with np.errstate(invalid="ignore"):
        usable = np.isfinite(rays).all(axis=1) & (np.linalg.norm(rays, axis=1) < _WIDEST)
    return np.where(usable[:, None], rays, np.nan)


def sightings(poses: Poses, photos: np.ndarray, rays: np.ndarray, focal_px: np.ndarray, points: np.ndarray) -> Sightings:
    """Those of N posed photos with focal lengths (N,), for rows of photos and points (O,) and their rays (O, 2)."""
    cam_from_world = np.linalg.inv(poses.to_matrices())[:, :3]
    return Sightings(cam_from_world[photos], rays, focal_px[photos], points)


def refine_points(points_m: np.ndarray, seen: Sightings, rounds: int = 8) -> RefinedPoints:
    """Points moved to where they reproject best: Gauss-Newton with Cauchy's loss of one pixel, poses held.

    A step that makes a point's errors larger is taken back.

    Args:
        points_m: (P, 3), each seen at least twice.
        rounds: steps; 0 measures only.
    """
    points = np.array(points_m, dtype=np.float64)
    errors, jacobian = _residuals(points, seen)
    costs = _costs(errors, seen.points, len(points))
    for _ in range(rounds):
        normal, gradient = _normal_equations(errors, jacobian, seen.points, len(points))
        trial = points - np.linalg.solve(normal, gradient[..., None])[..., 0]
        trial_errors, trial_jacobian = _residuals(trial, seen)
        trial_costs = _costs(trial_errors, seen.points, len(points))
        better = trial_costs < costs
        points[better], costs[better] = trial[better], trial_costs[better]
        rows = better[seen.points]
        errors[rows], jacobian[rows] = trial_errors[rows], trial_jacobian[rows]
        if not better.any():
            break
    normal, _ = _normal_equations(errors, jacobian, seen.points, len(points))
    return RefinedPoints(points, np.linalg.norm(errors, axis=1), _relative_sigma(normal, points, seen))


def _residuals(points: np.ndarray, seen: Sightings) -> tuple[np.ndarray, np.ndarray]:
    """(O, 2) errors in pixels, infinite behind the photo, and their (O, 2, 3) derivatives by the points."""
    rotation, shift = seen.cam_from_world[:, :, :3], seen.cam_from_world[:, :, 3]
    local = np.einsum("oij,oj->oi", rotation, points[seen.points]) + shift
    depth = np.maximum(local[:, 2], _NEAR)[:, None]
    flat = local[:, :2] / depth
    errors = (flat - seen.rays) * seen.focal_px[:, None]
    errors[(local[:, 2] <= _NEAR) | np.isnan(seen.rays[:, 0])] = np.inf
    jacobian = (rotation[:, :2] - flat[..., None] * rotation[:, 2:3]) * (seen.focal_px[:, None] / depth)[..., None]
    return errors, jacobian


def _costs(errors: np.ndarray, points: np.ndarray, count: int) -> np.ndarray:
    squares = (errors**2).sum(axis=1)
    return np.bincount(points, weights=np.log1p(squares / _LOSS_PX**2), minlength=count)


def _normal_equations(
    errors: np.ndarray, jacobian: np.ndarray, points: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """(P, 3, 3) and (P, 3), weighted by Cauchy's loss."""
    ahead = np.isfinite(errors[:, 0])
    weights = np.where(ahead, 1.0 / (1.0 + (errors**2).sum(axis=1) / _LOSS_PX**2), 0.0)
    finite = np.where(ahead[:, None], errors, 0.0)
    weighted = jacobian * weights[:, None, None]
    normal = np.empty((count, 3, 3))
    gradient = np.empty((count, 3))
    for i in range(3):
        gradient[:, i] = np.bincount(points, weights=(weighted[:, :, i] * finite).sum(axis=1), minlength=count)
        for j in range(i, 3):
            entry = np.bincount(points, weights=(weighted[:, :, i] * jacobian[:, :, j]).sum(axis=1), minlength=count)
            normal[:, i, j] = normal[:, j, i] = entry
    trace = np.maximum(np.trace(normal, axis1=1, axis2=2), 1e-30)
    return normal + np.eye(3) * (_DAMPING * trace)[:, None, None], gradient


def _relative_sigma(normal: np.ndarray, points: np.ndarray, seen: Sightings) -> np.ndarray:
    rotation, shift = seen.cam_from_world[:, :, :3], seen.cam_from_world[:, :, 3]
    distance = np.linalg.norm(np.einsum("oij,oj->oi", rotation, points[seen.points]) + shift, axis=1)
    counts = np.maximum(np.bincount(seen.points, minlength=len(points)), 1)
    mean = np.bincount(seen.points, weights=distance, minlength=len(points)) / counts
    least = np.linalg.eigvalsh(normal)[:, 0]
    return np.asarray(1.0 / np.sqrt(np.maximum(least, 1e-30)) / np.maximum(mean, 1e-30))
