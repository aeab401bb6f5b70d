"""New mapping photos taken into a map, without the photos that it was made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np

from irploc import provenance
from irploc.files import check_writable
from irploc.pairs.threads import in_threads
from irploc.progress import Progress, Stages, silent_stages
from irploc.retrieval.index import PlaceIndex
from irploc.scene import Scene
from irploc.structure.build import (
    FEATURES_FOLDER,
    Clock,
    MapReport,
    check_points,
    finish,
    fitting,
    identity_of,
    points_of,
    walk_order,
)
from irploc.structure.comparison import Comparison, one_torch_thread
from irploc.structure.current import check_map, left_out
from irploc.structure.features import LocalFeatures
from irploc.structure.guided import guided_pairs
from irploc.structure.keyphotos import choose_key_photos
from irploc.structure.mappingphotos import MappingPhotos, extract_all, mapping_photos
from irploc.structure.observations import Observations
from irploc.structure.options import MapOptions
from irploc.structure.pointmap import PointMap
from irploc.structure.sight import seen_from, unit_px
from irploc.structure.work import remove_work, stamp, work_folder

_REACH_PX = 4.0  # of a picture of 640 pixels: a feature this near to where a point ought to be may be it


def new_photos(point_map: PointMap, index: PlaceIndex) -> np.ndarray:
    """Rows of the index, walk by walk, that a map knows nothing of."""
    known = set(point_map.names) | left_out(point_map)
    order = walk_order(index)
    return order[[index.frames.names[row] not in known for row in order]]


def extend_map(
    point_map: PointMap,
    scene: Scene,
    index: PlaceIndex,
    out: Path,
    options: MapOptions,
    say: Callable[[str], None] = lambda text: None,
    stages: Stages = silent_stages,
    keep: bool = False,
) -> MapReport:
    """Takes the mapping photos in that came since, and writes the map to ``out``.

    New photos see points of the map where these project and look alike, and have points of their own with each other.
    The calibration stays that of the map.

    Args:
        point_map: of the same scene.
        index, scene, say, stages, keep: as for ``build_map``.
        options: the map's own.

    Raises:
        Mismatch: photos of the map moved or are gone. Others as ``build_map``.
    """
    check_map(point_map, index.frames, out)
    check_writable(out)
    clock, rows = Clock(stages), new_photos(point_map, index)
    photos = mapping_photos(index.frames[rows], scene.cameras, scene.name)
    of_map = provenance.sha256_of_parts([point_map.points_m.tobytes(), "\n".join(point_map.names).encode()])
    with work_folder(out, {"stamp": stamp(photos), "options": asdict(options), "map": of_map}, say) as work:
        with clock.stage("features", len(photos), "photos") as bar:
            features = extract_all(photos, options.features, work / FEATURES_FOLDER, bar)
        with clock.stage("points of the map", len(photos), "photos") as bar:
            sighted = _sighted(point_map, photos, features, bar)
        with clock.stage("key photos", len(photos), "photos") as bar, one_torch_thread():
            comparison = Comparison(photos, features, options.features.max_side)
            shown = [_mask(len(found), pairs[:, 0]) for found, pairs in zip(features, sighted, strict=True)]
            keys = choose_key_photos(photos.poses, comparison, options.key_photos, bar, shown)
        chosen, taken = photos[keys], np.zeros(len(index.frames), dtype=bool)
        taken[rows[keys]] = True
        unclaimed = [_only(features[row], ~shown[row]) for row in keys]
        fresh, pairs = points_of(chosen, unclaimed, index, taken, options, work, clock)
        found = _joined(
            Observations.of_map(point_map), chosen, [features[row] for row in keys], [sighted[row] for row in keys]
        )
        found = fitting(_with_points(found, fresh, len(point_map.names)))
        others = left_out(point_map) | (set(photos.names) - set(chosen.names))
        found = found.with_identity(identity_of(scene, options, sorted(others)))
        check_points(found, scene.name)
        calibration = None if point_map.calibration is None else dict(point_map.calibration)
        report = finish(found, out, calibration, clock, len(photos), pairs, list(chosen.names))
        if not keep:
            remove_work(out)
    return report


def _sighted(point_map: PointMap, photos: MappingPhotos, features: list[LocalFeatures], bar: Progress) -> list[np.ndarray]:
    """Of each photo, (M, 2) rows of its features and of the map's points that they show."""
    find = partial(_sighted_by_one, point_map, photos, features)
    with one_torch_thread():
        return in_threads(find, range(len(photos)), bar)


def _sighted_by_one(point_map: PointMap, photos: MappingPhotos, features: list[LocalFeatures], row: int) -> np.ndarray:
    camera = photos.camera(row)
    points, pixels = seen_from(point_map, photos.poses[[row]], camera)
    return guided_pairs(features[row], point_map, points, pixels, _REACH_PX * unit_px(camera))


def _mask(count: int, rows: np.ndarray) -> np.ndarray:
    mask = np.zeros(count, dtype=bool)
    mask[rows] = True
    return mask


def _only(features: LocalFeatures, mask: np.ndarray) -> LocalFeatures:
    return replace(features, pixels=features.pixels[mask], descriptors=features.descriptors[mask])


def _joined(
    known: Observations, photos: MappingPhotos, features: list[LocalFeatures], sighted: list[np.ndarray]
) -> Observations:
    """Observations of a map and those that more photos have of its points."""
    first = len(known.names)
    counts = [len(pairs) for pairs in sighted]
    pixels = [found.pixels[pairs[:, 0]] for found, pairs in zip(features, sighted, strict=True)]
    descriptors = [found.descriptors[pairs[:, 0]] for found, pairs in zip(features, sighted, strict=True)]
    points = [pairs[:, 1].astype(np.int32) for pairs in sighted]
    return replace(
        known,
        names=(*known.names, *photos.names),
        poses=type(known.poses).concatenate([known.poses, photos.poses]),
        photo_cameras=(*known.photo_cameras, *photos.photo_cameras),
        cameras={**known.cameras, **photos.cameras_used},
        photos=np.concatenate([known.photos, np.repeat(np.arange(len(photos)) + first, counts).astype(np.int32)]),
        points=np.concatenate([known.points, *points]),
        pixels=np.concatenate([known.pixels, *pixels]),
        descriptors=np.concatenate([known.descriptors, *descriptors]),
    )


def _with_points(known: Observations, fresh: Observations, first_photo: int) -> Observations:
    """Observations with the points of others, whose photos are those from ``first_photo`` on."""
    return replace(
        known,
        points_m=np.concatenate([known.points_m, fresh.points_m]),
        photos=np.concatenate([known.photos, fresh.photos + np.int32(first_photo)]),
        points=np.concatenate([known.points, fresh.points + np.int32(len(known.points_m))]),
        pixels=np.concatenate([known.pixels, fresh.pixels]),
        descriptors=np.concatenate([known.descriptors, fresh.descriptors]),
    )
