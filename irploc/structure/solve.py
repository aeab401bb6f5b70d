"""``Solver``: features of a photo and the points of a place in, a pose out.

Points that photos like the query see are matched with its features; RANSAC gives a pose; then all points of the map that
this pose sees are looked for near where they ought to be, and the pose is refined on those found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from irploc.geometry.cameras import Camera, cam_from_world
from irploc.geometry.poses import Poses
from irploc.projection import project_points
from irploc.pycolmap_safe import import_pycolmap
from irploc.structure.features import LocalFeatures, unit_descriptors
from irploc.structure.guided import guided_pairs
from irploc.structure.matching import mutual_matches
from irploc.structure.pointmap import PointMap
from irploc.structure.resection import Resection, refine, resect
from irploc.structure.sight import Slack, seen_from, unit_px
from irploc.structure.solution import Prior, Solution, SolveOptions

__all__ = ["Prior", "Solution", "SolveOptions", "Solver"]

_CELLS = (8, 6)
_WIDER = 2.5  # times the expected error of a prior, which half of the photos exceed
_UNKNOWN_SHARE, _UNKNOWN_DEG = 0.4, 15.0  # of a prior of which nobody knows: error as a share of points' distances, degrees
_PRIOR_SCALE = 2.5  # see ``Slack.scale``
_MORE = 3  # times as many photos and points in the second try
_MOST_POINTS = 12_000  # in the last one
_LAST = 2.0 / 3.0  # reach of the last round, of the guided one's
_FOLLOWING = 0.9  # ratio within long reaches


class Solver:
    """Localizes photos on the points of one place; safe to call from several threads.

    Args:
        point_map: the place.
        options: how.
    """

    def __init__(self, point_map: PointMap, options: SolveOptions | None = None) -> None:
        self.point_map, self.options = point_map, options or SolveOptions()
        _ = point_map.unit_descriptors, point_map.views, import_pycolmap()  # once, before threads ask for them
        self._usual_distance_m = float(np.median(point_map.views.nearest_m)) if len(point_map) else 0.0

    def locate(
        self,
        features: LocalFeatures,
        camera: Camera,
        photos: Sequence[int] | np.ndarray,
        prior: Prior | None = None,
        focal_known: bool = True,
        thorough: bool = True,
    ) -> Solution | None:
        """The pose of a photo; None where too few points are found in it.

        Args:
            features: of the photo.
            camera: its intrinsics, for the size the features are of.
            photos: rows of key photos that may see the same, best first.
            prior: what another method says.
            focal_known: whether the camera's focal length is to be believed, or found with the pose.
            thorough: whether points of more photos, and in the end of all, are tried where those of the first ones fail.
        """
        options, vectors = self.options, unit_descriptors(features.descriptors)
        best: _First | None = None
        tries = self._tries(camera, np.asarray(photos, dtype=np.int64), prior, thorough)
        compared = 0
        for tried, rows in enumerate(tries, start=1):
            compared += len(rows)
            found = self._first(features, vectors, rows, camera, focal_known, tried)
            if found is not None and (best is None or found.inliers > best.inliers):
                best = found
            if best is not None and best.inliers >= options.enough:
                break
        if best is None or best.inliers < options.least:
            return None
        solution = self._improved(features, vectors, best, options.guided_px, focal_known)
        return None if solution is None else replace(solution, compared=compared)

    def follow(self, features: LocalFeatures, camera: Camera, predicted: Poses, reach_px: float = 24.0) -> Solution | None:
        """The pose of a photo whose pose is nearly known, as from one frame of a video to the next.

        Args:
            features: of the photo.
            camera: its intrinsics.
            predicted: one row.
            reach_px: how far from where the prediction puts them points are looked for, in a picture of 640 pixels.
        """
        options, vectors = self.options, unit_descriptors(features.descriptors)
        rows, pixels = seen_from(self.point_map, predicted, camera)
        reach = reach_px * unit_px(camera)
        pairs = guided_pairs(features, self.point_map, rows, pixels, reach, vectors, _FOLLOWING)
        found = self._resected(features, pairs, camera, True)
        if found is None or found.inliers.sum() < options.least:
            return None
        first = _First(found, pairs, 1)
        return self._improved(features, vectors, first, options.guided_px, True)

    def ransac_px(self, camera: Camera) -> float:
        """Largest error of a pair that RANSAC takes for right."""
        return self.options.ransac_px * unit_px(camera)

    def inlier_px(self, camera: Camera) -> float:
        """Largest error of an inlier of a ``Solution``."""
        return _LAST * self.options.guided_px * unit_px(camera)

    def _tries(self, camera: Camera, photos: np.ndarray, prior: Prior | None, thorough: bool) -> Iterator[np.ndarray]:
        """Rows of points to match with, few and likely ones first."""
        options = self.options
        votes = self._votes(photos[: options.photos])
        seen = np.flatnonzero(votes)
        if prior is not None:
            likely = seen_from(self.point_map, prior.pose, camera, self._slack(prior), seen)[0]
            yield self._best(likely, votes, options.points)
        yield self._best(seen, votes, _MORE * options.points)
        if not thorough:
            return
        if len(photos) > options.photos:
            votes = self._votes(photos[: _MORE * options.photos])
            yield self._best(np.flatnonzero(votes), votes, 2 * _MORE * options.points)
        yield self._best(np.arange(len(self.point_map)), self.point_map.track_lengths, _MOST_POINTS)

    def _slack(self, prior: Prior) -> Slack:
        metres, degrees = _WIDER * prior.position_m, _WIDER * prior.rotation_deg
        if np.isnan(metres):
            metres = _UNKNOWN_SHARE * self._usual_distance_m
        return Slack(metres, _UNKNOWN_DEG if np.isnan(degrees) else degrees, scale=_PRIOR_SCALE)

    def _votes(self, photos: np.ndarray) -> np.ndarray:
        """(P,) how many of the photos see each point."""
        if not len(photos):
            return np.zeros(len(self.point_map), dtype=np.int64)
        return np.bincount(
            np.concatenate([self.point_map.seen_by(photo) for photo in photos]), minlength=len(self.point_map)
        )

    def _best(self, rows: np.ndarray, votes: np.ndarray, most: int) -> np.ndarray:
        """At most so many of the rows, those with most votes; ties go to points that were seen more often."""
        if len(rows) <= most:
            return rows
        score = votes[rows] + self.point_map.track_lengths[rows] / (self.point_map.track_lengths.max() + 1.0)
        return np.sort(rows[np.argpartition(-score, most)[:most]])

    def _first(
        self,
        features: LocalFeatures,
        vectors: np.ndarray,
        rows: np.ndarray,
        camera: Camera,
        focal_known: bool,
        tried: int,
    ) -> _First | None:
        matches = mutual_matches(vectors, self.point_map.unit_descriptors[rows], self.options.ratio)
        pairs = np.stack([matches[:, 0], rows[matches[:, 1]]], axis=1)
        found = self._resected(features, pairs, camera, focal_known)
        return None if found is None else _First(found, pairs, tried)

    def _resected(self, features: LocalFeatures, pairs: np.ndarray, camera: Camera, focal_known: bool) -> Resection | None:
        pixels, points = features.pixels[pairs[:, 0]], self.point_map.points_m[pairs[:, 1]]
        return resect(pixels, points, camera, self.ransac_px(camera), self.options.seed, focal_known)

    def _improved(
        self, features: LocalFeatures, vectors: np.ndarray, first: _First, reach_px: float, focal_known: bool
    ) -> Solution | None:
        """Two rounds over all points that the pose sees, the second one with less reach."""
        found, unit, rounds, last = first.found, unit_px(first.found.camera), 1, None
        among = None
        for reach in (reach_px * unit, _LAST * reach_px * unit):
            among, pixels = seen_from(self.point_map, found.pose, found.camera, among=among)
            pairs = guided_pairs(features, self.point_map, among, pixels, reach, vectors)
            if len(pairs) < self.options.least:
                break
            places, points = features.pixels[pairs[:, 0]], self.point_map.points_m[pairs[:, 1]]
            refined = refine(places, points, found.pose, found.camera, self.options.loss_px * unit, focal_known)
            if refined is None:
                break
            found, rounds, last = refined, rounds + 1, (pairs, len(among))
        if last is None:
            return None
        return self._solution(features, first, found, *last, rounds)

    def _solution(
        self, features: LocalFeatures, first: _First, found: Resection, pairs: np.ndarray, visible: int, rounds: int
    ) -> Solution | None:
        places, points = features.pixels[pairs[:, 0]], self.point_map.points_m[pairs[:, 1]]
        errors = np.linalg.norm(project_points(found.camera, cam_from_world(points, found.pose)) - places, axis=1)
        good = np.nan_to_num(errors, nan=np.inf) <= self.inlier_px(found.camera)
        if good.sum() < self.options.least:
            return None
        residual = float(np.sqrt(np.mean(errors[good] ** 2)))
        return Solution(
            pose=found.pose,
            camera=found.camera,
            pixels=places[good],
            points=pairs[good, 1],
            first_pixels=features.pixels[first.pairs[:, 0]],
            first_points=first.pairs[:, 1],
            first_inliers=first.inliers,
            matched=len(pairs),
            visible=visible,
            coverage=coverage_of(places[good], found.camera),
            residual_px=residual,
            covariance=found.covariance * residual**2 / 2.0,
            rounds=rounds,
            tried=first.tried,
        )


@dataclass(frozen=True)
class _First:
    """What RANSAC gave, of how many pairs, and which try it was."""

    found: Resection
    pairs: np.ndarray
    tried: int

    @property
    def inliers(self) -> int:
        return int(self.found.inliers.sum())


def coverage_of(pixels: np.ndarray, camera: Camera) -> float:
    """Share of the picture's 8 x 6 cells (6 x 8 of a portrait) that hold one of the pixels (K, 2)."""
    cells = np.array(_CELLS if camera.width >= camera.height else _CELLS[::-1])
    placed = np.clip((pixels / [camera.width, camera.height] * cells).astype(np.int64), 0, cells - 1)
    return len(np.unique(placed[:, 0] * cells[1] + placed[:, 1])) / float(cells.prod())
