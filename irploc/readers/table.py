"""Label tables (CSV) in any of the usual pose conventions, named explicitly."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from irploc.errors import BadInput, NotFound
from irploc.geometry import rotations
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import OPENCV_FROM_OPENGL, Poses
from irploc.readers.base import READERS, FrameList, Imported, ReadOptions, numbers
from irploc.scene import LABEL_COLUMN, LEARNED, POSE_COLUMNS, SPLITS, poses_from_columns

CONVENTIONS = {
    "world_from_cam": "tx ty tz is the camera centre, q turns camera axes into world axes",
    "cam_from_world": "as COLMAP: t = -R c, q turns world axes into camera axes",
    "center_cam_from_world": "as Cambridge: tx ty tz is the camera centre, q turns world axes into camera axes",
}
MODIFIERS = {
    "xyzw": "the quaternion's scalar is its last column (only for tables without column names)",
    "opengl": "camera axes are x right, y up, z backward",
}
CAMERA_COLUMNS = ["model", "width", "height", "params"]
_IMAGE_COLUMNS = ("image", "name", "file", "filename", "path")
_SEPARATORS = (",", ";", "\t", None)  # None: any white space


@dataclass(frozen=True)
class Convention:
    """What the numbers of a label table mean."""

    kind: str = "world_from_cam"
    scalar_last: bool = False
    opengl: bool = False

    @classmethod
    def parse(cls, text: str) -> Convention:
        """From ``cam_from_world`` or ``world_from_cam,xyzw,opengl``; raises BadInput with all the choices."""
        kind, *modifiers = [word.strip() for word in text.split(",")]
        if kind not in CONVENTIONS or not set(modifiers) <= set(MODIFIERS):
            raise BadInput(
                f"unknown --convention {text!r}, choose one of {', '.join(CONVENTIONS)}; "
                f"after it, separated by commas, may stand {', '.join(MODIFIERS)}"
            )
        return cls(kind, "xyzw" in modifiers, "opengl" in modifiers)

    def poses(self, columns: np.ndarray, labels: list[str], where: str) -> Poses:
        """``Poses`` of (N, 7) translations and quaternions wxyz; raises BadInput for rows that are no pose."""
        read = poses_from_columns(columns[:, :3], columns[:, 3:], labels, where)
        translations, quats = read.centers_m, read.world_from_cam_wxyz
        if self.kind == "cam_from_world":
            read = Poses.from_cam_from_world(quats, translations)
        elif self.kind == "center_cam_from_world":
            read = Poses(translations, rotations.conjugate(quats))
        if not self.opengl:
            return read
        turned = rotations.matrix_from_quaternion(read.world_from_cam_wxyz) * OPENCV_FROM_OPENGL
        return Poses(read.centers_m, rotations.quaternion_from_matrix(turned))


@dataclass(frozen=True)
class Table:
    """The cells of a text table; ``columns`` is empty where it does not name them."""

    path: Path
    columns: list[str]
    rows: list[tuple[int, list[str]]]

    def cells(self, *names: str) -> list[str] | None:
        """The column of the first of these names that is there."""
        place = next((self.columns.index(name) for name in names if name in self.columns), None)
        return None if place is None else [cells[place].strip() for _, cells in self.rows]


@READERS.register("csv")
def read_csv(path: Path, options: ReadOptions) -> Imported:
    """A table with an image column and ``tx,ty,tz,qw,qx,qy,qz``; or without column names, in that order.

    Further columns that are used where they are there: ``sequence``, ``index``, ``split``, ``label``, and for intrinsics
    ``camera``, ``model``, ``width``, ``height``, ``params`` (separated by spaces, COLMAP's order). Cells are separated by
    commas, semicolons, tabs or spaces. What the numbers mean is told by ``options.convention``, see ``Convention``. Image
    paths are relative to ``options.images``, else to the table's folder.

    Raises:
        NotFound: no file. BadInput: unknown convention, missing columns, or numbers that are no pose.
    """
    options.only("csv", "images", "convention")
    convention = Convention.parse(options.convention)
    table = _read(path, convention)
    names = table.cells(*_IMAGE_COLUMNS) or []
    splits = table.cells("split") or ["train"] * len(names)
    _check_splits(splits, table)
    root = options.images or path.parent
    frames = FrameList(root)
    indices, sequences = _indices(table), table.cells("sequence") or [""] * len(names)
    cameras, labels = _cameras(table)
    for name, sequence, camera, split, index in zip(names, sequences, labels, splits, indices, strict=True):
        frames.add(root / name, sequence, camera, split, index)
    where = [f"line {line} ({name})" for (line, _), name in zip(table.rows, names, strict=True)]
    places = [table.columns.index(name) for name in POSE_COLUMNS]
    values = numbers([(line, [cells[place] for place in places]) for line, cells in table.rows], slice(0, 7), path)
    return Imported(
        replace(frames.finish(convention.poses(values, where, str(path)), str(path)), labels=_labels(table)),
        root,
        cameras,
        f"table {path.name} ({options.convention})",
        defines_split="split" in table.columns,
    )


def _read(path: Path, convention: Convention) -> Table:
    rows = _cells(path)
    first = rows[0][1]
    image = next((name for name in _IMAGE_COLUMNS if name in first), None)
    if image is None and len(first) == 8 and _are_numbers(first[1:]):
        order = POSE_COLUMNS[:3] + (["qx", "qy", "qz", "qw"] if convention.scalar_last else POSE_COLUMNS[3:])
        columns = ["image", *order]
    else:
        absent = [*([] if image else ["image"]), *(name for name in POSE_COLUMNS if name not in first)]
        if absent:
            raise BadInput(f"{path} lacks the columns {', '.join(absent)}; it has {', '.join(first)}")
        if convention.scalar_last:
            raise BadInput(
                f"{path} names its columns, so that the quaternion's order is known: leave xyzw out of --convention"
            )
        columns, rows = first, rows[1:]
    uneven = [line for line, cells in rows if len(cells) != len(columns)]
    if uneven:
        raise BadInput(
            f"{path}: {len(uneven)} of {len(rows)} rows do not have {len(columns)} cells; first: line {uneven[0]}"
        )
    if not rows:
        raise BadInput(f"{path} has no rows")
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated:
        raise BadInput(f"{path} has the column {repeated[0]} twice")
    return Table(path, columns, rows)


def _cells(path: Path) -> list[tuple[int, list[str]]]:
    """(line number, cells) of all lines but the empty ones and ``#`` comments."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise NotFound(f"no file {path}") from None
    except (IsADirectoryError, UnicodeDecodeError):
        raise BadInput(f"{path} is not a text table") from None
    kept = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")]
    if not kept:
        raise BadInput(f"{path} has no rows")
    separator = max(_SEPARATORS, key=lambda candidate: len(_split(kept[0][1], candidate)))
    return [(number, _split(line, separator)) for number, line in kept]


def _split(line: str, separator: str | None) -> list[str]:
    if separator is None:
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]


