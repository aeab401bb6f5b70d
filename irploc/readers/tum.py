"""TUM RGB-D: `groundtruth.txt` (`stamp tx ty tz qx qy qz qw`, world_from_cam) and `rgb.txt` (`stamp file`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from irploc.errors import BadInput, NotFound
from irploc.images import list_images
from irploc.readers.base import READERS, FrameList, Imported, ReadOptions, absolute, labels_of, numbers, read_rows
from irploc.scene import name_of, poses_from_columns

MAX_DIFFERENCE_S = 0.02  # as the benchmark's own association tool
_LAYOUT = "stamp tx ty tz qx qy qz qw"


@READERS.register("tum")
def read_tum(path: Path, options: ReadOptions) -> Imported:
    """A TUM RGB-D folder, or a trajectory file with photos named by their time stamp.

    Each photo takes the pose nearest in time, at most 20 ms away; the others are rejected. ``rgb.txt`` lists the photos
    where it is there, else every image whose name is a number of seconds is taken. ``options.images`` gives their folder.

    Raises:
        NotFound: no trajectory or no photos. BadInput: unreadable lines.
    """
    options.only("tum", "images")
    trajectory = path / "groundtruth.txt" if path.is_dir() else path
    rows = read_rows(trajectory, 8, _LAYOUT)
    values = numbers(rows, slice(0, 8), trajectory)
    if not len(values):
        raise BadInput(f"{trajectory} has no poses, expected lines '{_LAYOUT}'")
    stamps = values[:, 0]
    poses = poses_from_columns(values[:, 1:4], values[:, [7, 4, 5, 6]], labels_of(rows), str(trajectory))
    order = np.argsort(stamps, kind="stable")
    root = options.images or trajectory.parent
    frames, chosen = FrameList(root), []
    for number, (stamp, image) in enumerate(_photos(trajectory.parent, absolute(root))):
        row = _nearest(stamps, order, stamp)
        if abs(stamps[row] - stamp) > MAX_DIFFERENCE_S:
            frames.reject(name_of(image, absolute(root)), f"no pose within {1000 * MAX_DIFFERENCE_S:.0f} ms", number)
            continue
        frames.add(image, "", index=number)
        chosen.append(row)
    return Imported(
        frames.finish(poses[np.array(chosen, dtype=np.int64)], str(trajectory)),
        root,
        {},
        f"TUM trajectory ({trajectory.name})",
        tuple(frames.rejected),
    )


def _photos(folder: Path, root: Path) -> list[tuple[float, Path]]:
    """(stamp, photo) in the order of time."""
    listing = folder / "rgb.txt"
    if listing.is_file():
        rows = read_rows(listing, 2, "stamp file")
        stamps = numbers(rows, slice(0, 1), listing)[:, 0]
        return sorted((float(stamp), root / words[1]) for stamp, (_, words) in zip(stamps, rows, strict=True))
    found = []
    for image in list_images(root):
        try:
            found.append((float(image.stem), image))
        except ValueError:
            continue
    if not found:
        raise NotFound(
            f"{folder} has no rgb.txt and {root} no photos named by their time stamp: give their folder with --images"
        )
    return sorted(found)


def _nearest(stamps: np.ndarray, order: np.ndarray, stamp: float) -> int:
    place = int(np.searchsorted(stamps[order], stamp))
    around = order[max(0, place - 1) : place + 1]
    return int(around[np.argmin(np.abs(stamps[around] - stamp))])
