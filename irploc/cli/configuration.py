"""``--config FILE.toml`` and ``--run/--no-run`` of the commands that train: the file's values are defaults, the command line
wins."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from irploc.cli.common import FILE, note

if TYPE_CHECKING:
    from irploc.runs import Configuration

Command = TypeVar("Command", bound=Callable[..., Any])
Recipe = TypeVar("Recipe")
_FILE, _RUN = "irploc.configuration", "irploc.run"
# options by the recipe field that they set, where the names differ and the command has no other option for the field
_FIELDS = {"recipe_name": "name", "ensemble": "heads", "relative": "relation"}
_SELECTORS = ("recipe_name", "place", "init")  # choose the whole recipe: on the command line they leave the file's out
_ELSEWHERE = ("out", "resume")  # say where and how, not what


def recorded(command: Command) -> Command:
    """Gives a command that trains its options ``--config`` and ``--run``; their values are read by ``configured`` and
    ``recorded_run``."""
    config = click.option(
        "--config",
        type=FILE,
        is_eager=True,
        expose_value=False,
        callback=_take_file,
        help="Settings in TOML, a model's own for example; options given here beat them.  See docs/runs.md.",
    )
    run = click.option(
        "--run/--no-run",
        default=True,
        expose_value=False,
        callback=_take_run,
        help="Keep a record in runs/, see 'irploc runs'.",
    )
    return config(run(command))


def wants_run(ctx: click.Context) -> bool:
    """Whether a record is wanted."""
    return bool(ctx.meta.get(_RUN, True))


def file_of(ctx: click.Context) -> tuple[Path, Configuration] | None:
    """The file that ``--config`` names; None without."""
    found: tuple[Path, Configuration] | None = ctx.meta.get(_FILE)
    return found


def fields_of_file(ctx: click.Context) -> dict[str, Any]:
    """The recipe's fields in the file, as they are there; none where the command line chooses another recipe."""
    if (found := file_of(ctx)) is None or not found[1].recipe:
        return {}
    path, configuration = found
    for name in _SELECTORS:
        given = ctx.params.get(name)
        typed = ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE
        if typed and given != configuration.recipe.get(_FIELDS.get(name, name)):
            flag = "--recipe" if name == "recipe_name" else f"--{name}"
            if not ctx.meta.get(f"{_FILE}.told"):
                note(f"{flag} {given} chooses the recipe: the one in {path} is left out")
                ctx.meta[f"{_FILE}.told"] = True
            return {}
    return dict(configuration.recipe)


def configured(ctx: click.Context, recipe: Recipe, **changes: Any) -> Recipe:
    """A recipe with the fields that the file gives, and over them the changes that are not None.

    Raises:
        BadInput: a field that recipes of this kind do not have, or a value that cannot be.
    """
    from irploc.config import options_from_mapping

    fields = fields_of_file(ctx)
    if fields and (found := file_of(ctx)) is not None:
        base = {item.name: getattr(recipe, item.name) for item in dataclasses.fields(recipe)}  # type: ignore[arg-type]
        where = f"{found[0]}, [recipe]"
        recipe = options_from_mapping(type(recipe), {**base, **_as_tuples(base, fields, where)}, where)
    given = {name: value for name, value in changes.items() if value is not None}
    return dataclasses.replace(recipe, **given) if given else recipe  # type: ignore[type-var]


def given(ctx: click.Context, *names: str) -> dict[str, Any]:
    """The values of those options that the command line or the file gives, by recipe field; click's own defaults are not
    given."""
    values = {name: ctx.params[name] for name in names if ctx.get_parameter_source(name) != ParameterSource.DEFAULT}
    return {_field(ctx, name): value for name, value in values.items() if value is not None}


