"""Memory that was freed goes back to the system, which glibc does not do by itself while anything lies above it in a heap.

Photos, answers and scenes that are read again come and go in several threads; what they leave between them cannot be used
for the large pieces of the next ones, and the process grows (``scripts/soak_service.py`` measures it). Other C libraries
have no such functions and are left alone.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of glibc's malloc.h
_HEAPS, _KEPT_BYTES, _MAPPED_BYTES = 2, 100_000_000, 1 << 15
_EVERY_S = 2.0  # it takes some milliseconds


def share_heaps() -> bool:
    """Keeps glibc from giving every thread a heap of its own, and large arrays out of heaps; before the first thread starts.
    Whether it could be done."""
    mallopt = _of_libc("mallopt")
    if mallopt is None:
        return False
    # What is larger than the last is mapped by itself and given back at once: it leaves no holes between what is small.
    chosen = ((_M_ARENA_MAX, _HEAPS), (_M_TRIM_THRESHOLD, _KEPT_BYTES), (_M_MMAP_THRESHOLD, _MAPPED_BYTES))
    done = [mallopt(option, value) for option, value in chosen]
    return all(done)


def give_back() -> bool:
    """Gives the free pages of all heaps back. Whether it could be done."""
    trim = _of_libc("malloc_trim")
    if trim is None:
        return False
    trim(ctypes.c_size_t(0))
    return True


def settle() -> None:
    """What is loaded by now is here to stay: the collector, which stops all threads, need not look through it again."""
    gc.collect()
    gc.freeze()


async def give_back_regularly(every_s: float = _EVERY_S) -> None:
    """Does so for as long as it runs, beside the event loop; ends at once where it cannot be done."""
    while await asyncio.to_thread(give_back):
        await asyncio.sleep(every_s)


def _of_libc(name: str) -> Any:
    """A function of the C library; None where it has none of that name."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None
