"""The 7-Scenes layout, its own poses (world_from_cam matrices) and pseudo ground truth (cam_from_world)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from known_cameras import CAM_FROM_WORLD_WXYZ, TVEC_M, WORLD_FROM_CAM, check_poses, words, write_photo

from irploc.errors import BadInput, IrplocError, NotFound
from irploc.geometry.poses import pose_errors
from irploc.readers import READERS, ReadOptions

read = READERS.get("7scenes")


def write_frame(scene: Path, sequence: int, frame: int, row: int, suffix: str = "png") -> Path:
    photo = write_photo(scene / f"seq-{sequence:02d}/frame-{frame:06d}.color.{suffix}")
    photo.with_name(f"frame-{frame:06d}.pose.txt").write_text("\n".join(words(line) for line in WORLD_FROM_CAM[row]) + "\n")
    return photo


def pgt_line(row: int, name: str, focal: str = " 525.5") -> str:
    return f"{name} {words(CAM_FROM_WORLD_WXYZ[row])} {words(TVEC_M[row])}{focal}\n"


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """As downloaded: .png photos with depth beside them, two sequences, the lists that split them."""
    write_frame(tmp_path, 1, 0, 0)
    write_frame(tmp_path, 1, 1, 1)
    write_frame(tmp_path, 2, 0, 1)
    write_photo(tmp_path / "seq-01/frame-000000.depth.png")
    (tmp_path / "TrainSplit.txt").write_text("sequence2\n")
    (tmp_path / "TestSplit.txt").write_text("sequence1 \r\n")
    return tmp_path


def test_the_original_layout_with_its_own_split(original: Path) -> None:
    imported = read(original, ReadOptions())
    frames = imported.frames
    check_poses(frames.poses, [0, 1, 1])
    assert frames.names == (
        "seq-01/frame-000000.color.png",
        "seq-01/frame-000001.color.png",
        "seq-02/frame-000000.color.png",
    )
    assert frames.splits.tolist() == ["test", "test", "train"]
    assert frames.sequences.tolist() == ["seq-01", "seq-01", "seq-02"]
    assert frames.indices.tolist() == [0, 1, 0]
    assert imported.defines_split
    assert "original" in imported.ground_truth
    assert imported.rejected == ()


def test_without_lists_every_sequence_is_read_and_none_is_split(original: Path) -> None:
    (original / "TrainSplit.txt").unlink()
    (original / "TestSplit.txt").unlink()
    imported = read(original, ReadOptions())
    assert set(imported.frames.splits) == {"train"}
    assert not imported.defines_split


def test_jpg_photos_are_read_and_a_frame_in_both_kinds_is_there_once(tmp_path: Path) -> None:
    write_frame(tmp_path, 1, 0, 0, "jpg")
    write_frame(tmp_path, 1, 1, 1, "jpg")
    write_frame(tmp_path, 1, 1, 1, "png")
    imported = read(tmp_path, ReadOptions())
    assert imported.frames.names == ("seq-01/frame-000000.color.jpg", "seq-01/frame-000001.color.png")


def test_the_camera_is_the_colour_camera_scaled_to_the_photo(original: Path) -> None:
    camera = read(original, ReadOptions()).cameras["rgb"]
    assert (camera.width, camera.height) == (64, 48)
    assert camera.focal_px == (52.5, 52.5)  # 525 px at a width of 640
    assert camera.principal_point_px == (32, 24)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("1 0 0 0\n0 1 0 0\n0 0 1 0\n", "12 numbers"),
        ("nan " * 16, "invalid|finite"),
        ("-1.#IND " * 16, "not numbers"),
        (words(np.diag([1.0, 1, 2, 1])), "not a rotation"),
        (words(np.diag([1.0, 1, -1, 1])), "not a rotation"),
        (words(np.zeros((4, 4))), "not a rotation"),
        (words(np.array([[1, 0, 0, np.inf], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])), "not finite"),
    ],
)
def test_a_pose_that_cannot_be_is_rejected_with_its_reason(original: Path, content: str, reason: str) -> None:
    (original / "seq-01/frame-000001.pose.txt").write_text(content)
    imported = read(original, ReadOptions())
    check_poses(imported.frames.poses, [0, 1])
    (rejected,) = imported.rejected
    assert (rejected.image, rejected.index) == ("seq-01/frame-000001.color.png", 1)
    assert any(words_of_reason in rejected.reason for words_of_reason in reason.split("|"))


def test_a_photo_without_a_pose_is_rejected(original: Path) -> None:
    (original / "seq-02/frame-000000.pose.txt").unlink()
    (rejected,) = read(original, ReadOptions()).rejected
    assert (rejected.image, rejected.reason) == ("seq-02/frame-000000.color.png", "no pose file")


def test_a_scene_without_one_good_pose_is_refused_with_the_count(original: Path) -> None:
    for pose in original.rglob("*.pose.txt"):
        pose.unlink()
    with pytest.raises(BadInput, match=r"no image with a pose \(3 were rejected; first: seq-01/frame-000000.color.png"):
        read(original, ReadOptions())


def test_a_listed_sequence_that_is_not_there_does_not_vanish_silently(original: Path) -> None:
    (original / "TrainSplit.txt").write_text("sequence2\nsequence7\n")
    rejected = [item for item in read(original, ReadOptions()).rejected if "seq-07" in item.image]
    assert len(rejected) == 1
    assert "split lists" in rejected[0].reason


def test_a_sequence_in_both_lists_is_refused(original: Path) -> None:
    (original / "TestSplit.txt").write_text("sequence1\nsequence2\n")
    with pytest.raises(BadInput, match=r"TestSplit.txt.*line 2.*sequence2"):
        read(original, ReadOptions())


def test_a_list_that_names_no_sequence_is_refused_with_its_line(original: Path) -> None:
    (original / "TestSplit.txt").write_text("sequence1\nkitchen\n")
    with pytest.raises(BadInput, match=r"TestSplit.txt, line 2: 'kitchen' is not a sequence, expected 'sequence1'"):
        read(original, ReadOptions())


def test_a_photo_that_should_give_the_size_but_is_empty_is_named(original: Path) -> None:
    (original / "seq-01/frame-000000.color.png").write_bytes(b"")
    with pytest.raises(BadInput, match=r"frame-000000.color.png is empty \(0 bytes\), expected an image"):
        read(original, ReadOptions())


# --- pseudo ground truth ---


def test_pseudo_ground_truth_is_cam_from_world_and_names_png_for_jpg_photos(tmp_path: Path) -> None:
    for frame in (0, 1):
        write_photo(tmp_path / f"seq-01/frame-{frame:06d}.color.jpg", 640, 480)
    file = tmp_path / "pgt_sfm.txt"
    file.write_text(pgt_line(1, "seq-01/frame-000001.color.png") + pgt_line(0, "seq-01/frame-000000.color.png", " 526"))
    imported = read(tmp_path, ReadOptions(ground_truth=file))
    check_poses(imported.frames.poses, [0, 1])
    assert imported.frames.names == ("seq-01/frame-000000.color.jpg", "seq-01/frame-000001.color.jpg")
    focals = [imported.cameras[name].focal_px[0] for name in imported.frames.cameras]
    assert focals == [526, 525.5]
    assert imported.cameras[imported.frames.cameras[0]].principal_point_px == (320, 240)
    assert "pgt_sfm.txt" in imported.ground_truth


def test_pseudo_ground_truth_wins_over_the_original_poses_and_names_what_it_lacks(original: Path) -> None:
    file = original / "pgt.txt"
    file.write_text(pgt_line(1, "seq-01/frame-000000.color.png") + pgt_line(0, "seq-02/frame-000000.color.png"))
    imported = read(original, ReadOptions(ground_truth=file))
    check_poses(imported.frames.poses, [1, 0])
    assert imported.frames.splits.tolist() == ["test", "train"]
    (rejected,) = imported.rejected
    assert (rejected.image, rejected.reason) == ("seq-01/frame-000001.color.png", "no pose in pgt.txt")


def test_sequences_are_told_apart_when_names_are_matched(original: Path) -> None:
    file = original / "pgt.txt"
    file.write_text(pgt_line(0, "seq-02/frame-000000.color.png"))
    imported = read(original, ReadOptions(ground_truth=file))
    assert imported.frames.names == ("seq-02/frame-000000.color.png",)


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        (pgt_line(1, "seq-01/frame-000000.color.png"), "line 2: seq-01/frame-000000.color.png is there twice"),
        ("seq-01/frame-000001.color.png 1 0 0\n", "1 of 2 lines have fewer than 8 columns; first: line 2"),
        ("seq-01/frame-000001.color.png 1 0 0 0 a b c 525\n", "1 of 2 lines hold words where numbers belong; first: line 2"),
        ("seq-01/frame-000001.color.png 0 0 0 0 1 2 3 525\n", "1 of 2 rows have a zero quaternion; first: .*frame-000001"),
        ("seq-01/frame-000001.color.png nan 0 0 0 1 2 3 525\n", "1 of 2 rows have a pose that is not finite"),
        ("seq-01/frame-000001.color.png 2 0 0 0 1 2 3 525\n", "1 of 2 rows have a quaternion that is not of unit length"),
        (pgt_line(1, "seq-01/frame-000001.color.png", " x"), "line 2: focal length 'x', expected pixels"),
        (pgt_line(1, "seq-01/frame-000001.color.png", " -3"), "line 2: focal length '-3', expected pixels"),
    ],
)
def test_a_bad_line_of_pseudo_ground_truth_is_named(original: Path, second: str, complaint: str) -> None:
    file = original / "pgt.txt"
    file.write_text(pgt_line(0, "seq-01/frame-000000.color.png") + second)
    with pytest.raises(BadInput, match=complaint) as caught:
        read(original, ReadOptions(ground_truth=file))
    assert "\n" not in str(caught.value)
    assert "pgt.txt" in str(caught.value)


def test_pseudo_ground_truth_of_another_scene_is_refused(original: Path) -> None:
    file = original / "pgt.txt"
    file.write_text(pgt_line(0, "seq-09/frame-000000.color.png"))
    with pytest.raises(BadInput, match="no pose for any photo"):
        read(original, ReadOptions(ground_truth=file))


def test_a_missing_ground_truth_file_is_named(original: Path) -> None:
    with pytest.raises(NotFound, match=r"pgt_slam.txt"):
        read(original, ReadOptions(ground_truth=original / "pgt_slam.txt"))


def test_the_folder_of_one_sequence_is_not_a_scene(original: Path) -> None:
    with pytest.raises(IrplocError, match="is it the folder of one scene"):
        read(original / "seq-01", ReadOptions())


def test_both_ground_truths_of_the_real_kitchen_tell_the_same_walk(kitchen: Path) -> None:
    original = read(kitchen, ReadOptions())
    better = read(kitchen, ReadOptions(ground_truth=kitchen / "pgt_sfm.txt"))
    assert original.frames.names == better.frames.names
    assert len(better.frames) == 1000
    assert better.ground_truth != original.ground_truth
    # They differ by a few centimetres and degrees, never by a convention.
    position_m, rotation_deg = pose_errors(better.frames.poses, original.frames.poses)
    assert 0.005 < np.median(position_m) < 0.1
    assert np.median(rotation_deg) < 5
