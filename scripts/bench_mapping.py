"""`irploc scene build` on a video with known poses, beside a plain pycolmap script in the same run.

    python scripts/bench_mapping.py ../shared/data/video/redkitchen_seq01.mp4 \
        --ground-truth ../shared/data/7scenes/redkitchen/pgt_sfm.txt

The plain script takes every 1/fps-th frame with ffmpeg, and calls SIFT, sequential matching (overlap 10) and incremental
mapping with pycolmap's own defaults. Both start from the video and share nothing. A third row is the plain script on the
frames that ours chose, so that choice and mapping can be told apart (its time is without the choice). Errors are those of
camera centres and rotations after the best similarity to the true ones. With ``--runs N`` the medians of N runs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from irploc.geometry.poses import Poses, pose_errors
from irploc.geometry.similarity import Similarity
from irploc.pycolmap_safe import import_pycolmap
from irploc.readers.base import number_in_name, read_rows
from irploc.scene import Scene

OURS, EVERY, CHOSEN = "irploc scene build", "plain pycolmap, every n-th frame", "plain pycolmap, our frames"
PLAIN = """
import sys
from pathlib import Path
import pycolmap
out = Path(sys.argv[1])
pycolmap.extract_features(out / "database.db", out / "images", camera_mode=pycolmap.CameraMode.SINGLE)
pairing = pycolmap.SequentialPairingOptions()
pairing.overlap = 10
pycolmap.match_sequential(out / "database.db", pairing_options=pairing)
models = pycolmap.incremental_mapping(out / "database.db", out / "images", out)
best = max(models.values(), key=lambda model: model.num_reg_images())
(out / "best").mkdir()
best.write(out / "best")
"""


def main() -> None:
    """Runs both and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument(
        "--ground-truth", type=Path, required=True, help="lines 'file qw qx qy qz tx ty tz …', cam_from_world"
    )
    parser.add_argument("--fps", type=float, default=6.0)
    parser.add_argument("--out", type=Path, help="keep what the last run made here")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    truth = true_poses(options.ground_truth)
    rows: dict[str, list[dict]] = {OURS: [], EVERY: [], CHOSEN: []}
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as temporary:
            out = Path(temporary)
            rows[OURS].append(build(options.video, out / "scene", options.fps, truth))
            rows[EVERY].append(every_frame(options.video, out / "plain", options.fps, truth))
            rows[CHOSEN].append(chosen_frames(out / "scene", out / "chosen", truth))
            if options.out:
                shutil.copytree(out / "scene", options.out, dirs_exist_ok=True)
    found = {name: medians(runs) for name, runs in rows.items()}
    print(f"medians of {options.runs} runs")
    print("| | frames | registered | median mm | median deg | largest mm | seconds |")
    print("|---|---|---|---|---|---|---|")
    for name, row in found.items():
        print(
            f"| {name} | {row['frames']:.0f} | {row['registered']:.0f} | {row['median_mm']:.1f} | {row['median_deg']:.2f} "
            f"| {row['largest_mm']:.1f} | {row['seconds']:.0f} |"
        )
    print(f"time: {found[OURS]['seconds'] / found[EVERY]['seconds']:.2f} of the plain script's")
    print("stages: " + ", ".join(f"{stage} {spent:.0f} s" for stage, spent in rows[OURS][-1]["stages"].items()))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


def medians(runs: list[dict]) -> dict[str, float]:
    """Of every number."""
    names = [name for name, value in runs[0].items() if not isinstance(value, dict)]
    return {name: float(np.median([run[name] for run in runs])) for name in names}


def true_poses(path: Path) -> dict[int, np.ndarray]:
    """Frame number -> qw qx qy qz tx ty tz, cam_from_world."""
    rows = read_rows(path, 8, "file qw qx qy qz tx ty tz")
    return {number_in_name(words[0]) or 0: np.array([float(word) for word in words[1:8]]) for _, words in rows}


def build(video: Path, out: Path, fps: float, truth: dict[int, np.ndarray]) -> dict:
    """Ours, as a user types it."""
    irploc = str(Path(sys.executable).with_name("irploc"))
    command = [irploc, "scene", "build", str(video), "--out", str(out), "--fps", str(fps), "--split", "all"]
    started = time.monotonic()
    subprocess.run(command, check=True)
    seconds = time.monotonic() - started
    scene = Scene.load(out)
    record = json.loads((out / "build.json").read_text())
    found = errors(scene.frames.poses, scene.frames.indices, truth)
    return {"frames": record["quality"]["photos"], "seconds": seconds, "stages": record["seconds"], **found}


def every_frame(video: Path, out: Path, fps: float, truth: dict[int, np.ndarray]) -> dict:
    """A few lines of pycolmap, on every n-th frame."""
    import imageio_ffmpeg

    rate = next(imageio_ffmpeg.read_frames(str(video)))["fps"]
    step = max(round(rate / fps), 1)
    (out / "images").mkdir(parents=True)
    started = time.monotonic()
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(video), "-vf", f"select=not(mod(n\\,{step}))"]
    subprocess.run([*ffmpeg, "-fps_mode", "passthrough", "-q:v", "2", str(out / "images" / "%06d.jpg")], check=True)
    return plain_mapping(out, started, truth, lambda name: (int(Path(name).stem) - 1) * step)


def chosen_frames(scene: Path, out: Path, truth: dict[int, np.ndarray]) -> dict:
    """The same on the frames that ours took."""
    shutil.copytree(scene / "images", out / "images")
    return plain_mapping(out, time.monotonic(), truth, lambda name: number_in_name(name) or 0)


def plain_mapping(out: Path, started: float, truth: dict[int, np.ndarray], number: Callable[[str], int]) -> dict:
    """The few lines, and what came of them."""
    subprocess.run([sys.executable, "-c", PLAIN, str(out)], check=True, stderr=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    model = import_pycolmap().Reconstruction(str(out / "best"))
    images = [image for image in model.images.values() if image.has_pose]
    quats = np.array([np.roll(image.cam_from_world().rotation.quat, 1) for image in images])
    poses = Poses.from_cam_from_world(quats, np.array([image.cam_from_world().translation for image in images]))
    numbers = np.array([number(image.name) for image in images])
    return {"frames": len(list((out / "images").iterdir())), "seconds": seconds, **errors(poses, numbers, truth)}


def errors(found: Poses, numbers: np.ndarray, truth: dict[int, np.ndarray]) -> dict:
    """After the best similarity to the true centres."""
    rows = np.stack([truth[int(number)] for number in numbers])
    true = Poses.from_cam_from_world(rows[:, :4], rows[:, 4:])
    best = import_pycolmap().estimate_sim3d(found.centers_m, true.centers_m)
    quat = np.roll(best.rotation.quat, 1)
    aligned = Similarity(float(best.scale), tuple(quat), tuple(best.translation)).apply_to_poses(found)
    metres, degrees = pose_errors(aligned, true)
    return {
        "registered": len(found),
        "median_mm": 1e3 * float(np.median(metres)),
        "median_deg": float(np.median(degrees)),
        "largest_mm": 1e3 * float(metres.max()),
    }


if __name__ == "__main__":
    main()
