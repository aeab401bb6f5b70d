"""Points from matches of photos with known poses, by COLMAP."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from irploc.errors import BadInput
from irploc.mapping.colmap_calls import check_room, colmap_log, interruptible
from irploc.pycolmap_safe import import_pycolmap
from irploc.structure.mappingphotos import MappingPhotos

LEAST_ANGLE_DEG = 1.5  # between the rays of a point; COLMAP's own limit
_BYTES = (24, 8)  # in COLMAP's database, of a feature and of a match
_SEEDS = 2**31  # COLMAP's are C's int
_TOLERANCE = 1e-5  # relative gain at which adjusting points stops


@dataclass(frozen=True)
class Tracks:
    """Points and where photos see them.

    Attributes:
        points_m: (P, 3) float64, world frame.
        errors_px: (P,) mean reprojection error.
        photos, features, points: (O,) int32 rows of the photo, its feature and the point of each observation.
    """

    points_m: np.ndarray
    errors_px: np.ndarray
    photos: np.ndarray
    features: np.ndarray
    points: np.ndarray


def triangulate(
    photos: MappingPhotos,
    pixels: Sequence[np.ndarray],
    pairs: np.ndarray,
    matches: Sequence[np.ndarray],
    folder: Path,
    seed: int,
) -> Tracks:
    """Points that at least three photos see, or two at a good angle, poses held as they are.

    Args:
        photos: N with poses.
        pixels: N times (K, 2), places of their features.
        pairs: (P, 2) rows of photos.
        matches: P times (M, 2), rows of features; pairs without any are passed over.
        folder: for COLMAP's files, this call's own.
        seed: of RANSAC.

    Raises:
        BadInput: when the disk gets full.
    """
    if not any(len(found) for found in matches):
        none = np.empty(0, dtype=np.int32)
        return Tracks(np.empty((0, 3)), np.empty(0), none, none, none)
    pycolmap = import_pycolmap()
    folder.mkdir(parents=True, exist_ok=True)
    database, log = folder / "features.db", folder / "colmap.log"
    for suffix in ("", "-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    check_room(folder)
    _check_room_for_database(folder, pixels, matches)
    _write_database(pycolmap, database, photos, pixels, pairs, matches)
    output = folder / "model"
    output.mkdir(exist_ok=True)
    with colmap_log(log):
        model = interruptible(
            partial(
                pycolmap.triangulate_points,
                _posed_model(pycolmap, photos, pixels),
                str(database),
                str(folder),
                str(output),
                True,
                _options(pycolmap, seed),
            ),
            folder,
        )
    return _tracks(model)


def _check_room_for_database(folder: Path, pixels: Sequence[np.ndarray], matches: Sequence[np.ndarray]) -> None:
    """Raises BadInput where COLMAP's database and its journal have no room: COLMAP takes the whole process down then."""
    needed = 2 * (_BYTES[0] * sum(map(len, pixels)) + _BYTES[1] * sum(map(len, matches)))
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BadInput(
            f"no space left on the disk of {folder}: {free / 1e6:.0f} MB are free, COLMAP's database takes "
            f"{needed / 1e6:.0f} MB; make room and run the same command again to go on"
        )


def _write_database(
    pycolmap: Any,
    path: Path,
    photos: MappingPhotos,
    pixels: Sequence[np.ndarray],
    pairs: np.ndarray,
    matches: Sequence[np.ndarray],
) -> None:
    with pycolmap.Database.open(str(path)) as opened, pycolmap.DatabaseTransaction(opened):
        for camera in _colmap_cameras(pycolmap, photos).values():
            opened.write_camera(camera, use_camera_id=True)
        cameras = _camera_numbers(photos)
        for row, (name, camera_name) in enumerate(zip(photos.names, photos.photo_cameras, strict=True)):
            image = pycolmap.Image(name=name, camera_id=cameras[camera_name], image_id=row + 1)
            opened.write_image(image, use_image_id=True)
            opened.write_keypoints(row + 1, np.asarray(pixels[row], dtype=np.float32))
        for (first, second), found in zip(pairs.tolist(), matches, strict=True):
            if not len(found):
                continue
            geometry = pycolmap.TwoViewGeometry()
            geometry.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
            geometry.inlier_matches = found.astype(np.uint32)
            opened.write_two_view_geometry(first + 1, second + 1, geometry)


def _posed_model(pycolmap: Any, photos: MappingPhotos, pixels: Sequence[np.ndarray]) -> Any:
    """A model of photos with poses and features, without points."""
    model = pycolmap.Reconstruction()
    for camera in _colmap_cameras(pycolmap, photos).values():
        model.add_camera_with_trivial_rig(camera)
    cameras = _camera_numbers(photos)
    quats, shifts = photos.poses.to_cam_from_world()
    for row, name in enumerate(photos.names):
        image = pycolmap.Image(name=name, camera_id=cameras[photos.photo_cameras[row]], image_id=row + 1)
        image.points2D = pycolmap.Point2DList([pycolmap.Point2D(place) for place in pixels[row].astype(np.float64)])
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(np.roll(quats[row], -1)), shifts[row])
        model.add_image_with_trivial_frame(image, pose)
    return model


def _camera_numbers(photos: MappingPhotos) -> dict[str, int]:
    return {name: number for number, name in enumerate(photos.cameras_used, start=1)}


def _colmap_cameras(pycolmap: Any, photos: MappingPhotos) -> dict[str, Any]:
    numbers = _camera_numbers(photos)
    return {
        name: pycolmap.Camera(
            model=camera.model,
            width=camera.width,
            height=camera.height,
            params=list(camera.params),
            camera_id=numbers[name],
        )
        for name, camera in photos.cameras_used.items()
    }


def _options(pycolmap: Any, seed: int) -> Any:
    """COLMAP's defaults, without what needs the photos, and with adjustments that stop when they gain nothing any more."""
    options = pycolmap.IncrementalPipelineOptions()
    options.min_num_matches, options.extract_colors = 1, False
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = seed % _SEEDS
    options.ba_global_max_refinements = 2
    options.ba_global_function_tolerance = _TOLERANCE
    return options


def _tracks(model: Any) -> Tracks:
    points = [point for _, point in sorted(model.points3D.items())]
    seen = [(e.image_id - 1, e.point2D_idx, row) for row, point in enumerate(points) for e in point.track.elements]
    columns = np.array(seen, dtype=np.int32).reshape(-1, 3)
    columns = columns[np.lexsort((columns[:, 1], columns[:, 0]))]
    return Tracks(
        points_m=np.array([point.xyz for point in points]).reshape(-1, 3),
        errors_px=np.array([point.error for point in points]),
        photos=columns[:, 0],
        features=columns[:, 1],
        points=columns[:, 2],
    )
