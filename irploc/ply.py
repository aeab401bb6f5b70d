"""PLY files: the vertices of a point cloud or mesh, ascii or binary."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from irploc.errors import BadInput, NotFound

_KINDS = {
    "i1": "char int8",
    "u1": "uchar uint8",
    "i2": "short int16",
    "u2": "ushort uint16",
    "i4": "int int32",
    "u4": "uint uint32",
    "i8": "int64",
    "u8": "uint64",
    "f4": "float float32",
    "f8": "double float64",
}
_TYPES = {name: kind for kind, names in _KINDS.items() for name in names.split()}
_ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
_COLORS = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
_MOVED = ("x", "y", "z", "nx", "ny", "nz")
_MAX_HEADER_LINES = 1000


@dataclass
class _Element:
    name: str
    count: int
    properties: list[tuple[str, str]] = field(default_factory=list)  # name, numpy type; "list" for lists


def read_ply(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The vertices: (M, 3) float64 and their colours (M, 3) uint8, None without colours. Other elements are ignored.

    Colours that are fractions in [0, 1] or 16-bit are converted.

    Raises:
        NotFound: no such file. BadInput: no PLY, damaged, or no vertices with x, y and z.
    """
    try:
        with path.open("rb") as stream:
            order, elements = _read_header(stream, path)
            return _columns(_vertices(stream, order, elements, path), path)
    except FileNotFoundError:
        raise NotFound(f"no point cloud {path}") from None


def move_ply(
    path: Path, target: Path, move: Callable[[np.ndarray], np.ndarray], turn: Callable[[np.ndarray], np.ndarray]
) -> None:
    """Writes the file again with its vertices moved; colours, other columns and other elements stay as they are.

    The coordinates are written as doubles, so that moving back gives those of before. The caller writes the target whole or
    not at all.

    Args:
        move: (M, 3) float64 coordinates -> the new ones.
        turn: the same for directions: the normals, where there are some.

    Raises:
        NotFound, BadInput: as ``read_ply``. OSError: when the target cannot be written.
    """
    with path.open("rb") if path.is_file() else _no_cloud(path) as stream, target.open("wb") as out:
        order, elements = _read_header(stream, path)
        head = stream.tell()
        rows = _vertices(stream, order, elements, path)
        after = stream.tell()
        if elements[0].name != "vertex":
            raise BadInput(f"{path}: its first element is {elements[0].name}, expected the vertices")
        _columns(rows, path)
        moved = rows.astype([(name, _wide(name, kind)) for name, (kind, *_) in (rows.dtype.fields or {}).items()])
        for axes, change in ((("x", "y", "z"), move), (("nx", "ny", "nz"), turn)):
            names = {name.partition(":")[2]: name for name in moved.dtype.names or ()}
            if all(axis in names for axis in axes):
                new = change(np.stack([moved[names[axis]] for axis in axes], axis=1).astype(np.float64))
                for column, axis in enumerate(axes):
                    moved[names[axis]] = new[:, column]
        stream.seek(0)
        out.write(_wide_header(stream.read(head)))
        out.write(_text(moved) if order == "=" else moved.tobytes())
        stream.seek(after)
        shutil.copyfileobj(stream, out)


def _no_cloud(path: Path) -> BinaryIO:
    raise NotFound(f"no point cloud {path}")


def _wide(name: str, kind: np.dtype) -> np.dtype:
    """Double for coordinates and normals, else as it is."""
    is_moved = name.partition(":")[2] in _MOVED
    return np.dtype(np.float64).newbyteorder(kind.byteorder) if is_moved else kind


def _wide_header(head: bytes) -> bytes:
    """The header with the coordinates and normals of its first element, the vertices, as doubles."""
    lines, elements = [], 0
    for line in head.splitlines(keepends=True):
        words = line.split()
        elements += words[:1] == [b"element"]
        if elements == 1 and words[:1] == [b"property"] and words[-1].decode("latin-1") in _MOVED:
            line = line.replace(words[1], b"double", 1)
        lines.append(line)
    return b"".join(lines)


def _text(rows: np.ndarray) -> bytes:
    return "".join(" ".join(map(repr, row)) + "\n" for row in rows.tolist()).encode()


