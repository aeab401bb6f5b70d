"""Trainings are recorded, and done again from their configuration: `--config` and `--run` as a user meets them."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from tiny_place import TinyEncoder, make_scene
from toy_runs import events

from irploc.cli import main
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.runs import Run
from irploc.training.checkpoint import checkpoint_path
from irploc.training.modelfile import load_model
from irploc.training.recipes import Recipe

SMALL = ["--width", "32", "--batch-size", "4", "--epochs", "3", "--no-calibration"]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with the embeddings of a tiny scene."""
    scene = make_scene(tmp_path)
    embed_scene(scene, tmp_path / "scene", tmp_path / "embeddings/tiny.h5", TinyEncoder(), EmbedOptions(augmentations=2))
    return tmp_path


def run(root: Path, *arguments: str) -> Result:
    """One call of irploc."""
    return CliRunner().invoke(main, ["--workspace", str(root), *arguments])


def trained(root: Path, *arguments: str) -> Result:
    """One training that must end well."""
    result = run(root, "train-mlp", "tiny", *arguments)
    assert result.exit_code == 0, result.output
    return result


def weights(path: Path) -> str:
    return str(torch.load(path, weights_only=True)["heads_sha256"])


def only_run(root: Path) -> Run:
    (folder,) = root.glob("runs/*/*")
    return Run.load(folder)


def written(root: Path, text: str) -> str:
    (root / "mine.toml").write_text(text)
    return str(root / "mine.toml")


def test_a_training_leaves_a_run_that_agrees_with_its_model(workspace: Path) -> None:
    result = trained(workspace, *SMALL, "--seed", "4")
    made, model = only_run(workspace), load_model(workspace / "models/tiny.irpnet.pt")
    assert f"recorded in {made.folder}" in result.stderr
    assert made.name.startswith("tiny.irpnet/")
    errors = [(entry.step, entry.epoch, entry.loss, entry.position_m, entry.rotation_deg) for entry in made.entries]
    names = ("step", "epoch", "loss", "position_m", "rotation_deg")
    assert errors == [tuple(entry[name] for name in names) for entry in model.record["epochs"]]
    assert {entry.split for entry in made.entries} == {"test"}
    assert [(step, round(value, 5)) for step, tag, value in events(made.folder) if tag == "error/position_m"] == [
        (entry.step, round(entry.position_m or 0, 5)) for entry in made.entries
    ]
    assert (made.folder / "curves.png").is_file()
    assert (made.summary.status, made.configuration.options["seed"]) == ("finished", 4)
    assert (made.configuration.command, made.configuration.data["mapping_fingerprint"]) == (
        "train-mlp",
        model.identity["mapping_fingerprint"],
    )


@pytest.mark.parametrize("flags", [[], ["--model", "mlp", "--recipe", "paper", "--place", "outdoor"]])
def test_the_saved_configuration_gives_the_same_weights(workspace: Path, flags: list[str]) -> None:
    """Also where the command line changed what follows from other settings, the learning rate here."""
    trained(workspace, *SMALL, "--seed", "5", "--learning-rate", "0.003", *flags)
    method = "mlp" if flags else "irpnet"
    model = workspace / f"models/tiny.{method}.pt"
    first, record = weights(model), only_run(workspace)
    again = trained(workspace, "--config", str(workspace / f"models/tiny.{method}.toml"))
    assert weights(model) == first
    assert "results will be others" not in again.stderr
    assert "last digits" not in again.stderr
    model.unlink()
    trained(workspace, "--config", str(record.folder / "config.toml"))
    assert weights(model) == first
    other = trained(workspace, "--config", str(record.folder / "config.toml"), "--seed", "6")
    assert weights(model) != first, other.output


def test_the_configuration_beside_the_model_is_the_one_of_the_run(workspace: Path) -> None:
    trained(workspace, *SMALL)
    beside = tomllib.loads((workspace / "models/tiny.irpnet.toml").read_text())
    assert beside == tomllib.loads((only_run(workspace).folder / "config.toml").read_text())
    assert set(beside["recipe"]) == {field.name for field in fields(Recipe)}


