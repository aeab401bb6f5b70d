"""Anyone's pose files measured against a scene or against another pose file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from irploc.errors import BadInput
from irploc.estimators.base import PoseEstimates
from irploc.evaluation.place import IN_THE_MAP, other_split, units_note
from irploc.evaluation.pose_files import NamedPoses, read_pose_file
from irploc.evaluation.results import Evaluation, MethodResult
from irploc.geometry.poses import Poses
from irploc.scene import Frames, Scene


def evaluate_pose_files(predictions: Sequence[Path], truth: Scene | NamedPoses, split: str = "test") -> Evaluation:
    """Scores each file on the true poses, keyed by its name without extension (the whole path where two are alike).

    Queries that a file lacks count as not localized; its images that are no queries are ignored. ``notes`` tells both.

    Args:
        truth: a scene, of which ``split`` are the queries, or a file, of which all are.

    Raises:
        BadInput: for bad files, an empty split, or a file that holds none of the queries.
    """
    if isinstance(truth, Scene):
        everything, rows, where = truth.frames, truth.frames.splits == split, f"scene {truth.name}"
        if not rows.any():
            present = ", ".join(sorted(set(truth.frames.splits)))
            raise BadInput(f"{where} has no {split} images (it has {present}): {other_split(truth.name)}")
    else:
        everything, rows, where = _frames_of(truth), np.ones(len(truth), dtype=bool), str(truth.path)
    queries = everything[rows]
    results: dict[str, MethodResult] = {}
    notes = list(units_note(truth.units)) if isinstance(truth, Scene) else []
    if isinstance(truth, Scene) and split == "train":
        notes.append(IN_THE_MAP)
    for path, method in zip(predictions, _method_names(predictions), strict=True):
        named = read_pose_file(path)
        poses = named.for_names(everything.names, where)[rows]
        if not poses.valid.any():
            raise BadInput(f"{path}: none of its images is in the {split} split of {where}")
        notes += _notes(path, len(named), poses)
        results[method] = MethodResult.measured(PoseEstimates.of_poses(poses), queries.poses)
    return Evaluation(
        scene=truth.name if isinstance(truth, Scene) else truth.path.stem,
        ground_truth=truth.ground_truth if isinstance(truth, Scene) else str(truth.path),
        split=split if isinstance(truth, Scene) else None,
        queries=queries,
        results=results,
        mapping=everything.of_split("train") if isinstance(truth, Scene) else None,
        notes=tuple(notes),
        units=truth.units if isinstance(truth, Scene) else "metres",
    )


def _notes(path: Path, count: int, poses: Poses) -> list[str]:
    found, queries = int(poses.valid.sum()), len(poses)
    notes = []
    if found < queries:
        notes.append(f"{path} lacks {queries - found} of {queries} queries: they count as not localized")
    if found < count:
        notes.append(f"{path} has {count - found} images that are no queries: they are ignored")
    return notes


def _method_names(paths: Sequence[Path]) -> list[str]:
    stems = [path.stem for path in paths]
    names = [stem if stems.count(stem) == 1 else str(path) for stem, path in zip(stems, paths, strict=True)]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise BadInput(f"--predictions {repeated} is given twice")
    return names


def _frames_of(truth: NamedPoses) -> Frames:
    """The photos of a pose file: the folder is the walk, the last number in the name the index."""
    names = [Path(name.replace("\\", "/")) for name in truth.names]
    numbers = [re.findall(r"\d+", name.name) for name in names]
    return Frames(
        images=tuple(truth.path.parent / name for name in names),
        names=truth.names,
        sequences=np.array([name.parent.as_posix() for name in names], dtype=object),
        indices=np.array([int(found[-1][-18:]) if found else row for row, found in enumerate(numbers)], dtype=np.int64),
        splits=np.full(len(names), "test", dtype=object),
        cameras=("",) * len(names),
        poses=truth.poses,
    )
