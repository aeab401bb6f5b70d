"""Which points of a map a pose ought to see, and where in the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irploc.geometry.cameras import Camera, cam_from_world
from irploc.geometry.poses import Poses
from irploc.projection import project_points
from irploc.structure.pointmap import PointMap

_MOST_SLACK_PX = 200.0  # of a picture of 640 pixels; more is no use
_NEAREST = 0.05  # share of the distance from which a point was seen: nearer ones project anywhere
_LEAST_UNIT_PX = 0.5
_SLACK_COSINE = 0.25
_SCALE = 2.0  # SIFT finds a point again up to about this factor in distance


@dataclass(frozen=True)
class Slack:
    """By how much a pose may be wrong when one asks what it sees.

    Attributes:
        position_m, rotation_deg: of it.
        cosine: by which a point may be seen more from the side than it ever was.
        scale: by which it may be farther or nearer than it ever was.
    """

    position_m: float = 0.0
    rotation_deg: float = 0.0
    cosine: float = _SLACK_COSINE
    scale: float = _SCALE


EXACT = Slack()


def seen_from(
    point_map: PointMap, pose: Poses, camera: Camera, slack: Slack = EXACT, among: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Points that a camera sees: in front of it, in its picture, from where and from how far they were seen before.

    Args:
        pose: one row.
        slack: by how much it may be wrong; the picture is made larger by what that moves a point.
        among: rows to ask about; all by default.

    Returns:
        (V,) rows of the map and (V, 2) pixels.
    """
    rows = np.arange(len(point_map)) if among is None else among
    points, views = point_map.points_m[rows], point_map.views
    rays = pose.centers_m[0] - points
    distances = np.sqrt(np.einsum("pd,pd->p", rays, rays))
    near, far = views.nearest_m[rows] / slack.scale - slack.position_m, views.farthest_m[rows] * slack.scale
    towards = np.einsum("pd,pd->p", rays, views.directions[rows]) / np.maximum(distances, 1e-12)
    kept = (distances > near) & (distances < far + slack.position_m) & (towards > views.cosines[rows] - slack.cosine)
    rows, points, distances = rows[kept], points[kept], distances[kept]
    local = cam_from_world(points, pose)
    margin = _margin_px(camera, local[:, 2], slack)
    in_front = local[:, 2] > _NEAREST * distances
    rows, local, margin = rows[in_front], local[in_front], margin[in_front]
    pixels = project_points(camera, local)
    with np.errstate(invalid="ignore"):
        inside = ((pixels > -margin[:, None]) & (pixels < margin[:, None] + [camera.width, camera.height])).all(axis=1)
    return rows[inside], pixels[inside]


def unit_px(camera: Camera) -> float:
    """What a pixel of a picture of 640 is in a camera's: errors grow with the picture, but not below features' own."""
    return max(_LEAST_UNIT_PX, max(camera.width, camera.height) / 640.0)


def _margin_px(camera: Camera, depth_m: np.ndarray, slack: Slack) -> np.ndarray:
    """(M,) by how many pixels the picture of a pose that is wrong by so much shows points elsewhere."""
    focal = max(camera.focal_px)
    turned = np.tan(np.radians(min(slack.rotation_deg, 60.0)))
    moved = slack.position_m / np.maximum(depth_m, max(slack.position_m, 1e-9))
    return np.asarray(np.minimum(focal * (turned + moved), _MOST_SLACK_PX * unit_px(camera)))
