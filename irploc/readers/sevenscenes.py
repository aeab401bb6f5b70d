"""Microsoft 7-Scenes: folders `seq-NN` of `frame-XXXXXX.color.png` and `.pose.txt` (4x4, world_from_cam)."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from irploc import provenance
from irploc.errors import BadInput, NotFound
from irploc.files import write_text
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.images import decoded_size
from irploc.readers.base import (
    READERS,
    FrameList,
    Imported,
    ReadOptions,
    labels_of,
    numbers,
    problem_of_matrix,
    read_rows,
    without_extension,
)
from irploc.scene import Scene, poses_from_columns

RGB_FOCAL_PX = 525.0  # of the colour camera at 640x480; the poses are the depth sensor's, whose focal length is 585
RGB_WIDTH_PX = 640
MIN_FOCAL_PX = 10.0
FACTS = "irploc.toml"  # beside what an export wrote: what the layout itself cannot hold
_FORMAT, _VERSION = "irploc-7scenes-export", 1
_LAYOUT = "file qw qx qy qz tx ty tz f"
_COLOR = re.compile(r"^frame-(\d+)\.color\.(png|jpg|jpeg)$", re.IGNORECASE)


@dataclass(frozen=True)
class _Facts:
    """What is known of the poses: by default, that they are the dataset's own."""

    ground_truth: str = "7-Scenes original poses (KinectFusion, depth sensor)"
    units: str = "metres"
    cameras: dict[str, Camera] | None = None


@READERS.register("7scenes")
def read_sevenscenes(path: Path, options: ReadOptions) -> Imported:
    """A 7-Scenes scene folder, in the original layout or with ``.jpg`` photos.

    ``TrainSplit.txt`` and ``TestSplit.txt`` (lines ``sequence1``) define the split where they are there. With
    ``options.ground_truth`` the poses come from a pseudo ground truth file (``file qw qx qy qz tx ty tz f``,
    cam_from_world), matched by ``seq-NN/frame-NNNNNN``, and each focal length gives a camera with its principal point at
    the image centre. In a folder that ``irploc scene export`` wrote, ``irploc.toml`` tells ground truth, units and camera
    of the scene that it was.

    Raises:
        NotFound, BadInput: no sequences, or unreadable files.
    """
    options.only("7scenes", "ground_truth")
    if not path.is_dir():
        raise NotFound(f"no folder {path}")
    split_of = _split_of_sequences(path)
    photos = _photos(path)
    if not photos:
        raise BadInput(f"{path} has no seq-NN/frame-NNNNNN.color.png or .jpg: is it the folder of one scene?")
    frames = FrameList(path)
    for sequence in sorted(set(split_of) - {photo.parent.name for photo in photos}):
        frames.reject(sequence, "in the split lists, but without photos: is the archive unpacked?", -1)
    wanted = []
    for photo in photos:
        if split_of and photo.parent.name not in split_of:
            frames.reject(photo.relative_to(path).as_posix(), "sequence in neither TrainSplit.txt nor TestSplit.txt")
        else:
            wanted.append((photo, split_of.get(photo.parent.name, "train")))
    facts = _read_facts(path / FACTS)
    if options.ground_truth:
        poses, cameras = _pseudo_ground_truth(frames, wanted, options.ground_truth)
        facts = _Facts(f"7-Scenes pseudo ground truth ({options.ground_truth.name})")
    else:
        poses, cameras = _original_poses(frames, wanted, facts.cameras)
    finished = frames.finish(poses, str(path))
    return Imported(
        finished, path, cameras, facts.ground_truth, tuple(frames.rejected), facts.units, defines_split=bool(split_of)
    )


def can_keep_cameras(scene: Scene) -> bool:
    """Whether ``keep_facts`` can write the intrinsics: one camera for all photos, or none."""
    return len(set(scene.frames.cameras)) == 1


def keep_facts(scene: Scene, path: Path) -> None:
    """Writes ``irploc.toml`` into an export: ground truth, units, and the camera where all photos have the same.

    Raises:
        BadInput: when it cannot be written.
    """
    content: dict[str, Any] = {
        **provenance.header(_FORMAT, _VERSION),
        "ground_truth": scene.ground_truth,
        "units": scene.units,
    }
    if can_keep_cameras(scene):
        name = scene.frames.cameras[0]
        known = {name: scene.cameras[name]} if name else {}
        content["cameras"] = {
            name: {"model": camera.model, "width": camera.width, "height": camera.height, "params": list(camera.params)}
            for name, camera in known.items()
        }
    write_text(path / FACTS, tomli_w.dumps(content))


