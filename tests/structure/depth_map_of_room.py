"""The rendered room with a map made from its exact depth: every point lies on a surface."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from irploc.geometry.cameras import world_from_cam
from irploc.scene import Scene
from irploc.structure.features import FeatureExtractor, LocalFeatures
from irploc.structure.guided import guided_pairs
from irploc.structure.pointmap import PointMap
from irploc.structure.sight import seen_from
from irploc.synthetic import PlaceOptions
from irploc.synthetic.place import render_place, scene_of_place

OPTIONS = PlaceOptions(width=240, height=180, mapping_frames=30, test_frames=4)
_SAME_PX = 2.0


@dataclass(frozen=True)
class Room:
    """A saved scene, the map of its mapping photos, and the photos as arrays: 30 by day, then 4 in the evening."""

    folder: Path
    scene: Scene
    point_map: PointMap
    photos: tuple[np.ndarray, ...]


def make_room(folder: Path) -> Room:
    """Renders, saves and maps it."""
    scene = scene_of_place(folder, OPTIONS)
    photos, depths = zip(*render_place(OPTIONS), strict=True)
    for path, photo in zip(scene.frames.images, photos, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(path, quality=95)
    scene.save(folder)
    return Room(folder, scene, _mapped(scene, photos, depths), photos)


def _mapped(scene: Scene, photos: tuple[np.ndarray, ...], depths: tuple[np.ndarray, ...]) -> PointMap:
    """A photo after the other: a feature that looks like a point where that ought to be is that point, others are new."""
    extractor, found = FeatureExtractor(), _empty(scene)
    for row in range(OPTIONS.mapping_frames):
        found = _with_photo(found, scene, row, extractor.extract(photos[row]), depths[row])
    return found


def _with_photo(known: PointMap, scene: Scene, row: int, features: LocalFeatures, depth_m: np.ndarray) -> PointMap:
    pose, camera = scene.frames.poses[[row]], OPTIONS.camera
    column, line = np.floor(features.pixels).astype(int).T
    z = depth_m[np.clip(line, 0, camera.height - 1), np.clip(column, 0, camera.width - 1)].astype(np.float64)
    usable = np.isfinite(z) & (z > 0)
    again = np.empty((0, 2), np.int64)
    if len(known):
        again = guided_pairs(features, known, *seen_from(known, pose, camera), _SAME_PX)
        again = again[usable[again[:, 0]]]
    new = np.setdiff1d(np.flatnonzero(usable), again[:, 0])
    points = world_from_cam(camera.unproject(features.pixels[new], z[new]), pose)
    rows = np.concatenate([again[:, 1], len(known) + np.arange(len(new))])
    return PointMap(
        names=(*known.names, scene.frames.names[row]),
        poses=scene.frames.poses[: row + 1],
        photo_cameras=(*known.photo_cameras, scene.frames.cameras[row]),
        cameras=dict(scene.cameras),
        points_m=np.concatenate([known.points_m, points]),
        descriptors=np.concatenate([known.descriptors, features.descriptors[new]]),
        starts=np.append(known.starts, known.starts[-1] + len(rows)),
        observed=np.concatenate([known.observed, rows]).astype(np.int32),
        pixels=np.concatenate([known.pixels, features.pixels[np.concatenate([again[:, 0], new])]]),
        identity=known.identity,
    )


def _empty(scene: Scene) -> PointMap:
    return PointMap(
        names=(),
        poses=scene.frames.poses[:0],
        photo_cameras=(),
        cameras=dict(scene.cameras),
        points_m=np.empty((0, 3)),
        descriptors=np.empty((0, 128), np.uint8),
        starts=np.zeros(1, np.int64),
        observed=np.empty(0, np.int32),
        pixels=np.empty((0, 2), np.float32),
        identity={"scene": "room", "units": scene.units, "ground_truth": scene.ground_truth},
    )
