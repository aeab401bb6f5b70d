"""``FloorMap``: pixels and metres, and the nearest walkable place, by hand and against brute force."""

from __future__ import annotations

import time

import numpy as np
import pytest

from irploc.errors import BadInput
from irploc.floormap import FloorMap
from irploc.floormap.grid import Grid

# A room of 2 x 1 m with its lower left corner at (10, 20), in a plan of 4 x 3 m, pixels of half a metre.
ROOM = np.zeros((6, 8), dtype=bool)
ROOM[2:4, 2:6] = True  # x 11 to 13, y 21 to 22


def room(**changes: object) -> FloorMap:
    return FloorMap(**{"walkable": ROOM, "metres_per_pixel": 0.5, "origin_m": (10.0, 20.0), **changes})  # type: ignore[arg-type]


def test_the_corners_of_a_plan_lie_where_its_origin_says() -> None:
    grid = room().grid
    assert np.allclose(grid.corners_m, [[10, 20], [14, 20], [14, 23], [10, 23]])
    assert np.allclose(grid.pixels_of(np.array([[10.0, 23.0], [14.0, 20.0]])), [[0, 0], [8, 6]])


def test_a_quarter_turn_puts_the_plans_x_axis_on_y() -> None:
    grid = room(yaw_deg=90.0).grid
    assert np.allclose(grid.corners_m, [[10, 20], [10, 24], [7, 24], [7, 20]])


def test_pixels_and_points_are_inverse() -> None:
    generator = np.random.default_rng(0)
    grid = Grid(70, 40, 0.03, (-3.0, 8.0), 33.0)
    points = generator.normal(size=(50, 2)) * 10
    assert np.allclose(grid.points_of(grid.pixels_of(points)), points)


def test_positions_move_straight_to_the_nearest_edge_and_keep_their_height() -> None:
    centers = np.array([[12.0, 21.5, 1.6], [10.5, 21.5, 1.7], [12.0, 20.2, 0.3], [14.0, 23.0, 2.0]])
    moved = room().move(centers)
    assert np.allclose(moved.centers_m, [[12, 21.5, 1.6], [11, 21.5, 1.7], [12, 21, 0.3], [13, 22, 2.0]], atol=0.001)
    assert np.allclose(moved.moved_m, [0, 0.5, 0.8, np.sqrt(2)], atol=0.001)
    assert moved.outside.tolist() == [False, True, True, True]
    assert moved.too_far.tolist() == [False, False, False, True]


def test_a_position_on_walkable_ground_does_not_change_by_a_bit() -> None:
    centers = np.array([[11.0000001, 21.0000001, 1.234567], [12.9999999, 21.9999999, 0.1]])
    moved = room().move(centers)
    assert np.array_equal(moved.centers_m, centers)
    assert moved.moved_m.tolist() == [0, 0]


def test_an_infinite_limit_moves_every_position() -> None:
    far = np.array([[1e6, -1e6, 0.0]])
    moved = room(max_distance_m=np.inf).move(far)
    assert np.allclose(moved.centers_m, [[13, 21, 0]], atol=0.001)
    assert not moved.too_far[0]
    assert room(max_distance_m=2e6).move(far).too_far.tolist() == [False]
    assert room(max_distance_m=1e6).move(far).too_far.tolist() == [True]


def test_positions_that_are_missing_stay_missing() -> None:
    moved = room().move(np.array([[np.nan, np.nan, np.nan], [12.0, 21.5, 1.0]]))
    assert np.isnan(moved.centers_m[0]).all() and np.isnan(moved.moved_m[0])
    assert (moved.outside.tolist(), moved.too_far.tolist()) == ([False, False], [False, False])
    assert room().contains(np.array([[np.nan, 1.0]])).tolist() == [False]
    assert len(room().move(np.zeros((0, 3))).centers_m) == 0