def options_to_save(ctx: click.Context, recipe: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """What was chosen, by the options' long names, without what the recipe says.

    Args:
        ctx: of the command.
        recipe: its fields.
        known: values by parameter that the command found out more about than was typed.
    """
    saved = {}
    for name, parameter in _parameters(ctx.command).items():
        value = known.get(parameter.name or "", ctx.params.get(parameter.name or ""))
        expressed = _field(ctx, parameter.name or "") in recipe
        if value is not None and value != () and not expressed and parameter.name not in _ELSEWHERE:
            saved[name] = value
    return saved


def command_words(ctx: click.Context) -> str:
    """What follows ``irploc`` on the command line: ``train siamese``."""
    words = [ctx.command.name or ""]
    while ctx.parent is not None and ctx.parent.parent is not None and isinstance(ctx.parent.command, click.Group):
        ctx = ctx.parent
        words.insert(0, ctx.command.name or "")
    return " ".join(words)


def _field(ctx: click.Context, name: str) -> str:
    """The recipe field that an option sets, if it sets one."""
    other = _FIELDS.get(name, name)
    return name if other != name and any(parameter.name == other for parameter in ctx.command.params) else other


def _parameters(command: click.Command) -> dict[str, click.Option]:
    """The options that a file can have, by long name with underscores."""
    found = {}
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.expose_value:
            flag = next(word for word in parameter.opts if word.startswith("--"))
            found[flag[2:].replace("-", "_")] = parameter
    return found


def _take_run(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    ctx.meta[_RUN] = value


def _take_file(ctx: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    """Makes the file's options the defaults of the command's."""
    if path is None:
        return
    from irploc.errors import BadInput, Mismatch
    from irploc.runs import Configuration
    from irploc.runs.configuration import refuse_unknown

    configuration, words = Configuration.load(path), command_words(ctx)
    if configuration.command not in ("", words):
        raise Mismatch(f"{path} is a configuration of 'irploc {configuration.command}', not of 'irploc {words}'")
    parameters = _parameters(ctx.command)
    values = {name.replace("-", "_"): value for name, value in configuration.options.items()}
    if len(values) < len(configuration.options):
        raise BadInput(f"{path} gives an option twice, with hyphens and with underscores")
    refuse_unknown(values, parameters, f"{path}: 'irploc {words}' has no option {{}}", f"it takes {', '.join(parameters)}")
    defaults = {parameters[name].name: _checked(ctx, parameters[name], value, path) for name, value in values.items()}
    ctx.default_map = {**(ctx.default_map or {}), **defaults}
    ctx.meta[_FILE] = path, configuration


def _checked(ctx: click.Context, option: click.Option, value: Any, path: Path) -> Any:
    """A value of the option's kind; paths are found from the file's folder."""
    from irploc.errors import BadInput

    name, kind = option.opts[0], option.type
    several = option.multiple and isinstance(value, list)
    values = value if several else [value]
    for one in values:
        number = isinstance(one, int | float) and not isinstance(one, bool)
        fits = {
            "boolean": isinstance(one, bool),
            "integer": number and isinstance(one, int),
            "float": number,
        }.get(kind.name.removesuffix(" range"), isinstance(one, str))
        if not fits or option.multiple != several:
            wanted = "a list" if option.multiple else f"of the kind {kind.name}"
            raise BadInput(f"{path}: {name} is {one!r}, it must be {wanted}")
    if isinstance(kind, click.Path):
        values = [os.path.normpath(path.parent / one) if one else one for one in values]
    try:
        option.type_cast_value(ctx, values if option.multiple else values[0])
    except click.BadParameter as error:
        raise BadInput(f"{path}: {name}: {error.message}") from None
    return values if option.multiple else values[0]


def _as_tuples(base: Mapping[str, Any], fields: Mapping[str, Any], where: str) -> dict[str, Any]:
    """TOML has lists where recipes have tuples of numbers."""
    from irploc.errors import BadInput

    converted = dict(fields)
    for name, value in fields.items():
        if isinstance(base.get(name), tuple):
            if not isinstance(value, list) or not all(type(one) in (int, float) for one in value):
                raise BadInput(f"{where}: option {name} must be a list of numbers")
            converted[name] = tuple(value)
        elif isinstance(value, list | dict) or (isinstance(base.get(name), str) and not isinstance(value, str)):
            raise BadInput(f"{where}: option {name} cannot be {value!r}")
    return converted
