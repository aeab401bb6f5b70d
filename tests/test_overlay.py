"""What a camera sees of a cloud, how far apart two poses draw it, and the picture."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from wall_place import CAMERA, wall_points

from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.overlay import (
    Caption,
    draw_overlay,
    pixels_of,
    reprojection_difference,
    visible_points,
    write_overlay,
)

WIDE = Camera("SIMPLE_PINHOLE", 400, 300, (200.0, 200.0, 150.0))
CUBE = np.array(list(product((-0.5, 0.5), (-0.5, 0.5), (2.0, 4.0))))
CAPTION = Caption("robust", "0.1 m", "a photo")
TRUE_BLUE, ESTIMATED_ORANGE = (86, 180, 233), (240, 160, 16)


def pose_at(x: float, y: float = 0, z: float = 0, quat: tuple[float, float, float, float] = (1, 0, 0, 0)) -> Poses:
    return Poses(np.array([[x, y, z]]), np.array([quat]))


def has_color(picture: Image.Image, color: tuple[int, int, int], box: tuple[int, int, int, int]) -> bool:
    pixels = np.asarray(picture.crop(box)).astype(int)
    return bool((np.abs(pixels - color).max(axis=2) < 12).any())


def test_the_corners_of_a_cube_land_where_they_should() -> None:
    pixels = pixels_of(CUBE, WIDE, pose_at(0))
    near, far = [[150, 100], [150, 200], [250, 100], [250, 200]], [[175, 125], [175, 175], [225, 125], [225, 175]]
    np.testing.assert_allclose(pixels[CUBE[:, 2] == 2], near)
    np.testing.assert_allclose(pixels[CUBE[:, 2] == 4], far)


def test_a_camera_turned_round_sees_nothing_of_it() -> None:
    turned = pose_at(0, quat=(0, 0, 1, 0))
    assert np.isnan(pixels_of(CUBE, WIDE, turned)).all()
    assert len(visible_points(CUBE, WIDE, turned)) == 0


def test_points_beside_behind_and_too_near_are_not_seen() -> None:
    points = np.array([[0, 0, 2], [9, 0, 2], [0, 0, -2], [0, 0, 0.05], [0.5, 0.5, 2]], dtype=float)
    np.testing.assert_array_equal(visible_points(points, WIDE, pose_at(0), near_m=0.1), [0, 4])
    assert 3 in visible_points(points, WIDE, pose_at(0), near_m=0)


def test_a_wall_hides_what_lies_behind_it() -> None:
    front = wall_points(2000)
    behind = wall_points(500) * 2  # on the same rays, twice as far
    seen = visible_points(np.concatenate([behind, front]), WIDE, pose_at(0.2))
    assert (seen >= 500).mean() > 0.98
    assert set(visible_points(behind, WIDE, pose_at(0.2))) > set(seen[seen < 500])


def test_a_denser_cloud_hides_without_being_counted() -> None:
    behind = wall_points(50) * 2
    assert len(visible_points(behind, WIDE, pose_at(0))) >= 45
    assert len(visible_points(behind, WIDE, pose_at(0), occluders_m=wall_points(5000))) <= 3


def test_a_sideways_shift_moves_a_wall_by_focal_times_shift_over_depth() -> None:
    found = reprojection_difference(wall_points(), WIDE, pose_at(0.1), pose_at(0))  # 200 px * 0.1 m / 2 m
    assert (found.mean_px, found.median_px) == pytest.approx((10, 10))
    assert (found.points, found.capped) == (400, 0)
    double = reprojection_difference(wall_points(), WIDE, pose_at(0.16, 0.12), pose_at(0))
    assert double.mean_px == pytest.approx(20)


def test_mean_and_median_are_those_of_the_distances() -> None:
    points = np.array([[0, 0, 1], [0, 0, 2], [0, 0, 4]], dtype=float)  # 20, 10 and 5 px
    found = reprojection_difference(points, WIDE, pose_at(0, 0.1), pose_at(0))
    assert (found.mean_px, found.median_px) == pytest.approx((35 / 3, 10))


def test_the_same_pose_makes_no_difference() -> None:
    assert reprojection_difference(CUBE, WIDE, pose_at(0.3), pose_at(0.3)).mean_px == 0


def test_points_behind_the_estimated_camera_or_wildly_off_count_as_the_diagonal() -> None:
    points = np.array([[0, 0, 2.0], [0.4, 0, 2.0], [0, 0, 9.0]])
    found = reprojection_difference(points, WIDE, pose_at(0, 0, 2.001), pose_at(0))  # two are 1 mm behind the camera
    assert found.capped == 2
    assert found.mean_px == pytest.approx((500 + 500 + 0) / 3)
    near = reprojection_difference(points, WIDE, pose_at(0, 0, 1.999), pose_at(0))  # 0.4 m aside at 1 mm: 80000 px
    assert near.capped == 1 and near.mean_px == pytest.approx(500 / 3)


def test_no_point_makes_no_number() -> None:
    found = reprojection_difference(np.empty((0, 3)), WIDE, pose_at(0), pose_at(0))
    assert np.isnan(found.mean_px) and np.isnan(found.median_px) and found.points == 0


def test_circles_stand_where_the_true_pose_sees_points_and_dots_where_the_estimated_does() -> None:
    point = np.array([[0.0, 0.0, 2.0]])  # true (200, 150), estimated (150, 150); drawn 3 times as large
    picture = draw_overlay(Image.new("RGB", (400, 300)), WIDE, point, pose_at(0.5), pose_at(0), CAPTION)
    assert picture.width == 1200 and picture.height > 900
    assert has_color(picture, TRUE_BLUE, (590, 440, 610, 460))
    assert not has_color(picture, ESTIMATED_ORANGE, (590, 440, 610, 460))
    assert has_color(picture, ESTIMATED_ORANGE, (440, 440, 460, 460))
    assert not has_color(picture, TRUE_BLUE, (440, 440, 460, 460))
    assert has_color(picture, TRUE_BLUE, (0, 900, 1200, picture.height))  # the legend shows both
    assert has_color(picture, ESTIMATED_ORANGE, (0, 900, 1200, picture.height))


def test_without_a_true_pose_there_are_dots_alone() -> None:
    point = np.array([[0.0, 0.0, 2.0]])
    picture = draw_overlay(Image.new("RGB", (400, 300)), WIDE, point, pose_at(0), None, CAPTION)
    assert has_color(picture, ESTIMATED_ORANGE, (590, 440, 610, 460))
    assert not has_color(picture, TRUE_BLUE, (0, 0, *picture.size))


@pytest.mark.parametrize("size", [(40, 30), (30, 40), (3000, 2000)])
def test_pictures_have_a_size_that_can_be_looked_at(size: tuple[int, int]) -> None:
    camera = Camera("SIMPLE_PINHOLE", *size, (size[0] / 2, size[0] / 2, size[1] / 2))
    picture = draw_overlay(Image.new("RGB", size), camera, wall_points(), pose_at(0.1), pose_at(0), CAPTION)
    assert 900 <= max(picture.size) <= 1800


def test_points_at_infinity_and_none_at_all_can_be_drawn() -> None:
    on_plane = np.array([[0.3, 0.0, 2.0], [0.0, 0.0, 2.0]])
    photo = Image.new("RGB", (40, 30))
    draw_overlay(photo, CAMERA, on_plane, pose_at(0, 0, 2.0 - 1e-12), pose_at(0), CAPTION)
    draw_overlay(photo, CAMERA, np.empty((0, 3)), pose_at(0), pose_at(0), CAPTION)


def test_the_file_carries_our_header(tmp_path: Path) -> None:
    write_overlay(tmp_path / "new/a.png", Image.new("RGB", (4, 3)), {"scene": "wall"})
    with Image.open(tmp_path / "new/a.png") as picture:
        assert picture.info["format"] == "irploc-overlay" and picture.info["scene"] == "wall"
