"""MeNet on correlated pairs of test photos, against doing nothing and against what the other methods of the house can say.

    python scripts/bench_menet.py SCENE --workspace DIR [--model FILE] [--pairs 200] [--apart 30]

Pairs are test photos at most ``--apart`` index units from each other on a walk, turned by no more than the pairs that the
model was trained on; evenly spread over all there are, the earlier photo first. Prints, by method, median errors of where
camera b is seen from camera a and of turns, the median angle between the directions of pairs that moved 5 cm or more, how
many pairs were answered, and what a pair costs:

- ``no motion``, and the ``mean motion`` of the mapping photos' pairs, the earlier photo first;
- ``menet``, as 'irploc relate' answers, and ``menet, one order``;
- ``robust``: the difference of the poses that each photo gets by itself; its time is without the encoder's;
- ``two views``: SIFT matches and the essential matrix by OpenCV with the scene's focal length; it knows no distances.

Then how often 'irploc relate' doubts its answers: for these pairs, for pairs of one photo and noise, and, with ``--other``,
for pairs of a photo and one of a folder of another place.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from irploc.errors import IrplocError
from irploc.estimators.base import Query
from irploc.estimators.build import open_place
from irploc.estimators.menet import Relator, contradict
from irploc.geometry.poses import Poses, pose_errors
from irploc.images import decode_image, list_images
from irploc.opencv_safe import opencv
from irploc.pairs.candidates import window_pairs
from irploc.scene import Frames, Scene
from irploc.training.menet.answers import Answers
from irploc.training.menet.motions import motions
from irploc.workspace import Workspace

MOVED_M = 0.05
FEATURES, RATIO, LEAST = 2000, 0.8, 8


@dataclass(frozen=True)
class Line:
    """What a method says of P pairs; NaN rows where nothing, and seconds a pair where that was measured."""

    motions: Poses
    seconds: float | None
    distances: bool = True


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene")
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--apart", type=int, default=30)
    parser.add_argument("--other", type=Path)
    given = parser.parse_args()
    home = Workspace.locate(given.workspace)
    scene = home.load_scene(given.scene)
    relator = Relator.open(given.scene, given.model, home.root)
    frames, limit = scene.frames.of_split("test"), float(relator.model.pairs["angle_deg"])
    pairs = chosen(frames, given.apart, limit, given.pairs)
    true = motions(frames.poses, pairs)
    print(f"{len(pairs)} pairs of {len(frames)} test photos of {scene.name}, at most {given.apart} apart")
    answers, seconds = related(relator, frames, pairs)
    lines = {
        "no motion": Line(repeated(np.zeros(3), np.array([1.0, 0, 0, 0]), len(pairs)), 0.0),
        "mean motion": Line(mean_motion(scene, given.apart, len(pairs)), 0.0),
        "menet": Line(answers.motions, seconds),
        "menet, one order": Line(answers.one_way, None),
        "robust": by_poses(home, given.scene, frames, pairs),
        "two views": by_two_views(scene, frames, pairs),
    }
    print(f"{'method':18} {'m':>7} {'deg':>7} {'direction deg':>14} {'answered':>9} {'ms a pair':>10}")
    for name, line in lines.items():
        print(told(name, line, true))
    print(f"doubted: {contradict(relator.model, answers).mean():.0%} of these pairs", end="")
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    others = {"noise": [noise]}
    if given.other is not None:
        others[given.other.name] = [np.asarray(decode_image(path)) for path in list_images(given.other)[:20]]
    for name, photos in others.items():
        rows = np.linspace(0, len(frames) - 1, 40).round().astype(int)
        second = [photos[number % len(photos)] for number in range(len(rows))]
        mixed = relator.model.relate([frames.images[row] for row in rows], second)
        print(f", {contradict(relator.model, mixed).mean():.0%} of pairs with {name}", end="")
    print()


def chosen(frames: Frames, apart: int, limit_deg: float, count: int) -> np.ndarray:
    """(P, 2) rows of photos near on a walk and turned little enough, evenly spread over all."""
    pairs = window_pairs(frames.sequences, frames.indices, apart)
    pairs = pairs[pose_errors(frames.poses[pairs[:, 0]], frames.poses[pairs[:, 1]])[1] <= limit_deg]
    return pairs[np.unique(np.linspace(0, len(pairs) - 1, count).round().astype(int))]


def related(relator: Relator, frames: Frames, pairs: np.ndarray) -> tuple[Answers, float]:
    """By MeNet, and seconds a pair of photos on disk, one pair at a time."""
    started, parts = time.perf_counter(), []
    for a, b in pairs:
        parts.append(relator.model.relate([frames.images[a]], [frames.images[b]]))
    seconds = (time.perf_counter() - started) / len(pairs)
    joined = Answers(
        Poses.concatenate([part.motions for part in parts]),
        Poses.concatenate([part.one_way for part in parts]),
        np.concatenate([part.apart_m for part in parts]),
        np.concatenate([part.apart_deg for part in parts]),
    )
    return joined, seconds


def repeated(center: np.ndarray, quat: np.ndarray, count: int) -> Poses:
    """The same motion for all."""
    return Poses(np.tile(center, (count, 1)), np.tile(quat, (count, 1)))


def mean_motion(scene: Scene, apart: int, count: int) -> Poses:
    """Of pairs of mapping photos, the earlier one first."""
    mapping = scene.frames.of_split("train")
    found = motions(mapping.poses, window_pairs(mapping.sequences, mapping.indices, apart))
    return repeated(found.centers_m.mean(axis=0), found.world_from_cam_wxyz.mean(axis=0), count)


def by_poses(home: Workspace, scene: str, frames: Frames, pairs: np.ndarray) -> Line:
    """The difference of single poses, by stored embeddings."""
    place = open_place(home, scene)
    row_of = {name: row for row, name in enumerate(place.store.frames.names)}
    vectors = place.store.vectors()[[row_of[name] for name in frames.names]]
    estimator = place.estimator("robust")
    started = time.perf_counter()
    poses = estimator.estimate(Query(vectors)).poses
    seconds = 2 * (time.perf_counter() - started) / len(frames)
    place.store.close()
    if not poses.valid.all():
        raise SystemExit("robust located only some of the photos: choose another scene")
    return Line(motions(poses, pairs), seconds)


def by_two_views(scene: Scene, frames: Frames, pairs: np.ndarray) -> Line:
    """Turn and direction by epipolar geometry; distances are one where there is an answer."""
    cv2 = opencv()
    sift, matcher = cv2.SIFT_create(FEATURES), cv2.BFMatcher()
    started = time.perf_counter()
    found = Poses.missing(len(pairs))
    for row, (a, b) in enumerate(pairs):
        camera = scene.cameras[frames.cameras[a]]
        matrix = np.array([[camera.focal_px[0], 0, camera.width / 2], [0, camera.focal_px[1], camera.height / 2], [0, 0, 1]])
        grey = [cv2.cvtColor(np.asarray(decode_image(frames.images[one])), cv2.COLOR_RGB2GRAY) for one in (a, b)]
        (points_a, of_a), (points_b, of_b) = (sift.detectAndCompute(image, None) for image in grey)
        if of_a is None or of_b is None or len(of_b) < 2:
            continue
        good = [one[0] for one in matcher.knnMatch(of_a, of_b, 2) if one[0].distance < RATIO * one[1].distance]
        if len(good) < LEAST:
            continue
        first = np.array([points_a[one.queryIdx].pt for one in good])
        second = np.array([points_b[one.trainIdx].pt for one in good])
        essential, inliers = cv2.findEssentialMat(first, second, matrix, cv2.RANSAC, 0.999, 1.0)
        if essential is None or essential.shape != (3, 3):
            continue
        _, rotation, moved, _ = cv2.recoverPose(essential, first, second, matrix, mask=inliers)
        b_from_a = np.eye(4)
        b_from_a[:3, :3], b_from_a[:3, 3] = rotation, moved[:, 0]
        pose = Poses.from_matrices(np.linalg.inv(b_from_a)[None])
        found.centers_m[row], found.world_from_cam_wxyz[row] = pose.centers_m[0], pose.world_from_cam_wxyz[0]
    return Line(found, (time.perf_counter() - started) / len(pairs), distances=False)


def told(name: str, line: Line, true: Poses) -> str:
    """One line of the table."""
    metres, degrees = pose_errors(line.motions, true)
    moved = (np.linalg.norm(true.centers_m, axis=1) >= MOVED_M) & line.motions.valid
    direction = directions_deg(line.motions.centers_m[moved], true.centers_m[moved])
    position = f"{np.median(metres):7.3f}" if line.distances else f"{'-':>7}"
    shown = f"{np.median(direction):14.1f}" if np.isfinite(direction).all() and len(direction) else f"{'-':>14}"
    cost = f"{'-':>10}" if line.seconds is None else f"{1e3 * line.seconds:10.1f}"
    return f"{name:18} {position} {np.median(degrees):7.2f} {shown} {line.motions.valid.mean():9.0%} {cost}"


def directions_deg(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(P,) angles between vectors (P, 3); NaN where one has no length."""
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(true, axis=1)
    cosines = np.divide((found * true).sum(axis=1), lengths, out=np.full(len(found), np.nan), where=lengths > 0)
    return np.asarray(np.degrees(np.arccos(np.clip(cosines, -1, 1))))


if __name__ == "__main__":
    torch.set_num_threads(1)
    try:
        main()
    except IrplocError as error:
        raise SystemExit(str(error)) from None
