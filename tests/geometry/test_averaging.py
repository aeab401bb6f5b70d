"""Means of rotations and poses by hand."""

from __future__ import annotations

import numpy as np
import pytest

from irploc.geometry import rotations
from irploc.geometry.averaging import average_poses, average_quaternions
from irploc.geometry.poses import Poses


def about_z(angle_deg: float) -> np.ndarray:
    half = np.radians(angle_deg) / 2
    return np.array([np.cos(half), 0, 0, np.sin(half)])


def markley_angle_deg(angles_deg: list[float], weights: list[float]) -> float:
    """About one axis the matrix sum w q q^T is 2x2; its principal axis lies at tan(2 t) = sum w sin(a) / sum w cos(a),
    with a the full angle, and t is half of the mean: so the mean is the circular mean of the full angles."""
    radians = np.radians(angles_deg)
    return float(np.degrees(np.arctan2(np.dot(weights, np.sin(radians)), np.dot(weights, np.cos(radians)))))


def test_equal_weights_meet_in_the_middle() -> None:
    mean = average_quaternions(np.array([about_z(0), about_z(20)]), np.array([0.5, 0.5]))
    assert rotations.angle_between_deg(mean, about_z(10)) < 1e-12


def test_three_to_one_is_the_principal_axis_and_not_five_degrees() -> None:
    mean = average_quaternions(np.array([about_z(0), about_z(20)]), np.array([3.0, 1.0]))
    # tan = sin 20 / (3 + cos 20) = 0.342020 / 3.939693 -> 4.96163 degrees
    assert rotations.angle_between_deg(mean, about_z(0)) == pytest.approx(4.96163, abs=1e-5)
    assert rotations.angle_between_deg(mean, about_z(markley_angle_deg([0, 20], [3, 1]))) < 1e-12


def test_signs_of_quaternions_do_not_matter() -> None:
    quats = np.array([about_z(0), about_z(20), about_z(-30)])
    weights = np.array([0.2, 0.5, 0.3])
    flipped = quats * np.array([1, -1, -1])[:, None]
    assert rotations.angle_between_deg(average_quaternions(quats, weights), average_quaternions(flipped, weights)) < 1e-12


def test_scaling_all_weights_changes_nothing() -> None:
    quats = np.array([about_z(0), about_z(20), [0.5, 0.5, 0.5, 0.5]])
    weights = np.array([0.2, 0.5, 0.3])
    assert rotations.angle_between_deg(average_quaternions(quats, weights), average_quaternions(quats, 40 * weights)) < 1e-9


def test_a_negative_weight_pushes_away() -> None:
    mean = average_quaternions(np.array([about_z(0), about_z(20)]), np.array([1.5, -0.5]))
    expected = markley_angle_deg([0, 20], [1.5, -0.5])
    assert expected < -9
    assert rotations.angle_between_deg(mean, about_z(expected)) < 1e-12


def test_the_mean_turns_with_the_world() -> None:
    rng = np.random.default_rng(0)
    quats = rotations.canonical(rng.normal([6, 0, 0, 0], 1.0, size=(6, 4)))
    weights, turn = rng.uniform(size=6), rotations.canonical([1, 2, 3, 4])
    turned = average_quaternions(rotations.multiply(turn, quats), weights)
    assert rotations.angle_between_deg(turned, rotations.multiply(turn, average_quaternions(quats, weights))) < 1e-9


def test_one_rotation_is_its_own_mean_and_batches_do_not_mix() -> None:
    quats = np.array([[about_z(10), about_z(50)], [about_z(90), about_z(100)]])
    means = average_quaternions(quats, np.array([[1.0, 0.0], [0.5, 0.5]]))
    np.testing.assert_allclose(rotations.angle_between_deg(means, [about_z(10), about_z(95)]), 0, atol=1e-12)


def test_poses_average_by_the_rows_that_are_named() -> None:
    mapping = Poses([[0, 0, 0], [1, 0, 0], [0, 4, 0], [9, 9, 9]], [about_z(0), about_z(40), about_z(20), about_z(90)])
    mean = average_poses(mapping, np.array([[1, 2], [3, 3]]), np.array([[0.75, 0.25], [0.5, 0.5]]))
    np.testing.assert_allclose(mean.centers_m, [[0.75, 1, 0], [9, 9, 9]])
    expected = [about_z(markley_angle_deg([40, 20], [0.75, 0.25])), about_z(90)]
    np.testing.assert_allclose(rotations.angle_between_deg(mean.world_from_cam_wxyz, expected), 0, atol=1e-12)
