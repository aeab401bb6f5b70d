"""`irploc track`."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from irploc.cli.common import FILE, check_apart, is_quiet, note, only_scene, stdout_is_terminal, workspace_of

if TYPE_CHECKING:
    import numpy as np

    from irploc.geometry.cameras import Camera
    from irploc.localizer import Localization, Localizer
    from irploc.mapping.video import VideoFrame
    from irploc.tracking import Tracked, Tracker


@click.command()
@click.argument("video", type=FILE)
@click.option("--scene", help="Name of the scene.  [default: the one in the workspace]")
@click.option("--model", type=FILE, help="Map file.  [default: models/<scene>.structure.pt]")
@click.option("--embeddings", type=FILE, help="Embeddings file.  [default: embeddings/<scene>.h5]")
@click.option("--encoder", help="Where the scene's encoder is now, if it moved: onnx:PATH.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N.")
@click.option("--every", type=click.IntRange(min=1), help="Every n-th frame.  [default: 1, all]")
@click.option("--fps", type=click.FloatRange(min=0, min_open=True), help="Frames a second, at most, instead of --every.")
@click.option("--focal", type=float, help="Focal length in pixels.  [default: as the mapping photos', else found]")
@click.option("--reach", type=float, default=24.0, show_default=True, help="Pixels, of 640, that a prediction may be off.")
@click.option(
    "--features-every",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Match the features of one frame in so many; points are carried through the others by optical flow.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per frame, one per line.")
@click.option("--poses", type=FILE, help="Also write 'name qw qx qy qz tx ty tz' (cam_from_world) lines.")
@click.option("--tum", type=FILE, help="Also write a trajectory 'time tx ty tz qx qy qz qw' (world_from_cam).")
@click.pass_context
def track(
    ctx: click.Context,
    video: Path,
    scene: str | None,
    model: Path | None,
    embeddings: Path | None,
    encoder: str | None,
    device: str,
    every: int | None,
    fps: float | None,
    focal: float | None,
    reach: float,
    features_every: int,
    as_json: bool,
    poses: Path | None,
    tum: Path | None,
) -> None:
    """Tell where every frame of VIDEO was taken, each frame with the help of the last.

    A frame is followed from the frames before; where that fails it is located by itself, as a photo. The camera is
    taken from the first frames, and kept. After Ctrl-C what was done is written.
    """
    from irploc.errors import BadInput
    from irploc.files import check_writable
    from irploc.localizer import Localizer
    from irploc.mapping.video import read_frames, video_facts
    from irploc.progress import progress
    from irploc.structure.mapfile import METHOD
    from irploc.tracking import TrackOptions

    if every and fps:
        raise BadInput("give --every or --fps, not both")
    if fps is not None and not math.isfinite(fps):
        raise BadInput(f"--fps is {fps}, it must be a number of frames a second")
    check_apart(poses, tum)
    options, facts = TrackOptions(reach_px=reach, features_every=features_every), video_facts(video)
    for path in (poses, tum):
        if path is not None:
            check_writable(path)
    workspace = workspace_of(ctx)
    if scene is None and embeddings is None:
        scene = only_scene(workspace)
    localizer = Localizer.open(scene, METHOD, model, workspace.root, encoder, device, embeddings=embeddings, focal_px=focal)
    for sentence in localizer.notes:
        note(sentence)
    step = every or (1 if fps is None else max(1, round(facts.fps / fps)))
    tracker, done = _tracker(localizer, options), []
    shown = stdout_is_terminal()
    clock = _Clock()
    try:
        with progress("tracking", -(-facts.frames // step), "frames", is_quiet(ctx) or shown) as bar:
            for frame in _tracked(tracker, localizer, read_frames(video, facts, step)):
                done.append(frame)
                click.echo(json.dumps(_as_json(frame, localizer)) if as_json else _in_words(frame, localizer))
                bar.advance()
    except KeyboardInterrupt:
        note("interrupted; what was done is written")
        raise
    finally:
        _finish(done, clock.seconds, tracker, poses, tum)


def _finish(done: Sequence[Tracked], seconds: float, tracker: Tracker, poses: Path | None, tum: Path | None) -> None:
    """Writes what was done, and sums it up."""
    if poses:
        _write_poses(poses, done)
    if tum:
        _write_tum(tum, done)
    if done:
        note(_summary(done, seconds, tracker))


class _Clock:
    """Counts from when it is made."""

    def __init__(self) -> None:
        import time

        self._now = time.perf_counter
        self._started = self._now()

    @property
    def seconds(self) -> float:
        """Until now."""
        return self._now() - self._started


def _tracker(localizer: Localizer, options: Any) -> Tracker:
    from irploc.errors import IrplocError
    from irploc.estimators.structure import Structure
    from irploc.tracking import Tracker

    structure = localizer.scenes[0].estimator
    if not isinstance(structure, Structure):
        raise TypeError(f"frames are followed on points, not by {type(structure).__name__}")

    def locate(pixels: np.ndarray, camera: Camera | None) -> Localization:
        (answer,) = localizer.localize_many([pixels], camera=camera)
        if isinstance(answer, IrplocError):
            raise answer
        return answer

    solver, extract = structure.photo_solver.solver, structure.photo_solver.extractor.extract
    return Tracker(solver, structure.calibration, extract, locate, options=options)


def _tracked(tracker: Tracker, localizer: Localizer, frames: Iterator[VideoFrame]) -> Iterator[Tracked]:
    from irploc.structure.features import FeatureExtractor
    from irploc.tracking import prepared

    extractor = FeatureExtractor(tracker.point_map.features)
    for ready in prepared(frames, extractor, tracker.options.features_every):
        frame = tracker.step(ready.frame, ready.features)
        frame.timing_ms["features"] = ready.features_ms
        yield frame


def _confidence(frame: Tracked, localizer: Localizer) -> float | None:
    """Unknown where the scene has no metres, as for photos: it is the chance to be within 0.25 m."""
    return frame.confidence if localizer.scenes[0].place.store.header.units == "metres" else None


def _as_json(frame: Tracked, localizer: Localizer) -> dict[str, Any]:
    found = bool(frame.pose.valid[0])
    qvec, tvec = frame.pose.to_cam_from_world()
    expected = frame.expected_error
    return {
        "frame": frame.number,
        "time_s": round(frame.time_s, 6),
        "status": frame.status,
        "found": frame.found or None,
        "scene": localizer.scenes[0].place.name,
        "units": localizer.scenes[0].place.store.header.units,
        "center_m": frame.pose.centers_m[0].tolist() if found else None,
        "world_from_cam_wxyz": frame.pose.world_from_cam_wxyz[0].tolist() if found else None,
        "cam_from_world": {"qvec_wxyz": qvec[0].tolist(), "tvec_m": tvec[0].tolist()} if found else None,
        "confidence": _confidence(frame, localizer),
        "expected_error": None if expected is None else {"position_m": expected[0], "rotation_deg": expected[1]},
        "timing_ms": {name: round(value, 3) for name, value in frame.timing_ms.items()},
    }


def _in_words(frame: Tracked, localizer: Localizer) -> str:
    start = f"frame {frame.number} at {frame.time_s:.3f} s: "
    if not frame.pose.valid[0]:
        return f"{start}{frame.status}"
    x, y, z = frame.pose.centers_m[0]
    quat = " ".join(f"{value:+.4f}" for value in frame.pose.world_from_cam_wxyz[0])
    units = localizer.scenes[0].place.store.header.units
    sure = _confidence(frame, localizer)
    confidence = "" if sure is None else f"  confidence {sure:.2f}"
    status = "" if frame.status == "ok" else f"  {frame.status}"
    unit = "m" if units == "metres" else f"({units})"
    return f"{start}x {x:.3f} y {y:.3f} z {z:.3f} {unit}  qwxyz {quat}{status}{confidence}  {frame.found}"


def _summary(done: Sequence[Tracked], seconds: float, tracker: Tracker) -> str:
    import numpy as np

    status = Counter(frame.status for frame in done)
    found = Counter(frame.found for frame in done if frame.status == "ok")
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in status.most_common())
    ways = ", ".join(f"{count} {name}" for name, count in found.most_common())
    times = {name: np.mean([frame.timing_ms[name] for frame in done]) for name in ("features", "pose")}
    camera = "" if tracker.camera is None else f"; focal length {tracker.camera.focal_px[0]:.1f} px"
    return (
        f"{len(done)} frames in {seconds:.1f} s, {len(done) / max(seconds, 1e-9):.1f} frames/s: {counts}"
        f"{f' ({ways})' if ways else ''}; a frame: features {times['features']:.0f} ms, pose {times['pose']:.0f} ms{camera}"
    )


def _write_poses(path: Path, done: Sequence[Tracked]) -> None:
    """Of the frames that were localized; approximate poses do not belong among accurate ones."""
    from irploc.evaluation import write_pose_file
    from irploc.geometry.poses import Poses
    from irploc.mapping.video import frame_name

    good = _localized(done)
    poses = Poses.concatenate([frame.pose for frame in good]) if good else Poses.missing(0)
    write_pose_file(path, [frame_name(frame.number) for frame in good], poses)
    _told(path, len(good), len(done))


def _write_tum(path: Path, done: Sequence[Tracked]) -> None:
    from irploc.geometry.poses import Poses
    from irploc.readers.writers import write_trajectory

    good = _localized(done)
    written = write_trajectory(path, [frame.time_s for frame in good], Poses.concatenate([frame.pose for frame in good]))
    _told(path, written, len(done))


def _localized(done: Sequence[Tracked]) -> list[Tracked]:
    return [frame for frame in done if frame.status == "ok" and frame.pose.valid[0]]


def _told(path: Path, written: int, frames: int) -> None:
    left = f" ({frames - written} frames without an accurate one left out)" if written < frames else ""
    note(f"{path}: {written} poses{left}")
