"""A scene with the photos that it learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.learning.memory import Decided
from irploc.readers.base import without_extension
from irploc.scene import LEARNED, Frames, Scene, name_of

_CAMERA = "learned-camera"


def with_learned(scene: Scene, decided: Sequence[Decided]) -> Scene:
    """The scene with the kept photos as mapping photos, labelled as estimates; they are no rejected photos any more."""
    cameras = dict(scene.cameras)
    parts = [scene.frames, *(_frames(one, scene.image_root, cameras) for one in decided if one.kept.any())]
    frames = Frames.concatenate(parts)
    mapped = {without_extension(name) for name in frames.names}
    rejected = tuple(item for item in scene.rejected if without_extension(item.image) not in mapped)
    return replace(scene, frames=frames, cameras=cameras, rejected=rejected)


def save_learned(before: Scene, after: Scene, folder: Path) -> None:
    """Writes the scene so that it can be read whenever the process dies: cameras before the photos that name them."""
    replace(before, cameras=after.cameras).save(folder)
    after.save(folder)


def _frames(decided: Decided, image_root: Path, cameras: dict[str, Camera]) -> Frames:
    """The kept photos of a walk; their cameras are added to ``cameras``."""
    rows = np.flatnonzero(decided.kept)
    images = tuple(decided.walk.photos[row] for row in rows)
    answers = [decided.answers[row] for row in rows]
    return Frames(
        images=images,
        names=tuple(name_of(image, image_root) for image in images),
        sequences=np.full(len(rows), decided.sequence, dtype=object),
        indices=np.array([decided.walk.indices[row] for row in rows], dtype=np.int64),
        splits=np.full(len(rows), "train", dtype=object),
        cameras=tuple("" if found.camera is None else _named(found.camera, cameras) for found in answers),
        poses=Poses(
            np.array([found.center_m for found in answers], dtype=np.float64),
            np.array([found.world_from_cam_wxyz for found in answers], dtype=np.float64),
        ),
        labels=np.full(len(rows), LEARNED, dtype=object),
    )


def _named(camera: Camera, cameras: dict[str, Camera]) -> str:
    """The name of a camera among those of the scene, under which it is added if need be."""
    for name, known in cameras.items():
        if known == camera:
            return name
    number = 1
    while f"{_CAMERA}{number}" in cameras:
        number += 1
    cameras[f"{_CAMERA}{number}"] = camera
    return f"{_CAMERA}{number}"
