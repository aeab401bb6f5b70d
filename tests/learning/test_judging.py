"""Certain answers are kept; doubtful ones, jumps and near duplicates are not, and the verdict says why."""

from __future__ import annotations

import numpy as np
import pytest
from learning.fake_locator import found, walk_of

from irploc.errors import BadInput
from irploc.geometry.poses import Poses
from irploc.learning import KEPT, KeepOptions, judge

NOBODY = Poses.missing(0)
JUMP = "jumps away from its neighbours in the walk"
DUPLICATE = "near duplicate of a mapping photo"


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, KEPT),
        ({"confidence": 0.9}, KEPT),
        ({"confidence": 0.89}, "confidence too low"),
        ({"confidence": None}, "confidence unknown"),
        ({"expected": (0.051, 0.1)}, "expected error too large"),
        ({"expected": (0.01, 2.1)}, "expected error too large"),
        ({"expected": None}, KEPT),
        ({"status": "approximate"}, "approximate"),
        ({"status": "not_localized", "center_m": None}, "not localized"),
        ({"status": "unreadable", "problem": "a.jpg is empty"}, "cannot be read: a.jpg is empty"),
    ],
)
def test_an_answer_alone_is_judged_by_status_confidence_and_expected_error(change: dict[str, object], verdict: str) -> None:
    assert judge(walk_of(1), [found(0, [0, 0, 0], **change)], NOBODY, KeepOptions()) == [verdict]


def test_without_a_least_confidence_the_status_decides() -> None:
    answers = [found(0, [0, 0, 0], confidence=None), found(1, [0, 0, 0], confidence=None, status="approximate")]
    assert judge(walk_of(2), answers, NOBODY, KeepOptions(min_confidence=0.0)) == [KEPT, "approximate"]


def straight(count: int, step_m: float = 0.02) -> list[list[float]]:
    return [[step_m * number, 0.0, 0.0] for number in range(count)]


@pytest.mark.parametrize("wrong", [[0], [4], [9], [4, 5], [2, 7]])
def test_poses_off_the_walk_are_dropped_alone_and_in_pairs_and_their_neighbours_stay(wrong: list[int]) -> None:
    places = straight(10)
    for row in wrong:
        places[row] = [places[row][0], 0.5, 0.0]
    verdicts = judge(walk_of(10), [found(row, place) for row, place in enumerate(places)], NOBODY, KeepOptions())
    assert [row for row, verdict in enumerate(verdicts) if verdict == JUMP] == wrong
    assert verdicts.count(KEPT) == 10 - len(wrong)


def test_a_pose_that_looks_elsewhere_is_dropped_too() -> None:
    answers = [found(row, place, 30.0 if row == 5 else float(row)) for row, place in enumerate(straight(10))]
    verdicts = judge(walk_of(10), answers, NOBODY, KeepOptions())
    assert [row for row, verdict in enumerate(verdicts) if verdict == JUMP] == [5]


def test_quick_movement_and_quick_turns_are_no_jumps() -> None:
    generator = np.random.default_rng(0)
    speed = generator.uniform(0.0, 0.4, 30)
    answers = [found(row, [float(place), 0, 0], 8.0 * row) for row, place in enumerate(np.cumsum(speed))]
    assert judge(walk_of(30), answers, NOBODY, KeepOptions()) == [KEPT] * 30


def test_a_turning_point_of_the_walk_is_no_jump() -> None:
    there = [[0.1 * number, 0.0, 0.0] for number in range(6)]
    answers = [found(row, place) for row, place in enumerate(there + there[-2::-1])]
    assert judge(walk_of(11), answers, NOBODY, KeepOptions()) == [KEPT] * 11


def test_photos_far_apart_in_the_walk_are_not_compared() -> None:
    walk, places = walk_of(12), straight(12)
    gap = walk.indices[:6] + tuple(1000 + number for number in range(6))
    walk = type(walk)(walk.source, walk.photos, gap)
    for row in range(6, 12):
        places[row] = [places[row][0] + 7.0, 0.0, 0.0]
    assert judge(walk, [found(row, place) for row, place in enumerate(places)], NOBODY, KeepOptions()) == [KEPT] * 12


def test_three_photos_cannot_tell_who_jumps() -> None:
    answers = [found(0, [0, 0, 0]), found(1, [5, 0, 0]), found(2, [0.1, 0, 0])]
    assert judge(walk_of(3), answers, NOBODY, KeepOptions()) == [KEPT] * 3


def test_thinning_leaves_out_what_a_mapping_photo_or_an_earlier_one_shows() -> None:
    mapping = Poses([[0.0, 0.0, 0.0]], [[1.0, 0.0, 0.0, 0.0]])
    answers = [found(0, [0.005, 0, 0]), found(1, [0.03, 0, 0]), found(2, [0.035, 0, 0]), found(3, [0.03, 0, 0], 2.1)]
    assert judge(walk_of(4), answers, mapping, KeepOptions(max_error_deg=5.0, thin_m=0.02)) == [
        DUPLICATE,
        KEPT,
        DUPLICATE,
        KEPT,
    ]
    assert judge(walk_of(4), answers, mapping, KeepOptions(max_error_deg=5.0)) == [KEPT] * 4


def test_a_turn_counts_a_centimetre_a_degree_when_thinning() -> None:
    mapping = Poses([[0.0, 0.0, 0.0]], [[1.0, 0.0, 0.0, 0.0]])
    answers = [found(0, [0.01, 0, 0], 0.9), found(1, [0.01, 0, 0], 1.1)]
    assert judge(walk_of(2), answers, mapping, KeepOptions(thin_m=0.02)) == [DUPLICATE, KEPT]


@pytest.mark.parametrize(
    ("name", "value"), [("min_confidence", 1.1), ("max_error_m", 0.0), ("max_error_deg", -1.0), ("thin_m", -0.1)]
)
def test_numbers_that_cannot_be_are_refused(name: str, value: float) -> None:
    with pytest.raises(BadInput, match=name.split("_m")[0].replace("_", " ")):
        KeepOptions(**{name: value})
