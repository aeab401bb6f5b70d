"""`irploc evaluate` as users type it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from irploc.cli import main
from irploc.evaluation import read_pose_file
from irploc.geometry.poses import Poses
from irploc.images import JitterOptions
from irploc.retrieval.store import EmbeddingStore, StoreHeader
from irploc.scene import Frames, Scene

DIMENSION = 8


def make_scene(train: int = 30, test: int = 6) -> Scene:
    """Photos (that do not exist) along a line; the test photos lie between the first mapping photos."""
    x = np.concatenate([np.arange(train), np.arange(test) + 0.25])
    names = tuple(f"walk/{number:03d}.jpg" for number in range(train + test))
    zeros = np.zeros(train + test)
    frames = Frames(
        images=tuple(Path("/nowhere") / name for name in names),
        names=names,
        sequences=np.array(["walk"] * (train + test), dtype=object),
        indices=np.arange(train + test),
        splits=np.array(["train"] * train + ["test"] * test, dtype=object),
        cameras=("",) * (train + test),
        poses=Poses(np.stack([x, zeros, zeros], axis=1), np.tile([1.0, 0, 0, 0], (train + test, 1))),
    )
    return Scene("hall", Path("/nowhere"), frames, ground_truth="laid out by hand")


def write_store(scene: Scene, path: Path) -> None:
    """Embeddings that turn with x, so that the nearest vector is the nearest place."""
    header = StoreHeader(
        scene=scene.name,
        scene_folder="/nowhere",
        mapping_fingerprint=scene.mapping_fingerprint,
        ground_truth=scene.ground_truth,
        units=scene.units,
        encoder="toy",
        weights_sha256="0123",
        preprocessing="none",
        max_side=0,
        precision="fp32",
        augmentations=0,
        jitter=JitterOptions(),
        seed=0,
        dtype="float32",
        dimension=DIMENSION,
    )
    count = len(scene.frames)
    EmbeddingStore.create(path, header, scene.frames, {}, scene.image_root, np.zeros(count, dtype=np.int64), {})
    angle = scene.frames.poses.centers_m[:, 0] / 40
    with EmbeddingStore.open_for_writing(path) as store:
        for row in range(count):
            vector = np.zeros(DIMENSION, dtype=np.float32)
            vector[:2] = np.cos(angle[row]), np.sin(angle[row])
            store.write(row, 0, vector)
        store.mark_done(list(range(count)))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    scene = make_scene()
    scene.save(tmp_path / "scenes/hall")
    write_store(scene, tmp_path / "embeddings/hall.h5")
    return tmp_path


def run(*arguments: object, workspace: Path | None = None) -> Result:
    options = ["--quiet", *(["--workspace", str(workspace)] if workspace else [])]
    return CliRunner().invoke(main, [*options, "evaluate", *map(str, arguments)])


def refused(result: Result, code: int = 1) -> str:
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    if code == 1:
        assert len(result.output.strip().splitlines()) == 1
    return result.output


def test_a_scene_is_evaluated_with_all_methods_that_need_no_model(workspace: Path) -> None:
    result = run("hall", "--json", workspace / "out/scores.json", workspace=workspace)
    assert result.exit_code == 0, result.output
    written = json.loads((workspace / "out/scores.json").read_text())
    assert {"nearest", "ewb", "csi", "bdi"} <= set(written["results"])
    assert {key: written[key] for key in written if key != "results"} == {
        "scene": "hall",
        "ground_truth": "laid out by hand",
        "split": "test",
        "n_train": 30,
        "n_test": 6,
        "encoder": "toy",
    }
    nearest = written["results"]["nearest"]
    assert nearest["median_position_m"] == pytest.approx(0.25)
    assert nearest["recall"] == {"0.05m_5deg": 0, "0.25m_2deg": 1, "0.5m_5deg": 1, "2m_5deg": 1, "5m_10deg": 1}
    assert nearest["seconds_per_image"] > 0
    assert "encoding the photo comes on top" in result.output


def test_methods_are_keyed_as_typed_and_may_be_spaced(workspace: Path) -> None:
    result = run("hall", "--methods", "bdi:k=3, ewb:k=2", "--json", workspace / "s.json", workspace=workspace)
    assert result.exit_code == 0, result.output
    assert list(json.loads((workspace / "s.json").read_text())["results"]) == ["bdi:k=3", "ewb:k=2"]


def test_written_poses_read_back_with_the_same_scores(workspace: Path) -> None:
    arguments = ("hall", "--methods", "nearest,ewb:k=2", "--poses", workspace / "poses.txt", "--json", workspace / "a.json")
    result = run(*arguments, workspace=workspace)
    assert result.exit_code == 0, result.output
    assert "poses.ewb-k=2.txt (6 poses)" in result.output
    assert not (workspace / "poses.txt").exists()
    again = ("--predictions", workspace / "poses.ewb-k=2.txt", "--ground-truth", "hall", "--json", workspace / "b.json")
    assert run(*again, workspace=workspace).exit_code == 0
    first = json.loads((workspace / "a.json").read_text())["results"]["ewb:k=2"]
    second = json.loads((workspace / "b.json").read_text())
    assert second["split"] == "test"
    assert second["n_train"] == 30
    assert second["encoder"] is None
    (scores,) = second["results"].values()
    assert scores["recall"] == first["recall"]
    assert scores["median_position_m"] == pytest.approx(first["median_position_m"], abs=1e-12)
    assert scores["seconds_per_image"] is None


def test_one_method_writes_its_poses_to_the_file_that_was_named(workspace: Path) -> None:
    assert run("hall", "--methods", "nearest", "--poses", workspace / "p.txt", workspace=workspace).exit_code == 0
    assert len(read_pose_file(workspace / "p.txt")) == 6


def test_markdown_and_report_are_written_although_the_photos_are_gone(workspace: Path) -> None:
    files = ("--markdown", workspace / "r/table.md", "--report", workspace / "r/page.html")
    result = run("hall", "--methods", "nearest,bdi:k=3", *files, workspace=workspace)
    assert result.exit_code == 0, result.output
    assert "| `nearest` |" in (workspace / "r/table.md").read_text()
    page = (workspace / "r/page.html").read_text()
    assert "photo not found" in page
    assert "0123" in page


def test_a_scene_that_changed_since_it_was_embedded_is_refused(workspace: Path) -> None:
    scene = make_scene()
    moved = scene.frames.poses.centers_m.copy()
    moved[-1] += 1
    poses = Poses(moved, scene.frames.poses.world_from_cam_wxyz)
    replace(scene, frames=replace(scene.frames, poses=poses)).save(workspace / "scenes/hall")
    assert "1 photos have another pose or split" in refused(run("hall", workspace=workspace))
    replace(scene, ground_truth="better").save(workspace / "scenes/hall")
    assert "ground truth was laid out by hand, now it is better" in refused(run("hall", workspace=workspace))
    scene.with_splits(np.where(np.arange(36) < 20, "train", "test")).save(workspace / "scenes/hall")
    assert "10 photos have another pose or split" in refused(run("hall", workspace=workspace))


def test_embeddings_alone_are_enough(workspace: Path) -> None:
    (workspace / "scenes/hall/scene.toml").unlink()
    assert run("hall", "--methods", "nearest", workspace=workspace).exit_code == 0


def test_several_encoders_of_one_scene_stand_side_by_side(workspace: Path, tmp_path: Path) -> None:
    other = workspace / "embeddings" / "hall-other.h5"
    write_store(make_scene(), other)
    ours = workspace / "embeddings" / "hall.h5"
    out = tmp_path / "both.json"
    both = run(
        "hall", "--embeddings", ours, "--embeddings", other, "--methods", "nearest", "--json", out, workspace=workspace
    )
    assert both.exit_code == 0, both.output
    found = json.loads(out.read_text())
    assert list(found["results"]) == ["nearest @hall", "nearest @hall-other"]
    assert found["encoder"] == "toy (@hall), toy (@hall-other)"
    first, second = (result["median_position_m"] for result in found["results"].values())
    assert first == second


def test_encoders_of_different_photos_are_not_compared(workspace: Path, tmp_path: Path) -> None:
    other = tmp_path / "fewer.h5"
    write_store(make_scene(test=5), other)
    result = run("hall", "--embeddings", workspace / "embeddings/hall.h5", "--embeddings", other, workspace=workspace)
    assert result.exit_code == 1
    assert "run 'irploc embed' again" in result.stderr


def test_bad_requests_are_refused_in_one_line(workspace: Path) -> None:
    assert "no scene 'hal'" in refused(run("hal", workspace=workspace))
    assert "did you mean 'nearest'?" in refused(run("hall", "--methods", "neares", workspace=workspace))
    assert "named twice" in refused(run("hall", "--methods", "ewb,ewb", workspace=workspace))
    assert "no validation images (it has test, train)" in refused(run("hall", "--split", "validation", workspace=workspace))
    assert "k is 99, the place has 30 mapping images" in refused(run("hall", "--methods", "ewb:k=99", workspace=workspace))


def test_wrong_usage_has_exit_code_2(workspace: Path) -> None:
    file = workspace / "p.txt"
    assert "name a SCENE" in refused(run(workspace=workspace), 2)
    assert "needs --ground-truth" in refused(run("--predictions", file, workspace=workspace), 2)
    assert "cannot be used together" in refused(run("hall", "--predictions", file, workspace=workspace), 2)
    assert "cannot be used together" in refused(run("hall", "--ground-truth", file, workspace=workspace), 2)
    both = ("--predictions", file, "--ground-truth", file, "--poses", file)
    assert "cannot be used together" in refused(run(*both, workspace=workspace), 2)
    assert "empty item" in refused(run("hall", "--methods", "ewb,,bdi", workspace=workspace), 2)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions one metre off, and their ground truth."""
    truth, predictions = tmp_path / "truth.txt", tmp_path / "mine.txt"
    truth.write_text("".join(f"seq/{row}.color.png 1 0 0 0 {row} 0 0\n" for row in range(4)))
    predictions.write_text("".join(f"{row}.color.jpg 1 0 0 0 {row + 1} 0 0 525 more\n" for row in range(1, 6)))
    return predictions, truth


