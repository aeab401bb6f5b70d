"""The check of alignments: the choices of points and rays, the layers of a depth map, the printed line, by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "scripts/check_align.py"
    spec = importlib.util.spec_from_file_location("check_align", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_align"] = module
    spec.loader.exec_module(module)
    return module


def test_a_line_tells_median_worst_and_the_share_within_one(script: ModuleType) -> None:
    said = script.line("three", [0.002, 0.01, 0.03, 0.004], 2, "cm")
    assert said == "three: median 0.70 cm, worst 3.00, 75% within 1 cm (4 draws, 2 refused)"
    assert script.line("none", [], 5, "%") == "none: no draws left, 5 refused"


def test_the_rays_furthest_apart_are_chosen(script: ModuleType) -> None:
    angles = np.radians([0, 10, 20, 90, 95])
    rays = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    assert sorted(script._far_apart(rays)) == [0, 2, 4]  # the ends, then what is furthest from both


def test_pairs_are_two_metres_apart_and_the_same_for_a_seed(script: ModuleType) -> None:
    points = np.random.default_rng(0).uniform(0, 3, (30, 3))
    pairs = script._drawn_pairs(points, 20, seed=1)
    assert pairs.shape == (20, 2)
    assert np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1).min() >= 2.0
    np.testing.assert_array_equal(pairs, script._drawn_pairs(points, 20, seed=1))


def test_the_widest_choice_is_wider_than_most(script: ModuleType) -> None:
    points = np.random.default_rng(0).uniform(0, 3, (30, 3))

    def width(chosen: np.ndarray) -> float:
        return float(np.linalg.svd(points[chosen] - points[chosen].mean(axis=0))[1][1])

    generator = np.random.default_rng(5)
    others = [width(generator.choice(30, 3, replace=False)) for _ in range(200)]
    assert width(script._drawn_wide(points, 3, seed=0)) > np.quantile(others, 0.8)


def test_the_floor_is_the_lowest_large_layer_not_the_strongest(script: ModuleType) -> None:
    generator = np.random.default_rng(0)
    layers = ((0.0, 1000), (0.74, 4000), (-0.5, 20))  # floor, worktop, and too few to be a floor
    heights = np.concatenate([generator.normal(height, 0.005, count) for height, count in layers])
    floor, strongest = script._layers(heights)
    assert floor == pytest.approx(0.0, abs=0.03)
    assert strongest == pytest.approx(0.74, abs=0.03)


def test_a_plane_has_the_normal_of_its_layer_upwards(script: ModuleType) -> None:
    generator = np.random.default_rng(0)
    xy = generator.uniform(-1, 1, (500, 2))
    points = np.column_stack([xy, 1.0 + 0.01 * xy[:, 0]])
    above = np.column_stack([xy, np.full(500, 2.0)])
    members, normal = script._plane(np.concatenate([points, above]), np.array([0.0, 0, 1]), 1.0)
    assert len(members) == 500
    np.testing.assert_allclose(normal, np.array([-0.01, 0, 1]) / np.hypot(1, 0.01), atol=1e-9)
    assert script._angle(normal, np.array([0.0, 0, 1])) == pytest.approx(np.degrees(np.arctan(0.01)))
