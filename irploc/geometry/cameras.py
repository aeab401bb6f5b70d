"""Camera intrinsics in COLMAP's models and parameter order, and the projection of points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irploc.geometry.poses import Poses

# Parameter names of each model, in COLMAP's order; the first entries give the focal length(s) and principal point.
CAMERA_MODELS: dict[str, tuple[str, ...]] = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
    "OPENCV_FISHEYE": ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4"),
    "FULL_OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    "FOV": ("fx", "fy", "cx", "cy", "omega"),
    "SIMPLE_RADIAL_FISHEYE": ("f", "cx", "cy", "k"),
    "RADIAL_FISHEYE": ("f", "cx", "cy", "k1", "k2"),
    "THIN_PRISM_FISHEYE": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "sx1", "sy1"),
    "RAD_TAN_THIN_PRISM_FISHEYE": (
        *("fx", "fy", "cx", "cy", "k0", "k1", "k2", "k3", "k4", "k5"),
        *("p0", "p1", "s0", "s1", "s2", "s3"),
    ),
    "SIMPLE_DIVISION": ("f", "cx", "cy", "k"),
    "DIVISION": ("fx", "fy", "cx", "cy", "k"),
    "SIMPLE_FISHEYE": ("f", "cx", "cy"),
    "FISHEYE": ("fx", "fy", "cx", "cy"),
    "EUCM": ("fx", "fy", "cx", "cy", "alpha", "beta"),
}
_PROJECTED = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV")


@dataclass(frozen=True)
class Camera:
    """Intrinsics of an image.

    Attributes:
        model: a COLMAP model name, a key of ``CAMERA_MODELS``.
        width, height: of the image in pixels.
        params: in COLMAP's order, pixels; the centre of the first pixel is at (0.5, 0.5).

    Raises:
        ValueError: for an unknown model, a wrong number of parameters, or values that cannot be.
    """

    model: str
    width: int
    height: int
    params: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.model not in CAMERA_MODELS:
            raise ValueError(f"unknown camera model {self.model!r}; known are {', '.join(CAMERA_MODELS)}")
        names = CAMERA_MODELS[self.model]
        if len(self.params) != len(names):
            raise ValueError(f"{self.model} takes {len(names)} parameters ({', '.join(names)}), not {len(self.params)}")
        if not np.isfinite(self.params).all() or self.focal_px[0] <= 0 or self.focal_px[1] <= 0:
            raise ValueError(f"impossible camera parameters {self.params}")
        if self.width < 1 or self.height < 1:
            raise ValueError(f"impossible image size {self.width}x{self.height}")
        object.__setattr__(self, "params", tuple(float(value) for value in self.params))

    @property
    def focal_px(self) -> tuple[float, float]:
        """Focal lengths in x and y, pixels."""
        single = CAMERA_MODELS[self.model][0] == "f"
        return self.params[0], self.params[0 if single else 1]

    @property
    def principal_point_px(self) -> tuple[float, float]:
        """Principal point (cx, cy), pixels."""
        start = CAMERA_MODELS[self.model].index("cx")
        return self.params[start], self.params[start + 1]

    @property
    def field_of_view_deg(self) -> tuple[float, float]:
        """Horizontal and vertical angle of view in degrees, lens distortion left out; fisheye models are equidistant."""
        half = np.array([self.width, self.height]) / 2 / self.focal_px
        across, down = np.degrees(2 * (half if "FISHEYE" in self.model else np.arctan(half)))
        return float(across), float(down)

    def project(self, points_cam: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of points (..., 3) in camera coordinates (m); NaN for points not in front of the camera.

        Raises:
            ValueError: for the fisheye and rarer models, which pycolmap projects.
        """
        if self.model not in _PROJECTED:
            raise ValueError(f"projection with {self.model} is left to pycolmap")
        points = np.asarray(points_cam, dtype=np.float64)
        depth = np.where(points[..., 2:] > 0, points[..., 2:], np.nan)
        return self._distort(points[..., :2] / depth) * self.focal_px + self.principal_point_px

    def unproject(self, pixels: np.ndarray, depth_m: np.ndarray) -> np.ndarray:
        """Points (..., 3) in camera coordinates (m) of pixels (..., 2) at depths (...), ignoring lens distortion."""
        xy = (np.asarray(pixels, dtype=np.float64) - self.principal_point_px) / self.focal_px
        return np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1) * np.asarray(depth_m)[..., None]

    def _distort(self, xy: np.ndarray) -> np.ndarray:
        values = dict(zip(CAMERA_MODELS[self.model], self.params, strict=True))
        k1 = values.get("k1", values.get("k", 0.0))
        k2, p1, p2 = values.get("k2", 0.0), values.get("p1", 0.0), values.get("p2", 0.0)
        x, y = xy[..., 0], xy[..., 1]
        r2 = x * x + y * y
        radial = 1.0 + k1 * r2 + k2 * r2 * r2
        dx = 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x)
        dy = p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y
        return np.stack([x * radial + dx, y * radial + dy], axis=-1)


def cam_from_world(points_world: np.ndarray, pose: Poses) -> np.ndarray:
    """World points (M, 3) in the coordinates of the one camera in ``pose``, metres."""
    matrix = pose.to_matrices()[0]
    return (np.asarray(points_world, dtype=np.float64) - matrix[:3, 3]) @ matrix[:3, :3]


def world_from_cam(points_cam: np.ndarray, pose: Poses) -> np.ndarray:
    """Points (M, 3) in the coordinates of the one camera in ``pose``, in the world frame, metres."""
    matrix = pose.to_matrices()[0]
    return np.asarray(points_cam, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
