"""One photo from its pixels to a pose on the points of a map, whatever is known of its camera."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from irploc.geometry.cameras import Camera
from irploc.structure.candidates import candidate_photos
from irploc.structure.features import FeatureExtractor, LocalFeatures
from irploc.structure.intrinsics import ESTIMATED, EXIF, GIVEN, Intrinsics
from irploc.structure.mirror import mirrored
from irploc.structure.off_centre import is_off_centre
from irploc.structure.pointmap import PointMap
from irploc.structure.resection import resect
from irploc.structure.solution import Prior, Solution
from irploc.structure.solve import Solver

_MORE = 3  # times as many candidates as the first try takes, for later ones
_LEAST_FEATURES = 30
_POOR = 0.4  # share of inliers below which an assumed focal length is doubted
_GOOD = 0.6  # share above which a measured focal length is not doubted
_OTHER_FOCAL = 0.06  # relative difference up to which focal lengths are not worth a doubt
_NO_WORSE = 0.97  # of the inliers
_BETTER = 1.04  # times the score is clearly better, where the focal length is another one
_MIRRORED = 40  # inliers of a mirror image that are no chance
OFF_CENTRE = "the photo looks cropped on one side: its optical axis is not in its middle, so that its pose stays unknown"
MIRRORED = "the photo looks mirrored"


@dataclass(frozen=True)
class Found:
    """What came of one photo.

    Attributes:
        solution: None where there is none.
        intrinsics: with which it was found, or sought.
        photos: rows of the key photos whose points were looked at, best first.
        note: what a person should know; empty where there is nothing.
    """

    solution: Solution | None
    intrinsics: Intrinsics
    photos: np.ndarray
    note: str = ""


class PhotoSolver:
    """Finds features, candidates, and the pose; doubts cameras that were only assumed.

    Args:
        solver: over the map.
        extractor: as the map's features were found.
    """

    def __init__(self, solver: Solver, extractor: FeatureExtractor) -> None:
        self.solver, self.extractor = solver, extractor

    @property
    def point_map(self) -> PointMap:
        """On which photos are localized."""
        return self.solver.point_map

    def find(
        self,
        features: LocalFeatures,
        intrinsics: Intrinsics,
        similarities: np.ndarray,
        prior: Prior | None,
        thorough: bool = True,
    ) -> Found:
        """The pose of a photo.

        Args:
            features: of the photo.
            intrinsics: for its size.
            similarities: (N,) of its embedding with the key photos'.
            prior: what another method says.
            thorough: whether much is tried before a photo is given up.
        """
        photos = self.candidates(similarities, intrinsics, prior)
        looked_at = photos[: self.solver.options.photos]
        if len(features) < _LEAST_FEATURES:
            return Found(None, intrinsics, looked_at, f"the photo has hardly any texture ({len(features)} features)")
        solution = self.solver.locate(features, intrinsics.camera, photos, prior, intrinsics.focal_known, thorough)
        found = Found(solution, self._as_found(intrinsics, solution), looked_at)
        if intrinsics.focal_known and self._is_doubtful(solution, intrinsics.source == GIVEN):
            found = self._doubted(found, features, photos)
        if self._is_off_centre(found):
            return replace(found, solution=None, note=OFF_CENTRE)
        return replace(found, note=found.note or _assumed(found))

    def candidates(self, similarities: np.ndarray, intrinsics: Intrinsics, prior: Prior | None) -> np.ndarray:
        """Rows of the key photos whose points are tried, best first."""
        count = _MORE * self.solver.options.photos
        return candidate_photos(similarities, self.point_map, intrinsics.camera, prior, count)

    def looks_mirrored(self, features: LocalFeatures, intrinsics: Intrinsics, similarities: np.ndarray) -> bool:
        """Whether the mirror image of a photo, in which nothing was found, is one of the place."""
        photos = self.candidates(similarities, intrinsics, None)
        solution = self.solver.locate(
            mirrored(features), intrinsics.camera, photos, focal_known=intrinsics.focal_known, thorough=False
        )
        return solution is not None and min(solution.inliers, solution.first_inliers) >= _MIRRORED

    def _doubted(self, found: Found, features: LocalFeatures, photos: np.ndarray) -> Found:
        """The same photo with a focal length found with the pose, where that is clearly better.

        A camera that somebody named is not exchanged: then there is no pose, and the note says what would fit.
        """
        assumed = found.intrinsics
        solution = self.solver.locate(features, assumed.camera, photos, focal_known=False, thorough=False)
        if solution is None or not self._is_better(solution, found.solution):
            return found
        focal = f"{max(solution.camera.focal_px):.0f} px"
        was = f"{max(assumed.camera.focal_px):.0f} px"
        if assumed.certain:
            named = "the focal length given" if assumed.source == "focal" else "the camera given"
            return replace(found, solution=None, note=f"{named} ({was}) does not fit the photo: {focal} would")
        origin = "EXIF's" if assumed.source == EXIF else "the mapping photos'"
        note = f"{origin} focal length ({was}) does not fit: {focal} was found with the pose; cropped or zoomed?"
        return Found(solution, Intrinsics(ESTIMATED, solution.camera), found.photos, note)

    def _is_off_centre(self, found: Found) -> bool:
        """Whether a photo whose focal length had to be found was cropped on one side, as far as can be told."""
        solution = found.solution
        if solution is None or found.intrinsics.focal_known or solution.camera.model != "SIMPLE_PINHOLE":
            return False
        return is_off_centre(solution, self.point_map.points_m[solution.points])

    def _is_doubtful(self, solution: Solution | None, measured: bool) -> bool:
        """Whether the first pairs agree with another focal length no worse; not asked where a measured one fits well."""
        if solution is None or solution.first_inliers < _POOR * solution.first_matched:
            return True
        if measured and solution.first_inliers > _GOOD * solution.first_matched:
            return False
        points, limit = self.point_map.points_m[solution.first_points], self.solver.ransac_px(solution.camera)
        free = resect(solution.first_pixels, points, solution.camera, limit, self.solver.options.seed, focal_known=False)
        return (
            free is not None
            and _differ(free.camera, solution.camera)
            and int(free.inliers.sum()) >= _NO_WORSE * solution.first_inliers
        )

    def _is_better(self, free: Solution, than: Solution | None) -> bool:
        """Whether a pose with a focal length of its own is clearly better than one with an assumed one."""
        if free.first_inliers < _MIRRORED // 2:
            return False
        if than is None:
            return True
        limit = self.solver.inlier_px(free.camera)
        return _differ(free.camera, than.camera) and _score(free, limit) > _BETTER * _score(than, limit)

    def _as_found(self, intrinsics: Intrinsics, solution: Solution | None) -> Intrinsics:
        return intrinsics if solution is None else replace(intrinsics, camera=solution.camera)


def _differ(one: Camera, other: Camera) -> bool:
    return abs(math.log(max(one.focal_px) / max(other.focal_px))) > _OTHER_FOCAL


def _score(solution: Solution, limit_px: float) -> float:
    """More for more inliers, and for nearer ones (MSAC)."""
    return solution.inliers * (limit_px**2 - min(solution.residual_px, limit_px) ** 2)


def _assumed(found: Found) -> str:
    if found.intrinsics.focal_known or found.solution is None:
        return ""
    focal = f"{max(found.intrinsics.camera.focal_px):.0f} px"
    return f"focal length unknown: {focal} was found with the pose, the optical axis taken to be in the middle of the photo"
