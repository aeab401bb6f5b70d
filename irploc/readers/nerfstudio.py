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
from irploc.readers.base import READERS, FrameList, Imported, ReadOptions

_NUMBERS = ("fl_x", "fl_y", "cx", "cy", "k1", "k2", "k3", "k4", "p1", "p2", "w", "h", "camera_angle_x", "camera_angle_y")


@READERS.register("nerfstudio")
def read_nerfstudio(path: Path, options: ReadOptions) -> Imported:
    """A folder with ``transforms.json``, or that file itself; intrinsics per file or per frame.

    Entries without an image file are rejected with that reason. The y and z axes of the cameras are flipped from OpenGL to
    OpenCV. The scale is the file's own: metric only if it was made so.

    Raises:
        NotFound, BadInput: no file, not JSON, no frames, or a matrix that is no pose.
    """
    file = path / "transforms.json" if path.is_dir() else path
    content = _load(file)
    root = options.images or file.parent
    cameras: dict[str, Camera] = {}
    frames, matrices = FrameList(root), []
    for number, entry in enumerate(content["frames"]):
        name, matrix = _entry(entry, number, file)
        image = _image_file(root, name)
        if image is None:
            frames.reject(name, "no image file")
            continue
        camera = _camera({**content, **entry}, image, file)
        label = "" if camera is None else _label(camera, cameras)
        frames.add(image, "", label)
        matrices.append(matrix)
    try:
        poses = Poses.from_opengl_matrices(np.array(matrices).reshape(-1, 4, 4))
    except ValueError as error:
        raise BadInput(f"{file}: a transform_matrix is no pose: {error}") from None
    return Imported(
        frames.finish(poses, str(file)),
        root,
        cameras,
        f"nerfstudio ({file.name})",
        tuple(frames.rejected),
        units="as in the file",
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
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise BadInput(f"{file}: the transform_matrix of {name} is not a finite 4x4 matrix")
    return name.removeprefix("./"), matrix


def _image_file(root: Path, name: str) -> Path | None:
    """The photo of an entry; instant-ngp files leave the extension out."""
    if (root / name).is_file():
        return root / name
    if Path(name).suffix.lower() in SUFFIXES:
        return None
    return next((path for path in sorted(root.glob(f"{name}.*")) if path.suffix.lower() in SUFFIXES), None)


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
    k = [known.get(name, 0.0) for name in ("k1", "k2", "k3", "k4")]
    p = [known.get(name, 0.0) for name in ("p1", "p2")]
    try:
        if "FISHEYE" in str(values.get("camera_model", "")).upper():
            return Camera("OPENCV_FISHEYE", width, height, (*pinhole, *k))
        if any(k[2:]):
            return Camera("FULL_OPENCV", width, height, (*pinhole, k[0], k[1], *p, k[2], 0.0, 0.0, 0.0))
        if any(k) or any(p):
            return Camera("OPENCV", width, height, (*pinhole, k[0], k[1], *p))
        return Camera("PINHOLE", width, height, pinhole)
    except ValueError as error:
        raise BadInput(f"{file}: intrinsics of {image.name}: {error}") from None


def _label(camera: Camera, cameras: dict[str, Camera]) -> str:
    for name, known in cameras.items():
        if known == camera:
            return name
    name = f"camera{len(cameras)}"
    cameras[name] = camera
    return name
