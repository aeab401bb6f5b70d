"""What differs between runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from irploc.runs.run import Run

ABSENT = None  # the value of a setting that a run does not have


def differences(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Settings that are not the same in all runs, each with its value in every run, None where a run has no such setting.

    Named by table, ``recipe.epochs`` or ``options.seed``; ``arguments`` are left out, which name the same things twice.
    """
    flat = [_flat(run.configuration.to_plain(run.folder)) for run in runs]
    names = sorted(dict.fromkeys(name for values in flat for name in values), key=_table)
    found = {name: [values.get(name, ABSENT) for values in flat] for name in names if name != "arguments"}
    return {name: values for name, values in found.items() if any(value != values[0] for value in values[1:])}


def _table(name: str) -> int:
    """Sorts names by their table, and leaves those of one table in their order."""
    tables = ("command", "scene", "method", "options", "recipe", "data", "made_with")
    table = name.partition(".")[0]
    return tables.index(table) if table in tables else len(tables)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
