"""Perspective views of textured rectangles: exact visibility and depth, filtered textures. numpy only.

A plane's inverse depth, and its texture coordinates over depth, are affine in the pixel, so a rectangle costs a few
additions per pixel of its bounding box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.synthetic.light import Lighting, enlarge
from irploc.synthetic.surfaces import Surface

NEAR_M = 0.02
_SEAM_M = 1e-4  # rectangles overlap by this much, so that no ray slips between two that share an edge


@dataclass(frozen=True)
class Visibility:
    """What each ray of a (rows, columns) grid meets.

    Attributes:
        surface: int32 number of the surface, -1 where there is none.
        inverse_depth: float32 1 / depth along the camera's z axis, 1/m; 0 where there is none.
        u, v: float32 position on the surface (m) times the inverse depth.
    """

    surface: np.ndarray
    inverse_depth: np.ndarray
    u: np.ndarray
    v: np.ndarray

    @property
    def depth_m(self) -> np.ndarray:
        """Depth along the camera's z axis; infinite where nothing is met."""
        with np.errstate(divide="ignore"):
            return 1.0 / self.inverse_depth


class Geometry:
    """Where all surfaces of a place are, as arrays."""

    def __init__(self, surfaces: Sequence[Surface]) -> None:
        self.origins = np.stack([surface.origin for surface in surfaces])
        self.rights = np.stack([surface.right for surface in surfaces])
        self.downs = np.stack([surface.down for surface in surfaces])
        self.normals = np.stack([surface.normal for surface in surfaces])
        self.corners = np.stack([surface.corners for surface in surfaces])
        self.sizes_m = np.array([(surface.width_m, surface.height_m) for surface in surfaces])

    def __len__(self) -> int:
        return len(self.origins)

    def cast_rays(self, camera: Camera, pose: Poses, rays_per_side: int = 1) -> Visibility:
        """The nearest surface, seen from its front, on every ray of one camera.

        Args:
            camera: PINHOLE or SIMPLE_PINHOLE.
            pose: of length one.
            rays_per_side: rays per pixel and axis; with one, the ray of a pixel goes through its centre.
        """
        x, y = _directions(camera, rays_per_side)
        shape = (len(y), len(x))
        seen = Visibility(np.full(shape, -1, np.int32), *(np.zeros(shape, np.float32) for _ in ("inverse depth", "u", "v")))
        center, rotation = pose.centers_m[0], pose.to_matrices()[0, :3, :3]
        offset = np.einsum("sk,sk->s", self.normals, self.origins - center)
        facing = np.flatnonzero(offset < -1e-9)
        corners = (self.corners[facing] - center) @ rotation
        towards = (self.origins[facing] - center)[:, None, :]
        # Per surface, what gives 1/z, u/z and v/z as scalar products with the ray (x, y, 1).
        inverse = (self.normals[facing] / offset[facing, None])[:, None, :]
        sides = np.stack([self.rights[facing], self.downs[facing]], axis=1)
        affine = np.concatenate([inverse, sides - (sides * towards).sum(-1, keepdims=True) * inverse], axis=1) @ rotation
        for row, number in enumerate(facing):
            window = _window(corners[row], x, y)
            if window is not None:
                _enter(seen, int(number), window, affine[row].astype(np.float32), self.sizes_m[number], x, y)
        return seen


def _directions(camera: Camera, rays_per_side: int) -> tuple[np.ndarray, np.ndarray]:
    """x of every column and y of every row of rays at depth one, float32."""
    (fx, fy), (cx, cy) = camera.focal_px, camera.principal_point_px
    x = ((np.arange(camera.width * rays_per_side) + 0.5) / rays_per_side - cx) / fx
    y = ((np.arange(camera.height * rays_per_side) + 0.5) / rays_per_side - cy) / fy
    return x.astype(np.float32), y.astype(np.float32)