def test_predictions_without_some_queries_say_how_many_count_as_not_localized(files: tuple[Path, Path]) -> None:
    predictions, truth = files
    out = truth.parent / "out.json"
    result = run("--predictions", predictions, "--ground-truth", truth, "--json", out)
    assert result.exit_code == 0, result.output
    assert "lacks 1 of 4 queries: they count as not localized" in result.output
    assert "has 2 images that are no queries: they are ignored" in result.output
    written = json.loads(out.read_text())
    assert written["scene"] == "truth"
    assert (written["n_test"], written["n_train"], written["split"], written["encoder"]) == (4, None, None, None)
    scores = written["results"]["mine"]
    assert (scores["n"], scores["n_not_localized"], scores["mean_position_m"]) == (4, 1, None)
    assert scores["median_position_m"] == pytest.approx(1.0)
    assert scores["recall"]["2m_5deg"] == 0.75


def test_several_prediction_files_stand_side_by_side(files: tuple[Path, Path]) -> None:
    predictions, truth = files
    other = truth.parent / "other" / "mine.txt"
    other.parent.mkdir()
    other.write_text(truth.read_text())
    page = truth.parent / "page.html"
    result = run("--predictions", predictions, "--predictions", other, "--ground-truth", truth, "--report", page)
    assert result.exit_code == 0, result.output
    assert str(other) in result.output
    assert "photo not found" in page.read_text()
    twice = run("--predictions", predictions, "--predictions", predictions, "--ground-truth", truth)
    assert "is given twice" in refused(twice)


