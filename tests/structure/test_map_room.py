"""Maps of a rendered room: points on its surfaces, whatever interrupts the work, and photos that came later."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from tiny_place import TinyEncoder

from irploc.cli import main
from irploc.errors import BadInput, Busy, Mismatch, NotFound
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.index import PlaceIndex, build_index
from irploc.retrieval.plan import EmbedOptions
from irploc.retrieval.store import EmbeddingStore, lock
from irploc.scene import Scene
from irploc.structure import build as build_module
from irploc.structure.append import extend_map, new_photos
from irploc.structure.build import build_map
from irploc.structure.mapfile import load_map
from irploc.structure.options import MapOptions
from irploc.structure.pointmap import PointMap
from irploc.structure.sparse import scene_model
from irploc.structure.work import work_path
from irploc.synthetic import PlaceOptions, write_place
from irploc.synthetic.raycast import Geometry
from irploc.synthetic.room import build_room

OPTIONS = MapOptions.of({"pairs": 6, "max_features": 400})
LATER = 8  # photos that come later


class Room:
    """A workspace with a rendered room of 24 mapping photos, embedded."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / "scenes/room"
        self.scene = write_place(self.folder, PlaceOptions(width=200, height=150, mapping_frames=24, test_frames=1))
        self.h5 = root / "embeddings/room.h5"
        self.index = embed(self.scene, self.folder, self.h5)

    def run(self, *words: object) -> Result:
        return CliRunner().invoke(main, ["--workspace", str(self.root), "triangulate", *map(str, words)])


def embed(scene: Scene, folder: Path, h5: Path) -> PlaceIndex:
    h5.parent.mkdir(exist_ok=True)
    embed_scene(scene, folder, h5, TinyEncoder(), EmbedOptions(augmentations=0))
    with EmbeddingStore.open(h5) as store:
        return build_index(store)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    return Room(tmp_path_factory.mktemp("room"))


@pytest.fixture(scope="module")
def made(room: Room) -> PointMap:
    return build_map(room.scene, room.index, room.root / "models/made.pt", replace(OPTIONS, key_photos="all")).point_map


def off_surfaces_m(points_m: np.ndarray) -> np.ndarray:
    """(P,) distance of points from the nearest of the room's rectangles."""
    room = Geometry(build_room()[0])
    local = points_m[:, None] - room.origins
    across, down, off = (np.einsum("psk,sk->ps", local, axes) for axes in (room.rights, room.downs, room.normals))
    beyond = [np.maximum(np.maximum(-along, along - room.sizes_m[:, side]), 0) for side, along in enumerate((across, down))]
    return np.sqrt(off**2 + beyond[0] ** 2 + beyond[1] ** 2).min(axis=1)


def same_maps(one: PointMap, other: PointMap) -> bool:
    return (
        one.names == other.names
        and np.array_equal(one.observed, other.observed)
        and np.array_equal(one.descriptors, other.descriptors)
        and np.allclose(one.points_m, other.points_m, atol=1e-6)
    )


def test_points_lie_on_the_rooms_surfaces(made: PointMap) -> None:
    off = off_surfaces_m(made.points_m)
    assert len(made) > 300
    assert np.median(off) < 0.02  # a pixel is 0.02 m at 3 m
    assert (off < 0.1).mean() > 0.85


def test_every_point_is_seen_where_it_projects_and_by_three_photos_or_more(made: PointMap) -> None:
    assert made.track_lengths.min() >= 3
    for photo in range(len(made.names)):
        rows = slice(made.starts[photo], made.starts[photo + 1])
        matrix = np.linalg.inv(made.poses[[photo]].to_matrices()[0])
        local = made.points_m[made.observed[rows]] @ matrix[:3, :3].T + matrix[:3, 3]
        pixels = made.cameras[made.photo_cameras[photo]].project(local)
        assert np.linalg.norm(pixels - made.pixels[rows], axis=1).max() < 4.1


def test_a_map_says_whose_it_is(made: PointMap, room: Room) -> None:
    assert made.identity["scene"] == room.scene.name
    assert made.identity["ground_truth"] == room.scene.ground_truth
    assert MapOptions.of_identity(made.identity) == replace(OPTIONS, key_photos="all")


def test_auto_leaves_out_photos_whose_content_others_show_and_remembers_them(room: Room, tmp_path: Path) -> None:
    report = build_map(room.scene, room.index, tmp_path / "m.pt", OPTIONS)
    known = set(report.point_map.names) | set(report.point_map.identity["left_out"].split("\n")) - {""}
    assert len(report.point_map.names) < report.photos == 24
    assert known == set(room.index.frames.names)
    assert not len(new_photos(report.point_map, room.index))
    assert np.median(off_surfaces_m(report.point_map.points_m)) < 0.03