def _enter(
    seen: Visibility,
    number: int,
    window: tuple[slice, slice],
    affine: np.ndarray,
    size_m: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
) -> None:
    """Enters one surface where it is nearer than what is already in ``seen``."""
    columns, rows = x[window[1]], y[window[0]]
    inverse, u, v = ((a * columns)[None, :] + (b * rows + c)[:, None] for a, b, c in affine)
    seam = np.float32(_SEAM_M) * inverse
    inside = inverse > seen.inverse_depth[window]
    inside &= (u >= -seam) & (v >= -seam)
    inside &= (u <= np.float32(size_m[0]) * inverse + seam) & (v <= np.float32(size_m[1]) * inverse + seam)
    for store, values in ((seen.surface, number), (seen.inverse_depth, inverse), (seen.u, u), (seen.v, v)):
        np.copyto(store[window], values, where=inside)


def _window(corners_cam: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[slice, slice] | None:
    """Rows and columns of the rays that may meet a rectangle; None when there are none."""
    front = corners_cam[:, 2] > NEAR_M
    if not front.any():
        return None
    points = corners_cam[front]
    if not front.all():  # where the sides cross the near plane
        following = np.roll(corners_cam, -1, axis=0)
        crossing = front != np.roll(front, -1)
        a, b = corners_cam[crossing], following[crossing]
        share = (NEAR_M - a[:, 2:]) / (b[:, 2:] - a[:, 2:])
        points = np.concatenate([points, a + share * (b - a)])
    flat = points[:, :2] / points[:, 2:]
    (left, top), (right, bottom) = flat.min(axis=0), flat.max(axis=0)
    columns = slice(max(0, int(np.searchsorted(x, left)) - 1), int(np.searchsorted(x, right)) + 1)
    rows = slice(max(0, int(np.searchsorted(y, top)) - 1), int(np.searchsorted(y, bottom)) + 1)
    return (rows, columns) if rows.start < len(y) and columns.start < len(x) and rows.stop > 1 and columns.stop > 1 else None


class Atlas:
    """The lit textures of all surfaces at every level of detail, in one table of texels.

    Args:
        surfaces: as in ``geometry``.
        geometry: of the surfaces.
        paintings: the sRGB painting of each surface.
        lightmaps: the light on each surface (``bake_lightmaps``).
        lighting: for what shines itself.
    """

    LEVELS = 7

    def __init__(
        self,
        surfaces: Sequence[Surface],
        geometry: Geometry,
        paintings: Sequence[np.ndarray],
        lightmaps: Sequence[np.ndarray],
        lighting: Lighting,
    ) -> None:
        self._geometry = geometry
        self._start = np.zeros((len(surfaces), self.LEVELS), np.int64)
        self._shape = np.zeros((len(surfaces), self.LEVELS, 2), np.int64)
        texels: list[np.ndarray] = []
        used = 0
        for row, (surface, painting, lightmap) in enumerate(zip(surfaces, paintings, lightmaps, strict=True)):
            image = _lit(surface, painting, lightmap, lighting)
            for level in range(self.LEVELS):
                if level == 0 or len(texels[-1]) > 1:
                    image = _halved(image) if level else image
                    texels.append(image.reshape(-1, 3))
                    used += len(texels[-1])
                self._start[row, level], self._shape[row, level] = used - len(texels[-1]), image.shape[:2]
        self._texels = np.concatenate(texels)
        self._density = (self._shape[:, 0, 1] / geometry.sizes_m[:, 0]).astype(np.float32)

    def image(self, seen: Visibility, camera: Camera, pose: Poses, rays_per_side: int) -> np.ndarray:
        """(height, width, 3) float32 linear RGB of a camera that sees ``seen``; black where it meets nothing.

        Pixels all of whose rays meet one surface are looked up once, at their centre; edges are averaged ray by ray.
        """
        sums = [_sum_of_blocks(store, rays_per_side) for store in (seen.inverse_depth, seen.u, seen.v)]
        blocks = seen.surface.reshape(camera.height, rays_per_side, camera.width, rays_per_side).transpose(0, 2, 1, 3)
        corner = blocks[:, :, 0, 0]
        whole = (blocks == blocks[:, :, :1, :1]).all(axis=(2, 3))
        image = np.empty((camera.height, camera.width, 3), np.float32)
        centers = [total[whole] / rays_per_side**2 for total in sums]
        image[whole] = self._radiance(corner[whole], centers, pose, camera.focal_px[0])
        edge_rays = [
            store.reshape(camera.height, rays_per_side, camera.width, rays_per_side).transpose(0, 2, 1, 3)[~whole].ravel()
            for store in (seen.inverse_depth, seen.u, seen.v)
        ]
        edges = self._radiance(blocks[~whole].ravel(), edge_rays, pose, camera.focal_px[0] * rays_per_side)
        image[~whole] = edges.reshape(-1, rays_per_side**2, 3).mean(axis=1)
        return image

    def _radiance(self, surface: np.ndarray, ray: list[np.ndarray], pose: Poses, rays_per_unit: float) -> np.ndarray:
        """(N, 3) float32 linear RGB.

        Args:
            surface: (N,) numbers of the surfaces, -1 for none.
            ray: three (N,) arrays as in ``Visibility``: inverse depth, u, v.
            pose: of the camera.
            rays_per_unit: rays over an angle whose tangent is one.
        """
        met = surface >= 0
        surface = np.maximum(surface, 0)
        inverse = np.where(met, ray[0], np.float32(1.0))
        offset = np.einsum("sk,sk->s", self._geometry.normals, pose.centers_m[0] - self._geometry.origins).astype(np.float32)
        cosine = np.clip(np.abs(offset)[surface] * inverse, 0.05, 1.0)
        footprint = self._density[surface] / (inverse * np.sqrt(cosine) * np.float32(rays_per_unit))
        level = np.clip(np.rint(np.log2(footprint)), 0, self.LEVELS - 1).astype(np.int64)
        shape = self._shape[surface, level]
        texels_per_m = shape[:, ::-1] / self._geometry.sizes_m[surface]
        column, row = (ray[1 + axis] / inverse * texels_per_m[:, axis] - 0.5 for axis in range(2))
        colours = self._bilinear(self._start[surface, level], shape, row, column)
        colours[~met] = 0.0
        return colours

    def _bilinear(self, start: np.ndarray, shape: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        last_row, last_column = shape[:, 0] - 1, shape[:, 1] - 1
        row, column = np.clip(row, 0, last_row), np.clip(column, 0, last_column)
        top, left = row.astype(np.int64), column.astype(np.int64)
        down, right = (row - top).astype(np.float32)[:, None], (column - left).astype(np.float32)[:, None]
        upper = start + top * shape[:, 1] + left
        lower = np.where(top < last_row, upper + shape[:, 1], upper)
        step = (left < last_column).astype(np.int64)
        above = self._texels[upper] * (1 - right) + self._texels[upper + step] * right
        below = self._texels[lower] * (1 - right) + self._texels[lower + step] * right
        return above * (1 - down) + below * down


def _sum_of_blocks(store: np.ndarray, side: int) -> np.ndarray:
    """Sums over blocks of side x side; of affine values this is side ** 2 times the value at the block's centre."""
    total = store[::side, ::side].copy()
    for row in range(side):
        for column in range(side):
            if row or column:
                total += store[row::side, column::side]
    return total


def _lit(surface: Surface, painting: np.ndarray, lightmap: np.ndarray, lighting: Lighting) -> np.ndarray:
    """Linear RGB that leaves the surface."""
    albedo = painting.astype(np.float32) ** np.float32(2.2)
    light = enlarge(lightmap, (painting.shape[0], painting.shape[1]))
    if surface.glow:
        light = light * 0.2 + np.asarray(lighting.glow[surface.glow], np.float32)
    return albedo * light


def _halved(image: np.ndarray) -> np.ndarray:
    """The image at half the resolution, box filtered; odd sides repeat their last texels."""
    rows, columns = image.shape[:2]
    if rows % 2 or columns % 2:
        image = np.concatenate([image, image[-1:]], axis=0) if rows % 2 else image
        image = np.concatenate([image, image[:, -1:]], axis=1) if columns % 2 else image
    return (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4
