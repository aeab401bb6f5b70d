"""``PointMap``: the 3D points of a place with their descriptors, and which mapping photo sees which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.structure.features import DIMENSION, FeatureOptions, unit_descriptors


@dataclass(frozen=True)
class PointMap:
    """What photos are localized on; the mapping photos themselves are not needed any more.

    N mapping photos (key photos of the scene), P points, O observations of points in photos, ordered by photo.

    Attributes:
        names: N of the photos, as in the scene.
        poses: N of them.
        photo_cameras: N keys of ``cameras``.
        cameras: name -> intrinsics.
        points_m: (P, 3) float64, world frame.
        descriptors: (P, 128) uint8, of each point the mean over its observations.
        starts: (N + 1,) int64; the observations of photo n are ``starts[n]:starts[n + 1]``.
        observed: (O,) int32 rows of points.
        pixels: (O, 2) float32, where.
        features: how features were found; queries' are found alike.
        identity: scene, ground truth, units and fingerprint of the mapping photos, plain values.
        calibration: how far answers are to be trusted; None where nobody asked.

    Raises:
        ValueError: when the columns do not fit together.
    """

    names: tuple[str, ...]
    poses: Poses
    photo_cameras: tuple[str, ...]
    cameras: dict[str, Camera]
    points_m: np.ndarray
    descriptors: np.ndarray
    starts: np.ndarray
    observed: np.ndarray
    pixels: np.ndarray
    features: FeatureOptions = field(default_factory=FeatureOptions)
    identity: Mapping[str, str] = field(default_factory=dict)
    calibration: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        photos, points, observations = len(self.names), len(self.points_m), len(self.observed)
        fits = (
            len(self.poses) == len(self.photo_cameras) == photos
            and self.starts.shape == (photos + 1,)
            and self.points_m.shape == (points, 3)
            and self.descriptors.shape == (points, DIMENSION)
            and self.pixels.shape == (observations, 2)
            and bool(self.poses.valid.all())
            and bool(np.isfinite(self.points_m).all())
        )
        if not fits or self.starts[0] != 0 or self.starts[-1] != observations or (np.diff(self.starts) < 0).any():
            raise ValueError("the columns of a PointMap do not fit together")
        if observations and not 0 <= int(self.observed.min()) <= int(self.observed.max()) < points:
            raise ValueError("a PointMap has observations of points that it does not have")
        if not set(self.photo_cameras) <= set(self.cameras):
            raise ValueError("a PointMap has photos whose camera it does not have")

    def __len__(self) -> int:
        return len(self.points_m)

    def seen_by(self, photo: int) -> np.ndarray:
        """Rows of the points that a photo observes."""
        return self.observed[self.starts[photo] : self.starts[photo + 1]]

    @cached_property
    def unit_descriptors(self) -> np.ndarray:
        """(P, 128) float32 of unit length."""
        return unit_descriptors(self.descriptors)

    @cached_property
    def photo_of_observation(self) -> np.ndarray:
        """(O,) row of the photo of each observation."""
        return np.repeat(np.arange(len(self.names)), np.diff(self.starts))

    @cached_property
    def track_lengths(self) -> np.ndarray:
        """(P,) how many observations each point has."""
        return np.bincount(self.observed, minlength=len(self))

    @cached_property
    def views(self) -> Views:
        """From where the points were seen."""
        return views_of(self)


@dataclass(frozen=True)
class Views:
    """From where each of P points was seen.

    Attributes:
        directions: (P, 3) unit vectors, mean direction from the point to the photos that see it.
        cosines: (P,) of the widest angle between that and one of them.
        nearest_m, farthest_m: (P,) distances of the photos that see it.
    """

    directions: np.ndarray
    cosines: np.ndarray
    nearest_m: np.ndarray
    farthest_m: np.ndarray


def views_of(point_map: PointMap) -> Views:
    """From where the points of a map were seen; a point without observations from anywhere."""
    rows, count = point_map.observed, len(point_map)
    rays = point_map.poses.centers_m[point_map.photo_of_observation] - point_map.points_m[rows]
    lengths = np.linalg.norm(rays, axis=1)
    rays = rays / np.maximum(lengths, 1e-12)[:, None]
    sums = np.stack([np.bincount(rows, weights=rays[:, axis], minlength=count) for axis in range(3)], axis=1)
    directions = sums / np.maximum(np.linalg.norm(sums, axis=1), 1e-12)[:, None]
    cosines, nearest, farthest = np.ones(count), np.full(count, np.inf), np.zeros(count)
    np.minimum.at(cosines, rows, np.einsum("od,od->o", rays, directions[rows]))
    np.minimum.at(nearest, rows, lengths)
    np.maximum.at(farthest, rows, lengths)
    unseen = point_map.track_lengths == 0
    cosines[unseen], nearest[unseen], farthest[unseen] = -1.0, 0.0, np.inf
    return Views(directions, cosines, nearest, farthest)
