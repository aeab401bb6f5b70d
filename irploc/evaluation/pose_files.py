"""Pose files: ``name qw qx qy qz tx ty tz``, cam_from_world; ``--poses`` writes what ``--predictions`` reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from irploc.errors import BadInput, NotFound
from irploc.evaluation.names import matching_rows, unique_keys
from irploc.geometry.poses import Poses
from irploc.posefile import LAYOUT, write_pose_file
from irploc.scene import UNIT_TOLERANCE

__all__ = ["NamedPoses", "read_pose_file", "write_pose_file"]


@dataclass(frozen=True)
class NamedPoses:
    """The poses of a file.

    Attributes:
        names: N names of photos as the file writes them.
        poses: N ``Poses``, none missing.
        path: the file.
    """

    names: tuple[str, ...]
    poses: Poses
    path: Path

    def __len__(self) -> int:
        return len(self.names)

    def for_names(self, wanted: Sequence[str], wanted_in: str) -> Poses:
        """One pose per wanted name, NaN where the file has none.

        Raises:
            BadInput: when no name matches at all, or a match is ambiguous (see ``matching_rows``).
        """
        rows = matching_rows(wanted, self.names, wanted_in, str(self.path))
        found = rows >= 0
        if not found.any():
            raise BadInput(
                f"{self.path}: none of its {len(self)} images is in {wanted_in}: it has {self.names[0]}, "
                f"expected names like {wanted[0]}"
            )
        centers_m, quats_wxyz = np.full((len(rows), 3), np.nan), np.full((len(rows), 4), np.nan)
        centers_m[found] = self.poses.centers_m[rows[found]]
        quats_wxyz[found] = self.poses.world_from_cam_wxyz[rows[found]]
        return Poses(centers_m, quats_wxyz)


def read_pose_file(path: Path) -> NamedPoses:
    """Reads a pose file. Columns after the eighth, empty lines and lines that begin with ``#`` are ignored.

    Raises:
        NotFound: no such file.
        BadInput: not text, no poses, rows of another layout, numbers that are no pose, the same photo twice; with the
            count and the first line.
    """
    names: list[str] = []
    lines: list[int] = []
    rows: list[list[float]] = []
    malformed: list[int] = []
    for number, line in _content_lines(path):
        try:
            name, values = _parse(line)
        except ValueError:
            malformed.append(number)
            continue
        names.append(name)
        lines.append(number)
        rows.append(values)
    total = len(rows) + len(malformed)
    if malformed:
        raise BadInput(f"{path}: {len(malformed)} of {total} rows are not '{LAYOUT}'; first: line {malformed[0]}")
    if not rows:
        raise BadInput(f"{path} has no poses, expected rows '{LAYOUT}'")
    numbers = np.array(rows)
    _refuse_impossible(numbers, lines, names, path)
    unique_keys(names, str(path))
    return NamedPoses(tuple(names), Poses.from_cam_from_world(numbers[:, :4], numbers[:, 4:]), path)


def _content_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number from 1, stripped line) of the rows that hold content."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise NotFound(f"no pose file {path}") from None
    except IsADirectoryError:
        raise BadInput(f"{path} is a folder, expected a pose file with rows '{LAYOUT}'") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not a text file, expected rows '{LAYOUT}'") from None
    for number, line in enumerate(text.split("\n"), start=1):
        content = line.strip()
        if content and not content.startswith("#"):
            yield number, content


def _parse(line: str) -> tuple[str, list[float]]:
    """Raises ValueError for a line of another layout."""
    if line.startswith('"'):
        name, end = json.JSONDecoder().raw_decode(line)
        columns = line[end:].split()
    else:
        name, *columns = line.split()
    if len(columns) < 7:
        raise ValueError("too few columns")
    return name, [float(column) for column in columns[:7]]


def _refuse_impossible(numbers: np.ndarray, lines: list[int], names: list[str], path: Path) -> None:
    lengths = np.linalg.norm(numbers[:, :4], axis=1)
    for bad, what in (
        (~np.isfinite(numbers).all(axis=1), "have numbers that are not finite (leave out images that were not localized)"),
        (lengths < 1e-6, "have a zero quaternion"),
        (np.abs(lengths - 1) > UNIT_TOLERANCE, "have a quaternion that is not of unit length"),
    ):
        if bad.any():
            first = int(np.argmax(bad))
            where = f"line {lines[first]}, {names[first]}"
            raise BadInput(f"{path}: {int(bad.sum())} of {len(lines)} rows {what}; first: {where}")
