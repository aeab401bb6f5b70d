"""What a confidence is worth: hand-computed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from irploc.estimators.base import PoseEstimates
from irploc.evaluation.confidence import calibration_curve, calibration_error, kept_curve, reliability
from irploc.geometry.poses import Poses


def at(metres: list[float]) -> Poses:
    """Poses along x; NaN was not localized."""
    x = np.array(metres)
    turns = np.tile([1.0, 0.0, 0.0, 0.0], (len(x), 1))
    turns[np.isnan(x)] = np.nan
    return Poses(np.stack([x, 0 * x, 0 * x], axis=1), turns)


def answers(metres: list[float], confidence: list[float], expected_m: list[float] | None = None) -> PoseEstimates:
    expected = np.array(expected_m if expected_m is not None else metres)
    return replace(PoseEstimates.of_poses(at(metres)), confidence=np.array(confidence), position_m=expected)


def truth(count: int) -> Poses:
    return at([0.0] * count)


def test_the_calibration_error_is_the_mean_gap_between_announced_and_true() -> None:
    confidence, good = np.array([0.9, 0.1, 0.7, 0.3]), np.array([True, False, True, False])
    assert calibration_error(confidence, good, bins=2) == pytest.approx(0.2)  # 0.2 against 0, and 0.8 against 1
    assert calibration_error(confidence, good, bins=1) == pytest.approx(0.0)  # 0.5 against 0.5
    assert calibration_error(confidence, ~good, bins=2) == pytest.approx(0.8)


def test_groups_of_unequal_size_count_by_their_size() -> None:
    error = calibration_error(np.array([0.0, 0.0, 0.9]), np.array([False, True, True]), bins=2)
    assert error == pytest.approx((2 * 0.5 + 1 * 0.1) / 3)


def test_the_calibration_curve_has_ten_equal_groups_the_least_confident_first() -> None:
    confidence = [0.95] * 10 + [0.05] * 90
    curve = calibration_curve(answers([0.1] * 8 + [1.0] * 92, confidence), truth(100))
    assert curve is not None
    np.testing.assert_allclose(curve[0], [0.05] * 9 + [0.95])
    np.testing.assert_allclose(curve[1], [0.0] * 9 + [0.8])


def test_the_most_confident_answers_are_kept_first() -> None:
    curve = kept_curve(answers([4.0, 1.0, 2.0, 3.0], [0.1, 0.9, 0.8, 0.2]), truth(4))
    assert curve is not None
    np.testing.assert_allclose(curve.shares, [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(curve.position_m, [1.0, 1.5, 2.0, 2.5])
    np.testing.assert_allclose(curve.rotation_deg, 0.0)


def test_refused_answers_are_kept_last_and_infinite_in_both_errors() -> None:
    curve = kept_curve(answers([np.nan, 1.0, np.nan, np.nan], [0.0, 0.5, 0.0, 0.0]), truth(4))
    assert curve is not None
    np.testing.assert_allclose(curve.position_m, [1.0, np.inf, np.inf, np.inf])
    np.testing.assert_allclose(curve.rotation_deg, [0.0, np.inf, np.inf, np.inf])


def test_reliability_of_four_known_answers() -> None:
    found = reliability(answers([0.25, 0.2, 4.0, 1.0], [0.9, 0.8, 0.1, 0.4], [0.5, 0.05, 2.0, 0.4]), truth(4))
    assert found is not None
    assert found.good == 0.5  # the threshold itself is still good
    assert found.mean_confidence == pytest.approx(0.55)
    assert found.calibration_error == pytest.approx((0.1 + 0.2 + 0.1 + 0.4) / 4)
    assert found.area_m == pytest.approx((0.25 + 0.225 + 0.25 + 0.625) / 4)
    assert found.best_area_m == pytest.approx((0.2 + 0.225 + 0.25 + 0.625) / 4)
    assert found.blind_area_m == pytest.approx(0.625)
    assert found.expected_within_2 == 0.5  # a half and twice count; a fourth and 2.5 do not


def test_a_confidence_in_the_order_of_the_errors_is_the_best_there_is() -> None:
    metres = np.random.default_rng(0).permutation(np.linspace(0.1, 3.0, 57))
    found = reliability(answers(metres.tolist(), (1.0 / (1.0 + metres)).tolist()), truth(57))
    worst = reliability(answers(metres.tolist(), (metres / 4.0).tolist()), truth(57))
    assert found is not None
    assert worst is not None
    assert found.area_m == pytest.approx(found.best_area_m)
    assert found.area_m < found.blind_area_m < worst.area_m


def test_what_is_infinite_or_unknown_becomes_null_in_json() -> None:
    found = reliability(answers([np.nan, np.nan], [0.0, 0.0]), truth(2))
    assert found is not None
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert written["good"] == written["calibration_error"] == 0.0
    unknown = [name for name in written if "area" in name] + ["expected_within_2"]
    assert len(unknown) == 7
    assert all(written[name] is None for name in unknown)


def test_without_a_confidence_there_is_nothing_to_rely_on() -> None:
    estimates = PoseEstimates.of_poses(at([0.1, 0.2]))
    assert reliability(estimates, truth(2)) is None
    assert kept_curve(estimates, truth(2)) is None
    assert calibration_curve(estimates, truth(2)) is None
