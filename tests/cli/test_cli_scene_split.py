"""`irploc scene split`, and what `scene import` and `scene export` say about what was lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from known_cameras import WORLD_FROM_CAM, write_photo
from tiny_place import make_scene

from irploc.cli import main
from irploc.geometry.cameras import Camera
from irploc.geometry.similarity import AlignmentStep, Similarity
from irploc.scene import Scene


def run(home: Path, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["--quiet", "--workspace", str(home), *map(str, arguments)])


def refused(result: Result) -> str:
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An imported scene of twelve photos, numbered 0, 10, 20, …, all of which map; aligned once."""
    scene = make_scene(tmp_path, train=12, test=0)
    step = AlignmentStep("distance", Similarity(scale=2.0), "as in the model", "metres")
    frames = replace(scene.frames, indices=10 * np.arange(12))
    replace(scene, frames=frames, alignment=(step,), source="csv").save(tmp_path / "scene")
    return tmp_path / "scene"


def built(folder: Path) -> None:
    """Makes it a scene that was built."""
    replace(Scene.load(folder), source="build").save(folder)


def test_blocks_of_an_imported_scene_count_frame_numbers(folder: Path) -> None:
    result = run(folder.parent, "scene", "split", folder, "--split", "blocks", "--block-size", "30")
    assert result.exit_code == 0, result.output
    assert Scene.load(folder).frames.splits.tolist() == (["train"] * 3 + ["test"] * 3) * 2
    assert f"{folder}: 12 images (6 train, 6 test)" in result.stdout
    assert "6 photos changed their split: run 'irploc embed" in result.stderr


def test_blocks_and_modulo_of_a_built_scene_count_photos_of_the_walk(folder: Path) -> None:
    built(folder)
    run(folder.parent, "scene", "split", folder, "--split", "blocks", "--block-size", "3")
    assert Scene.load(folder).frames.splits.tolist() == (["train"] * 3 + ["test"] * 3) * 2
    run(folder.parent, "scene", "split", folder, "--split", "blocks")  # a tenth of twelve photos is one
    assert Scene.load(folder).frames.splits.tolist() == ["train", "test"] * 6
    frames = Scene.load(folder).frames
    replace(Scene.load(folder), frames=replace(frames, indices=6 * np.arange(12))).save(folder)
    run(folder.parent, "scene", "split", folder, "--split", "modulo")  # by frame number all would have remainder 0
    assert Scene.load(folder).frames.splits.tolist() == ["train", "validation", "test"] * 4


def test_a_new_split_keeps_poses_alignment_and_tables_and_can_be_undone(folder: Path) -> None:
    before = Scene.load(folder)
    for name, text in before.split_tables(folder).items():
        (folder / name).write_text(text)
    run(folder.parent, "scene", "split", folder, "--test-fraction", "0.25", "--seed", "3")
    after = Scene.load(folder)
    assert (after.frames.splits == "test").sum() == 3
    assert np.array_equal(after.frames.poses.centers_m, before.frames.poses.centers_m)
    assert [step.to_dict() for step in after.alignment] == [step.to_dict() for step in before.alignment]
    assert len((folder / "test.csv").read_text().splitlines()) == 1 + 3
    run(folder.parent, "scene", "split", folder, "--split", "all")
    assert set(Scene.load(folder).frames.splits) == {"train"}
    assert "split so already" in run(folder.parent, "scene", "split", folder, "--split", "all").stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--split block", "choose one of blocks, modulo, sequence, fraction, all"),
        ("--split all --modulo 3", "--modulo goes with --split modulo"),
        ("--split blocks", "lower --block-size"),
        ("--split sequence", "at least two sequences"),
        ("--split fraction --test-fraction 0.99", "leaves no photo"),
    ],
)
def test_a_split_that_cannot_be_leaves_the_scene_as_it_was(folder: Path, options: str, words: str) -> None:
    if options == "--split blocks":
        frames = Scene.load(folder).frames
        replace(Scene.load(folder), frames=replace(frames, indices=np.arange(12))).save(folder)
    before = (folder / "frames.csv").read_bytes()
    assert words in refused(run(folder.parent, "scene", "split", folder, *options.split()))
    assert (folder / "frames.csv").read_bytes() == before


def test_a_split_without_a_kind_is_a_usage_error(folder: Path) -> None:
    result = run(folder.parent, "scene", "split", folder)
    assert result.exit_code == 2
    assert "--split blocks|modulo|sequence|fraction|all" in result.stderr


def write_transforms(folder: Path, names: tuple[str, ...]) -> None:
    entries = [{"file_path": name, "transform_matrix": WORLD_FROM_CAM[0].tolist()} for name in names]
    (folder / "transforms.json").write_text(json.dumps({"frames": entries}))


