"""Frames are followed from the last ones, located where that fails, and what is not believed helps no other frame."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from irploc.errors import BadInput
from irploc.estimators.base import UsedCamera
from irploc.geometry.cameras import Camera, cam_from_world
from irploc.geometry.poses import Poses
from irploc.localizer import Localization
from irploc.mapping.video import VideoFrame
from irploc.projection import project_points
from irploc.structure.features import LocalFeatures
from irploc.structure.solution import Solution
from irploc.tracking import FOLLOWED, LOCATED, Tracker, TrackOptions, predicted, prepared

CAMERA = Camera("SIMPLE_PINHOLE", 640, 480, (500.0, 320.0, 240.0))
POINTS = np.random.default_rng(0).uniform([-2, -1.5, 4], [2, 1.5, 6], (200, 3))
NONE = LocalFeatures(np.empty((0, 2), np.float32), np.empty((0, 128), np.uint8), 640, 480)


def turned(degrees: float) -> list[float]:
    half = np.radians(degrees) / 2
    return [float(np.cos(half)), 0.0, float(np.sin(half)), 0.0]


def pose(number: float) -> Poses:
    """Of a camera that moves 3 cm a frame and turns by half a degree."""
    return Poses([[0.03 * number, 0.0, 0.0]], [turned(0.5 * number)])


def frame(number: int) -> VideoFrame:
    return VideoFrame(number, number / 30, np.full((2, 2, 3), number, np.uint8))


def no_features(pixels: np.ndarray) -> LocalFeatures:
    return NONE


def solution_of(found: Poses, camera: Camera, pixels: np.ndarray, rows: np.ndarray) -> Solution:
    """With all pairs inliers."""
    count = len(rows)
    matched = dict.fromkeys(("first_matched", "first_inliers", "matched", "visible"), count)
    values = {
        **matched,
        "pose": found,
        "camera": camera,
        "pixels": pixels,
        "points": rows,
        "first_pixels": pixels,
        "first_points": rows,
        "coverage": 0.8,
        "residual_px": 0.5,
        "covariance": 1e-8 * np.eye(6),
        "rounds": 3,
        "tried": 1,
        "compared": 0,
    }
    return Solution(**{field.name: values[field.name] for field in fields(Solution)})


class FakeSolver:
    """Finds the true pose where the prediction is within reach, with many inliers."""

    def __init__(self, weak: tuple[int, ...] = ()) -> None:
        self.point_map = SimpleNamespace(points_m=POINTS)
        self.weak, self.now = weak, 0
        self.predictions: list[Poses] = []
        self.reaches: list[float] = []

    def follow(self, features: LocalFeatures, camera: Camera, prediction: Poses, reach_px: float) -> Solution | None:
        self.predictions.append(prediction)
        self.reaches.append(reach_px)
        true = pose(self.now)
        pixels = project_points(camera, cam_from_world(POINTS, true))
        off = np.linalg.norm(project_points(camera, cam_from_world(POINTS, prediction)) - pixels, axis=1)
        if np.median(off) > reach_px:
            return None
        count = 10 if self.now in self.weak else len(POINTS)
        return solution_of(true, camera, pixels[:count], np.arange(count))


class Located:
    """Gives the true pose of the frame it is shown, with a camera."""

    def __init__(self, status: str = "ok", used: UsedCamera | None = None) -> None:
        self.status, self.used = status, used or UsedCamera("scene", CAMERA)
        self.asked: list[tuple[int, Camera | None]] = []

    def __call__(self, pixels: np.ndarray, camera: Camera | None) -> Localization:
        number = int(pixels[0, 0, 0])
        self.asked.append((number, camera))
        found = Poses.missing(1) if self.status == "not_localized" else pose(number)
        return Localization("frame", self.status, "structure", "toy", found, None, (), {}, camera=self.used)


def run(solver: FakeSolver, locate: Located, count: int, options: TrackOptions | None = None, every: int = 1) -> list[Any]:
    tracker = Tracker(solver, None, no_features, locate, options=options)  # type: ignore[arg-type]
    found = []
    for number in range(0, every * count, every):
        solver.now = number
        found.append(tracker.step(frame(number), NONE))
    return found


def test_a_prediction_goes_on_straight_and_turns_on() -> None:
    after = predicted(pose(1), pose(2), 1.0)
    assert np.allclose(after.centers_m, pose(3).centers_m)
    assert np.allclose(after.world_from_cam_wxyz, pose(3).world_from_cam_wxyz)


def test_a_prediction_over_three_frames_goes_three_times_as_far() -> None:
    after = predicted(pose(1), pose(2), 3.0)
    assert np.allclose(after.centers_m, [[0.15, 0.0, 0.0]])
    assert np.allclose(after.world_from_cam_wxyz, [turned(2.5)])


def test_the_sign_of_a_quaternion_does_not_matter_to_a_prediction() -> None:
    before = Poses([[0, 0, 0]], [[0.0, 0.0, 1.0, 0.01]])  # turned by nearly 180 degrees, w changes its sign
    last = Poses([[0, 0, 0]], [[0.0, 0.0, 1.0, -0.01]])
    after = predicted(before, last, 1.0).world_from_cam_wxyz[0]
    expected = np.array([0.0, 0.0, 1.0, -0.03]) / np.linalg.norm([0.0, 0.0, 1.0, -0.03])
    assert abs(float(after @ expected)) == pytest.approx(1.0, abs=1e-5)


def test_the_first_frame_is_located_and_the_others_are_followed() -> None:
    locate = Located()
    found = run(FakeSolver(), locate, 6)
    assert [one.found for one in found] == [LOCATED] + [FOLLOWED] * 5
    assert locate.asked == [(0, None)]
    assert all(np.allclose(one.pose.centers_m, pose(one.number).centers_m) for one in found)
    assert [one.status for one in found] == ["ok"] * 6
    assert found[3].time_s == pytest.approx(0.1)


def test_the_reach_shrinks_while_predictions_come_true_and_the_whole_one_is_tried_before_locating() -> None:
    solver, options = FakeSolver(), TrackOptions(reach_px=24.0, least_reach_px=6.0)
    run(solver, Located(), 6, options)
    assert solver.reaches[0] == 24.0
    assert solver.reaches[-1] == 6.0
    jumping = FakeSolver()
    tracker = Tracker(jumping, None, no_features, Located(), options=options)  # type: ignore[arg-type]
    for number in (0, 1, 2, 3, 4):
        jumping.now = number
        tracker.step(frame(number), NONE)
    jumping.reaches.clear()
    jumping.now = 6  # a prediction for 5 is off by 9 pixels or so
    assert tracker.step(frame(5), NONE).found == FOLLOWED
    assert jumping.reaches == [6.0, 24.0]


def test_a_frame_that_cannot_be_followed_is_located_and_following_goes_on() -> None:
    solver, locate = FakeSolver(), Located()
    tracker = Tracker(solver, None, no_features, locate)  # type: ignore[arg-type]
    ways = []
    for number in (0, 1, 2, 40, 41, 42):
        solver.now = number
        ways.append(tracker.step(replace(frame(number), time_s=len(ways) / 30), NONE).found)
    assert ways == [LOCATED, FOLLOWED, FOLLOWED, LOCATED, FOLLOWED, FOLLOWED]
    assert [number for number, _ in locate.asked] == [0, 40]


def test_a_pose_that_is_not_believed_is_located_instead() -> None:
    locate = Located()
    found = run(FakeSolver(weak=(3,)), locate, 5)
    assert [one.found for one in found] == [LOCATED, FOLLOWED, FOLLOWED, LOCATED, FOLLOWED]


@pytest.mark.parametrize("status", ["approximate", "not_localized"])
def test_nothing_is_followed_from_an_answer_that_is_not_certain(status: str) -> None:
    solver = FakeSolver()
    found = run(solver, Located(status), 4)
    assert [one.status for one in found] == [status] * 4
    assert solver.predictions == []
    assert [one.found for one in found] == ([""] if status == "not_localized" else [LOCATED]) * 4


@pytest.mark.parametrize(
    ("change", "way"),
    [
        ({"first_inliers": 90}, LOCATED),  # of 200 pairs
        ({"first_inliers": 110}, FOLLOWED),
        ({"visible": 8000}, LOCATED),  # with 200 inliers
        ({"visible": 6000}, FOLLOWED),
    ],
)
def test_pairs_near_the_prediction_that_any_photo_might_have_given_are_not_believed(
    change: dict[str, int], way: str
) -> None:
    class Chance(FakeSolver):
        def follow(self, *asked: Any) -> Solution | None:
            found = super().follow(*asked)
            return None if found is None else replace(found, **change)

    assert [one.found for one in run(Chance(), Located(), 2)] == [LOCATED, way]


def test_lost_frames_are_bridged_for_a_while_and_then_forgotten() -> None:
    solver, locate = FakeSolver(weak=(3, 4, 5, 6)), Located()
    tracker = Tracker(solver, None, no_features, locate, options=TrackOptions(patience=3))  # type: ignore[arg-type]
    for number in range(3):
        solver.now = number
        tracker.step(frame(number), NONE)
    locate.status = "not_localized"
    for number in range(3, 7):
        solver.now = number
        assert tracker.step(frame(number), NONE).status == "not_localized"
    asked = len(solver.predictions)
    solver.now = 7
    tracker.step(frame(7), NONE)
    assert len(solver.predictions) == asked


def test_a_camera_that_somebody_knows_is_kept_from_the_first_frame() -> None:
    locate = Located(used=UsedCamera("exif", CAMERA))
    tracker = Tracker(FakeSolver(), None, no_features, locate)  # type: ignore[arg-type]
    tracker.step(frame(0), NONE)
    assert tracker.camera == CAMERA


def test_a_camera_that_was_estimated_is_the_median_of_the_first_frames_and_then_kept() -> None:
    locate, solver = Located(), FakeSolver()
    tracker = Tracker(solver, None, no_features, locate, options=TrackOptions(camera_frames=3))  # type: ignore[arg-type]
    for number, focal in enumerate((480.0, 530.0, 500.0)):
        assert tracker.camera is None
        solver.now = number
        locate.used = UsedCamera("estimated", replace(CAMERA, params=(focal, 320.0, 240.0)))
        assert tracker.step(frame(number), NONE).found == LOCATED
    assert tracker.camera == CAMERA
    solver.now = 3
    assert tracker.step(frame(3), NONE).found == FOLLOWED


@pytest.mark.parametrize("change", [{"reach_px": 0.0}, {"least_reach_px": -1.0}, {"patience": 0}, {"camera_frames": 0}])
def test_options_that_cannot_be_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=next(iter(change))):
        TrackOptions(**change)  # type: ignore[arg-type]


class SlowExtractor:
    """Takes longer for earlier frames."""

    def extract(self, pixels: np.ndarray) -> LocalFeatures:
        number = int(pixels[0, 0, 0])
        time.sleep(0.02 if number % 3 == 0 else 0.0)
        return replace(NONE, width=number)


def test_prepared_frames_come_in_order_with_their_own_features() -> None:
    ready = list(prepared((frame(number) for number in range(20)), SlowExtractor(), threads=3))  # type: ignore[arg-type]
    assert [one.frame.number for one in ready] == list(range(20))
    assert [one.features.width for one in ready] == list(range(20))


def test_an_error_while_reading_reaches_whoever_asks_for_frames() -> None:
    def broken() -> Iterator[VideoFrame]:
        yield frame(0)
        raise BadInput("the file is damaged")

    with pytest.raises(BadInput, match="damaged"):
        list(prepared(broken(), SlowExtractor(), threads=1))  # type: ignore[arg-type]


def test_reading_ends_when_nobody_asks_any_more() -> None:
    closed: list[bool] = []

    def endless() -> Iterator[VideoFrame]:
        number = 0
        try:
            while True:
                yield frame(number % 200)
                number += 1
        finally:
            closed.append(True)

    frames = prepared(endless(), SlowExtractor(), threads=1)  # type: ignore[arg-type]
    assert len(list(islice(frames, 3))) == 3
    frames.close()  # type: ignore[attr-defined]
    assert closed == [True]
