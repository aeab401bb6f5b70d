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
        errors: metres and degrees by which the answer may be off, for the smoothing: those that its method expects, else
            those of the yardstick; NaN where neither knows.
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
    listening = Overheard(served.estimator, served.place)
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
) -> Smoothed:
    """``posegraph.smooth`` in one thread: its matrices are so small that several only wait for each other."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        return smooth(absolute, odometry, steadiness, sequences, options, advance)


def smooth_frames(
    frames: Sequence[LocatedFrame],
    served: Served,
    odometry: Odometry | None,
    steadiness: Steadiness | None,
    options: PoseGraphOptions | None = None,
    advance: Advance = lambda frames: None,
) -> list[TrajectoryFrame]:
    """The trajectory that the frames' own answers and the motions between them make most likely.

    Answers that are ``ok`` or ``approximate`` count.

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
    options = _timed(options or PoseGraphOptions(), frames, served)
    absolute, calibrated = _absolute(frames)
    smoothed = smooth_poses(absolute, odometry, steadiness, None, options, advance)
    poses = _without_far(smoothed.poses, absolute, odometry, np.array([frame.time_s for frame in frames]))
    expected = _expected(smoothed, calibrated)
    agrees = _agrees(absolute, poses, expected)
    return [
        _together(frame, poses[[row]], expected[row], bool(agrees[row]), odometry is not None, served)
        for row, frame in enumerate(frames)
    ]


def _timed(options: PoseGraphOptions, frames: Sequence[LocatedFrame], served: Served) -> PoseGraphOptions:
    if isinstance(served.estimator, Structure):
        return replace(options, together=1.0)
    seconds = np.array([frame.time_s for frame in frames])
    step_s = float(np.median(np.diff(seconds))) if len(frames) > 1 else _TOGETHER_S
    return replace(options, together=float(np.clip(_TOGETHER_S / max(step_s, 1e-3), 1.0, options.together)))


def _absolute(frames: Sequence[LocatedFrame]) -> tuple[Absolute, bool]:
    """What frames say by themselves, and whether their method knows what errors to expect."""
    usable = [frame.answer.status in (OK, APPROXIMATE) and bool(frame.answer.pose.valid[0]) for frame in frames]
    answers = [frame.answer.pose if use else Poses.missing(1) for frame, use in zip(frames, usable, strict=True)]
    errors = np.array([frame.errors for frame in frames]).reshape(-1, 2) / MEDIAN
    calibrated = all(frame.answer.expected_error for frame, use in zip(frames, usable, strict=True) if use)
    return Absolute(Poses.concatenate(answers), errors[:, 0], errors[:, 1]), calibrated


def _expected(smoothed: Smoothed, calibrated: bool) -> list[tuple[float, float] | None]:
    errors = _OPTIMISM * np.stack([smoothed.position_m, smoothed.rotation_deg], axis=1)
    return [(float(m), float(deg)) if calibrated and np.isfinite(m) else None for m, deg in errors]


def _without_far(poses: Poses, absolute: Absolute, odometry: Odometry | None, times_s: np.ndarray) -> Poses:
    """Nothing for frames that neither odometry nor a moment's steadiness ties to one with an answer."""
    if odometry is not None:
        return poses
    own = times_s[absolute.poses.valid]
    if not len(own):
        return poses
    after = np.clip(np.searchsorted(own, times_s), 1, max(len(own) - 1, 1))
    after = np.minimum(after, len(own) - 1)
    away_s = np.minimum(np.abs(times_s - own[after]), np.abs(times_s - own[np.maximum(after - 1, 0)]))
    far = away_s > _FARTHEST_S
    return Poses(np.where(far[:, None], np.nan, poses.centers_m), np.where(far[:, None], np.nan, poses.world_from_cam_wxyz))


def _agrees(absolute: Absolute, poses: Poses, expected: Sequence[tuple[float, float] | None]) -> np.ndarray:
    """(N,) whether a frame's own answer is near the trajectory, as far as anyone knows what near is."""
    known = absolute.poses.valid & poses.valid
    away_m, away_deg = np.full(len(poses), np.inf), np.full(len(poses), np.inf)
    away_m[known], away_deg[known] = pose_errors(absolute.poses[known], poses[known])
    theirs = np.array([error or (np.inf, np.inf) for error in expected]).reshape(-1, 2)
    limit_m = _REJECTED * (MEDIAN * absolute.position_m + theirs[:, 0])
    limit_deg = _REJECTED * (MEDIAN * absolute.rotation_deg + theirs[:, 1])
    return known & ~((away_m > limit_m) | (away_deg > limit_deg))


def _together(
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
