"""Label tables (CSV) in any of the usual pose conventions, named explicitly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from irploc.errors import BadInput, NotFound
from irploc.geometry import rotations
from irploc.geometry.poses import OPENCV_FROM_OPENGL, Poses
from irploc.readers.base import READERS, FrameList, Imported, ReadOptions
from irploc.scene import POSE_COLUMNS, SPLITS, poses_from_columns

CONVENTIONS = {
    "world_from_cam": "tx ty tz is the camera centre, q maps camera to world (OpenCV axes)",
    "cam_from_world": "COLMAP: t = -R c, q maps world to camera",
    "center_cam_from_world": "Cambridge: tx ty tz is the camera centre, q maps world to camera",
    "world_from_cam_opengl": "as world_from_cam, but the camera looks along its negative z and y is up",
}
_IMAGE_COLUMNS = ("image", "name", "file", "filename", "path")


@READERS.register("csv")
def read_csv(path: Path, options: ReadOptions) -> Imported:
    """A table with an image column and ``tx,ty,tz,qw,qx,qy,qz``; optionally ``sequence``, ``index`` and ``split``.

    The quaternion's order is told by the column names; what the numbers mean by ``options.convention``, one of
    ``CONVENTIONS``. Image paths are relative to ``options.images``, else to the table's folder.

    Raises:
        NotFound: no file. BadInput: unknown convention, missing columns, or numbers that are no pose.
    """
    if options.convention not in CONVENTIONS:
        raise BadInput(f"unknown --convention {options.convention!r}, choose one of {', '.join(CONVENTIONS)}")
    table = _read(path)
    image_column = next((name for name in _IMAGE_COLUMNS if name in table), None)
    absent = [name for name in POSE_COLUMNS if name not in table]
    if image_column is None or absent:
        what = ", ".join([*([] if image_column else ["image"]), *absent])
        raise BadInput(f"{path} lacks the columns {what}; it has {', '.join(map(str, table.columns))}")
    names = [str(name).strip() for name in table[image_column]]
    root = options.images or path.parent
    frames = FrameList(root)
    indices = _whole_numbers(table, path)
    for row, name in enumerate(names):
        sequence = str(table["sequence"].iloc[row]) if "sequence" in table else ""
        split = str(table["split"].iloc[row]) if "split" in table else "train"
        if split not in SPLITS:
            raise BadInput(f"{path}: {name} has split {split!r}, expected one of {', '.join(SPLITS)}")
        frames.add(root / name, sequence, split=split, index=None if indices is None else indices[row])
    return Imported(
        frames.finish(_poses(table, names, options.convention, path), str(path)),
        root,
        {},
        f"table {path.name} ({options.convention})",
        defines_split="split" in table,
    )


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, sep=None, engine="python", comment="#", dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise NotFound(f"no file {path}") from None
    except IsADirectoryError:
        raise BadInput(f"{path} is a folder, expected a table") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, ValueError) as error:
        raise BadInput(f"{path} is not a readable table: {error}") from None
    table.columns = [str(name).strip() for name in table.columns]
    if table.empty:
        raise BadInput(f"{path} has no rows")
    return table


def _poses(table: pd.DataFrame, names: list[str], convention: str, path: Path) -> Poses:
    values = table[POSE_COLUMNS].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    read = poses_from_columns(values[:, :3], values[:, 3:], names, str(path))
    if convention == "cam_from_world":
        return Poses.from_cam_from_world(read.world_from_cam_wxyz, read.centers_m)
    if convention == "center_cam_from_world":
        return Poses(read.centers_m, rotations.conjugate(read.world_from_cam_wxyz))
    if convention == "world_from_cam_opengl":
        turned = rotations.matrix_from_quaternion(read.world_from_cam_wxyz) * OPENCV_FROM_OPENGL
        return Poses(read.centers_m, rotations.quaternion_from_matrix(turned))
    return read


def _whole_numbers(table: pd.DataFrame, path: Path) -> list[int] | None:
    if "index" not in table:
        return None
    try:
        return [int(value) for value in table["index"]]
    except ValueError as error:
        raise BadInput(f"{path}: an index is not a whole number: {error}") from None
