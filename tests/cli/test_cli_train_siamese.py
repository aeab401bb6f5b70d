"""`irploc train siamese` as a user meets it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tiny_place import TinyEncoder

from irploc.cli import main
from irploc.pairs import PairMatrix
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.scene import Scene
from irploc.training.siamese.model import load_siamese

pytestmark = pytest.mark.usefixtures("tiny_encoder")
SMALL = ["--epochs", "2", "--batch-size", "8", "--no-calibration", "--no-run"]


@pytest.fixture(scope="module")
def workspace(toy_scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the embeddings and the pairs of the rendered toy place."""
    root = tmp_path_factory.mktemp("siamese")
    (root / "scenes").mkdir()
    (root / "scenes/toy").symlink_to(toy_scene)
    embed_scene(Scene.load(toy_scene), toy_scene, root / "embeddings/toy.h5", TinyEncoder(), EmbedOptions(augmentations=1))
    made = CliRunner().invoke(main, ["--workspace", str(root), "pairs", "toy", "--test", "none"])
    assert made.exit_code == 0, made.output
    return root


def run(workspace: Path, *arguments: str) -> Result:
    """One call of irploc."""
    return CliRunner().invoke(main, ["--workspace", str(workspace), *arguments])


def test_a_scene_becomes_a_model_that_localizes_and_is_evaluated(workspace: Path, toy_scene: Path) -> None:
    trained = run(workspace, "train", "siamese", "toy", *SMALL, "--seed", "3")
    assert trained.exit_code == 0, trained.output
    path = workspace / "models/toy.siamese.pt"
    assert f"{path}: trained in" in trained.stdout
    assert "test photos, absolute head alone" in trained.stdout
    assert "recipe fast, relative pose as difference, 24 images" in trained.stderr
    assert "correlated pairs (pairs of toy.npz)" in trained.stderr
    model = load_siamese(path)
    assert (model.seed, model.recipe.relation, model.identity["scene"]) == (3, "difference", "toy")
    assert model.pairs["count"] > 24
    photo = str(sorted((toy_scene / "images").rglob("*.*"))[0]) if (toy_scene / "images").is_dir() else None
    photo = photo or str(Scene.load(toy_scene).frames.images[0])
    for method in ("siamese", "siamese:one-shot", "siamese:one_shot=false", "siamese:max_iterations=0"):
        told = run(workspace, "localize", photo, "--scene", "toy", "--method", method, "--json")
        assert told.exit_code == 0, told.output
        answer = json.loads(told.stdout)
        assert (answer["status"], answer["method"], answer["confidence"]) == ("ok", method, None)
    scores = workspace / "scores.json"
    evaluated = run(workspace, "evaluate", "toy", "--methods", "nearest,siamese", "--json", str(scores))
    assert evaluated.exit_code == 0, evaluated.output
    assert set(json.loads(scores.read_text())["results"]) == {"nearest", "siamese"}


def test_a_confidence_is_learned_unless_it_is_not_wanted(workspace: Path, tmp_path: Path) -> None:
    out = tmp_path / "sure.pt"
    flags = ["--epochs", "1", "--batch-size", "8", "--out", str(out)]
    assert run(workspace, "train", "siamese", "toy", *flags).exit_code == 0
    assert set(load_siamese(out).calibrations) == {"absolute", "iterative", "relative", "one_shot"}
    photo = str(Scene.load(workspace / "scenes/toy").frames.images[0])
    told = run(workspace, "localize", photo, "--scene", "toy", "--model", str(out), "--json")
    answer = json.loads(told.stdout)
    assert answer["method"] == "siamese"  # the model says which
    assert 0 <= answer["confidence"] <= 1
    assert answer["expected_error"]["position_m"] > 0


