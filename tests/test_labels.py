"""Poses that irploc learn estimated stay marked through everything that happens to a scene, and never test a method."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tiny_place import TinyEncoder, make_scene

from irploc.cli import main
from irploc.errors import BadInput
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.retrieval.store import EmbeddingStore
from irploc.scene import LEARNED, Frames, Scene, learned_note
from irploc.training.dataset import TrainingSet

ROWS = [4, 5]  # photos whose poses are estimates


@pytest.fixture
def plain(tmp_path: Path) -> Scene:
    return make_scene(tmp_path)


@pytest.fixture
def scene(plain: Scene) -> Scene:
    labels = np.full(len(plain.frames), "", dtype=object)
    labels[ROWS] = LEARNED
    return replace(plain, frames=replace(plain.frames, labels=labels))


def learned(frames: Frames) -> list[str]:
    return [frames.names[row] for row in np.flatnonzero(frames.learned)]


def test_frames_without_labels_are_ground_truth(plain: Scene) -> None:
    assert plain.frames.labels.tolist() == [""] * 9
    assert not plain.frames.learned.any()
    assert learned_note(plain.frames) == ""


def test_labels_follow_their_photos_when_rows_are_chosen_and_put_together(scene: Scene) -> None:
    frames = scene.frames
    expected = ["frame-004.png", "frame-005.png"]
    assert learned(frames[[8, 5, 4]]) == expected[::-1]
    assert learned(frames.of_split("train")) == expected
    assert learned(Frames.concatenate([frames[[0, 1]], frames[[4, 5]]])) == expected
    assert learned_note(frames.of_split("train")) == "2 of 6 mapping photos have poses that irploc learn estimated."


def test_the_table_of_a_scene_has_a_last_column_for_labels_only_where_there_are_some(
    scene: Scene, plain: Scene, tmp_path: Path
) -> None:
    plain.save(tmp_path / "plain")
    scene.save(tmp_path / "learned")
    documented = "image,sequence,index,split,camera,tx,ty,tz,qw,qx,qy,qz"
    assert (tmp_path / "plain/frames.csv").read_text().splitlines()[0] == documented
    assert (tmp_path / "learned/frames.csv").read_text().splitlines()[0] == documented + ",label"
    assert Scene.load(tmp_path / "learned").frames.labels.tolist() == scene.frames.labels.tolist()


def test_an_unknown_label_is_refused(scene: Scene) -> None:
    labels = scene.frames.labels.copy()
    labels[0] = "guess"
    with pytest.raises(BadInput, match="unknown label 'guess'"):
        replace(scene, frames=replace(scene.frames, labels=labels))


def test_an_estimate_cannot_test_methods(scene: Scene) -> None:
    splits = scene.frames.splits.copy()
    splits[4] = "test"
    with pytest.raises(BadInput, match="1 photos whose poses irploc learn estimated are to test methods; first: frame-004"):
        scene.with_splits(splits)


@pytest.mark.parametrize("kind", [["blocks", "--block-size", "1"], ["modulo"], ["fraction", "--test-fraction", "0.9"]])
def test_every_split_leaves_estimates_in_the_map(scene: Scene, tmp_path: Path, kind: list[str]) -> None:
    scene.save(tmp_path / "learned")
    result = CliRunner().invoke(main, ["scene", "split", str(tmp_path / "learned"), "--split", *kind])
    assert result.exit_code == 0, result.output
    after = Scene.load(tmp_path / "learned").frames
    assert set(after.splits[ROWS]) == {"train"}
    assert (after.splits == "test").any()
    assert "2 photos whose poses irploc learn estimated go on mapping" in result.stderr


def test_embeddings_keep_labels_and_models_count_them(scene: Scene, plain: Scene, tmp_path: Path) -> None:
    path, options = tmp_path / "tiny.h5", EmbedOptions(augmentations=1)
    embed_scene(plain, tmp_path, path, TinyEncoder(), options)
    with EmbeddingStore.open(path) as store:
        assert not store.frames.learned.any()
        assert "learned" not in TrainingSet.from_store(store).identity
    report = embed_scene(scene, tmp_path, path, TinyEncoder(), options)
    assert (report.embedded, report.kept) == (0, 9)
    with EmbeddingStore.open(path) as store:
        assert learned(store.frames) == ["frame-004.png", "frame-005.png"]
        assert TrainingSet.from_store(store).identity["learned"] == 2


def test_a_csv_table_keeps_labels_and_other_formats_say_that_they_cannot(scene: Scene, tmp_path: Path) -> None:
    scene.save(tmp_path / "learned")
    table = tmp_path / "images/table.csv"
    runner = CliRunner()
    kept = runner.invoke(main, ["scene", "export", str(tmp_path / "learned"), "--format", "csv", "--out", str(table)])
    assert kept.exit_code == 0, kept.output
    assert "estimates" not in kept.stderr
    back = runner.invoke(main, ["scene", "import", "csv", str(table), "--out", str(tmp_path / "back")])
    assert back.exit_code == 0, back.output
    assert learned(Scene.load(tmp_path / "back").frames) == ["frame-004.png", "frame-005.png"]
    lost = runner.invoke(
        main, ["scene", "export", str(tmp_path / "learned"), "--format", "tum", "--out", str(tmp_path / "tum.txt")]
    )
    assert "which poses are estimates of irploc learn (2 of 9)" in lost.stderr


def test_info_and_evaluation_tell_of_estimates(scene: Scene, tmp_path: Path, tiny_encoder: None) -> None:
    scene.save(tmp_path / "scenes/tiny")
    embed_scene(
        scene, tmp_path / "scenes/tiny", tmp_path / "embeddings/tiny.h5", TinyEncoder(), EmbedOptions(augmentations=1)
    )
    runner, home = CliRunner(), ["--workspace", str(tmp_path)]
    info = runner.invoke(main, [*home, "scene", "info", "tiny"])
    assert "learned       2 of 9 poses are estimates of irploc learn" in info.stdout
    page = tmp_path / "page.html"
    told = runner.invoke(main, [*home, "evaluate", "tiny", "--methods", "nearest", "--report", str(page)])
    sentence = "2 of 6 mapping photos have poses that irploc learn estimated."
    assert told.exit_code == 0, told.output
    assert sentence in told.stdout
    assert sentence in page.read_text()
    mapping = runner.invoke(main, [*home, "evaluate", "tiny", "--methods", "nearest", "--split", "train"])
    assert "2 of 6 queries have poses that irploc learn estimated: they are no ground truth." in mapping.stdout
