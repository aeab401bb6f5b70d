"""``Grid``: pixels of a plan and metres on the ground plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irploc.errors import BadInput

MOST_PIXELS = 25_000_000  # a distance transform with indices of these takes 0.4 GB
LEAST_PIXEL_M, MOST_PIXEL_M = 1e-6, 1e3
FARTHEST_M = 1e9  # from the origin of the scene; geocentric coordinates are below 1e7


def check_metres_per_pixel(metres_per_pixel: float) -> None:
    """Raises BadInput for what can be no side of a pixel."""
    if not LEAST_PIXEL_M <= metres_per_pixel <= MOST_PIXEL_M:
        raise BadInput(f"metres_per_pixel is {metres_per_pixel:g}, it must lie in {LEAST_PIXEL_M:f} to {MOST_PIXEL_M:g}")


@dataclass(frozen=True)
class Grid:
    """A raster that lies on the plane, as ROS map_server places its pictures.

    Attributes:
        width, height: in pixels.
        metres_per_pixel: side of a pixel.
        origin_m: of the lower left corner of the picture, on the plane.
        yaw_deg: the picture's x axis, counter-clockwise from the plane's.
    """

    width: int
    height: int
    metres_per_pixel: float
    origin_m: tuple[float, float]
    yaw_deg: float = 0.0

    def pixels_of(self, points_m: np.ndarray) -> np.ndarray:
        """(N, 2) columns and rows of (N, 2) metres; not rounded, (0, 0) is the upper left corner of the picture."""
        right_up = (points_m - self.origin_m) @ self._axes.T / self.metres_per_pixel
        return np.stack([right_up[:, 0], self.height - right_up[:, 1]], axis=1)

    def points_of(self, pixels: np.ndarray) -> np.ndarray:
        """The inverse of ``pixels_of``."""
        right_up = np.stack([pixels[:, 0], self.height - pixels[:, 1]], axis=1)
        return right_up * self.metres_per_pixel @ self._axes + self.origin_m

    @classmethod
    def around(cls, points_m: np.ndarray, metres_per_pixel: float, margin_m: float = 0.0) -> Grid:
        """The upright raster that holds (N, 2) points with a margin, its corner on a whole number of pixels.

        Raises:
            BadInput: when it would have more than ``MOST_PIXELS``.
        """
        low = np.floor((points_m.min(axis=0) - margin_m) / metres_per_pixel) - 1
        width, height = (np.ceil((points_m.max(axis=0) + margin_m) / metres_per_pixel) + 1 - low).tolist()
        if not width * height <= MOST_PIXELS:
            spans = np.ptp(points_m, axis=0)
            raise BadInput(
                f"a map of {spans[0]:.4g} x {spans[1]:.4g} m with {metres_per_pixel:g} m a pixel has more than "
                f"{MOST_PIXELS:,} pixels: take larger ones, or look whether these are metres"
            )
        corner = (float(low[0] * metres_per_pixel), float(low[1] * metres_per_pixel))
        return cls(int(width), int(height), metres_per_pixel, corner)

    @property
    def corners_m(self) -> np.ndarray:
        """(4, 2) corners of the picture: lower left, lower right, upper right, upper left."""
        w, h = self.width, self.height
        return self.points_of(np.array([[0, h], [w, h], [w, 0], [0, 0]], dtype=np.float64))

    @property
    def _axes(self) -> np.ndarray:
        """(2, 2) the picture's right and up on the plane."""
        yaw = np.radians(self.yaw_deg)
        return np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
