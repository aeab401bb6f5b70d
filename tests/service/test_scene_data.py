"""Points and notes of scenes, and what is made of them once."""

from __future__ import annotations

import asyncio
import gc
import shutil
import threading
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_place import TinyEncoder
from tiny_service import make_workspace, within
from wall_place import CAMERA, WALL_M, make_wall, write_ply

from irploc.errors import NotFound
from irploc.estimators.structure import Structure
from irploc.pointcloud import PointCloud
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.scene import Scene
from irploc.service.hosting import HostedScene, HostingOptions
from irploc.service.loading import load_hosting
from irploc.service.making import Made, Maker, shown_of
from irploc.service.problems import Problem
from irploc.service.scene_data import colored, describe, describe_points, near_points, photo_files, rounded
from irploc.structure.mapfile import save_map
from irploc.structure.pointmap import PointMap
from irploc.workspace import Workspace

pytestmark = pytest.mark.usefixtures("tiny_encoder")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wall, embedded; its mapping photos have depth maps."""
    root = tmp_path_factory.mktemp("private") / "home"
    scene = make_wall(root / "wall")
    folder = root / "scenes" / "wall"
    scene.save(folder)
    embed_scene(scene, folder, root / "embeddings" / "wall.h5", TinyEncoder(), EmbedOptions(augmentations=0))
    return root


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Workspace:
    """A copy whose scene folder may be changed; its photos are those of the first."""
    shutil.copytree(made / "embeddings", tmp_path / "home" / "embeddings")
    Scene.load(made / "scenes" / "wall").save(tmp_path / "home" / "scenes" / "wall")
    return Workspace(tmp_path / "home")


def hosted(home: Workspace, *methods: str) -> HostedScene:
    return load_hosting(HostingOptions(home, methods=methods or ("nearest",))).hosting.scene("wall")


def with_structure(home: Workspace, points_m: np.ndarray) -> None:
    """A map of some points that the first mapping photo sees side by side."""
    frames, count = Scene.load(home.root / "scenes" / "wall").frames, len(points_m)
    point_map = PointMap(
        names=frames.names[:1],
        poses=frames.poses[:1],
        photo_cameras=("wide",),
        cameras={"wide": CAMERA},
        points_m=points_m,
        descriptors=np.ones((count, 128), np.uint8),
        starts=np.array([0, count]),
        observed=np.arange(count, dtype=np.int32),
        pixels=np.stack([np.linspace(0, CAMERA.width, count), np.full(count, 2.5)], axis=1).astype(np.float32),
        identity={"scene": "wall", "units": "metres", "ground_truth": "arithmetic"},
    )
    home.model("wall", "structure").parent.mkdir(parents=True)
    save_map(point_map, home.model("wall", "structure"))


def test_points_of_depth_maps_have_the_photos_colours(home: Workspace) -> None:
    found = describe_points(hosted(home))
    assert found.source == "depth maps of mapping photos"
    assert len(found.points_m) == found.total > 1000
    points_m = np.array(found.points_m)
    assert np.allclose(points_m[:, 2], WALL_M, atol=1e-3)
    assert found.colors is not None
    for (x, _, _), color in zip(found.points_m, found.colors, strict=True):
        assert color == ("#ffffff" if x > 0 else "#000000") or abs(x) < 0.2


def test_points_of_the_scene_folder_come_first(home: Workspace) -> None:
    write_ply(home.root / "scenes" / "wall" / "points.ply", np.arange(60.0).reshape(-1, 3))
    with_structure(home, np.ones((5, 3)))
    found = describe_points(hosted(home, "nearest", "structure"))
    assert (found.source, found.total, found.colors) == ("points of the scene", 20, None)
    assert found.points_m[3] == [9.0, 10.0, 11.0]


def test_points_of_a_method_come_before_depth_maps_and_have_the_photos_colours(home: Workspace) -> None:
    with_structure(home, np.arange(60.0).reshape(-1, 3))
    found = describe_points(hosted(home, "nearest", "structure"))
    assert (found.source, found.total) == ("points of the method structure", 20)
    assert found.colors == ["#000000"] * 10 + ["#ffffff"] * 10, "they were seen left and right of the edge"
    assert describe_points(hosted(home)).source == "depth maps of mapping photos", "the method is not loaded"


def test_points_whose_photos_are_gone_or_of_another_size_have_no_colours(home: Workspace, tmp_path: Path) -> None:
    with_structure(home, np.arange(60.0).reshape(-1, 3))
    loaded = hosted(home, "structure")
    Image.new("RGB", (80, 60)).save(tmp_path / "photo-0.png")
    structure = loaded.served["structure"].estimator
    assert isinstance(structure, Structure)
    for files in ({}, {"photo-0.png": tmp_path / "nothing.png"}, {"photo-0.png": tmp_path / "photo-0.png"}):
        found = colored(structure.point_map, files, "somewhere")
        assert (len(found), found.colors) == (20, None)


def test_points_that_no_photo_shows_are_left_out_unless_they_are_most(home: Workspace) -> None:
    with_structure(home, np.arange(60.0).reshape(-1, 3))
    loaded = hosted(home, "structure")
    structure = loaded.served["structure"].estimator
    assert isinstance(structure, Structure)
    for seen, kept, has_colors in ((10, 10, True), (9, 20, False)):
        whole = structure.point_map
        some = replace(whole, starts=np.array([0, seen]), observed=whole.observed[:seen], pixels=whole.pixels[:seen])
        found = colored(some, photo_files(loaded), "somewhere")
        assert (len(found), found.colors is not None) == (kept, has_colors)


def test_a_damaged_cloud_is_passed_over(home: Workspace) -> None:
    (home.root / "scenes" / "wall" / "points.ply").write_bytes(b"ply\nnothing")
    assert describe_points(hosted(home)).source == "depth maps of mapping photos"


def test_a_damaged_depth_map_leaves_no_points(home: Workspace, tmp_path: Path) -> None:
    loaded = hosted(home)
    assert loaded.scene is not None
    photos = tmp_path / "photos"
    shutil.copytree(loaded.scene.image_root, photos)
    (photos / "photo-0.depth.png").write_bytes(b"nothing")
    frames = replace(loaded.scene.frames, images=tuple(photos / name for name in loaded.scene.frames.names))
    found = describe_points(replace(loaded, scene=replace(loaded.scene, image_root=photos, frames=frames)))
    assert (found.points_m, found.colors, found.source, found.total) == ([], None, "", 0)


def test_many_points_are_drawn_by_lot_and_each_once(home: Workspace) -> None:
    write_ply(home.root / "scenes" / "wall" / "points.ply", np.random.default_rng(0).uniform(0, 9, (20_000, 3)))
    found = describe_points(hosted(home))
    assert (found.total, len(found.points_m)) == (20_000, 15_000)
    assert len({tuple(point) for point in found.points_m}) > 14_900


def test_single_points_far_away_are_left_out_with_their_colours() -> None:
    points_m = np.concatenate([np.random.default_rng(0).uniform(-1, 1, (998, 3)), [[500.0, 0, 0], [0, 0, -70]]])
    colors = np.full((1000, 3), 7, np.uint8)
    colors[-2:] = 200
    near = near_points(PointCloud(points_m, colors, "somewhere"))
    assert np.array_equal(near.points_m, points_m[:-2])
    assert near.colors is not None and (near.colors == 7).all() and len(near.colors) == 998


@pytest.mark.parametrize("points_m", [np.ones((1, 3)), np.ones((50, 3)), np.arange(30.0).reshape(-1, 3) * [1, 0, 0]])
def test_clouds_without_an_extent_stay_whole(points_m: np.ndarray) -> None:
    assert len(near_points(PointCloud(points_m, None, ""))) == len(points_m)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1.23456789, 1.2346), (123.456789, 123.46), (0.00123456789, 0.0012346), (1234567.0, 1234600.0), (0.0, 0.0)],
)
def test_coordinates_have_five_digits(value: float, shown: float) -> None:
    assert rounded(np.array([[value, 0.0, 0.0]]))[0, 0] == shown


def test_notes_do_not_name_files(home: Workspace) -> None:
    loaded = hosted(home)
    path = loaded.place.store.path
    notes = {
        "nearest": f"3 mapping photos of wall are not in {path}: 'irploc embed' takes them in",
        "again": f"3 mapping photos of wall are not in {path}: 'irploc embed' takes them in",
        "other": f"something is in {home.root}",
        "silent": "",
    }
    served = {method: replace(loaded.served["nearest"], note=note) for method, note in notes.items()}
    told = describe(replace(loaded, served=served, skipped={"mlp": f"{home.root} is damaged"}), thumbnails=True)
    assert told.notes == [
        "3 mapping photos of wall are not in its embeddings: 'irploc embed' takes them in",
        "there is a note about the map of wall; the server's log has more",
        "the method mlp could not be loaded",
    ]


def test_photos_are_looked_for_where_the_scene_is_now(home: Workspace) -> None:
    loaded = hosted(home)
    assert loaded.scene is not None
    names = [f"photo-{number}.png" for number in range(4)]
    moved = replace(loaded.scene.frames, images=tuple(Path("/new") / name for name in loaded.scene.frames.names))
    assert photo_files(replace(loaded, scene=replace(loaded.scene, frames=moved))) == {n: Path("/new") / n for n in names}
    assert photo_files(replace(loaded, scene=None)) == dict(zip(names, loaded.place.index.frames.images, strict=True))


def test_what_was_made_of_a_scene_goes_with_it(tmp_path: Path) -> None:
    loaded = load_hosting(HostingOptions(make_workspace(tmp_path), methods=("nearest",))).hosting.scene("tiny")

    def show(scene: HostedScene) -> None:
        within(5, shown_of(scene).documents.get("key", lambda: describe(scene, True).model_dump_json().encode(), "a/b"))

    show(loaded)
    assert len(shown_of(loaded).documents) == 1
    scene, shown = weakref.ref(loaded), weakref.ref(shown_of(loaded))
    del loaded
    gc.collect()
    assert (scene(), shown()) == (None, None)


def test_a_client_that_asks_for_everything_at_once_does_not_keep_the_others_waiting() -> None:
    async def ask() -> list[Any]:
        maker = Maker()
        go_on = threading.Event()

        def make() -> bytes:
            go_on.wait(5)
            return b""

        asked = [asyncio.create_task(maker.get(number, make, "a/b")) for number in range(150)]
        await asyncio.sleep(0.05)
        go_on.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    made = within(10, ask())
    refused = [one for one in made if isinstance(one, Problem)]
    assert [(one.status, one.headers["Retry-After"]) for one in refused] == [(429, "1")] * 50


def test_a_thing_is_made_once_however_many_ask() -> None:
    making, go_on = [], threading.Event()

    def make() -> bytes:
        making.append(threading.current_thread())
        go_on.wait(5)
        return b"content"

    async def ask() -> list[Made]:
        maker = Maker()
        asked = [asyncio.create_task(maker.get("key", make, "text/plain")) for _ in range(20)]
        while not making:
            await asyncio.sleep(0.001)
        asked[0].cancel()
        go_on.set()
        return [*await asyncio.gather(*asked[1:]), await maker.get("key", make, "text/plain")]

    found = within(5, ask())
    assert (len(making), len(found), {one.content for one in found}) == (1, 20, {b"content"})
    assert making[0] is not threading.main_thread()


def test_what_was_asked_for_last_is_kept() -> None:
    made: list[str] = []

    def thing(name: str) -> bytes:
        made.append(name)
        return name.encode()

    async def ask() -> int:
        maker = Maker(2)
        for name in ("a", "b", "a", "c", "a", "b"):
            await maker.get(name, lambda name=name: thing(name), "text/plain")  # type: ignore[misc]
        return len(maker)

    assert within(5, ask()) == 2
    assert made == ["a", "b", "c", "b"]


def test_what_failed_is_tried_again() -> None:
    tries = iter([NotFound("gone"), b"back"])

    def make() -> bytes:
        found = next(tries)
        if isinstance(found, NotFound):
            raise found
        return found

    async def ask() -> Made:
        maker = Maker()
        with pytest.raises(NotFound, match="gone"):
            await maker.get("key", make, "text/plain")
        return await maker.get("key", make, "text/plain")

    assert within(5, ask()).content == b"back"
