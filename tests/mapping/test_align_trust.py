"""How far an alignment is to be trusted: uncertain scales, points that are a little wrong, frames of a varying rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mapping.align_room import ODD_FRAME, room_scene, save_room, write_lines

from irploc.errors import BadInput
from irploc.geometry.similarity import Similarity
from irploc.mapping.align import Alignment, AlignOptions, align_scene
from irploc.mapping.align_estimate import FitOptions, fit_closed_form, fit_robust
from irploc.mapping.align_odd import Known, odd_one_out
from irploc.mapping.known_distances import Distance, MeasuredDistance, fit_scale, measure_distance
from irploc.mapping.known_points import NO_POINTS, locate_point, track_covariance
from irploc.mapping.known_positions import frame_times, read_trajectory
from irploc.scene import Scene

SQUARE = np.array([[0.0, 0, 0], [4, 0, 0], [0, 3, 1], [4, 3, 0]])
FIVE = np.array([[0.0, 0, 0], [4, 0, 0], [0, 3, 1], [4, 3, 0], [2, 1, 2]])
RIGHT_TRIANGLES = np.array([[0.0, 0, 0], [4, 0, 0], [0, 4, 0], [4, 4, 0]])


def measured(metres: float, length: float, sigma: float = 0.0, known_sigma_m: float = 0.003) -> MeasuredDistance:
    return MeasuredDistance(Distance("a", "b", metres), length, sigma, known_sigma_m)


# --- scales ---


def test_the_uncertainty_of_one_distance_is_that_of_the_tape_and_the_clicks() -> None:
    assert fit_scale([measured(0.05, 0.05)]).uncertainty == pytest.approx(0.06)  # 3 mm of 5 cm
    assert fit_scale([measured(1.0, 2.0, sigma=0.008)]).uncertainty == pytest.approx(0.005)  # 0.4 % and 0.3 %


def test_two_distances_that_agree_are_surer_than_one_by_the_root_of_two() -> None:
    fit = fit_scale([measured(1.0, 1.0), measured(1.0, 1.0)])
    assert fit.uncertainty == pytest.approx(0.003 / np.sqrt(2))
    assert fit.spread == 0.0


def test_two_distances_that_differ_are_no_surer_than_they_differ() -> None:
    fit = fit_scale([measured(1.0, 1.0), measured(1.04, 1.0)])
    assert fit.uncertainty == pytest.approx(0.02, rel=0.05)  # half their difference
    assert fit.spread == pytest.approx(0.04)


def test_places_of_photos_make_a_distance_less_sure_by_centimetres() -> None:
    ends = (np.zeros(3), np.array([5.0, 0, 0]))
    nothing = (np.zeros((3, 3)), np.zeros((3, 3)))
    found = measure_distance(Distance("a", "b", 2.0), ends, nothing, (0.02, 0.02))
    assert found.uncertainty == pytest.approx(np.sqrt(0.003**2 + 2 * 0.02**2) / 2.0)


def test_a_track_tells_where_a_point_is_across_its_rays() -> None:
    centers = np.array([[0.0, 0, 0], [2, 0, 2]])  # two rays that meet at a right angle in (0, 0, 2)
    found = track_covariance(np.array([0.0, 0, 2]), centers, np.array([500.0, 500.0]), 1.0)
    pixel = 2.0 / 500  # at that distance
    np.testing.assert_allclose(np.diag(found), pixel**2 * np.array([1, 0.5, 1]), rtol=1e-6)
    np.testing.assert_allclose(found - np.diag(np.diag(found)), 0, atol=1e-12)
    parallel = track_covariance(np.array([0.0, 0, 2]), np.array([[0.0, 0, 0], [0.001, 0, 0]]), np.array([500.0, 500.0]), 1.0)
    assert parallel[2, 2] > 100 * parallel[0, 0]


def test_a_point_of_the_sparse_model_has_the_covariance_of_its_track(tmp_path: Path) -> None:
    scene, folder = save_room(tmp_path / "room"), tmp_path / "room"
    assert not locate_point("point3d:7", NO_POINTS, scene, folder).covariance.any()  # this model has no tracks
    images, points = folder / "sparse/images.txt", folder / "sparse/points3D.txt"
    lines = images.read_text().split("\n")
    lines[1] = lines[13] = "320.0 240.0 7"  # of the images 1 and 7
    images.write_text("\n".join(lines))
    rows = points.read_text().splitlines()
    rows[6] += " 1 0 7 0"
    points.write_text("\n".join(rows) + "\n")
    end = locate_point("point3d:7", NO_POINTS, scene, folder)
    centers = scene.frames.poses.centers_m[[0, 6]]
    np.testing.assert_allclose(
        end.covariance, track_covariance(end.point, centers, np.array([500.0, 500.0]), 1.0), rtol=1e-6
    )


def aligned_by_photos(tmp_path: Path, *factors: float) -> Alignment:
    """The room aligned by true distances between photos, each times a factor."""
    scene = save_room(tmp_path / "room")
    places, names = scene.frames.poses.centers_m / 4.2, scene.frames.names
    distances = tuple(
        Distance(f"photo:{names[k]}", f"photo:{names[k + 12]}", factor * float(np.linalg.norm(places[k] - places[k + 12])))
        for k, factor in enumerate(factors)
    )
    return align_scene(scene, tmp_path / "room", AlignOptions(distances=distances))


def test_kept_distances_that_differ_by_more_than_a_percent_are_told(tmp_path: Path) -> None:
    found = aligned_by_photos(tmp_path, 1.0, 1.03)
    assert any("the distances differ by 3.0% among themselves, photo:frame-000005.jpg" in note for note in found.notes)
    assert found.steps[0].inputs["scale_uncertainty"] > 0.01


def test_distances_that_agree_are_not_said_to_differ(tmp_path: Path) -> None:
    assert not any("differ" in note for note in aligned_by_photos(tmp_path, 1.0, 1.005).notes)


# --- points ---


def odd(points: np.ndarray, target: np.ndarray, sigma: float = 0.01) -> int | None:
    start = fit_closed_form(points, target)
    assert start is not None
    return odd_one_out(Known(points, np.zeros((len(points), 3, 3)), target, sigma), np.ones(len(points), bool), start)


def off(points: np.ndarray, row: int, shift: tuple[float, float, float]) -> np.ndarray:
    target = points.copy()
    target[row] += shift
    return target


@pytest.mark.parametrize("points", [SQUARE, FIVE], ids=["4", "5"])
@pytest.mark.parametrize("row", [0, 1, 2, 3])
def test_a_point_that_is_wrong_by_18_cm_is_found_among_few(points: np.ndarray, row: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.003, points.shape)
    assert odd(points, off(points, row, (0.18, 0.0, 0.0)) + noise) == row


def test_nobody_is_odd_where_only_noise_is() -> None:
    for seed in range(20):
        generator = np.random.default_rng(seed)
        points = generator.uniform(0, (4, 3, 2), (4 + seed % 4, 3))
        assert odd(points, points + generator.normal(0, 0.01, points.shape)) is None


def test_of_four_points_in_a_plane_nobody_can_tell_which_is_off_it() -> None:
    target = off(RIGHT_TRIANGLES, 1, (0.0, 0.0, 0.3))  # turning the plane by a little explains any of them
    assert odd(RIGHT_TRIANGLES, target) is None


def test_what_clicks_do_not_know_makes_nobody_odd() -> None:
    target = off(FIVE, 1, (0.18, 0.0, 0.0))
    start = fit_closed_form(FIVE, target)
    assert start is not None
    covariances = np.zeros((5, 3, 3))
    covariances[1, 0, 0] = 0.2**2
    assert odd_one_out(Known(FIVE, covariances, target, 0.01), np.ones(5, bool), start) is None


def test_four_points_of_which_any_may_be_wrong_are_refused_with_the_suspects() -> None:
    noise = np.random.default_rng(0).normal(0, 0.005, (4, 3))
    target = off(RIGHT_TRIANGLES, 1, (0.0, 0.0, 0.5)) + noise
    with pytest.raises(BadInput, match=r"one of the 4 known points is wrong, but which cannot be told: .* one more point"):
        fit_robust(list("abcd"), RIGHT_TRIANGLES, target, FitOptions(0.1), "known points")


def aligned_by_points(tmp_path: Path, target: np.ndarray, max_error_m: float | None = None) -> Alignment:
    scene, names = save_room(tmp_path / "room"), "abcdefgh"
    there = ODD_FRAME.apply(FIVE[: len(target)])
    tables = [
        write_lines(
            tmp_path / f"{number}.csv",
            "name,x,y,z",
            *[f"{name},{x!r},{y!r},{z!r}" for name, (x, y, z) in zip(names, rows.tolist(), strict=False)],
        )
        for number, rows in enumerate((there, target))
    ]
    return align_scene(scene, tmp_path / "room", AlignOptions(points=tables[0], known=tables[1], max_error_m=max_error_m))


def test_a_known_point_that_is_a_little_wrong_is_named_and_left_out(tmp_path: Path) -> None:
    found = aligned_by_points(tmp_path, off(FIVE, 1, (0.09, 0.0, 0.0)))
    assert found.steps[0].left_out == ("b",)
    assert found.similarity.scale == pytest.approx(1 / 4.2, rel=1e-6)
    assert any("left out: b (0.09 m)" in note for note in found.notes)


def test_an_error_that_the_user_allows_leaves_nobody_out_but_is_told(tmp_path: Path) -> None:
    found = aligned_by_points(tmp_path, off(FIVE, 1, (0.09, 0.0, 0.0)), max_error_m=0.2)
    assert found.steps[0].left_out == ()
    assert any("agree to" in note and "the largest residual is that of b, " in note for note in found.notes)


def test_three_points_that_hide_a_wrong_one_say_how_badly_they_agree(tmp_path: Path) -> None:
    found = aligned_by_points(tmp_path, off(FIVE[:3], 1, (0.12, 0.0, 0.0)))
    assert any("cm only (rms)" in note and "of 3 points it need not be the wrong one" in note for note in found.notes)
    assert aligned_by_points(tmp_path / "exact", FIVE[:3]).notes == ()


# --- times ---


def test_frames_are_taken_at_the_times_of_the_table_not_at_an_even_rate(tmp_path: Path) -> None:
    scene = room_scene(tmp_path, count=4)  # frames 0, 5, 10, 15
    write_lines(tmp_path / "times.csv", "index,time_s", "0,0.0", "5,0.4", "7,0.45", "10,1.6", "15,2.0")
    times, facts = frame_times(scene, tmp_path, None)
    assert times.tolist() == [0.0, 0.4, 1.6, 2.0]
    assert facts == {"times": "times.csv"}
    rows = [f"{stamp / 10} {stamp / 5} 0 0 0 0 0 1" for stamp in range(100, 130)]
    known = read_trajectory(write_lines(tmp_path / "t.txt", *rows), scene, tmp_path, 10.0, 10.0)
    np.testing.assert_allclose(known.positions_m[:, 0], [20.0, 20.8, 23.2, 24.0])
    assert "--fps is not used" in known.notes[0]
    assert read_trajectory(tmp_path / "t.txt", scene, tmp_path, None, 10.0).notes == ()


def test_without_a_table_the_frame_rate_is_needed(tmp_path: Path) -> None:
    scene = room_scene(tmp_path, count=3)
    assert frame_times(scene, tmp_path, 10.0)[0].tolist() == [0.0, 0.5, 1.0]
    with pytest.raises(BadInput, match=r"--trajectory needs --fps, .*there is no .*times\.csv"):
        frame_times(scene, tmp_path, None)


def test_a_table_that_lacks_a_frame_or_has_it_twice_is_refused(tmp_path: Path) -> None:
    scene = room_scene(tmp_path, count=3)
    write_lines(tmp_path / "times.csv", "index,time_s", "0,0.0", "10,1.6")
    with pytest.raises(BadInput, match=r"times\.csv has no time of 1 of 3 frames; first: frame 5"):
        frame_times(scene, tmp_path, None)
    write_lines(tmp_path / "times.csv", "index,time_s", "0,0.0", "0,1.6")
    with pytest.raises(BadInput, match="1 names occur twice; first: 0"):
        frame_times(scene, tmp_path, None)


def test_a_trajectory_of_another_time_asks_for_the_offset_alone_where_times_are_known(tmp_path: Path) -> None:
    scene: Scene = room_scene(tmp_path, Similarity(), count=3)
    write_lines(tmp_path / "times.csv", "index,time_s", "0,0.0", "5,0.4", "10,1.6")
    path = write_lines(tmp_path / "t.txt", "100 0 0 0 0 0 0 1", "101 0 0 0 0 0 0 1")
    with pytest.raises(BadInput, match=r": set --offset$"):
        read_trajectory(path, scene, tmp_path, None, 0.0)
