"""Which photos map and which test, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from irploc import splits
from irploc.errors import BadInput
from irploc.geometry.poses import Poses
from irploc.scene import Frames


def frames_of(*walks: tuple[str, list[int]]) -> Frames:
    """Photos with these numbers in these walks."""
    sequences = [name for name, numbers in walks for _ in numbers]
    indices = [number for _, numbers in walks for number in numbers]
    names = tuple(f"{sequence}/{index}.jpg" for sequence, index in zip(sequences, indices, strict=True))
    count = len(names)
    poses = Poses(np.zeros((count, 3)), np.tile([1.0, 0, 0, 0], (count, 1)))
    images = tuple(Path("/photos") / name for name in names)
    return Frames(images, names, sequences, indices, ["train"] * count, ("",) * count, poses)


def letters(found: np.ndarray) -> str:
    return "".join(str(split)[:2] if split == "train" else str(split)[0] for split in found).replace("tr", "m")


def test_blocks_alternate_and_begin_with_mapping() -> None:
    assert letters(splits.by_blocks(frames_of(("", list(range(10)))), 2)) == "mmttmmttmm"


def test_blocks_count_frame_numbers_so_that_gaps_do_not_shift_them() -> None:
    assert letters(splits.by_blocks(frames_of(("", [0, 5, 10, 15, 20, 25])), 10)) == "mmttmm"


def test_blocks_start_anew_with_each_walk_at_its_first_number() -> None:
    assert letters(splits.by_blocks(frames_of(("a", [100, 101, 102]), ("b", [7, 8, 9])), 2)) == "mmtmmt"


def test_blocks_do_not_depend_on_the_order_of_the_frames() -> None:
    frames = frames_of(("a", list(range(12))), ("b", list(range(5))))
    order = np.random.default_rng(0).permutation(len(frames))
    assert splits.by_blocks(frames[order], 3).tolist() == splits.by_blocks(frames, 3)[order].tolist()


def test_blocks_that_leave_nothing_to_test_are_refused() -> None:
    with pytest.raises(
        BadInput, match=r"blocks of 100 leave no test image, the longest walk has 10 frames: lower --block-size"
    ):
        splits.by_blocks(frames_of(("", list(range(10)))))


def test_modulo_three_is_train_validation_test() -> None:
    assert letters(splits.by_modulo(frames_of(("", list(range(7)))))) == "mvtmvtm"


def test_modulo_two_has_no_validation_and_five_maps_three() -> None:
    assert letters(splits.by_modulo(frames_of(("", list(range(4)))), 2)) == "mtmt"
    assert letters(splits.by_modulo(frames_of(("", list(range(5)))), 5)) == "mmmvt"


def test_modulo_goes_by_frame_number_not_by_row() -> None:
    assert letters(splits.by_modulo(frames_of(("", [2, 5, 8, 3])))) == "tttm"


def test_whole_walks_test_the_last_one_unless_named() -> None:
    frames = frames_of(("b", [0, 1]), ("a", [0]), ("c", [0]))
    assert letters(splits.by_sequence(frames)) == "mmmt"
    assert letters(splits.by_sequence(frames, ["b", "a"])) == "tttm"


def test_a_walk_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(BadInput, match=r"no sequence d.*; the scene has a, b"):
        splits.by_sequence(frames_of(("a", [0]), ("b", [0])), ["d"])


@pytest.mark.parametrize(("walks", "chosen"), [([("a", [0])], None), ([("a", [0]), ("b", [0])], ["a", "b"])])
def test_a_split_by_walks_must_leave_one_to_map(walks: list, chosen: list | None) -> None:
    with pytest.raises(BadInput, match="needs at least two sequences"):
        splits.by_sequence(frames_of(*walks), chosen)


def test_a_fraction_is_counted_seeded_and_mixed() -> None:
    frames = frames_of(("", list(range(50))))
    chosen = splits.by_fraction(frames, 0.2, seed=3)
    assert (chosen == "test").sum() == 10
    assert chosen.tolist() == splits.by_fraction(frames, 0.2, seed=3).tolist()
    assert chosen.tolist() != splits.by_fraction(frames, 0.2, seed=4).tolist()
    assert not (chosen[:10] == "test").all()
    assert not (chosen[-10:] == "test").all()


@pytest.mark.parametrize(
    ("split", "complaint"),
    [
        (lambda frames: splits.by_blocks(frames, 0), "block size is 0"),
        (lambda frames: splits.by_modulo(frames, 1), "must be at least 2"),
        (lambda frames: splits.by_fraction(frames, 0.0), "between 0 and 1"),
        (lambda frames: splits.by_fraction(frames, 1.0), "between 0 and 1"),
        (lambda frames: splits.by_fraction(frames, float("nan")), "between 0 and 1"),
    ],
)
def test_numbers_that_make_no_split_are_refused(split, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        split(frames_of(("", list(range(10)))))


def line(count: int) -> Poses:
    """Photos every metre on a line, all turned alike."""
    return Poses(np.arange(count)[:, None] * np.eye(3)[:1], np.tile([1.0, 0, 0, 0], (count, 1)))


def test_pose_folds_hold_out_about_a_quarter_in_holes_of_four_sizes() -> None:
    """By hand: 240 photos, holes of 4, 15, 30 and 60 photos. In a line holes are runs, which may overlap or touch."""
    for held, size in zip(splits.pose_folds(line(240)), (4, 15, 30, 60), strict=True):
        assert 60 - size < held.sum() <= 60
        runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[False], held, [False]]).astype(int))))[::2]
        assert runs.min() >= size / 2, "at an end of the line a hole is not cut short, it only lies to one side"
    assert splits.pose_folds(line(240))[3].sum() == 60


def test_pose_folds_depend_on_the_seed_alone_and_never_hold_out_all() -> None:
    first, again, other = (np.stack(splits.pose_folds(line(100), seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    for count in (4, 5, 20):
        assert all(0 < held.sum() < count for held in splits.pose_folds(line(count)))


def test_a_photo_turned_away_is_not_in_the_hole_of_its_neighbour() -> None:
    """By hand: beside a photo at 0 m lie one at 1 m, turned by 180 degrees, and one at 2 m, turned like it."""
    poses = Poses(np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [9, 0, 0]]), np.eye(4)[[0, 2, 0, 0]])
    distances = splits.pose_distances(poses, np.array([0]))[0]
    assert distances[2] < distances[1]
    assert distances[0] == 0
