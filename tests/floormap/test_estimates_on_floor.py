"""Estimates against a floor map: status, corrected poses, and the scores of both."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_evaluation import Checker, evaluation_of, walk

from irploc.errors import BadInput, Mismatch
from irploc.estimators.base import APPROXIMATE, NOT_LOCALIZED, OK, OUTSIDE_MAP, PoseEstimates
from irploc.estimators.floor_corrected import on_floor
from irploc.evaluation import Evaluation, with_floor_map
from irploc.floormap import FloorMap
from irploc.geometry.poses import Poses
from irploc.report import floor_table, markdown, render_page

ROOM = np.zeros((20, 20), dtype=bool)
ROOM[5:15, 5:15] = True
FLOOR = FloorMap(ROOM, 0.2, (0.0, 0.0), max_distance_m=1.0)  # walkable: x and y from 1 to 3


def estimates_at(*centers: tuple[float, float, float]) -> PoseEstimates:
    count = len(centers)
    poses = Poses(np.array(centers), np.tile([0.6, 0.8, 0, 0], (count, 1)))
    known = PoseEstimates.of_poses(poses)
    return PoseEstimates(poses, known.status, np.full(count, 0.5), known.neighbours, np.full(count, 0.1), np.ones(count))


MISSING = (np.nan, np.nan, np.nan)


def test_status_pose_and_distance_follow_from_where_a_position_lies() -> None:
    seen = on_floor(estimates_at((2, 2, 1.5), (3.5, 2, 1.5), (9, 2, 1.5)), FLOOR)
    assert seen.raw.status == (OK, OUTSIDE_MAP, OUTSIDE_MAP)
    assert seen.corrected.status == (OK, OUTSIDE_MAP, NOT_LOCALIZED)
    assert seen.answers.status == (OK, OUTSIDE_MAP, NOT_LOCALIZED)
    assert np.allclose(seen.moved_m, [0, 0.5, 6], atol=0.001)
    assert np.allclose(seen.corrected.poses.centers_m[:2], [[2, 2, 1.5], [3, 2, 1.5]], atol=0.001)
    assert seen.answers.poses.centers_m[1].tolist() == [3.5, 2, 1.5], "the answer stays raw, the corrected one is beside it"
    assert (seen.outside.tolist(), seen.too_far.tolist()) == ([False, True, True], [False, False, True])


def test_of_an_approximate_pose_outside_it_is_told_that_it_is_approximate() -> None:
    raw = estimates_at((2, 2, 1.5), (3.5, 2, 1.5), (3.5, 2, 1.5), (9, 2, 1.5))
    raw = replace(raw, status=(APPROXIMATE, APPROXIMATE, OK, APPROXIMATE), notes=("", "a lens", "a lens", "a lens"))
    answers = on_floor(raw, FLOOR).answers
    assert answers.status == (APPROXIMATE, OUTSIDE_MAP, OUTSIDE_MAP, NOT_LOCALIZED)
    told = "the pose is approximate, that of the method it started from; a lens"
    assert answers.notes == ("", told, "a lens", "a lens")


def test_a_position_too_far_away_leaves_no_pose_and_no_confidence() -> None:
    answers = on_floor(estimates_at((9, 2, 1.5), (2, 2, 1.5)), FLOOR).answers
    assert answers.poses.valid.tolist() == [False, True]
    assert answers.confidence.tolist() == [0.0, 0.5]
    assert np.isnan(answers.position_m).tolist() == [True, False]


def test_rotations_are_kept_and_what_was_not_localized_stays_so() -> None:
    raw = PoseEstimates.of_poses(Poses(np.array([MISSING, (3.5, 2, 1)]), [[np.nan] * 4, [0.6, 0.8, 0, 0]]))
    seen = on_floor(raw, FLOOR)
    assert seen.answers.status == (NOT_LOCALIZED, OUTSIDE_MAP)
    assert np.isnan(seen.moved_m[0]) and not seen.too_far[0]
    assert np.allclose(seen.corrected.poses.world_from_cam_wxyz[1], [0.6, 0.8, 0, 0])
    assert np.isnan(seen.answers.confidence).all(), "an uncalibrated method stays one"


AHEAD = FloorMap(np.ones((100, 60), dtype=bool), 0.05, (0.0, -0.1), up="y")  # walkable: z from 0 to 3, x from -0.1 to 4.9


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    true = walk(10)
    off = Poses(true.centers_m - [0, 0, 0.4], true.world_from_cam_wxyz)
    lost = Poses(true.centers_m - [0, 0, 30], true.world_from_cam_wxyz)
    return evaluation_of(tmp_path, {"good": true, "off": off, "lost": lost})


def test_scores_before_and_after_are_both_there_and_the_raw_ones_do_not_change(evaluation: Evaluation) -> None:
    measured = with_floor_map(evaluation, AHEAD)
    for method, result in measured.results.items():
        assert result.scores == evaluation.results[method].scores
    off = measured.results["off"].corrected
    assert off is not None
    inside = AHEAD.contains(AHEAD.on_plane(evaluation.results["off"].estimates.poses.centers_m))
    assert 0 < off.n_outside == int((~inside).sum()) and off.n_too_far == 0
    assert off.scores.mean_position_m < measured.results["off"].scores.mean_position_m
    lost = measured.results["lost"].corrected
    assert lost is not None and lost.n_too_far == 10
    assert measured.results["lost"].scores.n_not_localized == 0 and lost.scores.n_not_localized == 10


def test_json_holds_the_same_scores_again_with_how_many_were_moved_how_far(evaluation: Evaluation) -> None:
    written = json.loads(json.dumps(with_floor_map(evaluation, AHEAD).to_json(), allow_nan=False))
    assert written["floor_map"] == {"sha256": AHEAD.sha256, "max_distance_m": 1.0}
    off = written["results"]["off"]
    scores = {"median_position_m", "mean_position_m", "recall", "n", "n_not_localized", "n_approximate", "seconds_per_image"}
    assert scores <= off.keys() & off["corrected"].keys()
    assert off["corrected"]["n_outside"] == sum(np.sin(np.linspace(0, 3, 10)) - 0.4 < 0) == 3
    assert 0 < off["corrected"]["moved"]["mean_m"] <= off["corrected"]["moved"]["max_m"] == pytest.approx(0.4, abs=0.001)
    assert written["results"]["good"]["corrected"]["moved"] == {"mean_m": None, "median_m": None, "max_m": None}
    plain = evaluation.to_json()
    assert "floor_map" not in plain and "corrected" not in plain["results"]["off"]


def test_table_markdown_and_page_show_both(evaluation: Evaluation) -> None:
    assert floor_table(evaluation) is None
    assert "floor map" not in markdown(evaluation) + render_page(evaluation, quiet=True)
    measured = with_floor_map(evaluation, AHEAD)
    table = floor_table(measured)
    assert table is not None
    assert [cells[0] for cells in table.rows] == ["good", "off", "lost"]
    assert table.rows[2][1:3] == ["10", "10"]
    assert "## On the floor map" in markdown(measured)
    page = render_page(measured, quiet=True)
    assert "<h2>On the floor map</h2>" in page and "10 too far away" in page
    checked = Checker(page)
    assert checked.open == [] and len(checked.ids) == len(set(checked.ids))
    assert "sha256" in page


def test_a_map_of_another_place_or_without_metres_is_refused(evaluation: Evaluation) -> None:
    elsewhere = FloorMap(np.ones((10, 10), dtype=bool), 0.1, (50.0, 50.0), up="y")
    with pytest.raises(Mismatch, match="does not fit scene toy: 100 % of 12 mapping photos"):
        with_floor_map(evaluation, elsewhere)
    with pytest.raises(Mismatch, match="100 % of 10 query photos"):
        with_floor_map(replace(evaluation, mapping=None), elsewhere)
    with pytest.raises(BadInput, match=r"its units: unknown.*scene align"):
        with_floor_map(replace(evaluation, units="unknown"), elsewhere)
