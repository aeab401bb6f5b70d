"""Points seen in several photos: where the rays of clicked pixels meet, and how well that is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from irploc.errors import BadInput
from irploc.geometry import rotations
from irploc.geometry.cameras import cam_from_world
from irploc.projection import in_picture, missing_intrinsics, project_points, unproject_points
from irploc.scene import Scene

CLICK_PX = 1.0  # standard deviation that is assumed of a click
LARGEST_MISS_PX = 8.0
SMALLEST_ANGLE_DEG = 1.5


@dataclass(frozen=True)
class Click:
    """A pixel of a photo where a named point is seen; ``row`` of the photo, the first pixel's centre is (0.5, 0.5)."""

    row: int
    pixel: tuple[float, float]


@dataclass(frozen=True)
class Triangulated:
    """Where rays meet.

    Attributes:
        point: (3,) in the scene's frame.
        covariance: (3, 3) for clicks with a standard deviation of one pixel.
        miss_px: (C,) distance of every click from the point's projection.
        angle_deg: the largest angle between two rays.
    """

    point: np.ndarray
    covariance: np.ndarray
    miss_px: np.ndarray
    angle_deg: float


def triangulate(scene: Scene, name: str, clicks: list[Click]) -> Triangulated:
    """The point that projects closest to its clicks, lens distortion included.

    Args:
        name: of the point, for messages.

    Raises:
        BadInput: fewer than two photos, a pixel outside its photo, rays that are nearly parallel, a point behind a camera,
            or clicks that disagree (names the worst).
    """
    frames = scene.frames
    if len({click.row for click in clicks}) < 2:
        seen_in = frames.names[clicks[0].row]
        raise BadInput(f"point {name!r} is clicked in one photo only ({seen_in}): click it in at least two")
    rays = np.stack([_ray(scene, name, click) for click in clicks])
    centers = frames.poses.centers_m[[click.row for click in clicks]]
    angle = _largest_angle_deg(rays)
    if angle < SMALLEST_ANGLE_DEG:
        raise BadInput(
            f"point {name!r}: its rays meet at {angle:.2f} degrees, at least {SMALLEST_ANGLE_DEG:g} tell how far it is: "
            "click it in photos taken from places further apart"
        )
    start = _nearest_to_rays(centers, rays)
    _check_in_front(scene, name, clicks, start)
    found = least_squares(lambda point: _misses(scene, clicks, point), start, x_scale="jac")
    miss = np.linalg.norm(_misses(scene, clicks, found.x).reshape(-1, 2), axis=1)
    _check_agreement(scene, name, clicks, miss)
    covariance = CLICK_PX**2 * np.linalg.inv(found.jac.T @ found.jac)
    return Triangulated(found.x, covariance, miss, angle)


def _ray(scene: Scene, name: str, click: Click) -> np.ndarray:
    """(3,) unit direction in the scene's frame."""
    photo = scene.frames.names[click.row]
    camera = scene.cameras.get(scene.frames.cameras[click.row])
    if camera is None:
        raise missing_intrinsics(photo)
    pixel = np.array([click.pixel])
    if not in_picture(camera, pixel)[0]:
        u, v = click.pixel
        raise BadInput(f"point {name!r}: pixel {u:g},{v:g} is outside {photo}, which is {camera.width}x{camera.height}")
    ray = rotations.rotate(scene.frames.poses.world_from_cam_wxyz[click.row], unproject_points(camera, pixel, np.ones(1))[0])
    return np.asarray(ray / np.linalg.norm(ray))


def _largest_angle_deg(rays: np.ndarray) -> float:
    crossed = np.linalg.norm(np.cross(rays[:, None], rays[None]), axis=2)
    return float(np.degrees(np.arctan2(crossed, rays @ rays.T).max()))


def _nearest_to_rays(centers: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """(3,) the point with the smallest sum of squared distances to lines."""
    beside = np.eye(3) - rays[:, :, None] * rays[:, None, :]
    return np.linalg.solve(beside.sum(axis=0), np.einsum("nij,nj->i", beside, centers))


def _misses(scene: Scene, clicks: list[Click], point: np.ndarray) -> np.ndarray:
    """(2C,) projections minus clicks in pixels; a picture's width where the point is not seen at all."""
    misses = []
    for click in clicks:
        camera = scene.cameras[scene.frames.cameras[click.row]]
        pixel = project_points(camera, cam_from_world(point[None], scene.frames.poses[[click.row]]))[0]
        misses.append(np.where(np.isfinite(pixel), pixel - click.pixel, float(camera.width)))
    return np.concatenate(misses)


def _check_in_front(scene: Scene, name: str, clicks: list[Click], point: np.ndarray) -> None:
    for click in clicks:
        if cam_from_world(point[None], scene.frames.poses[[click.row]])[0, 2] <= 0:
            photo = scene.frames.names[click.row]
            raise BadInput(f"point {name!r}: its rays meet behind {photo}: click the same thing in all photos")


def _check_agreement(scene: Scene, name: str, clicks: list[Click], miss: np.ndarray) -> None:
    if miss.max() <= LARGEST_MISS_PX:
        return
    words = ", ".join(f"{scene.frames.names[click.row]} {px:.0f} px" for click, px in zip(clicks, miss, strict=True))
    worst = scene.frames.names[clicks[int(np.argmax(miss))].row]
    which = f"; {worst} is furthest off" if len(clicks) > 2 else ""
    raise BadInput(f"point {name!r}: its clicks miss one another ({words}){which}: click the same thing in all photos")
