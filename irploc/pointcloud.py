"""Point clouds of a scene: from PLY files, COLMAP models and depth maps; and whether they lie in the scene's frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_gradient_magnitude

from irploc.depth import depth_path, depth_sensor, read_depth
from irploc.errors import BadInput, NotFound
from irploc.geometry.cameras import Camera, cam_from_world, world_from_cam
from irploc.images import decode_image
from irploc.ply import read_ply
from irploc.projection import in_picture, missing_intrinsics, project_points, unproject_points
from irploc.pycolmap_safe import import_pycolmap
from irploc.scene import Scene

MODEL_FILES = ("cameras", "images", "points3D")
_RECORD_BYTES = {"cameras": 48, "images": 73, "points3D": 51}  # at least, in a binary file
_CHECKED_FRAMES, _CHECKED_POINTS = 40, 4000
_FEWEST_POINTS = 20
_CANDIDATES = 12  # points on edges are the best of so many times more


@dataclass(frozen=True)
class PointCloud:
    """Points of a place.

    Attributes:
        points_m: (M, 3) float64, world frame, metres (or the units of the scene).
        colors: (M, 3) uint8 RGB, or None.
        source: where they come from, for messages.
    """

    points_m: np.ndarray
    colors: np.ndarray | None
    source: str

    def __len__(self) -> int:
        return len(self.points_m)

    def sampled(self, count: int, seed: int = 0) -> PointCloud:
        """At most ``count`` of the points, drawn without repetition, in their order."""
        if count >= len(self):
            return self
        rows = np.sort(np.random.default_rng(seed).choice(len(self), count, replace=False))
        return PointCloud(self.points_m[rows], None if self.colors is None else self.colors[rows], self.source)


def load_points(path: Path) -> PointCloud:
    """The points of a PLY file, or of a COLMAP model: its folder, one above ``sparse/0``, or its ``points3D`` file.

    Points that are not finite are left out.

    Raises:
        NotFound: no such file or model. BadInput: damaged, no points, or of another kind.
    """
    colors: np.ndarray | None
    if path.is_dir() or path.stem == "points3D":
        points, colors = _model_points(_model_folder(path if path.is_dir() else path.parent))
    elif path.suffix.lower() == ".ply" or not path.exists():
        points, colors = read_ply(path)
    else:
        raise BadInput(f"{path} is no point cloud: expected a .ply file or the folder of a COLMAP model")
    finite = np.isfinite(points).all(axis=1)
    if not finite.any():
        raise BadInput(f"{path} has no points")
    return PointCloud(points[finite], None if colors is None else colors[finite], str(path))


def scene_points(folder: Path) -> PointCloud | None:
    """The cloud that a scene folder holds, ``sparse`` (a COLMAP model) or ``points.ply``; None where there is no point.

    Raises:
        BadInput: when it is damaged.
    """
    for path in (folder / "sparse" / "0", folder / "sparse"):
        if _suffix(path) and len(_model_points(path)[0]):  # a model may hold poses alone
            return load_points(path)
    return load_points(folder / "points.ply") if (folder / "points.ply").is_file() else None


def points_from_depth(
    scene: Scene, rows: np.ndarray, count: int, seed: int = 0, on_edges: bool = False
) -> PointCloud | None:
    """About ``count`` points from the depth maps of some frames, spread evenly over them, coloured by the photos.

    Args:
        rows: (N,) numbers of frames; those without a depth map are passed over.
        on_edges: take points where the photos have edges, as structure from motion would, instead of everywhere.

    Returns:
        The cloud, None where no frame has a depth map.

    Raises:
        BadInput: for a depth map of another size than its camera, a frame without intrinsics, or an unreadable file.
    """
    chosen = [int(row) for row in rows if depth_path(scene.frames.images[int(row)])]
    if not chosen:
        return None
    chosen = _evenly(chosen, count)
    points, colors = [], []
    for number, row in enumerate(chosen):
        share = (count * (number + 1)) // len(chosen) - (count * number) // len(chosen)
        seen, pixels, photo = _colored_points(scene, row, share * (_CANDIDATES if on_edges else 1), seed)
        if on_edges:
            kept = np.sort(np.argsort(-_edge_strength(photo)[pixels[:, 1], pixels[:, 0]], kind="stable")[:share])
            seen, pixels = seen[kept], pixels[kept]
        points.append(world_from_cam(seen, scene.frames.poses[[row]]))
        colors.append(photo[pixels[:, 1], pixels[:, 0]])
    return PointCloud(np.concatenate(points), np.concatenate(colors), f"depth maps of {len(chosen)} photos of {scene.name}")


def frame_points(scene: Scene, row: int, count: int, seed: int = 0) -> np.ndarray | None:
    """About ``count`` (never more) points of one frame's depth map, spread evenly over it; None without a depth map.

    Returns:
        (M, 3) float64, in the coordinates of the photo's camera, metres.

    Raises:
        BadInput: for a depth map of another size than its camera, or a frame without intrinsics.
    """
    image = scene.frames.images[row]
    path = depth_path(image)
    if path is None:
        return None
    name = scene.frames.cameras[row]
    if not name:
        raise missing_intrinsics(scene.frames.names[row])
    sensor = depth_sensor(scene.source, scene.cameras[name])
    depth = read_depth(path)
    if depth.shape != (sensor.camera.height, sensor.camera.width):
        raise _other_size(path, depth.shape, sensor.camera)
    line, column = _spread(np.isfinite(depth), count, np.random.default_rng([seed, row]))
    pixels = np.stack([column, line], axis=1) + 0.5
    points = unproject_points(sensor.camera, pixels, depth[line, column].astype(np.float64))
    return points @ sensor.photo_from_depth[:3, :3].T + sensor.photo_from_depth[:3, 3]


def check_frame(cloud: PointCloud, scene: Scene, camera: Camera | None = None) -> None:
    """Refuses a cloud that lies in another frame than the scene, by projection into photos of the scene.

    In the right frame, most photos see some of the points, at distances like those that the cameras span. A smaller mistake,
    of half a room, goes unnoticed.

    Args:
        camera: of the frames whose intrinsics the scene does not know.

    Raises:
        BadInput: when hardly any point is seen by a photo, or few photos see any point; or no photo has intrinsics.
    """
    frames = scene.frames
    cameras = [scene.cameras.get(name, camera) for name in frames.cameras]
    known = np.flatnonzero([found is not None for found in cameras])
    if not len(known):
        raise missing_intrinsics(frames.names[0])
    rows = known[np.linspace(0, len(known) - 1, min(_CHECKED_FRAMES, len(known))).round().astype(int)]
    if len(cloud.points_m) < _FEWEST_POINTS:
        raise BadInput(
            f"points in {cloud.source}: {len(cloud.points_m)}; a cloud of the scene has at least {_FEWEST_POINTS}"
        )
    points = cloud.sampled(_CHECKED_POINTS).points_m
    limit = _plausible_distance(scene)
    seen = np.zeros((len(rows), len(points)), dtype=bool)
    for number, row in enumerate(rows):
        taken_by = cameras[row]
        assert taken_by is not None
        local = cam_from_world(points, frames.poses[[row]])
        near = (local[:, 2] > 0) & (np.linalg.norm(local, axis=1) < limit)
        pixels = project_points(taken_by, local)
        seen[number] = near & in_picture(taken_by, pixels) & _is_spread(taken_by, pixels[near])
    share, photos = seen.any(axis=0).mean(), seen.any(axis=1).mean()
    if share < 0.01 or photos < 0.3:
        raise BadInput(
            f"{cloud.source} lies in another frame than the scene {scene.name}: {share:.0%} of its points land in front of "
            f"and inside {len(rows)} of its photos, and {photos:.0%} of these see any: give points in the scene's world "
            f"frame and units ({scene.units})"
        )


def _evenly(rows: list[int], count: int) -> list[int]:
    if count >= len(rows):
        return rows
    return [rows[k] for k in np.linspace(0, len(rows) - 1, max(count, 1)).round().astype(int)]


def _colored_points(scene: Scene, row: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of one frame: points (M, 3) of its depth map that lie in the photo, their whole pixels (M, 2) there, and the photo."""
    points = frame_points(scene, row, count, seed)
    assert points is not None, "the frame has no depth map"
    image, camera = scene.frames.images[row], scene.cameras[scene.frames.cameras[row]]
    photo = np.asarray(decode_image(image))
    if photo.shape[:2] != (camera.height, camera.width):
        raise _other_size(image, photo.shape, camera)
    pixels = project_points(camera, points)
    inside = in_picture(camera, pixels)
    return points[inside], pixels[inside].astype(np.int64), photo


