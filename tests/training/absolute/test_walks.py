"""Which photos make a tuple."""

from __future__ import annotations

import numpy as np

from irploc.training.absolute.walks import Walks


def walks(count: int, steps: int, skip: int) -> Walks:
    return Walks(np.full(count, "a"), np.arange(count), steps, skip)


def test_a_tuple_is_photos_of_a_walk_that_far_apart() -> None:
    assert walks(30, 3, 10).tuples(np.array([0, 4, 9])).tolist() == [[0, 10, 20], [4, 14, 24], [9, 19, 29]]


def test_near_the_end_the_tuple_still_holds_its_photo() -> None:
    tuples = walks(30, 3, 10).tuples(np.arange(30))
    assert tuples[25].tolist() == [5, 15, 25]
    assert tuples[12].tolist() == [2, 12, 22]
    assert all(row in members for row, members in enumerate(tuples))


def test_the_order_is_that_of_the_walk_whatever_that_of_the_rows() -> None:
    indices = np.array([40, 10, 30, 20, 0])
    found = Walks(np.full(5, "a"), indices, 3, 1).tuples(np.array([4]))
    assert indices[found].tolist() == [[0, 10, 20]]


def test_a_tuple_never_leaves_its_walk() -> None:
    sequences = np.array(["a", "b"] * 20)
    tuples = Walks(sequences, np.arange(40), 3, 7).tuples(np.arange(40))
    assert (sequences[tuples] == sequences[:, None]).all()


def test_a_short_walk_takes_the_largest_skip_that_fits() -> None:
    assert walks(5, 3, 10).tuples(np.arange(5))[0].tolist() == [0, 2, 4]
    assert walks(3, 3, 10).tuples(np.array([2])).tolist() == [[0, 1, 2]]


def test_a_walk_with_fewer_photos_than_steps_repeats_and_a_single_photo_does_not_move() -> None:
    assert walks(2, 3, 10).tuples(np.arange(2)).tolist() == [[0, 1, 1], [1, 1, 1]]
    assert (walks(1, 3, 10).tuples(np.array([0])) == 0).all()
    assert (walks(1, 3, 10).moving, walks(30, 3, 10).moving) == (0, 30)


def test_in_the_middle_of_a_short_walk_the_photos_are_still_equally_far_apart() -> None:
    tuples = walks(25, 3, 10).tuples(np.arange(25))
    assert (np.diff(tuples, axis=1) == np.diff(tuples, axis=1)[:, :1]).all()
    assert all(row in members for row, members in enumerate(tuples))
    assert tuples[0].tolist() == [0, 10, 20]
    assert tuples[9].tolist() == [0, 9, 18]


def test_one_step_is_the_photo_itself() -> None:
    assert walks(4, 1, 10).tuples(np.array([3, 1])).tolist() == [[3], [1]]
