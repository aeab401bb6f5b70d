"""What a scene learns from a walk whose poses nobody measured, beside what it would learn from the true ones.

    python scripts/bench_learn.py scenes/kitchen --encoder onnx:PATH --max-side 320 --piece 100

The test photos are cut into pieces of at most N consecutive frames; every second piece is the unlabelled walk, the others
test. In a workspace of its own it runs the commands that a user would type: embed, index, train-mlp and triangulate without
the walk; evaluate; `irploc learn` with the walk; evaluate again. The same with the walk's true poses is the upper bound.
Prints how far the labels are from the truth, and the median errors before, after and at the bound. With pieces as long as
the blocks of the split, hardly any test photo sees what the walk sees: then not even true poses help.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from irploc.geometry.poses import pose_errors
from irploc.scene import Frames, Scene

METHODS = ("irpnet", "fused")
PLACE, BOUND = "place", "bound"


def main() -> None:
    """Makes both scenes, learns, prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--encoder", default="netvlad-vgg16")
    parser.add_argument("--max-side", type=int)
    parser.add_argument("--piece", type=int, default=100, help="frames a piece of the test photos")
    parser.add_argument("--learn", nargs=argparse.REMAINDER, default=[], help="the rest goes to irploc learn")
    options = parser.parse_args()
    whole = Scene.load(options.scene)
    walk = walk_of(whole.frames, options.piece)
    print(f"{walk.sum()} photos are the walk, {((whole.frames.splits == 'test') & ~walk).sum()} test", flush=True)
    encoding = ["--encoder", options.encoder, *(["--max-side", str(options.max_side)] if options.max_side else [])]
    with tempfile.TemporaryDirectory() as temporary:
        home = Home(Path(temporary))
        home.make(PLACE, replace(whole, name=PLACE, frames=whole.frames[~walk]), encoding)
        home.run("triangulate", PLACE)
        before = home.scores(PLACE)
        photos = [str(image) for image in whole.frames[walk].images]
        seconds = home.run("learn", PLACE, *photos, *options.learn)
        after = home.scores(PLACE)
        tell_labels(Scene.load(home.root / "scenes" / PLACE).frames, whole.frames[walk], seconds)
        frames = replace(whole.frames, splits=np.where(walk, "train", whole.frames.splits).astype(object))
        home.make(BOUND, replace(whole, name=BOUND, frames=frames), encoding)
        bound = home.scores(BOUND)
    for method in METHODS:
        print(f"{method}: before {words(before[method])}, after {words(after[method])}, bound {words(bound[method])}")
        for name, scores in (("after", after), ("bound", bound)):
            falls = [1.0 - new / old for new, old in zip(scores[method], before[method], strict=True)]
            print(f"  {name} falls by {falls[0]:.0%} in position, {falls[1]:.0%} in rotation")


class Home:
    """A workspace, and the commands in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def make(self, name: str, scene: Scene, encoding: list[str]) -> None:
        """A scene with embeddings, index and a regressor."""
        scene.save(self.root / "scenes" / name)
        for command in (["embed", name, *encoding], ["index", name], ["train-mlp", name]):
            self.run(*command)

    def run(self, *arguments: str) -> float:
        """Seconds of a command."""
        started = time.perf_counter()
        command = [str(Path(sys.executable).with_name("irploc")), "--quiet", "--workspace", str(self.root), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        print(f"  {' '.join(arguments[:2])}: {seconds:.0f} s", flush=True)
        return seconds

    def scores(self, name: str) -> dict[str, tuple[float, float]]:
        """Median errors (m, deg) on the scene's test photos."""
        path = self.root / "scores.json"
        self.run("evaluate", name, "--methods", ",".join(METHODS), "--json", str(path))
        results = json.loads(path.read_text())["results"]
        return {method: (results[method]["median_position_m"], results[method]["median_rotation_deg"]) for method in METHODS}


def walk_of(frames: Frames, piece: int) -> np.ndarray:
    """(N,) every second piece of the test photos; a piece has at most so many consecutive ones."""
    walk, number, length, last = np.zeros(len(frames), dtype=bool), -1, 0, None
    for row in sorted(range(len(frames)), key=lambda row: (frames.sequences[row], frames.indices[row])):
        place = (frames.sequences[row], frames.splits[row])
        if place != last or length == piece:
            number, length = number + (frames.splits[row] == "test"), 0
        last, length = place, length + 1
        walk[row] = frames.splits[row] == "test" and number % 2 == 0
    return walk


def tell_labels(after: Frames, truth: Frames, seconds: float) -> None:
    """How many photos were kept, and how far their labels are from the truth."""
    learned = after[after.learned]
    row_of = {image: row for row, image in enumerate(truth.images)}
    metres, degrees = pose_errors(learned.poses, truth.poses[[row_of[image] for image in learned.images]])
    print(
        f"learned {len(learned)} of {len(truth)} photos in {seconds:.0f} s; labels are off by "
        f"{1e3 * np.median(metres):.1f} mm and {np.median(degrees):.2f} deg (medians), "
        f"{1e3 * metres.max():.0f} mm and {degrees.max():.2f} deg at most"
    )


def words(errors: tuple[float, float]) -> str:
    """Metres and degrees."""
    return f"{errors[0]:.3f} m {errors[1]:.2f} deg"


if __name__ == "__main__":
    main()
