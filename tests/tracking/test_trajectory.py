from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tiny_place import TinyEncoder, place_index

from irploc.estimators.base import Neighbours, PoseEstimates, Query
from irploc.estimators.build import Place
from irploc.geometry.posegraph import PoseGraphOptions
from irploc.geometry.posegraph_terms import Odometry, Steadiness
from irploc.geometry.poses import Poses, pose_errors
from irploc.localizer import Localization, Localizer
from irploc.localizer.localizer import Served
from irploc.mapping.video import VideoFrame
from irploc.tracking.trajectory import LocatedFrame, locate_frames, smooth_frames, unsmoothed
from irploc.tracking.yardstick import Yardstick, absolute_of
from irploc.workspace import Workspace

STILL = [1.0, 0.0, 0.0, 0.0]
SERVED: Any = SimpleNamespace(
    estimator=None,
    method="toy",
    up=None,
    floor_map=None,
    place=SimpleNamespace(name="hall", store=SimpleNamespace(header=SimpleNamespace(units="metres"))),
)


def line(count: int) -> Poses:
    """A camera that moves along x, a centimetre a frame."""
    return Poses([[0.01 * row, 0.0, 0.0] for row in range(count)], [STILL] * count)


def located(number: int, pose: Poses | None, status: str = "ok", error: tuple[float, float] = (0.1, 4.0)) -> LocatedFrame:
    answer = Localization(
        image=f"frame-{number:06d}.jpg",
        status=status,
        method="toy",
        scene="hall",
        pose=Poses.missing(1) if pose is None else pose,
        confidence=0.5 if pose is not None else None,
        neighbours=(),
        timing_ms={"decode": 1.0, "encode": 1.0, "estimate": 1.0},
        expected_error=error if pose is not None else None,
    )
    return LocatedFrame(number, number / 30, answer, error if pose is not None else (np.nan, np.nan))


def odometry(true: Poses) -> Odometry:
    return Odometry.between(true, 0.002, 0.1)


def test_a_frame_that_was_refused_gets_its_pose_from_its_neighbours_and_says_so() -> None:
    true = line(20)
    frames = [located(row, true[[row]]) for row in range(20)]
    frames[7] = located(7, None, "not_localized")
    found = smooth_frames(frames, SERVED, odometry(true), None)
    assert found[7].answer.status == "approximate"
    assert found[7].answer.note == "from its neighbours by odometry: its own photo is not_localized"
    assert found[7].answer.pose.centers_m[0] == pytest.approx([0.07, 0.0, 0.0], abs=1e-3)
    assert not found[7].own.pose.valid[0]
    assert {frame.answer.status for row, frame in enumerate(found) if row != 7} == {"ok"}


def test_a_frame_that_disagrees_is_where_its_neighbours_are_and_says_so() -> None:
    true = line(30)
    frames = [located(row, true[[row]]) for row in range(30)]
    frames[12] = located(12, Poses([[9.0, 0.0, 0.0]], [STILL]))
    found = smooth_frames(frames, SERVED, odometry(true), None)
    assert (found[12].answer.status, found[12].own.status) == ("approximate", "ok")
    assert "its own photo disagrees" in str(found[12].answer.note)
    assert found[12].answer.pose.centers_m[0] == pytest.approx([0.12, 0.0, 0.0], abs=0.02)
    assert [frame.answer.status for frame in found].count("approximate") == 1


def test_where_nothing_carries_a_frame_is_not_localized() -> None:
    true = line(20)
    broken = odometry(true)
    broken.motions.centers_m[9], broken.motions.world_from_cam_wxyz[9] = np.nan, np.nan
    frames = [located(row, true[[row]] if row < 10 else None, "ok" if row < 10 else "not_localized") for row in range(20)]
    found = smooth_frames(frames, SERVED, broken, None)
    assert [frame.answer.status for frame in found] == ["ok"] * 10 + ["not_localized"] * 10
    assert found[15].answer.expected_error is None
    nobody = smooth_frames([located(row, None, "not_localized") for row in range(3)], SERVED, None, None)
    assert [frame.answer.status for frame in nobody] == ["not_localized"] * 3


def test_steady_motion_carries_for_a_second_and_no_longer() -> None:
    true = line(120)
    frames = [located(row, true[[row]] if row < 30 else None, "ok" if row < 30 else "not_localized") for row in range(120)]
    steady = Steadiness(np.arange(120) / 30, 0.1, 5.0)
    found = smooth_frames(frames, SERVED, None, steady)
    assert [found[row].answer.status for row in (29, 45, 59, 60, 119)] == [
        "ok",
        *["approximate"] * 2,
        *["not_localized"] * 2,
    ]
    assert "by steady motion" in str(found[45].answer.note)
    assert found[45].answer.pose.centers_m[0, 0] == pytest.approx(0.45, abs=0.05)
    assert found[45].answer.expected_error[0] > 3 * found[15].answer.expected_error[0]  # type: ignore[index]


