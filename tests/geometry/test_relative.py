from __future__ import annotations

import numpy as np
import pytest

from irploc.geometry.poses import Poses
from irploc.geometry.relative import relative_poses
from irploc.geometry.tangent import rotation_of_vector

HALF = np.sqrt(0.5)
STILL = [1.0, 0.0, 0.0, 0.0]
ALONG_X = [HALF, 0.0, HALF, 0.0]  # the camera's z axis is the world's x


def random_poses(count: int, seed: int) -> Poses:
    generator = np.random.default_rng(seed)
    return Poses(generator.normal(size=(count, 3)), rotation_of_vector(generator.normal(size=(count, 3))))


def test_a_camera_two_metres_along_the_view_is_two_ahead() -> None:
    found = relative_poses(Poses([[5.0, 0, 0]], [ALONG_X]), Poses([[7.0, 0, 0]], [STILL]))
    assert found.centers_m[0] == pytest.approx([0.0, 0.0, 2.0], abs=1e-12)
    assert found.world_from_cam_wxyz[0] == pytest.approx([HALF, 0.0, -HALF, 0.0])


def test_matrices_of_relative_poses_lead_from_the_second_to_the_first() -> None:
    first, second = random_poses(6, 0), random_poses(6, 1)
    expected = np.linalg.inv(first.to_matrices()) @ second.to_matrices()
    assert relative_poses(first, second).to_matrices() == pytest.approx(expected)


def test_the_quaternion_has_the_sign_of_all_poses() -> None:
    first, second = random_poses(50, 2), random_poses(50, 3)
    assert (relative_poses(first, second).world_from_cam_wxyz[:, 0] >= 0).all()


def test_beside_a_missing_camera_nothing_is_known() -> None:
    first, second = random_poses(3, 4), random_poses(3, 5)
    first = Poses.concatenate([first[[0]], Poses.missing(1), first[[2]]])
    second = Poses.concatenate([second[[0, 1]], Poses.missing(1)])
    assert relative_poses(first, second).valid.tolist() == [True, False, False]
    assert len(relative_poses(Poses.missing(0), Poses.missing(0))) == 0


def test_counts_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="2 first cameras but 3 second ones"):
        relative_poses(random_poses(2, 0), random_poses(3, 0))
