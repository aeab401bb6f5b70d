"""Scores: hand-computed, edge cases, and published results."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from irploc.estimators.base import APPROXIMATE, NOT_LOCALIZED, OK, PoseEstimates, Query
from irploc.evaluation import Evaluation, MethodResult, evaluate_methods, read_pose_file, score_poses
from irploc.geometry.poses import Poses
from irploc.report import markdown
from irploc.scene import Frames


def poses_at(metres: list[float], degrees: list[float]) -> Poses:
    """Poses along x, turned about z."""
    half = np.radians(degrees) / 2
    zeros = np.zeros(len(half))
    return Poses(np.stack([metres, zeros, zeros], axis=1), np.stack([np.cos(half), zeros, zeros, np.sin(half)], axis=1))


def truth(count: int) -> Poses:
    return poses_at([0.0] * count, [0.0] * count)


def frames_of(poses: Poses) -> Frames:
    names = tuple(f"seq/{row}.png" for row in range(len(poses)))
    return Frames(
        images=tuple(Path("/nowhere") / name for name in names),
        names=names,
        sequences=np.array(["seq"] * len(poses)),
        indices=np.arange(len(poses)),
        splits=np.array(["test"] * len(poses)),
        cameras=("",) * len(poses),
        poses=poses,
    )


def test_scores_of_four_known_errors() -> None:
    scores = score_poses(poses_at([0.0, 0.04, 0.3, 3.0], [0.0, 4.0, 4.0, 8.0]), truth(4))
    assert scores.median_position_m == pytest.approx(0.17)
    assert scores.median_rotation_deg == pytest.approx(4.0)
    assert scores.mean_position_m == pytest.approx(0.835)
    assert scores.mean_rotation_deg == pytest.approx(4.0)
    assert scores.rmse_position_m == pytest.approx(math.sqrt((0.0016 + 0.09 + 9) / 4))
    assert scores.recall == {"0.05m_5deg": 0.5, "0.25m_2deg": 0.25, "0.5m_5deg": 0.75, "2m_5deg": 0.75, "5m_10deg": 1.0}
    assert (scores.n, scores.n_not_localized) == (4, 0)


def test_thresholds_are_inclusive() -> None:
    on_edge = score_poses(poses_at([0.05, 0.25, 0.5, 2.0, 5.0], [5.0, 2.0, 5.0, 5.0, 10.0]), truth(5))
    assert on_edge.recall == {"0.05m_5deg": 0.2, "0.25m_2deg": 0.2, "0.5m_5deg": 0.6, "2m_5deg": 0.8, "5m_10deg": 1.0}
    beyond = score_poses(poses_at([5.0, 5.00001], [10.00001, 10.0]), truth(2))
    assert beyond.recall["5m_10deg"] == 0.0


def test_a_query_that_was_not_localized_is_infinitely_far_and_turned_by_180_degrees() -> None:
    estimated = Poses.concatenate([poses_at([0.1, 0.1], [1.0, 1.0]), Poses.missing(1)])
    scores = score_poses(estimated, truth(3))
    assert (scores.n, scores.n_not_localized) == (3, 1)
    assert scores.median_position_m == pytest.approx(0.1)
    assert scores.mean_rotation_deg == pytest.approx(182 / 3)
    assert math.isinf(scores.mean_position_m)
    assert math.isinf(scores.rmse_position_m)
    assert scores.recall["5m_10deg"] == pytest.approx(2 / 3)


def test_infinite_scores_become_null_in_json() -> None:
    written = json.loads(json.dumps(score_poses(Poses.missing(2), truth(2)).to_json(), allow_nan=False))
    assert written["median_position_m"] is None
    assert written["mean_position_m"] is None
    assert written["rmse_position_m"] is None
    assert written["median_rotation_deg"] == 180.0
    assert written["n_not_localized"] == 2
    assert set(written["recall"].values()) == {0.0}


def test_the_fields_are_those_promised() -> None:
    assert list(score_poses(truth(1), truth(1), 0.5).to_json()) == [
        "median_position_m",
        "median_rotation_deg",
        "mean_position_m",
        "mean_rotation_deg",
        "rmse_position_m",
        "recall",
        "n",
        "n_not_localized",
        "n_approximate",
        "seconds_per_image",
    ]


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(ValueError, match="no queries"):
        score_poses(truth(0), truth(0))


class Shifted:
    """A method that is wrong by a known distance."""

    def __init__(self, metres: float) -> None:
        self.metres = metres

    def estimate(self, query: Query) -> PoseEstimates:
        return PoseEstimates.of_poses(poses_at([self.metres] * len(query), [0.0] * len(query)))


def test_methods_are_measured_side_by_side_under_the_names_typed() -> None:
    query = Query(np.ones((3, 2), dtype=np.float32))
    results = evaluate_methods({"a:k=2": Shifted(1.0), "b": Shifted(0.5)}, query, truth(3))
    evaluation = Evaluation("toy", "exact", "test", frames_of(truth(3)), results, frames_of(truth(7)), "densevlad")
    written = evaluation.to_json()
    assert list(written) == ["scene", "ground_truth", "split", "n_train", "n_test", "encoder", "results"]
    assert (written["n_train"], written["n_test"], written["split"]) == (7, 3, "test")
    assert list(written["results"]) == ["a:k=2", "b"]
    assert written["results"]["a:k=2"]["median_position_m"] == 1.0
    assert written["results"]["b"]["median_position_m"] == 0.5
    assert written["results"]["b"]["seconds_per_image"] > 0


def test_approximate_poses_are_counted_apart_and_scored_like_others() -> None:
    estimates = replace(
        PoseEstimates.of_poses(Poses.concatenate([poses_at([0.0, 0.4], [0.0, 0.0]), Poses.missing(1)])),
        status=(OK, APPROXIMATE, NOT_LOCALIZED),
    )
    results = {"fine": MethodResult.measured(estimates, truth(3)), "plain": MethodResult.measured(estimates, truth(3))}
    scores = results["fine"].to_json()
    assert (scores["n"], scores["n_not_localized"], scores["n_approximate"]) == (3, 1, 1)
    assert scores["recall"]["0.05m_5deg"] == pytest.approx(1 / 3) and scores["recall"]["0.5m_5deg"] == pytest.approx(2 / 3)
    shown = markdown(Evaluation("toy", "exact", "test", frames_of(truth(3)), results))
    assert "not localized | approximate" in shown and "gives that of the method it starts from" in shown
    exact = {"plain": MethodResult.measured(PoseEstimates.of_poses(truth(3)), truth(3))}
    assert "pproximate" not in markdown(Evaluation("toy", "exact", "test", frames_of(truth(3)), exact))


def test_what_a_confidence_is_worth_stands_beside_the_scores_and_is_null_without_one() -> None:
    estimates = PoseEstimates.of_poses(poses_at([0.1, 0.1, 3.0, 3.0], [0.0] * 4))
    sure = replace(estimates, confidence=np.array([0.9, 0.9, 0.9, 0.1]), position_m=np.array([0.1, 0.1, 0.3, 2.0]))
    results = {name: MethodResult.measured(part, truth(4)) for name, part in (("sure", sure), ("plain", estimates))}
    written = Evaluation("toy", "exact", "test", frames_of(truth(4)), results).to_json()["results"]
    assert written["plain"]["confidence"] is None
    assert written["sure"]["median_position_m"] == pytest.approx(1.55)
    assert list(written["sure"]["confidence"]) == [
        "good",
        "mean_confidence",
        "calibration_error",
        "area_m",
        "area_deg",
        "best_area_m",
        "best_area_deg",
        "blind_area_m",
        "blind_area_deg",
        "expected_within_2",
    ]
    assert written["sure"]["confidence"]["good"] == 0.5
    assert written["sure"]["confidence"]["expected_within_2"] == 0.75
    assert list(written["plain"])[:-1] == list(results["plain"].scores.to_json())


def test_an_evaluation_refuses_answers_to_other_queries() -> None:
    results = evaluate_methods({"a": Shifted(1.0)}, Query(np.ones((3, 2), dtype=np.float32)), truth(3))
    with pytest.raises(ValueError, match="3 answers to 2 queries"):
        Evaluation("toy", "exact", "test", frames_of(truth(2)), results)


@pytest.mark.parametrize(
    ("name", "position_cm", "rotation_deg", "recall_percent"),
    [("hloc", "2.40", "0.775", "94.15"), ("as", "2.68", "0.874", "86.40"), ("dsac_rgb", "1.83", "0.586", "97.80")],
)
def test_published_results_come_out_to_the_last_digit(
    shared: Path, name: str, position_cm: str, rotation_deg: str, recall_percent: str
) -> None:
    folder = shared / "data/estimates/7scenes_chess"
    true = read_pose_file(folder / "groundtruth_dslam_test.txt")
    scores = score_poses(read_pose_file(folder / f"chess_{name}.txt").for_names(true.names, "truth"), true.poses)
    assert scores.n == 2000
    assert f"{100 * scores.median_position_m:.2f}" == position_cm
    assert f"{scores.median_rotation_deg:.3f}" == rotation_deg
    assert f"{100 * scores.recall['0.05m_5deg']:.2f}" == recall_percent
