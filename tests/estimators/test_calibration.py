"""What a method announces comes true, on walks whose maps have gaps."""

from __future__ import annotations

import numpy as np
import pytest
from test_robust import walk
from tiny_place import place_index

from irploc.estimators.base import NOT_LOCALIZED, Query
from irploc.estimators.calibrated import Calibrated, Trust, calibrate
from irploc.estimators.calibration import GOOD_M, LEAST_PHOTOS, Calibration, nearest_distances, refusal_limit, signs_of
from irploc.estimators.interpolation import Bdi
from irploc.evaluation.confidence import calibration_error
from irploc.geometry.poses import Poses, pose_errors
from irploc.retrieval.index import PlaceIndex
from irploc.splits import pose_folds


def bdi(index: PlaceIndex) -> Calibrated:
    def answer(smaller: PlaceIndex, number: int, rows: np.ndarray) -> Poses:
        return Bdi(smaller, 8).estimate(Query(index.vectors[rows])).poses

    return Calibrated(Bdi(index, 8), calibrate(index, answer), index)


def with_constant(vectors: np.ndarray, value: float) -> np.ndarray:
    """Unit vectors (N, D + 1) with something in common, as photos of one place have."""
    longer = np.column_stack([vectors, np.full(len(vectors), value)])
    return (longer / np.linalg.norm(longer, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def place() -> tuple[PlaceIndex, np.ndarray, Poses]:
    """A map of walked stretches of very different density, and queries all along."""
    times = np.concatenate([np.arange(0, 10, 0.05), np.arange(10, 20, 0.4), np.arange(22, 30, 0.2)])
    queries, true = walk(np.random.default_rng(1).uniform(0, 29, 400), seed=2)
    return place_index(*walk(times)), queries, true


def test_confidence_comes_true_and_sorts_the_answers(place: tuple[PlaceIndex, np.ndarray, Poses]) -> None:
    index, queries, true = place
    answer = bdi(index).estimate(Query(queries))
    position_m, rotation_deg = pose_errors(answer.poses, true)
    good = (position_m <= GOOD_M) & (rotation_deg <= 5)
    assert 0.5 < good.mean() < 0.98, "else the test shows nothing"
    assert calibration_error(answer.confidence, good) < 0.15
    assert good[answer.confidence > 0.9].mean() > 0.9
    assert good[answer.confidence < 0.5].mean() < 0.6


def test_expected_errors_are_medians_and_follow_the_true_ones(place: tuple[PlaceIndex, np.ndarray, Poses]) -> None:
    index, queries, true = place
    answer = bdi(index).estimate(Query(queries))
    found = answer.poses.valid
    for errors, expected in zip(pose_errors(answer.poses, true), (answer.position_m, answer.rotation_deg), strict=True):
        assert 0.3 < (errors[found] < expected[found]).mean() < 0.8
        assert np.corrcoef(np.log(errors[found] + 1e-4), np.log(expected[found]))[0, 1] > 0.4


def test_photos_of_another_place_are_refused_and_those_of_this_one_are_not(
    place: tuple[PlaceIndex, np.ndarray, Poses],
) -> None:
    index, queries, _ = place
    index, queries = place_index(with_constant(index.vectors, 1.0), index.frames.poses), with_constant(queries, 1.0)
    strange = with_constant(np.random.default_rng(0).standard_normal((100, 64)) / 8, -1.0)
    method = bdi(index)
    refused = method.estimate(Query(strange))
    assert refused.status == (NOT_LOCALIZED,) * 100
    assert not refused.poses.valid.any()
    assert np.isnan(refused.position_m).all()
    assert np.mean([status == NOT_LOCALIZED for status in method.estimate(Query(queries)).status]) < 0.05


def test_the_limit_grows_where_the_widest_holes_are_harmless() -> None:
    """In a map all of whose photos look the same way, holes cannot show what another view would be like."""
    vectors, poses = walk(np.arange(0, 12, 0.1))
    still = Poses(poses.centers_m, np.tile([1.0, 0, 0, 0], (len(vectors), 1)))
    folds = pose_folds(still)
    index = place_index(vectors, still)
    distances = np.concatenate(
        [np.sqrt(2 - 2 * index.without(held).search(vectors[held], 1)[1][:, 0].astype(np.float64)) for held in folds]
    )
    assert refusal_limit(index, folds) == pytest.approx(1.25 * np.quantile(distances, 0.98), rel=1e-3)


def test_signs_of_a_mapping_photo_asked_for_with_its_own_pose() -> None:
    vectors, poses = walk(np.arange(0, 3, 0.1))
    signs = signs_of(place_index(vectors, poses), vectors[:2], poses[[0, 1]])
    assert signs.shape == (2, 9)
    assert (nearest_distances(signs) < 1e-3).all()
    assert np.allclose(np.exp(signs[:, 3]), 1e-3, atol=1e-6), "the nearest photo is where the answer is"


@pytest.mark.parametrize(("error", "confidence"), [(0.1, 101 / 102), (1.0, 1 / 102)])
def test_where_all_answers_are_good_or_none_the_share_is_smoothed(error: float, confidence: float) -> None:
    """By hand: 100 good answers of 100 announce (100 + 1) / (100 + 2)."""
    signs = np.random.default_rng(0).standard_normal((100, 9))
    fitted = Calibration.fit(signs, np.full(100, error), np.ones(100), 1.0)
    assert fitted.judge(signs).confidence == pytest.approx(confidence)
    assert fitted.judge(signs).position_m == pytest.approx(error, rel=0.05)


def test_the_smallest_place_that_is_calibrated_works() -> None:
    vectors, poses = walk(np.arange(LEAST_PHOTOS) * 0.3)
    answer = bdi(place_index(vectors, poses)).estimate(Query(vectors))
    assert ((answer.confidence >= 0) & (answer.confidence <= 1)).all()


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"limit": 1.0},
        {"mean": [1], "spread": [1, 2], "position": [1, 2], "rotation": [1, 2], "chance": [1, 2, 3], "limit": 1},
        {"mean": [1], "spread": [1], "position": [1, 2], "rotation": [1, 2], "chance": [1, 2, 3], "limit": float("nan")},
        {"mean": [1], "spread": [1], "position": [1, float("inf")], "rotation": [1, 2], "chance": [1, 2, 3], "limit": 1},
    ],
)
def test_damaged_numbers_are_noticed(values: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        Calibration.from_plain(values)


@pytest.mark.parametrize(("holds", "metric"), [(False, True), (True, False), (True, True)])
def test_what_may_not_be_announced_is_not(place: tuple[PlaceIndex, np.ndarray, Poses], holds: bool, metric: bool) -> None:
    index, queries, _ = place
    whole = bdi(index)
    answer = Calibrated(whole.estimator, whole.calibration, index, Trust(holds, metric)).estimate(Query(queries))
    assert np.isnan(answer.confidence).all() == (not (holds and metric))
    assert np.isnan(answer.position_m).all() == (not holds)
    if not holds:
        assert answer.poses.valid.all(), "nobody is refused"
