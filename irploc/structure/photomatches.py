"""All pairs of a map's photos compared by several threads, kept in files meanwhile."""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path

import numpy as np

from irploc.files import replacing
from irploc.pairs.threads import in_threads
from irploc.progress import Progress, Silent
from irploc.structure.comparison import Comparison, one_torch_thread

LEAST_MATCHES = 12  # of a pair; fewer are taken for chance
_CHUNK = 256  # pairs a file: all that is done again after an interruption


def match_all(pairs: np.ndarray, comparison: Comparison, folder: Path, bar: Progress) -> list[np.ndarray]:
    """The matches of every pair, (M, 2) int32 each, empty where they are too few; kept in files of ``folder``.

    Args:
        pairs: (P, 2) rows of photos.
        folder: of these pairs' work; what is there already is not done again.
        bar: takes a step per pair.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: list[np.ndarray] = []
    with one_torch_thread():
        for start in range(0, len(pairs), _CHUNK):
            chunk = pairs[start : start + _CHUNK]
            path = folder / f"{start:07d}.npz"
            matches = _read_chunk(path, chunk)
            if matches is None:
                matches = in_threads(partial(_enough_matches, comparison), chunk.tolist(), Silent())
                _write_chunk(path, chunk, matches)
            found += matches
            bar.advance(len(chunk))
    return found


def _enough_matches(comparison: Comparison, pair: list[int]) -> np.ndarray:
    matches = comparison.matches(pair[0], pair[1])
    return matches if len(matches) >= LEAST_MATCHES else matches[:0]


def _write_chunk(path: Path, pairs: np.ndarray, matches: list[np.ndarray]) -> None:
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, pairs=pairs, counts=[len(found) for found in matches], matches=np.concatenate(matches))


def _read_chunk(path: Path, pairs: np.ndarray) -> list[np.ndarray] | None:
    """The matches of these pairs; None where the file is not there, damaged, or of other pairs."""
    try:
        with np.load(path, allow_pickle=False) as content:
            known, counts, matches = (content[name] for name in ("pairs", "counts", "matches"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    ends = np.cumsum(counts)
    if not np.array_equal(known, pairs) or ends[-1] != len(matches):
        return None
    return np.split(matches, ends[:-1])