def test_the_command_line_beats_the_file_and_the_file_the_defaults(workspace: Path) -> None:
    mine = written(
        workspace, '[options]\nmodel = "mlp"\nbatch-size = 2\nepochs = 2\ncalibration = false\n[recipe]\nwidth = 64'
    )
    trained(workspace, "--config", mine, "--epochs", "1")
    recipe = load_model(workspace / "models/tiny.mlp.pt").recipe
    assert (recipe.batch_size, recipe.epochs, recipe.minimum_steps, recipe.width, recipe.heads) == (2, 1, 0, 64, 3)


def test_any_field_of_a_recipe_can_be_set_and_epochs_of_the_command_line_are_exact(workspace: Path) -> None:
    mine = written(workspace, "[recipe]\nwidth = 32\nepochs = 2\nminimum_steps = 5\nnoise = 0.5\ncomponents = 3")
    trained(workspace, "--config", mine, "--no-calibration")
    recipe = load_model(workspace / "models/tiny.irpnet.pt").recipe
    assert (recipe.epochs, recipe.minimum_steps, recipe.noise, recipe.components) == (2, 5, 0.5, 3)
    trained(workspace, "--config", mine, "--no-calibration", "--epochs", "2")
    recipe = load_model(workspace / "models/tiny.irpnet.pt").recipe
    assert (recipe.epochs, recipe.minimum_steps, recipe.noise) == (2, 0, 0.5)


def test_another_recipe_on_the_command_line_replaces_the_one_of_the_file(workspace: Path) -> None:
    trained(workspace, *SMALL)
    saved = str(workspace / "models/tiny.irpnet.toml")
    flags = ["--recipe", "paper", "--width", "32", "--epochs", "1"]
    result = trained(workspace, "--config", saved, *flags)
    assert "--recipe paper chooses the recipe: the one in" in result.stderr
    recipe = load_model(workspace / "models/tiny.irpnet.pt").recipe
    assert (recipe.name, recipe.batch_size, recipe.optimizer) == ("paper", 8, "adam")


def test_paths_in_a_file_are_found_from_its_folder(workspace: Path) -> None:
    trained(workspace, *SMALL, "--model", "mlp")
    (workspace / "settings").mkdir()
    mine = workspace / "settings/mine.toml"
    mine.write_text('[options]\nmodel = "mlp"\ninit = "../models/tiny.mlp.pt"\nout = "../elsewhere.pt"\n')
    assert "from " in trained(workspace, "--config", str(mine)).stderr
    assert load_model(workspace / "elsewhere.pt").recipe.share == 0.1
    first = weights(workspace / "elsewhere.pt")
    again = trained(workspace, "--config", str(workspace / "elsewhere.toml"), "--out", str(workspace / "again.pt"))
    assert weights(workspace / "again.pt") == first, again.output


def test_other_data_and_another_machine_are_told(workspace: Path) -> None:
    trained(workspace, *SMALL)
    saved = workspace / "models/tiny.irpnet.toml"
    text = saved.read_text().replace("threads = ", "threads = 9")
    mine = written(workspace, text.replace('ground_truth = "invented"', 'ground_truth = "measured"'))
    result = trained(workspace, "--config", mine)
    assert "was trained on other data (ground_truth): the results will be others" in result.stderr
    assert "was trained with another threads: the last digits may be others" in result.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[options]\nepoch = 3", "'irploc train-mlp' has no option 'epoch': did you mean 'epochs'?"),
        ("[options]\nconfig = 'a'", "has no option 'config'"),
        ("[options]\nepochs = '3'", "--epochs is '3', it must be of the kind integer"),
        ("[options]\nepochs = true", "--epochs is True, it must be of the kind integer"),
        ("[options]\nseed = -1", "--seed: -1 is not in the range"),
        ("[options]\nviews = 1", "--views is 1, it must be of the kind boolean"),
        ("[options]\nmodel = 3", "--model is 3"),
        ("[options]\nbatch-size = 3\nbatch_size = 4", "gives an option twice"),
        ("[recipe]\nwitdh = 3", "mine.toml, [recipe] has no option 'witdh': did you mean 'width'?"),
        ("[recipe]\nwidth = 3.5", "option width is 3.5, expected a whole number"),
        ("[recipe]\noptimizer = 3", "option optimizer cannot be 3"),
        ("[recipe]\nwidth = [3]", "option width cannot be [3]"),
        ("[recipe]\nwidth = 7", "width is 7, it must be a multiple of 4"),
        ("[recipe]\nname = 'quick'", "unknown recipe 'quick'"),
        ("[recipe]\nplace = 'space'", "unknown place 'space'"),
        ("command = 'train siamese'", "is a configuration of 'irploc train siamese', not of 'irploc train-mlp'"),
        ("epochs = 3", "has no place for 'epochs'"),
        ("[[", "is not TOML"),
    ],
)
def test_a_wrong_file_ends_with_one_line_before_anything_is_trained(workspace: Path, text: str, words: str) -> None:
    result = run(workspace, "train-mlp", "tiny", "--config", written(workspace, text))
    assert result.exit_code == 1, result.output
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert not (workspace / "runs").exists()


