"""A video's frames located one by one by any method, and then together: a trajectory that says of each frame how it came."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from irploc.errors import IrplocError
from irploc.estimators.base import APPROXIMATE, NOT_LOCALIZED, OK, PoseEstimates
from irploc.estimators.floor_corrected import on_floor
from irploc.estimators.structure import Structure
from irploc.floormap import plane_poses
from irploc.geometry.posegraph import MEDIAN, Advance, PoseGraphOptions, Smoothed, smooth
from irploc.geometry.posegraph_terms import Absolute, Odometry, Steadiness
from irploc.geometry.poses import Poses, pose_errors
from irploc.localizer import Localization, Localizer
from irploc.localizer.localization import Corrected
from irploc.localizer.localizer import Served
from irploc.mapping.video import VideoFrame, frame_name
from irploc.tracking.yardstick import Overheard

_TOGETHER_S = 20 / 30  # twenty frames of thirty a second err alike
_REJECTED = 4.0  # times the expected errors, beyond which a frame's own answer is not where the trajectory is
_OPTIMISM = 1.5  # errors of held-out stretches of mapping walks over what the graph expects, see docs/trajectory.md
_FARTHEST_S = 1.0  # from a frame with an answer, without odometry


@dataclass(frozen=True)
class LocatedFrame:
    """A frame of a video, located by itself.

    Attributes:
        number: 0-based, in the video.
        time_s: its presentation time.
        answer: what the localizer says of it.
        errors: metres and degrees by which the answer may be off, for the smoothing (see ``yardstick.known_errors``); NaN
            where nobody knows.
    """

    number: int
    time_s: float
    answer: Localization
    errors: tuple[float, float]


@dataclass(frozen=True)
class TrajectoryFrame:
    """A frame of a trajectory.

    Attributes:
        number, time_s: of the frame.
        answer: with the pose of the trajectory. ``approximate`` where the frame's own photo was refused, or disagrees, and
            the pose comes from its neighbours; the note says so.
        own: what the localizer says of the frame by itself.
    """

    number: int
    time_s: float
    answer: Localization
    own: Localization

    def to_json(self) -> dict[str, Any]:
        """The object that ``irploc localize VIDEO --json`` prints."""
        own, keys = self.own.to_json(), ("status", "center_m", "world_from_cam_wxyz", "cam_from_world")
        raw = {key: own[key] for key in (*keys, "confidence", "expected_error", "note")}
        return {"frame": self.number, "time_s": round(self.time_s, 6), **self.answer.to_json(), "raw": raw}


def locate_frames(localizer: Localizer, frames: Iterable[VideoFrame]) -> Iterator[LocatedFrame]:
    """Every frame by itself, in order; decoding runs ahead of the encoder. A frame that cannot be used has no pose.

    Args:
        localizer: of one scene.
        frames: of a video, in order.
    """
    waiting: deque[tuple[int, float]] = deque()
    (served,) = localizer.scenes
    listening = Overheard(served.estimator, served.place, _looks_at_points(served))
    localizer = Localizer([replace(served, estimator=listening)], localizer.encoder, localizer.focal_px)

    def pixels() -> Iterator[np.ndarray]:
        for frame in frames:
            waiting.append((frame.number, frame.time_s))
            yield frame.pixels

    for answer in localizer.localize_many(pixels()):
        number, time_s = waiting.popleft()
        usable = not isinstance(answer, IrplocError)
        errors = listening.heard.popleft() if usable else (np.nan, np.nan)
        found = answer if isinstance(answer, Localization) else _unusable(served, str(answer))
        yield LocatedFrame(number, time_s, replace(found, image=frame_name(number)), errors)


def unsmoothed(frame: LocatedFrame) -> TrajectoryFrame:
    """The frame with its own pose."""
    return TrajectoryFrame(frame.number, frame.time_s, frame.answer, frame.answer)


def smooth_poses(
    absolute: Absolute | Poses,
    odometry: Odometry | None = None,
    steadiness: Steadiness | None = None,
    sequences: Sequence[object] | np.ndarray | None = None,
    options: PoseGraphOptions | None = None,
    advance: Advance = lambda frames: None,
    together: np.ndarray | None = None,
) -> Smoothed:
    """``posegraph.smooth`` in one thread: its matrices are so small that several only wait for each other."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        return smooth(absolute, odometry, steadiness, sequences, options, advance, together)


