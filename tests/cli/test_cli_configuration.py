"""Options of commands and fields of recipes, with a command made up for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from irploc.cli.configuration import command_words, configured, given, options_to_save, recorded
from irploc.errors import IrplocError


@dataclass(frozen=True)
class Recipe:
    """Of nothing."""

    name: str = "plain"
    relation: str = "difference"
    relative: float = 1.0
    widths: tuple[int, ...] = (4, 2)


def command(found: dict[str, Any], *options: str) -> click.Group:
    """``irploc train toy`` with these options and the recorded ones; tells what it gets."""

    @click.group()
    def irploc() -> None:
        pass

    @irploc.group()
    def train() -> None:
        pass

    @click.pass_context
    def toy(ctx: click.Context, **values: Any) -> None:
        chosen = given(ctx, *(name for name in ("relative", "relation") if name in values))
        recipe = configured(ctx, Recipe(), **chosen)
        saved = options_to_save(ctx, recipe.__dict__, {})
        found.update(words=command_words(ctx), given=chosen, recipe=recipe, saved=saved, values=values)

    made = click.command("toy")(recorded(toy))
    for name in options:
        made.params.append(click.Option([f"--{name}"], default="default" if name == "relation" else None))
    made.params.append(click.Option(["--walks"], multiple=True))
    made.params.append(click.Option(["--frozen/--trainable"], default=True))
    made.params.append(click.Option(["--seed"], type=click.IntRange(min=0), default=3))
    train.add_command(made)
    return irploc


def run(options: tuple[str, ...], *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    result = CliRunner().invoke(command(found, *options), ["train", "toy", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return found


def test_a_command_is_called_by_the_words_that_call_it() -> None:
    assert run(())["words"] == "train toy"


def test_an_option_sets_the_field_of_another_name_only_where_no_option_has_that_name() -> None:
    """``--relative`` chooses the relation of a Siamese network; MapNet has both, and there it is a weight."""
    alone = run(("relative",), "--relative", "group")
    assert (alone["given"], alone["recipe"].relation, alone["recipe"].relative) == ({"relation": "group"}, "group", 1.0)
    both = run(("relative", "relation"), "--relative", "0.5")
    assert (both["given"], both["recipe"].relation, both["recipe"].relative) == ({"relative": "0.5"}, "difference", "0.5")


def test_defaults_of_click_are_not_given_and_what_the_recipe_says_is_not_saved_twice() -> None:
    found = run(("relation",))
    assert (found["given"], found["recipe"]) == ({}, Recipe())
    assert found["saved"] == {"frozen": True, "seed": 3}


def test_a_file_sets_options_that_are_given_several_times_and_flags(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('[options]\nwalks = ["a", "b"]\nfrozen = false\n[recipe]\nwidths = [8]\nrelation = "group"\n')
    found = run(("relation",), "--config", str(file))
    assert (found["values"]["walks"], found["values"]["frozen"], found["values"]["seed"]) == (("a", "b"), False, 3)
    assert found["recipe"] == Recipe(relation="group", widths=(8,))
    assert found["saved"] == {"walks": ("a", "b"), "frozen": False, "seed": 3}
    typed = run(("relation",), "--config", str(file), "--trainable", "--walks", "c", "--relation", "other")
    assert (typed["values"]["walks"], typed["recipe"].relation) == (("c",), "other")


@pytest.mark.parametrize("value", ['"a"', "[1]", "3"])
def test_a_list_of_something_else_is_refused(tmp_path: Path, value: str) -> None:
    file = tmp_path / "a.toml"
    file.write_text(f"[options]\nwalks = {value}\n")
    with pytest.raises(IrplocError, match="--walks is"):
        run((), "--config", str(file))
