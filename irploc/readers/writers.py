"""A scene's poses in other tools' formats, in full precision; every writer is the inverse of the reader of its name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from irploc.errors import BadInput, summarize
from irploc.files import write_text
from irploc.geometry.cameras import CAMERA_MODELS, Camera
from irploc.geometry.poses import Poses
from irploc.pycolmap_safe import import_pycolmap
from irploc.readers.table import CAMERA_COLUMNS
from irploc.registry import Registry
from irploc.scene import LABEL_COLUMN, POSE_COLUMNS, SPLITS, Scene

Writer = Callable[[Scene, Path], None]
WRITERS: Registry[Writer] = Registry("export format")
NAMES_ONLY = ("colmap", "csv", "tum")  # formats that hold names relative to the image root, not the photos' places
_SPLIT_KEYS = {"train": "train_filenames", "validation": "val_filenames", "test": "test_filenames"}


def export_scene(scene: Scene, format_name: str, path: Path, overwrite: bool = False) -> None:
    """Writes a scene in one of ``WRITERS``; the photos stay where they are.

    Raises:
        NotFound: no such format. BadInput: something is there already, or the format cannot hold the scene.
    """
    writer = WRITERS.get(format_name)
    there = path.is_file() or (path.is_dir() and any(path.iterdir()))
    if there and not overwrite:
        raise BadInput(f"{path} is there already: choose another --out, or give --force to overwrite it")
    if path.is_dir() and any(image.is_relative_to(path.absolute()) for image in scene.frames.images):
        raise BadInput(f"{path} holds photos of the scene, which an export must not touch: choose another --out")
    writer(scene, path)


@WRITERS.register("csv")
def write_csv(scene: Scene, path: Path) -> None:
    """All columns that the csv reader knows, intrinsics included, world_from_cam; names relative to the image root."""
    import pandas as pd

    frames = scene.frames
    table = pd.DataFrame(
        {"image": frames.names, "sequence": frames.sequences, "index": frames.indices, "split": frames.splits}
    )
    table[POSE_COLUMNS] = np.concatenate([frames.poses.centers_m, frames.poses.world_from_cam_wxyz], axis=1)
    cells = {"": ("", "", "", "")} | {name: _camera_cells(camera) for name, camera in scene.cameras.items()}
    table["camera"] = frames.cameras
    table[CAMERA_COLUMNS] = [cells[name] for name in frames.cameras]
    if frames.learned.any():
        table[LABEL_COLUMN] = frames.labels
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)


@WRITERS.register("tum")
def write_tum(scene: Scene, path: Path) -> None:
    """A trajectory ``stamp tx ty tz qx qy qz qw`` in a folder with ``rgb.txt``; stamps are seconds, one a frame.

    A path that ends in ``.txt`` gets the trajectory alone.

    Raises:
        BadInput: for names with spaces, which the format cannot hold.
    """
    poses = scene.frames.poses
    alone = path.suffix == ".txt"
    trajectory = path if alone else path / "groundtruth.txt"
    if not alone and (spaced := [name for name in scene.frames.names if " " in name]):
        raise BadInput(f"tum cannot hold names with spaces; first of {len(spaced)}: {spaced[0]!r}")
    trajectory.parent.mkdir(parents=True, exist_ok=True)
    write_trajectory(trajectory, range(len(poses)), poses)
    if not alone:
        listing = [f"{stamp:d}.000000 {name}" for stamp, name in enumerate(scene.frames.names)]
        _write_lines(path / "rgb.txt", ["# timestamp filename", *listing])
        _write_lists(path, scene.frames.names, scene.frames.splits)


def write_trajectory(path: Path, times_s: Iterable[float], poses: Poses) -> int:
    """Writes lines ``time tx ty tz qx qy qz qw`` (world_from_cam) of the frames that have a pose.

    Returns:
        How many there were.
    """
    rows = zip(times_s, poses.centers_m, poses.world_from_cam_wxyz, poses.valid, strict=True)
    lines = [f"{time_s:.6f} {_words((*center, x, y, z, w))}" for time_s, center, (w, x, y, z), valid in rows if valid]
    _write_lines(path, ["# timestamp tx ty tz qx qy qz qw (world_from_cam)", *lines])
    return len(lines)


@WRITERS.register("7scenes")
def write_sevenscenes(scene: Scene, path: Path) -> None:
    """``seq-NN/frame-NNNNNN.pose.txt`` (4x4 world_from_cam), with the photos as links beside them.

    ``TrainSplit.txt`` and ``TestSplit.txt`` tell the split where it is by whole sequences, else lists of photos. Intrinsics
    are not part of the format.

    Raises:
        BadInput: when two photos of a sequence have the same number, or a photo would be overwritten.
    """
    frames = scene.frames
    pairs = list(zip(frames.sequences, frames.indices, strict=True))
    if len(set(pairs)) < len(pairs):
        raise BadInput(f"scene {scene.name} has photos of the same number in one sequence, which 7scenes cannot hold")
    stems = []
    folder_of = _sequence_folders(sorted(set(frames.sequences)))
    for row, matrix in enumerate(frames.poses.to_matrices()):
        stem = f"{folder_of[frames.sequences[row]]}/frame-{frames.indices[row]:06d}"
        (path / stem).parent.mkdir(parents=True, exist_ok=True)
        _write_lines(path / f"{stem}.pose.txt", [_words(line) for line in matrix])
        suffix = ".png" if frames.images[row].suffix.lower() == ".png" else ".jpg"
        _link(frames.images[row], path / f"{stem}.color{suffix}")
        stems.append(stem)
    splits_of = {folder: set(frames.splits[frames.sequences == sequence]) for sequence, folder in folder_of.items()}
    if all(len(splits) == 1 and splits <= {"train", "test"} for splits in splits_of.values()):
        for split, name in (("train", "TrainSplit.txt"), ("test", "TestSplit.txt")):
            chosen = [folder for folder, splits in splits_of.items() if splits == {split}]
            _write_lines(path / name, [f"sequence{int(folder.removeprefix('seq-'))}" for folder in chosen])
    else:
        _write_lists(path, stems, frames.splits)


@WRITERS.register("nerfstudio")
def write_nerfstudio(scene: Scene, path: Path) -> None:
    """``transforms.json`` (OpenGL axes) with intrinsics per frame, absolute image paths, and lists of the splits.

    Raises:
        BadInput: for a camera model that nerfstudio does not know.
    """
    frames = scene.frames
    entries = []
    for row, matrix in enumerate(frames.poses.to_opengl_matrices()):
        entry: dict[str, object] = {"file_path": str(frames.images[row]), "transform_matrix": matrix.tolist()}
        if frames.cameras[row]:
            entry |= _nerfstudio_intrinsics(scene.cameras[frames.cameras[row]])
        entries.append(entry)
    content: dict[str, object] = {"frames": entries}
    if len(set(frames.splits)) > 1:
        for split, key in _SPLIT_KEYS.items():
            content[key] = [str(frames.images[row]) for row in np.flatnonzero(frames.splits == split)]
    write_text(path / "transforms.json", json.dumps(content, indent=1))


@WRITERS.register("colmap")
def write_colmap(scene: Scene, path: Path) -> None:
    """A COLMAP model with cameras and images and no points; text, or binary where names have spaces.

    Raises:
        BadInput: when an image has no intrinsics.
    """
    if "" in scene.frames.cameras:
        lost = [name for name, camera in zip(scene.frames.names, scene.frames.cameras, strict=True) if not camera]
        raise BadInput(
            f"COLMAP needs intrinsics for every image, {len(lost)} of scene {scene.name} have none: {summarize(lost)}"
        )
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
    spaced = any(" " in name for name in scene.frames.names)  # a text model ends a name at its first space
    (model.write_binary if spaced else model.write_text)(str(path))
    _write_lists(path, scene.frames.names, scene.frames.splits)


def _camera_cells(camera: Camera) -> tuple[str, int, int, str]:
    return camera.model, camera.width, camera.height, _words(camera.params)


def _nerfstudio_intrinsics(camera: Camera) -> dict[str, object]:
    values = dict(zip(CAMERA_MODELS[camera.model], camera.params, strict=True))
    fisheye = camera.model == "OPENCV_FISHEYE"
    rational = any(values.get(name) for name in ("k4", "k5", "k6")) and not fisheye
    known = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE", "FULL_OPENCV")
    if camera.model not in known or rational:
        raise BadInput(f"nerfstudio cannot hold a {camera.model} camera with parameters {_words(camera.params)}")
    fx, fy = camera.focal_px
    cx, cy = camera.principal_point_px
    entry: dict[str, object] = {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "w": camera.width, "h": camera.height}
    entry |= {"k1": values["k"]} if "k" in values else {}
    entry |= {name: values[name] for name in ("k1", "k2", "k3", "k4", "p1", "p2") if name in values}
    return entry | {"camera_model": "OPENCV_FISHEYE" if fisheye else "OPENCV"}


def _sequence_folders(sequences: list[str]) -> dict[str, str]:
    """Sequence -> ``seq-NN``: names of that kind stay, if all are; else they are numbered in order."""
    if all(name[4:].isdecimal() and name == f"seq-{int(name[4:]):02d}" for name in sequences):
        return {name: name for name in sequences}
    return {name: f"seq-{number:02d}" for number, name in enumerate(sequences, start=1)}


def _write_lists(folder: Path, names: Iterable[str], splits: np.ndarray) -> None:
    """``train_list.txt`` and ``test_list.txt`` for the import's options, where the format has no place for a split."""
    if len(set(splits)) < 2:
        return
    for split in SPLITS:
        chosen = [name for name, of in zip(names, splits, strict=True) if of == split]
        if chosen:
            _write_lines(folder / f"{split}_list.txt", chosen)


def _link(source: Path, target: Path) -> None:
    if target.is_symlink():
        target.unlink()
    elif target.exists():
        raise BadInput(f"{target} is a file: an export does not overwrite photos, choose another --out")
    target.symlink_to(source)


def _words(values: Iterable[float]) -> str:
    return " ".join(repr(float(value)) for value in values)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    write_text(path, "".join(f"{line}\n" for line in lines))
