"""The Siamese trainings are recorded, and done again from their configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from tiny_place import TinyEncoder
from toy_images import first_photos

from irploc.cli import main
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.runs import Run
from irploc.scene import Scene
from irploc.training.siamese.model import load_siamese

pytestmark = pytest.mark.usefixtures("tiny_encoder")


@pytest.fixture
def home(toy_scene: Path, tmp_path: Path) -> Path:
    """A workspace with eight embedded mapping photos."""
    scene = first_photos(Scene.load(toy_scene), 8)
    scene.save(tmp_path / "scenes/toy")
    folder, file = tmp_path / "scenes/toy", tmp_path / "embeddings/toy.h5"
    embed_scene(scene, folder, file, TinyEncoder(), EmbedOptions(augmentations=1))
    return tmp_path


def train(home: Path, *arguments: str) -> Result:
    """One training that must end well."""
    result = CliRunner().invoke(main, ["--workspace", str(home), "train", *arguments])
    assert result.exit_code == 0, result.output
    return result


def weights(path: Path) -> str:
    return str(torch.load(path, weights_only=True)["network_sha256"])


EMBEDDINGS = ["--epochs", "2", "--batch-size", "4", "--no-calibration", "--relative", "group", "--seed", "3"]
IMAGES = ["--backbone", "resnet18", "--random-weights", "--frozen", "--epochs", "2", "--crop", "64", "--no-calibration"]


@pytest.mark.parametrize(
    ("method", "flags"),
    [
        ("siamese", [*EMBEDDINGS, "--recipe", "paper"]),
        ("siamese", EMBEDDINGS),
        ("siamese-image", [*IMAGES, "--no-cips", "--seed", "3"]),
    ],
)
def test_the_saved_configuration_gives_the_same_weights(home: Path, method: str, flags: list[str]) -> None:
    train(home, method, "toy", *flags)
    model = home / f"models/toy.{method}.pt"
    first, recipe = weights(model), load_siamese(model, method=method).recipe
    (folder,) = home.glob("runs/*/*")
    run = Run.load(folder)
    assert run.name.startswith(f"toy.{method}/")
    assert run.configuration.command == f"train {method}"
    assert [entry.step for entry in run.entries] == [
        entry["step"] for entry in load_siamese(model, method=method).record["epochs"]
    ]
    assert {entry.split for entry in run.entries} == {"test"}
    again = train(home, method, "toy", "--config", str(home / f"models/toy.{method}.toml"))
    assert "will be others" not in again.stderr
    assert (weights(model), load_siamese(model, method=method).recipe) == (first, recipe)
    other = home / "other.pt"
    train(home, method, "toy", "--config", str(folder / "config.toml"), "--epochs", "1", "--out", str(other))
    changed = load_siamese(other, method=method).recipe
    assert (changed.epochs, changed.relation, changed.crop) == (1, recipe.relation, recipe.crop)


def test_what_the_published_settings_say_gives_way_to_the_file_and_that_to_the_command_line(home: Path) -> None:
    mine = home / "mine.toml"
    table = "[options]\nfrozen = true\nrandom-weights = true\nbackbone = 'resnet18'\ncalibration = false\n"
    mine.write_text(
        f"{table}[recipe]\nepochs = 2\nbatch_size = 5\ncrop = 64\nside = 70\ncips = false\nabsolute_widths = [8]\n"
    )
    out = home / "a.pt"
    train(home, "siamese-image", "toy", "--config", str(mine), "--batch-size", "4", "--out", str(out))
    recipe = load_siamese(out, method="siamese-image").recipe
    assert (recipe.epochs, recipe.batch_size, recipe.crop, recipe.side, recipe.cips) == (2, 4, 64, 70, False)
    assert recipe.absolute_widths == (8,)
    wrong = home / "wrong.toml"
    wrong.write_text(f"{table}[recipe]\nabsolute_widths = 'wide'\n")
    result = CliRunner().invoke(main, ["train", "siamese-image", "toy", "--config", str(wrong)])
    assert (result.exit_code, "absolute_widths must be a list of numbers" in result.stderr) == (1, True)
