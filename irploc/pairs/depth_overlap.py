"""The depth test: what share of one photo's depth pixels the other photo sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from irploc.depth import DepthSensor, depth_path, depth_sensor, read_depth
from irploc.errors import BadInput
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.pairs.threads import in_threads
from irploc.progress import Progress
from irploc.projection import in_picture, project_points, unproject_points

ACROSS = 64  # depth pixels sampled along the longer side


@dataclass(frozen=True)
class DepthMap:
    """What the test needs of one photo's depth map.

    Attributes:
        points_m: (M, 3) world frame, of the sampled pixels that were measured.
        grid_m: (h, w) float32, the depths of all sampled pixels; NaN where nothing was measured.
        sensor: what took the map.
        step: pixels of the depth map from one sampled pixel to the next.
    """

    points_m: np.ndarray
    grid_m: np.ndarray
    sensor: DepthSensor
    step: int

    def depth_at(self, points_cam: np.ndarray) -> np.ndarray:
        """(M, 2): how far points (M, 3), in the coordinates of the photo's camera, are from the sensor along its axis, and
        what the sensor measured in their direction; NaN where it measured nothing."""
        motion = self.sensor.photo_from_depth
        points = (points_cam - motion[:3, 3]) @ motion[:3, :3]
        pixels = project_points(self.sensor.camera, points)
        inside = in_picture(self.sensor.camera, pixels)
        column, line = (np.where(inside[:, None], pixels, 0).astype(np.int64) // self.step).T
        height, width = self.grid_m.shape
        measured = self.grid_m[np.minimum(line, height - 1), np.minimum(column, width - 1)]
        return np.stack([points[:, 2], np.where(inside, measured, np.nan)], axis=1)


def depth_maps(images: tuple[Path, ...]) -> dict[int, Path]:
    """Row -> depth map of the photos that have one."""
    found = {row: depth_path(image) for row, image in enumerate(images)}
    return {row: path for row, path in found.items() if path is not None}


def load_depth(path: Path, sensor: DepthSensor, world_from_cam: np.ndarray) -> DepthMap:
    """Reads a depth map and puts a regular grid of its pixels, about ``ACROSS`` along the longer side, into the world.

    Args:
        sensor: what took it.
        world_from_cam: (4, 4) of the photo.

    Raises:
        BadInput: when it is no depth map, or of another size than its camera.
    """
    depth = read_depth(path)
    camera = sensor.camera
    if depth.shape != (camera.height, camera.width):
        raise BadInput(
            f"{path} is {depth.shape[1]}x{depth.shape[0]}, but its camera is for {camera.width}x{camera.height}: give depth "
            "maps of the photos' size, or --test orb"
        )
    step = max(1, round(max(depth.shape) / ACROSS))
    line, column = np.mgrid[step // 2 : depth.shape[0] : step, step // 2 : depth.shape[1] : step]
    grid = depth[line, column]
    measured = np.isfinite(grid)
    pixels = np.stack([column[measured], line[measured]], axis=1) + 0.5
    points = unproject_points(camera, pixels, grid[measured])
    world_from_depth = world_from_cam @ sensor.photo_from_depth
    return DepthMap(points @ world_from_depth[:3, :3].T + world_from_depth[:3, 3], grid, sensor, step)


def seen_share(
    points_m: np.ndarray, camera: Camera, world_from_cam: np.ndarray, depth: DepthMap | None, tolerance: float
) -> float:
    """The share of points that a photo sees.

    Args:
        points_m: (M, 3) world frame.
        camera, world_from_cam: of the photo, the pose as (4, 4).
        depth: the photo's own; None where it has none, and all that lands inside counts as seen.
        tolerance: how far a point may be from what was measured in its direction, as a share of that. Where nothing was
            measured it counts as seen.

    Returns:
        In [0, 1]; NaN without points.
    """
    if not len(points_m):
        return float("nan")
    points = (points_m - world_from_cam[:3, 3]) @ world_from_cam[:3, :3]
    seen = in_picture(camera, project_points(camera, points))
    if depth is not None and seen.any():
        there, measured = depth.depth_at(points[seen]).T
        seen[seen] = ~(np.abs(there - measured) > tolerance * measured)
    return float(seen.mean())


def depth_shares(
    pairs: np.ndarray,
    poses: Poses,
    cameras: Mapping[int, Camera],
    paths: Mapping[int, Path],
    source: str,
    tolerance: float,
    bar: Progress,
) -> np.ndarray:
    """How much of their depth the photos of each pair share.

    Args:
        pairs: (P, 2) rows.
        poses: of all photos.
        cameras: of those in the pairs, by row.
        paths: row -> depth map, of ``depth_maps``.
        source: ``Scene.source``, see ``irploc.depth.depth_sensor``.
        tolerance: as ``seen_share``.
        bar: counts depth maps and pairs.

    Returns:
        (P,) shares in [0, 1]: the mean of both directions, or the one there is; NaN where neither photo has depth.

    Source: section 2.1 i of the paper. Beyond it, a point is not seen where the other photo's own depth says that
    something else is there.
    """
    matrices = poses.to_matrices()
    wanted = [row for row in np.unique(pairs).tolist() if row in paths]

    def load(row: int) -> DepthMap:
        return load_depth(paths[row], depth_sensor(source, cameras[row]), matrices[row])

    maps = dict(zip(wanted, in_threads(load, wanted, bar), strict=True))
    shares = np.full(len(pairs), np.nan)
    for number, (first, second) in enumerate(pairs.tolist()):
        ways = [
            seen_share(maps[here].points_m, cameras[there], matrices[there], maps.get(there), tolerance)
            for here, there in ((first, second), (second, first))
            if here in maps
        ]
        known = [share for share in ways if share == share]  # a map without any measurement gives NaN
        if known:
            shares[number] = sum(known) / len(known)
        bar.advance()
    return shares
