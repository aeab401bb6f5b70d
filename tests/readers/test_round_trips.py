"""Every registered reader refuses what is not there; every registered writer is undone by the reader of its name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from known_cameras import write_photo

from irploc.errors import BadInput, IrplocError
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses, pose_errors
from irploc.readers import READERS, Imported, ReadOptions
from irploc.readers.writers import NAMES_ONLY, WRITERS, export_scene
from irploc.scene import Frames, Scene

SPLITS = ["train"] * 3 + ["test"] * 3


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Two walks of three photos with poses in general position; the second walk tests."""
    rng = np.random.default_rng(0)
    names = tuple(f"seq-{walk:02d}/frame-{number:06d}.color.png" for walk in (1, 2) for number in (0, 5, 17))
    images = tuple(write_photo(tmp_path / "photos" / name) for name in names)
    return Scene(
        name="toy",
        image_root=tmp_path / "photos",
        frames=Frames(
            images=images,
            names=names,
            sequences=np.array([name.partition("/")[0] for name in names]),
            indices=np.array([0, 5, 17, 0, 5, 17]),
            splits=np.array(SPLITS),
            cameras=("wide",) * 3 + ("narrow",) * 3,
            poses=Poses(rng.normal(size=(6, 3)) * 100, rng.normal(size=(6, 4))),
        ),
        cameras={
            "wide": Camera("PINHOLE", 64, 48, (50, 51, 32, 24)),
            "narrow": Camera("SIMPLE_RADIAL", 64, 48, (80, 31, 25, 0.1)),
        },
    )


def there_and_back(scene: Scene, format_name: str, out: Path) -> Imported:
    export_scene(scene, format_name, out)
    images = scene.image_root if format_name in NAMES_ONLY else None
    return READERS.get(format_name)(out, ReadOptions(images=images))


@pytest.mark.parametrize("name", list(READERS))
def test_no_reader_takes_an_empty_folder_or_a_path_that_is_not_there(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "none", tmp_path / "none/deeper.txt"):
        with pytest.raises(IrplocError) as caught:
            READERS.get(name)(path, ReadOptions())
        assert str(path.name) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", list(READERS))
def test_no_reader_takes_a_file_of_noise(name: str, tmp_path: Path) -> None:
    noise = tmp_path / "noise"
    noise.write_bytes(np.random.default_rng(0).bytes(3000))
    with pytest.raises(IrplocError) as caught:
        READERS.get(name)(noise, ReadOptions())
    assert "noise" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in READERS if name != "7scenes"])
def test_only_7scenes_takes_a_ground_truth_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"--ground-truth is not for {name}"):
        READERS.get(name)(tmp_path, ReadOptions(ground_truth=tmp_path / "pgt.txt"))


def test_every_export_format_can_be_imported() -> None:
    assert set(WRITERS) <= set(READERS)


@pytest.mark.parametrize("name", list(WRITERS))
def test_poses_come_back_to_nine_digits(name: str, scene: Scene, tmp_path: Path) -> None:
    back = there_and_back(scene, name, tmp_path / "out")
    assert [image.resolve() for image in back.frames.images] == list(scene.frames.images)
    position_m, rotation_deg = pose_errors(back.frames.poses, scene.frames.poses)
    assert position_m.max() < 1e-9
    assert rotation_deg.max() < 1e-9


@pytest.mark.parametrize("name", list(WRITERS))
def test_names_come_back_or_the_photos_themselves_are_named(name: str, scene: Scene, tmp_path: Path) -> None:
    back = there_and_back(scene, name, tmp_path / "out")
    if name != "nerfstudio":  # which holds whole paths
        assert back.frames.names == scene.frames.names


@pytest.mark.parametrize("name", ["7scenes", "csv", "nerfstudio"])
def test_formats_that_hold_a_split_give_it_back(name: str, scene: Scene, tmp_path: Path) -> None:
    back = there_and_back(scene, name, tmp_path / "out")
    assert back.defines_split
    assert back.frames.splits.tolist() == SPLITS


@pytest.mark.parametrize("name", ["colmap", "tum", "7scenes"])
def test_formats_that_cannot_hold_the_split_get_lists_beside_them(name: str, scene: Scene, tmp_path: Path) -> None:
    from irploc.readers.lists import split_by_lists

    mixed = scene.with_splits(np.array(["train", "test", "train", "test", "test", "train"], dtype=object))
    back = there_and_back(mixed, name, tmp_path / "out")
    listed = split_by_lists(back.frames, tmp_path / "out/train_list.txt", tmp_path / "out/test_list.txt")
    assert listed.listed.all()
    assert listed.splits.tolist() == mixed.frames.splits.tolist()


