"""``Observations``: every sighting of a point by a mapping photo with its own descriptor, from which maps are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.structure.features import DIMENSION, SCALE, FeatureOptions, unit_descriptors
from irploc.structure.pointmap import PointMap
from irploc.structure.refinement import RefinedPoints, Sightings, rays_of, refine_points, sightings

_CHUNK = 100_000  # observations whose descriptors are added at once


@dataclass(frozen=True)
class Observations:
    """What N mapping photos see of P points.

    Attributes:
        names: N of the photos, as in the scene.
        poses: N of them.
        photo_cameras: N keys of ``cameras``.
        cameras: name -> intrinsics.
        points_m: (P, 3) float64, world frame.
        photos: (O,) int32 row of the photo of each observation.
        points: (O,) int32 row of its point.
        pixels: (O, 2) float32, where in the photo.
        descriptors: (O, 128) uint8, as seen by that photo.
        features: how they were found.
        identity: as in ``PointMap``.

    Raises:
        ValueError: when the columns do not fit together.
    """

    names: tuple[str, ...]
    poses: Poses
    photo_cameras: tuple[str, ...]
    cameras: dict[str, Camera]
    points_m: np.ndarray
    photos: np.ndarray
    points: np.ndarray
    pixels: np.ndarray
    descriptors: np.ndarray
    features: FeatureOptions = field(default_factory=FeatureOptions)
    identity: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.photos)
        fits = (
            len(self.names) == len(self.poses) == len(self.photo_cameras)
            and self.points_m.ndim == 2
            and self.points.shape == (count,)
            and self.pixels.shape == (count, 2)
            and self.descriptors.shape == (count, DIMENSION)
        )
        if not fits:
            raise ValueError("the columns of Observations differ in length")
        for rows, size in ((self.photos, len(self.names)), (self.points, len(self.points_m))):
            if count and not 0 <= int(rows.min()) <= int(rows.max()) < size:
                raise ValueError("Observations of photos or points that are not there")

    def __len__(self) -> int:
        return len(self.photos)

    @classmethod
    def of_map(cls, point_map: PointMap) -> Observations:
        """Those of a map, whose photos' own descriptors are gone: each has that of its point."""
        return cls(
            names=point_map.names,
            poses=point_map.poses,
            photo_cameras=point_map.photo_cameras,
            cameras=dict(point_map.cameras),
            points_m=point_map.points_m,
            photos=point_map.photo_of_observation.astype(np.int32),
            points=point_map.observed,
            pixels=point_map.pixels,
            descriptors=point_map.descriptors[point_map.observed],
            features=point_map.features,
            identity=dict(point_map.identity),
        )

    def to_map(self, keep: np.ndarray | None = None) -> PointMap:
        """The map of some of the photos: points with fewer than two observations left are dropped, photos without any too.

        A point's descriptor is the mean direction of its observations' descriptors. Points that lose observations are
        adjusted to those that are left, so that nothing of the photos that went stays in the map.

        Args:
            keep: (N,) bool, photos to keep; all without it.
        """
        kept = np.ones(len(self.names), dtype=bool) if keep is None else np.asarray(keep, dtype=bool)
        if kept.shape != (len(self.names),):
            raise ValueError(f"keep is for {kept.shape} photos, there are {len(self.names)}")
        rows = np.flatnonzero(kept[self.photos])
        counts = np.bincount(self.points[rows], minlength=len(self.points_m))
        often = counts >= 2
        rows = rows[often[self.points[rows]]]
        lost = often & (counts < np.bincount(self.points, minlength=len(self.points_m)))
        points_m = self._without_what_went(lost, rows)
        rows = rows[np.argsort(self.photos[rows], kind="stable")]
        point_row = np.cumsum(often) - 1
        seeing, photo_row = np.unique(self.photos[rows], return_inverse=True)
        observed = point_row[self.points[rows]].astype(np.int32)
        photo_cameras = tuple(self.photo_cameras[row] for row in seeing)
        return PointMap(
            names=tuple(self.names[row] for row in seeing),
            poses=self.poses[seeing],
            photo_cameras=photo_cameras,
            cameras={name: self.cameras[name] for name in sorted(set(photo_cameras))},
            points_m=np.asarray(points_m[often], dtype=np.float64),
            descriptors=_mean_descriptors(self.descriptors, rows, observed, int(often.sum())),
            starts=np.searchsorted(photo_row, np.arange(len(seeing) + 1)).astype(np.int64),
            observed=observed,
            pixels=np.asarray(self.pixels[rows], dtype=np.float32),
            features=self.features,
            identity=dict(self.identity),
        )

    def sightings(self, rows: np.ndarray | None = None) -> Sightings:
        """The rays of observations, of all or of some rows."""
        rows = np.arange(len(self)) if rows is None else rows
        photos, rays = self.photos[rows], np.empty((len(rows), 2))
        names = np.array(self.photo_cameras, dtype=object)[photos]
        for name in set(self.photo_cameras):
            those = names == name
            rays[those] = rays_of(self.cameras[name], self.pixels[rows[those]])
        focal = np.array([np.mean(self.cameras[name].focal_px) for name in self.photo_cameras])
        return sightings(self.poses, photos, rays, focal, self.points[rows])

    def refined(self, rounds: int = 8) -> RefinedPoints:
        """All points adjusted to where they are seen; with no rounds, how well they fit as they are."""
        return refine_points(self.points_m, self.sightings(), rounds)

    def errors_px(self) -> np.ndarray:
        """(O,) distances of the observations from the projections of their points, pixels."""
        return self.refined(0).errors_px

    def only(self, rows: np.ndarray, least: int = 2) -> Observations:
        """Some of the observations, with the points that keep at least so many of them."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        often = np.bincount(self.points[rows], minlength=len(self.points_m)) >= least
        rows = rows[often[self.points[rows]]]
        return replace(
            self,
            points_m=self.points_m[often],
            photos=self.photos[rows],
            points=(np.cumsum(often) - 1)[self.points[rows]].astype(np.int32),
            pixels=self.pixels[rows],
            descriptors=self.descriptors[rows],
        )

    def _without_what_went(self, lost: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(P, 3) points; those ``lost`` adjusted to the observations ``rows``."""
        if not lost.any():
            return self.points_m
        seeing = rows[lost[self.points[rows]]]
        seen = self.sightings(seeing)
        renumbered = replace(seen, points=(np.cumsum(lost) - 1)[seen.points])
        points_m = np.array(self.points_m, dtype=np.float64)
        points_m[lost] = refine_points(points_m[lost], renumbered).points_m
        return points_m

    def with_identity(self, identity: Mapping[str, str]) -> Observations:
        """The same observations of a map with this identity."""
        return replace(self, identity=dict(identity))


def _mean_descriptors(descriptors: np.ndarray, rows: np.ndarray, observed: np.ndarray, count: int) -> np.ndarray:
    """(count, 128) uint8: of each point, the mean direction of the descriptors ``rows`` that observe it."""
    total = np.zeros((count, DIMENSION), dtype=np.float32)
    order = np.argsort(observed, kind="stable")
    for start in range(0, len(order), _CHUNK):
        part = order[start : start + _CHUNK]
        points, first = np.unique(observed[part], return_index=True)
        total[points] += np.add.reduceat(unit_descriptors(descriptors[rows[part]]), first, axis=0)
    length = np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)
    return np.asarray(np.clip(np.round(total / length * SCALE), 0, 255), dtype=np.uint8)
