"""What is freed goes back to the system."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys

import pytest

from irploc.service import heaps

# Pieces too small to be mapped one by one; the last one stays, at the end of the heap.
PROGRAM = """
import re
from pathlib import Path
from irploc.service.heaps import give_back, share_heaps

def resident_mb():
    return int(re.search(r"VmRSS:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024

assert share_heaps()
pieces = [b"x" * 20_000 for _ in range(5000)]
full = resident_mb()
del pieces[:-1]
kept = resident_mb()
assert give_back()
print(full - kept, kept - resident_mb())
"""


@pytest.fixture
def without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heaps, "_of_libc", lambda name: None)


@pytest.mark.skipif(heaps._of_libc("malloc_trim") is None, reason="needs glibc")
def test_what_lies_free_below_something_kept_is_given_back() -> None:
    printed = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    by_itself, when_told = map(int, printed.split())
    assert by_itself < 20
    assert when_told > 70


def test_another_c_library_is_left_alone(without_glibc: None) -> None:
    assert not heaps.share_heaps()
    assert not heaps.give_back()
    asyncio.run(asyncio.wait_for(heaps.give_back_regularly(), 5.0))


def test_it_is_done_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    left = [True, True, True, False]
    monkeypatch.setattr(heaps, "give_back", lambda: left.pop(0))
    asyncio.run(asyncio.wait_for(heaps.give_back_regularly(0.001), 5.0))
    assert left == []


def test_the_collector_leaves_alone_what_is_loaded() -> None:
    loaded: list[object] = [{}]
    loaded.append(loaded)
    try:
        heaps.settle()
        assert not any(one is loaded for one in gc.get_objects())
    finally:
        gc.unfreeze()
    assert any(one is loaded for one in gc.get_objects())