def _read_header(stream: BinaryIO, path: Path) -> tuple[str, list[_Element]]:
    if stream.readline(16).strip() != b"ply":
        raise BadInput(f"{path} is not a PLY file (it does not begin with 'ply')")
    order, elements = "", []
    for _ in range(_MAX_HEADER_LINES):
        words = stream.readline(1000).decode("latin-1").split()
        try:
            if words[:1] == ["format"]:
                order = _ORDERS[words[1]]
            elif words[:1] == ["element"]:
                if int(words[2]) < 0:
                    raise ValueError
                elements.append(_Element(words[1], int(words[2])))
            elif words[:1] == ["property"]:
                kind = "list" if words[1] == "list" else _TYPES[words[1]]
                elements[-1].properties.append((words[-1], kind))
            elif words[:1] == ["end_header"]:
                break
        except (KeyError, IndexError, ValueError):
            raise BadInput(f"{path} has a header line that is not PLY: {' '.join(words)!r}") from None
    else:
        raise BadInput(f"{path} has no end_header: it is no PLY file, or cut short")
    if not order:
        raise BadInput(f"{path} does not say its format, expected 'format ascii 1.0' or a binary one in the header")
    return order, elements


def _vertices(stream: BinaryIO, order: str, elements: list[_Element], path: Path) -> np.ndarray:
    """Structured array of the vertices; elements before them are skipped."""
    for element in elements:
        is_wanted = element.name == "vertex"
        if any(kind == "list" for _, kind in element.properties):
            raise BadInput(f"{path}: its {element.name} element has lists before or in the vertices, which is not supported")
        dtype = np.dtype([(f"{column}:{name}", order + kind) for column, (name, kind) in enumerate(element.properties)])
        rows = _ascii_rows(stream, element, dtype, path) if order == "=" else _binary_rows(stream, element, dtype)
        if len(rows) < element.count:
            raise BadInput(f"{path} ends early: it has {len(rows)} of {element.count} {element.name} rows")
        if is_wanted:
            return rows
    raise BadInput(f"{path} has no vertices")


def _binary_rows(stream: BinaryIO, element: _Element, dtype: np.dtype) -> np.ndarray:
    left = os.fstat(stream.fileno()).st_size - stream.tell()  # a header may promise more than fits in memory
    content = stream.read(min(element.count * dtype.itemsize, left))
    return np.frombuffer(content, dtype=dtype, count=len(content) // max(dtype.itemsize, 1))


def _ascii_rows(stream: BinaryIO, element: _Element, dtype: np.dtype, path: Path) -> np.ndarray:
    width = len(element.properties)
    lines: list[list[bytes]] = []
    while len(lines) < element.count and len(words := stream.readline().split()) >= max(width, 1):
        lines.append(words[:width])
    try:
        numbers = np.array(lines, dtype=np.float64).reshape(len(lines), width)
    except ValueError:
        raise BadInput(f"{path} has {element.name} rows with words that are no numbers") from None
    rows = np.empty(len(lines), dtype)
    for column, name in enumerate(dtype.names or ()):
        rows[name] = numbers[:, column]
    return rows


def _columns(rows: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    columns = {name.partition(":")[2]: rows[name] for name in rows.dtype.names or ()}
    lacking = [name for name in "xyz" if name not in columns]
    if lacking:
        raise BadInput(f"{path}: its vertices have no {', '.join(lacking)}")
    points = np.stack([columns[name] for name in "xyz"], axis=1).astype(np.float64)
    names = next((names for names in _COLORS if all(name in columns for name in names)), None)
    return points, None if names is None else _eight_bit(np.stack([columns[name] for name in names], axis=1))


def _eight_bit(colors: np.ndarray) -> np.ndarray:
    levels = np.nan_to_num(colors.astype(np.float64))
    if colors.dtype.kind == "f" and levels.max(initial=0) <= 1:
        levels = levels * 255
    elif colors.dtype.kind != "f" and colors.dtype.itemsize == 2:
        levels = levels / 257
    return np.round(levels).clip(0, 255).astype(np.uint8)
