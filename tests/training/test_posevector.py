"""Poses as numbers: by hand, there and back, and motions between them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from irploc.geometry import rotations
from irploc.geometry.poses import Poses, pose_errors
from irploc.training.posevector import ROTATIONS, PoseVector

HALF = np.sqrt(0.5)


def random_poses(count: int, seed: int = 0) -> Poses:
    generator = np.random.default_rng(seed)
    return Poses(generator.normal(size=(count, 3)), rotations.canonical(generator.normal(size=(count, 4))))


def test_a_quaternion_vector_is_the_centre_and_the_quaternion() -> None:
    poses = Poses(np.array([[1.0, 2.0, 3.0]]), np.array([[HALF, 0.0, HALF, 0.0]]))
    np.testing.assert_allclose(PoseVector("quaternion").encode(poses), [[1, 2, 3, HALF, 0, HALF, 0]])


def test_a_log_vector_is_the_centre_and_half_the_rotation_vector() -> None:
    poses = Poses(np.array([[1.0, 2.0, 3.0]]), np.array([[HALF, 0.0, HALF, 0.0]]))
    np.testing.assert_allclose(PoseVector("log").encode(poses), [[1, 2, 3, 0, np.pi / 4, 0]])


def test_quaternions_are_taken_in_the_hemisphere_of_the_reference() -> None:
    backwards = PoseVector("quaternion", reference_wxyz=(0.0, 0.0, 1.0, 0.0))
    poses = Poses(np.zeros((1, 3)), np.array([[0.1, 0.0, -np.sqrt(0.99), 0.0]]))
    np.testing.assert_allclose(backwards.encode(poses)[0, 3:], [-0.1, 0, np.sqrt(0.99), 0])


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_decoding_undoes_encoding(rotation: str) -> None:
    poses = random_poses(50)
    for code in (PoseVector(rotation), PoseVector.fit(poses, rotation)):
        position_m, rotation_deg = pose_errors(code.decode(code.encode(poses)), poses)
        assert position_m.max() < 1e-12
        assert rotation_deg.max() < 1e-6


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_fitted_vectors_are_centred_with_parts_of_length_one(rotation: str) -> None:
    poses = random_poses(50)
    vectors = PoseVector.fit(poses, rotation).encode(poses)
    np.testing.assert_allclose(vectors.mean(axis=0), 0, atol=1e-12)
    for part in (slice(0, 3), slice(3, None)):
        assert (vectors[:, part] ** 2).sum(axis=1).mean() == pytest.approx(1.0)


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_one_photo_alone_has_a_vector_of_zeros(rotation: str) -> None:
    poses = random_poses(1)
    np.testing.assert_allclose(PoseVector.fit(poses, rotation).encode(poses), 0, atol=1e-12)


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_a_head_that_gives_no_orientation_gives_the_reference_rotation(rotation: str) -> None:
    found = PoseVector(rotation).decode(np.zeros((1, 7 if rotation == "quaternion" else 6)))
    np.testing.assert_allclose(found.world_from_cam_wxyz, [[1, 0, 0, 0]])


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_a_motion_is_what_the_matrices_say(rotation: str) -> None:
    first, second = random_poses(20, 1), random_poses(20, 2)
    code = PoseVector.fit(Poses.concatenate([first, second]), rotation)
    vectors = [torch.from_numpy(code.encode(poses)) for poses in (first, second)]
    found = code.motion(vectors[0], vectors[1]).numpy()
    turned = rotations.matrix_from_quaternion(second.world_from_cam_wxyz)
    moved = np.einsum("nji,nj->ni", turned, first.centers_m - second.centers_m)
    turn = rotations.multiply(rotations.conjugate(second.world_from_cam_wxyz), first.world_from_cam_wxyz)
    np.testing.assert_allclose(found[:, :3] * code.metres, moved, atol=1e-6)
    np.testing.assert_allclose(found[:, 3:] * code.radians, turn[:, 1:], atol=1e-6)


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_motions_do_not_depend_on_the_world(rotation: str) -> None:
    first, second, world = random_poses(20, 1), random_poses(20, 2), random_poses(1, 3)
    code = PoseVector(rotation)

    def moved(poses: Poses) -> torch.Tensor:
        quats = np.tile(world.world_from_cam_wxyz, (len(poses), 1))
        centers = rotations.rotate(quats, poses.centers_m) + world.centers_m
        return torch.from_numpy(code.encode(Poses(centers, rotations.multiply(quats, poses.world_from_cam_wxyz))))

    here = code.motion(torch.from_numpy(code.encode(first)), torch.from_numpy(code.encode(second)))
    np.testing.assert_allclose(code.motion(moved(first), moved(second)).numpy(), here.numpy(), atol=1e-6)


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_motions_have_gradients_also_where_nothing_moves(rotation: str) -> None:
    code = PoseVector(rotation)
    still = torch.from_numpy(code.encode(Poses(np.zeros((2, 3)), np.tile([1.0, 0, 0, 0], (2, 1))))).requires_grad_()
    code.motion(still, still.detach().clone()).square().sum().backward()
    assert still.grad is not None and torch.isfinite(still.grad).all()


def test_plain_values_give_the_code_back() -> None:
    code = PoseVector.fit(random_poses(5), "log")
    assert PoseVector.from_plain(code.to_plain()) == code
    with pytest.raises(ValueError, match="unknown rotation"):
        PoseVector.from_plain({**code.to_plain(), "rotation": "euler"})
    with pytest.raises(ValueError, match="6 offsets"):
        PoseVector.from_plain({**code.to_plain(), "offset": [0.0] * 7})
