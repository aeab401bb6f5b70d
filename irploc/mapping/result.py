"""A built map as a scene: frames with poses and splits, the sparse model, and a record of how it was made."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from irploc import provenance
from irploc.errors import BadInput
from irploc.files import write_text
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.mapping.build import BuiltMap
from irploc.mapping.known_positions import TIMES
from irploc.mapping.photos import PhotoSet
from irploc.mapping.reconstruct import save_model
from irploc.mapping.work import WORK
from irploc.readers.base import absolute, number_in_name
from irploc.scene import UNFINISHED, Frames, Rejected, Scene

RECORD = "build.json"
_BLOCKS = 10  # of a walk, unless told otherwise
Split = Callable[[Frames], np.ndarray]


def assemble(built: BuiltMap, out: Path, name: str, split: Split, settings: dict[str, Any]) -> Scene:
    """Writes all of the scene's folder but the scene itself, whose ``save`` says that it is whole.

    ``images/`` of a video, ``sparse/``, ``build.json``, the times of a video's frames, and a table for each split. A scene
    that was there is none from here on.

    Args:
        out: the folder.
        split: gives the split of each frame.
        settings: for the record.

    Raises:
        BadInput: when something cannot be written; by ``split``, with nothing changed.
    """
    scene = scene_of(built, name)
    scene = scene.with_splits(split(scene.frames))
    for stale in ("scene.toml", "map.png", "points.ply"):
        (out / stale).unlink(missing_ok=True)
    for stale in (UNFINISHED, ".aligning", "crops"):
        shutil.rmtree(out / stale, ignore_errors=True)
    _rename_images(built)
    save_model(built.model, out / "sparse")
    if built.photos.times_s:
        _move_frames(built.photos)
        lines = [f"{number},{seconds:.6f}" for number, seconds in sorted(built.photos.times_s.items())]
        write_text(out / TIMES, "\n".join(["index,time_s", *lines, ""]))
    record = {
        **provenance.header("irploc-build-record", 1),
        "source": built.photos.words,
        "quality": built.quality.to_json(),
        "seconds": {stage: round(spent, 2) for stage, spent in built.seconds.items()},
        "settings": settings,
    }
    write_text(out / RECORD, json.dumps(record, indent=2))
    for table, text in scene.split_tables(out).items():
        write_text(out / table, text)
    return scene


def scene_of(built: BuiltMap, name: str) -> Scene:
    """The scene of a map; all photos are mapping photos.

    ``index`` is the frame's number in a video, else the number in the photo's name where that tells the photos of a walk
    apart, else its place in the walk.
    """
    photos, model = built.photos, built.model.reconstruction
    row_of = {file: row for row, file in enumerate(photos.files)}
    posed = sorted((row_of[image.name], image) for image in model.images.values() if image.has_pose)
    rows = np.array([row for row, _ in posed])
    quats = np.array([np.roll(image.cam_from_world().rotation.quat, 1) for _, image in posed])
    shifts = np.array([image.cam_from_world().translation for _, image in posed])
    names = [photos.names[row] for row in rows]
    frames = Frames(
        images=tuple(absolute(photos.root / photo) for photo in names),
        names=tuple(names),
        sequences=np.array([photos.sequences[row] for row in rows], dtype=object),
        indices=_indices(photos)[rows],
        splits=np.full(len(rows), "train", dtype=object),
        cameras=tuple(f"camera{image.camera_id}" for _, image in posed),
        poses=Poses.from_cam_from_world(quats, shifts),
    )
    cameras = {
        f"camera{number}": Camera(camera.model_name, camera.width, camera.height, tuple(camera.params))
        for number, camera in sorted(model.cameras.items())
        if f"camera{number}" in frames.cameras
    }
    lost = sorted(set(range(len(photos))) - set(rows.tolist()))
    left_out = [Rejected(photos.names[row], int(_indices(photos)[row]), "not registered in the model") for row in lost]
    return Scene(
        name=name,
        image_root=absolute(photos.root),
        frames=frames,
        cameras=cameras,
        ground_truth="structure from motion (COLMAP)",
        source="build",
        units="as in the model",
        rejected=(*photos.left_out, *left_out),
    )


def _indices(photos: PhotoSet) -> np.ndarray:
    """(N,) see ``scene_of``."""
    found = [number_in_name(name) for name in photos.names]
    pairs = set(zip(photos.sequences, found, strict=True))
    if None not in found and len(pairs) == len(found):
        return np.array(found, dtype=np.int64)
    seen: Counter[str] = Counter()
    places = []
    for walk in photos.sequences:
        places.append(seen[walk])
        seen[walk] += 1
    return np.array(places, dtype=np.int64)


def _rename_images(built: BuiltMap) -> None:
    """The model's photos get their own names, where COLMAP needed others."""
    name_of_file = dict(zip(built.photos.files, built.photos.names, strict=True))
    for image in built.model.reconstruction.images.values():
        image.name = name_of_file.get(image.name, image.name)


def _move_frames(photos: PhotoSet) -> None:
    """The frames of a video come to the scene; those of an earlier build go."""
    try:
        photos.root.mkdir(parents=True, exist_ok=True)
        for old in photos.root.glob("frame-*.jpg"):
            if old.name not in photos.names:
                old.unlink()
        for file in photos.files:
            shutil.copyfile(photos.readable / file, photos.root / file)
    except OSError as error:
        raise BadInput(f"cannot write frames to {photos.root}: {error.strerror or error}") from None


def in_order_of_walks(frames: Frames) -> Frames:
    """The frames numbered by their place in the walk, for splits that count photos: the numbers of a video's frames have
    gaps."""
    indices = np.zeros(len(frames), dtype=np.int64)
    for walk in set(frames.sequences):
        rows = np.flatnonzero(frames.sequences == walk)
        indices[rows[np.argsort(frames.indices[rows], kind="stable")]] = np.arange(len(rows))
    return replace(frames, indices=indices)


def block_size_for(frames: Frames) -> int:
    """So long that the longest walk has ten blocks, five of them mapping the place."""
    longest = max(int((frames.sequences == walk).sum()) for walk in set(frames.sequences))
    return max(1, round(longest / _BLOCKS))


def remove_work(out: Path) -> None:
    """Removes what is needed no more once the scene is written."""
    shutil.rmtree(out / WORK, ignore_errors=True)


def check_dense() -> None:
    """Raises BadInput where pycolmap has no CUDA, which dense stereo needs."""
    from irploc.pycolmap_safe import import_pycolmap

    if not import_pycolmap().has_cuda:
        raise BadInput("--dense needs a pycolmap that was built with CUDA, and this one was not: leave --dense out")


def dense_points(out: Path, photos: Path) -> Path:
    """A dense cloud ``out/points.ply`` by patch-match stereo and fusion; needs CUDA.

    Raises:
        BadInput: without CUDA.
    """
    from irploc.mapping.colmap_calls import interruptible
    from irploc.pycolmap_safe import import_pycolmap

    check_dense()
    pycolmap = import_pycolmap()
    work = out / WORK / "dense"
    interruptible(partial(pycolmap.undistort_images, str(work), str(out / "sparse"), str(photos)), out)
    interruptible(partial(pycolmap.patch_match_stereo, str(work)), out)
    interruptible(partial(pycolmap.stereo_fusion, str(out / "points.ply"), str(work)), out)
    return out / "points.ply"
