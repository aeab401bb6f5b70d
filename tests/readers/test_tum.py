"""TUM RGB-D: the quaternion's scalar comes last, photos and poses meet by time stamp."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from known_cameras import CENTERS_M, WORLD_FROM_CAM_WXYZ, check_poses, words, write_photo

from irploc.errors import BadInput, NotFound
from irploc.readers import READERS, ReadOptions

read = READERS.get("tum")
HEADER = "# ground truth trajectory\n# timestamp tx ty tz qx qy qz qw\n"


def pose_line(row: int, stamp: float) -> str:
    w, x, y, z = WORLD_FROM_CAM_WXYZ[row]
    return f"{stamp:.4f} {words(CENTERS_M[row])} {words(np.array([x, y, z, w]))}\n"


def write_folder(folder: Path, stamps: list[float], poses: list[tuple[int, float]]) -> Path:
    names = [f"rgb/{stamp:.6f}.png" for stamp in stamps]
    for name in names:
        write_photo(folder / name)
    listing = "".join(f"{stamp:.6f} {name}\n" for stamp, name in zip(stamps, names, strict=True))
    (folder / "rgb.txt").write_text("# color images\n# timestamp filename\n" + listing)
    (folder / "groundtruth.txt").write_text(HEADER + "".join(pose_line(row, stamp) for row, stamp in poses))
    return folder


def test_known_cameras_with_the_scalar_last(tmp_path: Path) -> None:
    imported = read(write_folder(tmp_path, [100.0, 101.0], [(0, 100.0), (1, 101.0)]), ReadOptions())
    check_poses(imported.frames.poses, [0, 1])
    assert imported.frames.names == ("rgb/100.000000.png", "rgb/101.000000.png")
    assert imported.frames.indices.tolist() == [0, 1]
    assert imported.units == "metres"


def test_each_photo_takes_the_pose_nearest_in_time_before_or_after(tmp_path: Path) -> None:
    poses = [(0, 99.0), (1, 100.005), (0, 100.9895), (1, 101.0201), (0, 1000.0)]
    imported = read(write_folder(tmp_path, [100.0, 101.0], poses), ReadOptions())
    check_poses(imported.frames.poses, [1, 0])


def test_photos_further_than_twenty_milliseconds_from_any_pose_are_rejected(tmp_path: Path) -> None:
    poses = [(0, 100.0), (1, 102.0195)]
    imported = read(write_folder(tmp_path, [100.0, 101.0, 102.0, 103.0], poses), ReadOptions())
    check_poses(imported.frames.poses, [0, 1])
    assert imported.frames.indices.tolist() == [0, 2]
    assert [(item.index, item.reason) for item in imported.rejected] == [
        (1, "no pose within 20 ms"),
        (3, "no pose within 20 ms"),
    ]
    assert imported.rejected[0].image == "rgb/101.000000.png"


def test_an_unsorted_trajectory_and_listing_are_sorted_by_time(tmp_path: Path) -> None:
    imported = read(write_folder(tmp_path, [101.0, 100.0], [(1, 101.0), (0, 100.0)]), ReadOptions())
    check_poses(imported.frames.poses, [0, 1])
    assert imported.frames.names[0] == "rgb/100.000000.png"


def test_real_stamps_keep_their_microseconds(tmp_path: Path) -> None:
    stamp = 1305031102.175304
    imported = read(
        write_folder(tmp_path, [stamp], [(1, stamp - 0.5), (0, stamp + 0.0199), (1, stamp + 0.5)]), ReadOptions()
    )
    check_poses(imported.frames.poses, [0])


def test_without_a_listing_photos_are_found_by_their_names(tmp_path: Path) -> None:
    write_folder(tmp_path, [100.0, 101.0], [(0, 100.0), (1, 101.0)])
    (tmp_path / "rgb.txt").unlink()
    write_photo(tmp_path / "rgb/cover.png")
    imported = read(tmp_path / "groundtruth.txt", ReadOptions(images=tmp_path / "rgb"))
    check_poses(imported.frames.poses, [0, 1])
    assert imported.frames.names == ("100.000000.png", "101.000000.png")


def test_a_trajectory_without_photos_says_how_to_name_their_folder(tmp_path: Path) -> None:
    (tmp_path / "groundtruth.txt").write_text(pose_line(0, 100.0))
    with pytest.raises(NotFound, match="--images"):
        read(tmp_path, ReadOptions())


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("101 1 2 3 0 0 0\n", "1 of 2 lines have fewer than 8 columns; first: line 4"),
        ("101 1 2 3 0 0 0 one\n", "1 of 2 lines hold words where numbers belong; first: line 4"),
        ("101 1 2 3 0 0 0 0\n", "1 of 2 rows have a zero quaternion; first: .*101"),
        ("101 1 2 3 0 0 0 nan\n", "1 of 2 rows have a pose that is not finite; first: .*101"),
        ("101 1 2 3 0 0 0 0.5\n", "1 of 2 rows have a quaternion that is not of unit length; first: .*101"),
    ],
)
def test_bad_lines_are_counted_and_the_first_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    write_folder(tmp_path, [100.0], [(0, 100.0)])
    (tmp_path / "groundtruth.txt").write_text(HEADER + pose_line(0, 100.0) + line)
    with pytest.raises(BadInput, match=rf"groundtruth.txt: {complaint}"):
        read(tmp_path, ReadOptions())


def test_no_photo_near_any_pose_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no image with a pose \(2 were rejected"):
        read(write_folder(tmp_path, [100.0, 101.0], [(0, 500.0)]), ReadOptions())


def test_an_empty_trajectory_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, [100.0], [])
    with pytest.raises(BadInput, match="no poses, expected lines 'stamp tx ty tz qx qy qz qw'"):
        read(tmp_path, ReadOptions())