def smooth_frames(
    frames: Sequence[LocatedFrame],
    served: Served,
    odometry: Odometry | None,
    steadiness: Steadiness | None,
    options: PoseGraphOptions | None = None,
    advance: Advance = lambda frames: None,
) -> list[TrajectoryFrame]:
    """The trajectory that the frames' own answers and the motions between them make most likely.

    Answers that are ``ok`` or ``approximate`` count. Where the options say causal, poses, statuses and errors of a frame
    rest on the frames up to it.

    Args:
        frames: N, in order.
        served: the scene that answered.
        odometry: between them.
        steadiness: of the camera, where there is no odometry.
        options: how; how many frames err alike follows from their times, and is one for methods that look at points.
        advance: takes the number of frames that were done.
    """
    if not frames:
        return []
    options = options or PoseGraphOptions()
    times_s, given = np.array([frame.time_s for frame in frames]), _absolute(frames)
    together = np.ones(len(frames)) if _looks_at_points(served) else _together(times_s, options)
    smoothed = smooth_poses(given, odometry, steadiness, None, options, advance, together)
    poses = smoothed.poses if odometry is not None else _without_far(smoothed.poses, given, times_s, options.causal)
    errors = _OPTIMISM * np.stack([smoothed.position_m, smoothed.rotation_deg], axis=1)
    agrees = _agrees(smoothed.absolute, poses, errors)
    announced = _announced(frames, given)
    return [
        _together_with(
            frame,
            poses[[row]],
            (float(errors[row, 0]), float(errors[row, 1])) if announced[row] else None,
            bool(agrees[row]),
            odometry is not None,
            served,
        )
        for row, frame in enumerate(frames)
    ]


def _looks_at_points(served: Served) -> bool:
    """Whether the method looks at points of the photo, so that its errors have little to do with the embedding's."""
    return isinstance(served.estimator, Structure)


def _together(times_s: np.ndarray, options: PoseGraphOptions) -> np.ndarray:
    """(N,) frames in a row that err alike, by the median step between frames; when causal, between those up to each."""
    steps, count = np.diff(times_s), len(times_s)
    if options.causal:
        usual = np.array([_TOGETHER_S, *(np.median(steps[: last + 1]) for last in range(count - 1))])
    else:
        usual = np.full(count, np.median(steps) if count > 1 else _TOGETHER_S)
    return np.asarray(np.clip(_TOGETHER_S / np.maximum(usual, 1e-3), 1.0, options.together))


def _absolute(frames: Sequence[LocatedFrame]) -> Absolute:
    """What frames say by themselves."""
    usable = [frame.answer.status in (OK, APPROXIMATE) and bool(frame.answer.pose.valid[0]) for frame in frames]
    answers = [frame.answer.pose if use else Poses.missing(1) for frame, use in zip(frames, usable, strict=True)]
    errors = np.array([frame.errors for frame in frames]).reshape(-1, 2) / MEDIAN
    return Absolute(Poses.concatenate(answers), errors[:, 0], errors[:, 1])


def _announced(frames: Sequence[LocatedFrame], given: Absolute) -> np.ndarray:
    """(N,) whether errors to expect are told: where the method tells some of the frame, or where the frame has no answer, of
    the last one before it that has one (before the first: of the first)."""
    own = np.array([frame.answer.expected_error is not None for frame in frames])
    answered = np.flatnonzero(given.poses.valid)
    if not len(answered):
        return np.zeros(len(frames), dtype=bool)
    return own[answered[np.maximum(np.searchsorted(answered, np.arange(len(frames)), side="right") - 1, 0)]]


