"""Explicit lists of mapping and test photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from irploc.errors import BadInput, NotFound
from irploc.geometry.poses import Poses
from irploc.readers.lists import split_by_lists
from irploc.scene import Frames

NAMES = ("seq-01/frame-000000.color.jpg", "seq-01/frame-000001.color.jpg", "seq-02/frame-000000.color.jpg", "my photo.jpg")


def frames_of(names: tuple[str, ...]) -> Frames:
    count = len(names)
    poses = Poses(np.zeros((count, 3)), np.tile([1.0, 0, 0, 0], (count, 1)))
    images = tuple(Path("/photos") / name for name in names)
    return Frames(images, names, np.array([""] * count), np.arange(count), np.array(["train"] * count), ("",) * count, poses)


@pytest.fixture
def write(tmp_path: Path):
    def make(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return make


def splits(train: Path | None, test: Path | None) -> list[str]:
    listed = split_by_lists(frames_of(NAMES), train, test)
    return [split if there else "-" for split, there in zip(listed.splits, listed.listed, strict=True)]


def test_with_one_list_the_rest_belongs_to_the_other_split(write) -> None:
    file = write("list.txt", "seq-01/frame-000001\n")
    assert splits(file, None) == ["test", "train", "test", "test"]
    assert splits(None, file) == ["train", "test", "train", "train"]


def test_with_both_lists_the_rest_is_left_out(write) -> None:
    train, test = write("train.txt", "seq-01/frame-000000\n"), write("test.txt", "seq-02/frame-000000\n")
    assert splits(train, test) == ["train", "-", "test", "-"]


@pytest.mark.parametrize(
    "name",
    [
        "seq-01/frame-000001",
        "seq-01/frame-000001.color.jpg",
        "seq-01/frame-000001.color.png",
        "./seq-01/frame-000001.color.jpg",
        "frame-000001",
        "/data/kitchen/seq-01/frame-000001.png",
        "seq-01\\frame-000001.color.png",
        "seq-01/frame-000001.color.jpg 1 2 3 1 0 0 0",
    ],
)
def test_names_match_by_path_without_extension(write, name: str) -> None:
    assert splits(None, write("test.txt", f"# test photos\n\n{name}\n")) == ["train", "test", "train", "train"]


def test_a_name_may_have_spaces(write) -> None:
    assert splits(None, write("test.txt", "my photo.jpg\n")) == ["train", "train", "train", "test"]


def test_a_name_twice_counts_once(write) -> None:
    assert splits(None, write("test.txt", "frame-000001\nseq-01/frame-000001\n")) == ["train", "test", "train", "train"]


def test_names_of_no_photo_are_counted_and_the_first_is_named(write) -> None:
    file = write("test.txt", "frame-000001\nframe-000077\nframe-000088\n")
    with pytest.raises(
        BadInput, match=r"2 of 3 names in .*test.txt are no image .* first: frame-000077; .* seq-01/frame-000000$"
    ):
        splits(None, file)


def test_a_name_that_fits_several_photos_is_refused(write) -> None:
    with pytest.raises(BadInput, match=r"1 names .* fit several images; first: frame-000000"):
        splits(None, write("test.txt", "frame-000000\n"))


def test_photos_that_differ_only_in_their_extension_are_several(write) -> None:
    with pytest.raises(BadInput, match=r"fit several images; first: a"):
        split_by_lists(frames_of(("a.jpg", "a.png", "b.png")), None, write("test.txt", "a\n"))
    listed = split_by_lists(frames_of(("a.jpg", "a.png", "b.png")), None, write("test.txt", "a.png\n"))
    assert listed.splits.tolist() == ["train", "test", "train"]


def test_lists_that_overlap_are_refused_with_the_count(write) -> None:
    train = write("train.txt", "seq-01/frame-000000\nseq-01/frame-000001\n")
    test = write("test.txt", "frame-000001\nseq-02/frame-000000\n")
    with pytest.raises(BadInput, match=r"1 images are in .*train.txt and in .*test.txt; first: seq-01/frame-000001"):
        splits(train, test)


def test_an_empty_list_and_a_missing_list_are_refused(write, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="names no images"):
        splits(None, write("test.txt", "# nothing\n\n"))
    with pytest.raises(NotFound, match=r"none.txt"):
        splits(tmp_path / "none.txt", None)


def test_the_real_block_lists_split_the_kitchen_in_halves(kitchen: Path) -> None:
    names = tuple(f"seq-01/frame-{number:06d}.color.jpg" for number in range(1000))
    listed = split_by_lists(frames_of(names), kitchen / "split_blocks_train.txt", kitchen / "split_blocks_test.txt")
    assert listed.listed.all()
    expected = np.where(np.arange(1000) // 100 % 2 == 0, "train", "test")
    assert listed.splits.tolist() == expected.tolist()
