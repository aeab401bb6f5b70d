"""nerfstudio and instant-ngp: `transforms.json` with world_from_cam matrices in OpenGL axes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from irploc.errors import BadInput, NotFound
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.images import SUFFIXES, decoded_size
from irploc.readers.base import READERS, FrameList, Imported, ReadOptions, problem_of_matrix, sequences_by_folder

_NUMBERS = ("fl_x", "fl_y", "cx", "cy", "k1", "k2", "k3", "k4", "p1", "p2", "w", "h", "camera_angle_x", "camera_angle_y")
_PERSPECTIVE = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE")
_SPLIT_KEYS = {"train_filenames": "train", "val_filenames": "validation", "test_filenames": "test"}


@READERS.register("nerfstudio")
def read_nerfstudio(path: Path, options: ReadOptions) -> Imported:
    """A folder with ``transforms.json``, or that file itself; intrinsics per file or per frame.

    Entries without an image file are rejected with that reason; ``train_filenames`` and the like define the split. The y
    and z axes of the cameras are flipped from OpenGL to OpenCV. The scale is the file's own: metric only if it was made so.

    Raises:
        NotFound, BadInput: no file, not JSON, no frames, or a matrix that is no pose.
    """
    options.only("nerfstudio", "images")
    file = path / "transforms.json" if path.is_dir() else path
    content = _load(file)
    root = options.images or file.parent
    entries = [_entry(entry, number, file) for number, entry in enumerate(content["frames"])]
    _check_matrices(entries, file)
    split_of = _splits(content, file)
    sequences = sequences_by_folder([name for name, _ in entries])
    cameras: dict[str, Camera] = {}
    frames, matrices = FrameList(root), []
    for (name, matrix), entry, sequence in zip(entries, content["frames"], sequences, strict=True):
        image = _image_file(root, name)
        if image is None or (split_of and name not in split_of):
            frames.reject(name, "no image file" if image is None else "in none of the file's splits")
            continue
        camera = _camera({**content, **entry}, image, file)
        frames.add(image, sequence, "" if camera is None else _label(camera, cameras), split_of.get(name, "train"))
        matrices.append(matrix)
    return Imported(
        frames.finish(Poses.from_opengl_matrices(np.array(matrices).reshape(-1, 4, 4)), str(file)),
        root,
        cameras,
        f"nerfstudio ({file.name})",
        tuple(frames.rejected),
        units="as in the file",
        defines_split=bool(split_of),
    )


def _load(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except FileNotFoundError:
        raise NotFound(f"no file {file}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} is not JSON: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("frames"), list) or not content["frames"]:
        raise BadInput(f"{file} has no frames: expected an object with a list 'frames'")
    return content


def _entry(entry: Any, number: int, file: Path) -> tuple[str, np.ndarray]:
    try:
        matrix = np.array(entry["transform_matrix"], dtype=np.float64)
        name = str(entry["file_path"])
    except (KeyError, TypeError, ValueError):
        raise BadInput(f"{file}: frame {number} has no readable file_path and transform_matrix") from None
    if matrix.shape == (3, 4):
        matrix = np.vstack([matrix, [0, 0, 0, 1]])
    if matrix.shape != (4, 4):
        raise BadInput(f"{file}: the transform_matrix of {name} is not a 4x4 matrix")
    return name.removeprefix("./"), matrix


def _check_matrices(entries: list[tuple[str, np.ndarray]], file: Path) -> None:
    """Raises BadInput for matrices that are no pose, with the count and the first."""
    bad = [f"{name}: {problem}" for name, matrix in entries if (problem := problem_of_matrix(matrix))]
    if bad:
        raise BadInput(f"{file}: {len(bad)} of {len(entries)} transform_matrix are no pose; first: {bad[0]}")


def _splits(content: dict[str, Any], file: Path) -> dict[str, str]:
    """Entry -> split, from the optional lists of nerfstudio; empty without them."""
    found: dict[str, str] = {}
    for key, split in _SPLIT_KEYS.items():
        for name in map(str, content.get(key) or ()):
            if found.setdefault(name.removeprefix("./"), split) != split:
                raise BadInput(f"{file}: {name} is in two of {', '.join(_SPLIT_KEYS)}")
    return found


def _image_file(root: Path, name: str) -> Path | None:
    """The photo of an entry; instant-ngp files leave the extension out."""
    if (root / name).is_file():
        return root / name
    if Path(name).suffix.lower() in SUFFIXES:
        return None
    candidates = (root / f"{name}{form}" for suffix in sorted(SUFFIXES) for form in (suffix, suffix.upper()))
    return next((path for path in candidates if path.is_file()), None)


def _camera(values: Mapping[str, Any], image: Path, file: Path) -> Camera | None:
    """Intrinsics of one frame, None where the file has no focal length."""
    try:
        known = {name: float(values[name]) for name in _NUMBERS if values.get(name) is not None}
    except (TypeError, ValueError):
        raise BadInput(f"{file}: an intrinsic parameter of {image.name} is not a number") from None
    width, height = (int(known["w"]), int(known["h"])) if "w" in known and "h" in known else decoded_size(image)
    if "fl_x" not in known and "camera_angle_x" not in known:
        return None
    fx = known.get("fl_x") or width / 2 / np.tan(known["camera_angle_x"] / 2)
    angle_y = known.get("camera_angle_y")
    fy = known.get("fl_y") or (height / 2 / np.tan(angle_y / 2) if angle_y else fx)
    pinhole = (fx, fy, known.get("cx", width / 2), known.get("cy", height / 2))
    try:
        return _with_lens(str(values.get("camera_model", "OPENCV")), width, height, pinhole, known)
    except ValueError as error:
        raise BadInput(f"{file}: intrinsics of {image.name}: {error}") from None


def _with_lens(model: str, width: int, height: int, pinhole: tuple[float, ...], known: dict[str, float]) -> Camera:
    """The simplest COLMAP model that holds the lens; ValueError where there is none."""
    k1, k2, k3, k4, p1, p2 = (known.get(name, 0.0) for name in ("k1", "k2", "k3", "k4", "p1", "p2"))
    if model == "OPENCV_FISHEYE":
        return Camera(model, width, height, (*pinhole, k1, k2, k3, k4))
    if model not in _PERSPECTIVE:
        raise ValueError(f"camera_model {model!r}, known are {', '.join(_PERSPECTIVE)} and OPENCV_FISHEYE")
    if k4:
        raise ValueError(f"k4 = {k4} without OPENCV_FISHEYE, which no camera model of COLMAP holds")
    if k3:
        return Camera("FULL_OPENCV", width, height, (*pinhole, k1, k2, p1, p2, k3, 0.0, 0.0, 0.0))
    if any((k1, k2, p1, p2)):
        return Camera("OPENCV", width, height, (*pinhole, k1, k2, p1, p2))
    return Camera("PINHOLE", width, height, pinhole)


def _label(camera: Camera, cameras: dict[str, Camera]) -> str:
    for name, known in cameras.items():
        if known == camera:
            return name
    name = f"camera{len(cameras)}"
    cameras[name] = camera
    return name
