"""Map making and map files under attack: numbers that cannot be, files that lie, work that was killed at a bad moment."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from irploc import provenance
from irploc.errors import BadInput
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.pycolmap_safe import import_pycolmap
from irploc.retrieval.index import PlaceIndex, flat_index
from irploc.scene import Frames, Scene
from irploc.structure import mapfile
from irploc.structure.append import extend_map
from irploc.structure.build import build_map
from irploc.structure.features import FeatureOptions
from irploc.structure.mapfile import load_map, save_map
from irploc.structure.mappingphotos import MappingPhotos
from irploc.structure.options import MapOptions
from irploc.structure.pointmap import PointMap
from irploc.structure.triangulation import _options, triangulate
from irploc.structure.work import FORMAT, VERSION, remove_work, work_folder, work_path

CAMERA = Camera("SIMPLE_PINHOLE", 200, 100, (100.0, 100.0, 50.0))
NAMES = ("a.png", "b.png", "c.png")


def poses_at(*centers: tuple[float, float, float]) -> Poses:
    return Poses(np.array(centers, dtype=float), np.tile((1.0, 0.0, 0.0, 0.0), (len(centers), 1)))


def small_map() -> PointMap:
    """Three photos that see three points."""
    points = np.array([[0.5, 0.0, 4.0], [1.0, 0.5, 5.0], [0.0, -0.5, 4.0]])
    poses = poses_at((0, 0, 0), (1, 0, 0), (2, 0, 0))
    return PointMap(
        names=NAMES,
        poses=poses,
        photo_cameras=("c",) * 3,
        cameras={"c": CAMERA},
        points_m=points,
        descriptors=np.full((3, 128), 45, dtype=np.uint8),
        starts=np.array([0, 3, 6, 9]),
        observed=np.array([0, 1, 2] * 3, dtype=np.int32),
        pixels=np.concatenate([CAMERA.project(points - center) for center in poses.centers_m]).astype(np.float32),
        identity={"scene": "line", "ground_truth": "by hand", "units": "metres"},
    )


@pytest.mark.parametrize("word", ["9" * 5000, "9" * 19, "-1", ""])
def test_numbers_of_key_photos_that_no_place_has_are_refused_in_one_short_line(word: str) -> None:
    with pytest.raises(BadInput, match="expected auto, all or a number") as refusal:
        MapOptions(key_photos=word)
    assert len(str(refusal.value)) < 120


@pytest.mark.parametrize(("seed", "of_colmap"), [(7, 7), (2**31, 0), (2**63 - 1, 2**31 - 1)])
def test_seeds_beyond_cs_int_are_folded_into_it(seed: int, of_colmap: int) -> None:
    assert _options(import_pycolmap(), seed).random_seed == of_colmap


def _forged(path: Path, changes: dict[str, Any]) -> Path:
    """A map file with other content whose checksum is right."""
    save_map(small_map(), path)
    content = torch.load(path, weights_only=True)
    own = {name: value for name, value in content.items() if name not in (*provenance.header("", 0), "sha256")} | changes
    torch.save({**content, **own, "sha256": mapfile._sha256_of(own)}, path)
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"pixels": torch.full((9, 2), float("nan"))},
        {"points_m": torch.ones((3, 3), dtype=torch.float32)},
        {"points_m": torch.ones((3, 3), dtype=torch.complex128)},
        {"starts": torch.tensor([0.0, 3.0, 6.0, 9.0])},
        {"names": ["a.png", "a.png", "b.png"]},
        {"names": [1, 2, 3]},
        {"identity": {"scene": None}},
        {"identity": []},
        {"identity": {"options": "{"}},
        {"identity": {"options": "[1]"}},
        {"identity": {"options": '{"pairs": 0}'}},
        {"identity": {"options": '{"no such": 0}'}},
        {"calibration": 5},
        {"cameras": {"c": []}},
        {"features": {"max_features": 10**9, "max_side": 1600}},
    ],
    ids=lambda changes: str(next(iter(changes.items())))[:40],
)
def test_a_map_file_that_lies_is_refused_by_name_in_one_line(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="is damaged") as refusal:
        load_map(_forged(tmp_path / "m.pt", changes))
    assert str(refusal.value).startswith(str(tmp_path / "m.pt"))
    assert "\n" not in str(refusal.value)


def test_a_forged_file_that_changes_nothing_is_a_map(tmp_path: Path) -> None:
    assert load_map(_forged(tmp_path / "m.pt", {})).names == NAMES


def test_a_map_without_points_is_refused(tmp_path: Path) -> None:
    none = np.empty(0, dtype=np.int32)
    empty = replace(
        small_map(),
        points_m=np.empty((0, 3)),
        descriptors=np.empty((0, 128), np.uint8),
        starts=np.zeros(4, dtype=np.int64),
        observed=none,
        pixels=np.empty((0, 2), np.float32),
    )
    save_map(empty, tmp_path / "m.pt")
    with pytest.raises(BadInput, match="holds no points"):
        load_map(tmp_path / "m.pt")


def test_work_killed_while_its_settings_were_written_is_no_obstacle(tmp_path: Path) -> None:
    folder, said = work_path(tmp_path / "m.pt"), list[str]()
    folder.mkdir()
    (folder / ".settings.json.999999.new").write_text('{"for')
    with work_folder(tmp_path / "m.pt", {"stamp": "x"}, said.append) as work:
        assert json.loads((work / "settings.json").read_text())["stamp"] == "x"
    assert said == []


def test_removing_work_takes_its_settings_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, there = work_path(tmp_path / "m.pt"), list[bool]()
    for part in ("features", "matches"):
        (folder / part).mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps(provenance.header(FORMAT, VERSION)))
    remove = shutil.rmtree

    def watched(path: Path, **words: bool) -> None:
        there.append((folder / "settings.json").is_file())
        remove(path, **words)

    monkeypatch.setattr("irploc.structure.work.shutil.rmtree", watched)
    remove_work(tmp_path / "m.pt")
    assert there == [True, True, True]
    assert not folder.exists()


def test_a_map_is_not_made_in_a_device() -> None:
    with pytest.raises(BadInput, match="a device or a pipe"), work_folder(Path("/dev/null"), {}, print):
        pass


def _place(folder: Path, count: int) -> tuple[Scene, PlaceIndex]:
    """Photos of nothing, from places one metre apart."""
    images = tuple(folder / name for name in (*NAMES, *(f"later-{row}.png" for row in range(count - len(NAMES)))))
    for image in images:
        Image.new("RGB", (200, 100), "grey").save(image)
    poses = poses_at(*((float(row), 0.0, 0.0) for row in range(count)))
    names = tuple(image.name for image in images)
    frames = Frames(images, names, ["w"] * count, range(count), ["train"] * count, ("c",) * count, poses)
    scene = Scene("line", folder, frames, {"c": CAMERA}, ground_truth="by hand")
    return scene, flat_index(frames, np.eye(count, 8, dtype=np.float32))


def test_photos_without_texture_give_no_map_and_say_why(tmp_path: Path) -> None:
    scene, index = _place(tmp_path, 3)
    with pytest.raises(BadInput, match="none of its mapping photos has any texture"):
        build_map(scene, index, tmp_path / "m.pt")


def test_later_photos_that_show_nothing_new_leave_the_map_as_it_was(tmp_path: Path) -> None:
    scene, index = _place(tmp_path, 5)
    report = extend_map(small_map(), scene, index, tmp_path / "m.pt", MapOptions(features=FeatureOptions()))
    assert report.added == 0
    assert report.photos == 2
    grown = load_map(tmp_path / "m.pt")
    assert grown.names == NAMES
    assert set(grown.identity["left_out"].split("\n")) == {"later-0.png", "later-1.png"}


@pytest.mark.parametrize("free", [1_000_000, 100_000_000])
def test_a_disk_without_room_for_colmaps_database_is_told_before_colmap_dies_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    photos = MappingPhotos(NAMES, (tmp_path,) * 3, small_map().poses, ("c",) * 3, {"c": CAMERA})
    matches = [np.zeros((10_000_000, 2), np.int32)]
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(BadInput, match=f"no space left on the disk .* {free // 1_000_000} MB are free"):
        triangulate(photos, [np.zeros((20, 2))] * 3, np.array([[0, 1]]), matches, tmp_path / "points", 0)
    assert not (tmp_path / "points/features.db").exists()
