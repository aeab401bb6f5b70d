"""Motions between cameras, their middle, and the augmentations that change photos and motions together."""

from __future__ import annotations

import numpy as np
import torch

from irploc.geometry import rotations
from irploc.geometry.poses import Poses, pose_errors
from irploc.geometry.tangent import rotation_of_vector
from irploc.training.menet.augmentation import Pairs, jittered, mirrored, turned
from irploc.training.menet.motions import composed, halfway, inverse, motions

HALF = np.sqrt(0.5)
NOWHERE = np.array([1.0, 0.0, 0.0, 0.0])


def some_motions(count: int, seed: int = 0) -> Poses:
    random = np.random.default_rng(seed)
    return Poses(random.normal(size=(count, 3)), rotation_of_vector(random.uniform(-1, 1, (count, 3))))


def test_a_camera_ahead_that_looks_to_the_right_is_forward_and_turned_about_down() -> None:
    # camera a at (1, 0, 0) looks along the world's x, its right is the world's -z; camera b stands 2 m further along x and
    # looks along a's right
    forward_is_x = np.array([HALF, 0, HALF, 0])  # turns z (forward) to x
    quats = [forward_is_x, rotations.multiply(forward_is_x, [HALF, 0, HALF, 0])]
    found = motions(Poses(np.array([[1.0, 0, 0], [3.0, 0, 0]]), np.array(quats)), np.array([[0, 1]]))
    np.testing.assert_allclose(found.centers_m, [[0, 0, 2]], atol=1e-12)
    np.testing.assert_allclose(found.world_from_cam_wxyz, [[HALF, 0, HALF, 0]], atol=1e-12)
    looking = rotations.rotate(found.world_from_cam_wxyz[0], [0, 0, 1])
    np.testing.assert_allclose(looking, [1, 0, 0], atol=1e-12)  # to the right of a


def test_a_motion_maps_points_of_b_to_those_of_a() -> None:
    poses, point = some_motions(2), np.array([0.3, -0.2, 5.0])  # in the axes of camera 1
    world = poses.centers_m[1] + rotations.rotate(poses.world_from_cam_wxyz[1], point)
    in_a = rotations.rotate(rotations.conjugate(poses.world_from_cam_wxyz[0]), world - poses.centers_m[0])
    found = motions(poses, np.array([[0, 1]]))
    np.testing.assert_allclose(found.centers_m[0] + rotations.rotate(found.world_from_cam_wxyz[0], point), in_a)


def test_motions_do_not_know_the_axes_of_the_world() -> None:
    poses, world = some_motions(5), some_motions(1, seed=3)
    moved = composed(Poses(np.tile(world.centers_m, (5, 1)), np.tile(world.world_from_cam_wxyz, (5, 1))), poses)
    pairs = np.array([[0, 1], [3, 2], [4, 0]])
    assert np.abs(pose_errors(motions(poses, pairs), motions(moved, pairs))).max() < 1e-9


def test_exchanging_the_photos_inverts_a_motion_and_a_photo_with_itself_has_none() -> None:
    poses, pairs = some_motions(4), np.array([[0, 1], [2, 3]])
    assert np.abs(pose_errors(inverse(motions(poses, pairs)), motions(poses, pairs[:, ::-1]))).max() < 1e-9
    still = composed(inverse(poses), poses)
    assert np.abs(pose_errors(still, motions(poses, np.array([[0, 0]] * 4)))).max() < 1e-9


def test_halfway_between_no_motion_and_two_metres_is_one_metre() -> None:
    still, far = Poses(np.zeros((1, 3)), NOWHERE[None]), Poses(np.array([[2.0, 0, 0]]), NOWHERE[None])
    np.testing.assert_allclose(halfway(still, far).centers_m, [[1, 0, 0]], atol=1e-12)


def test_halfway_of_a_screw_about_forward_is_half_the_turn_and_half_the_way() -> None:
    quarter = Poses(np.array([[0, 0, 2.0]]), np.array([[HALF, 0, 0, HALF]]))
    middle = halfway(Poses(np.zeros((1, 3)), NOWHERE[None]), quarter)
    np.testing.assert_allclose(middle.centers_m, [[0, 0, 1]], atol=1e-12)
    np.testing.assert_allclose(middle.world_from_cam_wxyz, [[np.cos(np.pi / 8), 0, 0, np.sin(np.pi / 8)]], atol=1e-12)