@pytest.mark.parametrize("stage", ["match_all", "triangulate", "save_map"])
def test_interrupted_work_goes_on_to_the_same_map(
    made: PointMap, room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    out, said = tmp_path / "m.pt", list[str]()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    options = replace(OPTIONS, key_photos="all")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(build_module, stage, interrupt)
        build_map(room.scene, room.index, out, options)
    assert not out.exists()
    assert list(work_path(out).rglob("*.npz"))
    again = build_map(room.scene, room.index, out, options, said.append)
    assert said == [f"going on with what is done in {work_path(out)}"]
    assert same_maps(again.point_map, made)
    assert not work_path(out).exists()


def test_damaged_work_is_done_again(made: PointMap, room: Room, tmp_path: Path) -> None:
    out, options = tmp_path / "m.pt", replace(OPTIONS, key_photos="all")
    build_map(room.scene, room.index, out, options, keep=True)
    for path in work_path(out).rglob("*.npz"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert same_maps(build_map(room.scene, room.index, out, options).point_map, made)


def test_work_of_other_settings_is_started_over(room: Room, tmp_path: Path) -> None:
    out, said = tmp_path / "m.pt", list[str]()
    build_map(room.scene, room.index, out, replace(OPTIONS, key_photos="6"), keep=True)
    build_map(room.scene, room.index, out, replace(OPTIONS, key_photos="5"), said.append)
    assert said == [f"{work_path(out)} was made with other settings or photos: starting over"]


def test_a_folder_that_is_no_work_of_ours_is_left_alone(room: Room, tmp_path: Path) -> None:
    foreign = work_path(tmp_path / "m.pt") / "thesis.tex"
    foreign.parent.mkdir()
    foreign.write_text("years of work")
    with pytest.raises(BadInput, match="remove it, or choose another --out"):
        build_map(room.scene, room.index, tmp_path / "m.pt", OPTIONS)
    assert foreign.is_file()


def test_two_do_not_make_the_same_map_at_once(room: Room, tmp_path: Path) -> None:
    with lock(tmp_path / "m.pt"), pytest.raises(Busy):
        build_map(room.scene, room.index, tmp_path / "m.pt", OPTIONS)


def test_photos_that_came_later_are_taken_in_without_the_others(room: Room, tmp_path: Path) -> None:
    out, options = tmp_path / "m.pt", replace(OPTIONS, key_photos="all")
    early = np.arange(24) % (24 // LATER) != 1
    first = build_map(room.scene, room.index.without(~early), out, options).point_map
    later = set(room.index.frames.names) - set(first.names)
    frames = room.index.frames
    without_files = replace(
        frames, images=tuple(p if n in later else Path("gone") for n, p in zip(frames.names, frames.images, strict=True))
    )
    report = extend_map(first, room.scene, replace(room.index, frames=without_files), out, options)
    grown = report.point_map
    assert report.photos == report.added == len(later) == LATER
    assert set(grown.names) == set(frames.names)
    assert grown.names[: len(first.names)] == first.names
    assert len(grown) > len(first)
    assert np.median(off_surfaces_m(grown.points_m)) < 0.02
    seen_later = [grown.seen_by(grown.names.index(name)) for name in later]
    assert min(len(points) for points in seen_later) > 20
    old = np.unique(np.concatenate([grown.seen_by(row) for row in range(len(first.names))]))
    assert np.mean([np.isin(points, old).mean() for points in seen_later]) > 0.5  # they share the map's points
    assert same_maps(load_map(out), grown)


def test_one_later_photo_is_enough(room: Room, tmp_path: Path) -> None:
    out, options = tmp_path / "m.pt", replace(OPTIONS, key_photos="all")
    all_but_one = np.arange(24) == 7
    first = build_map(room.scene, room.index.without(all_but_one), out, options).point_map
    report = extend_map(first, room.scene, room.index, out, options)
    assert report.added == 1
    assert len(report.point_map.seen_by(len(first.names))) > 20


def test_the_command_makes_a_map_and_then_has_nothing_to_do(room: Room) -> None:
    result = room.run("room", "--pairs", 6, "--max-features", 400, "--no-calibration")
    assert result.exit_code == 0, result.output
    path = room.root / "models/room.structure.pt"
    assert f"{path}: {len(load_map(path))} points" in result.output
    assert "kB a photo" in result.output
    assert "irploc localize PHOTO --scene room --method structure" in result.output
    before = path.read_bytes()
    again = room.run("room")
    assert "has all 24 mapping photos of room already" in again.output
    assert path.read_bytes() == before
    other = room.run("room", "--pairs", 9)
    assert other.exit_code == 1
    assert "was made with pairs 6, not 9: leave --pairs out, or add --from-scratch" in other.output


def test_the_command_refuses_in_one_line(room: Room, tmp_path: Path) -> None:
    nothing = room.run("attic")
    assert nothing.exit_code == 1
    assert "no scene 'attic'" in nothing.output
    missing = room.run("room", "--embeddings", tmp_path / "none.h5")
    assert missing.exit_code == 1
    assert "make them with 'irploc embed room'" in missing.output
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(b"not a map")
    refused = room.run("room", "--out", damaged)
    assert refused.exit_code == 1
    assert "--from-scratch makes it again" in refused.output
    assert damaged.read_bytes() == b"not a map"


def test_the_map_of_another_scene_is_not_replaced(made: PointMap, room: Room, tmp_path: Path) -> None:
    from irploc.structure.mapfile import save_map

    save_map(replace(made, identity={**made.identity, "scene": "attic"}), tmp_path / "attic.pt")
    refused = room.run("room", "--out", tmp_path / "attic.pt")
    assert refused.exit_code == 1
    assert "is a map of another scene, 'attic' instead of 'room'" in refused.output


def test_a_map_whose_photos_moved_is_refused(made: PointMap, room: Room, tmp_path: Path) -> None:
    from irploc.structure.mapfile import save_map

    moved = replace(made, poses=replace(made.poses, centers_m=made.poses.centers_m + 0.01))
    save_map(moved, tmp_path / "m.pt")
    refused = room.run("room", "--out", tmp_path / "m.pt")
    assert refused.exit_code == 1
    assert "had another pose" in refused.output
    assert "--from-scratch" in refused.output


def test_photos_without_camera_or_of_another_size_are_named(room: Room, tmp_path: Path) -> None:
    frames = room.index.frames
    blind = replace(room.index, frames=replace(frames, cameras=("", *frames.cameras[1:])))
    with pytest.raises(BadInput, match=f"1 of 24 mapping photos have no intrinsics.*{frames.names[0]}"):
        build_map(room.scene, blind, tmp_path / "m.pt", OPTIONS)
    (name, camera), *_ = room.scene.cameras.items()
    larger = replace(room.scene, cameras={name: replace(camera, width=400, height=300)})
    with pytest.raises(BadInput, match=r"24 of 24 mapping photos .* is 200x150, camera 'rendered' is for 400x300"):
        build_map(larger, room.index, tmp_path / "m.pt", OPTIONS)


def test_a_photo_that_is_gone_is_named_before_any_work(room: Room, tmp_path: Path) -> None:
    frames = room.index.frames
    gone = replace(room.index, frames=replace(frames, images=(*frames.images[:-1], tmp_path / "gone.jpg")))
    with pytest.raises(NotFound, match=r"gone\.jpg"):
        build_map(room.scene, gone, tmp_path / "m.pt", OPTIONS)
    assert not work_path(tmp_path / "m.pt").exists()


def test_photos_that_show_nothing_in_common_give_no_map(room: Room, tmp_path: Path) -> None:
    from PIL import Image

    frames = room.index.frames
    grey = tmp_path / "grey.png"
    Image.new("RGB", (200, 150), "grey").save(grey)
    blank = replace(room.index, frames=replace(frames, images=(grey,) * len(frames)))
    with pytest.raises(BadInput, match="no points: its"):
        build_map(room.scene, blank, tmp_path / "m.pt", replace(OPTIONS, key_photos="all"))
    assert not (tmp_path / "m.pt").exists()


def test_a_photo_that_sees_no_point_is_left_out_and_told(room: Room, tmp_path: Path) -> None:
    from PIL import Image

    frames = room.index.frames
    grey = tmp_path / "grey.png"
    Image.new("RGB", (200, 150), "grey").save(grey)
    one = replace(room.index, frames=replace(frames, images=(grey, *frames.images[1:])))
    report = build_map(room.scene, one, tmp_path / "m.pt", replace(OPTIONS, key_photos="all"))
    assert report.unseen == (frames.names[0],)
    assert frames.names[0] not in report.point_map.names
    assert not len(new_photos(report.point_map, one))


def test_points_of_the_scenes_own_model_are_taken_without_matching(made: PointMap, room: Room, tmp_path: Path) -> None:
    options = replace(OPTIONS, key_photos="all")
    build_map(room.scene, room.index, tmp_path / "m.pt", options, keep=True)
    shutil.copytree(work_path(tmp_path / "m.pt") / "points/model", tmp_path / "scene/sparse")
    model = scene_model(tmp_path / "scene")
    report = build_map(room.scene, room.index, tmp_path / "s.pt", options, model=model)
    assert report.pairs == 0
    assert 0.8 * len(made) < len(report.point_map) <= len(made)  # of two features at one place, one is taken
    assert np.median(off_surfaces_m(report.point_map.points_m)) < 0.02


def test_a_sparse_model_of_another_frame_or_none_is_refused(room: Room, tmp_path: Path) -> None:
    options = replace(OPTIONS, key_photos="all")
    build_map(room.scene, room.index, tmp_path / "m.pt", options, keep=True)
    shutil.copytree(work_path(tmp_path / "m.pt") / "points/model", tmp_path / "scene/sparse")
    frames = room.index.frames
    poses = replace(frames.poses, centers_m=frames.poses.centers_m * 2)
    scaled = replace(room.index, frames=replace(frames, poses=poses))
    with pytest.raises(Mismatch, match="lies in another frame"):
        build_map(room.scene, scaled, tmp_path / "s.pt", options, model=scene_model(tmp_path / "scene"))
    refused = room.run("room", "--sparse", "--from-scratch")
    assert refused.exit_code == 1
    assert "'irploc scene build' leaves one there: leave --sparse out" in refused.output
