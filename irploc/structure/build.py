"""A point map from the mapping photos of a scene: features, key photos, pairs, matches, points."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from irploc.errors import BadInput
from irploc.files import check_writable
from irploc.progress import Stages, silent_stages
from irploc.retrieval.index import PlaceIndex
from irploc.scene import Scene
from irploc.structure.comparison import Comparison, one_torch_thread
from irploc.structure.current import LEFT_OUT
from irploc.structure.features import DIMENSION, LocalFeatures
from irploc.structure.keyphotos import choose_key_photos
from irploc.structure.mapfile import save_map
from irploc.structure.mappingphotos import MappingPhotos, extract_all, mapping_photos
from irploc.structure.observations import Observations
from irploc.structure.options import OPTIONS, MapOptions
from irploc.structure.pairing import similar_pairs
from irploc.structure.photomatches import match_all
from irploc.structure.pointmap import PointMap
from irploc.structure.sparse import tracks_of_model
from irploc.structure.triangulation import Tracks, triangulate
from irploc.structure.work import remove_work, stamp, work_folder

MATCHES_FOLDER, POINTS_FOLDER, FEATURES_FOLDER = "matches", "points", "features"
_LIMITS_PX = (8.0, 4.0)
_LEAST_SEEN = 3  # of a point: with two photos a wrong match looks like a right one
_LEAST_CERTAIN = 0.1  # of a point: sigma for one pixel, as a share of its distance
FeaturesOf = Callable[[int], LocalFeatures]
Calibrate = Callable[[Observations, FeaturesOf], "dict[str, Any] | None"]


@dataclass(frozen=True)
class MapReport:
    """What came of it.

    Attributes:
        point_map: as it was written.
        photos: mapping photos that were looked at.
        pairs: of photos that were matched.
        added: photos that came into the map.
        unseen: names of chosen photos that see no point.
        error_px: median reprojection error.
        seconds: of each stage.
    """

    point_map: PointMap
    photos: int
    pairs: int
    added: int
    unseen: tuple[str, ...] = ()
    error_px: float = float("nan")
    seconds: dict[str, float] = field(default_factory=dict)


class Clock:
    """Stages with their progress bars and the time each took."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, title: str, total: int, unit: str) -> Iterator[Any]:
        """A bar, and a line in ``seconds``."""
        started = time.monotonic()
        with self._stages(title, total, unit) as bar:
            yield bar
        self.seconds[title] = self.seconds.get(title, 0.0) + time.monotonic() - started


def build_map(
    scene: Scene,
    index: PlaceIndex,
    out: Path,
    options: MapOptions | None = None,
    say: Callable[[str], None] = lambda text: None,
    stages: Stages = silent_stages,
    calibrate: Calibrate | None = None,
    keep: bool = False,
    model: Any = None,
) -> MapReport:
    """Makes the map of a place and writes it to ``out``, whatever was there.

    An interrupted call goes on where it was. The photos are not needed afterwards.

    Args:
        scene: for the intrinsics, and what the map is called after.
        index: over the scene's mapping photos.
        say: told what a user should know.
        stages: makes progress bars.
        calibrate: learns from observations and the features of photos (by row of the index) how far answers can be trusted.
        keep: leave the work's folder.
        model: a sparse model in the scene's frame (``sparse.scene_model``), whose points are taken.

    Raises:
        BadInput: photos without intrinsics, of another size than their camera, or that show no points in common.
        NotFound: a photo that is not there. Busy: another process makes that map.
    """
    options, clock = options or MapOptions(), Clock(stages)
    check_writable(out)
    order = walk_order(index)
    photos = mapping_photos(index.frames[order], scene.cameras, scene.name)
    settings = {"stamp": stamp(photos), "options": asdict(options), "vectors": float(np.abs(index.vectors).sum())}
    with work_folder(out, settings, say) as work:
        with clock.stage("features", len(photos), "photos") as bar:
            features = extract_all(photos, options.features, work / FEATURES_FOLDER, bar)
        with clock.stage("key photos", len(photos), "photos") as bar, one_torch_thread():
            comparison = Comparison(photos, features, options.features.max_side)
            keys = choose_key_photos(photos.poses, comparison, options.key_photos, bar)
        taken = np.zeros(len(photos), dtype=bool)
        taken[order[keys]] = True
        chosen, of_chosen = photos[keys], [features[row] for row in keys]
        if model is None:
            found, pairs = points_of(chosen, of_chosen, index, taken, options, work, clock)
        else:
            found, pairs = (
                observations_of(chosen, of_chosen, tracks_of_model(chosen, of_chosen, model, scene.name), options),
                0,
            )
        left_out = sorted(set(photos.names) - set(chosen.names))
        found = found.with_identity(identity_of(scene, options, left_out))
        check_points(found, scene.name)
        row_of = {int(row): place for place, row in enumerate(order)}
        started = time.monotonic()
        calibration = None if calibrate is None else calibrate(found, lambda row: features[row_of[row]])
        if calibration is not None:
            clock.seconds["calibrating"] = time.monotonic() - started
        report = finish(found, out, calibration, clock, len(photos), pairs, list(chosen.names))
        if not keep:
            remove_work(out)
    return report


