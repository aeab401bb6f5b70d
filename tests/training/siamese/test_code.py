from __future__ import annotations

import numpy as np
import pytest

from irploc.geometry import rotations
from irploc.geometry.poses import Poses, pose_errors
from irploc.training.siamese.code import RELATIONS, PoseCode

QUARTER = np.sqrt(0.5)
ABOUT_Z = Poses(np.array([[1.0, 2.0, 3.0]]), np.array([[QUARTER, 0.0, 0.0, QUARTER]]))


def random_poses(count: int, seed: int, spread: float = 4.0) -> Poses:
    random = np.random.default_rng(seed)
    return Poses(spread * random.standard_normal((count, 3)), random.standard_normal((count, 4)))


def close_poses(poses: Poses, seed: int) -> Poses:
    """Some 20 cm and at most 60 degrees away."""
    random = np.random.default_rng(seed)
    turn = rotations.quaternion_exp(0.3 * random.uniform(-1, 1, (len(poses), 3)))
    moved = poses.centers_m + 0.1 * random.standard_normal((len(poses), 3))
    return Poses(moved, rotations.multiply(poses.world_from_cam_wxyz, turn))


def assert_same(found: Poses, wanted: Poses) -> None:
    metres, degrees = pose_errors(found, wanted)
    assert metres.max() < 1e-9
    assert degrees.max() < 1e-6


def test_the_papers_code_is_the_centre_and_the_logarithm_of_the_quaternion() -> None:
    code = PoseCode("difference").encode(ABOUT_Z)
    assert np.allclose(code, [[1.0, 2.0, 3.0, 0.0, 0.0, np.pi / 4]])


def test_the_papers_relative_pose_is_a_plain_difference() -> None:
    identity = Poses(np.array([[1.0, 0.0, 0.0]]), np.array([[1.0, 0.0, 0.0, 0.0]]))
    assert np.allclose(PoseCode("difference").relative(ABOUT_Z, identity), [[0.0, 2.0, 3.0, 0.0, 0.0, np.pi / 4]])


def test_a_group_relative_pose_is_seen_in_the_axes_half_way() -> None:
    """A camera turned by 90 degrees about its y axis and moved by one metre along the world's z: half-way axes are turned
    by 45 degrees, so that the movement is sideways and forwards alike."""
    first = Poses(np.zeros((1, 3)), np.array([[1.0, 0.0, 0.0, 0.0]]))
    second = Poses(np.array([[0.0, 0.0, 1.0]]), np.array([[QUARTER, 0.0, QUARTER, 0.0]]))
    assert np.allclose(PoseCode("group").relative(second, first), [[-QUARTER, 0.0, QUARTER, 0.0, np.pi / 4, 0.0]])


@pytest.mark.parametrize("relation", RELATIONS)
def test_a_pose_comes_back_from_its_code(relation: str) -> None:
    poses = random_poses(50, 0)
    for code in (PoseCode(relation), PoseCode.fit(poses, relation)):
        assert_same(code.decode(code.encode(poses)), poses)


@pytest.mark.parametrize("relation", RELATIONS)
def test_composing_undoes_the_relative_pose_however_far_cameras_are_turned(relation: str) -> None:
    one, other = random_poses(200, 1), random_poses(200, 2)
    for code in (PoseCode(relation), PoseCode.fit(one, relation)):
        assert_same(code.compose(other, code.relative(one, other)), one)


@pytest.mark.parametrize("relation", RELATIONS)
def test_exchanging_the_photos_changes_the_sign(relation: str) -> None:
    """Of differences this holds where no orientation crosses the half turn; of rigid motions everywhere."""
    one = random_poses(200, 3)
    if relation == "difference":
        one = close_poses(Poses(one.centers_m, np.tile([0.5, 0.5, 0.5, 0.5], (200, 1))), 3)
    other = close_poses(one, 4)
    code = PoseCode.fit(one, relation)
    assert np.allclose(code.relative(one, other), -code.relative(other, one), atol=1e-9)


def test_group_relative_poses_do_not_know_the_worlds_axes_but_differences_do() -> None:
    one = random_poses(30, 5)
    other = close_poses(one, 6)
    turn = np.array([0.5, 0.5, -0.5, 0.5])

    def moved(poses: Poses) -> Poses:
        centers = rotations.rotate(turn, poses.centers_m) + np.array([10.0, -3.0, 2.0])
        return Poses(centers, rotations.multiply(turn, poses.world_from_cam_wxyz))

    group, difference = PoseCode("group"), PoseCode("difference")
    assert np.allclose(group.relative(moved(one), moved(other)), group.relative(one, other))
    assert not np.allclose(difference.relative(moved(one), moved(other)), difference.relative(one, other), atol=0.05)


def test_neighbours_on_either_side_of_the_half_turn_stay_neighbours() -> None:
    """1 degree to either side of looking backwards: their logarithms are half a turn apart, their difference is not."""
    half = np.radians([89.5, 90.5])
    poses = Poses(np.zeros((2, 3)), np.stack([np.cos(half), 0 * half, np.sin(half), 0 * half], axis=1))
    code = PoseCode("difference")
    codes = code.encode(poses)
    assert np.linalg.norm(codes[0] - codes[1]) > 3.0
    assert np.allclose(code.relative(poses[[1]], poses[[0]]), [[0, 0, 0, 0, np.radians(1.0), 0]])
    assert_same(code.decode(code.other_branch(codes)), poses)


def test_a_fitted_code_has_mean_zero_and_spread_one() -> None:
    poses = close_poses(Poses(np.tile([5.0, 1.0, -2.0], (300, 1)), np.tile([0.1, 0.7, 0.7, 0.1], (300, 1))), 7)
    codes = PoseCode.fit(poses, "difference").encode(poses)
    assert np.allclose(codes.mean(axis=0), 0, atol=1e-9)
    for part in (codes[:, :3], codes[:, 3:]):
        assert np.isclose((part**2).sum(axis=1).mean(), 1.0)


def test_one_place_fits_too() -> None:
    code = PoseCode.fit(ABOUT_Z, "difference")
    assert (code.metres, code.radians) == (1.0, 1.0)


def test_a_code_survives_being_written_down() -> None:
    code = PoseCode.fit(random_poses(9, 8), "group")
    assert PoseCode.from_plain(code.to_plain()) == code


@pytest.mark.parametrize("change", [{"relation": "ratio"}, {"metres": 0.0}, {"offset": [1.0]}])
def test_an_impossible_code_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"unknown relation|a pose code has"):
        PoseCode.from_plain({**PoseCode("group").to_plain(), **change})
