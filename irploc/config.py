"""Options are frozen dataclasses; this module fills them from text (`name:k=10:alpha=8`) and from mappings, strictly."""

from __future__ import annotations

import dataclasses
import difflib
import operator
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from irploc.errors import BadInput

Options = TypeVar("Options")
_LONGEST_SHOWN = 60  # characters of a value that a message repeats


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
    if kind is bool:
        return _truth(value, what)
    return _number(value, kind, what) if kind in (int, float) else value


def _truth(value: Any, what: str) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false", "1", "0", "yes", "no"):
        return value.lower() in ("true", "1", "yes")
    raise BadInput(f"{what} is {_shown(value)}, expected true or false")


def _number(value: Any, kind: type, what: str) -> float:
    try:
        if isinstance(value, bool):
            raise TypeError
        if kind is int:
            return int(value) if isinstance(value, str) else operator.index(value)  # 1.5 is no whole number
        return float(value)
    except OverflowError:
        raise BadInput(f"{what} is {_shown(value)}, too large for a number") from None
    except (TypeError, ValueError):
        expected = "a whole number" if kind is int else "a number"
        raise BadInput(f"{what} is {_shown(value)}, expected {expected}") from None


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # of an integer with more digits than Python writes
        return "a huge number"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
