"""Microsoft 7-Scenes: folders `seq-NN` of `frame-XXXXXX.color.png` and `.pose.txt` (4x4, world_from_cam)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from irploc.errors import BadInput, NotFound
from irploc.geometry import rotations
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.images import decoded_size
from irploc.readers.base import READERS, FrameList, Imported, ReadOptions, numbers, read_rows, without_extension
from irploc.scene import poses_from_columns

RGB_FOCAL_PX = 525.0  # of the colour camera at 640x480; the poses are the depth sensor's, whose focal length is 585
_COLOR = re.compile(r"^frame-(\d+)\.color\.(png|jpg|jpeg)$", re.IGNORECASE)


@READERS.register("7scenes")
def read_sevenscenes(path: Path, options: ReadOptions) -> Imported:
    """A 7-Scenes scene folder, in the original layout or with ``.jpg`` photos.

    ``TrainSplit.txt`` and ``TestSplit.txt`` (lines ``sequence1``) define the split where they are there. With
    ``options.ground_truth`` the poses come from a pseudo ground truth file (``file qw qx qy qz tx ty tz f``,
    cam_from_world), matched by ``seq-NN/frame-NNNNNN``, and each focal length gives a camera with its principal point at
    the image centre.

    Raises:
        NotFound, BadInput: no sequences, or unreadable files.
    """
    if not path.is_dir():
        raise NotFound(f"no folder {path}")
    split_of = _split_of_sequences(path)
    photos = _photos(path, split_of)
    if not photos:
        raise BadInput(f"{path} has no seq-NN/frame-NNNNNN.color.png or .jpg: is it the folder of one scene?")
    if options.ground_truth:
        return _with_pseudo_ground_truth(path, photos, split_of, options.ground_truth)
    return _with_original_poses(path, photos, split_of)


def _split_of_sequences(path: Path) -> dict[str, str]:
    """Sequence folder -> split, from the dataset's own lists; empty without them."""
    found: dict[str, str] = {}
    for name, split in (("TrainSplit.txt", "train"), ("TestSplit.txt", "test")):
        if not (path / name).is_file():
            continue
        for line, words in read_rows(path / name, 1, "sequenceN"):
            number = re.search(r"(\d+)$", words[0])
            if number is None:
                raise BadInput(f"{path / name}, line {line}: {words[0]!r} is not a sequence, expected 'sequence1'")
            found[f"seq-{int(number.group(1)):02d}"] = split
    return found


def _photos(path: Path, split_of: dict[str, str]) -> list[Path]:
    """All colour photos by sequence and number; one of ``.png`` and ``.jpg`` where both are there."""
    wanted = sorted(folder for folder in path.glob("seq-*") if folder.is_dir() and (not split_of or folder.name in split_of))
    photos: dict[tuple[str, int], Path] = {}
    for folder in wanted:
        for file in sorted(folder.iterdir()):
            if match := _COLOR.match(file.name):
                photos[folder.name, int(match.group(1))] = file  # .png after .jpg, so the lossless one stays
    return [photos[key] for key in sorted(photos)]


def _with_original_poses(path: Path, photos: list[Path], split_of: dict[str, str]) -> Imported:
    width, height = decoded_size(photos[0])
    focal = RGB_FOCAL_PX * width / 640
    frames = FrameList(path)
    matrices = []
    for photo in photos:
        sequence, name = photo.parent.name, photo.relative_to(path).as_posix()
        matrix, problem = _read_matrix(photo.with_name(photo.name.partition(".")[0] + ".pose.txt"))
        if matrix is None:
            frames.reject(name, problem)
            continue
        frames.add(photo, sequence, "rgb", split_of.get(sequence, "train"))
        matrices.append(matrix)
    return Imported(
        frames.finish(Poses.from_matrices(np.array(matrices).reshape(-1, 4, 4)), str(path)),
        path,
        {"rgb": Camera("SIMPLE_PINHOLE", width, height, (focal, width / 2, height / 2))},
        "7-Scenes original poses (KinectFusion, depth sensor)",
        tuple(frames.rejected),
        defines_split=bool(split_of),
    )


def _read_matrix(path: Path) -> tuple[np.ndarray | None, str]:
    """A 4x4 pose, or None and why not."""
    try:
        matrix = np.array(path.read_text().split(), dtype=np.float64)
    except FileNotFoundError:
        return None, "no pose file"
    except ValueError:
        return None, "pose file is not numbers"
    if matrix.size != 16:
        return None, f"pose file has {matrix.size} numbers, expected 16"
    matrix = matrix.reshape(4, 4)
    try:
        rotations.quaternion_from_matrix(matrix[:3, :3])
    except ValueError as error:
        return None, f"pose is invalid: {error}"
    if not np.isfinite(matrix).all():
        return None, "pose is not finite"
    return matrix, ""


def _with_pseudo_ground_truth(path: Path, photos: list[Path], split_of: dict[str, str], file: Path) -> Imported:
    rows = read_rows(file, 8, "file qw qx qy qz tx ty tz f")
    values = numbers(rows, slice(1, 8), file)
    names = [words[0] for _, words in rows]
    row_of: dict[str, int] = {}
    for row, name in enumerate(names):
        key = _key(name)
        if key in row_of:
            raise BadInput(f"{file}, line {rows[row][0]}: {name} is there twice")
        row_of[key] = row
    cam_from_world = poses_from_columns(values[:, 4:7], values[:, :4], names, str(file))
    poses = Poses.from_cam_from_world(cam_from_world.world_from_cam_wxyz, values[:, 4:7])
    width, height = decoded_size(photos[0])
    frames, cameras, chosen = FrameList(path), {}, []
    for photo in photos:
        name = photo.relative_to(path).as_posix()
        row = row_of.get(_key(name), -1)
        if row < 0:
            frames.reject(name, f"no pose in {file.name}")
            continue
        focal = _focal(rows[row], file) if len(rows[row][1]) > 8 else RGB_FOCAL_PX * width / 640
        camera = f"f{focal:g}"
        cameras[camera] = Camera("SIMPLE_PINHOLE", width, height, (focal, width / 2, height / 2))
        frames.add(photo, photo.parent.name, camera, split_of.get(photo.parent.name, "train"))
        chosen.append(row)
    if not chosen:
        raise BadInput(f"{file} has no pose for any photo of {path}: it has {names[0] if names else 'no lines'}")
    return Imported(
        frames.finish(poses[chosen], str(path)),
        path,
        cameras,
        f"7-Scenes pseudo ground truth ({file.name})",
        tuple(frames.rejected),
        defines_split=bool(split_of),
    )


def _focal(row: tuple[int, list[str]], file: Path) -> float:
    try:
        focal = float(row[1][8])
    except ValueError:
        focal = -1.0
    if not 0 < focal < 1e6:
        raise BadInput(f"{file}, line {row[0]}: focal length {row[1][8]!r}, expected pixels")
    return focal


def _key(name: str) -> str:
    """The last folder and the frame, without extensions: ``seq-01/frame-000012``."""
    return "/".join(without_extension(name).split("/")[-2:])
