"""`irploc train-mlp` as a user meets it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from tiny_place import TinyEncoder, make_scene

from irploc.cli import main
from irploc.estimators.calibration import Calibration
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.retrieval.store import EmbeddingStore
from irploc.training.modelfile import load_model

SMALL = ["--width", "32", "--batch-size", "8", "--epochs", "3", "--no-run"]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with the embeddings of a tiny scene."""
    scene = make_scene(tmp_path)
    embed_scene(scene, tmp_path / "scene", tmp_path / "embeddings/tiny.h5", TinyEncoder(), EmbedOptions(augmentations=2))
    return tmp_path


def run(workspace: Path, *arguments: str) -> Result:
    """One call of irploc."""
    return CliRunner().invoke(main, ["--workspace", str(workspace), "train-mlp", *arguments])


def test_a_scene_by_name_becomes_a_model_where_methods_look_for_it(workspace: Path) -> None:
    result = run(workspace, "tiny", *SMALL, "--seed", "4")
    assert result.exit_code == 0, result.output
    path = workspace / "models/tiny.irpnet.pt"
    assert str(path) in result.stdout
    assert "test photos, median" in result.stdout
    assert "irpnet, recipe fast (outdoor), 3 heads, 6 images of 3 versions" in result.stderr
    model = load_model(path)
    assert (model.model, model.seed, model.recipe.width, model.identity["encoder"]) == ("irpnet", 4, 32, "tiny")
    assert [entry["epoch"] for entry in model.record["epochs"]] == [1, 2, 3]
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["tiny.irpnet.pt", "tiny.irpnet.toml"]


def test_an_mlp_with_the_papers_settings_goes_where_it_is_told(workspace: Path) -> None:
    out = workspace / "elsewhere/model.pt"
    file = str(workspace / "embeddings/tiny.h5")
    flags = ["--model", "mlp", "--recipe", "paper", "--place", "outdoor", "--out", str(out)]
    result = run(workspace, file, *flags, *SMALL)
    assert result.exit_code == 0, result.output
    model = load_model(out, method="mlp")
    assert (model.recipe.name, model.recipe.place, model.recipe.learning_rate) == ("paper", "outdoor", 1e-3)


def test_quiet_says_only_the_result(workspace: Path) -> None:
    result = CliRunner().invoke(main, ["--quiet", "--workspace", str(workspace), "train-mlp", "tiny", *SMALL])
    assert result.exit_code == 0
    assert "epoch" not in result.stderr
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent"], "no embeddings file"),
        (["tiny", "--model", "irpnett"], "unknown model 'irpnett', choose one of irpnet, mlp"),
        (["tiny", "--recipe", "fst"], "did you mean 'fast'"),
        (["tiny", "--place", "space"], "indoor, outdoor"),
        (["tiny", "--epochs", "0"], "epochs is 0"),
        (["tiny", "--width", "8"], "needs at least 32"),
        (["tiny", "--device", "abacus"], "unknown device 'abacus'"),
        (["tiny", "--recipe", "paper", "--width", "32", "--learning-rate", "1e6"], "try --learning-rate"),
    ],
)
def test_mistakes_end_with_one_line(workspace: Path, arguments: list[str], words: str) -> None:
    result = run(workspace, *arguments)
    assert result.exit_code == 1
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert not (workspace / "models").exists() or not list((workspace / "models").glob("*.pt"))


def test_a_store_without_mapping_photos_or_not_complete_is_refused(workspace: Path) -> None:
    scene = make_scene(workspace / "tests-only", train=0, test=3)
    path = workspace / "embeddings/empty.h5"
    embed_scene(scene, workspace, path, TinyEncoder(), EmbedOptions(augmentations=2))
    assert "has no mapping photos" in run(workspace, "empty", *SMALL).stderr
    with EmbeddingStore.open_for_writing(workspace / "embeddings/tiny.h5") as store:
        store._file["done"][1] = 0
    result = run(workspace, "tiny", *SMALL)
    assert result.exit_code == 1
    assert "1 of 9 images are not embedded yet" in result.stderr


def test_the_model_loads_with_torch_alone(workspace: Path) -> None:
    run(workspace, "tiny", *SMALL)
    content = torch.load(workspace / "models/tiny.irpnet.pt", weights_only=True)
    assert len(content["heads"]) == 3
    head = content["heads"][1]
    assert set(head) == {"position", "orientation"}
    assert all("branches" in name or "shared" in name for name in head["position"]["weights"])


