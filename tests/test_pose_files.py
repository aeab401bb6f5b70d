"""Pose files and the matching of names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from irploc.errors import BadInput, NotFound
from irploc.evaluation import matching_rows, read_pose_file, write_pose_file
from irploc.evaluation.names import name_key
from irploc.geometry.poses import Poses

HALF = 0.7071067811865476


def write(folder: Path, text: str) -> Path:
    path = folder / "poses.txt"
    path.write_text(text)
    return path


def test_a_row_is_cam_from_world_and_gives_the_camera_centre(tmp_path: Path) -> None:
    # 90 degrees about z takes world (x, y) to camera (-y, x); t = -R c puts the camera at c = (1, 2, 3)
    read = read_pose_file(write(tmp_path, f"a.jpg {HALF} 0 0 {HALF} 2 -1 -3\n"))
    np.testing.assert_allclose(read.poses.centers_m, [[1, 2, 3]], atol=1e-12)
    np.testing.assert_allclose(read.poses.world_from_cam_wxyz, [[HALF, 0, 0, -HALF]], atol=1e-12)
    assert read.names == ("a.jpg",)


def test_comments_empty_lines_and_further_columns_are_ignored(tmp_path: Path) -> None:
    text = "# a comment\n\n  a.png 1 0 0 0 0 0 0 525.0 0.1\r\n\tb.png 1 0 0 0 0 0 1 words here\n"
    assert read_pose_file(write(tmp_path, text)).names == ("a.png", "b.png")


def test_what_is_written_reads_back_to_the_last_digit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    poses = Poses(rng.normal(size=(50, 3)) * 1e4, rng.normal(size=(50, 4)))
    names = [f"seq/{row}.jpg" for row in range(50)]
    write_pose_file(tmp_path / "new folder/a.txt", names, poses)
    again = read_pose_file(tmp_path / "new folder/a.txt")
    np.testing.assert_allclose(again.poses.centers_m, poses.centers_m, rtol=1e-14, atol=1e-11)
    np.testing.assert_allclose(again.poses.world_from_cam_wxyz, poses.world_from_cam_wxyz, rtol=0, atol=1e-15)
    assert again.names == tuple(names)


def test_images_without_a_pose_are_left_out_and_read_back_as_missing(tmp_path: Path) -> None:
    poses = Poses.concatenate([Poses([[1, 2, 3]], [[1, 0, 0, 0]]), Poses.missing(1)])
    assert write_pose_file(tmp_path / "a.txt", ["a", "b"], poses) == 1
    assert read_pose_file(tmp_path / "a.txt").for_names(["b", "a"], "truth").valid.tolist() == [False, True]


@pytest.mark.parametrize(
    "name", ["with space.jpg", "#1.jpg", '"quoted".jpg', 'in"side.jpg', "ütf 8/\\n.png", "line\nbreak.png"]
)
def test_awkward_names_survive_the_round_trip(tmp_path: Path, name: str) -> None:
    write_pose_file(tmp_path / "a.txt", [name, "plain.jpg"], Poses(np.zeros((2, 3)), [[1, 0, 0, 0]] * 2))
    assert read_pose_file(tmp_path / "a.txt").names == (name, "plain.jpg")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1 0 0 0 0 0 0\nb 1 0 0 0 0 0\nc 1 0 0 x 0 0 0\n", "2 of 3 rows are not .*first: line 2$"),
        ('"never ends 1 0 0 0 0 0 0\n', "1 of 1 rows are not"),
        ("a 1 0 0 0 0 0 0\nb 1 0 0 0 nan 0 0\n", "1 of 2 rows have numbers that are not finite.*line 2, b$"),
        ("a 1 0 0 0 0 0 inf\n", "not finite"),
        ("\n#\na 0 0 0 0 0 0 0\n", "zero quaternion; first: line 3, a$"),
        ("a 1 0.5 0 0 0 0 0\n", "not of unit length"),
        ("a/1.png 1 0 0 0 0 0 0\n./a/1.jpg 1 0 0 0 0 0 0\n", "1 image names occur twice.*first: ./a/1.jpg$"),
        ("# nothing\n", "has no poses"),
    ],
)
def test_a_bad_file_is_refused_in_one_line_with_count_and_first(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        read_pose_file(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_what_is_no_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(BadInput, match="not a text file"):
        read_pose_file(tmp_path / "a.txt")
    with pytest.raises(NotFound, match="no pose file"):
        read_pose_file(tmp_path / "b.txt")
    with pytest.raises(BadInput, match="is a folder"):
        read_pose_file(tmp_path)


def test_only_the_last_extension_goes_and_only_that_of_an_image() -> None:
    assert name_key("seq-03/frame-000000.color.png") == ("seq-03", "frame-000000.color")
    assert name_key("frame-000000.color") == ("frame-000000.color",)
    assert name_key("1305031102.175304") == ("1305031102.175304",)
    assert name_key("a/../b\\.\\c.JPG") == ("b", "c")
    assert name_key("/absolute/c.jpg") == ("absolute", "c")


def rows(wanted: list[str], offered: list[str]) -> list[int]:
    return matching_rows(wanted, offered, "truth", "answers").tolist()


def test_names_match_without_extension() -> None:
    assert rows(["seq-03/f0.color.png", "seq-03/f1.color.png"], ["seq-03/f1.color.jpg", "seq-03/f0.color"]) == [1, 0]


def test_one_side_may_have_more_folders_in_front() -> None:
    assert rows(["seq-03/f0.png", "seq-03/f1.png"], ["f1.jpg", "f0.jpg"]) == [1, 0]
    assert rows(["f0.png"], ["/data/kitchen/seq-03/f0.png"]) == [0]


def test_different_folders_never_match() -> None:
    assert rows(["seq-03/f0.png", "x/seq-03/f1"], ["seq-04/f0.png", "y/seq-03/f1"]) == [-1, -1]


def test_part_of_a_folder_name_is_not_a_folder() -> None:
    assert rows(["seq-03/f0"], ["3/f0"]) == [-1]


def test_an_equal_name_comes_before_a_longer_one() -> None:
    assert rows(["seq/f0", "f0"], ["f0"]) == [-1, 0]
    assert rows(["b/f0"], ["f0", "a/b/f0"]) == [1]


def test_the_longest_agreement_wins_for_both_sides() -> None:
    assert rows(["f0", "a/f0"], ["z/a/f0"]) == [-1, 0]


def test_a_name_that_fits_several_is_refused() -> None:
    with pytest.raises(BadInput, match="answers: 1 image names fit several in truth; first: f0 fits seq-01/f0, seq-02/f0"):
        rows(["seq-01/f0", "seq-02/f0"], ["f0"])
    with pytest.raises(BadInput, match="truth: 1 image names fit several in answers"):
        rows(["f0"], ["seq-01/f0", "seq-02/f0"])


def test_names_that_meet_nowhere_are_refused_with_an_example_of_each(tmp_path: Path) -> None:
    read = read_pose_file(write(tmp_path, "other/f0.png 1 0 0 0 0 0 0\n"))
    with pytest.raises(
        BadInput, match=r"none of its 1 images is in truth: it has other/f0.png, expected names like seq/f0.png"
    ):
        read.for_names(["seq/f0.png"], "truth")


def test_a_name_that_is_not_utf8_is_kept(tmp_path: Path) -> None:
    name = b"a\xff.jpg".decode("utf-8", "surrogateescape")
    write_pose_file(tmp_path / "poses.txt", [name], Poses([[1, 2, 3]], [[1, 0, 0, 0]]))
    assert read_pose_file(tmp_path / "poses.txt").names == (name,)