def test_a_position_outside_the_floor_map_is_not_followed() -> None:
    true = line(20)
    frames = [located(row, true[[row]]) for row in range(20)]
    frames[5] = located(5, Poses([[0.6, 0.0, 0.0]], [STILL]), "outside_map")
    found = smooth_frames(frames, SERVED, odometry(true), None)
    assert found[5].answer.status == "approximate"
    assert found[5].answer.pose.centers_m[0, 0] == pytest.approx(0.05, abs=1e-3)


def test_errors_are_announced_only_where_the_method_announces_them() -> None:
    true = line(10)
    known = [located(row, true[[row]]) for row in range(10)]
    silent = [LocatedFrame(frame.number, frame.time_s, unknown_error(frame.answer), frame.errors) for frame in known]
    assert all(frame.answer.expected_error for frame in smooth_frames(known, SERVED, odometry(true), None))
    assert not any(frame.answer.expected_error for frame in smooth_frames(silent, SERVED, odometry(true), None))
    assert all(frame.answer.confidence is None for frame in smooth_frames(known, SERVED, odometry(true), None))


def unknown_error(answer: Localization) -> Localization:
    return replace(answer, expected_error=None)


def test_the_json_has_the_keys_of_a_photo_and_the_frames_own_pose() -> None:
    true = line(10)
    frames = [located(row, true[[row]]) for row in range(10)]
    whole = smooth_frames(frames, SERVED, odometry(true), None)[3].to_json()
    assert list(whole)[:2] == ["frame", "time_s"]
    assert set(frames[3].answer.to_json()) < set(whole)
    assert whole["raw"]["center_m"] == pytest.approx([0.03, 0.0, 0.0])
    assert (whole["raw"]["status"], whole["raw"]["confidence"], whole["confidence"]) == ("ok", 0.5, None)
    raw = unsmoothed(frames[3]).to_json()
    assert raw["center_m"] == raw["raw"]["center_m"]


def test_no_frames_give_no_trajectory() -> None:
    assert smooth_frames([], SERVED, None, None) == []


def test_a_causal_trajectory_is_made_of_what_was_there() -> None:
    true = line(12)
    generator = np.random.default_rng(0)
    noisy = Poses(true.centers_m + 0.1 * generator.normal(size=(12, 3)), true.world_from_cam_wxyz)
    frames = [located(row, noisy[[row]]) for row in range(12)]
    options = PoseGraphOptions(window=6, causal=True)
    longer = smooth_frames(frames, SERVED, odometry(true), None, options)
    shorter = smooth_frames(frames[:8], SERVED, odometry(true[slice(0, 8)]), None, options)
    assert longer[7].answer.pose.centers_m == pytest.approx(shorter[7].answer.pose.centers_m)


class Guess:
    """A method that says where everything is, and nothing about errors."""

    def estimate(self, query: Query) -> PoseEstimates:
        count = len(query)
        return PoseEstimates.of_poses(Poses(np.zeros((count, 3)), np.tile(STILL, (count, 1))), Neighbours.none(count))


def toy_place(count: int = 60) -> tuple[Any, np.ndarray]:
    """A walk along x whose vectors turn as it goes on."""
    angle = np.linspace(0.0, 1.5, count)
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    vectors = np.concatenate([vectors, np.zeros((count, 14), dtype=np.float32)], axis=1)
    poses = Poses(np.stack([4 * angle, 0 * angle, 0 * angle], axis=1), np.tile(STILL, (count, 1)))
    store: Any = SimpleNamespace(header=SimpleNamespace(units="metres", max_side=0), fitted=False, cameras={})
    return Place("hall", store, place_index(vectors, poses), Workspace(Path())), vectors


def test_the_yardstick_is_longer_far_from_the_map() -> None:
    place, vectors = toy_place()
    between = vectors[30] + vectors[31]
    away = vectors[30] + np.eye(16, dtype=np.float32)[5]
    queries = np.stack([vectors[30], between / np.linalg.norm(between), away / np.linalg.norm(away)])
    errors = Yardstick(place).errors(queries)
    assert errors.shape == (3, 2)
    assert errors[0, 0] <= errors[1, 0] < errors[2, 0]
    absolute = absolute_of(Guess().estimate(Query(queries)), place, Query(queries))
    assert absolute.position_m == pytest.approx(errors[:, 0] / 1.538)


def test_frames_are_located_in_order_with_their_numbers_and_times() -> None:
    place, _ = toy_place()
    localizer = Localizer([Served(place, "guess", Guess())], TinyEncoder())
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, 255, (24, 32, 3), dtype=np.uint8) for _ in range(11)]
    pictures[4] = pictures[4][:4, :4]  # smaller than the encoder takes
    frames = [VideoFrame(3 * row, 0.1 * row, picture) for row, picture in enumerate(pictures)]
    found = list(locate_frames(localizer, frames))
    assert [frame.number for frame in found] == list(range(0, 33, 3))
    assert found[5].time_s == pytest.approx(0.5)
    assert found[2].answer.image == "frame-000006.jpg"
    assert (found[4].answer.status, "needs at least 8 pixels" in str(found[4].answer.note)) == ("not_localized", True)
    assert np.isnan(found[4].errors).all()
    assert all(np.isfinite(frame.errors).all() for frame in found if frame.number != 12)


