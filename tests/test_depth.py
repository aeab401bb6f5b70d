"""Depth maps: where they lie, and what their numbers mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irploc.depth import depth_path, depth_sensor, read_depth
from irploc.errors import BadInput, NotFound
from irploc.geometry.cameras import Camera

PHOTO = Camera("SIMPLE_PINHOLE", 640, 480, (525.0, 320.0, 240.0))


def test_millimetres_become_metres_and_what_was_not_measured_is_nan(tmp_path: Path) -> None:
    path = tmp_path / "a.depth.png"
    Image.fromarray(np.array([[0, 1, 1500], [65535, 65534, 2000]], dtype=np.uint16)).save(path)
    depth = read_depth(path)
    assert depth.dtype == np.float32 and depth.shape == (2, 3)
    np.testing.assert_array_equal(depth, np.float32([[np.nan, 0.001, 1.5], [np.nan, 65.534, 2]]))


@pytest.mark.parametrize(
    ("photo", "depth"),
    [
        ("frame-000005.color.jpg", "frame-000005.depth.png"),
        ("frame-000005.color.png", "frame-000005.depth.png"),
        ("hall.jpeg", "hall.depth.png"),
        ("hall.v2.png", "hall.v2.depth.png"),
    ],
)
def test_the_map_beside_a_photo_is_found_by_name(tmp_path: Path, photo: str, depth: str) -> None:
    assert depth_path(tmp_path / photo) is None
    (tmp_path / depth).touch()
    assert depth_path(tmp_path / photo) == tmp_path / depth


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_picture_of_eight_bits_is_refused_with_what_it_is(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.depth.png"
    Image.new(mode, (4, 3)).save(path)
    with pytest.raises(BadInput, match=rf"a\.depth\.png is a picture of kind {mode}, expected 16-bit grey"):
        read_depth(path)


def test_what_is_no_picture_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.depth.png"
    path.write_bytes(b"not a picture")
    with pytest.raises(BadInput, match="cannot be read as a depth map") as caught:
        read_depth(path)
    assert "\n" not in str(caught.value)
    Image.fromarray(np.full((40, 40), 900, dtype=np.uint16)).save(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(BadInput, match="cannot be read as a depth map"):
        read_depth(path)
    with pytest.raises(NotFound, match="no depth map"):
        read_depth(tmp_path / "b.depth.png")


def test_a_depth_map_is_taken_to_fit_its_photo() -> None:
    sensor = depth_sensor("csv", PHOTO)
    assert sensor.camera == PHOTO
    np.testing.assert_array_equal(sensor.photo_from_depth, np.eye(4))


def test_the_sensor_of_7_scenes_looks_from_beside_the_photo() -> None:
    sensor = depth_sensor("7scenes", PHOTO)
    assert sensor.camera.focal_px == (585.0, 585.0)
    turn = sensor.photo_from_depth[:3, :3]
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) < 1
    assert 0.02 < -sensor.photo_from_depth[0, 3] < 0.03  # the lenses of a Kinect are 2.5 cm apart