def walk_order(index: PlaceIndex) -> np.ndarray:
    """(N,) rows of the index, walk by walk."""
    frames = index.frames
    return np.array(sorted(range(len(frames)), key=lambda row: (str(frames.sequences[row]), int(frames.indices[row]), row)))


def identity_of(scene: Scene, options: MapOptions, left_out: list[str]) -> dict[str, str]:
    """What tells a map from those of other scenes and settings."""
    return {
        "scene": scene.name,
        "ground_truth": scene.ground_truth,
        "units": scene.units,
        OPTIONS: json.dumps(options.plain()),
        LEFT_OUT: "\n".join(left_out),
    }


def points_of(
    photos: MappingPhotos,
    features: list[LocalFeatures],
    index: PlaceIndex,
    taken: np.ndarray,
    options: MapOptions,
    work: Path,
    clock: Clock,
) -> tuple[Observations, int]:
    """The points that photos show together, and how many pairs were matched.

    Args:
        photos: K of the index, in any order.
        features: K of them.
        taken: (N,) which rows of the index they are.
    """
    smaller = index.without(~taken)
    row_of = {name: row for row, name in enumerate(photos.names)}
    rows = np.array([row_of[name] for name in smaller.frames.names], dtype=np.int64)
    pairs = rows[similar_pairs(smaller, [photos.camera(row) for row in rows], options.pairs)]
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    comparison = Comparison(photos, features, options.features.max_side)
    with clock.stage("matching", len(pairs), "pairs") as bar:
        matches = match_all(pairs, comparison, work / MATCHES_FOLDER, bar)
    with clock.stage("triangulating", 1, "models") as bar:
        tracks = triangulate(
            photos, [found.pixels for found in features], pairs, matches, work / POINTS_FOLDER, options.seed
        )
        found = observations_of(photos, features, tracks, options)
        bar.advance()
    return found, len(pairs)


def observations_of(
    photos: MappingPhotos, features: list[LocalFeatures], tracks: Tracks, options: MapOptions
) -> Observations:
    """Tracks with the places and descriptors of their features, adjusted, those that do not fit left out."""
    starts = np.cumsum([0, *(len(found) for found in features)])
    rows = starts[tracks.photos] + tracks.features
    pixels = [np.empty((0, 2), np.float32), *(part.pixels for part in features)]
    descriptors = [np.empty((0, DIMENSION), np.uint8), *(part.descriptors for part in features)]
    found = Observations(
        names=photos.names,
        poses=photos.poses,
        photo_cameras=photos.photo_cameras,
        cameras=photos.cameras_used,
        points_m=tracks.points_m,
        photos=tracks.photos,
        points=tracks.points,
        pixels=np.concatenate(pixels)[rows],
        descriptors=np.concatenate(descriptors)[rows],
        features=options.features,
    )
    return fitting(found)


def fitting(found: Observations) -> Observations:
    """The observations that lie where their points project, points adjusted to them; in two rounds."""
    for limit_px in _LIMITS_PX:
        refined = found.refined()
        found = replace(found, points_m=refined.points_m)
        certain = refined.relative_sigma < _LEAST_CERTAIN
        found = found.only((refined.errors_px < limit_px) & certain[found.points], _LEAST_SEEN)
    return found


def check_points(found: Observations, where: str) -> None:
    """Raises BadInput where photos show nothing in common."""
    if not found.names:
        raise BadInput(f"{where}: no points: none of its mapping photos has any texture")
    if len(found.points_m) < 1:
        raise BadInput(
            f"{where}: no points: its {len(found.names)} photos show nothing in common, or their poses or intrinsics are "
            f"wrong ('irploc overlay' shows that)"
        )


def finish(
    found: Observations,
    out: Path,
    calibration: dict[str, Any] | None,
    clock: Clock,
    photos: int,
    pairs: int,
    chosen: list[str],
) -> MapReport:
    """Writes the map of observations; photos that see nothing are counted as left out."""
    point_map = found.to_map()
    unseen = tuple(name for name in chosen if name not in set(point_map.names))
    left_out = [*filter(None, point_map.identity[LEFT_OUT].split("\n")), *unseen]
    identity = {**point_map.identity, LEFT_OUT: "\n".join(sorted(left_out))}
    point_map = replace(point_map, identity=identity, calibration=calibration)
    save_map(point_map, out)
    error_px = float(np.median(found.errors_px())) if len(found) else float("nan")
    return MapReport(point_map, photos, pairs, len(chosen) - len(unseen), unseen, error_px, clock.seconds)
