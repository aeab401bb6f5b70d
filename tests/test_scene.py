"""The scene folder: what is saved comes back, also after a move, and nothing else is taken for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from known_cameras import write_photo

from irploc.errors import BadInput, IrplocError, Mismatch, NotFound
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.scene import Frames, Rejected, Scene, poses_from_columns


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    rng = np.random.default_rng(0)
    names = ("walk 1/007.png", "walk 1/008.png", "walk 2/007.png", "ünlü, “x”.png")
    images = tuple(write_photo(tmp_path / "photos" / name) for name in names)
    return Scene(
        name="toy",
        image_root=tmp_path / "photos",
        frames=Frames(
            images=images,
            names=names,
            sequences=np.array(["walk 1", "walk 1", "walk 2", ""]),
            indices=np.array([7, 8, 7, 0]),
            splits=np.array(["train", "train", "test", "validation"]),
            cameras=("wide", "wide", "", "wide"),
            poses=Poses(rng.normal(size=(4, 3)) * 1e3, rng.normal(size=(4, 4))),
        ),
        cameras={"wide": Camera("OPENCV", 64, 48, (50.1, 51.2, 32, 24, 0.1, -0.01, 1e-4, 1 / 3))},
        ground_truth="surveyed",
        source="csv",
        units="metres",
        rejected=(Rejected("walk 1/009.png", 9, "no pose, sadly"),),
    )


def assert_same(one: Scene, other: Scene) -> None:
    for field in ("name", "image_root", "cameras", "ground_truth", "source", "units", "rejected"):
        assert getattr(one, field) == getattr(other, field), field
    assert one.frames.images == other.frames.images
    assert one.frames.names == other.frames.names
    assert one.frames.cameras == other.frames.cameras
    for field in ("sequences", "indices", "splits"):
        assert getattr(one.frames, field).tolist() == getattr(other.frames, field).tolist(), field
    np.testing.assert_array_equal(one.frames.poses.centers_m, other.frames.poses.centers_m)
    np.testing.assert_allclose(one.frames.poses.world_from_cam_wxyz, other.frames.poses.world_from_cam_wxyz, atol=1e-15)


# --- saving and loading ---


def test_what_is_saved_comes_back(scene: Scene, tmp_path: Path) -> None:
    scene.save(tmp_path / "scenes/toy")
    assert_same(Scene.load(tmp_path / "scenes/toy"), scene)


def test_saving_what_was_loaded_changes_no_byte(scene: Scene, tmp_path: Path) -> None:
    scene.save(tmp_path / "one")
    Scene.load(tmp_path / "one").save(tmp_path / "two")
    for name in ("scene.toml", "frames.csv", "rejected.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_scene_moves_with_its_photos(scene: Scene, tmp_path: Path) -> None:
    scene.save(tmp_path / "photos/scene")
    shutil.move(tmp_path / "photos", tmp_path / "elsewhere")
    moved = Scene.load(tmp_path / "elsewhere/scene")
    assert moved.frames.names == scene.frames.names
    assert all(image.is_file() for image in moved.frames.images)
    assert moved.frames.images[0] == tmp_path / "elsewhere/walk 1/007.png"


def test_paths_in_the_table_are_relative_where_they_can_be(scene: Scene, tmp_path: Path) -> None:
    scene.save(tmp_path / "scenes/toy")
    table = (tmp_path / "scenes/toy/frames.csv").read_text()
    assert "../../photos/walk 1/007.png" in table
    assert str(tmp_path) not in table


def test_photos_that_share_only_the_root_are_absolute(tmp_path: Path) -> None:
    name = "frame1.png"
    frames = Frames((Path("/somewhere") / name,), (name,), [""], [1], ["train"], ("",), Poses([[0, 0, 0]], [[1, 0, 0, 0]]))
    Scene("far", Path("/somewhere"), frames).save(tmp_path)
    assert "/somewhere/frame1.png" in (tmp_path / "frames.csv").read_text()
    assert Scene.load(tmp_path).frames.images == (Path("/somewhere/frame1.png"),)


def test_a_relative_folder_is_the_same_scene(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scene.save(Path("scenes/toy"))
    assert_same(Scene.load(Path("scenes/../scenes/toy")), scene)


def test_a_scene_reached_through_a_link_finds_its_photos(scene: Scene, tmp_path: Path) -> None:
    scene.save(tmp_path / "work/scenes/toy")
    (tmp_path / "far/away").mkdir(parents=True)
    (tmp_path / "far/away/link").symlink_to(tmp_path / "work")
    loaded = Scene.load(tmp_path / "far/away/link/scenes/toy")
    assert all(image.is_file() for image in loaded.frames.images)
    assert loaded.frames.names == scene.frames.names


def test_a_split_may_be_edited_by_hand(scene: Scene, tmp_path: Path) -> None:
    scene.save(tmp_path / "toy")
    table = tmp_path / "toy/frames.csv"
    table.write_text(table.read_text().replace("walk 1,8,train", "walk 1,8,test"))
    assert Scene.load(tmp_path / "toy").frames.splits.tolist() == ["train", "test", "test", "validation"]


# --- refusals ---


def test_a_folder_without_a_scene_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="irploc scene import"):
        Scene.load(tmp_path)


def change(name: str, old: str, new: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return apply


@pytest.mark.parametrize(
    ("damage", "kind", "complaint"),
    [
        (change("scene.toml", 'format = "irploc-scene"', 'format = "other"'), Mismatch, "is not an irploc-scene file"),
        (change("scene.toml", "version = 1", "version = 99"), Mismatch, "version 99"),
        (change("scene.toml", "version = 1", "version ="), BadInput, "not valid TOML"),
        (change("scene.toml", '"OPENCV"', '"OPENCVV"'), BadInput, "camera 'wide': unknown camera model"),
        (change("scene.toml", "width = 64\n", ""), BadInput, "camera 'wide'"),
        (change("scene.toml", "width = 64", 'width = "64"'), BadInput, "camera 'wide'"),
        (change("scene.toml", "[cameras.wide]", "[cameras.tele]"), BadInput, "frames name camera 'wide'"),
        (change("frames.csv", "image,sequence", "image,walk"), BadInput, "lacks the columns sequence"),
        (
            change("frames.csv", ",train,", ",mapping,"),
            BadInput,
            "unknown split 'mapping', expected one of train, validation",
        ),
        (change("frames.csv", "walk 1/008.png", "walk 1/007.png"), BadInput, "1 image names occur twice; first: walk 1/007"),
        (change("frames.csv", ",8,", ",eight,"), BadInput, "not a number"),
        (change("frames.csv", ",8,", ",8.5,"), BadInput, "must hold whole numbers"),
        (change("frames.csv", ",8,", ",99999999999999999999,"), BadInput, "not a number"),
        (change("frames.csv", ",8,", ",8,8,"), BadInput, "not a readable table"),
        (change("scene.toml", "image_root = ", "image_root = 7 # "), BadInput, "image_root is 7, expected text"),
        (change("scene.toml", "name = ", 'name = "../x" # '), BadInput, "expected a name without /"),
        (change("rejected.csv", ",9,", ",nine,"), BadInput, r"rejected\.csv"),
        (change("rejected.csv", "image,index", "image,number"), BadInput, r"rejected\.csv"),
        (lambda folder: (folder / "frames.csv").unlink(), NotFound, r"frames\.csv is missing"),
        (lambda folder: (folder / "frames.csv").write_bytes(b""), BadInput, r"frames\.csv"),
        (lambda folder: (folder / "frames.csv").write_bytes(b"\xff\xfe\x00\x80"), BadInput, r"frames\.csv"),
    ],
)
def test_a_damaged_scene_is_refused_in_one_line(scene: Scene, tmp_path: Path, damage, kind: type, complaint: str) -> None:
    scene.save(tmp_path / "toy")
    damage(tmp_path / "toy")
    with pytest.raises(kind, match=complaint) as caught:
        Scene.load(tmp_path / "toy")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        ("nan,0,0,1,0,0,0", "1 of 4 rows have a pose that is not finite; first: .*008.png"),
        (",0,0,1,0,0,0", "1 of 4 rows have a pose that is not finite; first: .*008.png"),
        ("inf,0,0,1,0,0,0", "1 of 4 rows have a pose that is not finite"),
        ("0,0,0,0,0,0,0", "1 of 4 rows have a zero quaternion; first: .*008.png"),
        ("0,0,0,1.2,0,0,0", "1 of 4 rows have a quaternion that is not of unit length; first: .*008.png"),
        ("0,0,far,1,0,0,0", "frames.csv: a pose or index is not a number"),
    ],
)
def test_poses_that_cannot_be_are_refused_with_the_photo(scene: Scene, tmp_path: Path, cells: str, complaint: str) -> None:
    scene.save(tmp_path / "toy")
    path = tmp_path / "toy/frames.csv"
    lines = path.read_text().splitlines()
    lines[2] = ",".join(lines[2].split(",")[:5]) + "," + cells
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(BadInput, match=complaint):
        Scene.load(tmp_path / "toy")


def test_a_table_without_photos_is_no_scene(scene: Scene, tmp_path: Path) -> None:
    scene.save(tmp_path / "toy")
    path = tmp_path / "toy/frames.csv"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(IrplocError, match="no images"):
        Scene.load(tmp_path / "toy")


def test_a_frame_without_a_pose_is_refused(scene: Scene) -> None:
    poses = Poses.concatenate([scene.frames.poses[[0, 1, 2]], Poses.missing(1)])
    with pytest.raises(BadInput, match="toy: 1 of 4 frames have no pose"):
        replace(scene, frames=replace(scene.frames, poses=poses))


def test_columns_of_different_length_are_the_programmers_mistake(scene: Scene) -> None:
    with pytest.raises(ValueError, match="differ in length"):
        replace(scene.frames, cameras=("wide",))


def test_quaternions_within_one_percent_of_unit_length_are_normalised() -> None:
    poses = poses_from_columns(np.zeros((2, 3)), np.array([[0.995, 0, 0, 0], [0, 0, 0, 1.009]]), ["a", "b"], "x")
    np.testing.assert_allclose(np.linalg.norm(poses.world_from_cam_wxyz, axis=1), 1)


# --- choosing rows ---


def test_rows_are_chosen_by_mask_number_or_split(scene: Scene) -> None:
    assert scene.frames[np.array([True, False, False, True])].indices.tolist() == [7, 0]
    assert scene.frames[[3, 0]].names == (scene.frames.names[3], scene.frames.names[0])
    assert scene.frames.of_split("train").names == scene.frames.names[:2]
    assert len(scene.frames[np.zeros(4, dtype=bool)]) == 0
    assert len(scene.frames[[]]) == 0


# --- fingerprint ---


def test_the_fingerprint_is_kept_by_the_folder_and_ignores_order_and_test_photos(scene: Scene, tmp_path: Path) -> None:
    before = scene.mapping_fingerprint
    scene.save(tmp_path / "toy")
    assert Scene.load(tmp_path / "toy").mapping_fingerprint == before
    assert replace(scene, frames=scene.frames[[3, 1, 0, 2]]).mapping_fingerprint == before
    moved_test = replace(scene.frames, poses=with_shift(scene.frames.poses, row=2, by_m=1.0))
    assert replace(scene, frames=moved_test, name="other").mapping_fingerprint == before


def with_shift(poses: Poses, row: int, by_m: float) -> Poses:
    centers = poses.centers_m.copy()
    centers[row, 0] += by_m
    return Poses(centers, poses.world_from_cam_wxyz)


def test_the_fingerprint_changes_with_mapping_poses_splits_names_and_ground_truth(scene: Scene) -> None:
    frames = scene.frames
    turned = Poses(frames.poses.centers_m, np.roll(frames.poses.world_from_cam_wxyz, 1, axis=0))
    others = [
        scene,
        replace(scene, frames=replace(frames, poses=with_shift(frames.poses, row=0, by_m=1e-4))),
        replace(scene, frames=replace(frames, poses=turned)),
        scene.with_splits(np.array(["train", "test", "test", "validation"], dtype=object)),
        scene.with_splits(np.array(["train", "train", "train", "validation"], dtype=object)),
        replace(scene, frames=replace(frames, names=("walk 1/007.jpg", *frames.names[1:]))),
        replace(scene, ground_truth="guessed"),
    ]
    assert len({other.mapping_fingerprint for other in others}) == len(others)
