"""Embeddings of a scene that is not any more what they were made from."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tiny_place import TinyEncoder, make_scene
from wall_place import make_wall

from irploc import Localizer
from irploc.cli import main
from irploc.errors import BadInput, Mismatch
from irploc.geometry.poses import Poses
from irploc.geometry.similarity import AlignmentStep, Similarity
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.scene import UNFINISHED, Frames, Scene

pytestmark = pytest.mark.usefixtures("tiny_encoder")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A workspace with the embedded scene ``hall``: six mapping photos and three that test."""
    folder = tmp_path / "scenes/hall"
    scene = replace(make_scene(tmp_path), name="hall")
    scene.save(folder)
    embed_scene(scene, folder, tmp_path / "embeddings/hall.h5", TinyEncoder(), EmbedOptions(augmentations=0))
    return tmp_path


def scene_of(home: Path) -> Scene:
    return Scene.load(home / "scenes/hall")


def save(home: Path, frames: Frames, **changes: object) -> None:
    """The scene with other photos."""
    replace(scene_of(home), frames=frames, **changes).save(home / "scenes/hall")  # type: ignore[arg-type]


def opened(home: Path) -> Localizer:
    return Localizer.open("hall", method="nearest", workspace=home)


def shifted(frames: Frames, rows: list[int]) -> Frames:
    centers = frames.poses.centers_m.copy()
    centers[rows] += 1.0
    return replace(frames, poses=Poses(centers, frames.poses.world_from_cam_wxyz))


def test_a_scene_that_is_as_it_was_is_opened_without_a_word(home: Path) -> None:
    assert opened(home).notes == ()


def test_poses_that_changed_since_are_refused_with_the_words_of_evaluate(home: Path) -> None:
    save(home, shifted(scene_of(home).frames, list(range(9))))
    with pytest.raises(Mismatch, match="6 photos have another pose or split: run 'irploc embed' again"):
        opened(home)
    with pytest.raises(Mismatch, match="6 photos have another pose or split"):
        Localizer.open(method="nearest", workspace=home)  # the scene need not be named
    photo = scene_of(home).frames.images[0]
    result = CliRunner().invoke(main, ["--workspace", str(home), "localize", str(photo), "--scene", "hall"])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: scene hall is not what") and result.stderr.count("\n") == 1


def test_an_alignment_of_the_scene_is_refused_whether_it_moved_photos_or_only_named_the_units(home: Path) -> None:
    step = AlignmentStep("distance", Similarity(), "as in the model", "metres")
    save(home, scene_of(home).frames, units="feet", alignment=(step,))
    with pytest.raises(Mismatch, match="its units were 'metres', now they are 'feet'"):
        opened(home)


def test_photos_that_only_test_may_move_come_and_go(home: Path) -> None:
    frames = shifted(scene_of(home).frames, [6, 7, 8])
    save(home, frames[list(range(8))])
    assert opened(home).notes == ()


def test_mapping_photos_that_went_or_map_no_more_are_refused(home: Path) -> None:
    frames = scene_of(home).frames
    save(home, frames[list(range(1, 9))])
    with pytest.raises(Mismatch, match="1 mapping photos were removed"):
        opened(home)
    save(home, replace(frames, splits=np.array(["test", *["train"] * 6, *["test"] * 2], dtype=object)))
    with pytest.raises(Mismatch, match="2 photos have another pose or split"):
        opened(home)


def test_mapping_photos_that_came_in_are_a_note_and_change_no_answer(home: Path) -> None:
    frames = scene_of(home).frames
    before = opened(home).localize([frames.images[2]])[0]
    new = home / "images/new.png"
    shutil.copyfile(frames.images[0], new)
    more = frames[[*range(9), 0]]
    save(home, replace(more, images=(*frames.images, new), names=(*frames.names, "new.png")))
    localizer = opened(home)
    assert localizer.notes == (
        f"1 mapping photos of hall are not in {home / 'embeddings/hall.h5'}: 'irploc embed' takes them in",
    )
    assert np.array_equal(localizer.localize([frames.images[2]])[0].pose.centers_m, before.pose.centers_m)


def test_without_its_scene_a_place_is_opened_as_ever(home: Path) -> None:
    shutil.rmtree(home / "scenes")
    assert opened(home).notes == ()


def test_a_workspace_that_was_copied_is_measured_by_its_own_scene(
    home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy = tmp_path_factory.mktemp("copy") / "workspace"
    shutil.copytree(home, copy)
    save(copy, shifted(scene_of(copy).frames, [0]))
    assert opened(home).notes == ()
    with pytest.raises(Mismatch, match="1 photos have another pose"):
        opened(copy)


def test_a_scene_in_the_middle_of_an_alignment_is_not_passed_over(home: Path) -> None:
    (home / "scenes/hall" / UNFINISHED).mkdir()
    with pytest.raises(BadInput, match="was interrupted"):
        opened(home)


def test_an_overlay_of_a_scene_that_moved_is_refused(tmp_path: Path) -> None:
    scene = make_wall(tmp_path)
    embed_scene(scene, tmp_path / "scene", tmp_path / "embeddings/wall.h5", TinyEncoder(), EmbedOptions(augmentations=0))
    command = ["--workspace", str(tmp_path), "overlay", str(tmp_path / "scene"), "--split", "test", "--method", "nearest"]
    command += ["--out", str(tmp_path / "pictures")]
    assert CliRunner().invoke(main, command).exit_code == 0
    moved = replace(scene, frames=shifted(scene.frames, list(range(len(scene.frames)))))
    moved.save(tmp_path / "scene")
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert "photos have another pose or split: run 'irploc embed' again" in result.stderr


def evaluated(home: Path, *options: str) -> str:
    result = CliRunner().invoke(main, ["--workspace", str(home), "evaluate", *options])
    return str(result.output + result.stderr)


def test_an_evaluation_on_mapping_photos_says_what_it_is_worth(home: Path) -> None:
    words = "The queries are mapping photos"
    assert words in evaluated(home, "hall", "--methods", "nearest", "--split", "train")
    assert words not in evaluated(home, "hall", "--methods", "nearest")
    frames = scene_of(home).frames
    lines = [f"{name} 1 0 0 0 0 0 0" for name in frames.names]
    (home / "poses.txt").write_text("\n".join(lines) + "\n")
    scored = ("--predictions", str(home / "poses.txt"), "--ground-truth", "hall")
    assert words in evaluated(home, *scored, "--split", "train")
    assert words not in evaluated(home, *scored)


def test_a_place_without_test_photos_is_told_how_to_split_it(home: Path) -> None:
    frames = scene_of(home).frames
    save(home, replace(frames, splits=np.full(9, "train", dtype=object)))
    (home / "embeddings/hall.h5").unlink()
    options = EmbedOptions(augmentations=0)
    embed_scene(scene_of(home), home / "scenes/hall", home / "embeddings/hall.h5", TinyEncoder(), options)
    assert "'irploc scene split hall --split blocks'" in evaluated(home, "hall", "--methods", "nearest")
    (home / "poses.txt").write_text(f"{frames.names[0]} 1 0 0 0 0 0 0\n")
    scored = ("--predictions", str(home / "poses.txt"), "--ground-truth", "hall")
    assert "'irploc scene split hall --split blocks'" in evaluated(home, *scored)
