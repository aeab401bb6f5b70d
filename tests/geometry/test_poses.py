"""Poses in every convention against cameras worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from irploc.geometry import rotations
from irploc.geometry.poses import Poses, pose_errors

H = np.sqrt(0.5)
# Stands at (1, 2, 3) and looks along the world's x: right is -y, down is -z.
WORLD_FROM_CAM = np.array([[0, 0, 1, 1], [-1, 0, 0, 2], [0, -1, 0, 3], [0, 0, 0, 1]], dtype=float)
QUAT = [0.5, -0.5, 0.5, -0.5]


def some_poses(count: int, seed: int = 0) -> Poses:
    rng = np.random.default_rng(seed)
    return Poses(rng.normal(size=(count, 3)), rng.normal(size=(count, 4)))


def test_a_known_camera_from_its_matrix() -> None:
    pose = Poses.from_matrices([WORLD_FROM_CAM])
    np.testing.assert_allclose(pose.centers_m, [[1, 2, 3]])
    np.testing.assert_allclose(pose.world_from_cam_wxyz, [QUAT], atol=1e-15)
    np.testing.assert_allclose(rotations.rotate(pose.world_from_cam_wxyz[0], [0, 0, 1]), [1, 0, 0], atol=1e-15)
    np.testing.assert_allclose(pose.to_matrices(), [WORLD_FROM_CAM], atol=1e-15)


def test_a_matrix_of_three_rows_is_enough() -> None:
    np.testing.assert_array_equal(Poses.from_matrices([WORLD_FROM_CAM[:3]]).to_matrices(), [WORLD_FROM_CAM])


def test_the_centre_is_minus_r_transposed_t() -> None:
    # A quarter turn about z maps the world's x to the camera's y; t = (1, 2, 3). R^T t = (2, -1, 3).
    pose = Poses.from_cam_from_world([[H, 0, 0, H]], [[1, 2, 3]])
    np.testing.assert_allclose(pose.centers_m, [[-2, 1, -3]], atol=1e-15)
    np.testing.assert_allclose(pose.world_from_cam_wxyz, [[H, 0, 0, -H]], atol=1e-15)
    qvec, tvec = pose.to_cam_from_world()
    np.testing.assert_allclose(qvec, [[H, 0, 0, H]], atol=1e-15)
    np.testing.assert_allclose(tvec, [[1, 2, 3]], atol=1e-15)


def test_cam_from_world_is_the_inverse_matrix() -> None:
    poses = some_poses(5)
    qvec, tvec = poses.to_cam_from_world()
    inverse = np.linalg.inv(poses.to_matrices())
    np.testing.assert_allclose(rotations.matrix_from_quaternion(qvec), inverse[:, :3, :3], atol=1e-14)
    np.testing.assert_allclose(tvec, inverse[:, :3, 3], atol=1e-14)


def test_opengl_axes_flip_y_and_z_of_the_camera_and_leave_the_centre() -> None:
    # The same camera in OpenGL: right is -y, up is +z, backward is -x.
    opengl = np.array([[0, 0, -1, 1], [-1, 0, 0, 2], [0, 1, 0, 3], [0, 0, 0, 1]], dtype=float)
    pose = Poses.from_opengl_matrices([opengl])
    np.testing.assert_allclose(pose.to_matrices(), [WORLD_FROM_CAM], atol=1e-15)
    np.testing.assert_allclose(pose.to_opengl_matrices(), [opengl], atol=1e-15)


def test_every_convention_leads_back() -> None:
    poses = some_poses(20)
    ways = [
        Poses.from_matrices(poses.to_matrices()),
        Poses.from_opengl_matrices(poses.to_opengl_matrices()),
        Poses.from_cam_from_world(*poses.to_cam_from_world()),
    ]
    for back in ways:
        position_m, rotation_deg = pose_errors(back, poses)
        assert position_m.max() < 1e-14
        assert rotation_deg.max() < 1e-12


def test_quaternions_are_normalised_with_w_not_negative() -> None:
    poses = Poses(np.zeros((2, 3)), [[-2, 0, 0, 0], [0, 0, -5, 0]])
    np.testing.assert_array_equal(poses.world_from_cam_wxyz, [[1, 0, 0, 0], [0, 0, 1, 0]])


def test_the_arrays_given_are_not_changed() -> None:
    quats, matrices = np.array([[-2.0, 0, 0, 0]]), WORLD_FROM_CAM[None].copy()
    Poses(np.zeros((1, 3)), quats)
    Poses.from_opengl_matrices(matrices)
    np.testing.assert_array_equal(quats, [[-2, 0, 0, 0]])
    np.testing.assert_array_equal(matrices, [WORLD_FROM_CAM])


def test_a_row_without_a_pose_stays_without_one() -> None:
    poses = Poses.concatenate([some_poses(1), Poses.missing(1), some_poses(1, seed=1)])
    assert poses.valid.tolist() == [True, False, True]
    qvec, tvec = poses.to_cam_from_world()
    assert np.isnan(qvec[1]).all()
    assert np.isnan(tvec[1]).all()
    assert np.isfinite(qvec[[0, 2]]).all()
    assert poses[[1, 2]].valid.tolist() == [False, True]
    assert [len(pose) for pose in poses] == [1, 1, 1]


@pytest.mark.parametrize(
    ("centers", "quats"),
    [
        ([[0, 0, 0]], [[0, 0, 0, 0]]),
        ([[np.nan, 0, 0]], [[1, 0, 0, 0]]),
        ([[np.nan] * 3], [[1, 0, 0, 0]]),
        ([[0, 0, 0]], [[np.nan] * 4]),
        ([[np.inf, 0, 0]], [[1, 0, 0, 0]]),
        ([[0, 0, 0], [1, 1, 1]], [[1, 0, 0, 0]]),
    ],
    ids=["zero quaternion", "partly NaN", "NaN centre only", "NaN quaternion only", "infinite", "counts differ"],
)
def test_rows_that_cannot_be_poses_are_refused(centers: list, quats: list) -> None:
    with pytest.raises(ValueError, match=r"quaternion|centre"):
        Poses(centers, quats)


def test_nothing_is_a_valid_set_of_poses() -> None:
    assert len(Poses.concatenate([])) == 0
    assert Poses.missing(0).to_matrices().shape == (0, 4, 4)
    assert Poses.from_cam_from_world(np.zeros((0, 4)), np.zeros((0, 3))).centers_m.shape == (0, 3)


def test_errors_are_centre_distance_and_rotation_angle() -> None:
    true = Poses([[0, 0, 0], [1, 1, 1]], [[1, 0, 0, 0], [1, 0, 0, 0]])
    estimated = Poses([[0, 3, 4], [1, 1, 1]], [[1, 0, 0, 0], [-H, 0, 0, -H]])
    position_m, rotation_deg = pose_errors(estimated, true)
    np.testing.assert_allclose(position_m, [5, 0])
    np.testing.assert_allclose(rotation_deg, [0, 90], atol=1e-12)


def test_an_image_that_was_not_localized_counts_as_infinitely_far_and_turned_round() -> None:
    true = some_poses(2)
    position_m, rotation_deg = pose_errors(Poses.concatenate([true[[0]], Poses.missing(1)]), true)
    assert position_m.tolist() == [0, np.inf]
    assert rotation_deg.tolist() == [0, 180]


def test_counts_must_agree() -> None:
    with pytest.raises(ValueError, match="2 estimates for 3 true poses"):
        pose_errors(some_poses(2), some_poses(3))
