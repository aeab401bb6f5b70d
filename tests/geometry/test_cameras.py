"""Projection by hand and against pycolmap."""

from __future__ import annotations

import numpy as np
import pytest

from irploc.geometry.cameras import CAMERA_MODELS, Camera, cam_from_world, world_from_cam
from irploc.geometry.poses import Poses
from irploc.pycolmap_safe import import_pycolmap

PARAMS = {
    "SIMPLE_PINHOLE": (500.0, 320, 240),
    "PINHOLE": (500.0, 510, 320, 240),
    "SIMPLE_RADIAL": (500.0, 320, 240, -0.1),
    "RADIAL": (500.0, 320, 240, -0.1, 0.02),
    "OPENCV": (500.0, 510, 320, 240, -0.1, 0.02, 0.003, -0.004),
}


def camera(model: str) -> Camera:
    return Camera(model, 640, 480, PARAMS[model])


def test_a_pinhole_pixel_by_hand() -> None:
    # x/z = 0.5, y/z = -0.25
    np.testing.assert_allclose(camera("PINHOLE").project([1.0, -0.5, 2.0]), [500 * 0.5 + 320, 510 * -0.25 + 240])


def test_a_radial_pixel_by_hand() -> None:
    # r^2 = 0.3125, factor 1 - 0.1 * 0.3125 = 0.96875
    np.testing.assert_allclose(
        camera("SIMPLE_RADIAL").project([1.0, -0.5, 2.0]), [500 * 0.5 * 0.96875 + 320, 500 * -0.25 * 0.96875 + 240]
    )


def test_an_opencv_pixel_by_hand() -> None:
    x, y, r2 = 0.5, -0.25, 0.3125
    radial = 1 - 0.1 * r2 + 0.02 * r2**2  # 0.970703125
    u = x * radial + 2 * 0.003 * x * y - 0.004 * (r2 + 2 * x * x)
    v = y * radial + 0.003 * (r2 + 2 * y * y) + 2 * -0.004 * x * y
    assert radial == pytest.approx(0.970703125)
    np.testing.assert_allclose(camera("OPENCV").project([1.0, -0.5, 2.0]), [500 * u + 320, 510 * v + 240])


@pytest.mark.parametrize("model", PARAMS)
def test_projection_agrees_with_pycolmap(model: str) -> None:
    points = np.random.default_rng(0).uniform([-1, -1, 1], [1, 1, 4], size=(50, 3))
    reference = import_pycolmap().Camera(model=model, width=640, height=480, params=list(PARAMS[model]))
    np.testing.assert_allclose(camera(model).project(points), reference.img_from_cam(points), atol=1e-9)


@pytest.mark.parametrize("model", CAMERA_MODELS)
def test_parameters_have_the_order_that_pycolmap_has(model: str) -> None:
    pycolmap = import_pycolmap()
    reference = pycolmap.Camera.create_from_model_name(1, model, 100.0, 640, 480)
    assert reference.params_info.replace(" ", "") == ",".join(CAMERA_MODELS[model])


def test_points_beside_or_behind_the_camera_have_no_pixel() -> None:
    pixels = camera("PINHOLE").project([[0, 0, 1], [1, 1, 0], [0, 0, -1]])
    assert np.isfinite(pixels[0]).all()
    assert np.isnan(pixels[1:]).all()


@pytest.mark.parametrize("model", ["SIMPLE_PINHOLE", "PINHOLE"])
def test_unprojection_leads_back_to_the_point(model: str) -> None:
    points = np.random.default_rng(1).uniform([-1, -1, 1], [1, 1, 4], size=(20, 3))
    back = camera(model).unproject(camera(model).project(points), points[:, 2])
    np.testing.assert_allclose(back, points, atol=1e-12)


def test_fisheye_projection_is_left_to_pycolmap() -> None:
    with pytest.raises(ValueError, match="OPENCV_FISHEYE is left to pycolmap"):
        Camera("OPENCV_FISHEYE", 640, 480, (500, 500, 320, 240, 0, 0, 0, 0)).project([0, 0, 1])


def test_focal_lengths_and_principal_point_of_one_and_two_focal_models() -> None:
    assert camera("SIMPLE_RADIAL").focal_px == (500, 500)
    assert camera("OPENCV").focal_px == (500, 510)
    assert camera("SIMPLE_RADIAL").principal_point_px == camera("OPENCV").principal_point_px == (320, 240)


@pytest.mark.parametrize(
    ("model", "size", "params", "words"),
    [
        ("PINHOL", (640, 480), (500, 500, 320, 240), "unknown camera model 'PINHOL'"),
        ("PINHOLE", (640, 480), (500, 320, 240), "PINHOLE takes 4 parameters"),
        ("PINHOLE", (640, 480), (500, -500, 320, 240), "impossible camera parameters"),
        ("PINHOLE", (640, 480), (500, 500, np.nan, 240), "impossible camera parameters"),
        ("PINHOLE", (0, 480), (500, 500, 320, 240), "impossible image size 0x480"),
    ],
)
def test_cameras_that_cannot_be_are_refused(model: str, size: tuple, params: tuple, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Camera(model, *size, params)


def test_points_move_into_the_camera_and_back() -> None:
    # At (1, 2, 3), looking along the world's x; right is -y and down is -z.
    pose = Poses([[1, 2, 3]], [[0.5, -0.5, 0.5, -0.5]])
    np.testing.assert_allclose(cam_from_world(np.array([[6.0, 2, 3], [6, 1, 2]]), pose), [[0, 0, 5], [1, 1, 5]], atol=1e-14)
    np.testing.assert_allclose(world_from_cam(np.array([[1.0, 1, 5]]), pose), [[6, 1, 2]], atol=1e-14)
