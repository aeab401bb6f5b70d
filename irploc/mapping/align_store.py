"""Applies a similarity to a scene folder, poses and kept points, in a way that can be taken back and interrupted."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from irploc.errors import BadInput
from irploc.geometry.similarity import AlignmentStep, Similarity
from irploc.pointcloud import MODEL_FILES
from irploc.pycolmap_safe import import_pycolmap
from irploc.scene import UNFINISHED, Scene

_PREPARED = ".aligning"


def aligned(scene: Scene, step: AlignmentStep) -> Scene:
    """The scene after one more step: poses, units and record."""
    frames = replace(scene.frames, poses=step.similarity.apply_to_poses(scene.frames.poses))
    return replace(scene, frames=frames, units=step.units_after, alignment=(*scene.alignment, step))


def unaligned(scene: Scene) -> tuple[Scene, Similarity]:
    """The scene before its last step, up to rounding, and the similarity that takes it there.

    Raises:
        BadInput: when nothing was done to it.
    """
    if not scene.alignment:
        raise BadInput(f"scene {scene.name} has no alignment to undo")
    last = scene.alignment[-1]
    back = last.similarity.inverse()
    frames = replace(scene.frames, poses=back.apply_to_poses(scene.frames.poses))
    return replace(scene, frames=frames, units=last.units_before, alignment=scene.alignment[:-1]), back


def store(folder: Path, scene: Scene, new_from_old: Similarity) -> None:
    """Writes a scene whose frame was changed, and moves the sparse model that the folder keeps with it.

    Everything is written beside the old files first; then they are exchanged. Interrupted before that, nothing has changed;
    after it, the scene refuses to be read until ``finish`` has ended the exchange.

    Raises:
        BadInput: when a file cannot be written (no room, no permission) or the model cannot be read; nothing has changed.
    """
    prepared = folder / _PREPARED
    try:
        shutil.rmtree(prepared, ignore_errors=True)
        prepared.mkdir()
        for name, text in scene.texts(folder).items():
            (prepared / name).write_text(text, encoding="utf-8", newline="\n")
        model = sparse_folder(folder)
        if model is not None:
            target = prepared / model.relative_to(folder)
            target.mkdir(parents=True)
            _transform_model(model, target, new_from_old)
        prepared.rename(folder / UNFINISHED)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise BadInput(f"cannot write {folder}: {reason}; the scene is unchanged") from None
    finally:
        shutil.rmtree(prepared, ignore_errors=True)
    finish(folder)


def finish(folder: Path) -> bool:
    """Ends an exchange of files that was interrupted; whether there was one."""
    ready = folder / UNFINISHED
    if not ready.is_dir():
        return False
    for path in sorted(ready.rglob("*")):
        if path.is_file():
            path.replace(folder / path.relative_to(ready))
    shutil.rmtree(ready)
    return True


def sparse_folder(folder: Path) -> Path | None:
    """Where a scene keeps its COLMAP model, None where it has none."""
    for model in (folder / "sparse" / "0", folder / "sparse"):
        if _suffix(model):
            return model
    return None


def load_model(model: Path) -> Any:
    """pycolmap's reconstruction.

    Raises:
        BadInput: when it is damaged.
    """
    try:
        return import_pycolmap().Reconstruction(str(model))
    except (RuntimeError, ValueError, IndexError) as error:
        raise BadInput(f"{model} is not a readable COLMAP model: {str(error).splitlines()[-1]}") from None


def _transform_model(model: Path, target: Path, new_from_old: Similarity) -> None:
    reconstruction = load_model(model)
    pycolmap = import_pycolmap()
    reconstruction.transform(pycolmap.Sim3d(np.ascontiguousarray(new_from_old.matrix[:3])))
    if _suffix(model) == ".bin":
        reconstruction.write_binary(str(target))
    else:
        reconstruction.write_text(str(target))


def _suffix(model: Path) -> str:
    suffixes = (".bin", ".txt")
    return next((end for end in suffixes if all((model / f"{part}{end}").is_file() for part in MODEL_FILES)), "")
