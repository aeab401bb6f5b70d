"""`irploc train menet` and `irploc relate` as a user meets them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from tiny_place import TinyEncoder
from toy_images import first_photos

from irploc.cli import main
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.scene import Scene

pytestmark = pytest.mark.usefixtures("tiny_encoder")
QUICK = ["--side", "32", "--epochs", "1", "--batch-size", "4", "--no-run"]


@pytest.fixture(scope="module")
def home(toy_scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with embeddings, pairs and a model of one scene."""
    root = tmp_path_factory.mktemp("menet")
    scene = first_photos(Scene.load(toy_scene), 12, 4)
    scene.save(root / "scenes/toy")
    embed_scene(scene, root / "scenes/toy", root / "embeddings/toy.h5", TinyEncoder(), EmbedOptions(augmentations=1))
    assert run(root, "pairs", "toy", "--test", "none").exit_code == 0
    made = run(root, "train", "menet", "toy", *QUICK)
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith(f"{root}/models/toy.menet.pt: trained in ")
    assert "pairs of test photos, median" in made.stdout
    assert "menet, recipe fast, whole photos of 32 px" in made.stderr
    return root


def run(workspace: Path, *arguments: str) -> Result:
    """One call of irploc."""
    return CliRunner().invoke(main, ["--workspace", str(workspace), *arguments])


def photos(home: Path) -> list[str]:
    """Of the scene."""
    return [str(path) for path in Scene.load(home / "scenes/toy").frames.images]


def test_two_photos_are_related_in_json(home: Path) -> None:
    a, b = photos(home)[:2]
    found = json.loads(run(home, "relate", a, b, "--json").stdout)
    assert list(found) == [
        *("a", "b", "status", "scene", "method", "units", "a_from_b", "distance_m", "rotation_deg", "turn"),
        *("expected_error", "consistency", "timing_ms"),
    ]
    assert (found["a"], found["b"], found["scene"], found["method"], found["units"]) == (a, b, "toy", "menet", "metres")
    assert found["status"] in ("ok", "not_related")
    motion = found["a_from_b"]
    assert np.linalg.norm(motion["qvec_wxyz"]) == pytest.approx(1)
    assert motion["qvec_wxyz"][0] >= 0
    assert np.linalg.norm(motion["tvec_m"]) == pytest.approx(found["distance_m"])
    assert set(found["consistency"]) == set(found["expected_error"]) == {"position_m", "rotation_deg"}
    assert set(found["timing_ms"]) == {"decode", "estimate"}


def test_two_photos_are_related_in_words_which_agree_with_json(home: Path) -> None:
    a, b = photos(home)[:2]
    line, found = run(home, "relate", a, b).stdout, json.loads(run(home, "relate", a, b, "--json").stdout)
    assert line.startswith(f"{a} -> {b}: {found['status']}  {found['distance_m']:.3f} m: ")
    right = found["a_from_b"]["tvec_m"][0]
    assert f"{abs(right):.3f} {'right' if right >= 0 else 'left'}" in line
    assert f"turned {found['rotation_deg']:.1f} deg" in line
    assert "in toy by menet" in line


def test_a_photo_and_itself_do_not_move(home: Path) -> None:
    a = photos(home)[0]
    found = json.loads(run(home, "relate", a, a, "--json").stdout)
    assert found["distance_m"] < 1e-9
    assert found["rotation_deg"] < 1e-6


def test_exchanged_photos_give_the_inverse(home: Path) -> None:
    a, b = photos(home)[:2]
    there = json.loads(run(home, "relate", a, b, "--json").stdout)
    back = json.loads(run(home, "relate", b, a, "--json").stdout)
    assert there["distance_m"] == pytest.approx(back["distance_m"], abs=1e-6)
    assert there["a_from_b"]["qvec_wxyz"][1:] == pytest.approx([-x for x in back["a_from_b"]["qvec_wxyz"][1:]], abs=1e-6)


def test_photos_of_other_sizes_and_shapes_are_related_too(home: Path, tmp_path: Path) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 40, 3), dtype=np.uint8)).save(tmp_path / "tall.png")
    result = run(home, "relate", str(tmp_path / "dot.png"), str(tmp_path / "tall.png"))
    assert result.exit_code == 0, result.output


def mistake(home: Path, *arguments: str) -> str:
    """The one line that a mistake leaves."""
    result = run(home, *arguments)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr


def test_what_is_no_photo_is_refused(home: Path, tmp_path: Path) -> None:
    a, text = photos(home)[0], tmp_path / "text.jpg"
    text.write_text("no photo")
    assert f"{text} is not an image" in mistake(home, "relate", a, str(text))
    assert "no image" in mistake(home, "relate", str(tmp_path / "gone.jpg"), a)


