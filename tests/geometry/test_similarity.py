"""Similarities: a hand-computed one, the laws of a group, and what is none."""

from __future__ import annotations

import numpy as np
import pytest

from irploc.geometry import rotations
from irploc.geometry.poses import Poses, pose_errors
from irploc.geometry.similarity import AlignmentStep, Similarity

H = float(np.sqrt(0.5))
QUARTER_ABOUT_Z = Similarity(2.0, (H, 0.0, 0.0, H), (10.0, 20.0, 30.0))


def drawn(seed: int) -> Similarity:
    rng = np.random.default_rng(seed)
    return Similarity(float(np.exp(rng.normal())), tuple(rng.normal(size=4)), tuple(rng.normal(size=3)))


def assert_same(one: Similarity, other: Similarity) -> None:
    np.testing.assert_allclose(one.matrix, other.matrix, atol=1e-12)


def test_a_quarter_turn_doubled_and_shifted_moves_points_as_computed_by_hand() -> None:
    # x goes to y, y to -x; then everything is twice as far and shifted
    moved = QUARTER_ABOUT_Z.apply([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(moved, [[10, 22, 30], [8, 20, 30], [10, 20, 32]], atol=1e-12)
    assert QUARTER_ABOUT_Z.angle_deg == pytest.approx(90)


def test_a_camera_moves_with_what_it_sees() -> None:
    pose = Poses([[1.0, 2, 3]], [[1, 0, 0, 0]])  # looks along z, its right is x
    moved = QUARTER_ABOUT_Z.apply_to_poses(pose)
    np.testing.assert_allclose(moved.centers_m, [[6, 22, 36]], atol=1e-12)
    np.testing.assert_allclose(rotations.rotate(moved.world_from_cam_wxyz, [1.0, 0, 0]), [[0, 1, 0]], atol=1e-12)


def test_rows_without_a_pose_stay_without() -> None:
    poses = Poses.concatenate([Poses([[1.0, 2, 3]], [[1, 0, 0, 0]]), Poses.missing(1)])
    assert QUARTER_ABOUT_Z.apply_to_poses(poses).valid.tolist() == [True, False]


@pytest.mark.parametrize("seed", range(5))
def test_similarities_form_a_group(seed: int) -> None:
    a, b, c = drawn(seed), drawn(seed + 100), drawn(seed + 200)
    assert_same(a.compose(a.inverse()), Similarity())
    assert_same(a.inverse().compose(a), Similarity())
    assert_same(a.compose(b).compose(c), a.compose(b.compose(c)))
    point = np.random.default_rng(seed).normal(size=(4, 2, 3))
    np.testing.assert_allclose(a.compose(b).apply(point), a.apply(b.apply(point)), atol=1e-12)
    np.testing.assert_allclose(a.matrix @ b.matrix, a.compose(b).matrix, atol=1e-12)


def test_inverse_takes_poses_back() -> None:
    rng = np.random.default_rng(1)
    poses = Poses(rng.normal(size=(9, 3)), rng.normal(size=(9, 4)))
    a = drawn(3)
    position, rotation = pose_errors(a.inverse().apply_to_poses(a.apply_to_poses(poses)), poses)
    assert position.max() < 1e-12
    assert rotation.max() < 1e-9


def test_a_matrix_and_plain_values_give_it_back() -> None:
    a = drawn(7)
    assert_same(Similarity.from_matrix(a.matrix), a)
    assert_same(Similarity.from_matrix(a.matrix[:3]), a)
    assert Similarity.from_dict(a.to_dict()) == a


@pytest.mark.parametrize("mirrored", [np.diag([1.0, 1, -1, 1]), -np.eye(4), np.zeros((4, 4))])
def test_a_mirror_is_no_similarity(mirrored: np.ndarray) -> None:
    with pytest.raises(ValueError, match="mirrors"):
        Similarity.from_matrix(mirrored)


@pytest.mark.parametrize("values", [{"scale": 0.0}, {"scale": -1.0}, {"scale": np.nan}, {"translation": (0.0, np.inf, 0.0)}])
def test_what_cannot_be_is_the_programmers_mistake(values: dict) -> None:
    with pytest.raises(ValueError, match="no similarity"):
        Similarity(**values)


def test_a_step_comes_back_from_plain_values_in_all_digits() -> None:
    step = AlignmentStep(
        "points", drawn(1), "as in the model", "metres", 4, 1 / 3, {"a": 0.1, "ü b": 1 / 7}, ("ü b",), {"file": "known.csv"}
    )
    assert AlignmentStep.from_dict(step.to_dict()) == step
