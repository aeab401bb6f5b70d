"""What a pose graph makes of single-image poses: errors before and after, and milliseconds, over walks of a scene.

    python scripts/bench_trajectory.py kitchen --methods bdi,robust
    python scripts/bench_trajectory.py kitchen --sfm 1                   odometry by structure from motion on the test photos
    python scripts/bench_trajectory.py kitchen --tune                    which defaults mapping photos alone would choose

The scene is one of the workspace (``IRPLOC_WORKSPACE``) with embeddings. Test photos whose numbers go up by one are a walk.
Odometry is the true motion from each photo to the next with noise: each of the three coordinates of the translation, in the
camera's frame, gets a normal error of 1 cm standard deviation, each of the three rotation components one of 0.5 degrees (so
that a step is off by 1.6 cm and 0.8 degrees). Answers are weighed as ``irploc localize VIDEO`` weighs them, by the errors of
the nearest mapping photo (``irploc.tracking.yardstick``); ``own errors`` is by those that methods announce, where they do.
Medians over all photos and seeds. ``--tune`` takes stretches of the mapping walks out of the map, asks
for them, and averages the logarithm of after / before over stretches, methods, positions and rotations: no test photo is
looked at.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from irploc.estimators.base import Query
from irploc.estimators.build import Place, build_estimator, open_place
from irploc.geometry.posegraph import PoseGraphOptions
from irploc.geometry.posegraph_terms import Absolute, Odometry, motions_between
from irploc.geometry.poses import Poses, pose_errors
from irploc.geometry.rotations import multiply
from irploc.geometry.tangent import rotation_of_vector
from irploc.mapping.build import BuildOptions
from irploc.mapping.matching import MatchingOptions
from irploc.scene import Frames
from irploc.tracking.odometry import odometry_of_model, steadiness_of, structure_from_motion
from irploc.tracking.trajectory import smooth_poses
from irploc.tracking.yardstick import absolute_of
from irploc.workspace import Workspace

NOISE_M, NOISE_DEG = 0.01, 0.5
FPS = 30.0  # of the walks, for the rows without odometry
STRETCHES = ((0.05, 0.95), (0.1, 0.9), (0.2, 0.8), (0.0, 0.6), (0.4, 1.0))  # of each mapping walk


def main() -> None:
    """Asks every method, smooths, prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene")
    parser.add_argument("--methods", default="bdi,robust")
    parser.add_argument("--seeds", type=int, default=5, help="of the odometry's noise")
    parser.add_argument("--window", type=int, default=PoseGraphOptions.window)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--sfm", type=int, default=0, metavar="WALKS", help="walks, with odometry of their own photos")
    options = parser.parse_args()
    place = open_place(Workspace.locate(), options.scene)
    with place.store:
        methods = options.methods.split(",")
        if options.tune:
            tune(place, methods)
        elif options.sfm:
            measure_sfm(place, methods, options.sfm, PoseGraphOptions(window=options.window))
        else:
            measure(place, methods, options.seeds, PoseGraphOptions(window=options.window))


def measure(place: Place, methods: list[str], seeds: int, options: PoseGraphOptions) -> None:
    """Prints a row for each method and kind of odometry."""
    frames = place.store.frames
    rows = np.flatnonzero(frames.splits == "test")
    true, walks = frames.poses[rows], walks_of(frames.sequences[rows], frames.indices[rows])
    print(f"{len(rows)} test photos in {walks.max() + 1} walks, windows of {options.window}")
    steadiness = steadiness_of(place, np.arange(len(rows)) / FPS, FPS)
    print("| method | single photos | graph | better by | own errors | better by | no odometry | better by | ms a photo |")
    print("|---|---|---|---|---|---|---|---|---|")
    for method in methods:
        query = Query(place.store.vectors(rows))
        estimates = build_estimator(method, place).estimate(query)
        noisy = [odometry_with_noise(true, seed) for seed in range(seeds)]
        started = time.perf_counter()
        absolute = absolute_of(estimates, place, query)
        weighed = [smooth_poses(absolute, odometry, None, walks, options) for odometry in noisy]
        spent = 1e3 * (time.perf_counter() - started) / (seeds * len(rows))
        own = absolute_of(estimates, place, query, trusted=True)
        by_own = [smooth_poses(own, odometry, None, walks, options) for odometry in noisy]
        before = medians([estimates.poses], true)
        cells = [f"`{method}`", in_words(before)]
        alone = smooth_poses(absolute, None, steadiness, walks, options)
        for found in (weighed, by_own, [alone]):
            after = medians([smoothed.poses for smoothed in found], true)
            cells += [in_words(after), " ".join(f"{100 * (1 - ratio):.0f} %" for ratio in after / before)]
        print(f"| {' | '.join([*cells, f'{spent:.2f}'])} |", flush=True)


