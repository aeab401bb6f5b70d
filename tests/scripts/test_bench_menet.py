"""The benchmark of relative poses: directions, lines and baselines, by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from irploc.geometry.poses import Poses


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "scripts/bench_menet.py"
    spec = importlib.util.spec_from_file_location("bench_menet", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_menet"] = module
    spec.loader.exec_module(module)
    return module


def moved(*metres: float) -> Poses:
    centers = np.array([[value, 0.0, 0.0] for value in metres])
    return Poses(centers, np.tile([1.0, 0, 0, 0], (len(metres), 1)))


def test_directions_are_compared_by_their_angle_and_no_motion_has_none(script: ModuleType) -> None:
    found = script.directions_deg(
        np.array([[2.0, 0, 0], [0, 0, 1], [0, 0, 0]]), np.array([[1.0, 0, 0], [1, 0, 0], [1, 0, 0]])
    )
    np.testing.assert_allclose(found, [0, 90, np.nan], atol=1e-9)


def test_a_line_has_medians_of_metres_and_turns_and_directions_of_pairs_that_moved(script: ModuleType) -> None:
    line = script.told("menet", script.Line(moved(0.1, -0.2, 0.5), 0.004), moved(0.2, 0.2, 0.01))
    assert line.split() == ["menet", "0.400", "0.00", "90.0", "100%", "4.0"]  # the third pair has hardly moved


def test_a_method_without_distances_shows_none(script: ModuleType) -> None:
    line = script.told("two views", script.Line(moved(1.0), 0.1, distances=False), moved(0.2))
    assert line.split() == ["two", "views", "-", "0.00", "0.0", "100%", "100.0"]
