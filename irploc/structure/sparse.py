"""Points of the sparse model that ``scene build`` left, instead of triangulating them anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from irploc.errors import Mismatch, NotFound
from irploc.pointcloud import MODEL_FILES, read_model
from irploc.structure.features import LocalFeatures
from irploc.structure.mappingphotos import MappingPhotos
from irploc.structure.sight import unit_px
from irploc.structure.triangulation import Tracks

_REACH_PX = 1.5  # of a picture of 640 pixels: a feature this near to where the model saw a point is the point's
_SAME_PLACE = 1e-3  # of the extent of the cameras


def scene_model(folder: Path) -> Any:
    """The sparse model in a scene's folder, pycolmap's ``Reconstruction``.

    Raises:
        NotFound: there is none. BadInput: it is damaged.
    """
    for path in (folder / "sparse" / "0", folder / "sparse"):
        if any(all((path / f"{part}{suffix}").is_file() for part in MODEL_FILES) for suffix in (".bin", ".txt")):
            return read_model(path)
    raise NotFound(f"no sparse model in {folder}, 'irploc scene build' leaves one there: leave --sparse out")


def tracks_of_model(photos: MappingPhotos, features: Sequence[LocalFeatures], model: Any, where: str) -> Tracks:
    """Points of a model with the features that lie where it saw them.

    Args:
        photos: N, those of them that the model does not have see nothing.
        features: N of them.
        where: the scene, for messages.

    Raises:
        Mismatch: the model lies in another frame than the photos' poses.
    """
    images = {image.name: image for image in model.images.values() if image.has_pose}
    _check_frame(photos, images, where)
    numbers = {number: row for row, number in enumerate(sorted(model.points3D))}
    columns: list[np.ndarray] = []
    for row, name in enumerate(photos.names):
        if name in images and len(features[row]):
            found = _features_of_points(images[name], numbers, features[row], _REACH_PX * unit_px(photos.camera(row)))
            columns.append(np.concatenate([np.full((len(found), 1), row), found], axis=1))
    seen = np.concatenate([np.empty((0, 3), dtype=np.int64), *columns]).astype(np.int32)
    points = [model.points3D[number] for number in sorted(model.points3D)]
    return Tracks(
        points_m=np.array([point.xyz for point in points]).reshape(-1, 3),
        errors_px=np.array([point.error for point in points]),
        photos=seen[:, 0],
        features=seen[:, 1],
        points=seen[:, 2],
    )


def _features_of_points(image: Any, numbers: dict[int, int], features: LocalFeatures, reach_px: float) -> np.ndarray:
    """(M, 2) rows of features and of points, one to one: the feature nearest to where the model saw the point."""
    places = [(point.xy, numbers[point.point3D_id]) for point in image.points2D if point.has_point3D()]
    if not places:
        return np.empty((0, 2), dtype=np.int64)
    away, nearest = cKDTree(features.pixels).query(np.array([xy for xy, _ in places]), distance_upper_bound=reach_px)
    order = np.argsort(away, kind="stable")
    order = order[np.isfinite(away[order])]
    points = np.array([point for _, point in places])[order]
    first_of_feature = np.unique(nearest[order], return_index=True)[1]
    first_of_point = np.unique(points, return_index=True)[1]
    both = np.intersect1d(first_of_feature, first_of_point)
    return np.stack([nearest[order][both], points[both]], axis=1)


def _check_frame(photos: MappingPhotos, images: dict[str, Any], where: str) -> None:
    rows = [row for row, name in enumerate(photos.names) if name in images]
    if not rows:
        raise Mismatch(f"{where}: its sparse model has none of its mapping photos: leave --sparse out")
    there = np.array([images[photos.names[row]].projection_center() for row in rows])
    here = photos.poses.centers_m[rows]
    extent = float(np.linalg.norm(np.ptp(photos.poses.centers_m, axis=0)))
    if np.median(np.linalg.norm(there - here, axis=1)) > _SAME_PLACE * max(extent, 1e-12):
        raise Mismatch(f"{where}: its sparse model lies in another frame than its poses: leave --sparse out")
