"""Explicit lists of mapping and query photos, matched to a scene's photos by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from irploc.errors import BadInput, summarize
from irploc.readers.base import read_rows, without_extension
from irploc.scene import Frames


@dataclass(frozen=True)
class ListedSplit:
    """Splits from lists: (N,) ``splits``, and (N,) ``listed``, which frames any list names."""

    splits: np.ndarray
    listed: np.ndarray


def split_by_lists(frames: Frames, train_list: Path | None, test_list: Path | None) -> ListedSplit:
    """Splits frames by one or two files with a photo's name first on each line.

    Names match by path without extension (``seq-01/frame-000000`` is ``seq-01/frame-000000.color.jpg``), with or without
    leading folders. With one list all other frames belong to the other split; with both, frames in neither are not listed.

    Raises:
        BadInput: names that no frame has, or that both lists hold, with the count and the first.
    """
    rows = {"train": _rows(frames, train_list), "test": _rows(frames, test_list)}
    both = rows["train"] & rows["test"]
    if both:
        names = [frames.names[row] for row in sorted(both)]
        raise BadInput(f"{len(both)} images are in {train_list} and in {test_list}; first: {summarize(names)}")
    splits = np.full(len(frames), "test" if train_list and not test_list else "train", dtype=object)
    for split, chosen in rows.items():
        splits[sorted(chosen)] = split
    listed = np.ones(len(frames), dtype=bool)
    if train_list and test_list:
        listed[:] = False
        listed[sorted(rows["train"] | rows["test"])] = True
    return ListedSplit(splits, listed)


def _rows(frames: Frames, path: Path | None) -> set[int]:
    if path is None:
        return set()
    lines = [words for _, words in read_rows(path, 1, "name")]
    if not lines:
        raise BadInput(f"{path} names no images")
    row_of_whole = _rows_by_name(frames.names)
    row_of = _rows_by_suffix(frames.names) | row_of_whole
    names, found = [], []
    for words in lines:  # a name may have spaces; a line may go on after the name, as Cambridge's lists do
        whole = " ".join(words)
        row = _row(whole, row_of, row_of_whole)
        names.append(whole if row != -1 else words[0])
        found.append(row if row != -1 else _row(words[0], row_of, row_of_whole))
    lost = [name for name, row in zip(names, found, strict=True) if row == -1]
    if lost:
        raise BadInput(
            f"{len(lost)} of {len(names)} names in {path} are no image of the scene; first: {lost[0]}; expected names like "
            f"{without_extension(frames.names[0])}"
        )
    ambiguous = [name for name, row in zip(names, found, strict=True) if row == -2]
    if ambiguous:
        raise BadInput(f"{len(ambiguous)} names in {path} fit several images; first: {ambiguous[0]}: give more of the path")
    return set(found)


def _row(name: str, row_of: dict[str, int], row_of_whole: dict[str, int]) -> int:
    """The row of a listed name; -1 for none, -2 for several. Folders may be left out of it or stand in front of it."""
    if name in row_of:
        return row_of[name]
    key = without_extension(name).strip("/")
    if key in row_of:
        return row_of[key]
    parts = key.split("/")
    inner = ("/".join(parts[start:]) for start in range(1, len(parts)))
    return next((row_of_whole[part] for part in inner if part in row_of_whole), -1)


def _rows_by_name(names: Sequence[str]) -> dict[str, int]:
    """Every name without and with its extension -> its row, -2 where several photos differ in their extension only."""
    table: dict[str, int] = {}
    for row, name in enumerate(names):
        key = without_extension(name)
        table[key] = -2 if key in table else row
    return table | {name: row for row, name in enumerate(names)}


def _rows_by_suffix(names: Sequence[str]) -> dict[str, int]:
    """Every trailing part of every path without extension -> its row, -2 where several share it."""
    table: dict[str, int] = {}
    for row, name in enumerate(names):
        parts = without_extension(name).split("/")
        for start in range(1, len(parts)):
            suffix = "/".join(parts[start:])
            table[suffix] = -2 if suffix in table else row
    return table
