from __future__ import annotations

import numpy as np
import pytest

from irploc.estimators.pose_lookup import PoseLookup
from irploc.geometry.poses import Poses
from irploc.training.siamese.code import PoseCode


def random_poses(count: int, seed: int) -> Poses:
    random = np.random.default_rng(seed)
    return Poses(random.standard_normal((count, 3)), random.standard_normal((count, 4)))


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.2, 7.0), (30.0, 0.1)])
def test_it_finds_what_comparing_with_all_photos_finds(weights: tuple[float, float]) -> None:
    known, asked, code = random_poses(700, 0), random_poses(60, 1), PoseCode("difference")
    there, here = code.encode(known), code.encode(asked)

    def sums(codes: np.ndarray) -> np.ndarray:
        apart = codes[:, None] - there[None]
        return weights[0] * np.linalg.norm(apart[..., :3], axis=2) + weights[1] * np.linalg.norm(apart[..., 3:], axis=2)

    exact = np.minimum(sums(here), sums(code.other_branch(here)))
    found = PoseLookup(known, code, weights).nearest(asked, 5)
    assert np.allclose(np.take_along_axis(exact, found, axis=1), np.sort(exact, axis=1)[:, :5])
    assert all(len(set(row)) == 5 for row in found.tolist())


def test_the_sum_of_two_norms_is_not_the_norm_of_both() -> None:
    """One photo 1.2 m away, one 0.7 m and 0.7 (logarithm) away: the L2 norm prefers the second (0.99), the sum the first."""
    half = np.array([0.0, 0.7])
    known = Poses(np.array([[1.2, 0, 0], [0.7, 0, 0]]), np.stack([np.cos(half), np.sin(half), 0 * half, 0 * half], axis=1))
    origin = Poses(np.zeros((1, 3)), np.array([[1.0, 0, 0, 0]]))
    assert PoseLookup(known, PoseCode("difference"), (1.0, 1.0)).nearest(origin, 1).tolist() == [[0]]


def test_a_photo_on_the_other_side_of_the_half_turn_is_near() -> None:
    half = np.radians([89.0, 45.0])
    known = Poses(np.zeros((2, 3)), np.stack([np.cos(half), np.sin(half), 0 * half, 0 * half], axis=1))
    other = np.radians(91.0)
    asked = Poses(np.zeros((1, 3)), np.array([[np.cos(other), np.sin(other), 0, 0]]))
    assert PoseLookup(known, PoseCode("difference"), (1.0, 1.0)).nearest(asked, 1).tolist() == [[0]]


def test_all_photos_can_be_asked_for() -> None:
    known = random_poses(3, 2)
    found = PoseLookup(known, PoseCode("group"), (1.0, 1.0)).nearest(known, 3)
    assert found[:, 0].tolist() == [0, 1, 2]
    assert np.sort(found, axis=1).tolist() == [[0, 1, 2]] * 3
