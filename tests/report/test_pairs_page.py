"""The page about the pairs of a scene."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from pairs_wall import make_wall_scene

from irploc.pairs import PairMatrix, PairOptions, select_pairs
from irploc.report.pairs_page import render_pairs_page, spread
from irploc.scene import Scene


@pytest.fixture
def pairs(tmp_path: Path) -> tuple[PairMatrix, Scene]:
    turned = (0.0, 0.0, 0.0, 0.0, 60.0)
    scene = make_wall_scene(tmp_path, (0.0, 1.0, 3.0, 12.0, 0.0), turned_deg=turned, depth=(0, 1, 2, 3, 4))
    return select_pairs(scene, PairOptions()), scene


def test_the_page_counts_the_outcomes_and_shows_examples_of_each(pairs: tuple[PairMatrix, Scene]) -> None:
    page = render_pairs_page(*pairs)
    cells = re.findall(r"<tr><td>([^<]+)</td><td>(\d+)</td><td>([\d.]+%)</td><td>([^<]*)</td></tr>", page)
    assert cells == [
        ("accepted", "2", "20.0%", ""),
        ("turned too far", "4", "40.0%", "51.3°"),
        ("too little depth overlap", "4", "40.0%", "0.3"),
    ]
    accepted, rejected = page.split("<h3>Rejected</h3>")
    assert accepted.count('<article class="card">') == 2
    assert rejected.count("turned too far</span>: angle 60.0°") >= 2
    assert "angle 0.0°, common depth 0.750" in accepted
    assert rejected.count("data:image/jpeg") == 2 * rejected.count('<article class="card">')


def test_the_page_needs_nothing_from_outside(pairs: tuple[PairMatrix, Scene]) -> None:
    page = render_pairs_page(*pairs)
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "<script" not in page


def test_names_and_missing_photos_do_no_harm(pairs: tuple[PairMatrix, Scene]) -> None:
    found, scene = pairs
    for image in scene.frames.images:
        image.unlink()
    assert "photo not found" in render_pairs_page(found, scene)


def test_examples_are_spread_over_the_values() -> None:
    values = np.array([5.0, 1, 4, 2, 3])
    assert values[spread(values, 3)].tolist() == [1, 3, 5]
    assert values[spread(values, 9)].tolist() == [1, 2, 3, 4, 5]
    assert len(spread(np.empty(0), 3)) == 0
