"""A function over many items by a few threads, for work that lets other threads run: decoding and matching."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from irploc.progress import Progress

_CHUNK = 64  # all that is still done after Ctrl-C
_MOST = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(function: Callable[[Item], Result], items: Sequence[Item], bar: Progress) -> list[Result]:
    """The results in the order of the items; what the function raises is raised here."""
    results: list[Result] = []
    with ThreadPoolExecutor(min(_MOST, len(os.sched_getaffinity(0)))) as pool:
        for start in range(0, len(items), _CHUNK):
            chunk = items[start : start + _CHUNK]
            results.extend(pool.map(function, chunk))
            bar.advance(len(chunk))
    return results
