"""Which way is up: a room whose worktop has more points than its floor, in any frame and scale."""

from __future__ import annotations

import numpy as np
import pytest
from mapping.align_room import ODD_FRAME, WORKTOP_M, looking, room_points, room_poses

from irploc.errors import BadInput
from irploc.geometry import rotations
from irploc.geometry.poses import Poses
from irploc.geometry.similarity import Similarity
from irploc.mapping.upright import camera_gravity, stand_upright
from irploc.mapping.upright_planes import best_direction, level_planes

FRAMES = [Similarity(), ODD_FRAME, Similarity(1e-3, (0.0, 1.0, 0.0, 0.0), (1e2, 0.0, 0.0))]
IDS = ["as it is", "odd", "tiny and upside down"]


def leaning_deg(found: Similarity, new_from_room: Similarity) -> float:
    """Angle between z after the alignment and the room's own."""
    up = rotations.rotate(found.compose(new_from_room).rotation_wxyz, [0.0, 0.0, 1.0])
    return float(np.degrees(np.arccos(np.clip(up[2], -1, 1))))


def test_three_level_cameras_tell_up_whatever_their_pitch() -> None:
    matrices = np.stack([looking((0, 0, 1), yaw, pitch) for yaw, pitch in ((0, 50), (90, -10), (200, 35))])
    gravity = camera_gravity(Poses.from_matrices(matrices))
    assert gravity.headings_differ
    np.testing.assert_allclose(gravity.up, [0, 0, 1], atol=1e-9)


def test_cameras_that_look_one_way_tell_up_by_their_upper_side() -> None:
    matrices = np.stack([looking((0, 0, 1), 30, pitch) for pitch in (5, 15, 10)])
    gravity = camera_gravity(Poses.from_matrices(matrices))
    assert not gravity.headings_differ
    assert np.degrees(np.arccos(gravity.up[2])) == pytest.approx(10, abs=0.1)


def test_cameras_held_in_all_ways_tell_nothing() -> None:
    quats = np.random.default_rng(0).normal(size=(60, 4))
    with pytest.raises(BadInput, match="held in all ways"):
        camera_gravity(Poses(np.zeros((60, 3)), quats))


@pytest.mark.parametrize("frame", FRAMES, ids=IDS)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_floor_is_zero_although_the_worktop_has_more_points(frame: Similarity, seed: int) -> None:
    points = room_points(seed)
    found = stand_upright(frame.apply_to_poses(room_poses(seed=seed)), frame.apply(points))
    assert leaning_deg(found.similarity, frame) < 0.3
    floor = found.similarity.compose(frame).apply([[2.5, 2.0, 0.0]])[0, 2] / frame.scale
    assert abs(floor) < 0.02
    assert found.similarity.scale == 1.0
    assert found.floor is not None
    most = max(found.planes, key=lambda plane: plane.count)
    assert (most.height - found.floor.height) / frame.scale == pytest.approx(WORKTOP_M, abs=0.02)


def test_a_scene_that_looks_one_way_is_stood_upright_by_its_surfaces() -> None:
    poses = room_poses(headings_deg=10, pitch_deg=25)
    assert np.degrees(np.arccos(camera_gravity(poses).up[2])) > 15
    found = stand_upright(ODD_FRAME.apply_to_poses(poses), ODD_FRAME.apply(room_points()))
    assert leaning_deg(found.similarity, ODD_FRAME) < 0.5
    assert found.guess_deg > 15


def test_the_heading_stays_where_it_was_upright_already() -> None:
    found = stand_upright(room_poses(), room_points())
    assert found.similarity.angle_deg < 0.3
    np.testing.assert_allclose(found.similarity.translation[:2], [0, 0], atol=1e-9)


def test_a_few_points_below_the_floor_are_not_taken_for_it() -> None:
    reflections = np.random.default_rng(5).uniform((0, 0.6, -1.2), (5, 4, -1.1), (60, 3))
    found = stand_upright(room_poses(), np.concatenate([room_points(), reflections]))
    assert abs(found.similarity.translation[2]) < 0.03


def test_without_floor_it_only_turns() -> None:
    found = stand_upright(ODD_FRAME.apply_to_poses(room_poses()), ODD_FRAME.apply(room_points()), floor=False)
    assert found.floor is None
    assert found.similarity.translation == (0.0, 0.0, 0.0)
    assert leaning_deg(found.similarity, ODD_FRAME) < 0.3


def test_without_points_the_cameras_alone_turn_it() -> None:
    poses = ODD_FRAME.apply_to_poses(room_poses())
    with pytest.raises(BadInput, match="0 points, at least 200"):
        stand_upright(poses, None)
    found = stand_upright(poses, None, floor=False)
    assert 0.0 < leaning_deg(found.similarity, ODD_FRAME) < 5
    assert found.planes == ()


def test_a_cloud_without_level_surfaces_has_no_floor() -> None:
    cloud = np.random.default_rng(0).normal((2.5, 2, 1.2), 1.0, (3000, 3))
    with pytest.raises(BadInput, match="no floor is to be seen"):
        stand_upright(room_poses(), cloud)
    found = stand_upright(room_poses(), cloud, floor=False)
    assert found.planes == ()
    assert leaning_deg(found.similarity, Similarity()) < 5


def test_a_ceiling_alone_is_no_floor() -> None:
    generator = np.random.default_rng(0)
    ceiling = generator.uniform((0, 0, 2.5), (5, 4, 2.5), (2000, 3)) + generator.normal(0, 0.005, (2000, 3))
    clutter = generator.uniform((0, 0, 0), (5, 4, 2.5), (1000, 3))
    with pytest.raises(BadInput, match="below the cameras"):
        stand_upright(room_poses(), np.concatenate([ceiling, clutter]))


def test_layers_have_the_height_count_and_area_that_were_made() -> None:
    generator = np.random.default_rng(0)
    low = generator.uniform((0, 0, 1), (2, 1, 1), (4000, 3))
    high = generator.uniform((0, 0, 3), (1, 1, 3), (1000, 3))
    planes = level_planes(np.concatenate([low, high]), np.array([0.0, 0, 1]), thick=0.01)
    assert [plane.count for plane in planes] == [4000, 1000]
    np.testing.assert_allclose([plane.height for plane in planes], [1, 3])
    np.testing.assert_allclose([plane.area for plane in planes], [2, 1], rtol=0.15)


def test_the_direction_is_searched_no_further_than_told() -> None:
    generator = np.random.default_rng(0)
    wall = generator.uniform((0, 0, 0), (0, 4, 4), (2000, 3))
    found = best_direction(wall, np.array([0.0, 0, 1]), 20.0, 0.02)
    assert np.degrees(np.arccos(found[2])) <= 20.01
