"""`irploc scene import`, `export` and `info` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from known_cameras import CENTERS_M, WORLD_FROM_CAM, WORLD_FROM_CAM_WXYZ, words, write_photo

from irploc.cli import main
from irploc.geometry.poses import pose_errors
from irploc.readers import READERS
from irploc.readers.writers import WRITERS
from irploc.scene import Scene


def run(home: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["--workspace", str(home), *map(str, arguments)])


def refused(result: Result) -> str:
    """The one line that a user's mistake leaves."""
    assert result.exit_code == 1, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A table of six photos in two walks; the last photo's file is missing."""
    folder = tmp_path / "dataset"
    lines = ["image,sequence,index,tx,ty,tz,qw,qx,qy,qz"]
    for number in range(6):
        name = f"walk{number // 3}/frame-{number:03d}.png"
        center_m = CENTERS_M[0] + [number, 0, 2 * number]
        lines.append(
            f"{name},walk{number // 3},{number}," + words([*center_m, *WORLD_FROM_CAM_WXYZ[number % 2]]).replace(" ", ",")
        )
        if number < 5:
            write_photo(folder / name)
    (folder / "poses.csv").write_text("\n".join(lines) + "\n")
    return folder / "poses.csv"


def import_it(tmp_path: Path, dataset: Path, *more: str | Path) -> Result:
    return run(tmp_path, "scene", "import", "csv", dataset, "--out", tmp_path / "scenes/hall", *more)


def splits_of(tmp_path: Path) -> list[str]:
    return Scene.load(tmp_path / "scenes/hall").frames.splits.tolist()


def test_an_import_makes_a_scene_named_by_its_folder(tmp_path: Path, dataset: Path) -> None:
    result = import_it(tmp_path, dataset)
    assert result.exit_code == 0, result.output
    assert "6 images (6 train)" in result.stdout
    assert "no test images" in result.stderr
    scene = Scene.load(tmp_path / "scenes/hall")
    assert (scene.name, scene.source, scene.units) == ("hall", "csv", "metres")
    np.testing.assert_allclose(scene.frames.poses.centers_m[0], CENTERS_M[0])


def test_a_scene_that_is_there_is_overwritten_only_by_force(tmp_path: Path, dataset: Path) -> None:
    import_it(tmp_path, dataset)
    assert "--force" in refused(import_it(tmp_path, dataset, "--name", "other"))
    assert Scene.load(tmp_path / "scenes/hall").name == "hall"
    assert import_it(tmp_path, dataset, "--name", "other", "--force").exit_code == 0
    assert Scene.load(tmp_path / "scenes/hall").name == "other"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--split blocks --block-size 2", ["train", "train", "test", "train", "train", "test"]),
        ("--block-size 2", ["train", "train", "test", "train", "train", "test"]),
        ("--split modulo", ["train", "validation", "test", "train", "validation", "test"]),
        ("--split modulo --modulo 2", ["train", "test"] * 3),
        ("--split sequence", ["train"] * 3 + ["test"] * 3),
        ("--split sequence --test-sequences walk0", ["test"] * 3 + ["train"] * 3),
    ],
)
def test_frames_are_split_as_asked(tmp_path: Path, dataset: Path, options: str, expected: list[str]) -> None:
    result = import_it(tmp_path, dataset, *options.split())
    assert result.exit_code == 0, result.output
    assert splits_of(tmp_path) == expected


def test_a_fraction_is_random_but_the_same_for_a_seed(tmp_path: Path, dataset: Path) -> None:
    drawn = []
    for seed in (3, 3, 4, 5, 6):
        import_it(tmp_path, dataset, "--split", "fraction", "--test-fraction", "0.5", "--seed", str(seed), "--force")
        drawn.append(splits_of(tmp_path))
    assert drawn[0] == drawn[1]
    assert any(splits != drawn[0] for splits in drawn)
    assert all(splits.count("test") == 3 for splits in drawn)


