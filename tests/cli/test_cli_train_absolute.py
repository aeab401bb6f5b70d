"""`irploc train posenet` and `irploc train mapnet` as a user meets them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from tiny_place import TinyEncoder
from toy_images import first_photos

from irploc.cli import main
from irploc.geometry.similarity import Similarity
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.scene import Scene
from irploc.training.absolute.heads import WIDTHS
from irploc.training.absolute.model import load_absolute
from irploc.training.steps import Optimisation

pytestmark = pytest.mark.usefixtures("tiny_encoder")
SMALL = ["--epochs", "2", "--batch-size", "8", "--no-calibration"]
ON_PHOTOS = [*SMALL, "--backbone", "resnet18", "--random-weights", "--crop", "64"]


@pytest.fixture(scope="module")
def home(toy_scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a scene, its embeddings, and a walk of the same photos in another frame and unit."""
    root = tmp_path_factory.mktemp("absolute")
    scene = Scene.load(toy_scene)
    scene.save(root / "scenes/toy")
    options = EmbedOptions(augmentations=1)
    embed_scene(scene, root / "scenes/toy", root / "embeddings/toy.h5", TinyEncoder(), options)
    turned = Similarity(0.2, (0.8, 0.0, 0.6, 0.0), (5.0, 1.0, 0.0)).apply_to_poses(scene.frames.poses)
    walk = replace(scene, name="walk", units="arbitrary", frames=replace(scene.frames, poses=turned))
    walk.save(root / "scenes/walk")
    embed_scene(walk, root / "scenes/walk", root / "embeddings/walk.h5", TinyEncoder(), options)
    return root


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrow layers, and no ImageNet weights on this machine."""
    monkeypatch.setitem(WIDTHS, "mapnet", (64, 32, 16))
    monkeypatch.setenv("IRPLOC_WEIGHTS", str(tmp_path / "weights"))


def run(workspace: Path, *arguments: str) -> Result:
    """One call of irploc."""
    return CliRunner().invoke(main, ["--workspace", str(workspace), *arguments])


@pytest.mark.parametrize("method", ["posenet", "mapnet"])
def test_a_scene_becomes_a_model_that_localizes_and_is_evaluated(home: Path, method: str) -> None:
    made = run(home, "train", method, "toy", *SMALL, "--seed", "3")
    assert made.exit_code == 0, made.output
    path = home / f"models/toy.{method}.pt"
    assert made.stdout.startswith(f"{path}: trained in ")
    assert "test photos, median" in made.stdout
    assert f"{method} on tiny, recipe fast, smooth-l1 loss with learned weights" in made.stderr
    assert ("tuples of 3 photos 10 apart" in made.stderr) == (method == "mapnet")
    assert sorted(entry.name for entry in path.parent.glob(f"toy.{method}*")) == [path.name, f"toy.{method}.toml"]
    model = load_absolute(path, method)
    assert (model.seed, model.recipe.epochs, model.recipe.minimum_steps) == (3, 2, 0)
    photo = Scene.load(home / "scenes/toy").frames.images[0]
    answer = run(home, "localize", str(photo), "--scene", "toy", "--method", method, "--json")
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert (found["status"], found["confidence"], found["method"]) == ("ok", None, method)
    by_model = run(home, "localize", str(photo), "--scene", "toy", "--model", str(path), "--json")
    assert json.loads(by_model.stdout)["center_m"] == found["center_m"]
    evaluated = run(home, "evaluate", "toy", "--methods", method, "--json", str(home / "scores.json"))
    assert evaluated.exit_code == 0, evaluated.output
    result = json.loads((home / "scores.json").read_text())["results"][method]
    assert result["median_position_m"] == pytest.approx(model.record["epochs"][-1]["position_m"], rel=1e-3)


def test_confidence_is_learned_unless_it_is_left_out(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.pt"
    made = run(home, "train", "posenet", "toy", "--epochs", "30", "--batch-size", "8", "--out", str(out))
    assert made.exit_code == 0, made.output
    photo = Scene.load(home / "scenes/toy").frames.of_split("test").images[0]
    answer = json.loads(run(home, "localize", str(photo), "--scene", "toy", "--model", str(out), "--json").stdout)
    assert 0 <= answer["confidence"] <= 1
    assert answer["expected_error"]["position_m"] > 0


@pytest.mark.parametrize("kind", ["--frozen", "--trainable"])
def test_a_backbone_looks_at_the_photos(home: Path, kind: str) -> None:
    made = run(home, "train", "posenet", "toy", *ON_PHOTOS, kind)
    assert made.exit_code == 0, made.output
    assert f"{kind[2:]} resnet18 from RANDOM features (it has learned nothing)" in made.stderr
    path = home / "models/toy.posenet.pt"
    model = load_absolute(path)
    assert (model.recipe.side, model.recipe.crop, model.identity["encoder"]) == (73, 64, "resnet18")
    test = Scene.load(home / "scenes/toy").frames.of_split("test")
    answer = run(home, "localize", *map(str, test.images), "--scene", "toy", "--method", "posenet", "--json")
    assert answer.exit_code == 0, answer.output
    centers = np.array([json.loads(line)["center_m"] for line in answer.stdout.splitlines()])
    evaluated = run(home, "evaluate", "toy", "--methods", "posenet", "--json", str(home / "scores.json"))
    assert evaluated.exit_code == 0, evaluated.output
    result = json.loads((home / "scores.json").read_text())["results"]["posenet"]
    errors = np.linalg.norm(centers - test.poses.centers_m, axis=1)
    assert result["median_position_m"] == pytest.approx(np.median(errors), rel=1e-3)
    listed = run(home, "runs", "--method", "posenet").stdout.splitlines()[-1]
    assert f"{kind[2:]} resnet18 from random features" in listed
    left = [entry.name for entry in path.parent.iterdir() if entry.name.startswith((".toy.posenet", "toy.posenet"))]
    assert sorted(left) == ["toy.posenet.pt", "toy.posenet.toml"]


def test_walks_without_labels_are_trained_on_and_their_scale_is_found(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "plus.pt"
    made = run(home, "train", "mapnet", "toy", *SMALL, "--unlabelled", "walk", "--out", str(out))
    assert made.exit_code == 0, made.output
    scale = float(made.stderr.partition("walk: 32 photos without labels, scaled by ")[2].split(";")[0])
    assert "8 of them are test or validation photos of this place" in made.stderr
    assert scale == pytest.approx(5.0, rel=0.1)
    assert "24 images and 32 of unlabelled walks" in made.stderr
    plain = run(home, "train", "mapnet", "toy", *SMALL, "--out", str(tmp_path / "plain.pt"))
    assert plain.exit_code == 0
    states = [load_absolute(path).head.state_dict() for path in (out, tmp_path / "plain.pt")]
    assert not torch.equal(states[0]["0.weight"], states[1]["0.weight"])


def test_a_saved_configuration_gives_the_same_numbers(home: Path, tmp_path: Path) -> None:
    first, again, other = (tmp_path / f"{name}.pt" for name in ("first", "again", "other"))
    options = ["--loss", "l1", "--alpha", "2", "--steps", "2", "--skip", "4", "--relative", "0.5", "--seed", "7"]
    assert run(home, "train", "mapnet", "toy", *SMALL, *options, "--out", str(first)).exit_code == 0
    config = str(first.with_suffix(".toml"))
    assert run(home, "train", "mapnet", "toy", "--config", config, "--out", str(again)).exit_code == 0
    assert run(home, "train", "mapnet", "toy", "--config", config, "--seed", "8", "--out", str(other)).exit_code == 0
    models = [load_absolute(path) for path in (first, again, other)]
    assert models[0].recipe == models[1].recipe == models[2].recipe
    assert (models[0].recipe.relative, models[0].recipe.weighting, models[0].recipe.steps) == (0.5, "fixed", 2)
    weights = [model.head.state_dict()["0.weight"] for model in models]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_diverged_training_leaves_its_last_good_state_and_says_where(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Optimisation, "rate", lambda self, number: 1e-3 if number < 120 else 1e9)
    out = tmp_path / "wild.pt"
    result = run(home, "train", "posenet", "toy", "--epochs", "200", "--no-calibration", "--out", str(out))
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert "the training diverged" in last
    good = tmp_path / "wild.last-good.pt"
    step = int(last.partition("; its state after ")[2].split()[0])
    assert last.endswith(f"; its state after {step} steps is kept in {good}")
    assert 100 < step <= 120
    errors = [entry["position_m"] for entry in load_absolute(good).record["epochs"]]
    assert errors[-1] < errors[0]
    assert not out.exists()
    runs = json.loads(run(home, "runs", "--scene", "wild", "--json").stdout or "[]")
    assert all(one["status"] == "diverged" for one in runs)


def test_a_first_loss_out_of_range_is_not_the_rates_fault(home: Path, tmp_path: Path) -> None:
    result = run(home, "train", "posenet", "toy", "--alpha", "1e308", "--out", str(tmp_path / "a.pt"))
    assert "before the first step: the weights of the loss or the labels are out of range" in result.stderr
    assert "--learning-rate" not in result.stderr


def test_tuples_longer_than_any_walk_and_tuples_for_posenet_are_refused(home: Path, tmp_path: Path) -> None:
    long = run(home, "train", "mapnet", "toy", "--steps", "999", "--out", str(tmp_path / "a.pt"))
    assert "tuples of 999 photos do not fit: the longest walk has 24; take fewer --steps" in long.stderr
    (tmp_path / "c.toml").write_text("[recipe]\nsteps = 5\n")
    result = run(home, "train", "posenet", "toy", "--config", str(tmp_path / "c.toml"), "--out", str(tmp_path / "a.pt"))
    assert "posenet learns from single photos, and the configuration has tuples of 5: train mapnet" in result.stderr
    assert not (tmp_path / "a.pt").exists()


def test_replacing_a_model_of_other_features_is_told(home: Path, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "a.pt")]
    assert run(home, "train", "posenet", "toy", *SMALL, *out).exit_code == 0
    again = run(home, "train", "posenet", "toy", *SMALL, *out)
    assert "will be replaced" not in again.stderr
    other = run(home, "train", "posenet", "toy", *ON_PHOTOS, *out)
    assert f"{tmp_path / 'a.pt'} is of tiny and will be replaced; --out keeps both" in other.stderr


def test_a_training_that_was_never_good_leaves_nothing(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "wild.pt"
    result = run(home, "train", "posenet", "toy", "--learning-rate", "1e9", "--no-calibration", "--out", str(out))
    assert result.exit_code == 1
    assert "it was never better than its start" in result.stderr.splitlines()[-1]
    assert not list(tmp_path.glob("*.pt"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["posenet", "hall"], "no embeddings"),
        (["posenet", "toy", "--loss", "l2"], "unknown loss 'l2', choose one of mse, l1"),
        (["posenet", "toy", "--recipe", "quick"], "unknown recipe 'quick'"),
        (["posenet", "toy", "--trainable"], "--trainable, --random-weights and --crop are about a backbone"),
        (["posenet", "toy", "--alpha", "2", "--weighting", "learned"], "a learned weighting has beta and gamma"),
        (["posenet", "toy", "--backbone", "resnet19"], "unknown backbone 'resnet19'"),
        (["posenet", "toy", "--backbone", "resnet18"], "the ImageNet weights of resnet18 are not in"),
        (["posenet", "toy", *ON_PHOTOS, "--crop", "8"], "crop is 8 pixels"),
        (["posenet", "toy", "--backbone", ""], "unknown backbone ''"),
        (["posenet", "toy", "--crop", "0"], "--crop are about a backbone"),
        (["posenet", "toy", "--batch-size", "999999999"], "batch size is 999999999, it must be at most 65536"),
        (["posenet", "toy", "--epochs", "99999999999999999999"], "it must be at most 1000000"),
        (["mapnet", "toy", "--steps", "0"], "steps is 0"),
        (["mapnet", "toy", "--steps", "1", "--relative", "2"], "--relative is about tuples of photos"),
        (["mapnet", "toy", "--unlabelled-weight", "2"], "--unlabelled-weight is of unlabelled walks"),
        (["mapnet", "toy", "--steps", "1", "--unlabelled", "walk"], "tuples need at least 2 --steps"),
        (["mapnet", "toy", "--relation", "sum"], "unknown relation 'sum'"),
        (["mapnet", "toy", "--unlabelled", "gone"], "gone.h5"),
        (["mapnet", "toy", *ON_PHOTOS, "--unlabelled", "walk"], "leave --backbone out"),
        (["mapnet", "toy", "--device", "abacus"], "unknown device 'abacus'"),
    ],
)
def test_mistakes_end_with_one_line(home: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    out = tmp_path / "model.pt"
    result = run(home, "train", *arguments, "--out", str(out))
    assert result.exit_code == 1
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not out.exists()


def test_methods_tells_how_many_parameters_there_are(home: Path) -> None:
    rows = json.loads(run(home, "methods", "--backbone", "resnet34", "--json").stdout)
    found = {row["name"]: (row["parameters_total"], row["parameters_trainable"]) for row in rows}
    assert found["posenet"] == (21_288_263, 3_591)
    assert found["bdi"] == (None, None)
    assert (
        "on resnet34: 21,288,263 parameters, 3,591 of them trained" in run(home, "methods", "--backbone", "resnet34").stdout
    )
    assert "parameters_total" not in json.loads(run(home, "methods", "--json").stdout)[0]


def test_a_photo_of_a_scene_with_one_photo_a_walk_has_no_tuples(home: Path, toy_scene: Path, tmp_path: Path) -> None:
    scene = first_photos(Scene.load(toy_scene), 3, 1)
    frames = replace(scene.frames, sequences=np.array(list("abcd"), dtype=object))
    replace(scene, name="apart", frames=frames).save(tmp_path / "scenes/apart")
    path = tmp_path / "embeddings/apart.h5"
    embed_scene(Scene.load(tmp_path / "scenes/apart"), tmp_path / "scenes/apart", path, TinyEncoder(), EmbedOptions())
    result = run(tmp_path, "train", "mapnet", "apart")
    assert (result.exit_code, "train posenet, or --steps 1" in result.stderr) == (1, True)