def _are_numbers(words: list[str]) -> bool:
    try:
        return bool([float(word) for word in words])
    except ValueError:
        return False


def _check_splits(splits: list[str], table: Table) -> None:
    bad = [row for row, split in enumerate(splits) if split not in SPLITS]
    if bad:
        raise BadInput(
            f"{table.path}: {len(bad)} of {len(splits)} rows have an unknown split; first: line {table.rows[bad[0]][0]}, "
            f"{splits[bad[0]]!r}; expected one of {', '.join(SPLITS)}"
        )


def _labels(table: Table) -> np.ndarray:
    """(N,) where each pose comes from, see ``Frames.labels``; other tables may call anything else a label."""
    cells = table.cells(LABEL_COLUMN) or [""] * len(table.rows)
    return np.array([cell if cell == LEARNED else "" for cell in cells], dtype=object)


def _indices(table: Table) -> list[int | None]:
    cells = table.cells("index")
    if cells is None:
        return [None] * len(table.rows)
    try:
        return [int(cell) for cell in cells]
    except ValueError as error:
        raise BadInput(f"{table.path}: an index is not a whole number: {error}") from None


def _cameras(table: Table) -> tuple[dict[str, Camera], list[str]]:
    """The cameras by name and the name for each row, empty where a row has none."""
    columns = [table.cells(name) for name in CAMERA_COLUMNS]
    model, width, height, params = columns
    if model is None or width is None or height is None or params is None:
        return {}, [""] * len(table.rows)
    given = table.cells("camera") or [""] * len(table.rows)
    cameras: dict[str, Camera] = {}
    labels = []
    for row, (line, _) in enumerate(table.rows):
        if not model[row]:
            labels.append("")
            continue
        try:
            camera = Camera(model[row], int(width[row]), int(height[row]), tuple(map(float, params[row].split())))
        except ValueError as error:
            raise BadInput(f"{table.path}, line {line}: {error}") from None
        label = given[row] or next((name for name, known in cameras.items() if known == camera), f"camera{len(cameras)}")
        if cameras.setdefault(label, camera) != camera:
            raise BadInput(f"{table.path}, line {line}: camera {label!r} has other intrinsics than above")
        labels.append(label)
    return cameras, labels
