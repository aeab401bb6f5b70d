"""What a tenth more mapping photos cost, against mapping all photos from the start.

    python scripts/bench_growing.py scenes/kitchen --encoder onnx:PATH --max-side 320 --out growing

Runs the commands that a user would type, in a workspace of its own: embed, index and train-mlp on ten elevenths of the
mapping photos (without the last of the walk, or without every eleventh photo with ``--spread``); then the same with all of
them, a tenth more, the training with ``--init``; then the training from scratch; then removes them again. Prints the seconds
of each step, the ratio of adding to the first time,
and the errors on the test photos, embedded last and not timed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from irploc.errors import IrplocError
from irploc.scene import Scene

MODEL = "irpnet"


class Workspace:
    """Where the commands run; their times are summed up."""

    def __init__(self, root: Path, scene: Scene) -> None:
        self.root, self._scene, self.seconds = root, scene, 0.0

    def keep(self, rows: np.ndarray) -> None:
        """The scene shall have these photos."""
        whole = self._scene
        Scene("place", whole.image_root, whole.frames[rows], whole.cameras, whole.ground_truth, units=whole.units).save(
            self.root / "scenes/place"
        )

    def run(self, *arguments: str) -> float:
        """Seconds of a command."""
        started = time.perf_counter()
        command = [str(Path(sys.executable).with_name("irploc")), "--quiet", "--workspace", str(self.root), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        self.seconds = time.perf_counter() - started
        return self.seconds

    def evaluate(self, models: dict[str, Path]) -> dict[str, str]:
        """Median errors of trained models on the test photos."""
        found = {}
        for name, path in models.items():
            target = self.root / f"models/place.{MODEL}.pt"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
            self.run("evaluate", "place", "--methods", MODEL, "--json", str(self.root / "scores.json"))
            scores = json.loads((self.root / "scores.json").read_text())["results"][MODEL]
            found[name] = f"{scores['median_position_m']:.3f} m {scores['median_rotation_deg']:.2f}°"
        return found


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--encoder", default="densevlad")
    parser.add_argument("--max-side", default="0")
    parser.add_argument("--augmentations", default="10")
    parser.add_argument("--spread", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    scene = Scene.load(options.scene)
    mapping = np.flatnonzero(scene.frames.splits == "train")
    mapping = mapping[np.lexsort((scene.frames.indices[mapping], scene.frames.sequences[mapping]))]
    count = len(mapping)
    added = np.arange(count) % 11 == 10 if options.spread else np.arange(count) >= count - count // 11
    place = Workspace(options.out, scene)
    embed = ["embed", "place", "--encoder", options.encoder, "--max-side", options.max_side]
    embed += ["--augmentations", options.augmentations]
    models = {name: options.out / f"{name}.pt" for name in ("first", "added", "scratch", "removed")}

    def mapped(rows: np.ndarray, model: str, init: str = "") -> list[float]:
        place.keep(rows)
        train = ["train-mlp", "place", "--model", MODEL, "--out", str(models[model])]
        train += ["--init", str(models[init])] if init else []
        return [place.run(*embed), place.run("index", "place"), place.run(*train)]

    first = mapped(mapping[~added], "first")
    more = mapped(mapping, "added", "first")
    scratch = place.run("train-mlp", "place", "--model", MODEL, "--out", str(models["scratch"]))
    fewer = mapped(mapping[~added], "removed", "added")
    print(f"{count - added.sum()} mapping photos, {added.sum()} more; seconds\n")
    print("| | embed | index | train | all |\n|---|---|---|---|---|")
    for name, seconds in (("first", first), ("added", more), ("removed", fewer)):
        print(f"| {name} | {' | '.join(f'{value:.1f}' for value in [*seconds, sum(seconds)])} |")
    print(f"\nadding: {sum(more) / sum(first):.3f} of the first time (goal 0.15); training alone {more[2] / first[2]:.3f}; ")
    print(f"training from scratch on all {scratch:.1f} s\n")
    tests = np.flatnonzero(scene.frames.splits == "test")
    for names, rows in ((("first", "removed"), mapping[~added]), (("added", "scratch"), mapping)):
        place.keep(np.concatenate([rows, tests]))
        place.run(*embed)
        place.run("index", "place")
        for name, errors in place.evaluate({name: models[name] for name in names}).items():
            print(f"{name}: {errors}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except IrplocError as error:
        raise SystemExit(f"Error: {error}") from None
