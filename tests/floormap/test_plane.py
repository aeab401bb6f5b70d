"""The ground plane: which axes, which heading."""

from __future__ import annotations

import numpy as np
import pytest

from irploc.errors import BadInput
from irploc.floormap.plane import PLANES, headings_deg, plane_axes, plane_poses, up_of_photos
from irploc.geometry import rotations
from irploc.geometry.poses import Poses

# Camera axes x right, y down, z forward, in a world whose z is up: looking along world x, y, -x, and straight down.
EAST = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
NORTH = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
WEST = [[0, 0, -1], [1, 0, 0], [0, -1, 0]]
DOWN = [[1, 0, 0], [0, -1, 0], [0, 0, -1]]


def poses_of(*turns: list[list[int]], center: tuple[float, float, float] = (1.0, 2.0, 3.0)) -> Poses:
    quats = rotations.quaternion_from_matrix(np.array(turns, dtype=np.float64))
    return Poses(np.tile(center, (len(turns), 1)), quats)


def test_headings_turn_counter_clockwise_from_x_and_are_none_where_a_camera_looks_down() -> None:
    seen = plane_poses(poses_of(EAST, NORTH, WEST, DOWN))
    assert [None if pose is None else pose.heading_deg for pose in seen] == [
        pytest.approx(0, abs=1e-9),
        pytest.approx(90),
        pytest.approx(180),
        None,
    ]
    assert seen[0] is not None and (seen[0].x_m, seen[0].y_m) == (1.0, 2.0)
    assert list(seen[0].to_json()) == ["x_m", "y_m", "heading_deg"]


def test_a_heading_just_below_zero_is_just_below_a_full_turn_and_never_360() -> None:
    quarter = rotations.quaternion_from_matrix(np.array(EAST, dtype=np.float64))
    for angle_deg in (-1e-15, -0.5):
        half = np.radians(angle_deg) / 2
        turn = np.array([np.cos(half), 0, 0, np.sin(half)])
        heading = headings_deg(Poses(np.zeros((1, 3)), rotations.multiply(turn, quarter)[None]))[0]
        assert 0 <= heading < 360
        assert (heading - angle_deg + 180) % 360 == pytest.approx(180, abs=1e-6)


def test_the_kitchens_plane_has_x_to_the_right_and_z_upwards() -> None:
    """Its y axis points down; a camera with no rotation looks along z."""
    seen = plane_poses(Poses([[1.0, 2.0, 3.0]], [[1.0, 0, 0, 0]]), "-y")[0]
    assert seen is not None
    assert (seen.x_m, seen.y_m, seen.heading_deg) == (1.0, 3.0, pytest.approx(90))


@pytest.mark.parametrize("up", PLANES)
def test_no_plane_is_mirrored(up: str) -> None:
    right, upward = plane_axes(up)
    basis = np.eye(3)
    vertical = basis["xyz".index(up[-1])] * (-1 if up[0] == "-" else 1)
    assert np.array_equal(np.cross(basis[right], basis[upward]), vertical)


@pytest.mark.parametrize("up", PLANES)
def test_photos_that_are_held_upright_tell_what_is_up(up: str) -> None:
    right, upward = plane_axes(up)
    basis = np.eye(3)
    vertical = np.cross(basis[right], basis[upward])
    turn = np.stack([basis[right], -vertical, np.cross(basis[right], -vertical)], axis=1)
    assert up_of_photos(Poses.from_matrices(np.concatenate([turn, np.zeros((3, 1))], axis=1)[None])) == up


def test_photos_without_a_common_vertical_tell_nothing() -> None:
    quarter = np.sqrt(0.5)
    assert up_of_photos(Poses(np.zeros((2, 3)), [[1, 0, 0, 0], [quarter, quarter, 0, 0]])) is None
    assert up_of_photos(Poses(np.zeros((2, 3)), [[1, 0, 0, 0], [0, 0, 0, 1.0]])) is None


def test_rows_without_a_pose_have_no_place_on_the_plane() -> None:
    assert plane_poses(Poses.missing(2)) == [None, None]


def test_an_unknown_vertical_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(BadInput, match="up is 'w', expected one of z, -z, y"):
        plane_axes("w")
