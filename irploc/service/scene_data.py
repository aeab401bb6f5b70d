"""What is shown of a loaded scene: its description, points, pictures of its floor maps, reduced mapping photos."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from irploc.errors import BadInput, IrplocError
from irploc.estimators.structure import Structure
from irploc.floormap import FloorMap, plane_axes
from irploc.images import decode_image, resize_to_max_side
from irploc.localizer.current import folder_now
from irploc.pointcloud import PointCloud, points_from_depth, scene_points
from irploc.scene import Frames
from irploc.scene_picture import gaps_after, ground_axes
from irploc.service.hosting import HostedScene
from irploc.service.problems import told
from irploc.service.scene_schemas import (
    Extent,
    FloorPlan,
    Plane,
    SceneDescription,
    ScenePoints,
    SceneSummary,
    Walk,
)
from irploc.structure.mapfile import METHOD as STRUCTURE
from irploc.structure.pointmap import PointMap

logger = logging.getLogger(__name__)
PLAN_PX = 1600  # longer side of a floor map's pictures
_MOST_POINTS = 15_000
_READ_PHOTOS = 60  # that are read for points, or for their colours
_COLORED = 0.5  # share of a method's points whose colours must be known for the others to be left out
_AROUND = 0.25  # how far the drawn box reaches beyond most of the points, as a share of its sides
_DIGITS = 5  # of coordinates, counted from the largest one's first
_SHADE = (48, 52, 64, 140)  # of what is not walkable: seen on light and dark plans
_JPEG_QUALITY = 80


def summary_of(hosted: HostedScene) -> SceneSummary:
    """A scene in a few words."""
    return SceneSummary(**_summary(hosted))


def describe(hosted: HostedScene, thumbnails: bool) -> SceneDescription:
    """A scene with all that is drawn of it.

    Args:
        thumbnails: whether its mapping photos may be seen.
    """
    frames, base = hosted.place.index.frames, quote(hosted.name, safe="")
    up = hosted.answering(None, None).up
    return SceneDescription(
        **_summary(hosted),
        notes=_notes(hosted),
        up=up,
        plane=_plane(*(ground_axes(frames.poses) if up is None else plane_axes(up))),
        trajectory=_trajectory(frames),
        floor_plans=[_floor_plan(floor, name, base) for name, floor in hosted.floor_maps.items()],
        points_url=f"{base}/points",
        thumbnail_url=f"{base}/photos/{{photo}}" if thumbnails else None,
    )


def _summary(hosted: HostedScene) -> dict[str, Any]:
    centers_m = hosted.place.index.frames.poses.centers_m
    return {
        "name": hosted.name,
        "units": hosted.header.units,
        "mapping_photos": len(centers_m),
        "encoder": _encoder_name(hosted.header.encoder),
        "methods": list(hosted.served),
        "default_method": hosted.default_method,
        "floor_maps": list(hosted.floor_maps),
        "default_floor_map": hosted.default_floor_map,
        "extent_m": Extent(min=centers_m.min(axis=0).tolist(), max=centers_m.max(axis=0).tolist()),
    }


def _encoder_name(typed: str) -> str:
    """As it was typed, of a file its stem alone."""
    kind, colon, path = typed.partition(":")
    return f"{kind}:{Path(path).stem}" if colon else kind


def _notes(hosted: HostedScene) -> list[str]:
    """What the map's keepers should know, without the files that they know it of."""
    place = hosted.place
    files = {str(place.store.path): "its embeddings", str(place.model_path(STRUCTURE)): "its points"}
    notes = []
    for note in dict.fromkeys(served.note for served in hosted.served.values() if served.note):
        for path, words in files.items():
            note = note.replace(path, words)
        notes.append(told(BadInput(note), f"there is a note about the map of {hosted.name}", hosted.name))
    return notes + [f"the method {method} could not be loaded" for method in hosted.skipped]


def _trajectory(frames: Frames) -> list[Walk]:
    walks = []
    centers_m = rounded(frames.poses.centers_m)
    turns = np.round(frames.poses.world_from_cam_wxyz, 6)
    for sequence in sorted(set(frames.sequences)):
        rows = np.flatnonzero(frames.sequences == sequence)
        rows = rows[np.argsort(frames.indices[rows], kind="stable")]
        walks.append(
            Walk(
                sequence=sequence,
                photos=[frames.names[row] for row in rows],
                centers_m=centers_m[rows].tolist(),
                world_from_cam_wxyz=turns[rows].tolist(),
                gaps_after=gaps_after(frames.poses.centers_m[rows]).tolist(),
            )
        )
    return walks


def _floor_plan(floor: FloorMap, name: str, base: str) -> FloorPlan:
    grid, url = floor.grid, f"{base}/floor-maps/{quote(name, safe='')}"
    return FloorPlan(
        name=name,
        width_px=grid.width,
        height_px=grid.height,
        metres_per_pixel=grid.metres_per_pixel,
        origin_m=list(grid.origin_m),
        yaw_deg=grid.yaw_deg,
        up=floor.up,
        max_distance_m=floor.max_distance_m if math.isfinite(floor.max_distance_m) else None,
        plane=_plane(*plane_axes(floor.up)),
        corners_m=grid.corners_m.tolist(),
        plan_url=None if floor.plan is None else f"{url}/plan.png",
        walkable_url=f"{url}/walkable.png",
    )


def _plane(right: int, up: int) -> Plane:
    return Plane.model_validate({"right": "xyz"[right], "up": "xyz"[up]})


def rounded(points_m: np.ndarray) -> np.ndarray:
    """Points for drawing: digits that nobody can see would be most of the answer."""
    largest = float(np.abs(points_m).max(initial=0.0))
    return np.round(points_m, _DIGITS - 1 - math.floor(math.log10(largest))) if largest > 0 else points_m