def _read_facts(file: Path) -> _Facts:
    if not file.is_file():
        return _Facts()
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} is not valid TOML: {error}") from None
    provenance.check_header(content, _FORMAT, _VERSION, file)
    try:
        cameras = content.get("cameras")
        if cameras is not None:
            cameras = {
                name: Camera(values["model"], values["width"], values["height"], tuple(values["params"]))
                for name, values in cameras.items()
            }
        return _Facts(str(content["ground_truth"]), str(content["units"]), cameras)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"{file} is damaged: {error}") from None


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
            sequence = f"seq-{int(number.group(1)):02d}"
            if found.setdefault(sequence, split) != split:
                raise BadInput(f"{path / name}, line {line}: {words[0]} is in TrainSplit.txt too")
    return found


def _photos(path: Path) -> list[Path]:
    """All colour photos by sequence and number; the ``.png`` where a ``.jpg`` of the same frame is there too."""
    photos: dict[tuple[str, int], Path] = {}
    for folder in sorted(folder for folder in path.glob("seq-*") if folder.is_dir()):
        for file in sorted(folder.iterdir()):
            if match := _COLOR.match(file.name):
                photos[folder.name, int(match.group(1))] = file  # .png comes after .jpg: the lossless one stays
    return [photos[key] for key in sorted(photos)]


def _original_poses(
    frames: FrameList, photos: list[tuple[Path, str]], known: dict[str, Camera] | None
) -> tuple[Poses, dict[str, Camera]]:
    """The poses beside the photos, which all have the camera ``known``, or none where it is empty; None is the dataset's."""
    matrices = []
    name = "rgb" if known is None else next(iter(known), "")
    for photo, split in photos:
        matrix, problem = _read_matrix(photo.with_name(photo.name.partition(".")[0] + ".pose.txt"))
        if matrix is None:
            frames.reject(photo.relative_to(frames.image_root).as_posix(), problem)
            continue
        frames.add(photo, photo.parent.name, name, split)
        matrices.append(matrix)
    if known is None:
        known = {"rgb": _pinhole(*decoded_size(frames.images[0]))} if matrices else {}
    return Poses.from_matrices(np.array(matrices).reshape(-1, 4, 4)), known


def _pinhole(width: int, height: int, focal_px: float | None = None) -> Camera:
    """The principal point at the centre; by default the colour camera's nominal focal length."""
    focal_px = RGB_FOCAL_PX * width / RGB_WIDTH_PX if focal_px is None else focal_px
    return Camera("SIMPLE_PINHOLE", width, height, (focal_px, width / 2, height / 2))


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
    problem = problem_of_matrix(matrix)
    return (None, problem) if problem else (matrix, "")


def _pseudo_ground_truth(frames: FrameList, photos: list[tuple[Path, str]], file: Path) -> tuple[Poses, dict[str, Camera]]:
    rows = read_rows(file, 8, _LAYOUT)
    if long := [number for number, words in rows if len(words) > 9]:
        raise BadInput(f"{file}: {len(long)} lines have more than 9 columns; first: line {long[0]}; expected '{_LAYOUT}'")
    values = numbers(rows, slice(1, 8), file)
    read = poses_from_columns(values[:, 4:7], values[:, :4], labels_of(rows), str(file))
    poses = Poses.from_cam_from_world(read.world_from_cam_wxyz, read.centers_m)
    row_of = _rows_by_frame(rows, file)
    cameras: dict[str, Camera] = {}
    chosen = []
    for photo, split in photos:
        name = photo.relative_to(frames.image_root).as_posix()
        row = row_of.get(_key(name), -1)
        if row < 0:
            frames.reject(name, f"no pose in {file.name}")
            continue
        focal = _focal(rows[row], file)
        camera = "rgb" if focal is None else f"f{focal:.10g}"
        if camera not in cameras:
            cameras[camera] = _pinhole(*decoded_size(photo), focal)
        frames.add(photo, photo.parent.name, camera, split)
        chosen.append(row)
    if not chosen:
        example = f"its first line is about {rows[0][1][0]}" if rows else "it is empty"
        raise BadInput(f"{file} has no pose for any photo of {frames.image_root}: {example}")
    return poses[chosen], cameras


def _rows_by_frame(rows: list[tuple[int, list[str]]], file: Path) -> dict[str, int]:
    row_of: dict[str, int] = {}
    for row, (line, words) in enumerate(rows):
        if row_of.setdefault(_key(words[0]), row) != row:
            raise BadInput(f"{file}, line {line}: {words[0]} is there twice")
    return row_of


def _focal(row: tuple[int, list[str]], file: Path) -> float | None:
    """The ninth column, None in a file that has eight."""
    line, words = row
    if len(words) < 9:
        return None
    try:
        focal = float(words[8])
    except ValueError:
        focal = math.nan
    if not MIN_FOCAL_PX <= focal < math.inf:  # estimates have an uncertainty there
        raise BadInput(f"{file}, line {line}: focal length {words[8]!r}, expected pixels")
    return focal


def _key(name: str) -> str:
    """The last folder and the frame, without extensions: ``seq-01/frame-000012``."""
    return "/".join(without_extension(name).split("/")[-2:])