def test_the_number_of_heads_is_the_users(workspace: Path) -> None:
    assert run(workspace, "tiny", *SMALL, "--ensemble", "2").exit_code == 0
    assert len(load_model(workspace / "models/tiny.irpnet.pt").heads) == 2
    refused = run(workspace, "tiny", *SMALL, "--ensemble", "0")
    assert (refused.exit_code, "an ensemble of 0 heads is not possible" in refused.stderr) == (1, True)


@pytest.fixture
def larger(tmp_path: Path) -> Path:
    """A workspace whose place is large enough to calibrate."""
    scene = make_scene(tmp_path, train=24, test=4)
    embed_scene(scene, tmp_path / "scene", tmp_path / "embeddings/tiny.h5", TinyEncoder(), EmbedOptions(augmentations=2))
    return tmp_path


def test_a_model_knows_what_its_answers_are_worth_unless_nobody_asks(larger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("irploc.training.heldout.STEPS", 4)
    trained = [*SMALL[:4], "--epochs", "60"]
    assert run(larger, "tiny", *trained).exit_code == 0
    calibration = load_model(larger / "models/tiny.irpnet.pt").calibration
    assert calibration is not None
    assert Calibration.from_plain(calibration).limit > 0
    poor = run(larger, "tiny", *SMALL, "--recipe", "paper", "--learning-rate", "1e-9")
    assert "does not even fit its own photos" in poor.stderr
    assert load_model(larger / "models/tiny.irpnet.pt").calibration is None
    assert run(larger, "tiny", *SMALL, "--no-calibration").exit_code == 0
    assert load_model(larger / "models/tiny.irpnet.pt").calibration is None


def test_a_training_goes_on_from_a_model_when_photos_were_added(larger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("irploc.training.heldout.STEPS", 4)
    assert run(larger, "tiny", *SMALL, "--model", "mlp").exit_code == 0
    model = larger / "models/tiny.mlp.pt"
    before = load_model(model)
    scene = make_scene(larger, train=27, test=1)
    embed_scene(scene, larger / "scene", larger / "embeddings/tiny.h5", TinyEncoder(), EmbedOptions(augmentations=2))
    result = run(larger, "tiny", "--model", "mlp", "--init", str(model), "--learning-rate", "1e-12")
    assert result.exit_code == 0, result.output
    assert f"from {model}, 27 images" in result.stderr
    after = load_model(model)
    assert after.identity["mapping_fingerprint"] != before.identity["mapping_fingerprint"]
    assert (len(after.heads), after.recipe.width, after.recipe.epochs, after.recipe.share) == (3, 32, 3, 0.1)
    assert after.calibration == before.calibration
    in_workspace = "models/tiny.mlp.pt"
    assert run(larger, "tiny", "--model", "mlp", "--init", in_workspace, "--calibration").exit_code == 0
    assert load_model(model).calibration not in (None, before.calibration)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--recipe", "paper"], "--init keeps the recipe"),
        (["--width", "64"], "--init keeps the recipe"),
        (["--ensemble", "2"], "has 3 heads: leave --ensemble out"),
        (["--model", "irpnet"], "a model of the method mlp, not irpnet"),
    ],
)
def test_what_does_not_go_with_a_model_to_go_on_from_is_refused(workspace: Path, flags: list[str], words: str) -> None:
    assert run(workspace, "tiny", *SMALL, "--model", "mlp").exit_code == 0
    model = str(workspace / "models/tiny.mlp.pt")
    result = run(workspace, "tiny", "--model", "mlp", "--init", model, *flags)
    assert result.exit_code == 1
    assert words in result.stderr


def test_a_model_of_another_place_is_no_start(workspace: Path) -> None:
    assert run(workspace, "tiny", *SMALL).exit_code == 0
    model = workspace / "models/tiny.irpnet.pt"
    other = replace(make_scene(workspace / "b"), name="other")
    embed_scene(other, workspace, workspace / "embeddings/other.h5", TinyEncoder(), EmbedOptions(augmentations=2))
    result = run(workspace, "other", "--init", str(model))
    assert (result.exit_code, "was trained on the scene 'tiny', not on 'other'" in result.stderr) == (1, True)
