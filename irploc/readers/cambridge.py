"""Cambridge Landmarks: `dataset_train.txt`, `dataset_test.txt` with the camera centre and a cam_from_world quaternion."""

from __future__ import annotations

from pathlib import Path

from irploc.errors import NotFound
from irploc.geometry import rotations
from irploc.geometry.poses import Poses
from irploc.readers.base import READERS, FrameList, Imported, ReadOptions, labels_of, numbers, read_rows
from irploc.scene import poses_from_columns

_LAYOUT = "path X Y Z W P Q R"
_HEADER_LINES = 3  # title, column names, empty


@READERS.register("cambridge")
def read_cambridge(path: Path, options: ReadOptions) -> Imported:
    """A Cambridge Landmarks scene folder. The photos need not be there; ``irploc scene info`` counts the missing.

    The position is the camera **centre** and the quaternion is cam_from_world, so that t = -R c. The dataset publishes no
    intrinsics.

    Raises:
        NotFound: neither list is there. BadInput: unreadable lines.
    """
    options.only("cambridge", "images")
    frames, poses = FrameList(options.images or path), []
    for name, split in (("dataset_train.txt", "train"), ("dataset_test.txt", "test")):
        file = path / name
        if not file.is_file():
            continue
        rows = read_rows(file, 8, _LAYOUT, _header_lines(file))
        values = numbers(rows, slice(1, 8), file)
        labels = poses_from_columns(values[:, :3], values[:, 3:], labels_of(rows), str(file))
        poses.append(Poses(labels.centers_m, rotations.conjugate(labels.world_from_cam_wxyz)))
        for _, words in rows:
            image = Path(words[0])
            frames.add(frames.image_root / image, image.parent.as_posix().strip("."), split=split)
    if not poses:
        raise NotFound(f"{path} has neither dataset_train.txt nor dataset_test.txt")
    both = len(set(frames.splits)) == 2
    return Imported(
        frames.finish(Poses.concatenate(poses), str(path)),
        frames.image_root,
        {},
        "Cambridge Landmarks (VisualSFM)",
        tuple(frames.rejected),
        defines_split=both,
    )


def _header_lines(file: Path) -> int:
    """How many of the first three lines are no data; a file without the header loses nothing."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()[:_HEADER_LINES]
    except UnicodeDecodeError:
        return 0
    return next((number for number, line in enumerate(lines) if _is_data(line.split())), len(lines))


def _is_data(words: list[str]) -> bool:
    try:
        return len([float(word) for word in words[1:8]]) == 7
    except ValueError:
        return False