@pytest.mark.parametrize("arguments", [["a.jpg"], ["a.jpg", "b.jpg", "c.jpg"]])
def test_it_takes_two_photos(home: Path, arguments: list[str]) -> None:
    assert run(home, "relate", *arguments).exit_code == 2


def test_a_model_that_is_not_there_says_how_it_is_made(home: Path, tmp_path: Path) -> None:
    a, b = photos(home)[:2]
    assert "train one with 'irploc train menet SCENE'" in mistake(tmp_path, "relate", a, b)
    assert "hall.menet.pt: train one with" in mistake(home, "relate", a, b, "--scene", "hall")


def test_the_model_of_another_scene_or_method_is_refused(home: Path, tmp_path: Path) -> None:
    a, b = photos(home)[:2]
    (tmp_path / "models").mkdir()
    shutil.copy(home / "models/toy.menet.pt", tmp_path / "models/hall.menet.pt")
    assert "was trained on scene 'toy', not 'hall'" in mistake(tmp_path, "relate", a, b, "--scene", "hall")
    shutil.copy(home / "models/toy.menet.pt", tmp_path / "models/toy.menet.pt")
    assert "several scenes have a model of menet (hall, toy): choose one" in mistake(tmp_path, "relate", a, b)
    made = run(home, "train-mlp", "toy", "--epochs", "1", "--no-run", "--no-calibration", "--out", str(tmp_path / "irp.pt"))
    assert made.exit_code == 0, made.output
    assert "is a model of the method irpnet, not menet" in mistake(home, "relate", a, b, "--model", str(tmp_path / "irp.pt"))


def test_a_scene_that_has_changed_since_is_noticed(home: Path, tmp_path: Path) -> None:
    a, b = photos(home)[:2]
    first_photos(Scene.load(home / "scenes/toy"), 6, 2).save(tmp_path / "scenes/toy")
    (tmp_path / "models").mkdir()
    shutil.copy(home / "models/toy.menet.pt", tmp_path / "models")
    assert "other mapping photos or poses of scene 'toy'" in mistake(tmp_path, "relate", a, b)


def test_methods_for_poses_refuse_it_and_name_the_command(home: Path) -> None:
    a = photos(home)[0]
    words = "method 'menet' is relative only, it gives no pose in the place: use 'irploc relate A.jpg B.jpg'"
    assert words in mistake(home, "localize", a, "--scene", "toy", "--method", "menet")
    assert words in mistake(home, "evaluate", "toy", "--methods", "nearest,menet")
    model = str(home / "models/toy.menet.pt")
    assert words in mistake(home, "localize", a, "--scene", "toy", "--model", model)


def test_an_evaluation_of_all_methods_leaves_it_out(home: Path, tmp_path: Path) -> None:
    result = run(home, "evaluate", "toy", "--json", str(tmp_path / "scores.json"))
    assert result.exit_code == 0, result.output
    assert "menet" not in json.loads((tmp_path / "scores.json").read_text())["results"]


def test_it_is_listed(home: Path) -> None:
    listed = {row["name"]: row for row in json.loads(run(home, "methods", "--json").stdout)}
    assert "relative" in listed["menet"]["summary"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["hall"], "no scene 'hall'"),
        (["toy", "--side", "20"], "side is 20 pixels"),
        (["toy", "--recipe", "slow"], "unknown recipe 'slow', choose one of fast, report"),
        (["toy", "--shape", "round"], "unknown shape 'round'"),
        (["toy", "--no-cips", "--pairs", "any.npz"], "--no-cips draws any two photos: leave --pairs any.npz out"),
        (["toy", "--pairs", "gone.npz"], "no pairs file gone.npz"),
        (["toy", "--device", "abacus"], "unknown device 'abacus'"),
    ],
)
def test_mistakes_of_training_end_with_one_line(home: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    out = tmp_path / "model.pt"
    assert words in mistake(home, "train", "menet", *arguments, "--epochs", "1", "--out", str(out))
    assert not out.exists()


def test_a_training_is_recorded_and_can_be_repeated_from_its_configuration(home: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.pt", tmp_path / "second.pt"
    small = ["--side", "32", "--epochs", "1", "--batch-size", "4", "--turn", "2", "--seed", "3"]
    assert run(home, "train", "menet", "toy", *small, "--out", str(first)).exit_code == 0
    made = run(home, "train", "menet", "toy", "--config", str(first.with_suffix(".toml")), "--out", str(second))
    assert made.exit_code == 0, made.output
    from irploc.training.menet.model import load_menet

    ours, theirs = load_menet(first), load_menet(second)
    assert (ours.recipe, ours.seed) == (theirs.recipe, theirs.seed)
    np.testing.assert_array_equal(ours.network.last.weight.numpy(), theirs.network.last.weight.numpy())
    listed = run(home, "runs", "--json")
    assert listed.exit_code == 0, listed.output
    assert "menet" in listed.stdout