def _without_far(poses: Poses, given: Absolute, times_s: np.ndarray, causal: bool) -> Poses:
    """Nothing for frames that no moment's steadiness ties to one with an answer; when causal, to one before."""
    own = times_s[given.poses.valid]
    if not len(own):
        return poses
    last, following = np.searchsorted(own, times_s, side="right") - 1, np.searchsorted(own, times_s)
    since_s = np.where(last >= 0, times_s - own[np.maximum(last, 0)], np.inf)
    until_s = np.where(following < len(own), own[np.minimum(following, len(own) - 1)] - times_s, np.inf)
    far = (since_s if causal else np.minimum(since_s, until_s)) > _FARTHEST_S
    return Poses(np.where(far[:, None], np.nan, poses.centers_m), np.where(far[:, None], np.nan, poses.world_from_cam_wxyz))


def _agrees(given: Absolute, poses: Poses, errors: np.ndarray) -> np.ndarray:
    """(N,) whether a frame's own answer is as near the trajectory as its standard deviations and the (N, 2) errors to expect
    of the trajectory let expect."""
    known = given.poses.valid & poses.valid
    away_m, away_deg = pose_errors(given.poses[known], poses[known])
    limit_m = _REJECTED * (MEDIAN * given.position_m[known] + errors[known, 0])
    limit_deg = _REJECTED * (MEDIAN * given.rotation_deg[known] + errors[known, 1])
    agrees = np.zeros(len(poses), dtype=bool)
    agrees[known] = (away_m <= limit_m) & (away_deg <= limit_deg)
    return agrees


def _together_with(
    frame: LocatedFrame,
    pose: Poses,
    expected: tuple[float, float] | None,
    agrees: bool,
    by_odometry: bool,
    served: Served,
) -> TrajectoryFrame:
    """The frame with the trajectory's pose; without one it is not localized."""
    own = frame.answer
    if not pose.valid[0]:
        reason = own.note or "nothing ties it to a frame that could be located"
        nothing = replace(
            own, status=NOT_LOCALIZED, pose=pose, confidence=None, expected_error=None, corrected=None, plane_pose=None
        )
        return TrajectoryFrame(frame.number, frame.time_s, replace(nothing, outside_m=None, note=reason), own)
    status, note = own.status, own.note
    if not agrees:
        status = APPROXIMATE
        carried = "odometry" if by_odometry else "steady motion"
        why = "its own photo disagrees" if own.status in (OK, APPROXIMATE) else f"its own photo is {own.status}"
        note = f"from its neighbours by {carried}: {why}"
    answer = replace(own, status=status, pose=pose, confidence=None, expected_error=expected, note=note, spread=None)
    return TrajectoryFrame(frame.number, frame.time_s, _on_floor(answer, served), own)


def _on_floor(answer: Localization, served: Served) -> Localization:
    """The same answer with what the floor map and the vertical make of its pose."""
    plane = None if served.up is None else plane_poses(answer.pose, served.up)[0]
    if served.floor_map is None:
        return replace(answer, plane_pose=plane)
    found = on_floor(PoseEstimates.of_poses(answer.pose), served.floor_map)
    status = answer.status if found.answers.status[0] == OK else found.answers.status[0]
    corrected = None
    if found.corrected.poses.valid[0]:
        x, y, z = found.corrected.poses.centers_m[0].tolist()
        corrected = Corrected((x, y, z), float(found.moved_m[0]))
    pose = found.answers.poses
    return replace(
        answer,
        status=status,
        pose=pose,
        corrected=corrected,
        outside_m=float(found.moved_m[0]),
        plane_pose=plane if pose.valid[0] else None,
    )


def _unusable(served: Served, reason: str) -> Localization:
    return Localization(
        image="",
        status=NOT_LOCALIZED,
        method=served.method,
        scene=served.place.name,
        pose=Poses.missing(1),
        confidence=None,
        neighbours=(),
        timing_ms={"decode": 0.0, "encode": 0.0, "estimate": 0.0},
        units=served.place.store.header.units,
        note=reason,
    )
