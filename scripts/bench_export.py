"""Time per image, size on disk and errors of a model in torch and of its exports, in one run on two threads.

    python scripts/bench_export.py kitchen --workspace DIR

MODEL is a file, or a scene's name, as for `irploc export`. Time is of pixels to pose, one photo at a time, without decoding,
which is the same for all; the pipelines take turns, so that a busy machine slows all of them. Errors are medians over the
scene's test photos (those of the block split, where the scene has it). The goal: an export under 30 MB with medians at most
5 % worse than fp32.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from irploc.export import PRECISIONS, Material, Pipeline, export_pipeline, find_model, load_pipeline
from irploc.geometry.poses import Poses, pose_errors
from irploc.onnxmodel import OnnxLocalizer
from irploc.workspace import Workspace

THREADS = 2
Ask = Callable[[np.ndarray], Poses]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--encoder", help="where the model's encoder is now, if it moved")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--photos", type=int, default=100_000, help="test photos at most")
    options = parser.parse_args()

    torch.set_num_threads(THREADS)
    workspace = Workspace.locate(options.workspace)
    pipeline = load_pipeline(find_model(workspace, options.model), options.encoder)
    scene = workspace.load_scene(str(pipeline.identity["scene"]))
    material = Material(scene.frames, pipeline.preparation, options.photos)
    print(
        f"{platform.machine()}, {THREADS} threads, torch {torch.__version__}; {pipeline.method} on {pipeline.trunk.name}, "
        f"{scene.name}"
    )
    with tempfile.TemporaryDirectory() as folder:
        asks: dict[str, Ask] = {"torch": pipeline.torch_poses}
        sizes = {"torch": pipeline.path.stat().st_size + encoder_bytes(pipeline)}
        for precision in PRECISIONS:
            path = Path(folder) / f"{precision}.onnx"
            exported = export_pipeline(pipeline, path, Material(scene.frames, pipeline.preparation, 1), precision)
            asks[precision], sizes[precision] = OnnxLocalizer(path, THREADS).poses, exported.size_bytes
            if precision == "fp32":
                check = exported.about.check
                print(f"fp32 against torch: at most {check['position_m']:.1e} m, {check['rotation_deg']:.1e} deg")
        milliseconds = time_in_turns(asks, material.to_check()[0], options.rounds)
        errors, split, count = errors_of(asks, material)
    print(
        f"| | MB | ms an image | times torch | median of {count} {split} photos | against fp32 |\n|---|---|---|---|---|---|"
    )
    for name in asks:
        (metres, degrees), exact = errors[name], errors["fp32"]
        ratio = statistics.median(a / b for a, b in zip(milliseconds[name], milliseconds["torch"], strict=True))
        worse = " ".join(f"{100 * (value / of - 1):+.1f} %" for value, of in zip((metres, degrees), exact, strict=True))
        print(
            f"| {name} | {sizes[name] / 1e6:.1f} | {statistics.median(milliseconds[name]):.1f} | {ratio:.2f} | "
            f"{metres:.4f} m {degrees:.3f} deg | {worse} |"
        )
    fitting = [name for name in PRECISIONS if sizes[name] < 30e6 and not_much_worse(errors[name], errors["fp32"])]
    best = min(fitting, key=lambda name: sizes[name], default=None)
    print(f"smallest under 30 MB and at most 5 % worse: {best or 'none'}")


def encoder_bytes(pipeline: Pipeline) -> int:
    """Of the encoder's own file, which torch needs beside the model; 0 where the model holds it or it was fetched."""
    encoder = str(pipeline.identity["encoder"]).partition("onnx:")[2]
    return Path(encoder).stat().st_size if encoder and Path(encoder).is_file() else 0


def time_in_turns(asks: dict[str, Ask], photo: np.ndarray, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each for one photo, round by round."""
    spent: dict[str, list[float]] = {name: [] for name in asks}
    for ask in asks.values():
        ask(photo)
        ask(photo)
    for _ in range(rounds):
        for name, ask in asks.items():
            started = time.perf_counter()
            ask(photo)
            spent[name].append(1e3 * (time.perf_counter() - started))
    return spent


def errors_of(asks: dict[str, Ask], material: Material) -> tuple[dict[str, tuple[float, float]], str, int]:
    """Median metres and degrees of each on the same photos, their split, and how many they are."""
    chosen = material.measured()
    if chosen is None:
        raise SystemExit("the scene has no photos to measure on")
    split, frames = chosen
    found: dict[str, list[Poses]] = {name: [] for name in asks}
    true = []
    for photo, pose in material.decoded(frames):
        true.append(pose)
        for name, ask in asks.items():
            found[name].append(ask(photo))
    truth = Poses.concatenate(true)
    medians = {name: pose_errors(Poses.concatenate(poses), truth) for name, poses in found.items()}
    return {name: (float(np.median(m)), float(np.median(d))) for name, (m, d) in medians.items()}, split, len(true)


def not_much_worse(found: tuple[float, float], exact: tuple[float, float]) -> bool:
    return all(value <= 1.05 * of for value, of in zip(found, exact, strict=True))


if __name__ == "__main__":
    main()