def test_the_middle_is_symmetric_is_inverted_with_its_ends_and_of_a_motion_and_its_inverse_is_none() -> None:
    one, other = some_motions(6, seed=1), some_motions(6, seed=2)
    middle = halfway(one, other)
    assert np.abs(pose_errors(middle, halfway(other, one))).max() < 1e-9
    assert np.abs(pose_errors(inverse(middle), halfway(inverse(one), inverse(other)))).max() < 1e-9
    nothing = halfway(one, inverse(one))
    assert np.abs(pose_errors(nothing, composed(one, inverse(one)))).max() < 1e-9


def stripes(height: int = 24, width: int = 32) -> torch.Tensor:
    return torch.arange(width).float().expand(1, 3, height, width).clone()


def test_a_mirrored_pair_moves_to_the_other_side() -> None:
    motion = Poses(np.array([[1.0, 2.0, 3.0]] * 2), np.tile(rotation_of_vector(np.array([0.1, 0.2, 0.3])), (2, 1)))
    photos = stripes().repeat(2, 1, 1, 1)
    found = mirrored(Pairs(photos, photos + 1, motion), np.array([True, False]))
    np.testing.assert_allclose(found.motions.centers_m, [[-1, 2, 3], [1, 2, 3]])
    wanted = rotation_of_vector(np.array([[0.1, -0.2, -0.3], [0.1, 0.2, 0.3]]))
    np.testing.assert_allclose(found.motions.world_from_cam_wxyz, wanted, atol=1e-12)
    assert torch.equal(found.first[0], photos[0].flip(2))
    assert torch.equal(found.second[1], photos[1] + 1)


def test_a_mirrored_world_is_seen_with_the_mirrored_motion() -> None:
    motion = some_motions(1)
    point = np.array([0.3, -0.2, 2.0])  # seen from b
    in_a = motion.centers_m[0] + rotations.rotate(motion.world_from_cam_wxyz[0], point)
    found = mirrored(Pairs(stripes(), stripes(), motion), np.array([True])).motions
    flipped = point * [-1, 1, 1]
    np.testing.assert_allclose(
        found.centers_m[0] + rotations.rotate(found.world_from_cam_wxyz[0], flipped), in_a * [-1, 1, 1], atol=1e-12
    )


def test_a_camera_turned_to_the_right_sees_the_photo_shifted_to_the_left_and_its_motion_turns_back() -> None:
    focal, still = 100.0, Poses(np.array([[0.0, 0, 1.0]]), NOWHERE[None])
    right = rotation_of_vector(np.array([[0, np.arctan(4 / focal), 0]]))  # by four pixels at the centre
    found = turned(Pairs(stripes(), stripes(), still), right, NOWHERE[None], np.array([[focal, focal]]))
    middle = found.first[0, 0, 12, 12:20] - stripes()[0, 0, 12, 12:20]
    assert torch.allclose(middle, torch.full_like(middle, 4.0), atol=0.1)
    assert torch.allclose(found.second, stripes(), atol=1e-4)
    # b stands where it stood, straight ahead of the old camera: to the left of the new one, and looks left of it
    assert found.motions.centers_m[0, 0] < -0.03
    np.testing.assert_allclose(found.motions.world_from_cam_wxyz, rotations.conjugate(right), atol=1e-12)


def test_turning_both_cameras_turns_the_motion_at_both_ends() -> None:
    motion, turns = some_motions(1), rotation_of_vector(np.array([[0.1, -0.05, 0.02], [-0.1, 0.03, 0.05]]))
    found = turned(Pairs(stripes(), stripes(), motion), turns[:1], turns[1:], np.array([[50.0, 50.0]])).motions
    zero = np.zeros((1, 3))
    back = composed(composed(Poses(zero, turns[:1]), found), inverse(Poses(zero, turns[1:])))
    assert np.abs(pose_errors(back, motion)).max() < 1e-9


def test_photos_of_unknown_focal_length_are_not_turned() -> None:
    motion, turn = some_motions(1), rotation_of_vector(np.array([[0.1, 0.2, 0.0]]))
    found = turned(Pairs(stripes(), stripes(), motion), turn, turn, np.array([[50.0, np.nan]]))
    assert torch.equal(found.first, stripes())
    assert np.abs(pose_errors(found.motions, motion)).max() < 1e-9


def test_jitter_changes_each_photo_by_itself_and_repeats_with_its_seed() -> None:
    photos = torch.ones(2, 3, 4, 4)
    found = jittered(photos, 0.3, np.random.default_rng(0))
    assert torch.equal(found, jittered(photos, 0.3, np.random.default_rng(0)))
    assert not torch.allclose(found[0], found[1])
    assert (found - 1).abs().max() <= 0.3 + 0.3 + 0.09 + 1e-6
