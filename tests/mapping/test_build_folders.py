"""What a build finds in its folders and leaves there: other people's files, damaged work, earlier scenes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from irploc.cli import main
from irploc.errors import BadInput, Busy
from irploc.mapping.work import check_places, work_folder
from irploc.pycolmap_safe import import_pycolmap
from irploc.scene import Scene

COUNT = 7


@pytest.fixture(scope="module")
def photos(room_walk: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of a walk through a rendered room, with names that COLMAP's lists cannot hold."""
    folder = tmp_path_factory.mktemp("photos")
    for number, path in enumerate(room_walk.frames.images[:COUNT]):
        shutil.copy(path, folder / f"IMG ({number + 7}).jpg")
    return folder


@pytest.fixture(scope="module")
def built(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished scene with its work kept; treat it as read-only."""
    out = tmp_path_factory.mktemp("built") / "hall"
    made = run("scene", "build", photos, "--out", out, "--split", "all", "--keep")
    assert made.exit_code == 0, made.output
    return out


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["--quiet", *map(str, arguments)])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_names_with_spaces_are_mapped_and_kept(built: Path, photos: Path) -> None:
    scene = Scene.load(built)
    assert set(scene.frames.names) == names(photos)
    assert scene.frames.indices.tolist() == list(range(7, 7 + COUNT))
    model = import_pycolmap().Reconstruction(str(built / "sparse"))
    assert {image.name for image in model.images.values()} == names(photos)


def test_blocks_count_photos_also_where_numbers_have_gaps(photos: Path, built: Path, tmp_path: Path) -> None:
    gaps = tmp_path / "gaps"
    gaps.mkdir()
    for number, path in enumerate(sorted(photos.iterdir(), key=lambda path: len(path.name))):
        shutil.copy(path, gaps / f"f{13 * number:04d}.jpg")
    made = run("scene", "build", gaps, "--out", tmp_path / "out", "--block-size", 2)
    assert made.exit_code == 0, made.output
    splits = Scene.load(tmp_path / "out").frames.splits.tolist()
    assert splits == ["train", "train", "test", "test", "train", "train", "test"]


@pytest.mark.parametrize("name", ["sparse", "crops", "train.csv", "build"])
def test_files_that_no_build_wrote_are_never_replaced(photos: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine.txt").write_text("mine")
    refused = run("scene", "build", photos, "--out", tmp_path)
    assert refused.exit_code == 1
    assert f"{tmp_path} holds {name}, which no 'irploc scene build' wrote there" in refused.stderr
    assert (tmp_path / name / "mine.txt").read_text() == "mine"


def test_a_scene_among_its_photos_is_refused(photos: Path) -> None:
    for out in (photos, photos / "scene"):
        with pytest.raises(BadInput, match="lies in the folder of photos"):
            check_places(photos, out)
    assert len(names(photos)) == COUNT
    check_places(photos, photos.parent)  # photos inside the scene's folder may be


def test_a_link_in_place_of_the_work_is_refused(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "build").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match="is a link or a file"):
        check_places(photos, tmp_path)


def test_only_one_build_at_a_time(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "hall"
    with (
        work_folder(photos, out, {}, lambda text: None),
        pytest.raises(Busy),
        work_folder(photos, out, {}, lambda text: None),
    ):
        pass


def test_nothing_is_left_of_a_build_that_came_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    (tmp_path / "few/a.jpg").write_bytes(b"no photo")
    assert run("scene", "build", tmp_path / "few", "--out", tmp_path / "out").exit_code == 1
    assert not (tmp_path / "out").exists()


def test_a_failed_build_leaves_the_scene_that_was_there(photos: Path, built: Path, tmp_path: Path) -> None:
    out = tmp_path / "hall"
    shutil.copytree(built, out, ignore=shutil.ignore_patterns("build"))
    before = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    wrong = run("scene", "build", photos, "--out", out, "--force", "--block-size", 100)
    assert wrong.exit_code == 1
    assert "blocks of 100 leave no test image" in wrong.stderr
    after = {
        path.name: path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and "build" not in path.relative_to(out).parts
    }
    for different in ("colmap.log",):
        assert after.pop(different).startswith(before.pop(different))
    assert after == before


def damaged(name: str) -> Callable[[Path], Any]:
    return lambda work: (work / name).write_bytes(b"{damaged")


@pytest.mark.parametrize("damage", [damaged("settings.json"), damaged("database.db")], ids=["settings", "database"])
def test_damaged_work_is_made_again(photos: Path, built: Path, tmp_path: Path, damage: Callable[[Path], Any]) -> None:
    out = tmp_path / "hall"
    (out / "build").mkdir(parents=True)
    shutil.copytree(built / "build", out / "build", dirs_exist_ok=True)
    shutil.rmtree(out / "build/attempt1")
    damage(out / "build")
    made = run("scene", "build", photos, "--out", out, "--split", "all")
    assert made.exit_code == 0, made.output
    assert len(Scene.load(out).frames) == COUNT


def test_what_is_done_is_not_done_again(photos: Path, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "hall"
    shutil.copytree(built / "build", out / "build")
    pycolmap = import_pycolmap()
    for name in ("extract_features", "match_image_pairs", "incremental_mapping"):
        monkeypatch.setattr(pycolmap, name, lambda *args, **kwargs: pytest.fail("done again"))
    made = run("scene", "build", photos, "--out", out, "--split", "all")
    assert made.exit_code == 0, made.output


def test_other_settings_use_nothing_of_the_old_work(photos: Path, built: Path, tmp_path: Path) -> None:
    out = tmp_path / "hall"
    shutil.copytree(built / "build", out / "build")
    made = run("scene", "build", photos, "--out", out, "--split", "all", "--max-side", 260, "--keep")
    assert made.exit_code == 0, made.output
    assert "made with other settings" in made.stderr
    assert most_features(out) < most_features(built)


def most_features(out: Path) -> int:
    with import_pycolmap().Database.open(str(out / "build/database.db")) as database:
        return max(database.num_keypoints_for_image(image.image_id) for image in database.read_all_images())


def test_force_says_which_alignment_it_gives_up(photos: Path, built: Path, tmp_path: Path) -> None:
    out = tmp_path / "hall"
    shutil.copytree(built, out)
    aligned = run("scene", "align", out, "--distance", "photo:IMG (7).jpg", "photo:IMG (13).jpg", 2.0)
    assert aligned.exit_code == 0, aligned.output
    made = run("scene", "build", photos, "--out", out, "--split", "all", "--force")
    assert made.exit_code == 0, made.output
    assert "the alignment of" in made.stderr
    assert Scene.load(out).units == "as in the model"
