"""COLMAP models: cam_from_world, the scalar first in text files and last in pycolmap."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from known_cameras import CAM_FROM_WORLD_WXYZ, TVEC_M, check_poses, words, write_photo

from irploc.errors import BadInput, NotFound
from irploc.pycolmap_safe import import_pycolmap
from irploc.readers import READERS, ReadOptions

read = READERS.get("colmap")
CAMERAS = "# cameras\n7 SIMPLE_RADIAL 64 48 50 31 25 0.01\n9 PINHOLE 32 24 40 41 16 12\n"


def image_line(number: int, row: int, camera: int, name: str) -> str:
    return f"{number} {words(CAM_FROM_WORLD_WXYZ[row])} {words(TVEC_M[row])} {camera} {name}\n\n"


def write_text_model(folder: Path, images: str, cameras: str = CAMERAS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cameras.txt").write_text(cameras)
    (folder / "images.txt").write_text("# images\n" + images)
    (folder / "points3D.txt").write_text("# points\n")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """As COLMAP leaves it: ``images`` and ``sparse/0``, written by hand."""
    write_text_model(tmp_path / "sparse/0", image_line(3, 1, 9, "b.png") + image_line(5, 0, 7, "a1.png"))
    write_photo(tmp_path / "images/a1.png")
    write_photo(tmp_path / "images/b.png")
    return tmp_path


def as_binary(project: Path) -> Path:
    model = project / "sparse/0"
    reconstruction = import_pycolmap().Reconstruction(str(model))
    shutil.rmtree(model)
    model.mkdir()
    reconstruction.write_binary(str(model))
    return project


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_known_cameras_are_where_they_stand_and_look_where_they_look(project: Path, binary: bool) -> None:
    imported = read(as_binary(project) if binary else project, ReadOptions())
    check_poses(imported.frames.poses, [0, 1])
    assert imported.frames.names == ("a1.png", "b.png")
    assert imported.frames.images[0] == project / "images/a1.png"
    assert imported.units != "metres"
    cameras = [imported.cameras[name] for name in imported.frames.cameras]
    assert [(camera.model, camera.width, camera.height, camera.params) for camera in cameras] == [
        ("SIMPLE_RADIAL", 64, 48, (50, 31, 25, 0.01)),
        ("PINHOLE", 32, 24, (40, 41, 16, 12)),
    ]


@pytest.mark.parametrize("below", [".", "sparse", "sparse/0"])
def test_the_model_is_found_from_the_project_down(project: Path, below: str) -> None:
    imported = read(project / below, ReadOptions())
    assert imported.image_root == project / "images"
    assert len(imported.frames) == 2


def test_photos_that_the_model_did_not_register_are_rejected_by_name(project: Path) -> None:
    write_photo(project / "images/c12.png")
    imported = read(project, ReadOptions())
    assert imported.frames.names == ("a1.png", "b.png")
    (rejected,) = imported.rejected
    assert (rejected.image, rejected.index, rejected.reason) == ("c12.png", 12, "not registered in the model")


def test_folders_of_photos_are_sequences(tmp_path: Path) -> None:
    model = write_text_model(tmp_path / "m", image_line(1, 0, 7, "left/1.png") + image_line(2, 1, 7, "right/1.png"))
    imported = read(model, ReadOptions(images=tmp_path / "photos"))
    assert imported.frames.sequences.tolist() == ["left", "right"]
    assert imported.frames.indices.tolist() == [1, 1]
    assert imported.frames.images[1] == tmp_path / "photos/right/1.png"


@pytest.mark.parametrize(("file", "keep"), [("images.bin", 20), ("cameras.bin", 10), ("images.bin", 0)])
def test_a_truncated_model_is_refused(project: Path, file: str, keep: int) -> None:
    path = as_binary(project) / "sparse/0" / file
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadInput, match=r"sparse/0") as caught:
        read(project, ReadOptions())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "images", ["1 1 0 0\n\n", image_line(1, 0, 99, "a.png"), f"1 0 0 0 0 {words(TVEC_M[0])} 7 a.png\n\n"]
)
def test_text_that_is_no_model_is_refused(tmp_path: Path, images: str) -> None:
    with pytest.raises(BadInput, match="m") as caught:
        read(write_text_model(tmp_path / "m", images), ReadOptions())
    assert "\n" not in str(caught.value)


def test_a_model_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no image with a pose"):
        read(write_text_model(tmp_path / "m", ""), ReadOptions())


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cameras.txt").write_text(CAMERAS)
    with pytest.raises(NotFound, match=r"no COLMAP model in .* expected cameras, images and points3D"):
        read(tmp_path, ReadOptions())


def test_quaternions_of_few_digits_are_normalised(tmp_path: Path) -> None:
    model = write_text_model(tmp_path / "m", "1 0.707 0 0 -0.707 -5 4 -6 9 a.png\n\n")
    poses = read(model, ReadOptions()).frames.poses
    check_poses(poses, [1], within=1e-3)
    np.testing.assert_allclose(np.linalg.norm(poses.world_from_cam_wxyz, axis=1), 1, atol=1e-15)
