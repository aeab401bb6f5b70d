"""Frames of a video followed one from the other, against every frame located by itself.

    python scripts/bench_track.py VIDEO --workspace DIR --scene kitchen --frames 300

The scene's photos are frames of the video under the same numbers; those of the split ``test`` judge. Both ways see the same
frames: the first N after ``--start``, or every n-th of them. Following decodes and finds features in threads beside the
poses; locating is `Localizer`, one frame at a time, as a program without tracking would ask. Prints frames a second, what a
frame costs of a core, median errors on test frames, and how many are within 5 cm and 5 degrees.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from irploc import Localizer
from irploc.cli.track import _tracked, _tracker
from irploc.geometry.poses import Poses, pose_errors
from irploc.mapping.video import VideoFrame, read_frames, video_facts
from irploc.scene import Frames, Scene
from irploc.tracking import TrackOptions
from irploc.workspace import Workspace


def main() -> None:
    """Runs both ways, prints a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--scene", required=True)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    home = Workspace.locate(options.workspace)
    truth = home.load_scene(options.scene)
    localizer = Localizer.open(options.scene, "structure", workspace=home.root)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")

    def frames() -> Iterator[VideoFrame]:
        reader = read_frames(options.video, video_facts(options.video), options.every)
        yield from islice(reader, options.start // options.every, options.start // options.every + options.frames)

    started = time.perf_counter(), time.process_time()
    tracker = _tracker(localizer, TrackOptions())
    tracked = list(_tracked(tracker, localizer, frames()))
    tell("followed", truth, [one.number for one in tracked], [one.pose for one in tracked], started)
    print(f"  {dict(Counter(one.found or one.status for one in tracked))}")
    started = time.perf_counter(), time.process_time()
    numbers, poses = [], []
    for frame in frames():
        numbers.append(frame.number)
        poses.append(localizer.localize([frame.pixels])[0].pose)
    tell("located", truth, numbers, poses, started)


def tell(way: str, truth: Scene, numbers: list[int], poses: list[Poses], started: tuple[float, float]) -> None:
    """One line."""
    seconds, busy = time.perf_counter() - started[0], time.process_time() - started[1]
    row_of = {int(index): row for row, index in enumerate(truth.frames.indices)}
    frames: Frames = truth.frames[[row_of[number] for number in numbers]]
    test = frames.splits == "test"
    metres, degrees = pose_errors(Poses.concatenate(poses)[test], frames.poses[test])
    good = float(((metres <= 0.05) & (degrees <= 5.0)).mean()) if test.any() else float("nan")
    print(
        f"{way}: {len(numbers) / seconds:.1f} frames/s, {1e3 * busy / len(numbers):.0f} ms of a core a frame; "
        f"{int(test.sum())} test frames, median {1e3 * np.median(metres):.1f} mm {np.median(degrees):.2f} deg, "
        f"{good:.1%} within 5 cm and 5 deg"
    )


if __name__ == "__main__":
    main()