def test_a_file_that_is_not_there_is_not_found(workspace: Path) -> None:
    result = run(workspace, "train-mlp", "tiny", "--config", "absent.toml")
    assert (result.exit_code, "no configuration absent.toml" in result.stderr) == (1, True)


def test_without_a_run_the_configuration_is_kept_all_the_same(workspace: Path) -> None:
    trained(workspace, *SMALL, "--no-run")
    assert not (workspace / "runs").exists()
    assert (workspace / "models/tiny.irpnet.toml").is_file()


def test_a_file_of_something_else_beside_the_model_is_not_replaced(workspace: Path) -> None:
    result = run(workspace, "train-mlp", "tiny", *SMALL, "--out", str(workspace / "scene/scene.pt"))
    assert result.exit_code == 1
    assert "scene.toml is not a configuration of a training and would be replaced by one" in result.stderr
    assert not (workspace / "runs").exists()


def test_a_diverged_training_is_a_run_that_says_so(workspace: Path) -> None:
    result = run(workspace, "train-mlp", "tiny", "--recipe", "paper", "--width", "32", "--learning-rate", "1e6")
    assert (result.exit_code, "the training diverged" in result.stderr) == (1, True)
    assert only_run(workspace).summary.status == "diverged"
    assert "try --learning-rate" in only_run(workspace).summary.message
    assert not (workspace / "models/tiny.irpnet.toml").exists()


def test_an_interrupted_training_goes_on_in_its_run(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted after two epochs of three, as Ctrl-C does; the model is the one that it would have been."""
    from irploc.runs import RunRecorder

    real = RunRecorder.entry

    def interrupting(recorder: RunRecorder, values: dict[str, object]) -> None:
        real(recorder, values)
        if values["epoch"] == 2:
            raise KeyboardInterrupt

    trained(workspace, *SMALL, "--out", str(workspace / "whole.pt"), "--no-run")
    monkeypatch.setattr(RunRecorder, "entry", interrupting)
    assert run(workspace, "train-mlp", "tiny", *SMALL).exit_code == 1
    stopped = only_run(workspace)
    assert (stopped.summary.status, [entry.epoch for entry in stopped.entries]) == ("interrupted", [1, 2])
    assert (stopped.folder / "curves.png").is_file()
    assert checkpoint_path(workspace / "models/tiny.irpnet.pt").is_file()
    monkeypatch.setattr(RunRecorder, "entry", real)
    assert f"going on in {stopped.folder}" in trained(workspace, *SMALL).stderr
    done = only_run(workspace)
    assert (done.summary.status, [entry.epoch for entry in done.entries]) == ("finished", [1, 2, 3])
    assert [step for step, tag, _ in events(done.folder) if tag == "error/position_m"] == [2, 4, 6]
    assert weights(workspace / "models/tiny.irpnet.pt") == weights(workspace / "whole.pt")


def test_calibration_reports_nothing_into_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("irploc.training.heldout.STEPS", 4)
    scene = make_scene(tmp_path, train=24, test=4)
    embed_scene(scene, tmp_path / "scene", tmp_path / "embeddings/tiny.h5", TinyEncoder(), EmbedOptions(augmentations=2))
    trained(tmp_path, *SMALL[:-1])
    assert [entry.epoch for entry in only_run(tmp_path).entries] == [1, 2, 3]
