"""Orientation, points and depth of a pair, on cases that can be worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pairs_wall import CAMERA, make_wall_scene, write_depth

from irploc.errors import BadInput
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.pairs.angle import angles_deg, corner_angle_deg, thresholds_deg
from irploc.pairs.depth_overlap import depth_maps, depth_shares
from irploc.pairs.points import mean_share, point_shares, seen_bits
from irploc.progress import Silent
from irploc.scene import Scene

NINETY = Camera("SIMPLE_PINHOLE", 60, 80, (50.0, 30.0, 40.0))  # half its diagonal is 50 pixels
ONE = np.array([[0, 1]])


# -- orientation ---------------------------------------------------------------------------------------------------------


def test_a_camera_of_90_degrees_across_the_diagonal_has_a_threshold_of_45() -> None:
    assert corner_angle_deg(NINETY) == pytest.approx(45, abs=1e-12)
    assert thresholds_deg(np.array([45.0, 45.0]), ONE).tolist() == [45]


def test_the_threshold_of_the_7scenes_camera_is_the_one_documented() -> None:
    assert corner_angle_deg(Camera("SIMPLE_PINHOLE", 640, 480, (525.505, 320, 240))) == pytest.approx(37.28, abs=0.01)


def test_frustums_turned_by_twice_the_threshold_touch_in_a_corner_and_part_beyond() -> None:
    """The claim of the derivation, checked by projecting one camera's corner into the other."""
    axis = np.array([-40.0, 30.0, 0]) / 50  # turns the view along the diagonal of the image

    def corner_as_seen_after(turn_deg: float) -> np.ndarray:
        half = np.radians(turn_deg) / 2
        turned = Poses([[0, 0, 0]], [[np.cos(half), *(np.sin(half) * axis)]]).to_matrices()[0, :3, :3]
        corner = np.array([-30.0, -40.0, 50.0])
        return NINETY.project(turned @ corner)

    np.testing.assert_allclose(corner_as_seen_after(90.0), [60, 80], atol=1e-9)
    assert (corner_as_seen_after(90.1) > [60, 80]).all()
    assert (corner_as_seen_after(89.9) < [60, 80]).all()


def test_two_cameras_have_the_mean_of_their_thresholds() -> None:
    assert thresholds_deg(np.array([45.0, 30.0]), ONE).tolist() == [37.5]


def test_an_off_centre_principal_point_counts_to_its_farthest_corner() -> None:
    assert corner_angle_deg(Camera("SIMPLE_PINHOLE", 30, 40, (50.0, 0.0, 0.0))) == pytest.approx(45)


def test_a_fisheye_has_the_angle_of_its_equidistant_radius() -> None:
    camera = Camera("SIMPLE_FISHEYE", 60, 80, (50.0, 30.0, 40.0))
    assert corner_angle_deg(camera) == pytest.approx(np.degrees(1.0))


def test_the_angle_of_a_pair_is_that_of_the_relative_rotation_whatever_the_sign_of_q() -> None:
    quats = np.array([[1.0, 0, 0, 0], [np.cos(np.pi / 6), 0, np.sin(np.pi / 6), 0], [-1.0, 0, 0, 0]])
    poses = Poses(np.zeros((3, 3)), quats)
    np.testing.assert_allclose(angles_deg(poses, np.array([[0, 1], [0, 2]])), [60, 0], atol=1e-9)


# -- points --------------------------------------------------------------------------------------------------------------


def test_common_points_are_the_mean_share_of_both_photos() -> None:
    """On the wall at x = -1, 0, 1, 2.5 and 5: the photo at 0 sees three of them, that at 1.5 three, both see two."""
    points = np.array([[x, 0.0, 2.0] for x in (-1, 0, 1, 2.5, 5)])
    poses = Poses([[0, 0, 0], [1.5, 0, 0]], [[1, 0, 0, 0]] * 2)
    bits = seen_bits(points, poses, {0: CAMERA, 1: CAMERA}, Silent())
    assert np.unpackbits(bits, axis=1)[:, :5].tolist() == [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0]]
    assert point_shares(ONE, bits).tolist() == pytest.approx([2 / 3])


