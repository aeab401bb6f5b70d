"""A scene's poses in other tools' formats, in full precision; every writer is the inverse of the reader of its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from irploc.errors import BadInput
from irploc.geometry.cameras import CAMERA_MODELS, Camera
from irploc.pycolmap_safe import import_pycolmap
from irploc.registry import Registry
from irploc.scene import POSE_COLUMNS, Scene

Writer = Callable[[Scene, Path], None]
WRITERS: Registry[Writer] = Registry("export format")


@WRITERS.register("csv")
def write_csv(scene: Scene, path: Path) -> None:
    """``image,sequence,index,split,tx,…,qz`` with names relative to the scene's image root, world_from_cam."""
    import pandas as pd

    frames = scene.frames
    table = pd.DataFrame(
        {"image": frames.names, "sequence": frames.sequences, "index": frames.indices, "split": frames.splits}
    )
    table[POSE_COLUMNS] = np.concatenate([frames.poses.centers_m, frames.poses.world_from_cam_wxyz], axis=1)
    _parent(path)
    table.to_csv(path, index=False)


@WRITERS.register("tum")
def write_tum(scene: Scene, path: Path) -> None:
    """A trajectory ``stamp tx ty tz qx qy qz qw`` in a folder with ``rgb.txt``; stamps are seconds, one a frame.

    A path that ends in ``.txt`` gets the trajectory alone.
    """
    poses = scene.frames.poses
    lines = [
        f"{stamp:d}.000000 " + " ".join(repr(float(value)) for value in (*center, x, y, z, w))
        for stamp, (center, (w, x, y, z)) in enumerate(zip(poses.centers_m, poses.world_from_cam_wxyz, strict=True))
    ]
    alone = path.suffix == ".txt"
    trajectory = path if alone else path / "groundtruth.txt"
    _parent(trajectory)
    trajectory.write_text("# timestamp tx ty tz qx qy qz qw (world_from_cam)\n" + "\n".join(lines) + "\n")
    if not alone:
        listing = [f"{stamp:d}.000000 {name}" for stamp, name in enumerate(scene.frames.names)]
        (path / "rgb.txt").write_text("# timestamp filename\n" + "\n".join(listing) + "\n")


@WRITERS.register("7scenes")
def write_sevenscenes(scene: Scene, path: Path) -> None:
    """``seq-NN/frame-NNNNNN.pose.txt`` (4x4 world_from_cam), with the photos as links beside them, and the split lists.

    Raises:
        BadInput: when a sequence holds both mapping and test photos, which the format cannot say.
    """
    frames = scene.frames
    sequences = sorted(set(frames.sequences))
    split_of: dict[str, str] = {}
    for number, sequence in enumerate(sequences, start=1):
        rows = np.flatnonzero(frames.sequences == sequence)
        splits = {str(split) for split in frames.splits[rows]}
        if len(splits) > 1:
            raise BadInput(
                f"sequence {sequence!r} holds {' and '.join(sorted(splits))} images: 7scenes splits whole sequences only"
            )
        split_of[f"sequence{number}"] = splits.pop()
        folder = path / f"seq-{number:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        for row, matrix in zip(rows, frames[rows].poses.to_matrices(), strict=True):
            stem = f"frame-{frames.indices[row]:06d}"
            (folder / f"{stem}.pose.txt").write_text(
                "\n".join(" ".join(repr(float(v)) for v in line) for line in matrix) + "\n"
            )
            _link(frames.images[row], folder / f"{stem}.color{_color_suffix(frames.images[row])}")
    for split, name in (("train", "TrainSplit.txt"), ("test", "TestSplit.txt")):
        (path / name).write_text("".join(f"{sequence}\n" for sequence, kind in split_of.items() if kind == split))


@WRITERS.register("nerfstudio")
def write_nerfstudio(scene: Scene, path: Path) -> None:
    """``transforms.json`` (OpenGL axes), intrinsics per frame, absolute image paths.

    Raises:
        BadInput: for a camera model that nerfstudio does not know.
    """
    entries = []
    for row, matrix in enumerate(scene.frames.poses.to_opengl_matrices()):
        entry: dict[str, object] = {"file_path": str(scene.frames.images[row]), "transform_matrix": matrix.tolist()}
        if scene.frames.cameras[row]:
            entry |= _nerfstudio_intrinsics(scene.cameras[scene.frames.cameras[row]])
        entries.append(entry)
    path.mkdir(parents=True, exist_ok=True)
    (path / "transforms.json").write_text(json.dumps({"frames": entries}, indent=1))


@WRITERS.register("colmap")
def write_colmap(scene: Scene, path: Path) -> None:
    """A COLMAP text model with cameras and images and no points.

    Raises:
        BadInput: when an image has no intrinsics.
    """
    if "" in scene.frames.cameras:
        raise BadInput(f"scene {scene.name} has images without intrinsics, COLMAP needs them for every image")
    pycolmap = import_pycolmap()
    model = pycolmap.Reconstruction()
    number_of = {name: number for number, name in enumerate(scene.cameras, start=1)}
    for name, camera in scene.cameras.items():
        made = pycolmap.Camera(
            camera_id=number_of[name],
            model=camera.model,
            width=camera.width,
            height=camera.height,
            params=list(camera.params),
        )
        model.add_camera_with_trivial_rig(made)
    qvec, tvec = scene.frames.poses.to_cam_from_world()
    for row, name in enumerate(scene.frames.names):
        w, x, y, z = qvec[row]
        image = pycolmap.Image(name=name, camera_id=number_of[scene.frames.cameras[row]], image_id=row + 1)
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([x, y, z, w])), tvec[row])
        model.add_image_with_trivial_frame(image, pose)
    path.mkdir(parents=True, exist_ok=True)
    model.write_text(str(path))


def _nerfstudio_intrinsics(camera: Camera) -> dict[str, object]:
    values = dict(zip(CAMERA_MODELS[camera.model], camera.params, strict=True))
    fisheye = camera.model == "OPENCV_FISHEYE"
    if not fisheye and camera.model not in ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV"):
        raise BadInput(f"nerfstudio has no camera model {camera.model}")
    fx, fy = camera.focal_px
    cx, cy = camera.principal_point_px
    entry: dict[str, object] = {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "w": camera.width, "h": camera.height}
    entry |= {"k1": values["k"]} if "k" in values else {}
    entry |= {name: values[name] for name in ("k1", "k2", "k3", "k4", "p1", "p2") if name in values}
    return entry | {"camera_model": "OPENCV_FISHEYE" if fisheye else "OPENCV"}


def _color_suffix(image: Path) -> str:
    return ".png" if image.suffix.lower() == ".png" else ".jpg"


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    target.symlink_to(source)


def _parent(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
