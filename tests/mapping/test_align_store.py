"""An alignment on disk: poses and points move together, the last step can be taken back, nothing is written by half."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from mapping.align_room import ODD_FRAME, room_points, save_room

from irploc.errors import BadInput
from irploc.geometry.poses import pose_errors
from irploc.geometry.similarity import AlignmentStep, Similarity
from irploc.mapping import align_store
from irploc.mapping.align_store import aligned, finish, load_model, store, unaligned
from irploc.ply import read_ply
from irploc.pointcloud import load_points
from irploc.scene import UNFINISHED, Scene

STEP = AlignmentStep("points", ODD_FRAME.inverse(), "as in the model", "metres", 4, 0.01, {"a": 0.01}, (), {"file": "k.csv"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_room(tmp_path / "room")
    return tmp_path / "room"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_poses_points_units_and_the_record_change_together(folder: Path) -> None:
    before = Scene.load(folder)
    store(folder, aligned(before, STEP), STEP.similarity)
    after = Scene.load(folder)
    assert (after.units, after.alignment) == ("metres", (STEP,))
    np.testing.assert_allclose(load_points(folder / "sparse").points_m, room_points(), atol=1e-9)
    model = load_model(folder / "sparse")
    for image in model.images.values():
        row = after.frames.names.index(image.name)
        np.testing.assert_allclose(image.projection_center(), after.frames.poses.centers_m[row], atol=1e-9)
    assert after.frames.images == before.frames.images
    assert after.mapping_fingerprint != before.mapping_fingerprint
    assert sorted(path.suffix for path in (folder / "sparse").iterdir())[0] == ".txt"


def test_undoing_all_steps_gives_the_scene_of_before(folder: Path) -> None:
    before, points = Scene.load(folder), load_points(folder / "sparse").points_m
    other = AlignmentStep("upright", Similarity(1.0, (0.9, 0.1, 0.2, 0.3), (0.0, 0.0, 5.0)), "metres", "metres")
    for step in (STEP, other):
        store(folder, aligned(Scene.load(folder), step), step.similarity)
    assert [step.method for step in Scene.load(folder).alignment] == ["points", "upright"]
    for _ in range(2):
        store(folder, *unaligned(Scene.load(folder)))
    after = Scene.load(folder)
    position, rotation = pose_errors(after.frames.poses, before.frames.poses)
    assert position.max() < 1e-11
    assert rotation.max() < 1e-9
    assert (after.units, after.alignment) == (before.units, ())
    assert after.mapping_fingerprint == before.mapping_fingerprint
    np.testing.assert_allclose(load_points(folder / "sparse").points_m, points, atol=1e-11)


def test_there_is_nothing_to_undo_where_nothing_was_done(folder: Path) -> None:
    with pytest.raises(BadInput, match="scene room has no alignment to undo"):
        unaligned(Scene.load(folder))


def test_a_scene_without_a_sparse_model_is_aligned_too(folder: Path) -> None:
    for path in (folder / "sparse").iterdir():
        path.unlink()
    store(folder, aligned(Scene.load(folder), STEP), STEP.similarity)
    assert Scene.load(folder).units == "metres"


def dense_cloud(folder: Path) -> Path:
    """``points.ply`` as stereo fusion writes it: single precision, normals, colours."""
    columns = "".join(f"property float {name}\n" for name in ("x", "y", "z", "nx", "ny", "nz"))
    columns += "".join(f"property uchar {name}\n" for name in ("red", "green", "blue"))
    points = ODD_FRAME.apply(room_points())[:300].astype("<f4")
    content = np.empty(300, np.dtype([("at", "<f4", 3), ("normal", "<f4", 3), ("color", "u1", 3)]))
    content["at"], content["normal"] = points, [0.0, 0.6, 0.8]
    content["color"] = np.arange(900).reshape(300, 3) % 256
    path = folder / "points.ply"
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex 300\n{columns}end_header\n"
    path.write_bytes(header.encode() + content.tobytes())
    return path


def test_the_dense_cloud_moves_with_the_scene_and_back(folder: Path) -> None:
    path = dense_cloud(folder)
    points, colors = read_ply(path)
    assert colors is not None
    store(folder, aligned(Scene.load(folder), STEP), STEP.similarity)
    moved, kept = read_ply(path)
    np.testing.assert_allclose(moved, STEP.similarity.apply(points), atol=1e-12)
    np.testing.assert_array_equal(kept, colors)
    store(folder, *unaligned(Scene.load(folder)))
    back, kept = read_ply(path)
    np.testing.assert_allclose(back, points, atol=1e-12)
    np.testing.assert_array_equal(kept, colors)


def test_a_damaged_dense_cloud_leaves_the_scene_as_it_was(folder: Path) -> None:
    path = dense_cloud(folder)
    path.write_bytes(path.read_bytes()[:-9])
    before = contents(folder)
    with pytest.raises(BadInput, match=r"points\.ply ends early: it has 299 of 300"):
        store(folder, aligned(Scene.load(folder), STEP), STEP.similarity)
    assert contents(folder) == before


def test_a_full_disk_leaves_the_scene_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(folder)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(align_store, "_transform_model", full)
    with pytest.raises(BadInput, match="No space left on device; the scene is unchanged"):
        store(folder, aligned(Scene.load(folder), STEP), STEP.similarity)
    assert contents(folder) == before


def test_an_interrupted_exchange_is_refused_until_it_is_finished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = aligned(Scene.load(folder), STEP)

    def killed(folder: Path) -> bool:
        ready = sorted((folder / UNFINISHED).rglob("*.csv"))
        ready[0].replace(folder / ready[0].name)  # one file was exchanged, the others were not
        raise KeyboardInterrupt

    monkeypatch.setattr(align_store, "finish", killed)
    with pytest.raises(KeyboardInterrupt):
        store(folder, expected, STEP.similarity)
    with pytest.raises(BadInput, match=r"was interrupted: 'irploc scene align .* --show' finishes it"):
        Scene.load(folder)
    assert finish(folder)
    assert not finish(folder)
    after = Scene.load(folder)
    assert after.alignment == (STEP,)
    np.testing.assert_array_equal(after.frames.poses.centers_m, expected.frames.poses.centers_m)
    np.testing.assert_allclose(load_points(folder / "sparse").points_m, room_points(), atol=1e-9)


def test_a_damaged_record_is_refused(folder: Path) -> None:
    store(folder, aligned(Scene.load(folder), STEP), STEP.similarity)
    path = folder / "scene.toml"
    path.write_text(path.read_text().replace("scale = ", "size = ", 1))
    with pytest.raises(BadInput, match=r"scene\.toml: an alignment step is damaged"):
        Scene.load(folder)


def test_saving_a_scene_again_keeps_its_record(folder: Path, tmp_path: Path) -> None:
    store(folder, aligned(Scene.load(folder), STEP), STEP.similarity)
    Scene.load(folder).save(tmp_path / "copy")
    assert Scene.load(tmp_path / "copy").alignment == (STEP,)
