"""Applies a similarity to a scene folder, poses and points, in a way that can be taken back and interrupted."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from irploc.errors import BadInput
from irploc.geometry import rotations
from irploc.geometry.similarity import AlignmentStep, Similarity
from irploc.ply import move_ply
from irploc.pointcloud import MODEL_FILES, read_model
from irploc.pycolmap_safe import import_pycolmap
from irploc.retrieval.store import lock
from irploc.scene import UNFINISHED, Scene

_PREPARED = ".aligning"
_CLOUD = "points.ply"


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
    """Writes a scene whose frame was changed, and moves the sparse model and the dense cloud that the folder keeps
    with it.

    Everything is written beside the old files first; then they are exchanged. Interrupted before that, nothing has changed;
    after it, the scene refuses to be read until ``finish`` has ended the exchange.

    Raises:
        Busy: another process aligns the scene. BadInput: when a file cannot be written (no room, no permission), the points
            cannot be read or are not in the scene's frame, or the scene has changed since it was read; nothing has changed.
    """
    with lock(folder / "scene.toml"):
        _check_unchanged(folder, scene, new_from_old)
        _prepare(folder, scene, new_from_old)
        finish(folder)


def _prepare(folder: Path, scene: Scene, new_from_old: Similarity) -> None:
    """Writes the new files beside the old ones."""
    prepared = folder / _PREPARED
    try:
        shutil.rmtree(prepared, ignore_errors=True)
        prepared.mkdir()
        for name, text in scene.texts(folder).items():
            (prepared / name).write_text(text, encoding="utf-8", newline="\n")
        model = sparse_folder(folder)
        if model is not None:
            _check_own(folder)
            target = prepared / model.relative_to(folder)
            target.mkdir(parents=True)
            _transform_model(model, target, new_from_old, scene)
        if (folder / _CLOUD).is_file():
            turn = partial(rotations.rotate, new_from_old.rotation_wxyz)
            move_ply(folder / _CLOUD, prepared / _CLOUD, new_from_old.apply, turn)
        prepared.rename(folder / UNFINISHED)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise BadInput(f"cannot write {folder}: {reason}; the scene is unchanged") from None
    finally:
        shutil.rmtree(prepared, ignore_errors=True)


def _check_unchanged(folder: Path, scene: Scene, new_from_old: Similarity) -> None:
    """Raises BadInput where the poses on disk are not those that the new ones were made of."""
    now = new_from_old.apply_to_poses(Scene.load(folder).frames.poses).centers_m
    new = scene.frames.poses.centers_m
    if now.shape != new.shape or not np.allclose(now, new, rtol=1e-6, atol=1e-6 * max(float(np.ptp(new)), 1e-9)):
        raise BadInput(f"{folder} was changed by someone else meanwhile: run the command again")


def _check_own(folder: Path) -> None:
    """Raises BadInput for a model that other scenes may use too."""
    sparse = folder / "sparse"
    if sparse.is_symlink() or (sparse / "0").is_symlink():
        raise BadInput(f"{sparse} is a link, and the model there would move for others too: put a copy in its place")


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
    """Where a scene keeps its COLMAP model, None where it has none.

    Raises:
        BadInput: when some of its files are missing.
    """
    for model in (folder / "sparse" / "0", folder / "sparse"):
        if _suffix(model):
            return model
    for part in MODEL_FILES:
        if any((folder / "sparse" / f"{part}{end}").is_file() for end in (".bin", ".txt")):
            raise BadInput(
                f"{folder / 'sparse'} is no whole COLMAP model: it needs {', '.join(MODEL_FILES)}, all .bin or all .txt"
            )
    return None


def load_model(model: Path) -> Any:
    """pycolmap's reconstruction; raises BadInput when it is damaged."""
    return read_model(model)


def _transform_model(model: Path, target: Path, new_from_old: Similarity, scene: Scene) -> None:
    reconstruction = load_model(model)
    pycolmap = import_pycolmap()
    _check_frame(reconstruction, model, scene, new_from_old)
    reconstruction.transform(pycolmap.Sim3d(np.ascontiguousarray(new_from_old.matrix[:3])))
    if _suffix(model) == ".bin":
        reconstruction.write_binary(str(target))
    else:
        reconstruction.write_text(str(target))


def _check_frame(reconstruction: Any, model: Path, scene: Scene, new_from_old: Similarity) -> None:
    """Raises BadInput where photos of the model are elsewhere than those of the scene: it is of another frame or map."""
    row_of = {name: row for row, name in enumerate(scene.frames.names)}
    known = [image for image in reconstruction.images.values() if image.has_pose and image.name in row_of]
    if not known:
        return
    there = new_from_old.apply(np.array([image.projection_center() for image in known]))
    here = scene.frames.poses.centers_m[[row_of[image.name] for image in known]]
    extent = max(float(np.ptp(scene.frames.poses.centers_m, axis=0).max()), 1e-9)
    if np.median(np.linalg.norm(there - here, axis=1)) > 0.01 * extent:
        raise BadInput(
            f"{model} is not in the frame of the scene: its photos are elsewhere; put the scene's own model there"
        )


def _suffix(model: Path) -> str:
    suffixes = (".bin", ".txt")
    return next((end for end in suffixes if all((model / f"{part}{end}").is_file() for part in MODEL_FILES)), "")
