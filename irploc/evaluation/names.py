"""Which name in one list of photos means the same photo as a name in another."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from irploc.errors import BadInput, summarize
from irploc.images import SUFFIXES

_EXTENSIONS = SUFFIXES | {".avif", ".gif", ".heic", ".heif", ".jp2", ".jxl", ".pbm"}


def name_key(name: str) -> tuple[str, ...]:
    """The parts of a path without its image extension: ``./seq-03/a.color.png`` -> ("seq-03", "a.color").

    Only the last extension goes, and only one that means an image, so that ``1305031102.175304`` and ``frame-7.color``
    stay whole.
    """
    path = posixpath.normpath(name.replace("\\", "/")).lstrip("/")
    stem, extension = posixpath.splitext(path)
    return tuple((stem if extension.lower() in _EXTENSIONS else path).split("/"))


def matching_rows(wanted: Sequence[str], offered: Sequence[str], wanted_in: str, offered_in: str) -> np.ndarray:
    """For every wanted name the row of the same photo in ``offered``, -1 where there is none.

    Names agree when their paths without extension are equal. Else they agree when one is the other with more folders
    in front, the longest agreement first, and nothing else agrees as well.

    Args:
        wanted, offered: unique names.
        wanted_in, offered_in: where they come from, for messages.

    Returns:
        (N,) int64; no row occurs twice.

    Raises:
        BadInput: when two names of one list are the same photo, or a name fits several of the other list equally well.
    """
    wanted_keys = unique_keys(wanted, wanted_in)
    offered_keys = unique_keys(offered, offered_in)
    rows = np.array([offered_keys.get(key, -1) for key in wanted_keys], dtype=np.int64)
    open_wanted = {key: row for key, row in wanted_keys.items() if rows[row] < 0}
    taken = set(rows[rows >= 0].tolist())
    open_offered = {key: row for key, row in offered_keys.items() if row not in taken}
    by_length = _agreements(open_wanted, open_offered)
    for length in sorted(by_length, reverse=True):
        pairs = [(w, o) for w, o in by_length[length] if rows[w] < 0 and o not in taken]
        _refuse_ambiguous(pairs, wanted, offered, wanted_in, offered_in)
        for w, o in pairs:
            rows[w] = o
            taken.add(o)
    return rows


def unique_keys(names: Sequence[str], where: str) -> dict[tuple[str, ...], int]:
    """``name_key`` -> row; raises BadInput when two names are the same photo."""
    keys: dict[tuple[str, ...], int] = {}
    repeated = [name for row, name in enumerate(names) if keys.setdefault(name_key(name), row) != row]
    if repeated:
        raise BadInput(f"{where}: {len(repeated)} image names occur twice (extensions aside); first: {repeated[0]}")
    return keys


def _agreements(wanted: dict[tuple[str, ...], int], offered: dict[tuple[str, ...], int]) -> dict[int, list[tuple[int, int]]]:
    """Number of path parts in common -> pairs of rows of which one is the other with more folders in front."""
    by_length: dict[int, list[tuple[int, int]]] = defaultdict(list)
    offered_by_tail = defaultdict(list)
    for key, row in offered.items():
        for start in range(1, len(key)):
            offered_by_tail[key[start:]].append(row)
    for key, row in wanted.items():
        by_length[len(key)] += [(row, other) for other in offered_by_tail.get(key, [])]
        for start in range(1, len(key)):
            if key[start:] in offered:
                by_length[len(key) - start].append((row, offered[key[start:]]))
    return by_length


def _refuse_ambiguous(
    pairs: list[tuple[int, int]], wanted: Sequence[str], offered: Sequence[str], wanted_in: str, offered_in: str
) -> None:
    of_wanted, of_offered = defaultdict(list), defaultdict(list)
    for w, o in pairs:
        of_wanted[w].append(o)
        of_offered[o].append(w)
    for several, names, where, others, elsewhere in (
        (of_wanted, wanted, wanted_in, offered, offered_in),
        (of_offered, offered, offered_in, wanted, wanted_in),
    ):
        doubtful = [row for row, fits in several.items() if len(fits) > 1]
        if doubtful:
            fits = [others[row] for row in several[doubtful[0]]]
            raise BadInput(
                f"{where}: {len(doubtful)} image names fit several in {elsewhere}; first: {names[doubtful[0]]} fits "
                f"{summarize(fits, 2)}: give the folders in both"
            )
