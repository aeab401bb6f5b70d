"""Points carried by optical flow give the pose of the next frame, and where they cannot be carried there is none."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from irploc.geometry.cameras import Camera, cam_from_world
from irploc.geometry.poses import Poses
from irploc.projection import project_points
from irploc.tracking.flow import Carried, carry, grey_of

CAMERA = Camera("SIMPLE_PINHOLE", 320, 240, (300.0, 160.0, 120.0))
DEPTH_M = 3.0
PX_PER_M = 300.0 / DEPTH_M


@pytest.fixture(scope="module")
def wall() -> np.ndarray:
    """(H, W) grey picture of a wall with texture, larger than the camera sees."""
    coarse = np.random.default_rng(0).integers(0, 255, (60, 80), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC))


def seen(wall: np.ndarray, right_px: int, down_px: int) -> np.ndarray:
    """What a camera sees that moved so many pixels of the wall to the right and down."""
    return np.ascontiguousarray(wall[100 + down_px : 340 + down_px, 100 + right_px : 420 + right_px])


def pose(right_px: int, down_px: int) -> Poses:
    return Poses([[right_px / PX_PER_M, down_px / PX_PER_M, 0.0]], [[1.0, 0.0, 0.0, 0.0]])


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    """(P, 3) on the wall."""
    places = np.random.default_rng(1).uniform([20, 20], [300, 220], (500, 2))
    return np.column_stack([(places - [160, 120]) / PX_PER_M, np.full(500, DEPTH_M)])


@pytest.fixture
def first(wall: np.ndarray, points: np.ndarray) -> Carried:
    pixels = project_points(CAMERA, cam_from_world(points, pose(0, 0)))
    return Carried.from_matches(seen(wall, 0, 0), pixels, np.arange(len(points)))


def test_of_many_matches_three_hundred_are_carried(first: Carried) -> None:
    assert (len(first.rows), first.began) == (300, 300)
    assert (first.rows[0], first.rows[-1]) == (0, 499)


@pytest.mark.parametrize("guess", [(0, 0), (6, -4), (8, -5)])
def test_the_pose_of_a_camera_that_moved_is_found_to_a_millimetre(
    wall: np.ndarray, points: np.ndarray, first: Carried, guess: tuple[int, int]
) -> None:
    found = carry(first, seen(wall, 6, -4), points, CAMERA, pose(*guess))
    assert found is not None
    assert found[0].centers_m[0] == pytest.approx([0.06, -0.04, 0.0], abs=2e-3)
    assert abs(found[0].world_from_cam_wxyz[0, 0]) == pytest.approx(1.0, abs=1e-6)
    true = project_points(CAMERA, cam_from_world(points[found[1].rows], pose(6, -4)))
    assert np.median(np.linalg.norm(found[1].pixels - true, axis=1)) < 0.1


def test_points_are_carried_over_several_frames(wall: np.ndarray, points: np.ndarray, first: Carried) -> None:
    now, where = first, pose(0, 0)
    for step in range(1, 6):
        found = carry(now, seen(wall, 4 * step, 2 * step), points, CAMERA, where)
        assert found is not None
        where, now = found
    assert where.centers_m[0] == pytest.approx([0.2, 0.1, 0.0], abs=4e-3)
    assert now.began == 300


def test_a_cut_to_another_picture_gives_no_pose(wall: np.ndarray, points: np.ndarray, first: Carried) -> None:
    other = np.ascontiguousarray(seen(wall, 0, 0)[::-1, ::-1])
    assert carry(first, other, points, CAMERA, pose(0, 0)) is None


def test_a_picture_without_texture_gives_no_pose(points: np.ndarray, first: Carried) -> None:
    assert carry(first, np.full((240, 320), 90, np.uint8), points, CAMERA, pose(0, 0)) is None


def test_too_few_points_give_no_pose(wall: np.ndarray, points: np.ndarray) -> None:
    pixels = project_points(CAMERA, cam_from_world(points[:30], pose(0, 0)))
    few = Carried.from_matches(seen(wall, 0, 0), pixels, np.arange(30))
    assert carry(few, seen(wall, 1, 0), points, CAMERA, pose(0, 0)) is None


def test_colours_become_grey_by_how_bright_they_look() -> None:
    colours = np.array([[[255, 255, 255], [0, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert grey_of(colours).tolist() == [[255, 0, 150, 29]]
