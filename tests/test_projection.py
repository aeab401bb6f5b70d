"""Points to pixels and back, whatever the lens."""

from __future__ import annotations

import numpy as np
import pytest

from irploc.geometry.cameras import Camera
from irploc.projection import in_picture, project_points, unproject_points

PINHOLE = Camera("PINHOLE", 200, 100, (100.0, 50.0, 100.0, 50.0))
FISHEYE = Camera("OPENCV_FISHEYE", 200, 100, (80.0, 80.0, 100.0, 50.0, 0.0, 0.0, 0.0, 0.0))
RADIAL = Camera("SIMPLE_RADIAL", 200, 100, (100.0, 100.0, 50.0, -0.2))


def test_a_pinhole_divides_by_depth() -> None:
    pixels = project_points(PINHOLE, np.array([[0.0, 0, 2], [1, 1, 2], [1, 1, 4]]))
    np.testing.assert_allclose(pixels, [[100, 50], [150, 75], [125, 62.5]])


def test_a_fisheye_measures_the_angle() -> None:
    pixels = project_points(FISHEYE, np.array([[1.0, 0, 1]]))  # 45 degrees off the axis
    np.testing.assert_allclose(pixels, [[100 + 80 * np.pi / 4, 50]], atol=1e-9)


@pytest.mark.parametrize("camera", [PINHOLE, FISHEYE, RADIAL], ids=lambda camera: camera.model)
def test_what_is_behind_has_no_pixel(camera: Camera) -> None:
    pixels = project_points(camera, np.array([[0.1, 0.1, -1], [0.1, 0.1, 0], [0.1, 0.1, 1]]))
    assert np.isnan(pixels[:2]).all() and np.isfinite(pixels[2]).all()


@pytest.mark.parametrize("camera", [PINHOLE, FISHEYE, RADIAL], ids=lambda camera: camera.model)
def test_unprojecting_undoes_projecting(camera: Camera) -> None:
    points = np.array([[0.2, 0.1, 1.0], [-0.8, 0.3, 2.0], [0.0, 0.0, 0.5]])
    np.testing.assert_allclose(unproject_points(camera, project_points(camera, points), points[:, 2]), points, atol=1e-6)


def test_points_where_the_lens_polynomial_turns_round_do_not_come_back_into_the_picture() -> None:
    far_out = np.array([[2.2, 0.0, 1.0]])  # r (1 - 0.2 r^2) = 0.07: near the middle, by the polynomial alone
    assert in_picture(RADIAL, RADIAL.project(far_out))[0]
    assert not in_picture(RADIAL, project_points(RADIAL, far_out))[0]


def test_the_picture_begins_at_zero_and_ends_before_its_size() -> None:
    pixels = np.array([[0, 0], [199.9, 99.9], [200, 50], [100, 100], [-0.1, 50], [np.nan, np.nan]])
    np.testing.assert_array_equal(in_picture(PINHOLE, pixels), [True, True, False, False, False, False])
