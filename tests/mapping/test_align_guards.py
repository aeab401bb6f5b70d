"""What an alignment refuses to write: models that are not the scene's own, damaged ones, scenes that changed meanwhile."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from irploc.errors import BadInput, Busy
from irploc.geometry.similarity import AlignmentStep, Similarity
from irploc.mapping.align_store import aligned, store
from irploc.pointcloud import read_model
from irploc.pycolmap_safe import import_pycolmap
from irploc.retrieval.store import lock
from irploc.scene import Scene

TWICE = Similarity(2.0)
STEP = AlignmentStep("distance", TWICE, "as in the model", "metres", 2, 0.0, {}, (), {})


@pytest.fixture
def folder(toy_scene: Path, tmp_path: Path) -> Path:
    """A scene with a sparse model of its own poses."""
    scene = replace(Scene.load(toy_scene), units="as in the model")
    scene.save(tmp_path / "hall")
    write_model(scene, tmp_path / "hall/sparse")
    return tmp_path / "hall"


def write_model(scene: Scene, target: Path, shift: float = 0.0) -> None:
    pycolmap = import_pycolmap()
    model = pycolmap.Reconstruction()
    camera = next(iter(scene.cameras.values()))
    params = list(camera.params)
    model.add_camera_with_trivial_rig(
        pycolmap.Camera(camera_id=1, model=camera.model, width=camera.width, height=camera.height, params=params)
    )
    quats, shifts = scene.frames.poses.to_cam_from_world()
    for row, name in enumerate(scene.frames.names):
        image = pycolmap.Image(name=name, camera_id=1, image_id=row + 1)
        rotation = pycolmap.Rotation3d(np.roll(quats[row], -1))
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(rotation, shifts[row] + shift))
    model.add_point3D(np.array([0.0, 0.0, 1.0]), pycolmap.Track(), np.zeros(3, dtype=np.uint8))
    target.mkdir(parents=True)
    model.write_binary(str(target))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def align(folder: Path) -> None:
    store(folder, aligned(Scene.load(folder), STEP), TWICE)


def refused(folder: Path, words: str) -> None:
    before = contents(folder)
    with pytest.raises(BadInput, match=words):
        align(folder)
    assert contents(folder) == before


def test_a_model_of_the_scene_moves_with_it(folder: Path) -> None:
    before = {image.name: image.projection_center() for image in read_model(folder / "sparse").images.values()}
    align(folder)
    for image in read_model(folder / "sparse").images.values():
        np.testing.assert_allclose(image.projection_center(), 2 * before[image.name], atol=1e-9)


def test_a_model_in_another_frame_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "sparse")
    write_model(Scene.load(folder), folder / "sparse", shift=0.5)
    refused(folder, "is not in the frame of the scene")


def test_a_model_that_others_may_use_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "sparse").rename(tmp_path / "shared")
    (folder / "sparse").symlink_to(tmp_path / "shared")
    refused(folder, "is a link, and the model there would move for others too")


def test_a_model_with_a_file_missing_is_refused(folder: Path) -> None:
    (folder / "sparse/points3D.bin").unlink()
    refused(folder, "is no whole COLMAP model")


@pytest.mark.parametrize("part", ["cameras", "images", "points3D"])
def test_a_file_that_promises_more_than_it_holds_is_refused_at_once(folder: Path, part: str) -> None:
    path = folder / f"sparse/{part}.bin"
    path.write_bytes((2**40).to_bytes(8, "little") + path.read_bytes()[8:])
    refused(folder, f"{part}.bin is cut off or damaged")


def test_a_scene_that_changed_meanwhile_is_left_alone(folder: Path) -> None:
    first = Scene.load(folder)
    align(folder)
    before = contents(folder)
    with pytest.raises(BadInput, match="was changed by someone else meanwhile"):
        store(folder, aligned(first, STEP), TWICE)
    assert contents(folder) == before


def test_two_alignments_do_not_mix(folder: Path) -> None:
    with lock(folder / "scene.toml"), pytest.raises(Busy):
        align(folder)