def test_what_changes_the_meaning_is_kept_with_the_model(workspace: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.pt"
    flags = ["--no-cips", "--relative", "group", "--recipe", "paper", "--out", str(out)]
    result = run(workspace, "train", "siamese", str(workspace / "embeddings/toy.h5"), *SMALL, *flags)
    assert result.exit_code == 0, result.output
    assert "recipe paper, relative pose as group, 24 images, pairs of any two photos" in result.stderr
    recipe = load_siamese(out).recipe
    assert (recipe.cips, recipe.relation, recipe.name, recipe.dropout) == (False, "group", "paper", 0.5)


def test_without_its_scene_an_embeddings_file_is_trained_on_by_window_and_angle(toy_scene: Path, tmp_path: Path) -> None:
    scene = Scene.load(toy_scene)
    embed_scene(scene, tmp_path / "gone", tmp_path / "toy.h5", TinyEncoder(), EmbedOptions(augmentations=0))
    result = run(tmp_path, "train", "siamese", str(tmp_path / "toy.h5"), *SMALL)
    assert result.exit_code == 0, result.output
    assert "found by window and angle alone (give --scene-dir" in result.stderr
    assert "(by window and angle)" in result.stderr
    found = run(tmp_path, "train", "siamese", str(tmp_path / "toy.h5"), *SMALL, "--scene-dir", str(toy_scene))
    assert found.exit_code == 0, found.output
    assert "(selected now)" in found.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent"], "no embeddings file"),
        (["toy", "--relative", "ratio"], "unknown relation 'ratio', choose difference or group"),
        (["toy", "--recipe", "fst"], "unknown recipe 'fst', choose one of fast, paper"),
        (["toy", "--pairs", "absent.npz"], "no pairs file absent.npz: make it with 'irploc pairs"),
        (["toy", "--epochs", "0"], "epochs is 0"),
        (["toy", "--device", "abacus"], "unknown device 'abacus'"),
        (["toy", "--no-cips", "--pairs", "some.npz"], "leave --pairs some.npz out"),
        (["toy", "--no-cips", "--scene-dir", "scenes"], "leave --scene-dir scenes out"),
        (["toy", "--pairs", "some.npz", "--scene-dir", "scenes"], "leave one of them out"),
        (["toy", "--learning-rate", "-1"], "learning rate is -1.0"),
    ],
)
def test_mistakes_end_with_one_line(workspace: Path, arguments: list[str], words: str) -> None:
    result = run(workspace, "train", "siamese", *arguments)
    assert result.exit_code == 1
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_pairs_of_other_photos_are_refused(workspace: Path, tmp_path: Path, toy_scene: Path) -> None:
    scene = Scene.load(toy_scene)
    moved = scene.with_splits(scene.frames.splits[::-1].copy())
    moved.save(tmp_path / "scenes/toy")
    out = tmp_path / "other.npz"
    assert run(tmp_path, "pairs", "toy", "--test", "none", "--out", str(out)).exit_code == 0
    result = run(workspace, "train", "siamese", "toy", "--pairs", str(out))
    assert result.exit_code == 1
    assert "made from other photos or poses" in result.stderr


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("siamese:lookup=colour", "lookup is 'colour', choose one of embedding, pose"),
        ("siamese:k=0", "k is 0, it must be at least 1"),
        ("siamese:max_iterations=-1", "max_iterations is -1"),
        ("siamese:one-shot:max-iterations=3", "the one shot makes no iterations"),
        ("siamese:max-iterations=3:k=5", "k is of the one shot"),
        ("siamese:max-iterations=0:lookup=pose", "looks at no photos"),
        ("siamese:oneshot", "has no option 'oneshot': did you mean 'one_shot'?"),
    ],
)
def test_impossible_options_are_refused(workspace: Path, method: str, words: str) -> None:
    result = run(workspace, "localize", "photo.jpg", "--scene", "toy", "--method", method)
    assert result.exit_code == 1
    assert words in result.stderr


def test_a_model_that_is_absent_says_how_to_train_it(toy_scene: Path, tmp_path: Path) -> None:
    scene = Scene.load(toy_scene)
    embed_scene(scene, toy_scene, tmp_path / "embeddings/toy.h5", TinyEncoder(), EmbedOptions(augmentations=0))
    result = run(tmp_path, "localize", str(scene.frames.images[0]), "--method", "siamese")
    assert result.exit_code == 1
    assert "irploc train siamese" in result.stderr


def test_a_scene_folder_with_other_photos_or_poses_is_refused(workspace: Path, tmp_path: Path, toy_scene: Path) -> None:
    scene = Scene.load(toy_scene)
    moved = replace(scene.frames.poses, centers_m=scene.frames.poses.centers_m + 1.0)
    replace(scene, frames=replace(scene.frames, poses=moved)).save(tmp_path / "other")
    for command in (["train", "siamese", "toy"], ["pairs", str(workspace / "embeddings/toy.h5")]):
        result = run(workspace, *command, "--scene-dir", str(tmp_path / "other"))
        assert result.exit_code == 1
        assert "has other mapping photos or poses" in result.stderr


def test_pairs_without_their_angle_are_refused(workspace: Path, tmp_path: Path) -> None:
    matrix = PairMatrix.load(workspace / "pairs/toy.npz")
    replace(matrix, settings={}).save(tmp_path / "bare.npz")
    result = run(workspace, "train", "siamese", "toy", "--pairs", str(tmp_path / "bare.npz"))
    assert result.exit_code == 1
    assert "does not say what angle its pairs may be turned by" in result.stderr


def test_a_list_for_hloc_is_no_pairs_file(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("a.jpg b.jpg\n")
    result = run(workspace, "train", "siamese", "toy", "--pairs", str(tmp_path / "pairs.txt"))
    assert result.exit_code == 1
    assert "lists for hloc cannot be read back" in result.stderr
