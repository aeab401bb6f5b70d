"""Views: what the bent photo shows, where they are drawn, and what happens when a command is run again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from depth_map_of_room import OPTIONS, Room, make_room
from tiny_place import TinyEncoder

from irploc.cli import main
from irploc.errors import BadInput
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses, pose_errors
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.retrieval.store import EmbeddingStore
from irploc.structure.mapfile import save_map
from irploc.structure.views import ViewOptions, draw_views, drawn_pose
from irploc.structure.warp import relief_of, warped
from irploc.synthetic.place import build_places
from irploc.training.views import load_views, views_path
from irploc.workspace import Workspace

CAMERA = Camera("SIMPLE_PINHOLE", 200, 100, (100.0, 100.0, 50.0))
HERE = Poses(np.zeros((1, 3)), np.array([[1.0, 0, 0, 0]]))


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    yield make_room(tmp_path_factory.mktemp("rendered") / "room")


@pytest.fixture
def home(room: Room, tmp_path: Path) -> Workspace:
    home = Workspace(tmp_path)
    room.scene.save(home.root / "scenes" / "room")
    embed_scene(room.scene, home.root / "scenes/room", home.embeddings("room"), TinyEncoder(), EmbedOptions(augmentations=1))
    save_map(room.point_map, home.model("room", "structure"))
    return home


def wall(depth_m: float = 2.0) -> np.ndarray:
    """(K, 3) points of a wall across the view, 2 m away."""
    across, down = np.meshgrid(np.linspace(-2.5, 2.5, 30), np.linspace(-1.5, 1.5, 20))
    return np.stack([across.ravel(), down.ravel(), np.full(across.size, depth_m)], axis=1)


def picture() -> np.ndarray:
    """Smooth stripes; a pixel's value tells its column."""
    columns = np.arange(200)
    return np.repeat(np.repeat((columns[None, :, None]).astype(np.uint8), 100, axis=0), 3, axis=2)


def test_a_step_to_the_right_of_a_wall_two_metres_away_moves_its_picture_to_the_left_by_half_the_focal_length_a_metre() -> (
    None
):
    relief = relief_of(CAMERA, HERE, wall())
    assert relief is not None and relief.depth_m == 2.0
    found = warped(picture(), CAMERA, relief, Poses(np.array([[0.2, 0.0, 0.0]]), HERE.world_from_cam_wxyz))
    assert found is not None
    # 0.2 m at 2 m with a focal length of 100 px are 10 px
    np.testing.assert_allclose(found[0][20:80, 10:180, 0], picture()[20:80, 20:190, 0], atol=1)
    assert 0.03 < found[1] < 0.12  # 10 of 200 columns are unknown, in steps of the mesh


def test_from_where_the_photo_was_taken_it_looks_as_it_is() -> None:
    relief = relief_of(CAMERA, HERE, wall())
    assert relief is not None
    found = warped(picture(), CAMERA, relief, HERE)
    assert found is not None
    np.testing.assert_allclose(found[0][:, :, 0].astype(int), picture()[:, :, 0].astype(int), atol=1)


def test_a_photo_that_was_reduced_is_bent_alike() -> None:
    relief = relief_of(CAMERA, HERE, wall())
    assert relief is not None
    found = warped(picture()[::2, ::2], CAMERA, relief, Poses(np.array([[0.2, 0.0, 0.0]]), HERE.world_from_cam_wxyz))
    assert found is not None and found[0].shape == (50, 100, 3)
    np.testing.assert_allclose(found[0][10:40, 5:90, 0], picture()[20:80:2, 20:190:2, 0], atol=2)


def test_few_points_make_no_surface() -> None:
    assert relief_of(CAMERA, HERE, wall()[:10]) is None
    assert relief_of(CAMERA, HERE, -wall()) is None


def test_a_camera_on_the_other_side_of_the_wall_gets_no_picture() -> None:
    relief = relief_of(CAMERA, HERE, wall())
    assert relief is not None
    assert warped(picture(), CAMERA, relief, Poses(np.array([[0.0, 0.0, 5.0]]), HERE.world_from_cam_wxyz)) is None


def test_poses_are_drawn_as_wide_as_asked_and_the_same_for_the_same_key() -> None:
    options = ViewOptions(turn_deg=5.0, shift=0.05)
    drawn = Poses.concatenate([drawn_pose(HERE, 2.0, options, (7, number)) for number in range(400)])
    assert np.std(drawn.centers_m, axis=0) == pytest.approx([0.1] * 3, rel=0.15)
    turned = pose_errors(drawn, Poses.concatenate([HERE] * 400))[1]
    # the root mean square of a rotation with standard deviations 5, 5 and 2.5 degrees
    assert np.sqrt(np.mean(turned**2)) == pytest.approx(7.5, rel=0.1)
    again = drawn_pose(HERE, 2.0, options, (7, 3))
    np.testing.assert_array_equal(again.centers_m[0], drawn.centers_m[3])
    assert not np.array_equal(drawn_pose(HERE, 2.0, ViewOptions(seed=1), (7, 3)).centers_m[0], drawn.centers_m[3])


