"""``Tracker``: the frames of a video in, a pose for each out, every one helped by those before."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from irploc.errors import BadInput
from irploc.estimators.base import NOT_LOCALIZED, OK, UsedCamera
from irploc.geometry.cameras import Camera, cam_from_world
from irploc.geometry.poses import Poses
from irploc.localizer import Localization
from irploc.mapping.video import VideoFrame
from irploc.projection import project_points
from irploc.structure.features import LocalFeatures
from irploc.structure.intrinsics import ESTIMATED
from irploc.structure.judgement import StructureCalibration, Verdict, judge
from irploc.structure.pointmap import PointMap
from irploc.structure.sight import unit_px
from irploc.structure.solution import Solution
from irploc.structure.solve import Solver
from irploc.tracking.flow import Carried, carry, grey_of
from irploc.tracking.motion import predicted

FLOWED, FOLLOWED, LOCATED = "flowed", "followed", "located"
# Pairs that were looked for near a prediction agree with something near it, whatever the photo shows. In the kitchen,
# mirrored photos and photos of other places in it gave up to 0.4 of them within a long reach, and 0.02 of the points in
# view within a short one; photos that were where they were predicted 0.7 and 0.06, and more.
_LEAST_SHARE, _LEAST_SEEN = 0.5, 0.03
_MOST, _TWICE = 95.0, 2.0  # percentile of how far points were off, and how much farther the next may be
Extract = Callable[[np.ndarray], LocalFeatures]  # of a frame's pixels
Locate = Callable[[np.ndarray, Camera | None], Localization]  # a frame's pixels, and its camera where it is known


@dataclass(frozen=True)
class TrackOptions:
    """How frames are followed.

    Attributes:
        reach_px: how far from where the prediction puts them points are looked for at most, in a picture of 640 pixels; as
            long as predictions come true, it is less.
        least_reach_px: at least.
        camera_frames: located frames whose cameras are averaged, where the focal length has to be estimated.
        features_every: of so many frames, one is matched with the map by its features; in the others the points are carried
            on by optical flow, where that gives a pose. 1 matches all.
        patience: frames that may be lost in a row before the last poses are forgotten.

    Raises:
        BadInput: for numbers that cannot be.
    """

    reach_px: float = 24.0
    least_reach_px: float = 8.0
    camera_frames: int = 5
    features_every: int = 5
    patience: int = 3

    def __post_init__(self) -> None:
        for name in ("reach_px", "least_reach_px"):
            if not 0 < getattr(self, name) < float("inf"):
                raise BadInput(f"{name} is {getattr(self, name)}, it must be positive")
        for name in ("camera_frames", "features_every", "patience"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} is {getattr(self, name)}, it must be at least 1")


@dataclass(frozen=True)
class Tracked:
    """One frame of a video.

    Attributes:
        number: 0-based, in the video.
        time_s: its presentation time.
        status: ``ok``, ``approximate`` or ``not_localized``.
        pose: one row; NaN when not localized.
        confidence: None where nobody knows.
        expected_error: metres and degrees; None where nobody knows.
        found: ``flowed`` (points of the last frame were carried on), ``followed`` (features were matched near where the last
            frames predict them), or ``located`` by itself.
        timing_ms: milliseconds spent in ``features`` and ``pose``.
    """

    number: int
    time_s: float
    status: str
    pose: Poses
    confidence: float | None
    expected_error: tuple[float, float] | None
    found: str
    timing_ms: dict[str, float] = field(default_factory=dict)


class Tracker:
    """Follows a camera frame by frame, and locates it anew where it is lost.

    Args:
        solver: over the map of the place.
        calibration: of poses in it; None where there is none.
        extract: the features of a frame, as those of the map were found.
        locate: the pose of a frame by itself.
        camera: of the video, where it is known; else it is taken from the first frames that are located, and kept.
        options: how.
    """

    def __init__(
        self,
        solver: Solver,
        calibration: StructureCalibration | None,
        extract: Extract,
        locate: Locate,
        camera: Camera | None = None,
        options: TrackOptions | None = None,
    ) -> None:
        self.options = options or TrackOptions()
        self.camera = camera
        self._solver, self._calibration = solver, calibration
        self._extract, self._locate = extract, locate
        self._carried: Carried | None = None
        self._anchor: Tracked | None = None  # the last frame whose features were matched
        self._estimated: list[Camera] = []
        self._past: list[tuple[float, Poses]] = []  # the last two believed poses and their times
        self._lost = 0
        self._reach_px = self.options.reach_px

    @property
    def point_map(self) -> PointMap:
        """On which frames are located."""
        return self._solver.point_map

    def step(self, frame: VideoFrame, features: LocalFeatures | None) -> Tracked:
        """The pose of the next frame; without features, by optical flow where that is possible."""
        started = time.perf_counter()
        found = self._flowed(frame) if features is None else None
        if found is None:
            self._carried = None
            found = self._followed(frame, features) or self._located(frame)
        if found.status == OK:
            before = self._past[-1:] if found.found != LOCATED else []  # whoever was lost moved otherwise than predicted
            self._past = [*before, (frame.time_s, found.pose)]
            self._lost = 0
        else:
            self._lost += 1
            if self._lost >= self.options.patience:
                self._past = []
        found.timing_ms["pose"] = 1e3 * (time.perf_counter() - started)
        return found

    def _flowed(self, frame: VideoFrame) -> Tracked | None:
        """None where no points can be carried on, or too few arrive; confidence is that of the features matched last."""
        if self._carried is None or self._anchor is None or self.camera is None or not self._past:
            return None
        prediction, grey = self._prediction(frame.time_s), grey_of(frame.pixels)
        found = carry(self._carried, grey, self.point_map.points_m, self.camera, prediction)
        if found is None:
            return None
        pose, self._carried = found
        return replace(
            self._anchor, number=frame.number, time_s=frame.time_s, pose=pose, found=FLOWED, timing_ms={"features": 0.0}
        )

    def _followed(self, frame: VideoFrame, features: LocalFeatures | None) -> Tracked | None:
        """None where there is nothing to follow from, or what was found is not believed."""
        if self.camera is None or not self._past:
            return None
        features = self._extract(frame.pixels) if features is None else features
        prediction = self._prediction(frame.time_s)
        for reach_px in dict.fromkeys((self._reach_px, self.options.reach_px)):
            solution = self._solver.follow(features, self.camera, prediction, reach_px)
            if solution is None or _may_be_chance(solution):
                continue
            verdict = judge(solution, None, self._calibration)
            if verdict.accepted:
                self._reach_px = self._next_reach(solution, prediction)
                if self.options.features_every > 1:
                    self._carried = Carried.from_matches(grey_of(frame.pixels), solution.pixels, solution.points)
                self._anchor = _followed(frame, solution, verdict)
                return self._anchor
        self._reach_px = self.options.reach_px
        return None

    def _next_reach(self, solution: Solution, prediction: Poses) -> float:
        """Twice as far as most points were off, in a picture of 640 pixels."""
        points = self.point_map.points_m[solution.points]
        off = np.linalg.norm(project_points(solution.camera, cam_from_world(points, prediction)) - solution.pixels, axis=1)
        most = float(np.nanpercentile(off, _MOST)) if np.isfinite(off).any() else np.inf
        return float(np.clip(_TWICE * most / unit_px(solution.camera), self.options.least_reach_px, self.options.reach_px))

    def _prediction(self, time_s: float) -> Poses:
        last_s, last = self._past[-1]
        if len(self._past) < 2 or self._lost:
            return last
        before_s, before = self._past[0]
        return predicted(before, last, (time_s - last_s) / max(last_s - before_s, 1e-6))

    def _located(self, frame: VideoFrame) -> Tracked:
        answer = self._locate(frame.pixels, self.camera)
        if self.camera is None and answer.status == OK and answer.camera is not None:
            self._learn_camera(answer.camera)
        return Tracked(
            number=frame.number,
            time_s=frame.time_s,
            status=answer.status,
            pose=answer.pose if answer.pose.valid[0] else Poses.missing(1),
            confidence=answer.confidence,
            expected_error=answer.expected_error,
            found="" if answer.status == NOT_LOCALIZED else LOCATED,
        )

    def _learn_camera(self, used: UsedCamera) -> None:
        """Takes a camera that somebody knows at once; of estimated ones that with the median focal length."""
        if used.source != ESTIMATED:
            self.camera = used.camera
            return
        self._estimated.append(used.camera)
        if len(self._estimated) >= self.options.camera_frames:
            ordered = sorted(self._estimated, key=lambda camera: camera.focal_px[0])
            self.camera = ordered[len(ordered) // 2]


def _may_be_chance(solution: Solution) -> bool:
    """Whether a photo of something else might have given as many pairs near the prediction."""
    few_agree = solution.first_inliers < _LEAST_SHARE * solution.first_matched
    return few_agree or solution.inliers < _LEAST_SEEN * solution.visible


def _followed(frame: VideoFrame, solution: Solution, verdict: Verdict) -> Tracked:
    known = not np.isnan(verdict.position_m)
    return Tracked(
        number=frame.number,
        time_s=frame.time_s,
        status=OK,
        pose=solution.pose,
        confidence=None if np.isnan(verdict.confidence) else verdict.confidence,
        expected_error=(verdict.position_m, verdict.rotation_deg) if known else None,
        found=FOLLOWED,
    )