def _edge_strength(photo: np.ndarray) -> np.ndarray:
    """(H, W) gradient of the grey levels, smoothed over about 3 pixels."""
    return np.asarray(gaussian_gradient_magnitude(photo.astype(np.float64).mean(axis=2), 1.5))


def _spread(measured: np.ndarray, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Lines and columns of at most ``count`` measured pixels: one drawn from each cell of a grid, those without a
    measurement passed over."""
    height, width = measured.shape
    if count < 1 or not measured.any():
        return np.empty(0, np.int64), np.empty(0, np.int64)
    side = max(np.sqrt(measured.sum() / count), 1.0)
    corners = np.stack(np.meshgrid(np.arange(0, height, side), np.arange(0, width, side), indexing="ij"), -1).reshape(-1, 2)
    drawn = (corners + generator.uniform(0, side, corners.shape)).astype(np.int64)
    inside = (drawn < (height, width)).all(axis=1)
    line, column = drawn[inside].T
    found = np.flatnonzero(measured[line, column])
    if len(found) > count:
        found = found[np.linspace(0, len(found) - 1, count).round().astype(int)]
    return line[found], column[found]


def _plausible_distance(scene: Scene) -> float:
    """Twenty times what the cameras span; at least 50 m where the units are metres, as a camera may only turn."""
    span = 20 * float(np.linalg.norm(np.ptp(scene.frames.poses.centers_m, axis=0)))
    if scene.units == "metres":
        return max(span, 50.0)
    return span if span > 0 else np.inf


def _is_spread(camera: Camera, pixels: np.ndarray) -> bool:
    """Whether points fill more than a speck of the picture, as a cloud in smaller units would not."""
    good = pixels[in_picture(camera, pixels)]
    return len(good) < 3 or float(np.ptp(good, axis=0).max()) > 0.02 * camera.width


def _other_size(path: Path, shape: tuple[int, ...], camera: Camera) -> BadInput:
    return BadInput(f"{path} is {shape[1]}x{shape[0]}, but its camera is for {camera.width}x{camera.height}")


def _suffix(folder: Path) -> str:
    """``.bin`` or ``.txt`` where the folder holds a COLMAP model, else empty."""
    suffixes = (".bin", ".txt")
    return next((s for s in suffixes if all((folder / f"{part}{s}").is_file() for part in MODEL_FILES)), "")


def _model_folder(path: Path) -> Path:
    for folder in (path, path / "sparse" / "0", path / "sparse", path / "0"):
        if _suffix(folder):
            return folder
    raise NotFound(f"no COLMAP model in {path}: expected cameras, images and points3D as .bin or .txt")


def read_model(folder: Path) -> Any:
    """A COLMAP model, pycolmap's ``Reconstruction``.

    Binary files that promise more than they hold are refused beforehand: pycolmap would ask for any amount of memory.

    Raises:
        BadInput: when it is damaged.
    """
    for part, least in _RECORD_BYTES.items():
        path = folder / f"{part}.bin"
        if path.is_file():
            with path.open("rb") as stream:
                count = int.from_bytes(stream.read(8), "little")
            if path.stat().st_size < 8 + count * least:
                raise BadInput(f"{folder} is not a readable COLMAP model: {path.name} is cut off or damaged")
    try:
        return import_pycolmap().Reconstruction(str(folder))
    except (RuntimeError, ValueError, IndexError, MemoryError) as error:
        words = (str(error).splitlines() or ["it is damaged"])[-1]
        raise BadInput(f"{folder} is not a readable COLMAP model: {words}") from None


def _model_points(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    model = read_model(folder)
    numbered = [point for _, point in sorted(model.points3D.items())]
    points = np.array([point.xyz for point in numbered], dtype=np.float64).reshape(-1, 3)
    return points, np.array([point.color for point in numbered], dtype=np.uint8).reshape(-1, 3)