def test_lists_split_and_leave_out(tmp_path: Path, dataset: Path) -> None:
    (tmp_path / "train.txt").write_text("walk0/frame-000\nwalk0/frame-001.png\n")
    (tmp_path / "test.txt").write_text("walk1/frame-004\n")
    result = import_it(tmp_path, dataset, "--train-list", tmp_path / "train.txt", "--test-list", tmp_path / "test.txt")
    assert "3 images (2 train, 1 test)" in result.stdout
    assert "3 images rejected; first: walk0/frame-002.png: in neither list" in result.stderr
    first = Scene.load(tmp_path / "scenes/hall").rejected[0]
    assert (first.image, first.index) == ("walk0/frame-002.png", 2)


@pytest.mark.parametrize(
    ("options", "words_"),
    [
        ("--split block", "choose one of blocks, modulo, sequence, fraction"),
        ("--split blocks --modulo 3", "--modulo goes with --split modulo"),
        ("--split blocks", "lower --block-size"),
        ("--split modulo --modulo 1", "at least 2"),
        ("--split sequence --test-sequences nowhere", "the scene has walk0, walk1"),
        ("--split fraction --test-fraction 1.5", "between 0 and 1"),
        ("--ground-truth poses.txt", "--ground-truth is not for csv"),
        ("--convention colmap", "choose one of world_from_cam"),
        ("--train-list nowhere.txt", "nowhere.txt"),
    ],
)
def test_mistakes_leave_one_line_and_no_scene(tmp_path: Path, dataset: Path, options: str, words_: str) -> None:
    assert words_ in refused(import_it(tmp_path, dataset, *options.split()))
    assert not (tmp_path / "scenes/hall/scene.toml").exists()


def test_lists_and_a_split_exclude_each_other(tmp_path: Path, dataset: Path) -> None:
    (tmp_path / "train.txt").write_text("walk0/frame-000\n")
    assert "not both" in refused(import_it(tmp_path, dataset, "--split", "blocks", "--train-list", tmp_path / "train.txt"))


def test_a_misspelt_format_is_answered_with_a_suggestion(tmp_path: Path) -> None:
    line = refused(run(tmp_path, "scene", "import", "nerfstudoi", tmp_path, "--out", tmp_path / "x"))
    assert "did you mean 'nerfstudio'?" in line
    import_toy = refused(run(tmp_path, "scene", "info", "hall"))
    assert "no scene 'hall'" in import_toy


@pytest.mark.parametrize("format_name", sorted(READERS))
def test_every_format_answers_a_path_that_is_not_there_with_one_line(tmp_path: Path, format_name: str) -> None:
    line = refused(run(tmp_path, "scene", "import", format_name, tmp_path / "nowhere", "--out", tmp_path / "x"))
    assert "nowhere" in line


def test_info_tells_counts_extent_and_missing_files(tmp_path: Path, dataset: Path) -> None:
    import_it(tmp_path, dataset, "--split", "sequence")
    result = run(tmp_path, "scene", "info", "hall")
    assert result.exit_code == 0, result.output
    for expected in (
        "hall: 6 images (3 train, 3 test), from csv",
        "extent        5.00 x 0.00 x 10.00 m",
        "walk0: 3 images, 4.47 m",  # two steps of sqrt(1 + 4)
        "path          8.94 m",
        "intrinsics unknown, 6 images",
        "missing files 1 of 6; first: " + str(dataset.parent / "walk1/frame-005.png"),
    ):
        assert expected in result.stdout
    assert (tmp_path / "reports/hall-top.png").read_bytes().startswith(b"\x89PNG")


def test_info_as_json_holds_the_same(tmp_path: Path, dataset: Path) -> None:
    import_it(tmp_path, dataset, "--split", "sequence")
    result = run(tmp_path, "scene", "info", "hall", "--json", "--picture", tmp_path / "top.png")
    facts = json.loads(result.stdout)
    assert facts["splits"] == {"train": 3, "test": 3}
    assert facts["extent_m"] == pytest.approx([5, 0, 10])
    assert facts["path_m"] == pytest.approx(4 * 5**0.5)
    assert facts["missing_files"] == 1
    assert facts["picture"] == str(tmp_path / "top.png")
    assert (tmp_path / "top.png").is_file()
    assert not (tmp_path / "reports").exists()


