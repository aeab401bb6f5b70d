from __future__ import annotations

import numpy as np
import pytest

from irploc.geometry.rotations import angle_between_deg, multiply
from irploc.geometry.tangent import inverse_right_jacobian, right_jacobian, rotation_of_vector, rotation_vector, skew


def test_a_quarter_turn_about_z_is_a_vector_of_half_pi_along_z() -> None:
    quat = [np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)]
    assert rotation_vector(np.array(quat)) == pytest.approx([0.0, 0.0, np.pi / 2])
    assert rotation_of_vector(np.array([0.0, 0.0, np.pi / 2])) == pytest.approx(quat)


def test_the_cross_matrix_of_x_turns_y_into_z() -> None:
    assert skew(np.array([1.0, 0.0, 0.0])) @ [0.0, 1.0, 0.0] == pytest.approx([0.0, 0.0, 1.0])


def test_the_jacobian_of_a_half_turn_is_known() -> None:
    """Along the axis it is 1; across, sin(pi) / pi = 0 remains of it, and (1 - cos(pi)) / pi turns it by a right angle."""
    jacobian = right_jacobian(np.array([0.0, 0.0, np.pi]))
    assert jacobian == pytest.approx(np.array([[0.0, 2 / np.pi, 0.0], [-2 / np.pi, 0.0, 0.0], [0.0, 0.0, 1.0]]), abs=1e-12)


@pytest.mark.parametrize("size", [0.0, 1e-7, 1e-3, 1.0, 3.0])
def test_a_small_turn_more_is_what_the_jacobian_says(size: float) -> None:
    vector = size * np.array([0.6, -0.64, 0.48])
    more = 1e-5 * np.array([1.0, 2.0, -1.0])
    moved = rotation_of_vector(vector + more)
    told = multiply(rotation_of_vector(vector), rotation_of_vector(right_jacobian(vector) @ more))
    assert angle_between_deg(moved, told) < 1e-7
    assert right_jacobian(vector) @ inverse_right_jacobian(vector) == pytest.approx(np.eye(3), abs=1e-9)
