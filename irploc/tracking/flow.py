"""Points of a map carried from one frame to the next by optical flow, and the pose that they give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irploc.geometry.cameras import Camera, cam_from_world
from irploc.geometry.poses import Poses
from irploc.opencv_safe import opencv
from irploc.projection import project_points
from irploc.structure.resection import refine
from irploc.structure.sight import unit_px
from irploc.structure.solve import coverage_of

_MOST = 300  # points that are carried; more make a pose hardly better
_LEAST, _LEAST_SHARE, _LEAST_COVERAGE = 40, 0.6, 0.15  # of those that began, and of the picture
_GOOD_PX, _LOSS_PX = 2.0, 1.0  # in a picture of 640 pixels
_WINDOW, _LEVELS = (21, 21), 3


@dataclass(frozen=True)
class Carried:
    """Where map points are in a frame.

    Attributes:
        grey: (H, W) uint8, the frame.
        pixels: (K, 2) of the points; the centre of the first pixel is at (0.5, 0.5).
        rows: (K,) of the points in the map.
        began: how many there were in the frame whose features were matched.
    """

    grey: np.ndarray
    pixels: np.ndarray
    rows: np.ndarray
    began: int

    @classmethod
    def from_matches(cls, grey: np.ndarray, pixels: np.ndarray, rows: np.ndarray) -> Carried:
        """The inliers of a frame whose features were matched; of many, some that are spread evenly over their order."""
        chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MOST)).round().astype(np.int64))
        return cls(grey, pixels[chosen], rows[chosen], len(chosen))


def grey_of(pixels: np.ndarray) -> np.ndarray:
    """(H, W) uint8 of (H, W, 3) RGB."""
    cv2 = opencv()
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))


def carry(
    last: Carried, grey: np.ndarray, points_m: np.ndarray, camera: Camera, prediction: Poses
) -> tuple[Poses, Carried] | None:
    """The pose of the next frame, and where the points are in it; None where too few arrive where the pose sees them.

    Args:
        last: the frame before.
        grey: (H, W) uint8, the next one.
        points_m: (P, 3) of the map.
        camera: of both.
        prediction: one row, where flow and refinement start.

    Source: pyramidal Lucas-Kanade (Bouguet 2001), by OpenCV.
    """
    points = points_m[last.rows]
    expected = project_points(camera, cam_from_world(points, prediction))
    start = np.where(np.isfinite(expected), expected, last.pixels) - 0.5  # OpenCV's first pixel has its centre at 0
    cv2 = opencv()
    arrived, status, _ = cv2.calcOpticalFlowPyrLK(
        last.grey,
        grey,
        np.ascontiguousarray(last.pixels[:, None] - 0.5, dtype=np.float32),
        np.ascontiguousarray(start[:, None], dtype=np.float32),
        winSize=_WINDOW,
        maxLevel=_LEVELS,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    pixels = arrived[:, 0].astype(np.float64) + 0.5
    seen = (status[:, 0] == 1) & ((pixels >= 0) & (pixels <= [camera.width, camera.height])).all(axis=1)
    if seen.sum() < _LEAST:
        return None
    found = refine(pixels[seen], points[seen], prediction, camera, _LOSS_PX * unit_px(camera))
    if found is None:
        return None
    errors = np.linalg.norm(project_points(camera, cam_from_world(points, found.pose)) - pixels, axis=1)
    good = seen & (np.nan_to_num(errors, nan=np.inf) <= _GOOD_PX * unit_px(camera))
    enough = good.sum() >= max(_LEAST, _LEAST_SHARE * last.began)
    if not enough or coverage_of(pixels[good], camera) < _LEAST_COVERAGE:
        return None
    return found.pose, Carried(grey, pixels[good], last.rows[good], last.began)