def test_info_describes_cameras_and_photos_that_do_not_fit_them(tmp_path: Path) -> None:
    entry = {"file_path": "a.png", "transform_matrix": WORLD_FROM_CAM[0].tolist(), "fl_x": 32.0, "w": 64, "h": 48}
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": [entry]}))
    write_photo(tmp_path / "a.png", width=128, height=96)
    run(tmp_path, "scene", "import", "nerfstudio", tmp_path, "--out", tmp_path / "scenes/one")
    result = run(tmp_path, "scene", "info", "one")
    assert "PINHOLE 64x48, focal 32.0 px, sees 90 x 74 deg (but a.png is 128x96), 1 images" in result.stdout
    assert "units: as in the file" in result.stdout


def test_info_counts_rejected_photos_by_reason(tmp_path: Path) -> None:
    entries = [{"file_path": name, "transform_matrix": WORLD_FROM_CAM[0].tolist()} for name in ("a.png", "b.png", "c.png")]
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": entries}))
    write_photo(tmp_path / "a.png")
    run(tmp_path, "scene", "import", "nerfstudio", tmp_path, "--out", tmp_path / "scenes/one")
    assert "rejected      2: no image file" in run(tmp_path, "scene", "info", "one").stdout


@pytest.mark.parametrize("format_name", sorted(WRITERS))
def test_a_rendered_place_survives_every_export_and_import(tmp_path: Path, toy_scene: Path, format_name: str) -> None:
    out = tmp_path / ("poses.csv" if format_name == "csv" else "exported")
    result = run(tmp_path, "scene", "export", toy_scene, "--format", format_name, "--out", out)
    assert result.exit_code == 0, result.output
    original = Scene.load(toy_scene)
    images = [] if format_name == "7scenes" else ["--images", str(original.image_root)]
    result = run(tmp_path, "scene", "import", format_name, out, "--out", tmp_path / "again", *images)
    assert result.exit_code == 0, result.output
    again = Scene.load(tmp_path / "again")
    row_of = {image.resolve(): row for row, image in enumerate(again.frames.images)}
    rows = [row_of[image.resolve()] for image in original.frames.images]
    position_m, rotation_deg = pose_errors(again.frames.poses[rows], original.frames.poses)
    assert position_m.max() < 1e-9
    assert rotation_deg.max() < 1e-6


def test_an_export_does_not_overwrite_unless_forced_and_never_touches_photos(tmp_path: Path, toy_scene: Path) -> None:
    export = ("scene", "export", toy_scene, "--format", "tum", "--out")
    assert run(tmp_path, *export, tmp_path / "tum").exit_code == 0
    assert "--force" in refused(run(tmp_path, *export, tmp_path / "tum"))
    assert run(tmp_path, *export, tmp_path / "tum", "--force").exit_code == 0
    photos = Scene.load(toy_scene).frames.images[0].parent
    assert "holds photos of the scene" in refused(run(tmp_path, *export, photos, "--force"))


def test_a_misspelt_export_format_is_answered_with_a_suggestion(tmp_path: Path, toy_scene: Path) -> None:
    line = refused(run(tmp_path, "scene", "export", toy_scene, "--format", "colmpa", "--out", tmp_path / "x"))
    assert "did you mean 'colmap'?" in line


def test_the_kitchen_and_the_fox_are_imported_as_documented(tmp_path: Path, kitchen: Path, fox: Path) -> None:
    lists = ["--train-list", kitchen / "split_blocks_train.txt", "--test-list", kitchen / "split_blocks_test.txt"]
    truth = ["--ground-truth", kitchen / "pgt_sfm.txt"]
    result = run(tmp_path, "scene", "import", "7scenes", kitchen, *truth, *lists, "--out", tmp_path / "scenes/kitchen")
    assert "1000 images (500 train, 500 test)" in result.stdout
    assert "pgt_sfm.txt" in result.stdout
    result = run(tmp_path, "scene", "import", "nerfstudio", fox, "--out", tmp_path / "scenes/fox")
    assert "50 images (50 train)" in result.stdout
    assert "17 images rejected" in result.stderr


def test_labels_without_photos_are_imported_and_counted_as_missing(tmp_path: Path, shared: Path) -> None:
    labels = shared / "data/labels/cambridge/ShopFacade"
    run(tmp_path, "scene", "import", "cambridge", labels, "--out", tmp_path / "scenes/shop")
    result = run(tmp_path, "scene", "info", "shop")
    assert "334 images (231 train, 103 test)" in result.stdout
    assert "missing files 334 of 334" in result.stdout
