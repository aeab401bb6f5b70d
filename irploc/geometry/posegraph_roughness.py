"""How much a frame's prediction is worth where its method does not say: by how roughly predictions move around it.

Predictions that are good move as the camera does; where they are bad they jump, from one wrong place to the next, although
neighbouring ones are wrong alike. The standard deviation of a frame is taken to be in proportion to the differences between
predicted motions and odometry in the frames around: of the thirteen around a frame the third largest counts, so that one
wrong frame, which makes two jumps, does not make itself believable.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from irploc.geometry.posegraph_terms import Absolute, Odometry, motions_between
from irploc.geometry.poses import Poses
from irploc.geometry.rotations import conjugate, multiply
from irploc.geometry.tangent import rotation_vector

AROUND = 6  # frames before and after
_SHARE, _OF_MEAN = 5 / 6, 1.69  # of differences that are smaller; its square over the mean square where three are normal
TIMES = 2.0  # errors over differences between neighbouring ones, where nine tenths of an error are the neighbour's too
_LEAST_M, _LEAST_DEG = 0.003, 0.15
_UNKNOWN_M, _UNKNOWN_DEG = 0.2, 10.0  # where no two neighbouring frames have predictions


def with_deviations(absolute: Absolute, odometry: Odometry | None) -> Absolute:
    """The same predictions, with standard deviations where they had none."""
    unknown = absolute.poses.valid & (np.isnan(absolute.position_m) | np.isnan(absolute.rotation_deg))
    if not unknown.any():
        return absolute
    metres, degrees = _roughness(absolute.poses, odometry)
    return Absolute(
        absolute.poses,
        np.where(unknown, metres, absolute.position_m),
        np.where(unknown, degrees, absolute.rotation_deg),
    )


def _roughness(poses: Poses, odometry: Odometry | None) -> tuple[np.ndarray, np.ndarray]:
    """(N,) standard deviations in metres and degrees."""
    predicted = motions_between(poses)
    if odometry is None:
        expected = Poses(np.roll(predicted.centers_m, 1, axis=0), np.roll(predicted.world_from_cam_wxyz, 1, axis=0))
        noise_m = noise_deg = np.zeros(len(predicted))
    else:
        expected, noise_m, noise_deg = odometry.motions, odometry.position_m, odometry.rotation_deg
    rows = np.flatnonzero(predicted.valid & expected.valid)
    away = np.mean((predicted.centers_m - expected.centers_m) ** 2, axis=1)
    turned = np.full(len(predicted), np.nan)
    turn = multiply(conjugate(expected.world_from_cam_wxyz[rows]), predicted.world_from_cam_wxyz[rows])
    turned[rows] = np.mean(np.degrees(rotation_vector(turn)) ** 2, axis=1)
    metres = _around(away, noise_m, rows, len(poses), _LEAST_M, _UNKNOWN_M)
    return metres, _around(turned, noise_deg, rows, len(poses), _LEAST_DEG, _UNKNOWN_DEG)


def _around(
    squares: np.ndarray, noise: np.ndarray, rows: np.ndarray, count: int, least: float, unknown: float
) -> np.ndarray:
    """(N,) from (N - 1,) squared differences, of which ``rows`` are known."""
    if not len(rows):
        return np.full(count, unknown)
    known = np.full(len(squares), np.nan)
    known[rows] = squares[rows] / _OF_MEAN - noise[rows] ** 2
    near = sliding_window_view(np.pad(known, AROUND, constant_values=np.nan), 2 * AROUND + 1)
    some = np.isfinite(near).any(axis=1)
    mean = np.full(len(squares), np.quantile(known[rows], _SHARE))
    mean[some] = np.nanquantile(near[some], _SHARE, axis=1)
    mean = np.maximum(mean, least**2)
    between = np.sqrt(mean[1:] * mean[:-1])
    return TIMES * np.sqrt(np.concatenate([mean[:1], between, mean[-1:]]))
