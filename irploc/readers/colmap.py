"""COLMAP models, text or binary, read through pycolmap."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from irploc.errors import BadInput, NotFound
from irploc.files import replacing
from irploc.geometry.cameras import CAMERA_MODELS, Camera
from irploc.geometry.poses import Poses
from irploc.images import list_images
from irploc.pycolmap_safe import import_pycolmap
from irploc.readers.base import READERS, FrameList, Imported, ReadOptions, sequences_by_folder
from irploc.scene import name_of, poses_from_columns

_PARTS = ("cameras", "images", "points3D")
_MORE_PARTS = ("rigs", "frames")  # of newer versions


@READERS.register("colmap")
def read_colmap(path: Path, options: ReadOptions) -> Imported:
    """A COLMAP model: the folder with ``cameras``, ``images`` and ``points3D`` (binary or text), or one above ``sparse/0``.

    The photos are looked for in ``options.images``, else in an ``images`` folder beside or above the model. The scale is the
    model's own: metric only if it was made so. Photos in that folder that the model does not hold are rejected.

    Raises:
        NotFound: no model. BadInput: damaged, no image with a pose, or a camera model unknown here.
    """
    options.only("colmap", "images")
    model = _model_folder(path)
    pycolmap = import_pycolmap()
    try:
        reconstruction = pycolmap.Reconstruction(str(model))
    except (RuntimeError, ValueError, IndexError) as error:
        raise BadInput(f"{model} is not a readable COLMAP model: {str(error).splitlines()[-1]}") from None
    root = options.images or _image_folder(model)
    cameras = {f"camera{number}": _camera(camera, model) for number, camera in sorted(reconstruction.cameras.items())}
    images = sorted(reconstruction.images.values(), key=lambda image: image.name)
    sequences = sequences_by_folder([image.name for image in images])
    frames, posed, qvec, tvec = FrameList(root), [], [], []
    for image, sequence in zip(images, sequences, strict=True):
        if not image.has_pose:
            frames.reject(image.name, "not registered in the model")
            continue
        cam_from_world = image.cam_from_world()
        x, y, z, w = cam_from_world.rotation.quat
        posed.append(image.name)
        qvec.append([w, x, y, z])
        tvec.append(cam_from_world.translation)
        frames.add(root / image.name, sequence, f"camera{image.camera_id}")
    read = poses_from_columns(np.array(tvec).reshape(-1, 3), np.array(qvec).reshape(-1, 4), posed, str(model))
    poses = Poses.from_cam_from_world(read.world_from_cam_wxyz, read.centers_m)
    if root != model and root.is_dir():
        known = {image.name for image in images}
        for photo in sorted({name_of(file, root) for file in list_images(root)} - known):
            frames.reject(photo, "not registered in the model")
    return Imported(
        frames.finish(poses, str(model)), root, cameras, "COLMAP model", tuple(frames.rejected), units="as in the model"
    )


def keep_model(path: Path, folder: Path) -> None:
    """Copies the files of the model that ``read_colmap`` read to ``folder``, so that a scene keeps its points.

    A model that is there already is replaced; one that lies in ``folder`` itself stays as it is.

    Raises:
        NotFound: no model. BadInput: when the files cannot be written.
    """
    model = _model_folder(path)
    if model.resolve().is_relative_to(folder.resolve()):
        return
    names = {f"{part}{suffix}" for part in (*_PARTS, *_MORE_PARTS) for suffix in (".bin", ".txt")}
    for name in sorted(names):
        if not (model / name).is_file():
            (folder / name).unlink(missing_ok=True)
            continue
        with replacing(folder / name) as temporary:
            shutil.copyfile(model / name, temporary)


def _model_folder(path: Path) -> Path:
    for folder in (path, path / "sparse" / "0", path / "sparse", path / "0"):
        if any(all((folder / f"{part}{suffix}").is_file() for part in _PARTS) for suffix in (".bin", ".txt")):
            return folder
    raise NotFound(f"no COLMAP model in {path}: expected cameras, images and points3D as .bin or .txt")


def _image_folder(model: Path) -> Path:
    for folder in (model, model.parent, model.parent.parent):
        if (folder / "images").is_dir():
            return folder / "images"
    return model


def _camera(camera: Any, model: Path) -> Camera:
    name = camera.model_name
    if name not in CAMERA_MODELS:
        raise BadInput(f"{model}: camera {camera.camera_id} has model {name}, known are {', '.join(CAMERA_MODELS)}")
    try:
        return Camera(name, camera.width, camera.height, tuple(camera.params))
    except ValueError as error:
        raise BadInput(f"{model}: camera {camera.camera_id}: {error}") from None