def test_bad_prediction_files_are_refused_in_one_line(files: tuple[Path, Path]) -> None:
    predictions, truth = files
    assert "no pose file" in refused(run("--predictions", "none.txt", "--ground-truth", truth))
    assert "no such pose file, and no scene" in refused(run("--predictions", predictions, "--ground-truth", "none.txt"))
    predictions.write_text("a 1 0 0\n")
    assert "1 of 1 rows are not" in refused(run("--predictions", predictions, "--ground-truth", truth))
    predictions.write_text("elsewhere/0.color.png 1 0 0 0 0 0 0\n")
    assert "none of its 1 images is in" in refused(run("--predictions", predictions, "--ground-truth", truth))


def test_predictions_for_mapping_photos_only_are_refused(workspace: Path) -> None:
    path = workspace / "p.txt"
    path.write_text("walk/000.jpg 1 0 0 0 0 0 0\n")
    result = run("--predictions", path, "--ground-truth", "hall", workspace=workspace)
    assert "none of its images is in the test split of scene hall" in refused(result)


def test_published_estimates_are_reproduced_from_the_command_line(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data/estimates/7scenes_chess"
    truth = folder / "groundtruth_dslam_test.txt"
    result = run("--predictions", folder / "chess_hloc.txt", "--ground-truth", truth, "--json", tmp_path / "s.json")
    assert result.exit_code == 0, result.output
    assert "0.0240   0.775" in result.output
    scores = json.loads((tmp_path / "s.json").read_text())["results"]["chess_hloc"]
    assert scores["recall"]["0.05m_5deg"] == 0.9415


def test_a_full_disk_is_named_with_the_file_that_could_not_be_written(workspace: Path) -> None:
    result = run("hall", "--methods", "nearest", "--json", "/dev/full", workspace=workspace)
    assert result.exit_code == 1
    assert "cannot write /dev/full: No space left on device" in result.stderr
