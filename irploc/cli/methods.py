"""`irploc methods`."""

from __future__ import annotations

import json
from typing import Any

import click


@click.command()
@click.option("--backbone", help="Also count the parameters of methods with networks on this backbone: resnet18 …")
@click.option("--json", "as_json", is_flag=True, help="A JSON list.")
def methods(backbone: str | None, as_json: bool) -> None:
    """List the localization methods and their options."""
    rows = _rows(backbone)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        known = {key: value for key, value in row["options"].items() if value is not None}
        defaults = "".join(f":{key}={_plain(value)}" for key, value in known.items())
        trained = "" if not row["needs_model"] else "  (needs its map)" if row["name"] == "structure" else "  (trained)"
        click.echo(f"{row['name'] + defaults:<20} {row['summary']}{trained}")
        if len(known) < len(row["options"]):
            click.echo(f"{'':<20} options: {', '.join(key for key in row['options'] if key not in known)}")
        if row.get("parameters_total"):
            counts = f"{row['parameters_total']:,} parameters, {row['parameters_trainable']:,} of them trained"
            click.echo(f"{'':<20} on {backbone}: {counts}")


def _rows(backbone: str | None) -> list[dict[str, Any]]:
    import dataclasses

    from irploc.estimators import METHODS
    from irploc.estimators.parameters import parameters_of_methods

    counts = {} if backbone is None else parameters_of_methods(backbone)
    rows = []
    for name, method in METHODS.items():
        row: dict[str, Any] = {
            "name": name,
            "summary": method.summary,
            "options": {field.name: field.default for field in dataclasses.fields(method.options)},
            "needs_model": method.needs_model or bool(method.members),
        }
        if backbone is not None:
            found = counts.get(name)
            row["backbone"] = backbone
            row["parameters_total"] = None if found is None else found.total
            row["parameters_trainable"] = None if found is None else found.trainable
        rows.append(row)
    return rows


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
