"""`irploc localize VIDEO`."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from irploc.cli.common import FILE, check_apart, is_quiet, note, only_scene, stdout_is_terminal, workspace_of

if TYPE_CHECKING:
    from irploc.geometry.posegraph import PoseGraphOptions
    from irploc.geometry.posegraph_terms import Odometry, Steadiness
    from irploc.localizer import Localizer
    from irploc.mapping.video import VideoFacts
    from irploc.progress import Stages
    from irploc.tracking.trajectory import LocatedFrame, TrajectoryFrame

SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
_NONE, _SFM = "none", "sfm"
_OPTIONS = (
    click.option("--odometry", metavar="none|sfm|FILE", help="Of a video: how its camera moved.  [default: none, steadily]"),
    click.option("--window", type=int, help="Of a video: frames that are smoothed at once.  [default: 100]"),
    click.option("--causal", is_flag=True, help="Of a video: each frame's pose rests on the frames before it only."),
    click.option("--raw", is_flag=True, help="Of a video: every frame by itself, nothing is smoothed."),
    click.option("--every", type=click.IntRange(min=1), help="Of a video: every n-th frame.  [default: 1, all]"),
    click.option("--fps", type=click.FloatRange(min=0, min_open=True), help="Of a video: frames a second, at most."),
    click.option("--tum", type=FILE, help="Of a video: also write 'time tx ty tz qx qy qz qw' (world_from_cam) lines."),
)


def video_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that only videos have."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def is_video(path: Path) -> bool:
    """By its suffix."""
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def refuse_video_options(given: Mapping[str, Any]) -> None:
    """Raises BadInput for an option of videos that was given with photos."""
    from irploc.errors import BadInput

    named = [f"--{name}" for name, value in given.items() if value not in (None, False)]
    if named:
        raise BadInput(f"{named[0]} is for a video ({', '.join(SUFFIXES)}), and there is none: leave it out")


def localize_video(
    ctx: click.Context,
    paths: Sequence[Path],
    scene: str | None,
    method: str | None,
    where: Mapping[str, Any],
    as_json: bool,
    poses: Path | None,
    given: Mapping[str, Any],
) -> None:
    """Locates every frame, smooths, prints.

    Args:
        paths: what was named beside the options; one video.
        where: what ``Localizer.open`` is told besides.
        given: options of videos.
    """
    from irploc.files import check_writable
    from irploc.localizer import Localizer
    from irploc.mapping.video import video_facts
    from irploc.tracking.trajectory import unsmoothed

    video, options = _one_video(paths), _options(given)
    facts = video_facts(video)
    _check_odometry(given["odometry"] or _NONE, facts)
    check_apart(poses, given["tum"])
    for path in (poses, given["tum"]):
        if path is not None:
            check_writable(path)
    workspace = workspace_of(ctx)
    if scene is None and where["embeddings"] is None:
        scene = only_scene(workspace)
    localizer = Localizer.open(scene, method, workspace=workspace.root, **where)
    for sentence in localizer.notes:
        note(sentence)
    step = given["every"] or (1 if given["fps"] is None else max(1, round(facts.fps / given["fps"])))
    located: list[LocatedFrame] = []
    try:
        quiet = is_quiet(ctx) or (given["raw"] and stdout_is_terminal())
        for frame in _located(localizer, video, facts, step, quiet):
            located.append(frame)
            if given["raw"]:
                _say(unsmoothed(frame), as_json)
    except KeyboardInterrupt:
        what = "printed" if given["raw"] else "smoothed without structure from motion, and printed"
        note(f"interrupted after {len(located)} frames: what was located is {what}")
        _finish(ctx, localizer, video, facts, located, options, {**given, "odometry": _kept(given)}, as_json, poses)
        raise
    try:
        moved = _finish(ctx, localizer, video, facts, located, options, given, as_json, poses)
    except KeyboardInterrupt:
        note("interrupted while the trajectory was smoothed or printed: no file was written")
        raise
    if not moved:
        ctx.exit(1)


def _one_video(paths: Sequence[Path]) -> Path:
    from irploc.errors import BadInput

    if len(paths) > 1:
        videos = [path for path in paths if is_video(path)]
        what = "videos one at a time" if len(videos) == len(paths) else "a video and photos in commands of their own"
        raise BadInput(f"{videos[0]} is a video: give {what}")
    return paths[0]


def _options(given: Mapping[str, Any]) -> PoseGraphOptions:
    """Raises BadInput for options that do not fit each other."""
    from irploc.errors import BadInput, NotFound
    from irploc.geometry.posegraph import PoseGraphOptions

    if given["every"] and given["fps"]:
        raise BadInput("give --every or --fps, not both")
    if given["fps"] is not None and not math.isfinite(given["fps"]):
        raise BadInput(f"--fps is {given['fps']}, it must be a number of frames a second")
    smoothing = [f"--{name}" for name in ("odometry", "window", "causal") if given[name] not in (None, False)]
    if given["raw"] and smoothing:
        raise BadInput(f"--raw smooths nothing: leave {smoothing[0]} out")
    odometry = _NONE if given["odometry"] is None else given["odometry"]
    if given["causal"] and odometry == _SFM:
        raise BadInput("--odometry sfm looks at the whole video, which --causal must not: give a file, or none")
    if odometry not in (_NONE, _SFM) and not Path(odometry).is_file():
        raise NotFound(
            f"no trajectory {odometry}: give --odometry none, sfm, or a file of 'time tx ty tz qx qy qz qw' lines"
        )
    usual = PoseGraphOptions()
    return PoseGraphOptions(window=usual.window if given["window"] is None else given["window"], causal=given["causal"])


def _kept(given: Mapping[str, Any]) -> str | None:
    """The odometry that takes no time."""
    return None if given["odometry"] == _SFM else given["odometry"]


def _located(localizer: Localizer, video: Path, facts: VideoFacts, step: int, quiet: bool) -> Iterator[LocatedFrame]:
    from irploc.mapping.video import read_frames
    from irploc.progress import progress
    from irploc.tracking.trajectory import locate_frames

    with progress("localizing", -(-facts.frames // step), "frames", quiet) as bar:
        for frame in locate_frames(localizer, read_frames(video, facts, step)):
            bar.advance()
            yield frame


def _finish(
    ctx: click.Context,
    localizer: Localizer,
    video: Path,
    facts: VideoFacts,
    located: Sequence[LocatedFrame],
    options: PoseGraphOptions,
    given: Mapping[str, Any],
    as_json: bool,
    poses: Path | None,
) -> bool:
    """Smooths and prints, unless that is done or nobody wants it; writes files; sums up.

    Returns:
        Whether the odometry that was asked for was there.
    """
    from irploc.errors import IrplocError
    from irploc.progress import progress
    from irploc.tracking.trajectory import smooth_frames, unsmoothed

    followed = True
    if given["raw"]:
        found = [unsmoothed(frame) for frame in located]
    else:
        quiet = is_quiet(ctx)

        def stages(title: str, total: int, unit: str) -> Any:
            return progress(title, total, unit, quiet)

        steadily = _steadiness(localizer, facts, located)
        try:
            moved = _odometry(video, located, given["odometry"] or _NONE, stages)
        except IrplocError as error:
            note(f"{error}: smoothed as if it moved steadily")
            moved, given, followed = None, {**given, "odometry": None}, False
        with stages("smoothing", len(located), "frames") as bar:
            found = smooth_frames(located, localizer.scenes[0], moved, steadily, options, bar.advance)
        for frame in found:
            _say(frame, as_json)
    _write(found, poses, given["tum"])
    if found:
        note(_summary(found, options, given))
    return followed


def _check_odometry(odometry: str, facts: VideoFacts) -> None:
    """Raises before frames are located for a trajectory file that is damaged, or of other times than the video."""
    import numpy as np

    from irploc.tracking.odometry import odometry_of_file

    if odometry not in (_NONE, _SFM) and facts.frames > 1 and facts.fps > 0:
        odometry_of_file(Path(odometry), np.arange(facts.frames) / facts.fps)


def _steadiness(localizer: Localizer, facts: VideoFacts, located: Sequence[LocatedFrame]) -> Steadiness:
    import numpy as np

    from irploc.tracking.odometry import steadiness_of

    return steadiness_of(localizer.scenes[0].place, np.array([frame.time_s for frame in located]), facts.fps)


def _odometry(video: Path, located: Sequence[LocatedFrame], odometry: str, stages: Stages) -> Odometry | None:
    """Raises an IrplocError where none comes of what was asked for."""
    import numpy as np

    from irploc.tracking.odometry import odometry_by_sfm, odometry_of_file

    times_s = np.array([frame.time_s for frame in located])
    if odometry == _NONE or not located:
        return None
    if odometry == _SFM:
        return odometry_by_sfm(video, times_s, stages, note)
    return odometry_of_file(Path(odometry), times_s)


def _say(frame: TrajectoryFrame, as_json: bool) -> None:
    from irploc.cli.localize import _in_words

    click.echo(json.dumps(frame.to_json()) if as_json else _in_words(frame.answer))


def _write(found: Sequence[TrajectoryFrame], poses: Path | None, tum: Path | None) -> None:
    from irploc.geometry.poses import Poses
    from irploc.mapping.video import frame_name
    from irploc.posefile import write_pose_file
    from irploc.readers.writers import write_trajectory

    together = Poses.concatenate([frame.answer.pose for frame in found])
    if poses:
        note(f"{poses}: {write_pose_file(poses, [frame_name(frame.number) for frame in found], together)} poses")
    if tum:
        note(f"{tum}: {write_trajectory(tum, [frame.time_s for frame in found], together)} poses")


def _summary(found: Sequence[TrajectoryFrame], options: PoseGraphOptions, given: Mapping[str, Any]) -> str:
    status = Counter(frame.answer.status for frame in found)
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in status.most_common())
    how = f"smoothed over {options.window} frames, odometry {given['odometry'] or _NONE}"
    if options.causal:
        how = f"each smoothed with {options.window - 1} frames before it, odometry {given['odometry'] or _NONE}"
    return f"{len(found)} frames: {counts}; {'not smoothed' if given['raw'] else how}"
