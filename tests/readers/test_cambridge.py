"""The Cambridge Landmarks layout: camera centre with a cam_from_world quaternion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from known_cameras import CAM_FROM_WORLD_WXYZ, CENTERS_M, check_poses, words, write_photo

from irploc.errors import BadInput, IrplocError, NotFound
from irploc.geometry import rotations
from irploc.geometry.poses import Poses
from irploc.readers import READERS, ReadOptions

HEADER = "Visual Landmark Dataset V1\nImageFile, Camera Position [X Y Z W P Q R]\n\n"
read = READERS.get("cambridge")


def label(row: int, name: str) -> str:
    return f"{name} {words(CENTERS_M[row])} {words(CAM_FROM_WORLD_WXYZ[row])}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dataset_train.txt").write_text(HEADER + label(0, "seq2/frame00007.png"))
    (tmp_path / "dataset_test.txt").write_text(HEADER + label(1, "seq3/frame00010.png"))
    return tmp_path


def test_known_cameras_are_where_they_stand_and_look_where_they_look(folder: Path) -> None:
    imported = read(folder, ReadOptions())
    check_poses(imported.frames.poses, [0, 1])
    assert imported.frames.names == ("seq2/frame00007.png", "seq3/frame00010.png")
    assert imported.frames.splits.tolist() == ["train", "test"]
    assert imported.frames.sequences.tolist() == ["seq2", "seq3"]
    assert imported.frames.indices.tolist() == [7, 10]
    assert imported.defines_split
    assert imported.cameras == {}


def test_photos_may_lie_elsewhere(folder: Path, tmp_path: Path) -> None:
    imported = read(folder, ReadOptions(images=tmp_path / "photos"))
    assert imported.frames.images[0] == tmp_path / "photos/seq2/frame00007.png"
    assert imported.frames.names[0] == "seq2/frame00007.png"


def test_one_list_is_enough_and_then_defines_no_split(folder: Path) -> None:
    (folder / "dataset_test.txt").unlink()
    imported = read(folder, ReadOptions())
    assert len(imported.frames) == 1
    assert not imported.defines_split


def test_a_list_without_its_header_loses_no_image(folder: Path) -> None:
    (folder / "dataset_train.txt").write_text("".join(label(0, f"seq1/frame0000{number}.png") for number in range(5)))
    assert len(read(folder, ReadOptions()).frames) == 6


def test_short_lines_are_counted_and_the_first_is_named(folder: Path) -> None:
    file = folder / "dataset_train.txt"
    file.write_text(HEADER + label(0, "a.png") + "b.png 1 2 3\nc.png 1 2 3\n")
    with pytest.raises(
        BadInput, match=r"dataset_train.txt: 2 of 3 lines have fewer than 8 columns; first: line 5; .*X Y Z W"
    ):
        read(folder, ReadOptions())


def test_words_among_the_numbers_are_counted_and_the_first_is_named(folder: Path) -> None:
    (folder / "dataset_train.txt").write_text(HEADER + label(0, "a.png") + "b.png 1 2 x 1 0 0 0\n")
    with pytest.raises(BadInput, match="1 of 2 lines hold words where numbers belong; first: line 5"):
        read(folder, ReadOptions())


@pytest.mark.parametrize(
    ("numbers", "complaint"),
    [
        ("1 2 nan 1 0 0 0", "not finite"),
        ("1 2 3 inf 0 0 0", "not finite"),
        ("1 2 3 0 0 0 0", "zero quaternion"),
        ("1 2 3 0.9 0 0 0", "not of unit length"),
    ],
)
def test_poses_that_cannot_be_are_counted_and_the_first_is_named(folder: Path, numbers: str, complaint: str) -> None:
    (folder / "dataset_train.txt").write_text(HEADER + label(0, "a.png") + f"b.png {numbers}\n")
    with pytest.raises(BadInput, match=rf"1 of 2 rows have a .*{complaint}; first: .*b.png"):
        read(folder, ReadOptions())


def test_quaternions_rounded_to_few_digits_are_normalised(folder: Path) -> None:
    (folder / "dataset_train.txt").write_text(HEADER + "a.png 1 2 3 0.707 0 0 0.707\n")
    quats = read(folder, ReadOptions()).frames.poses.world_from_cam_wxyz
    np.testing.assert_allclose(np.linalg.norm(quats, axis=1), 1, atol=1e-15)


def test_a_folder_without_lists_is_refused(tmp_path: Path) -> None:
    write_photo(tmp_path / "seq1/frame00001.png")
    with pytest.raises(NotFound, match=r"neither dataset_train.txt nor dataset_test.txt"):
        read(tmp_path, ReadOptions())


def test_a_list_of_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dataset_train.txt").write_text(HEADER)
    with pytest.raises(IrplocError, match="no image with a pose"):
        read(tmp_path, ReadOptions())


def test_the_real_photos_look_at_the_shop_facade(shared: Path) -> None:
    frames = read(shared / "data/labels/cambridge/ShopFacade", ReadOptions()).frames
    poses, (qvec, _) = frames.poses, frames.poses.to_cam_from_world()
    assert (len(frames.of_split("train")), len(frames.of_split("test"))) == (231, 103)
    # Measured: 6.0 degrees, and 99 % of the cameras have the point in front. The two ways to misread the labels fail.
    angle_deg, in_front = aim(poses)
    assert angle_deg < 8
    assert in_front > 0.98
    assert aim(Poses(poses.centers_m, qvec))[0] > 25  # the quaternion taken for world_from_cam
    assert aim(Poses.from_cam_from_world(qvec, poses.centers_m))[0] > 12  # the centre taken for a translation


def aim(poses: Poses) -> tuple[float, float]:
    """How well the cameras look at one thing: the median angle in degrees between the optical axes and the directions to
    the point nearest to all of them, and the share of cameras that have it in front."""
    forward = rotations.rotate(poses.world_from_cam_wxyz, [0, 0, 1])
    across = np.eye(3) - forward[:, :, None] * forward[:, None, :]
    point = np.linalg.solve(across.sum(axis=0), np.einsum("nij,nj->i", across, poses.centers_m))
    towards = point - poses.centers_m
    cosine = np.sum(towards * forward, axis=1) / np.linalg.norm(towards, axis=1)
    return float(np.median(np.degrees(np.arccos(cosine)))), float((cosine > 0).mean())
