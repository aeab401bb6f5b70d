"""Trajectories from single-image poses and odometry: a robust pose graph over a sliding window.

Over a window of N frames, with predictions P_i, motions M_i from each camera to the next, and poses T_i that are looked
for,

    minimise  sum_i  rho_a(|P_i - T_i|^2 / n)  +  sum_i  rho_o(|M_i - T_i^-1 T_i+1|^2)

where positions and rotations (logarithms of the quaternion between them, times two) are taken in their standard deviations,
a frame's position and its rotation each as a whole, and rho is Cauchy's loss: 3 k^2 log(1 + x / 3 k^2). Between frames
without a motion the change of velocity takes its place (``Steadiness``).

Source: Brahmbhatt et al., "Geometry-Aware Learning of Maps for Camera Localization", CVPR 2018, section 3.3 (MapNet+PGO).
They weigh all frames alike by fixed covariances and square the residuals. Deviations: standard deviations are those of
single frames (calibrated, or by how roughly the predictions move against the odometry), losses are robust, the scale of the
odometry may be unknown, and n neighbouring frames count as one: their predictions err alike, and n that err independently
would win against any odometry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from irploc.errors import BadInput
from irploc.geometry.posegraph_roughness import with_deviations
from irploc.geometry.posegraph_solver import Solution, Terms, solve
from irploc.geometry.posegraph_start import runs_of, scale_of, start_poses, without_outliers
from irploc.geometry.posegraph_terms import Absolute, Odometry, Steadiness
from irploc.geometry.poses import Poses

MEDIAN = 1.538  # of the length of three coordinates that are normal with standard deviation 1
_SCALE_DEVIATION = 0.1  # of the logarithm of a scale, within a window, at least
_VAGUE_SCALE_DEVIATION = 0.5
_LEAST_WEIGHT = 4.0  # where the odometry moved less than twice the standard deviations of predictions, its scale is vague
Advance = Callable[[int], None]


@dataclass(frozen=True)
class PoseGraphOptions:
    """How a trajectory is smoothed.

    Attributes:
        window: frames that are solved for at once; each frame's pose is that of the window where it is most central.
        causal: each frame's pose rests on the frames up to it, as a camera that is on its way needs it; slower.
        together: so many frames in a row count as one prediction.
        outlier: a prediction that is so many of its standard deviations off counts half.

    Raises:
        BadInput: for numbers that cannot be.
    """

    window: int = 100
    causal: bool = False
    together: float = 20.0
    outlier: float = 3.0

    def __post_init__(self) -> None:
        if not 3 <= self.window <= 10_000:
            raise BadInput(f"window is {self.window}, it must lie in [3, 10000]")
        if not (self.together >= 1 and 0 < self.outlier < np.inf):
            raise BadInput(f"together is {self.together} (at least 1), outlier {self.outlier} (positive)")


@dataclass(frozen=True)
class Smoothed:
    """A trajectory of N frames.

    Attributes:
        poses: NaN where nothing ties a frame to a prediction.
        position_m, rotation_deg: (N,) errors to expect (as likely exceeded as not); NaN where there is no pose.
        absolute: the predictions, with the standard deviations that they were given.
        scale: metres in a unit of the odometry; 1 where it is metric, or where there is none.
    """

    poses: Poses
    position_m: np.ndarray
    rotation_deg: np.ndarray
    absolute: Absolute
    scale: float = 1.0


def smooth(
    absolute: Absolute | Poses,
    odometry: Odometry | None = None,
    steadiness: Steadiness | None = None,
    sequences: Sequence[object] | np.ndarray | None = None,
    options: PoseGraphOptions | None = None,
    advance: Advance = lambda frames: None,
    together: np.ndarray | None = None,
) -> Smoothed:
    """The trajectory that single-image predictions and motions make most likely.

    Args:
        absolute: N predictions in the order of the video, NaN where there is none; standard deviations that are NaN, and
            those of ``Poses``, are estimated from how roughly the predictions move against the odometry.
        odometry: between them; motions across two sequences are not looked at.
        steadiness: of the camera, where there is no odometry.
        sequences: N labels; frames in a row that have the same one belong together. All by default.
        options: how.
        advance: takes the number of frames that were done.
        together: (N,) what is to be taken for the option of that name, as far as it was known at each frame; a window takes
            that of the last frame that it answers for.

    Raises:
        ValueError: when the counts do not fit.
    """
    absolute = Absolute.of_poses(absolute) if isinstance(absolute, Poses) else absolute
    count = len(absolute)
    if odometry is not None and len(odometry.motions) != max(count - 1, 0):
        raise ValueError(f"{len(odometry.motions)} motions between {count} frames")
    options = options or PoseGraphOptions()
    together = np.full(count, options.together) if together is None else together
    labels = np.zeros(count) if sequences is None else np.asarray(sequences)
    if len(labels) != count or len(together) != count or (steadiness is not None and len(steadiness.times_s) != count):
        raise ValueError(f"labels, times or counts of neighbours are not those of {count} frames")
    parts = [
        _smooth_sequence(
            absolute[run],
            None if odometry is None else odometry[slice(run.start, run.stop - 1)],
            None if steadiness is None else steadiness[run],
            options,
            advance,
            together[run],
        )
        for run in (runs_of(labels[:-1] == labels[1:]) if count else [])
    ]
    return Smoothed(
        Poses.concatenate([part.poses for part in parts]),
        np.concatenate([np.zeros(0), *(part.position_m for part in parts)]),
        np.concatenate([np.zeros(0), *(part.rotation_deg for part in parts)]),
        Absolute.concatenate([part.absolute for part in parts]),
        float(np.median([part.scale for part in parts])) if parts else 1.0,
    )


def _smooth_sequence(
    absolute: Absolute,
    odometry: Odometry | None,
    steadiness: Steadiness | None,
    options: PoseGraphOptions,
    advance: Advance,
    together: np.ndarray,
) -> Smoothed:
    count = len(absolute)
    found = Smoothed(Poses.missing(count), np.full(count, np.nan), np.full(count, np.nan), Absolute.of_poses(absolute.poses))
    if not absolute.poses.valid.any():
        advance(count)
        return found
    windows = list(_windows(count, options))
    told = _told_scales(absolute, odometry, [window for window, _ in windows])
    log_scale = 0.0
    for number, (window, answered) in enumerate(windows):
        part = None if odometry is None else odometry[slice(window.start, window.stop - 1)]
        count_as_one = float(together[answered.stop - 1])
        log_scale, deviation = _log_scale(told[: number + 1] if options.causal else told, count_as_one)
        part = part if part is None or part.metric else _scaled(part, log_scale)
        steady = None if steadiness is None else steadiness[window]
        known = with_deviations(absolute[window], part)
        _answer(found, Terms(known, part, steady, count_as_one, options.outlier, 0.0, deviation), window, answered)
        advance(answered.stop - answered.start)
    return replace(found, scale=float(np.exp(log_scale)))


def _windows(count: int, options: PoseGraphOptions) -> Iterator[tuple[slice, slice]]:
    """Windows of N frames, and the frames that each answers for."""
    if options.causal:
        for row in range(count):
            yield slice(max(0, row + 1 - options.window), row + 1), slice(row, row + 1)
        return
    length = min(options.window, count)
    step = max(1, options.window // 2)
    starts = np.unique([*range(0, count - length, step), count - length])
    edges = [*np.ceil((starts[1:] + starts[:-1] + length) / 2).astype(int).tolist(), count]
    first = 0
    for start, last in zip(starts.tolist(), edges, strict=True):
        yield slice(start, start + length), slice(first, last)
        first = last


def _answer(found: Smoothed, terms: Terms, window: slice, answered: slice) -> None:
    """Solves a window and takes over the poses that it answers for, and the standard deviations of its predictions."""
    absolute, odometry = terms.absolute, terms.odometry
    rows = slice(answered.start - window.start, answered.stop - window.start)
    found.absolute.position_m[answered] = absolute.position_m[rows]
    found.absolute.rotation_deg[answered] = absolute.rotation_deg[rows]
    if not absolute.poses.valid.any():
        return
    start = start_poses(absolute, odometry, 0.0)
    if terms.steadiness is not None:
        usual = without_outliers(absolute)
        alone = ~np.isin(np.arange(len(absolute)), _moved_rows(odometry)) | ~start.valid
        start.centers_m[alone], start.world_from_cam_wxyz[alone] = usual.centers_m[alone], usual.world_from_cam_wxyz[alone]
    for run in runs_of(start.valid[:-1] & start.valid[1:]):
        if not start.valid[run.start]:
            continue
        solution = solve(_part(terms, run), start[run])
        wanted = slice(max(answered.start - window.start, run.start), min(answered.stop - window.start, run.stop))
        if wanted.start < wanted.stop:
            _take(found, solution, slice(wanted.start - run.start, wanted.stop - run.start), window.start + wanted.start)


def _moved_rows(odometry: Odometry | None) -> np.ndarray:
    """Frames with a motion before or after them."""
    rows = np.zeros(0, dtype=np.int64) if odometry is None else np.flatnonzero(odometry.motions.valid)
    return np.union1d(rows, rows + 1)


def _part(terms: Terms, run: slice) -> Terms:
    odometry = None if terms.odometry is None else terms.odometry[slice(run.start, run.stop - 1)]
    steadiness = None if terms.steadiness is None else terms.steadiness[run]
    return Terms(
        terms.absolute[run],
        odometry,
        steadiness,
        terms.together,
        terms.outlier,
        terms.log_scale,
        terms.log_scale_deviation,
    )


def _take(found: Smoothed, solution: Solution, rows: slice, at: int) -> None:
    to = slice(at, at + rows.stop - rows.start)
    found.poses.centers_m[to] = solution.poses.centers_m[rows]
    found.poses.world_from_cam_wxyz[to] = solution.poses.world_from_cam_wxyz[rows]
    found.position_m[to] = MEDIAN * solution.position_m[rows]
    found.rotation_deg[to] = MEDIAN * solution.rotation_deg[rows]


def _told_scales(absolute: Absolute, odometry: Odometry | None, windows: list[slice]) -> np.ndarray:
    """(K, 2) what windows say of the odometry's scale, and how sure they are; (0, 2) where it is known."""
    if odometry is None or odometry.metric:
        return np.zeros((0, 2))
    uniform = Absolute(absolute.poses, np.full(len(absolute), 0.1), np.full(len(absolute), 5.0))
    return np.array([scale_of(uniform[window], odometry[slice(window.start, window.stop - 1)]) for window in windows])


def _log_scale(told: np.ndarray, together: float) -> tuple[float, float]:
    """The logarithm of the odometry's scale, the weighted median of what windows say, and how much a window may differ: as
    much as the surest one may be wrong, where so many predictions ``together`` count as one."""
    if not len(told):
        return 0.0, _SCALE_DEVIATION
    scales, weights = told.T
    if weights.max() < _LEAST_WEIGHT:
        return float(np.log(scales[np.argmax(weights)])), _VAGUE_SCALE_DEVIATION
    order = np.argsort(scales)
    middle = np.searchsorted(np.cumsum(weights[order]), 0.5 * weights.sum())
    deviation = np.clip(np.sqrt(together / weights.max()), _SCALE_DEVIATION, _VAGUE_SCALE_DEVIATION)
    return float(np.log(scales[order][middle])), float(deviation)


def _scaled(odometry: Odometry, log_scale: float) -> Odometry:
    centers = np.exp(log_scale) * odometry.motions.centers_m
    motions = Poses(centers, odometry.motions.world_from_cam_wxyz)
    return Odometry(motions, odometry.position_m, odometry.rotation_deg, metric=False)
