"""Options are frozen dataclasses; this module fills them from text (`name:k=10:alpha=8`) and from mappings, strictly."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from irploc.errors import BadInput

Options = TypeVar("Options")


def options_from_mapping(kind: type[Options], values: Mapping[str, Any], where: str) -> Options:
    """An options dataclass from a mapping of strings or typed values.

    Args:
        kind: a frozen dataclass; its defaults fill what ``values`` leaves out.
        values: option name -> value; strings are converted to the field's type.
        where: what the values belong to, for the message (``method 'bdi'``).

    Raises:
        BadInput: for an unknown name (with a suggestion) or a value of the wrong type or outside its range.
    """
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(sorted(known)) or 'no options'}"
            raise BadInput(f"{where} has no option {name!r}: {advice}")
    kinds = typing.get_type_hints(kind)
    converted = {name: _convert(value, kinds[name], f"{where}: option {name}") for name, value in values.items()}
    try:
        return kind(**converted)
    except ValueError as error:
        raise BadInput(f"{where}: {error}") from None


def parse_spec(spec: str) -> tuple[str, dict[str, str]]:
    """Splits what a user types, ``csi:k=20:alpha=8``, into ("csi", {"k": "20", "alpha": "8"}); a name alone means ``true``,
    and hyphens are underscores: ``siamese:one-shot``."""
    name, *parts = spec.split(":")
    options: dict[str, str] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not key or (equals and not value):
            raise BadInput(f"cannot read {part!r} in {spec!r}: options are written name:key=value:key=value")
        key = key.replace("-", "_")
        if key in options:
            raise BadInput(f"option {key!r} is given twice in {spec!r}")
        options[key] = value if equals else "true"
    return name, options


def _convert(value: Any, kind: Any, what: str) -> Any:
    if isinstance(kind, types.UnionType):  # int | None: whatever is given is of the first kind
        if value is None:
            return None
        kind = typing.get_args(kind)[0]
    if kind is bool and isinstance(value, str):
        if value.lower() in ("true", "false", "1", "0", "yes", "no"):
            return value.lower() in ("true", "1", "yes")
        raise BadInput(f"{what} is {value!r}, expected true or false")
    if kind in (int, float) and not isinstance(value, bool):
        try:
            return kind(value)
        except (TypeError, ValueError):
            article = "a whole number" if kind is int else "a number"
            raise BadInput(f"{what} is {value!r}, expected {article}") from None
    return value
