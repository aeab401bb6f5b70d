"""pycolmap is whole for whoever gets it, however many threads ask for it first."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import pytest

from irploc import pycolmap_safe


def test_threads_that_ask_at_once_all_wait_for_the_whole_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycolmap", ModuleType("pycolmap"))
    monkeypatch.delitem(sys.modules, "pycolmap")
    imports: list[int] = []

    def slowly() -> ModuleType:
        module = sys.modules["pycolmap"] = ModuleType("pycolmap")  # as Python does, before the module runs
        time.sleep(0.05)
        imports.append(1)
        module.Camera = object  # type: ignore[attr-defined]
        return module

    monkeypatch.setattr(pycolmap_safe, "_imported", slowly)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: hasattr(pycolmap_safe.import_pycolmap(), "Camera"), range(4)))
    assert all(found) and len(imports) == 1