def describe_points(hosted: HostedScene) -> ScenePoints:
    """The points of a scene that are drawn: its own, else those that a method has, else those of its depth maps."""
    cloud = _cloud_of_scene(hosted) or _cloud_of_method(hosted) or _cloud_of_depth(hosted)
    if cloud is None:
        return ScenePoints(points_m=[], colors=None, source="", total=0)
    drawn = near_points(cloud).sampled(_MOST_POINTS)
    colors = None if drawn.colors is None else [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in drawn.colors]
    return ScenePoints(points_m=rounded(drawn.points_m).tolist(), colors=colors, source=cloud.source, total=len(cloud))


def near_points(cloud: PointCloud) -> PointCloud:
    """The bulk of a cloud: single points far away, of which every reconstruction has some, would make the place small."""
    low, high = np.percentile(cloud.points_m, [1, 99], axis=0)
    room = _AROUND * (high - low).max()
    near = ((cloud.points_m >= low - room) & (cloud.points_m <= high + room)).all(axis=1)
    return PointCloud(cloud.points_m[near], None if cloud.colors is None else cloud.colors[near], cloud.source)


def _cloud_of_scene(hosted: HostedScene) -> PointCloud | None:
    if hosted.scene is None:
        return None
    folder = folder_now(hosted.place.workspace, hosted.name, hosted.place.store)
    try:
        cloud = None if folder is None else scene_points(folder)
    except IrplocError as error:
        logger.warning("points of %s are not shown: %s", hosted.name, error)
        return None
    return None if cloud is None else PointCloud(cloud.points_m, cloud.colors, "points of the scene")


def _cloud_of_method(hosted: HostedScene) -> PointCloud | None:
    for method, served in hosted.served.items():
        if isinstance(served.estimator, Structure):
            return colored(served.estimator.point_map, photo_files(hosted), f"points of the method {method}")
    return None


def colored(point_map: PointMap, files: Mapping[str, Path], source: str) -> PointCloud:
    """The points that some of the mapping photos see, in the colours that they have there; all of them, without colours,
    where too few photos are here any more."""
    colors, known = np.zeros((len(point_map), 3), np.uint8), np.zeros(len(point_map), dtype=bool)
    for number in _some(len(point_map.names)):
        camera = point_map.cameras[point_map.photo_cameras[number]]
        try:
            photo = np.asarray(decode_image(files[point_map.names[number]]))
        except (KeyError, IrplocError):
            continue
        if photo.shape[:2] != (camera.height, camera.width):
            continue
        rows = point_map.seen_by(number)
        at = slice(point_map.starts[number], point_map.starts[number + 1])
        column, line = np.clip(point_map.pixels[at].astype(int), 0, [camera.width - 1, camera.height - 1]).T
        colors[rows], known[rows] = photo[line, column], True
    if known.sum() < _COLORED * min(len(point_map), _MOST_POINTS):
        return PointCloud(point_map.points_m, None, source)
    return PointCloud(point_map.points_m[known], colors[known], source)


def _some(count: int) -> np.ndarray:
    """Numbers of so many photos as are read, spread evenly over all."""
    return np.linspace(0, count - 1, min(_READ_PHOTOS, count)).round().astype(int)


def _cloud_of_depth(hosted: HostedScene) -> PointCloud | None:
    scene = hosted.scene
    rows = np.flatnonzero(scene.frames.splits == "train") if scene is not None else np.empty(0, dtype=np.int64)
    if scene is None or not len(rows):
        return None
    some = rows[_some(len(rows))]
    try:
        cloud = points_from_depth(scene, some, _MOST_POINTS)
    except IrplocError as error:
        logger.warning("depth maps of %s are not shown: %s", hosted.name, error)
        return None
    if cloud is None or not np.isfinite(cloud.points_m).all() or not len(cloud):
        return None
    return PointCloud(cloud.points_m, cloud.colors, "depth maps of mapping photos")


def photo_files(hosted: HostedScene) -> Mapping[str, Path]:
    """Where each mapping photo lies, by name: in the scene as it is now, else where it was embedded."""
    frames = hosted.place.index.frames
    now = {} if hosted.scene is None else dict(zip(hosted.scene.frames.names, hosted.scene.frames.images, strict=True))
    return {name: now.get(name, image) for name, image in zip(frames.names, frames.images, strict=True)}


def thumbnail(photo: Path, side: int) -> bytes:
    """A reduced photo as a JPEG without anything but its pixels.

    Raises:
        NotFound, BadInput: when it is gone or cannot be read.
    """
    return _encoded(decode_image(photo, side), "JPEG", quality=_JPEG_QUALITY)


def plan_picture(plan: Path) -> bytes:
    """The picture of a plan as a PNG, reduced; raises as ``thumbnail``."""
    return _encoded(decode_image(plan, PLAN_PX), "PNG")


def walkable_picture(floor: FloorMap) -> bytes:
    """A PNG that shades what is not walkable, to be laid over the plan; reduced."""
    red, green, blue, alpha = _SHADE
    shade = resize_to_max_side(Image.fromarray(np.where(floor.walkable, 0, alpha).astype(np.uint8)), PLAN_PX)
    picture = Image.new("RGBA", shade.size, (red, green, blue, 0))
    picture.putalpha(shade)
    return _encoded(picture, "PNG")


def _encoded(picture: Image.Image, kind: str, **options: int) -> bytes:
    """A file with the pixels alone: Pillow would copy comments and colour profiles of what it read."""
    stream = io.BytesIO()
    Image.fromarray(np.asarray(picture)).save(stream, kind, **options)
    return stream.getvalue()