def test_an_import_can_be_told_that_its_source_is_metric(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.png")
    write_transforms(tmp_path, ("a.png",))
    run(tmp_path, "scene", "import", "nerfstudio", tmp_path, "--out", tmp_path / "one")
    run(tmp_path, "scene", "import", "nerfstudio", tmp_path, "--out", tmp_path / "two", "--metric")
    assert [Scene.load(tmp_path / name).units for name in ("one", "two")] == ["as in the file", "metres"]
    (tmp_path / "poses.csv").write_text("image,tx,ty,tz,qw,qx,qy,qz\na.png,0,0,0,1,0,0,0\n")
    result = run(tmp_path, "scene", "import", "csv", tmp_path / "poses.csv", "--out", tmp_path / "three", "--metric")
    assert "--metric is not for csv" in refused(result)


def test_an_import_counts_the_photos_that_are_missing(tmp_path: Path) -> None:
    rows = "".join(f"{name}.png,0,0,{z},1,0,0,0\n" for z, name in enumerate("abc"))
    (tmp_path / "poses.csv").write_text("image,tx,ty,tz,qw,qx,qy,qz\n" + rows)
    write_photo(tmp_path / "b.png")
    result = run(tmp_path, "scene", "import", "csv", tmp_path / "poses.csv", "--out", tmp_path / "one")
    assert f"2 of 3 photos are missing; first: {tmp_path / 'a.png'}" in result.stderr
    for name in "ac":
        write_photo(tmp_path / f"{name}.png")
    result = run(tmp_path, "scene", "import", "csv", tmp_path / "poses.csv", "--out", tmp_path / "two")
    assert "missing" not in result.stderr


def with_camera(folder: Path, **changes: object) -> Scene:
    """The scene with one camera for all photos."""
    scene = Scene.load(folder)
    camera = Camera("SIMPLE_RADIAL", 32, 24, (40.5, 16, 12, 0.01))
    frames = replace(scene.frames, cameras=("phone",) * 12)
    scene = replace(scene, frames=frames, cameras={"phone": camera}, **changes)  # type: ignore[arg-type]
    scene.save(folder)
    return scene


def test_a_7scenes_export_comes_back_with_its_camera_ground_truth_and_units(folder: Path) -> None:
    scene, home = with_camera(folder, units="paces", ground_truth="a theodolite"), folder.parent
    assert run(home, "scene", "export", folder, "--format", "7scenes", "--out", home / "out").exit_code == 0
    run(home, "scene", "import", "7scenes", home / "out", "--out", home / "again")
    again = Scene.load(home / "again")
    assert (again.ground_truth, again.units, again.cameras) == ("a theodolite", "paces", scene.cameras)
    assert set(again.frames.cameras) == {"phone"}


def test_without_intrinsics_a_7scenes_export_does_not_come_back_with_those_of_the_dataset(folder: Path) -> None:
    home = folder.parent
    run(home, "scene", "export", folder, "--format", "7scenes", "--out", home / "out")
    run(home, "scene", "import", "7scenes", home / "out", "--out", home / "again")
    assert Scene.load(home / "again").cameras == {}
    (home / "out/irploc.toml").write_text('format = "else"\n')
    assert "is not an irploc-7scenes-export" in refused(
        run(home, "scene", "import", "7scenes", home / "out", "--out", home / "x")
    )


@pytest.mark.parametrize(
    ("format_name", "said", "not_said"),
    [
        ("tum", ("the sequence (walk)", "the camera (SIMPLE_RADIAL, focal 40.5 px)"), ("units",)),
        ("colmap", ("the sequence (walk)", "metres: import it with --metric"), ("camera",)),
        ("nerfstudio", ("the sequence (walk)", "metres: import it with --metric"), ("camera",)),
        ("csv", ("the ground truth's name (invented)",), ("sequence", "camera", "units")),
        ("7scenes", ("the names of sequences",), ("camera", "units", "ground truth")),
    ],
)
def test_an_export_says_what_its_format_cannot_hold(
    folder: Path, format_name: str, said: tuple[str, ...], not_said: tuple[str, ...]
) -> None:
    with_camera(folder)
    out = folder.parent / ("poses.csv" if format_name == "csv" else "out")
    result = run(folder.parent, "scene", "export", folder, "--format", format_name, "--out", out)
    assert result.exit_code == 0, result.output
    line = next(line for line in result.stderr.splitlines() if line.startswith(f"{format_name} cannot hold"))
    assert all(words in line for words in said), line
    assert not any(words in line for words in not_said), line


def test_a_sequence_that_the_reader_finds_again_is_not_called_lost(folder: Path) -> None:
    scene = with_camera(folder)
    replace(scene, frames=replace(scene.frames, sequences=np.full(12, "", dtype=object))).save(folder)
    for format_name in ("colmap", "nerfstudio", "tum"):
        out = folder.parent / format_name
        result = run(folder.parent, "scene", "export", folder, "--format", format_name, "--out", out)
        assert result.exit_code == 0, result.output
        line = next(line for line in result.stderr.splitlines() if line.startswith(f"{format_name} cannot hold"))
        assert "sequence" not in line
