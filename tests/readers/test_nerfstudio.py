"""nerfstudio and instant-ngp files: OpenGL axes, intrinsics per file or frame, entries without a photo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_cameras import WORLD_FROM_CAM_OPENGL, check_poses, write_photo

from irploc.errors import BadInput, IrplocError, NotFound
from irploc.readers import READERS, Imported, ReadOptions

read = READERS.get("nerfstudio")
INTRINSICS = {"fl_x": 50.0, "fl_y": 51.0, "cx": 31.0, "cy": 25.0, "w": 64, "h": 48}


def entry(row: int, name: str, **more: Any) -> dict[str, Any]:
    return {"file_path": name, "transform_matrix": WORLD_FROM_CAM_OPENGL[row].tolist(), **more}


def write(folder: Path, frames: list, **more: Any) -> Path:
    (folder / "transforms.json").write_text(json.dumps({**more, "frames": frames}))
    return folder


def imported_camera(folder: Path, **intrinsics: Any) -> tuple[str, tuple[float, ...]]:
    write_photo(folder / "images/1.png")
    imported = read(write(folder, [entry(0, "images/1.png")], **intrinsics), ReadOptions())
    camera = imported.cameras[imported.frames.cameras[0]]
    return camera.model, camera.params


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_photo(tmp_path / "images/0001.png")
    write_photo(tmp_path / "images/0002.jpg")
    return tmp_path


def test_known_cameras_look_where_they_look(folder: Path) -> None:
    imported = read(write(folder, [entry(0, "images/0001.png"), entry(1, "./images/0002.jpg")], **INTRINSICS), ReadOptions())
    check_poses(imported.frames.poses, [0, 1])
    assert imported.frames.names == ("images/0001.png", "images/0002.jpg")
    assert imported.frames.indices.tolist() == [1, 2]
    assert next(iter(imported.cameras.values())).params == (50, 51, 31, 25)
    assert len(imported.cameras) == 1
    assert imported.units != "metres"


def test_the_file_itself_may_be_named(folder: Path) -> None:
    write(folder, [entry(0, "images/0001.png")])
    assert read(folder / "transforms.json", ReadOptions()).frames.names == ("images/0001.png",)


def test_matrices_of_three_rows_are_read(folder: Path) -> None:
    frame = {"file_path": "images/0001.png", "transform_matrix": WORLD_FROM_CAM_OPENGL[0, :3].tolist()}
    check_poses(read(write(folder, [frame]), ReadOptions()).frames.poses, [0])


def test_entries_without_a_photo_are_rejected_with_their_names(folder: Path) -> None:
    frames = [entry(0, "images/0001.png"), entry(1, "images/0009.png"), entry(1, "images/0002.jpg")]
    imported = read(write(folder, frames, **INTRINSICS), ReadOptions())
    check_poses(imported.frames.poses, [0, 1])
    (rejected,) = imported.rejected
    assert (rejected.image, rejected.index, rejected.reason) == ("images/0009.png", 9, "no image file")


def test_names_without_extension_find_their_photo_absolute_or_not(folder: Path) -> None:
    frames = [entry(0, "images/0001"), entry(1, str(folder / "images/0002"))]
    imported = read(write(folder, frames, **INTRINSICS), ReadOptions())
    check_poses(imported.frames.poses, [0, 1])
    assert imported.frames.names == ("images/0001.png", "images/0002.jpg")


def test_brackets_in_a_name_are_not_a_pattern(tmp_path: Path) -> None:
    write_photo(tmp_path / "room [1]/0001.png")
    assert len(read(write(tmp_path, [entry(0, "room [1]/0001")]), ReadOptions()).frames) == 1


def test_photos_may_lie_elsewhere(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "poses").mkdir()
    write(tmp_path / "poses", [entry(0, "images/0001.png")])
    imported = read(tmp_path / "poses", ReadOptions(images=folder))
    assert imported.frames.names == ("images/0001.png",)


def test_intrinsics_of_a_frame_win_over_the_file(folder: Path) -> None:
    frames = [entry(0, "images/0001.png"), entry(1, "images/0002.jpg", fl_x=70.0, fl_y=71.0)]
    imported = read(write(folder, frames, **INTRINSICS), ReadOptions())
    params = [imported.cameras[name].params for name in imported.frames.cameras]
    assert params == [(50, 51, 31, 25), (70, 71, 31, 25)]


@pytest.mark.parametrize(
    ("intrinsics", "model", "params"),
    [
        (INTRINSICS, "PINHOLE", (50, 51, 31, 25)),
        ({"fl_x": 50.0}, "PINHOLE", (50, 50, 32, 24)),
        ({"camera_angle_x": np.pi / 2}, "PINHOLE", (32, 32, 32, 24)),
        ({"camera_angle_x": np.pi / 2, "camera_angle_y": 2 * np.arctan(0.5)}, "PINHOLE", (32, 48, 32, 24)),
        ({**INTRINSICS, "k1": 0.1, "p2": -0.02}, "OPENCV", (50, 51, 31, 25, 0.1, 0, 0, -0.02)),
        ({**INTRINSICS, "k1": 0.1, "k3": 0.3}, "FULL_OPENCV", (50, 51, 31, 25, 0.1, 0, 0, 0, 0.3, 0, 0, 0)),
        (
            {**INTRINSICS, "k1": 0.1, "k2": 0.2, "k3": 0.3, "k4": 0.4, "camera_model": "OPENCV_FISHEYE"},
            "OPENCV_FISHEYE",
            (50, 51, 31, 25, 0.1, 0.2, 0.3, 0.4),
        ),
    ],
    ids=["pinhole", "focal only", "angle", "two angles", "distorted", "third coefficient", "fisheye"],
)
def test_intrinsics_by_hand(tmp_path: Path, intrinsics: dict, model: str, params: tuple) -> None:
    found_model, found = imported_camera(tmp_path, **intrinsics)
    assert found_model == model
    np.testing.assert_allclose(found, params, atol=1e-12)


def test_a_file_without_a_focal_length_leaves_intrinsics_unknown(folder: Path) -> None:
    imported = read(write(folder, [entry(0, "images/0001.png")]), ReadOptions())
    assert imported.frames.cameras == ("",)
    assert imported.cameras == {}


def with_matrix(matrix: Any) -> list:
    return [entry(0, "images/0001.png"), {"file_path": "images/0002.jpg", "transform_matrix": matrix}]


@pytest.mark.parametrize(
    ("frames", "complaint"),
    [
        ([], "no frames"),
        ([{"file_path": "images/0001.png"}], "frame 0"),
        ([entry(0, "images/0001.png"), "images/0002.jpg"], "frame 1"),
        (with_matrix([[1, 2], [3, 4]]), "0002.jpg"),
        (with_matrix("none"), "frame 1"),
        (with_matrix(np.full((4, 4), np.nan).tolist()), "0002.jpg"),
        (with_matrix(np.diag([2.0, 2, 2, 1]).tolist()), "no pose|not a rotation"),
        (with_matrix(np.zeros((4, 4)).tolist()), "no pose|not a rotation"),
    ],
)
def test_frames_that_cannot_be_are_refused_in_one_line(folder: Path, frames: list, complaint: str) -> None:
    with pytest.raises(IrplocError, match=complaint) as caught:
        read(write(folder, frames, **INTRINSICS), ReadOptions())
    assert "\n" not in str(caught.value)
    assert "transforms.json" in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"frames": 3}', "\x00\x01", '"frames"'])
def test_a_file_that_is_no_transforms_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "transforms.json").write_text(content)
    with pytest.raises(BadInput, match=r"transforms.json (is not JSON|has no frames)"):
        read(tmp_path, ReadOptions())


@pytest.mark.parametrize("bad", [{"fl_x": "wide"}, {"fl_x": -3.0}, {"fl_x": float("nan")}, {"w": 0}])
def test_intrinsics_that_cannot_be_are_refused(folder: Path, bad: dict) -> None:
    with pytest.raises(BadInput, match=r"transforms.json.*0001.png"):
        read(write(folder, [entry(0, "images/0001.png")], **{**INTRINSICS, **bad}), ReadOptions())


def test_no_photo_at_all_is_refused_with_the_count(tmp_path: Path) -> None:
    frames = [entry(0, "images/a.png"), entry(1, "images/b.png")]
    with pytest.raises(BadInput, match=r"no image with a pose \(2 were rejected; first: images/a.png: no image file"):
        read(write(tmp_path, frames), ReadOptions())


def test_a_folder_without_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"transforms.json"):
        read(tmp_path, ReadOptions())


def test_the_real_fox_has_fifty_photos_and_seventeen_entries_without_one(fox: Path) -> None:
    imported: Imported = read(fox, ReadOptions())
    assert len(imported.frames) == 50
    assert [item.reason for item in imported.rejected] == ["no image file"] * 17
    (camera,) = imported.cameras.values()
    assert camera.model == "OPENCV"
    assert (camera.width, camera.height) == (1080, 1920)
    assert camera.params == (1375.52, 1374.49, 554.558, 965.268, 0.0578421, -0.0805099, -0.000980296, 0.00015575)
