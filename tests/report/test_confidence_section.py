"""The section on confidence, in the page and in Markdown."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_evaluation import Checker, evaluation_of, walk

from irploc.estimators.base import PoseEstimates
from irploc.evaluation import Evaluation, KeptCurve, MethodResult
from irploc.geometry.poses import Poses
from irploc.report import confidence_table, markdown, render_page
from irploc.report.plots import kept_curves


def calibrated(estimated: Poses, confidence: list[float], expected_m: float) -> MethodResult:
    """Answers with a confidence, to the queries of ``walk``."""
    expected = np.where(estimated.valid, expected_m, np.nan)
    estimates = replace(
        PoseEstimates.of_poses(estimated), confidence=np.array(confidence), position_m=expected, rotation_deg=40 * expected
    )
    return MethodResult.measured(estimates, walk(len(estimated)))


def confident(root: Path, refusing: int) -> Evaluation:
    """Ten queries: ``sure``, which refuses some of them, and ``plain``, which has no confidence."""
    found = Poses.concatenate([walk(10, 0.1)[: 10 - refusing], Poses.missing(refusing)])
    sure = calibrated(found, [0.75] * (10 - refusing) + [0.0] * refusing, 0.08)
    evaluation = evaluation_of(root, {"plain": walk(10, 0.4)})
    return replace(evaluation, results={**evaluation.results, "sure": sure})


def test_what_confidence_is_worth_is_tabled_with_areas_as_shares_of_keeping_at_random(tmp_path: Path) -> None:
    true = walk(4)
    half, zeros = np.radians([1.0, 2.0, 3.0, 4.0]) / 2, np.zeros(4)
    turned = np.stack([np.cos(half), zeros, zeros, np.sin(half)], axis=1)
    moved = Poses(true.centers_m + np.outer([0.1, 0.2, 0.3, 0.4], [1.0, 0.0, 0.0]), turned)
    evaluation = evaluation_of(tmp_path, {"plain": true})
    both = {"plain": evaluation.results["plain"], "sure": calibrated(moved, [0.5, 0.9, 0.2, 0.0], 0.1)}
    table = confidence_table(replace(evaluation, results=both))
    assert table is not None
    named = dict(zip([" ".join(heading) for heading in table.headings], table.rows[1], strict=True))
    assert table.rows[0][1:] == ["–"] * 8
    assert named["good %"] == "50.0"
    assert named["announced %"] == "40.0"
    assert named["calibration error %"] == "20.0"  # (0.5 + 0.1 + 0.2 + 0) / 4
    assert named["error kept (m) %"] == "80.0"  # (0.2 + 0.15 + 0.2 + 0.25) / 4 of 0.25
    assert named["best kept (m) %"] == "70.0"
    assert named["error kept (°) %"] == "80.0"
    assert named["expected within ×2 %"] == "50.0"
    assert confidence_table(evaluation) is None


def test_the_page_shows_what_confidence_is_worth_and_says_who_refused(tmp_path: Path) -> None:
    text = render_page(confident(tmp_path, refusing=3), quiet=True)
    found = Checker(text)
    assert not found.open
    assert len(found.ids) == len(set(found.ids))
    for figure in ("kept-m", "kept-deg", "reliability"):
        assert f"{figure}-curve-1" in found.ids
        assert f"{figure}-curve-0" not in found.ids  # has no confidence
    assert "Photos refused, of 10: sure 3." in text
    assert "confidence 0.75<br>expected 8.0 cm, 3.2°<br>" in text
    assert "<b>not localized</b><br>confidence 0.00<br>" in text
    assert "No photo was refused." in render_page(confident(tmp_path, refusing=0), quiet=True)


@pytest.mark.parametrize("refusing", [9, 10])
def test_a_method_that_refuses_nearly_all_leaves_a_whole_page(tmp_path: Path, refusing: int) -> None:
    text = render_page(confident(tmp_path, refusing), quiet=True)
    assert not Checker(text).open
    assert f"Photos refused, of 10: sure {refusing}." in text


def test_kept_curves_end_where_half_of_the_photos_kept_were_refused() -> None:
    shares = np.array([0.25, 0.5, 0.75, 1.0])
    ends = [KeptCurve(shares, errors, errors) for errors in (np.array([1.0, 2.0, np.inf, np.inf]), np.arange(1.0, 5.0))]
    path = [re.search(rf'id="x-curve-{row}">\s*<path d="([^"]*)"', kept_curves([*ends], "m", "x")) for row in (0, 1)]
    assert [len(re.findall("[ML]", found[1])) for found in path if found] == [2, 4]


def test_without_any_confidence_neither_page_nor_markdown_mentions_it(tmp_path: Path) -> None:
    evaluation = evaluation_of(tmp_path, {"a": walk(5, 0.2), "b": walk(5, 0.4)})
    assert "onfidence" not in render_page(evaluation, quiet=True)
    assert "onfidence" not in markdown(evaluation)


def test_markdown_has_a_second_table_where_there_is_confidence(tmp_path: Path) -> None:
    text = markdown(confident(tmp_path, refusing=2))
    rows = [line for line in text.split("## Confidence")[1].splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert len({row.count("|") for row in rows}) == 1
    assert rows[3].startswith("| `sure` | 80.0 | 60.0 |")
