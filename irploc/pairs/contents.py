"""The tests of what photos show, each where its data exist: points, depth maps, features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irploc.errors import BadInput
from irploc.geometry.cameras import Camera
from irploc.pairs.depth_overlap import depth_maps, depth_shares
from irploc.pairs.intrinsics import photo_cameras
from irploc.pairs.matrix import ACCEPTED, FEW_MATCHES, FEW_POINTS, LITTLE_DEPTH, MEASURES, NOT_TESTED
from irploc.pairs.options import PairOptions
from irploc.pairs.orb import orb_shares
from irploc.pairs.points import MOST_POINTS, point_shares, seen_bits
from irploc.pointcloud import PointCloud
from irploc.progress import progress
from irploc.scene import Frames, Scene


@dataclass(frozen=True)
class Ledger:
    """What becomes of P candidates, filled in test by test.

    Attributes:
        reasons: (P,) uint8 numbers of ``matrix.REASONS``; ``NOT_TESTED`` until decided.
        measured: ``matrix.MEASURES`` -> (P,) float32, NaN until measured.
    """

    reasons: np.ndarray
    measured: dict[str, np.ndarray]

    @classmethod
    def of_candidates(cls, count: int) -> Ledger:
        """Nothing measured, nothing decided."""
        nan = {name: np.full(count, np.nan, dtype=np.float32) for name in MEASURES}
        return cls(np.full(count, NOT_TESTED, dtype=np.uint8), nan)

    @property
    def open_rows(self) -> np.ndarray:
        """Candidates that no test has decided."""
        return np.flatnonzero(self.reasons == NOT_TESTED)

    def decide(self, rows: np.ndarray, measure: str, shares: np.ndarray, smallest: float, otherwise: int) -> None:
        """Enters measured shares; those of at least ``smallest`` are accepted, NaN decides nothing."""
        self.measured[measure][rows] = shares
        self.reasons[rows[shares >= smallest]] = ACCEPTED
        self.reasons[rows[shares < smallest]] = otherwise


@dataclass(frozen=True)
class ContentTests:
    """The tests of a scene's candidates.

    Attributes:
        scene: for its cameras and what took its depth maps.
        frames: the N photos to pair.
        pairs: (P, 2) rows of them.
        options: thresholds, and which test.
        quiet: no progress bars.
    """

    scene: Scene
    frames: Frames
    pairs: np.ndarray
    options: PairOptions
    quiet: bool = True

    def run(self, ledger: Ledger, cloud: PointCloud | None) -> None:
        """Decides what is open: by points, what has none by depth, what has none by features; or by the one test chosen.

        Raises:
            BadInput: when the chosen test has no data at all; and as ``points``, ``depth`` and ``orb``.
        """
        test, options = self.options.test, self.options
        if test == "points" and cloud is None:
            raise BadInput(f"{self.scene.name} has no point cloud to test with: give --points PLY_OR_COLMAP")
        if test in ("auto", "points") and cloud is not None:
            rows = ledger.open_rows
            ledger.decide(rows, "point_share", self.points(rows, cloud), options.min_points, FEW_POINTS)
        if test in ("auto", "depth"):
            rows = self.with_depth(ledger.open_rows)
            if test == "depth" and not len(rows):
                where = f"no pair of {self.scene.name} has a depth map to test with"
                raise BadInput(f"{where} (<stem>.depth.png beside a photo): use --test orb")
            ledger.decide(rows, "depth_share", self.depth(rows), options.min_depth, LITTLE_DEPTH)
        if test in ("auto", "orb"):
            rows = ledger.open_rows
            ledger.decide(rows, "orb_share", self.orb(rows), options.smallest_match_share, FEW_MATCHES)

    def with_depth(self, rows: np.ndarray) -> np.ndarray:
        """Those candidates of which a photo has a depth map."""
        has = np.zeros(len(self.frames), dtype=bool)
        has[list(depth_maps(self.frames.images))] = True
        return rows[has[self.pairs[rows]].any(axis=1)]

    def points(self, rows: np.ndarray, cloud: PointCloud) -> np.ndarray:
        """Shares of common points of some candidates; see ``points.point_shares``."""
        cameras = self._cameras(rows, "or --test orb with --epipolar-px 0")
        some = cloud.sampled(MOST_POINTS).points_m
        with progress("projecting points", len(cameras), "photos", self.quiet) as bar:
            return point_shares(self.pairs[rows], seen_bits(some, self.frames.poses, cameras, bar))

    def depth(self, rows: np.ndarray) -> np.ndarray:
        """Shares of common depth of some candidates; see ``depth_overlap.depth_shares``."""
        paths = depth_maps(self.frames.images)
        cameras = self._cameras(rows, "or --test orb with --epipolar-px 0")
        steps = len(rows) + sum(row in paths for row in cameras)
        with progress("comparing depth", steps, "pairs", self.quiet) as bar:
            return depth_shares(
                self.pairs[rows], self.frames.poses, cameras, paths, self.scene.source, self.options.depth_tolerance, bar
            )

    def orb(self, rows: np.ndarray) -> np.ndarray:
        """Shares of matching features of some candidates; see ``orb.orb_shares``."""
        if not len(rows):
            return np.empty(0)
        tolerance = self.options.epipolar_px
        cameras = self._cameras(rows, "or --epipolar-px 0 to match without poses") if tolerance else {}
        steps = len(rows) + len(np.unique(self.pairs[rows]))
        with progress("matching features", steps, "pairs", self.quiet) as bar:
            return orb_shares(self.pairs[rows], self.frames.images, self.frames.poses, cameras, tolerance, bar)

    def _cameras(self, rows: np.ndarray, instead: str) -> dict[int, Camera]:
        photos = np.unique(self.pairs[rows])
        return photo_cameras(self.frames, self.scene.cameras, self.options.fov_deg, photos, instead)