def measure_sfm(place: Place, methods: list[str], count: int, options: PoseGraphOptions) -> None:
    """Prints a row for each method, over the first test walks, with odometry by structure from motion on each alone."""
    frames = place.store.frames
    rows = np.flatnonzero(frames.splits == "test")
    walks = walks_of(frames.sequences[rows], frames.indices[rows])
    count = fewer(count, int(walks.max()) + 1)
    rows, walks = rows[walks < count], walks[walks < count]
    started = time.perf_counter()
    odometry = [odometry_of_photos(frames[rows[walks == walk]]) for walk in range(count)]
    print(f"{len(rows)} test photos in {count} walks; structure from motion took {time.perf_counter() - started:.0f} s")
    print("| method | single photos | graph | better by |")
    print("|---|---|---|---|")
    for method in methods:
        found, query = [], Query(place.store.vectors(rows))
        absolute = absolute_of(build_estimator(method, place).estimate(query), place, query)
        for walk in range(count):
            of_walk = np.flatnonzero(walks == walk)
            part = absolute[slice(int(of_walk[0]), int(of_walk[-1]) + 1)]
            found.append(smooth_poses(part, odometry[walk], options=options).poses)
        before, after = (medians([poses], frames.poses[rows]) for poses in (absolute.poses, Poses.concatenate(found)))
        better = " ".join(f"{100 * (1 - ratio):.0f} %" for ratio in after / before)
        print(f"| `{method}` | {in_words(before)} | {in_words(after)} | {better} |", flush=True)


def fewer(wanted: int, walks: int) -> int:
    """As many walks as wanted, or all that there are."""
    if wanted > walks:
        print(f"--sfm {wanted}: there are {walks} walks of test photos, all are taken", file=sys.stderr)
    return min(wanted, walks)


def odometry_of_photos(frames: Frames) -> Odometry:
    """By structure from motion on the photos of a walk, every other one."""
    with tempfile.TemporaryDirectory() as folder:
        for number, image in zip(frames.indices[::2].tolist(), frames.images[::2], strict=True):
            (Path(folder) / f"{number:06d}{image.suffix}").symlink_to(image)
        options = BuildOptions(matching=MatchingOptions(similar=0), min_registered=0.3)
        at, poses = structure_from_motion(Path(folder), options)
    return odometry_of_model(at, poses, frames.indices.astype(np.float64))


def tune(place: Place, methods: list[str]) -> None:
    """Prints what each combination of options makes of stretches of mapping walks."""
    asked = [held_out(place, method, *stretch) for method, stretch in itertools.product(methods, STRETCHES)]
    print("| together | outlier | nearest mapping photo | own errors |")
    print("|---|---|---|---|")
    for together, outlier in itertools.product((5.0, 10.0, 20.0, 40.0, 80.0), (1.0, 2.0, 3.0, 4.0)):
        options = PoseGraphOptions(together=together, outlier=outlier)
        ratios: list[list[float]] = [[], []]
        for kinds, true, walks in asked:
            odometry, known = odometry_with_noise(true, 0), kinds[0].poses.valid
            before = medians([kinds[0].poses[known]], true[known])
            for ratio, absolute in zip(ratios, kinds, strict=True):
                found = smooth_poses(absolute, odometry, None, walks, options).poses
                ratio += np.log(medians([found[known]], true[known]) / before).tolist()
        cells = [f"{np.exp(np.mean(part)):.3f}" for part in ratios]
        print(f"| {together:g} | {outlier:g} | {' | '.join(cells)} |", flush=True)


def held_out(place: Place, method: str, first: float, last: float) -> tuple[list[Absolute], Poses, np.ndarray]:
    """Answers for a stretch of each mapping walk by a map without it, weighed by the yardstick and by their own errors; the
    true poses; the walks."""
    frames, vectors = place.index.frames, place.index.vectors
    walks = walks_of(frames.sequences, frames.indices)
    parts: list[list[Absolute]] = [[], []]
    rows = []
    for walk in range(walks.max() + 1):
        of_walk = np.flatnonzero(walks == walk)
        stretch = of_walk[int(first * len(of_walk)) : int(last * len(of_walk))]
        smaller = dataclasses.replace(place, index=place.index.without(np.isin(np.arange(len(frames)), stretch)))
        query = Query(vectors[stretch])
        estimates = build_estimator(method, smaller).estimate(query)
        parts[0].append(absolute_of(estimates, smaller, query))
        parts[1].append(absolute_of(estimates, smaller, query, trusted=True))
        rows.append(stretch)
    return [Absolute.concatenate(part) for part in parts], frames.poses[np.concatenate(rows)], walks[np.concatenate(rows)]


def walks_of(sequences: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """(N,) numbers of the walks: photos in a row whose numbers go up by one."""
    new = (sequences[1:] != sequences[:-1]) | (np.diff(indices) != 1)
    return np.append(0, np.cumsum(new))


def odometry_with_noise(true: Poses, seed: int) -> Odometry:
    """The true motions, off by noise."""
    generator, motions = np.random.default_rng(seed), motions_between(true)
    centers = motions.centers_m + NOISE_M * generator.normal(size=motions.centers_m.shape)
    turns = rotation_of_vector(np.radians(NOISE_DEG) * generator.normal(size=motions.centers_m.shape))
    noisy, count = Poses(centers, multiply(motions.world_from_cam_wxyz, turns)), len(motions)
    return Odometry(noisy, np.full(count, NOISE_M), np.full(count, NOISE_DEG))


def medians(found: list[Poses], true: Poses) -> np.ndarray:
    """(2,) metres and degrees, over all runs."""
    errors = [pose_errors(poses, true) for poses in found]
    return np.array([np.median(np.concatenate([error[kind] for error in errors])) for kind in (0, 1)])


def in_words(median: np.ndarray) -> str:
    """Metres and degrees."""
    return f"{median[0]:.3f} m {median[1]:.2f}°"


if __name__ == "__main__":
    main()
