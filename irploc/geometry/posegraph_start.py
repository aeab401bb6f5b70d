"""Where a pose graph begins: so near the answer that going downhill finds it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from irploc.geometry.averaging import average_quaternions
from irploc.geometry.posegraph_terms import Absolute, Odometry
from irploc.geometry.poses import Poses
from irploc.geometry.rotations import angles_of_products, conjugate, multiply, rotate
from irploc.geometry.tangent import rotation_of_vector, rotation_vector

_ROUNDS = 20
_NEARBY = 7  # frames that one without odometry is compared with
_LEAST_OF_SPREAD = 0.1  # a scale that makes a chain so much smaller than the predictions lie apart is none


def runs_of(known: np.ndarray) -> list[slice]:
    """Rows of N frames that hang together, by (N - 1,) whether the step to the next is known; single frames too."""
    ends = np.append(np.flatnonzero(~known), len(known))
    return [slice(start, end + 1) for start, end in zip(np.append(0, ends[:-1] + 1), ends, strict=True)]


def chained(motions: Poses) -> Poses:
    """N poses, from N - 1 known motions ``this_from_next``, in the frame of the first camera."""
    centers, quats = np.zeros((len(motions) + 1, 3)), np.zeros((len(motions) + 1, 4))
    quats[0, 0] = 1.0
    for row, motion in enumerate(motions.world_from_cam_wxyz):
        quats[row + 1] = multiply(quats[row], motion)
    centers[1:] = np.cumsum(rotate(quats[:-1], motions.centers_m), axis=0)
    return Poses(centers, quats)


def start_poses(absolute: Absolute, odometry: Odometry | None, log_scale: float) -> Poses:
    """N poses near those that all terms agree on; NaN where nothing ties a frame to a prediction.

    Frames that hang together by odometry are moved as one to where most of their predictions want them.
    """
    found = Poses.missing(len(absolute))
    known = np.zeros(max(len(absolute) - 1, 0), dtype=bool) if odometry is None else odometry.motions.valid
    for run, chain in _chains(odometry, known):
        part = absolute[run]
        if not part.poses.valid.any():
            continue
        turn, shift, _ = aligned(part, chain, np.exp(log_scale), fixed=True)
        found.centers_m[run] = np.exp(log_scale) * rotate(turn, chain.centers_m) + shift
        found.world_from_cam_wxyz[run] = multiply(turn, chain.world_from_cam_wxyz)
    return found


def scale_of(absolute: Absolute, odometry: Odometry) -> tuple[float, float]:
    """Metres in a unit of odometry of unknown scale, by its longest run with predictions, and how sure that is.

    Returns:
        The scale and its weight: the squared length of what it was told by, over the squared standard deviations. Where
        predictions contradict any scale, that which makes the odometry as wide as they are, without weight.
    """
    best = (1.0, -1.0)
    for run, chain in _chains(odometry, odometry.motions.valid):
        part = absolute[run]
        if part.poses.valid.sum() < 3:
            continue
        _, _, scale = aligned(part, chain, 1.0, fixed=False)
        rows = part.poses.valid
        moved = chain.centers_m[rows] - chain.centers_m[rows].mean(axis=0)
        spread = np.median(np.abs(part.poses.centers_m[rows] - np.median(part.poses.centers_m[rows], axis=0)))
        usual = float(spread / max(np.median(np.abs(moved)), 1e-12))
        weight = float((scale**2 * (moved**2).sum(axis=1) / part.position_m[rows] ** 2).sum())
        if not _LEAST_OF_SPREAD * usual < scale < np.inf:
            scale, weight = max(usual, 1e-12), 0.0
        if weight > best[1]:
            best = (scale, weight)
    return best


def aligned(absolute: Absolute, chain: Poses, scale: float, fixed: bool) -> tuple[np.ndarray, np.ndarray, float]:
    """Rotation (4,), shift (3,) and scale that bring a chain of poses to predictions of the same frames.

    The rotation is the mean of those that single frames want and that agree with most; shift and scale have the least sum of
    distances (of weighted ones), so that a minority of wrong predictions does not count.

    Args:
        absolute: one prediction at least.
        scale: of the chain, where it is ``fixed``.
    """
    rows = np.flatnonzero(absolute.poses.valid)
    wanted = multiply(absolute.poses.world_from_cam_wxyz[rows], conjugate(chain.world_from_cam_wxyz[rows]))
    turn = _most_agreed(wanted, 1.0 / absolute.rotation_deg[rows])
    turned = rotate(turn, chain.centers_m[rows])
    places, sigma = absolute.poses.centers_m[rows], absolute.position_m[rows]
    weights = 1.0 / sigma**2
    shift = np.zeros(3)
    for _ in range(_ROUNDS):
        share = weights / weights.sum()
        if not fixed:
            moved = turned - share @ turned
            scale = float((share[:, None] * moved * places).sum() / max(float((share[:, None] * moved**2).sum()), 1e-300))
        shift = share @ (places - scale * turned)
        away = np.linalg.norm(places - scale * turned - shift, axis=1)
        weights = 1.0 / (sigma * np.maximum(away, 1e-3 * sigma))
    return turn, shift, scale


def without_outliers(absolute: Absolute) -> Poses:
    """N poses for frames without odometry: predictions, or where they are far from those around, what most of those say;
    missing ones between their neighbours, at constant velocity.

    Raises:
        ValueError: without any prediction.
    """
    rows = np.flatnonzero(absolute.poses.valid)
    poses = absolute.poses[rows]
    centers, quats = poses.centers_m.copy(), poses.world_from_cam_wxyz.copy()
    for row in range(len(rows)):
        near = slice(max(0, row - _NEARBY // 2), row + _NEARBY // 2 + 1)
        centers[row] = np.median(poses.centers_m[near], axis=0)
        quats[row] = _most_agreed(poses.world_from_cam_wxyz[near], np.ones(len(poses.world_from_cam_wxyz[near])))
    return interpolated(Poses(centers, quats), rows.astype(np.float64), np.arange(len(absolute), dtype=np.float64))


def interpolated(poses: Poses, at: np.ndarray, wanted: np.ndarray) -> Poses:
    """Poses at other places (M,) of an increasing scale (times, rows), at constant velocity between those known ``at`` (K,)
    and as the nearest outside them."""
    after = np.clip(np.searchsorted(at, wanted, side="right"), 1, max(len(at) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(at) - 1)
    length = np.maximum(at[after] - at[before], 1e-12)
    share = np.clip((wanted - at[before]) / length, 0.0, 1.0)[:, None]
    centers = poses.centers_m[before] + share * (poses.centers_m[after] - poses.centers_m[before])
    turn = multiply(conjugate(poses.world_from_cam_wxyz[before]), poses.world_from_cam_wxyz[after])
    return Poses(centers, multiply(poses.world_from_cam_wxyz[before], rotation_of_vector(share * rotation_vector(turn))))


def _chains(odometry: Odometry | None, known: np.ndarray) -> Iterator[tuple[slice, Poses]]:
    for run in runs_of(known):
        motions = Poses.missing(0) if odometry is None else odometry.motions[slice(run.start, run.stop - 1)]
        yield run, chained(motions)


def _most_agreed(quats_wxyz: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted mean (4,) of those of K rotations that are near the one with the least sum of angles to all."""
    angles = angles_of_products(quats_wxyz @ quats_wxyz.T)
    best = int(np.argmin(angles @ weights))
    order = np.argsort(angles[best])
    within = angles[best] <= 2.0 * angles[best][order][np.searchsorted(np.cumsum(weights[order]), 0.5 * weights.sum())]
    return np.asarray(average_quaternions(quats_wxyz, weights * (within | (np.arange(len(weights)) == best))))