def test_smoothing_halves_the_errors_of_a_noisy_walk() -> None:
    true = line(60)
    generator: Callable[..., np.ndarray] = np.random.default_rng(1).normal
    noisy = Poses(true.centers_m + 0.1 * generator(size=(60, 3)), true.world_from_cam_wxyz)
    found = smooth_frames([located(row, noisy[[row]]) for row in range(60)], SERVED, odometry(true), None)
    smoothed = Poses.concatenate([frame.answer.pose for frame in found])
    assert np.median(pose_errors(smoothed, true)[0]) < 0.4 * np.median(pose_errors(noisy, true)[0])


def lost(number: int) -> LocatedFrame:
    return located(number, None, "not_localized")


def silently(frame: LocatedFrame, errors: tuple[float, float] = (np.nan, np.nan)) -> LocatedFrame:
    """Of a method that expects no errors; the smoothing may know some."""
    return LocatedFrame(frame.number, frame.time_s, unknown_error(frame.answer), errors)


@pytest.mark.parametrize("errors", [(0.1, 4.0), (np.nan, np.nan)], ids=["by the yardstick", "by roughness"])
def test_a_frame_that_disagrees_is_noticed_where_the_method_expects_no_errors(errors: tuple[float, float]) -> None:
    true = line(30)
    frames = [silently(located(row, true[[row]]), errors) for row in range(30)]
    frames[12] = silently(located(12, Poses([[9.0, 0.0, 0.0]], [STILL])), errors)
    found = smooth_frames(frames, SERVED, odometry(true), None)
    assert found[12].answer.status == "approximate"
    assert "its own photo disagrees" in str(found[12].answer.note)
    assert found[12].answer.pose.centers_m[0] == pytest.approx([0.12, 0.0, 0.0], abs=0.02)
    assert [frame.answer.status for frame in found].count("approximate") == 1
    assert not any(frame.answer.expected_error for frame in found)


def test_a_frame_without_expected_errors_takes_them_from_no_other() -> None:
    true = line(30)
    frames = [located(row, true[[row]]) for row in range(30)]
    frames[3], frames[4] = silently(frames[3], (0.1, 4.0)), lost(4)
    frames[12], frames[20] = located(12, Poses([[9.0, 0.0, 0.0]], [STILL])), lost(20)
    found = smooth_frames(frames, SERVED, odometry(true), None)
    assert [row for row in range(30) if not found[row].answer.expected_error] == [3, 4]
    assert [row for row in range(30) if found[row].answer.status != "ok"] == [4, 12, 20]


def test_nothing_before_a_cut_changes_when_a_causal_video_is_cut() -> None:
    """Every thing that later frames could tell: a frame rate that changes, answers after a gap, errors that are not told."""
    generator, count = np.random.default_rng(3), 40
    times = np.concatenate([0.1 * np.arange(25), 2.4 + 0.7 * np.arange(1, 16)])
    true = Poses(np.stack([0.2 * times, 0 * times, 0 * times], axis=1), [STILL] * count)
    noisy = Poses(true.centers_m + 0.05 * generator.normal(size=(count, 3)), true.world_from_cam_wxyz)
    frames = [located(row, noisy[[row]]) for row in range(count)]
    for row in (0, *range(6, 21), 30, 31):
        frames[row] = lost(row)
    frames[4] = located(4, Poses([[9.0, 0.0, 0.0]], [STILL]))
    frames[35] = silently(frames[35])
    frames = [replace(frame, time_s=float(time)) for frame, time in zip(frames, times, strict=True)]
    options = PoseGraphOptions(window=8, causal=True)
    for motions in (None, Odometry.between(true, 0.01, 0.5)):
        whole = smooth_frames(frames, SERVED, motions, Steadiness(times, 0.3, 20.0), options)
        for cut in (5, 24, 32):
            moved = None if motions is None else motions[slice(0, cut - 1)]
            part = smooth_frames(frames[:cut], SERVED, moved, Steadiness(times[:cut], 0.3, 20.0), options)
            assert [same.answer.to_json() for same in part] == [same.answer.to_json() for same in whole[:cut]], cut
    assert {frame.answer.status for frame in whole} == {"ok", "approximate", "not_localized"}


class Measured(Guess):
    """A method that expects a centimetre and a degree."""

    def estimate(self, query: Query) -> PoseEstimates:
        count = len(query)
        return replace(super().estimate(query), position_m=np.full(count, 0.01), rotation_deg=np.full(count, 1.0))


def test_the_smoothing_goes_by_the_yardstick_unless_the_method_looks_at_points() -> None:
    place, vectors = toy_place()
    query = Query(vectors[[10, 40]])
    found, expected = Measured().estimate(query), Yardstick(place).errors(query.embeddings)
    assert absolute_of(found, place, query).position_m == pytest.approx(expected[:, 0] / 1.538)
    assert absolute_of(found, place, query, trusted=True).position_m == pytest.approx([0.01 / 1.538] * 2)
    small, _ = toy_place(12)
    assert absolute_of(found, small, query).rotation_deg == pytest.approx([1.0 / 1.538] * 2), "too few photos to learn from"
