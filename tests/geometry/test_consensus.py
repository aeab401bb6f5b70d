from __future__ import annotations

import numpy as np
import pytest

from irploc.geometry import rotations
from irploc.geometry.consensus import consensus
from irploc.geometry.poses import Poses, pose_errors


def hypotheses(true: Poses, count: int, wrong: int, seed: int = 0) -> Poses:
    """``count`` for each pose, within about 2 cm and 2 degrees, the last ``wrong`` anywhere."""
    random = np.random.default_rng(seed)
    centers = np.repeat(true.centers_m, count, axis=0).reshape(len(true), count, 3)
    quats = np.repeat(true.world_from_cam_wxyz, count, axis=0).reshape(len(true), count, 4)
    centers = centers + 0.01 * random.standard_normal(centers.shape)
    quats = rotations.multiply(quats, rotations.quaternion_exp(0.01 * random.standard_normal((*quats.shape[:2], 3))))
    if wrong:
        centers[:, -wrong:] += 3.0 * random.standard_normal((len(true), wrong, 3))
        quats[:, -wrong:] = rotations.canonical(random.standard_normal((len(true), wrong, 4)))
    return Poses(centers.reshape(-1, 3), quats.reshape(-1, 4))


TRUE = Poses(np.array([[0.0, 0.0, 0.0], [5.0, 1.0, 2.0]]), np.array([[1.0, 0, 0, 0], [0.5, -0.5, 0.5, 0.5]]))


@pytest.mark.parametrize("wrong", [0, 2, 4])
def test_wrong_hypotheses_do_not_move_the_answer(wrong: int) -> None:
    found, agreeing = consensus(hypotheses(TRUE, 10, wrong), 10)
    metres, degrees = pose_errors(found, TRUE)
    assert metres.max() < 0.02
    assert degrees.max() < 2.0
    assert (agreeing <= 1 - wrong / 10 + 1e-9).all()


def test_agreeing_hypotheses_are_averaged() -> None:
    many = hypotheses(TRUE, 60, 0)
    single = pose_errors(many, Poses(np.repeat(TRUE.centers_m, 60, axis=0), np.repeat(TRUE.world_from_cam_wxyz, 60, axis=0)))
    averaged = pose_errors(consensus(many, 60)[0], TRUE)
    assert averaged[0].max() < 0.4 * np.median(single[0])
    assert averaged[1].max() < 0.5 * np.median(single[1])


def test_one_hypothesis_is_the_answer() -> None:
    found, agreeing = consensus(TRUE, 1)
    assert np.allclose(found.centers_m, TRUE.centers_m)
    assert np.allclose(found.world_from_cam_wxyz, TRUE.world_from_cam_wxyz)
    assert agreeing.tolist() == [1.0, 1.0]


def test_two_hypotheses_are_averaged_and_equal_ones_do_no_harm() -> None:
    pair = Poses(np.array([[0.0, 0, 0], [1.0, 0, 0]]), np.array([[1.0, 0, 0, 0]] * 2))
    assert np.allclose(consensus(pair, 2)[0].centers_m, [[0.5, 0, 0]])
    same = Poses(np.zeros((4, 3)), np.array([[1.0, 0, 0, 0]] * 4))
    assert np.allclose(consensus(same, 4)[0].centers_m, 0.0)


def test_one_wrong_hypothesis_among_equal_ones_changes_nothing() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        true = random.standard_normal(3)
        centers = np.tile(true, (10, 1))
        centers[random.integers(10)] += 100.0
        quats = np.tile(rotations.canonical(random.standard_normal(4)), (10, 1))
        assert np.allclose(consensus(Poses(centers, quats), 10)[0].centers_m, true)


def test_photos_are_independent_however_many_there_are() -> None:
    many = Poses(np.tile(TRUE.centers_m, (600, 1)), np.tile(TRUE.world_from_cam_wxyz, (600, 1)))
    guesses = hypotheses(many, 45, 5)
    together = consensus(guesses, 45)
    last = consensus(guesses[slice(-45, None)], 45)
    assert np.allclose(together[0].centers_m[-1:], last[0].centers_m)
    assert together[1][-1] == last[1][0]


def test_the_sign_of_a_quaternion_does_not_matter() -> None:
    turned = np.array([[0.0, 1, 0, 0], [1e-6, -1, 0, 0], [-1e-6, 1, 0, 0]])
    found, _ = consensus(Poses(np.zeros((3, 3)), turned), 3)
    assert rotations.angle_between_deg(found.world_from_cam_wxyz, np.array([[0.0, 1, 0, 0]])).max() < 1e-3
