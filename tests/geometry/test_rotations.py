"""Quaternions against rotations worked out by hand, then the laws of the group."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irploc.geometry import rotations

H = np.sqrt(0.5)
QUARTER_X, QUARTER_Y, QUARTER_Z = np.array([H, H, 0, 0]), np.array([H, 0, H, 0]), np.array([H, 0, 0, H])
IDENTITY = np.array([1.0, 0, 0, 0])

part = st.floats(-1, 1, allow_nan=False, width=32)
quaternions = (
    st.tuples(part, part, part, part).filter(lambda q: np.linalg.norm(q) > 0.1).map(lambda q: rotations.canonical(q))
)
laws = settings(max_examples=40, deadline=None)


def about_z(angle_deg: float) -> np.ndarray:
    half = np.radians(angle_deg) / 2
    return np.array([np.cos(half), 0, 0, np.sin(half)])


@pytest.mark.parametrize(
    ("quat", "point", "expected"),
    [
        (QUARTER_Z, [1, 0, 0], [0, 1, 0]),
        (QUARTER_Z, [0, 1, 0], [-1, 0, 0]),
        (QUARTER_X, [0, 1, 0], [0, 0, 1]),
        (QUARTER_Y, [0, 0, 1], [1, 0, 0]),
        ([0.5, 0.5, 0.5, 0.5], [1, 2, 3], [3, 1, 2]),  # 120 degrees about (1, 1, 1): x -> y -> z -> x
        ([0, 1, 0, 0], [1, 2, 3], [1, -2, -3]),  # half a turn about x
    ],
)
def test_a_quaternion_turns_a_point_by_the_right_hand(quat: np.ndarray, point: list, expected: list) -> None:
    np.testing.assert_allclose(rotations.rotate(quat, point), expected, atol=1e-15)


def test_a_quarter_turn_about_z_is_the_matrix_of_the_textbook() -> None:
    textbook = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=float)
    np.testing.assert_allclose(rotations.matrix_from_quaternion(QUARTER_Z), textbook, atol=1e-15)
    np.testing.assert_allclose(rotations.quaternion_from_matrix(textbook), QUARTER_Z, atol=1e-15)


def test_a_product_applies_its_right_factor_first() -> None:
    # x --(quarter about z)--> y --(quarter about x)--> z
    np.testing.assert_allclose(rotations.rotate(rotations.multiply(QUARTER_X, QUARTER_Z), [1, 0, 0]), [0, 0, 1], atol=1e-15)
    np.testing.assert_allclose(rotations.multiply(QUARTER_X, QUARTER_Z), [0.5, 0.5, -0.5, 0.5], atol=1e-15)


def test_the_conjugate_turns_back() -> None:
    np.testing.assert_allclose(rotations.conjugate(QUARTER_Z), [H, 0, 0, -H], atol=1e-15)


@pytest.mark.parametrize(
    ("given_quat", "expected"),
    [
        ([-2, 0, 0, 0], [1, 0, 0, 0]),
        ([-0.5, 0.5, 0.5, 0.5], [0.5, -0.5, -0.5, -0.5]),
        ([0, 0, -3, 4], [0, 0, 0.6, -0.8]),
        ([0, -1, 0, 0], [0, 1, 0, 0]),
    ],
)
def test_canonical_quaternions_have_unit_length_and_one_sign(given_quat: list, expected: list) -> None:
    np.testing.assert_allclose(rotations.canonical(given_quat), expected, atol=1e-15)


@pytest.mark.parametrize("bad", [[0, 0, 0, 0], [np.nan, 0, 0, 1], [np.inf, 0, 0, 0]])
def test_what_is_no_rotation_is_refused(bad: list) -> None:
    with pytest.raises(ValueError, match="quaternion"):
        rotations.canonical([IDENTITY, bad])


def test_angles_between_rotations_by_hand() -> None:
    a = np.array([IDENTITY, IDENTITY, IDENTITY, about_z(10), IDENTITY])
    b = np.array([IDENTITY, -QUARTER_Z, [0, 0, 1, 0], about_z(-25), about_z(300)])
    np.testing.assert_allclose(rotations.angle_between_deg(a, b), [0, 90, 180, 35, 60], atol=1e-12)


@pytest.mark.parametrize("angle_deg", [1e-9, 1e-6, 1e-3, 179.999, 179.999999])
def test_tiny_and_almost_half_turns_keep_their_digits(angle_deg: float) -> None:
    # 2 acos(<a, b>) would give 0 for the first two.
    assert rotations.angle_between_deg(IDENTITY, about_z(angle_deg)) == pytest.approx(angle_deg, rel=1e-9)
    np.testing.assert_allclose(rotations.quaternion_log(about_z(angle_deg)), [0, 0, np.radians(angle_deg) / 2], rtol=1e-9)
    matrix = rotations.matrix_from_quaternion(about_z(angle_deg))
    assert rotations.angle_between_deg(rotations.quaternion_from_matrix(matrix), about_z(angle_deg)) < 1e-10


def test_the_logarithm_is_half_the_angle_times_the_axis() -> None:
    np.testing.assert_allclose(rotations.quaternion_log(QUARTER_Y), [0, np.pi / 4, 0], atol=1e-15)
    np.testing.assert_allclose(rotations.quaternion_log(-QUARTER_Y), [0, np.pi / 4, 0], atol=1e-15)
    np.testing.assert_allclose(rotations.quaternion_log([0, 1, 0, 0]), [np.pi / 2, 0, 0], atol=1e-15)
    np.testing.assert_array_equal(rotations.quaternion_log(IDENTITY), np.zeros(3))
    np.testing.assert_array_equal(rotations.quaternion_exp(np.zeros(3)), IDENTITY)
    np.testing.assert_allclose(rotations.quaternion_exp([0, np.pi / 4, 0]), QUARTER_Y, atol=1e-15)


@pytest.mark.parametrize(
    "matrix",
    [
        np.diag([1.0, 1, -1]),
        1.05 * np.eye(3),
        [[1, 0.1, 0], [0, 1, 0], [0, 0, 1]],
        np.full((3, 3), np.nan),
        np.zeros((3, 3)),
    ],
    ids=["mirrored", "scaled", "sheared", "nan", "zero"],
)
def test_a_matrix_that_is_no_rotation_is_refused(matrix: np.ndarray) -> None:
    with pytest.raises(ValueError, match="rotation"):
        rotations.quaternion_from_matrix([np.eye(3), matrix])


def test_a_matrix_of_few_digits_gives_the_nearest_rotation() -> None:
    rounded = np.round(rotations.matrix_from_quaternion(about_z(33)), 3)
    assert rotations.angle_between_deg(rotations.quaternion_from_matrix(rounded), about_z(33)) < 0.05


def test_shapes_are_kept_for_many_and_for_none() -> None:
    many = np.tile(QUARTER_Z, (2, 5, 1))
    assert rotations.matrix_from_quaternion(many).shape == (2, 5, 3, 3)
    assert rotations.quaternion_from_matrix(rotations.matrix_from_quaternion(many)).shape == (2, 5, 4)
    assert rotations.canonical(np.zeros((0, 4))).shape == (0, 4)
    assert rotations.quaternion_from_matrix(np.zeros((0, 3, 3))).shape == (0, 4)
    assert rotations.rotate(QUARTER_Z, np.ones((7, 3))).shape == (7, 3)


@laws
@given(quaternions, quaternions, quaternions)
def test_rotations_form_a_group(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    left = rotations.multiply(rotations.multiply(a, b), c)
    right = rotations.multiply(a, rotations.multiply(b, c))
    assert rotations.angle_between_deg(left, right) < 1e-12
    assert rotations.angle_between_deg(rotations.multiply(a, rotations.conjugate(a)), IDENTITY) < 1e-12
    assert rotations.angle_between_deg(rotations.multiply(a, IDENTITY), a) < 1e-12


@laws
@given(quaternions)
def test_canonical_twice_is_canonical_once_to_the_last_bit(a: np.ndarray) -> None:
    once = rotations.canonical(a + 0.1)
    np.testing.assert_array_equal(rotations.canonical(once), once)


@laws
@given(quaternions, quaternions)
def test_products_of_quaternions_are_products_of_matrices(a: np.ndarray, b: np.ndarray) -> None:
    product = rotations.matrix_from_quaternion(rotations.multiply(a, b))
    np.testing.assert_allclose(
        product, rotations.matrix_from_quaternion(a) @ rotations.matrix_from_quaternion(b), atol=1e-14
    )


@laws
@given(quaternions)
def test_matrix_and_logarithm_lead_back(a: np.ndarray) -> None:
    assert rotations.angle_between_deg(rotations.quaternion_from_matrix(rotations.matrix_from_quaternion(a)), a) < 1e-10
    assert rotations.angle_between_deg(rotations.quaternion_exp(rotations.quaternion_log(a)), a) < 1e-10
    np.testing.assert_allclose(rotations.quaternion_log(-a), rotations.quaternion_log(a), atol=1e-15)
    assert np.linalg.norm(rotations.quaternion_log(a)) <= np.pi / 2 + 1e-15


@laws
@given(quaternions, quaternions, quaternions)
def test_the_angle_is_a_distance_that_turning_both_leaves_alone(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    angle = rotations.angle_between_deg
    assert angle(a, b) == pytest.approx(angle(b, a), abs=1e-12)
    assert angle(-a, b) == pytest.approx(angle(a, b), abs=1e-12)
    assert angle(a, c) <= angle(a, b) + angle(b, c) + 1e-9
    assert angle(rotations.multiply(c, a), rotations.multiply(c, b)) == pytest.approx(angle(a, b), abs=1e-9)


def test_angles_of_products_are_those_between_the_rotations_whatever_their_signs() -> None:
    half = np.radians([0.0, 15.0, 90.0])
    turned = np.stack([np.cos(half), np.sin(half), 0 * half, 0 * half], axis=1)
    products = turned @ np.array([1.0, 0.0, 0.0, 0.0])
    assert np.allclose(np.degrees(rotations.angles_of_products(products)), [0.0, 30.0, 180.0])
    assert np.allclose(rotations.angles_of_products(-products), rotations.angles_of_products(products))
    assert rotations.angles_of_products(np.array([1.0 + 1e-12])).tolist() == [0.0]
