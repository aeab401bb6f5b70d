"""Whether embeddings still say of a scene what its folder says now."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from irploc.errors import Mismatch, NotFound
from irploc.retrieval.store import NOT_RECORDED, EmbeddingStore
from irploc.scene import Frames, Scene
from irploc.workspace import Workspace

_SAME_POSE = 1e-6


def scene_now(home: Workspace, name: str, store: EmbeddingStore) -> Scene | None:
    """The scene as it is now; None where its folder is gone.

    Raises:
        BadInput, Mismatch: when it is there and cannot be read, so that nobody can tell what changed.
    """
    there = folder_now(home, name, store)
    return None if there is None else Scene.load(there)


def folder_now(home: Workspace, name: str, store: EmbeddingStore) -> Path | None:
    """Where the scene lies now: the workspace's of that name, else where it was embedded; None where neither is there."""
    folders = [Path(store.header.scene_folder)]
    for wanted in (name, store.header.scene):
        try:
            folders.insert(0, home.scene_folder(wanted))
            break
        except NotFound:
            continue
    return next((folder for folder in folders if (folder / "scene.toml").is_file()), None)


def check_map(store: EmbeddingStore, scene: Scene) -> str:
    """Whether the map that the embeddings hold is still the scene's.

    Photos that only test do not count: no answer depends on them.

    Returns:
        A note where mapping photos came in since, which the map does not hold; empty where it is the scene's.

    Raises:
        Mismatch: when mapping photos went, have another pose, or map no more, when others map now, or the units changed.
    """
    embedded, now = store.frames, scene.frames
    row_of = {name: row for row, name in enumerate(now.names)}
    kept = np.array([name in row_of for name in embedded.names], dtype=bool)
    old, new = embedded[kept], now[[row_of[name] for name in np.array(embedded.names, dtype=object)[kept]]]
    old_maps, new_maps = old.splits == "train", new.splits == "train"
    changed = int(((old_maps != new_maps) | (old_maps & moved(old, new))).sum())
    gone = int((embedded.splits[~kept] == "train").sum())
    units = store.header.units
    if changed:
        raise outdated(store, scene, f"{changed} photos have another pose or split")
    if gone:
        raise outdated(store, scene, f"{gone} mapping photos were removed")
    if units not in (scene.units, NOT_RECORDED):
        raise outdated(store, scene, f"its units were {units!r}, now they are {scene.units!r}")
    added = len(set(now.of_split("train").names) - set(embedded.names) - set(store.left_out))
    if not added:
        return ""
    return f"{added} mapping photos of {scene.name} are not in {store.path}: 'irploc embed' takes them in"


def outdated(store: EmbeddingStore, scene: Scene, what: str) -> Mismatch:
    """The refusal of embeddings that were made from something else than the scene is now."""
    return Mismatch(f"scene {scene.name} is not what {store.path} was made from: {what}: run 'irploc embed' again")


def moved(before: Frames, after: Frames) -> np.ndarray:
    """(N,) which photos have another pose; both hold the same photos in the same order."""
    numbers = [np.concatenate([f.poses.centers_m, f.poses.world_from_cam_wxyz], axis=1) for f in (before, after)]
    return np.asarray((np.abs(numbers[0] - numbers[1]) > _SAME_POSE).any(axis=1))