@pytest.mark.parametrize("name", ["colmap", "csv", "nerfstudio"])
def test_formats_that_hold_intrinsics_give_them_back(name: str, scene: Scene, tmp_path: Path) -> None:
    back = there_and_back(scene, name, tmp_path / "out")
    point = np.array([0.3, -0.2, 1.5])
    for row in range(6):
        camera, original = back.cameras[back.frames.cameras[row]], scene.cameras[scene.frames.cameras[row]]
        assert (camera.width, camera.height) == (original.width, original.height)
        np.testing.assert_allclose(camera.project(point), original.project(point), atol=1e-9)


def test_numbers_of_frames_come_back_where_names_hold_them(scene: Scene, tmp_path: Path) -> None:
    for name in ("7scenes", "csv", "colmap"):
        back = there_and_back(scene, name, tmp_path / name)
        assert back.frames.indices.tolist() == scene.frames.indices.tolist(), name


def test_a_trajectory_alone_goes_into_a_text_file(scene: Scene, tmp_path: Path) -> None:
    export_scene(scene, "tum", tmp_path / "trajectory.txt")
    lines = (tmp_path / "trajectory.txt").read_text().splitlines()
    assert lines[0].startswith("#")
    x, y, z, w = (float(word) for word in lines[1].split()[4:])
    np.testing.assert_allclose([w, x, y, z], scene.frames.poses.world_from_cam_wxyz[0], atol=1e-15)


def test_names_with_spaces_survive_or_are_refused(scene: Scene, tmp_path: Path) -> None:
    spaced = tuple(f"my walk/{number} b.png" for number in range(6))
    images = tuple(write_photo(scene.image_root / name) for name in spaced)
    scene = replace(scene, frames=replace(scene.frames, names=spaced, images=images))
    for name in ("colmap", "csv"):
        assert there_and_back(scene, name, tmp_path / name).frames.names == spaced
    with pytest.raises(BadInput, match=r"tum cannot hold names with spaces; first of 6: 'my walk/0 b.png'"):
        export_scene(scene, "tum", tmp_path / "tum")


@pytest.mark.parametrize("name", list(WRITERS))
def test_an_export_overwrites_nothing_unless_told(name: str, scene: Scene, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_scene(scene, name, out)
    with pytest.raises(BadInput, match="is there already: choose another --out, or give --force"):
        export_scene(scene, name, out)
    export_scene(scene, name, out, overwrite=True)
    assert len(READERS.get(name)(out, ReadOptions(images=scene.image_root if name in NAMES_ONLY else None)).frames) == 6


@pytest.mark.parametrize("name", list(WRITERS))
def test_an_export_into_the_photos_own_folder_touches_nothing(name: str, scene: Scene) -> None:
    before = {path: path.read_bytes() for path in scene.image_root.rglob("*") if path.is_file()}
    with pytest.raises(BadInput, match="holds photos of the scene"):
        export_scene(scene, name, scene.image_root, overwrite=True)
    assert {path: path.read_bytes() for path in scene.image_root.rglob("*") if path.is_file()} == before
    assert not any(path.is_symlink() for path in scene.image_root.rglob("*"))


def test_7scenes_refuses_two_photos_of_one_number(scene: Scene, tmp_path: Path) -> None:
    doubled = replace(scene, frames=replace(scene.frames, indices=np.array([0, 5, 5, 0, 5, 17])))
    with pytest.raises(BadInput, match="same number in one sequence"):
        export_scene(doubled, "7scenes", tmp_path / "out")


def test_colmap_needs_intrinsics_and_says_for_which_photos(scene: Scene, tmp_path: Path) -> None:
    bare = replace(scene, frames=replace(scene.frames, cameras=("", "", *scene.frames.cameras[2:])))
    with pytest.raises(BadInput, match=r"2 of scene toy have none: seq-01/frame-000000.color.png and 1 more"):
        export_scene(bare, "colmap", tmp_path / "out")


def test_nerfstudio_refuses_a_lens_that_it_cannot_hold(scene: Scene, tmp_path: Path) -> None:
    lens = scene.cameras | {"wide": Camera("FOV", 64, 48, (50, 51, 32, 24, 0.9))}
    with pytest.raises(BadInput, match="nerfstudio cannot hold a FOV camera"):
        export_scene(replace(scene, cameras=lens), "nerfstudio", tmp_path / "out")


def test_nerfstudio_gets_opengl_axes(scene: Scene, tmp_path: Path) -> None:
    export_scene(scene, "nerfstudio", tmp_path / "out")
    first = json.loads((tmp_path / "out/transforms.json").read_text())["frames"][0]["transform_matrix"]
    expected = scene.frames.poses.to_matrices()[0] @ np.diag([1, -1, -1, 1])
    np.testing.assert_allclose(first, expected, atol=1e-15)
