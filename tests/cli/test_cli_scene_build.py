"""`irploc scene build` as a user meets it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from irploc.cli import main
from irploc.scene import Scene


@pytest.fixture(scope="module")
def photos(room_walk: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight photos of a walk through a rendered room."""
    folder = tmp_path_factory.mktemp("photos")
    for path in room_walk.frames.images[:8]:
        shutil.copy(path, folder)
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["--quiet", *map(str, arguments)])


def test_photos_become_a_scene_with_tables_crops_and_a_picture(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "scenes/hall"
    before = {path.name: path.read_bytes() for path in photos.iterdir()}
    made = run("scene", "build", photos, "--out", out, "--split", "modulo", "--crops", 64)
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith(f"{out}: 8 images (3 train, 3 validation, 2 test), in ")
    assert "registered    8 of 8 photos (100.0%)" in made.stdout
    assert "irploc scene align" in made.stderr
    scene = Scene.load(out)
    assert (scene.name, scene.source) == ("hall", "build")
    assert sorted(path.name for path in out.iterdir()) == [
        *("build.json", "colmap.log", "crops", "frames.csv", "map.png", "rejected.csv", "scene.toml", "sparse"),
        *("test.csv", "train.csv", "validation.csv"),
    ]
    with Image.open(out / "crops/frame-000003.jpg") as crop:
        assert crop.size == (64, 64)
    assert {path.name: path.read_bytes() for path in photos.iterdir()} == before
    assert json.loads((out / "build.json").read_text())["settings"]["seed"] == 0
    again = run("scene", "build", photos, "--out", out)
    assert (again.exit_code, again.stderr.count("\n")) == (1, 1)
    assert "holds a scene already" in again.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--split", "thirds"], "unknown --split 'thirds', choose one of blocks, modulo, sequence, all"),
        (["--modulo", 3], "--modulo goes with --split modulo"),
        (["--block-size", 0], "--block-size must be at least 1"),
        (["--crops", 3], "crops of 3 pixels are not possible"),
        (["--fps", 0], "fps is 0.0, it must be positive"),
        (["--fps", "1e308"], "fps is 1e+308, it must be positive and at most 1000"),
        (["--max-features", 10**14], "max features is 100000000000000, it must lie in"),
        (["--crops", 10**8], "crops of 100000000 pixels are not possible"),
        (["--name", "a/b"], "name is 'a/b', expected a name without /"),
        (["--camera-model", "pinehole"], "unknown camera model 'PINEHOLE'"),
        (["--min-registered", 2], "min registered is 2.0, it must lie in [0, 1]"),
        (["--encoder", "netvlad"], "unknown encoder 'netvlad'"),
        (["--device", "tpu"], "unknown device 'tpu', choose auto, cpu or cuda"),
    ],
)
def test_wrong_options_are_said_in_one_line_before_anything_is_written(
    photos: Path, tmp_path: Path, options: list[object], words: str
) -> None:
    refused = run("scene", "build", photos, "--out", tmp_path / "out", *options)
    assert refused.exit_code == 1
    assert words in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