def test_views_look_more_like_the_room_from_there_than_their_photos_do(room: Room, tmp_path: Path) -> None:
    from irploc.images import decode_image

    drawn = draw_views(room.scene, room.point_map, tmp_path, None, ViewOptions(per_photo=1, turn_deg=4.0))
    by_day, _ = build_places(OPTIONS)
    photos = dict(zip(room.scene.frames.names, room.photos, strict=False))
    nearer = []
    middle = (slice(45, 135), slice(60, 180))  # the rim is not known
    for row in range(0, len(drawn.frames), 3):
        true = by_day.photograph(OPTIONS.camera, drawn.frames.poses[[row]]).astype(float)
        view = np.asarray(decode_image(drawn.frames.images[row])).astype(float)
        before = photos[drawn.frames.sequences[row]].astype(float)
        nearer.append(np.abs(view - true)[middle].mean() < np.abs(before - true)[middle].mean())
    assert np.mean(nearer) > 0.8, nearer


def test_a_view_keeps_its_photos_name_and_what_is_drawn_is_not_drawn_again(room: Room, tmp_path: Path) -> None:
    first = draw_views(room.scene, room.point_map, tmp_path, None, ViewOptions(per_photo=2))
    assert set(first.frames.sequences) <= set(room.point_map.names)
    stamps = {path: path.stat().st_mtime_ns for path in first.frames.images}
    first.frames.images[3].unlink()
    again = draw_views(room.scene, room.point_map, tmp_path, None, ViewOptions(per_photo=2))
    assert again.frames.names == first.frames.names
    kept = [path for path in again.frames.images if path.stat().st_mtime_ns == stamps[path]]
    assert len(kept) == len(stamps) - 1
    other = draw_views(room.scene, room.point_map, tmp_path, None, ViewOptions(per_photo=2, seed=1))
    assert not set(other.frames.names) & set(first.frames.names)


@pytest.mark.usefixtures("tiny_encoder")
def test_the_command_embeds_them_and_train_mlp_takes_them(home: Workspace) -> None:
    run = CliRunner().invoke(main, ["--workspace", str(home.root), "views", "room", "--per-photo", "2"])
    assert run.exit_code == 0, run.output
    with EmbeddingStore.open(home.embeddings("room")) as store:
        found, words = load_views(store)
    assert found is not None and words == f"{len(found)} views"
    assert 40 <= len(found) <= 60 and found.parents.max() < 30
    np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1.0, atol=1e-3)
    command = ["--workspace", str(home.root), "train-mlp", "room", "--epochs", "1", "--no-calibration"]
    trained = CliRunner().invoke(main, command)
    assert trained.exit_code == 0 and f"30 images and {len(found)} views" in trained.output, trained.output
    without = CliRunner().invoke(main, [*command, "--no-views"])
    assert without.exit_code == 0 and "views" not in without.output
    assert home.scenes_to_search() == ["room"]  # they are no scene to localize in


@pytest.mark.usefixtures("tiny_encoder")
def test_views_of_other_mapping_photos_are_left_out_with_a_word(home: Workspace, room: Room) -> None:
    CliRunner().invoke(main, ["--workspace", str(home.root), "views", "room", "--per-photo", "1"])
    fewer = room.scene.with_splits(np.array(["train"] * 20 + ["test"] * 14, dtype=object))
    home.embeddings("room").unlink()
    embed_scene(fewer, home.root / "scenes/room", home.embeddings("room"), TinyEncoder(), EmbedOptions(augmentations=1))
    with EmbeddingStore.open(home.embeddings("room")) as store:
        found, words = load_views(store)
    assert found is None and "other mapping photos" in words and "irploc views" in words


@pytest.mark.usefixtures("tiny_encoder")
def test_after_photos_came_in_only_their_views_are_drawn_and_embedded(home: Workspace, room: Room) -> None:
    folder = home.root / "scenes/room"
    fewer = room.scene.with_splits(np.array(["train"] * 30 + ["test"] * 4, dtype=object))
    more = room.scene.with_splits(np.array(["train"] * 32 + ["test"] * 2, dtype=object))
    command = ["--workspace", str(home.root), "views", "room", "--per-photo", "2"]
    fewer.save(folder)
    first = CliRunner().invoke(main, command)
    assert first.exit_code == 0, first.output
    before = {path: path.stat().st_mtime_ns for path in (folder / "views").rglob("*.jpg")}
    more.save(folder)
    embed_scene(more, folder, home.embeddings("room"), TinyEncoder(), EmbedOptions(augmentations=1))
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 0, again.output
    after = {path: path.stat().st_mtime_ns for path in (folder / "views").rglob("*.jpg")}
    assert len(after) > len(before) and all(after[path] == stamp for path, stamp in before.items())
    with EmbeddingStore.open(home.embeddings("room")) as store:
        found, _ = load_views(store)
    assert found is not None and len(found) == len(after)


@pytest.mark.usefixtures("tiny_encoder")
def test_a_scene_without_a_map_is_told_how_to_make_one(home: Workspace) -> None:
    home.model("room", "structure").unlink()
    run = CliRunner().invoke(main, ["--workspace", str(home.root), "views", "room"])
    assert run.exit_code == 1 and "irploc triangulate room" in run.output


def test_nobody_ever_drew_any(home: Workspace) -> None:
    assert not views_path(home.embeddings("room")).exists()
    with EmbeddingStore.open(home.embeddings("room")) as store:
        assert load_views(store) == (None, "")


@pytest.mark.parametrize("wrong", [{"per_photo": 0}, {"per_photo": 101}, {"turn_deg": -1.0}, {"shift": 0.6}])
def test_impossible_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        ViewOptions(**wrong)  # type: ignore[arg-type]
