"""Small evaluations for the tests of reports, and a reader of pages."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from irploc.estimators.base import Neighbours, PoseEstimates
from irploc.evaluation import Evaluation, MethodResult, score_poses
from irploc.geometry.poses import Poses
from irploc.scene import Frames


def frames_of(poses: Poses, root: Path, split: str, sequences: list[str] | None = None) -> Frames:
    names = tuple(f"{split}/{row:03d}.png" for row in range(len(poses)))
    return Frames(
        images=tuple(root / name for name in names),
        names=names,
        sequences=np.array(sequences or ["walk"] * len(poses), dtype=object),
        indices=np.arange(len(poses)),
        splits=np.array([split] * len(poses)),
        cameras=("",) * len(poses),
        poses=poses,
    )


def walk(count: int, offset_m: float = 0.0) -> Poses:
    """Along a curve in the x-z plane, looking ahead."""
    t = np.linspace(0, 3, count)
    centers = np.stack([t + offset_m, 0.01 * t, np.sin(t)], axis=1)
    return Poses(centers, np.tile([1.0, 0, 0, 0], (count, 1)))


def result(estimated: Poses, true: Poses, seconds: float | None = 0.001, k: int = 3) -> MethodResult:
    neighbours = Neighbours(np.tile(np.arange(k), (len(true), 1)), np.full((len(true), k), 0.875, dtype=np.float32))
    return MethodResult(PoseEstimates.of_poses(estimated, neighbours), score_poses(estimated, true, seconds))


def evaluation_of(root: Path, methods: dict[str, Poses], scene: str = "toy") -> Evaluation:
    true = next(iter(methods.values()))
    true = walk(len(true))
    return Evaluation(
        scene=scene,
        ground_truth="exact",
        split="test",
        queries=frames_of(true, root, "test"),
        results={name: result(poses, true) for name, poses in methods.items()},
        mapping=frames_of(walk(12), root, "train"),
        encoder="densevlad",
        provenance={"encoder weights sha256": "abc123", "software": "irploc 0"},
    )


class Checker(HTMLParser):
    """Counts what matters and that every element is closed."""

    VOID = frozenset({"meta", "br", "img", "line", "link", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.images: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        if "id" in values:
            self.ids.append(str(values["id"]))
        if tag == "img":
            self.images.append(str(values["src"]))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
