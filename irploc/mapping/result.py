"""A built map as a scene: frames with poses and splits, the sparse model, and a record of how it was made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from irploc import provenance
from irploc.errors import BadInput
from irploc.files import write_text
from irploc.mapping.build import BuiltMap
from irploc.mapping.reconstruct import save_model
from irploc.readers import READERS, ReadOptions
from irploc.readers.base import absolute
from irploc.scene import Frames, Rejected, Scene

RECORD = "build.json"
_BLOCKS = 10  # of a walk, unless told otherwise
Split = Callable[[Frames], np.ndarray]


def save_map(built: BuiltMap, out: Path, name: str, split: Split, settings: dict[str, Any]) -> Scene:
    """Writes the scene folder: ``sparse/``, then ``build.json`` and a table for each split, at the end the scene itself.

    Args:
        out: the folder.
        split: gives the split of each frame.
        settings: for the record.

    Raises:
        BadInput: when something cannot be written, or by ``split``.
    """
    save_model(built.model, out / "sparse")
    scene = scene_of(built, out, name)
    scene = scene.with_splits(split(scene.frames))
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
    scene.save(out)
    return scene


def scene_of(built: BuiltMap, out: Path, name: str) -> Scene:
    """The scene of the model that lies in ``out/sparse``; all photos are mapping photos.

    Frame numbers of a video, and the order of other photos, are those of the source.
    """
    photos = built.photos
    imported = READERS.get("colmap")(out / "sparse", ReadOptions(images=photos.root))
    row_of = {photo: row for row, photo in enumerate(photos.names)}
    rows = np.array([row_of[photo] for photo in imported.frames.names])
    order = np.argsort(rows, kind="stable")
    frames = replace(imported.frames, sequences=np.array(photos.sequences, dtype=object)[rows])[order]
    registered = set(frames.names)
    left_out = (
        *photos.left_out,
        *(Rejected(photo, row, "not registered in the model") for photo, row in row_of.items() if photo not in registered),
    )
    return Scene(
        name=name,
        image_root=absolute(photos.root),
        frames=frames,
        cameras=imported.cameras,
        ground_truth="structure from motion (COLMAP)",
        source="build",
        units=imported.units,
        rejected=left_out,
    )


def block_size_for(frames: Frames) -> int:
    """So long that the longest walk has ten blocks, five of them mapping the place."""
    longest = max(int((frames.sequences == walk).sum()) for walk in set(frames.sequences))
    return max(1, round(longest / _BLOCKS))


def remove_work(out: Path) -> None:
    """Removes what is needed no more once the scene is written."""
    shutil.rmtree(out / "build", ignore_errors=True)


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
    work = out / "build" / "dense"
    interruptible(partial(pycolmap.undistort_images, str(work), str(out / "sparse"), str(photos)), out)
    interruptible(partial(pycolmap.patch_match_stereo, str(work)), out)
    pycolmap.stereo_fusion(str(out / "points.ply"), str(work))
    return out / "points.ply"
