"""Small tables that a user writes: columns named in the first line, separated by commas or spaces; photos found by name."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from irploc.errors import BadInput, NotFound, summarize
from irploc.readers.base import without_extension


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        where: file and line, for messages.
        cells: column -> text, empty cells left out.
    """

    where: str
    cells: dict[str, str]

    def has(self, *columns: str) -> bool:
        """Whether all of these are filled in."""
        return all(column in self.cells for column in columns)

    def text(self, column: str) -> str:
        """Raises BadInput where the cell is empty."""
        if column not in self.cells:
            raise BadInput(f"{self.where}: {column} is missing")
        return self.cells[column]

    def numbers(self, *columns: str) -> np.ndarray:
        """(columns,) float64; raises BadInput for what is no finite number."""
        values = []
        for column in columns:
            text = self.text(column)
            try:
                values.append(float(text))
            except ValueError:
                raise BadInput(f"{self.where}: {column} is {text!r}, expected a number") from None
        if not np.isfinite(values).all():
            raise BadInput(f"{self.where}: {', '.join(columns)} must be finite")
        return np.array(values)


def read_table(path: Path, *layouts: tuple[str, ...]) -> list[Row]:
    """The rows of a table whose first line names at least the columns of one layout, in any order.

    Empty lines and lines that begin with ``#`` are left out.

    Raises:
        NotFound: no such file. BadInput: not text, no such first line, no rows, or a row with more cells than columns.
    """
    expected = " or ".join(",".join(layout) for layout in layouts)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise NotFound(f"no file {path}, expected a table with the columns {expected}") from None
    except (UnicodeDecodeError, IsADirectoryError):
        raise BadInput(f"{path} is not a text file, expected a table with the columns {expected}") from None
    lines = [
        (number, _split(line))
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    header = [cell.lower() for cell in lines[0][1]] if lines else []
    if not any(set(layout) <= set(header) for layout in layouts):
        raise BadInput(f"{path}: the first line must name the columns, {expected}; it is {','.join(header) or 'empty'!r}")
    if len(lines) == 1:
        raise BadInput(f"{path} has no rows below its first line")
    for number, cells in lines[1:]:
        if len(cells) > len(header):
            raise BadInput(f"{path}: line {number} has {len(cells)} cells, the first line names {len(header)} columns")
    return [
        Row(f"{path} line {number}", {name: cell for name, cell in zip(header, cells, strict=False) if cell})
        for number, cells in lines[1:]
    ]


class PhotoNames:
    """Finds photos of a scene by name: whole, without extension, or a trailing part of the path that fits one only."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._whole = {name: row for row, name in enumerate(names)}
        self._parts: dict[str, set[int]] = {}
        for row, name in enumerate(names):
            parts = without_extension(name).split("/")
            for start in range(len(parts)):
                self._parts.setdefault("/".join(parts[start:]), set()).add(row)

    def find(self, name: str) -> int | None:
        """The row of a photo, None where none or several fit."""
        if name in self._whole:
            return self._whole[name]
        rows = self._parts.get(without_extension(name).strip("/"), set())
        return next(iter(rows)) if len(rows) == 1 else None

    def row(self, name: str, where: str) -> int:
        """The row of a photo.

        Raises:
            BadInput: where none or several fit.
        """
        found = self.find(name)
        if found is None:
            raise BadInput(f"{where}: {name!r} is not one photo of the scene; names are like {self._names[0]}")
        return found


def repeated(names: Sequence[str], where: str | Path) -> None:
    """Raises BadInput for names that occur twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(f"{where}: {len(twice)} names occur twice; first: {summarize(twice)}")


def _split(line: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line]))] if "," in line else line.split()
