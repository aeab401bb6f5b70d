"""How a video's camera moved from frame to frame: by a trajectory file, structure from motion, or as cameras usually do."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from irploc.errors import BadInput, IrplocError, NotFound
from irploc.estimators.build import Place
from irploc.geometry.posegraph_start import interpolated
from irploc.geometry.posegraph_terms import Odometry, Steadiness, motions_between
from irploc.geometry.poses import Poses
from irploc.geometry.tangent import rotation_vector
from irploc.mapping.build import BuildOptions, build_map
from irploc.mapping.known_positions import TIMES, frame_times
from irploc.mapping.matching import MatchingOptions
from irploc.mapping.result import scene_of
from irploc.mapping.selection import SelectionOptions
from irploc.progress import Stages, silent_stages
from irploc.readers.base import labels_of, numbers, read_rows
from irploc.retrieval.store import NOT_RECORDED
from irploc.scene import Frames, Scene, poses_from_columns

_LAYOUT = "time tx ty tz qx qy qz qw"
_LONGEST_GAP_S = 1.0  # between two poses of a trajectory, if frames between them are to get one
_STEP_M, _STEP_DEG = 0.005, 0.3  # standard deviations of a step of a trajectory file, and the shares of the motion added
_STEP_SHARE = 0.02
_MODEL_M, _MODEL_DEG = 0.003, 0.1  # of a step of structure from motion
_BETWEEN_SHARE = 0.3  # of the motion, for frames between two that have a pose
_MODEL_FPS, _MODEL_REGISTERED = 6.0, 0.3
_LAG_S = 0.5  # over which velocities are compared
_FEWEST = 10  # changes of velocity to learn from
_USUAL_M, _USUAL_DEG = 0.3, 20.0  # change of the velocity in a second, m/s and deg/s, of a camera in somebody's hand
_RANGE = 5.0  # times less or more than usual, at most


def odometry_of_file(path: Path, times_s: np.ndarray) -> Odometry:
    """Motions between frames at N times, by a trajectory of the same camera in any frame, in metres.

    Args:
        path: lines ``time tx ty tz qx qy qz qw``, seconds since the video's beginning, ``world_from_cam``. Between two of
            them the pose is interpolated, where they are at most a second apart.

    Raises:
        NotFound: no such file. BadInput: a damaged one, or one that covers fewer than two frames.
    """
    if not path.is_file():
        raise NotFound(f"no trajectory {path}, expected a file with lines '{_LAYOUT}'")
    rows = read_rows(path, 8, _LAYOUT)
    values = numbers(rows, slice(0, 8), path)
    if len(values) < 2 or not np.isfinite(values).all():
        raise BadInput(f"{path} has {len(values)} poses, expected at least two finite ones: '{_LAYOUT}'")
    poses = poses_from_columns(values[:, 1:4], values[:, [7, 4, 5, 6]], labels_of(rows), str(path))
    stamps, first = np.unique(values[:, 0], return_index=True)
    found, _ = _poses_at(stamps, poses[first], times_s)
    if found.valid.sum() < 2:
        raise BadInput(
            f"{path} has poses of {int(found.valid.sum())} of {len(times_s)} frames: they are from {times_s[0]:.2f} to "
            f"{times_s[-1]:.2f} s, the trajectory from {stamps[0]:.2f} to {stamps[-1]:.2f} s; its times must be seconds "
            "since the video's beginning"
        )
    motions = motions_between(found)
    return Odometry(motions, _STEP_M + _STEP_SHARE * _lengths(motions), _STEP_DEG + _STEP_SHARE * _angles(motions))


def odometry_by_sfm(
    video: Path,
    times_s: np.ndarray,
    stages: Stages = silent_stages,
    say: Callable[[str], None] = lambda text: None,
) -> Odometry:
    """Motions between frames of a video, of unknown scale, by structure from motion on six of them a second.

    Args:
        times_s: (N,) of the frames.

    Raises:
        BadInput: where no model comes of it.
    """
    options = BuildOptions(
        selection=SelectionOptions(fps=_MODEL_FPS),
        matching=MatchingOptions(similar=0),
        min_registered=_MODEL_REGISTERED,
    )
    at, poses = structure_from_motion(video, options, stages, say)
    return odometry_of_model(at, poses, times_s)


def structure_from_motion(
    source: Path,
    options: BuildOptions,
    stages: Stages = silent_stages,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[np.ndarray, Poses]:
    """Poses of the frames of a video, or of the photos of a folder, in a frame and scale of their own.

    Returns:
        (K,) increasing presentation times of the frames in seconds (of photos: the numbers in their names), and K poses.

    Raises:
        BadInput: where no model comes of it.
    """
    with tempfile.TemporaryDirectory(prefix="irploc-odometry-") as temporary:
        try:
            with build_map(source, Path(temporary) / "map", options, stages, True, say) as built:
                frames, times = scene_of(built, "odometry").frames, built.photos.times_s
        except IrplocError as error:
            raise BadInput(f"no odometry by structure from motion: {error}") from None
    order = np.argsort(frames.indices, kind="stable")
    at = [times.get(number, float(number)) for number in frames.indices[order].tolist()]
    return np.array(at, dtype=np.float64), frames.poses[order]


def odometry_of_model(at: np.ndarray, poses: Poses, wanted: np.ndarray) -> Odometry:
    """Motions between N frames, of unknown scale, from K poses of a model.

    Args:
        at: (K,) seconds, or frame numbers.
        wanted: (N,) of the frames, in the same unit; those between two poses are interpolated, and less sure.
    """
    found, between = _poses_at(at, poses, wanted, longest=np.inf)
    motions = motions_between(found)
    usual = float(np.nanmedian(_lengths(motions))) if motions.valid.any() else 0.0
    unsure = np.where(between[:-1] | between[1:], _BETWEEN_SHARE, 0.0)
    steps_m = _MODEL_M * (1.0 + unsure * _lengths(motions) / max(usual, 1e-12))
    return Odometry(motions, steps_m, _MODEL_DEG + unsure * _angles(motions), metric=False)


def steadiness_of(place: Place, times_s: np.ndarray, fps: float) -> Steadiness:
    """How steadily the camera of a video moves, learned from the walks that mapped the place.

    Velocities of the mapping walks over half a second are compared with those of the half second that follows. Frames of a
    walk are timed by the scene's ``times.csv``, else by their numbers and the video's own frame rate, since nobody says
    theirs: what comes of it is believed within a factor of five of what cameras in somebody's hand usually do.

    Args:
        times_s: (N,) of the video's frames.
        fps: of the video.

    Source: white noise of acceleration with density q; mean velocities over adjoining times T differ by a variance of
    q^2 T 2 / 3.
    """
    frames = place.index.frames
    usual_m, usual_deg = _USUAL_M, _USUAL_DEG
    if place.store.header.units not in ("metres", NOT_RECORDED):  # as if the place were five metres across
        usual_m *= float(np.linalg.norm(np.ptp(frames.poses.centers_m, axis=0))) / 5.0
    changes = _changes(frames, _seconds(place, fps))
    if len(changes) < _FEWEST:
        return Steadiness(times_s, max(usual_m, 1e-9), usual_deg)
    squares = np.mean(changes**2, axis=0) / (2.0 * _LAG_S / 3.0)
    learned_m, learned_deg = float(np.sqrt(squares[:3].mean())), float(np.sqrt(squares[3:].mean()))
    return Steadiness(times_s, _within(learned_m, max(usual_m, 1e-9)), _within(learned_deg, usual_deg))


def _within(learned: float, usual: float) -> float:
    return float(np.clip(learned, usual / _RANGE, usual * _RANGE))


def _seconds(place: Place, fps: float) -> np.ndarray:
    """(N,) of the mapping photos."""
    frames = place.index.frames
    folders = [Path(place.store.header.scene_folder)]
    with suppress(NotFound):
        folders.insert(0, place.workspace.scene_folder(place.name))
    for folder in folders:
        if (folder / TIMES).is_file():
            with suppress(BadInput):
                return frame_times(Scene(place.name, folder, frames), folder, None)[0]
    return np.asarray(frames.indices / max(fps, 1e-3))


def _changes(frames: Frames, seconds: np.ndarray) -> np.ndarray:
    """(K, 6) changes of velocity, m/s and deg/s, between adjoining half seconds of all walks."""
    parts = [np.zeros((0, 6))]
    for walk in sorted(set(frames.sequences)):
        rows = np.flatnonzero(frames.sequences == walk)
        stamps, first = np.unique(seconds[rows], return_index=True)
        grid = np.arange(stamps[0], stamps[-1], _LAG_S)
        found, _ = _poses_at(stamps, frames.poses[rows[first]], grid, longest=_LAG_S)
        motions = motions_between(found)
        turned = np.full((len(motions), 3), np.nan)
        turned[motions.valid] = np.degrees(rotation_vector(motions.world_from_cam_wxyz[motions.valid]))
        changes = np.diff(np.concatenate([np.diff(found.centers_m, axis=0), turned], axis=1) / _LAG_S, axis=0)
        parts.append(changes[np.isfinite(changes).all(axis=1)])
    return np.concatenate(parts)


def _poses_at(at: np.ndarray, poses: Poses, wanted: np.ndarray, longest: float = _LONGEST_GAP_S) -> tuple[Poses, np.ndarray]:
    """Interpolated poses, NaN outside and in gaps longer than ``longest``; and which (M,) lie between two poses."""
    if not len(wanted):
        return Poses.missing(0), np.zeros(0, dtype=bool)
    after = np.clip(np.searchsorted(at, wanted), 1, max(len(at) - 1, 1))
    after = np.minimum(after, len(at) - 1)
    before = np.maximum(after - 1, 0)
    gap = at[after] - at[before]
    nearest = np.minimum(np.abs(wanted - at[before]), np.abs(wanted - at[after]))
    on_one = nearest <= 1e-3
    inside = on_one | ((wanted >= at[0]) & (wanted <= at[-1]) & (gap <= longest + 1e-9))
    found = interpolated(poses, at, wanted)
    found.centers_m[~inside] = np.nan
    found.world_from_cam_wxyz[~inside] = np.nan
    return found, inside & ~on_one


def _lengths(motions: Poses) -> np.ndarray:
    return np.asarray(np.linalg.norm(motions.centers_m, axis=1))


def _angles(motions: Poses) -> np.ndarray:
    """(N,) degrees; NaN where a motion is unknown."""
    found = np.full(len(motions), np.nan)
    known = motions.valid
    found[known] = np.degrees(np.linalg.norm(rotation_vector(motions.world_from_cam_wxyz[known]), axis=1))
    return found