def test_other_axes_than_z_may_be_up() -> None:
    upside = room(up="-y").move(np.array([[10.5, 1.7, 21.5]]))
    assert np.allclose(upside.centers_m, [[11, 1.7, 21.5]], atol=0.001)


@pytest.mark.parametrize("share", [0.002, 0.05, 0.5])
def test_no_position_moves_a_pixel_farther_than_brute_force_says_inside_and_off_the_plan(share: float) -> None:
    generator = np.random.default_rng(int(1000 * share))
    for _ in range(20):
        height, width = generator.integers(1, 40, 2)
        walkable = generator.random((height, width)) < share
        walkable[generator.integers(height), generator.integers(width)] = True
        floor_map = FloorMap(walkable, 0.1, tuple(generator.normal(size=2)), generator.uniform(-180, 180))
        pixels = generator.uniform(-1.5, 2.5, (200, 2)) * [width, height]
        centers = np.column_stack([floor_map.grid.points_of(pixels), np.ones(200)])
        moved = floor_map.move(centers)
        corners = np.argwhere(walkable)[:, ::-1]
        offsets = np.clip(pixels[:, None], corners, corners + 1) - pixels[:, None]
        nearest_m = 0.1 * np.linalg.norm(offsets, axis=2).min(axis=1)
        excess = moved.moved_m - nearest_m
        assert excess.min() > -1e-9
        assert excess.max() < 0.1, "one pixel"
        assert np.allclose(np.linalg.norm(moved.centers_m - centers, axis=1), moved.moved_m, atol=1e-9)


def test_what_was_moved_is_walkable_and_does_not_move_again() -> None:
    generator = np.random.default_rng(5)
    floor_map = FloorMap(generator.random((60, 80)) < 0.1, 0.07, (-1.0, 3.0), 17.0)
    once = floor_map.move(generator.uniform(-5, 10, (500, 3)))
    assert floor_map.contains(floor_map.on_plane(once.centers_m)).all()
    again = floor_map.move(once.centers_m)
    assert np.array_equal(again.centers_m, once.centers_m)


def test_ten_thousand_positions_take_no_loop_over_pixels() -> None:
    walkable = np.zeros((1000, 1000), dtype=bool)
    walkable[500, :] = True
    floor_map = FloorMap(walkable, 0.02)
    floor_map.move(np.zeros((1, 3)) + 1)  # the distance transform
    centers = np.random.default_rng(0).uniform(0, 20, (10_000, 3))
    started = time.perf_counter()
    floor_map.move(centers)
    assert time.perf_counter() - started < 1.0, "a loop over 1,000,000 pixels for each would take minutes"


def test_the_distance_raster_counts_metres_from_the_edge() -> None:
    outside = room().outside_m()
    assert outside[2, 2:6].max() == 0
    assert outside[3, :2].tolist() == [0.75, 0.25]
    assert outside[0, 3] == 0.75


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metres_per_pixel": 0.0}, "metres_per_pixel is 0, it must lie in 0.000001 to 1000"),
        ({"metres_per_pixel": -0.1}, "metres_per_pixel is -0.1"),
        ({"metres_per_pixel": np.nan}, "metres_per_pixel is nan"),
        ({"walkable": np.zeros((3, 3))}, "no walkable pixel"),
        ({"max_distance_m": 0.0}, "max_distance_m is 0"),
        ({"origin_m": (np.inf, 0.0)}, "origin_m is"),
        ({"up": "up"}, "up is 'up'"),
    ],
)
def test_numbers_that_cannot_be_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        room(**changes)


def test_the_hash_tells_maps_apart_by_what_is_walkable_and_where() -> None:
    same, further = room(), room(max_distance_m=7.0)
    assert same.sha256 == further.sha256, "the limit does not change the ground"
    others = [room(yaw_deg=1.0), room(origin_m=(10.0, 20.1)), room(walkable=~ROOM), room(up="-z")]
    assert len({same.sha256, *(other.sha256 for other in others)}) == 5
