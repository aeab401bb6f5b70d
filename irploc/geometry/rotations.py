"""Unit quaternions (w, x, y, z) as numpy arrays of shape (..., 4); q and -q are the same rotation everywhere here."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation


def canonical(quat_wxyz: ArrayLike) -> np.ndarray:
    """The same rotations with unit length and w >= 0 (at w = 0 the first nonzero of x, y, z is positive).

    Raises:
        ValueError: for a zero or non-finite quaternion, which is no rotation.
    """
    quat = np.asarray(quat_wxyz, dtype=np.float64)
    norm = np.linalg.norm(quat, axis=-1, keepdims=True)
    if not np.all(np.isfinite(norm)) or np.any(norm < 1e-12):
        raise ValueError("zero or non-finite quaternion")
    unit = quat / np.where(np.abs(norm - 1) < 1e-15, 1.0, norm)  # canonical twice is canonical once, to the last bit
    first = np.argmax(unit != 0, axis=-1)[..., None]
    return unit * np.where(np.take_along_axis(unit, first, axis=-1) < 0, -1.0, 1.0)


def matrix_from_quaternion(quat_wxyz: ArrayLike) -> np.ndarray:
    """(..., 3, 3) rotation matrices of (..., 4) quaternions; they need not be of unit length."""
    quat = np.asarray(quat_wxyz, dtype=np.float64)
    flat = Rotation.from_quat(quat.reshape(-1, 4), scalar_first=True).as_matrix()
    return flat.reshape(*quat.shape[:-1], 3, 3)


def quaternion_from_matrix(matrix: ArrayLike) -> np.ndarray:
    """(..., 4) canonical quaternions of (..., 3, 3) rotation matrices.

    Raises:
        ValueError: when a matrix is not a rotation to 1e-2 (scaled, sheared, reflected or not finite); smaller
            deviations, as text files with few digits have them, are projected away.
    """
    mat = np.asarray(matrix, dtype=np.float64)
    if not np.all(np.isfinite(mat)):
        raise ValueError("rotation matrix is not finite")
    deviation = np.abs(mat @ np.swapaxes(mat, -1, -2) - np.eye(3)).max(initial=0.0)
    if deviation > 1e-2 or np.any(np.linalg.det(mat) < 0):
        raise ValueError("matrix is not a rotation (scaled, sheared or mirrored)")
    u, _, vt = np.linalg.svd(mat)
    flat = Rotation.from_matrix((u @ vt).reshape(-1, 3, 3)).as_quat(scalar_first=True)
    return canonical(flat.reshape(*mat.shape[:-2], 4))


def conjugate(quat_wxyz: ArrayLike) -> np.ndarray:
    """The inverse rotations, canonical."""
    return canonical(np.asarray(quat_wxyz, dtype=np.float64) * np.array([1.0, -1.0, -1.0, -1.0]))


def multiply(a_wxyz: ArrayLike, b_wxyz: ArrayLike) -> np.ndarray:
    """Hamilton products a * b, canonical: ``multiply(c_from_b, b_from_a)`` is ``c_from_a``."""
    a, b = np.asarray(a_wxyz, dtype=np.float64), np.asarray(b_wxyz, dtype=np.float64)
    aw, av = a[..., :1], a[..., 1:]
    bw, bv = b[..., :1], b[..., 1:]
    w = aw * bw - np.sum(av * bv, axis=-1, keepdims=True)
    return canonical(np.concatenate([w, aw * bv + bw * av + np.cross(av, bv)], axis=-1))


def rotate(quat_wxyz: ArrayLike, points: ArrayLike) -> np.ndarray:
    """(..., 3) points turned by (..., 4) unit quaternions, broadcast against each other."""
    return np.einsum("...ij,...j->...i", matrix_from_quaternion(quat_wxyz), np.asarray(points, dtype=np.float64))


def angle_between_deg(a_wxyz: ArrayLike, b_wxyz: ArrayLike) -> np.ndarray:
    """Geodesic angle in degrees, [0, 180], between unit quaternions (..., 4).

    Source: 2 acos |<a, b>|, written with atan2 because acos loses all digits near zero.
    """
    a, b = np.asarray(a_wxyz, dtype=np.float64), np.asarray(b_wxyz, dtype=np.float64)
    b = np.where(np.sum(a * b, axis=-1, keepdims=True) < 0, -b, b)
    half = 2.0 * np.arctan2(np.linalg.norm(a - b, axis=-1), np.linalg.norm(a + b, axis=-1))
    return np.degrees(2.0 * half)


def angles_of_products(products: np.ndarray) -> np.ndarray:
    """Radians, [0, pi], between unit quaternions whose scalar products (...) are known, of all pairs for example.

    Near zero only half the digits are right, see ``angle_between_deg``.
    """
    return np.asarray(2.0 * np.arccos(np.clip(np.abs(products), 0.0, 1.0)))


def quaternion_log(quat_wxyz: ArrayLike) -> np.ndarray:
    """Rotation axis times half the rotation angle, of unit quaternions.

    Args:
        quat_wxyz: (..., 4). q and -q give the same result.

    Returns:
        (..., 3) radians, no longer than pi / 2.

    Source: Brahmbhatt et al., CVPR 2018. atan2 instead of their arccos, which loses all digits near the identity.
    """
    quat = canonical(quat_wxyz)
    vector = quat[..., 1:]
    sine = np.linalg.norm(vector, axis=-1, keepdims=True)
    half = np.arctan2(sine, quat[..., :1])
    return vector * np.divide(half, sine, out=np.ones_like(sine), where=sine > 1e-12)


def quaternion_exp(log_vector: ArrayLike) -> np.ndarray:
    """Canonical unit quaternions (..., 4) of axis times half angle (..., 3); the inverse of ``quaternion_log``."""
    vector = np.asarray(log_vector, dtype=np.float64)
    half = np.linalg.norm(vector, axis=-1, keepdims=True)
    return canonical(np.concatenate([np.cos(half), vector * np.sinc(half / np.pi)], axis=-1))
