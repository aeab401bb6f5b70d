"""Whether a map's photos are still those of the scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from irploc.errors import Mismatch, summarize
from irploc.scene import Frames
from irploc.structure.pointmap import PointMap

LEFT_OUT = "left_out"  # in a map's identity: mapping photos that it was made without, one a line
AGAIN = "--from-scratch"
_SAME_POSE = 1e-6


def check_map(point_map: PointMap, place_frames: Frames, path: Path) -> str:
    """Whether a map is of the mapping photos that the embeddings have.

    Args:
        point_map: the map.
        place_frames: the photos of the place's index; only those of split ``train`` count.
        path: of the map, for the messages.

    Returns:
        A note where mapping photos came in since; empty where the map knows all of them.

    Raises:
        Mismatch: when photos of the map have another pose now, or are no mapping photos any more.
    """
    rows = {name: row for row, name in enumerate(place_frames.names) if place_frames.splits[row] == "train"}
    scene = point_map.identity.get("scene", "the scene")
    gone = [name for name in point_map.names if name not in rows]
    again = f"run 'irploc triangulate {scene} {AGAIN}'"
    if gone:
        raise Mismatch(
            f"{path} was made from {len(gone)} photos that are no mapping photos of {scene} (first: {summarize(gone[:1])}): "
            f"{again}"
        )
    now = place_frames.poses[[rows[name] for name in point_map.names]]
    moved = _moved(point_map, now.centers_m, now.world_from_cam_wxyz)
    if moved.any():
        first = point_map.names[int(np.argmax(moved))]
        raise Mismatch(
            f"{path} was made when {int(moved.sum())} of its {len(moved)} photos had another pose (first: {first}): {again}"
        )
    new = len(set(rows) - set(point_map.names) - left_out(point_map))
    return (
        f"{new} mapping photos of {scene} are newer than {path}: 'irploc triangulate {scene}' takes them in" if new else ""
    )


def left_out(point_map: PointMap) -> set[str]:
    """Names of the mapping photos that a map was made without: others show what they show, or they show nothing."""
    return set(filter(None, point_map.identity.get(LEFT_OUT, "").split("\n")))


def _moved(point_map: PointMap, centers_m: np.ndarray, quats_wxyz: np.ndarray) -> np.ndarray:
    """(N,) which photos of the map have another pose now; q and -q are the same."""
    shift = np.abs(point_map.poses.centers_m - centers_m).max(axis=1)
    before = point_map.poses.world_from_cam_wxyz
    turn = np.minimum(np.abs(before - quats_wxyz).max(axis=1), np.abs(before + quats_wxyz).max(axis=1))
    return np.asarray((shift > _SAME_POSE) | (turn > _SAME_POSE))
