"""`irploc train siamese-image` as a user meets it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tiny_place import TinyEncoder
from toy_images import first_photos

from irploc.cli import main
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.scene import Scene
from irploc.training.siamese.model import load_siamese

pytestmark = pytest.mark.usefixtures("tiny_encoder")
RANDOM = ["--backbone", "resnet18", "--random-weights", "--epochs", "1", "--batch-size", "8", "--crop", "64", "--no-run"]
ANY_TWO = [*RANDOM, "--frozen", "--no-cips"]


@pytest.fixture(scope="module")
def home(toy_scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with eight embedded mapping photos and their pairs."""
    root = tmp_path_factory.mktemp("siamese-image")
    scene = first_photos(Scene.load(toy_scene), 8)
    scene.save(root / "scenes/toy")
    embed_scene(scene, root / "scenes/toy", root / "embeddings/toy.h5", TinyEncoder(), EmbedOptions(augmentations=1))
    assert run(root, "pairs", "toy", "--test", "none", "--out", str(root / "chosen.npz")).exit_code == 0
    return root


@pytest.fixture(autouse=True)
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No ImageNet weights on this machine."""
    monkeypatch.setenv("IRPLOC_WEIGHTS", str(tmp_path / "weights"))


def run(workspace: Path, *arguments: str) -> Result:
    """One call of irploc."""
    return CliRunner().invoke(main, ["--workspace", str(workspace), *arguments])


def test_a_scene_becomes_a_model_that_localizes_and_is_evaluated(home: Path) -> None:
    made = run(home, "train", "siamese-image", "toy", *RANDOM, "--pairs", str(home / "chosen.npz"), "--seed", "3")
    assert made.exit_code == 0, made.output
    path = home / "models/toy.siamese-image.pt"
    assert made.stdout.startswith(f"{path}: resnet18 from random features, trained in ")
    assert "test photos, absolute head alone, median" in made.stdout
    assert "trainable resnet18 from RANDOM features (it has learned nothing), crops of 64 px" in made.stderr
    assert "correlated pairs (pairs of chosen.npz), 1 steps on cpu" in made.stderr
    assert sorted(entry.name for entry in path.parent.iterdir()) == [path.name, "toy.siamese-image.toml"]
    model = load_siamese(path, method="siamese-image")
    assert (model.seed, model.recipe.side, model.recipe.crop) == (3, 73, 64)
    assert (model.recipe.relation, model.recipe.learning_rate, model.recipe.dropout) == ("difference", 1e-3, 0.5)
    photo = Scene.load(home / "scenes/toy").frames.images[0]
    answer = run(home, "localize", str(photo), "--scene", "toy", "--method", "siamese-image", "--json")
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert (found["status"], found["confidence"], found["method"]) == ("ok", None, "siamese-image")
    evaluated = run(home, "evaluate", "toy", "--methods", "siamese-image:lookup=pose", "--json", str(home / "scores.json"))
    assert evaluated.exit_code == 0, evaluated.output
    assert json.loads((home / "scores.json").read_text())["results"]["siamese-image:lookup=pose"]["n"] == 2


def test_an_embeddings_file_leads_to_its_scene_and_options_are_kept(home: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "a.pt", str(home / "embeddings/toy.h5")
    made = run(home, "train", "siamese-image", file, *ANY_TWO, "--relative", "group", "--out", str(out))
    assert made.exit_code == 0, made.output
    assert "frozen resnet18" in made.stderr
    assert "relative pose as group, 8 images, pairs of any two photos, 1 steps on cpu after 72 crops" in made.stderr
    model = load_siamese(out, method="siamese-image")
    assert (model.recipe.relation, model.recipe.cips, model.extra["frozen"]) == ("group", False, True)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [out.name, "a.toml"]


def test_weights_that_are_not_there_are_said_before_anything_is_done(home: Path) -> None:
    result = run(home, "train", "siamese-image", "toy")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "the ImageNet weights of resnet50 are not in" in result.stderr
    assert "--random-weights" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["hall", *ANY_TWO], "no scene 'hall'"),
        (["toy", *ANY_TWO, "--backbone", "resnet"], "unknown backbone 'resnet'"),
        (["toy", *ANY_TWO, "--crop", "20"], "crop is 20 pixels"),
        (["toy", *ANY_TWO, "--epochs", "0"], "epochs is 0"),
        (["toy", *ANY_TWO, "--relative", "sum"], "unknown relation 'sum'"),
        (["toy", *ANY_TWO, "--device", "abacus"], "unknown device 'abacus'"),
        (["toy", *ANY_TWO, "--pairs", "any.npz"], "--no-cips draws any two photos: leave --pairs any.npz out"),
        (["toy", *RANDOM, "--pairs", "gone.npz"], "no pairs file gone.npz"),
    ],
)
def test_mistakes_end_with_one_line(home: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    out = tmp_path / "model.pt"
    result = run(home, "train", "siamese-image", *arguments, "--out", str(out))
    assert result.exit_code == 1
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not out.exists()


def test_photos_and_scenes_that_are_gone_are_missed(home: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.h5"
    shutil.copy(home / "embeddings/toy.h5", copy)
    scene = Scene.load(home / "scenes/toy")
    (home / "scenes/toy").rename(home / "scenes/moved")
    try:
        result = run(home, "train", "siamese-image", str(copy), *ANY_TWO)
    finally:
        (home / "scenes/moved").rename(home / "scenes/toy")
    assert (result.exit_code, "give the scene's folder instead" in result.stderr) == (1, True)
    first_photos(scene, 1).save(tmp_path / "scenes/bare")
    result = run(tmp_path, "train", "siamese-image", "bare", *ANY_TWO)
    assert (result.exit_code, "mapping photos in toy: 1;" in result.stderr) == (1, True)
    first_photos(scene, 7).save(tmp_path / "scenes/seven")
    result = run(tmp_path, "train", "siamese-image", "seven", *RANDOM, "--pairs", str(home / "chosen.npz"))
    assert (result.exit_code, "was made from other photos or poses" in result.stderr) == (1, True)
