"""Small rotations as vectors: what pose graphs differentiate by."""

from __future__ import annotations

import numpy as np

from irploc.geometry.rotations import quaternion_exp, quaternion_log

_SMALL = 1e-4  # radians, below which series are exact to the last digit


def rotation_vector(quat_wxyz: np.ndarray) -> np.ndarray:
    """(..., 3) axis times angle in radians, no longer than pi, of unit quaternions (..., 4)."""
    return 2.0 * quaternion_log(quat_wxyz)


def rotation_of_vector(vector: np.ndarray) -> np.ndarray:
    """(..., 4) unit quaternions of axis times angle (..., 3) in radians."""
    return quaternion_exp(0.5 * np.asarray(vector))


def skew(vector: np.ndarray) -> np.ndarray:
    """(..., 3, 3) matrices whose product with u is vector x u."""
    x, y, z = np.moveaxis(np.asarray(vector, dtype=np.float64), -1, 0)
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)


def right_jacobian(vector: np.ndarray) -> np.ndarray:
    """(..., 3, 3) J with exp(v + d) = exp(v) exp(J d) to first order, of axis times angle (..., 3) in radians.

    Source: Chirikjian, "Stochastic Models, Information Theory, and Lie Groups", vol. 2, 2012, eq. 10.86.
    """
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    safe = np.maximum(angle, _SMALL)
    first = np.where(angle < _SMALL, 0.5, (1.0 - np.cos(safe)) / safe**2)
    second = np.where(angle < _SMALL, 1.0 / 6.0, (safe - np.sin(safe)) / safe**3)
    cross = skew(vector)
    return np.eye(3) - first * cross + second * cross @ cross


def inverse_right_jacobian(vector: np.ndarray) -> np.ndarray:
    """(..., 3, 3) inverse of ``right_jacobian``, for angles below 2 pi."""
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    safe = np.maximum(angle, _SMALL)
    second = np.where(angle < _SMALL, 1.0 / 12.0, (1.0 - 0.5 * safe / np.tan(0.5 * safe)) / safe**2)
    cross = skew(vector)
    return np.eye(3) + 0.5 * cross + second * cross @ cross