def test_points_behind_the_camera_do_not_count() -> None:
    bits = seen_bits(np.array([[0.0, 0.0, -2.0]]), Poses([[0, 0, 0]], [[1, 0, 0, 0]]), {0: CAMERA}, Silent())
    assert not bits.any()


def test_a_photo_without_points_cannot_be_tested() -> None:
    assert mean_share(np.array([0, 2]), np.array([0, 4]), np.array([9, 2])).tolist() == pytest.approx(
        [np.nan, 0.75], nan_ok=True
    )


# -- depth ---------------------------------------------------------------------------------------------------------------


def depth_of(scene: Scene, tolerance: float = 0.1, pairs: np.ndarray = ONE) -> list[float]:
    cameras = dict.fromkeys(range(len(scene.frames)), CAMERA)
    paths = depth_maps(scene.frames.images)
    return depth_shares(pairs, scene.frames.poses, cameras, paths, scene.source, tolerance, Silent()).tolist()


@pytest.mark.parametrize(("x", "share"), [(0.0, 1.0), (1.0, 0.75), (3.0, 0.25), (4.0, 0.0)])
def test_two_photos_of_a_wall_share_what_the_shift_leaves(tmp_path: Path, x: float, share: float) -> None:
    scene = make_wall_scene(tmp_path, (0.0, x), depth=(0, 1))
    assert depth_of(scene) == [share]


def test_the_depth_of_one_photo_is_enough(tmp_path: Path) -> None:
    assert depth_of(make_wall_scene(tmp_path, (0.0, 1.0), depth=(1,))) == [0.75]


def test_the_mean_of_both_directions_is_taken(tmp_path: Path) -> None:
    """From half as far, a photo sees a quarter of the wall that the other sees, all of it inside."""
    scene = make_wall_scene(tmp_path, (0.0, 0.0), depth=(0, 1))
    scene.frames.poses.centers_m[1, 2] = 1.0
    write_depth(scene.frames.images[1].with_name("1.depth.png"), np.full((240, 320), 1.0))
    assert depth_of(scene) == [(0.25 + 1.0) / 2]


def test_what_the_other_photo_has_something_in_front_of_is_not_seen(tmp_path: Path) -> None:
    """A box at 1 m hides the left quarter of the second photo: of the three quarters that landed in it, one is hidden.
    Back again two quarters of the wall are seen; the box, which the first photo measures nothing of, is not."""
    scene = make_wall_scene(tmp_path, (0.0, 1.0), depth=(0, 1))
    depth = np.full((240, 320), 2.0)
    depth[:, :80] = 1.0
    write_depth(scene.frames.images[1].with_name("1.depth.png"), depth)
    assert depth_of(scene) == [0.5]
    assert depth_of(scene, tolerance=1.0) == [(0.75 + 0.75) / 2]


def test_where_nothing_was_measured_a_point_counts_as_seen(tmp_path: Path) -> None:
    scene = make_wall_scene(tmp_path, (0.0, 1.0), depth=(0, 1))
    write_depth(scene.frames.images[1].with_name("1.depth.png"), np.full((240, 320), np.nan))
    assert depth_of(scene) == [0.75]


def test_pairs_without_depth_stay_unknown(tmp_path: Path) -> None:
    scene = make_wall_scene(tmp_path, (0.0, 1.0, 2.0), depth=(0,))
    assert depth_of(scene, pairs=np.array([[0, 1], [1, 2]])) == pytest.approx([0.75, np.nan], nan_ok=True)


def test_depth_of_another_size_than_the_camera_is_refused(tmp_path: Path) -> None:
    scene = make_wall_scene(tmp_path, (0.0, 1.0), depth=(0,))
    write_depth(scene.frames.images[0].with_name("0.depth.png"), np.ones((120, 160)))
    with pytest.raises(BadInput, match=r"0\.depth\.png is 160x120, but its camera is for 320x240"):
        depth_of(scene)
