"""Configurations of trainings as TOML."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from toy_runs import CONFIGURATION, changed

from irploc.errors import BadInput, IrplocError, NotFound
from irploc.runs import Configuration, check_replaceable, configuration_path


def test_a_file_says_how_the_training_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "attic.irpnet.toml"
    CONFIGURATION.save(path)
    assert path.read_text().splitlines()[0] == f"# Trained again by: irploc train-mlp attic --config {path}"
    content = tomllib.loads(path.read_text())
    assert (content["format"], content["command"]) == ("irploc-training-configuration", "train-mlp")
    assert content["recipe"] == {"name": "fast", "epochs": 3, "learning_rate": 0.1, "widths": [4, 2]}


def test_what_is_read_is_what_was_saved_to_the_last_bit(tmp_path: Path) -> None:
    numbers = {"third": 1 / 3, "tiny": 5e-324, "one": 1.0, "whole": 2**62, "numpy": np.float64(0.1), "yes": True}
    changed(recipe=numbers).save(tmp_path / "a.toml")
    found = Configuration.load(tmp_path / "a.toml").recipe
    assert found == numbers
    assert [type(found[name]) for name in numbers] == [float, float, float, int, float, bool]


def test_paths_are_kept_relative_to_the_file_and_what_is_none_is_left_out(tmp_path: Path) -> None:
    configuration = changed(options={"floor_map": tmp_path / "maps/floor.toml", "init": None})
    configuration.save(tmp_path / "models/a.toml")
    assert Configuration.load(tmp_path / "models/a.toml").options == {"floor_map": "../maps/floor.toml"}


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"made_with": {"device": "cpu", "threads": 8}}, True),
        ({"arguments": ("attic.h5",)}, True),
        ({"made_with": {"device": "cuda", "threads": 1}}, False),
        ({"options": {"seed": 1, "model": "irpnet"}}, False),
        ({"recipe": {**CONFIGURATION.recipe, "epochs": 4}}, False),
        ({"data": {"scene": "attic", "embeddings": "e6"}}, False),
        ({"command": "train siamese"}, False),
    ],
)
def test_the_same_training_has_the_same_settings_data_and_device(
    tmp_path: Path, changes: dict[str, object], same: bool
) -> None:
    CONFIGURATION.save(tmp_path / "run/config.toml")
    read = Configuration.load(tmp_path / "run/config.toml")
    assert changed(**changes).same_training(read, tmp_path / "run") is same


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epochs = 3", "has no place for 'epochs': options of the command stand under"),
        ("[option]\nepochs = 3", "did you mean 'options'?"),
        ("options = 3", r"options must be a table, \[options\]"),
        ("command = 3", "command must be a text"),
        ("arguments = [3]", "arguments must be a list of texts"),
        ("[options", "is not TOML"),
        ('format = "irploc-scene"\nversion = 1\nname = "attic"', "not an irploc-training-configuration file"),
        ('format = "irploc-training-configuration"\nversion = 9', "this irploc reads version 1"),
        ("\udcff", "is not TOML"),
    ],
)
def test_a_file_of_something_else_is_refused_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(IrplocError, match=words) as refused:
        Configuration.load(path)
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)


def test_an_absent_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no configuration"):
        Configuration.load(tmp_path / "a.toml")


def test_it_lies_beside_the_model() -> None:
    assert configuration_path(Path("models/attic.irpnet.pt")) == Path("models/attic.irpnet.toml")
    assert configuration_path(Path("models/attic.irpnet")) == Path("models/attic.irpnet.toml")


def test_files_of_others_are_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "scene.toml"
    check_replaceable(path)
    CONFIGURATION.save(path)
    check_replaceable(path)
    for text in ('format = "irploc-scene"', "no toml at all ["):
        path.write_text(text)
        with pytest.raises(BadInput, match="choose another --out"):
            check_replaceable(path)
