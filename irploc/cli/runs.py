"""`irploc runs`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from irploc.cli.common import FILE, note, print_table, workspace_of

if TYPE_CHECKING:
    from irploc.runs import Entry, Run

_NOTHING = "–"
_LONGEST = 60  # characters of a setting in a table


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--compare", is_flag=True, help="Needs at least two names; several names are compared without it too.")
@click.option("--scene", help="Only trainings of this scene.")
@click.option("--method", help="Only trainings of this method.")
@click.option("--out", type=FILE, help="Draw the curves of these runs into a PNG.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.pass_context
def runs(
    ctx: click.Context,
    names: tuple[str, ...],
    compare: bool,
    scene: str | None,
    method: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """List the trainings of the workspace, the newest last; show one, or compare several.

    A NAME is that of the list, kitchen.irpnet/20260101-120000, or the beginning of it or of its time where only one run
    begins like that.
    """
    from irploc.runs import Catalog, find_run

    if compare and len(names) < 2:
        raise click.UsageError("--compare needs the names of at least two runs")
    if names and (scene or method):
        raise click.UsageError("--scene and --method choose from the list: leave them out beside names")
    root = workspace_of(ctx).runs
    _check_out(out)
    if names:
        chosen = list({run.name: run for run in (find_run(root, name) for name in names)}.values())
        if len(names) > 1 and len(chosen) == 1:
            raise click.UsageError(f"these names all mean {chosen[0].name}: there is nothing to compare")
        (_show if len(chosen) == 1 else _compare)(chosen, as_json)
    else:
        catalog = Catalog.of(root, scene, method)
        chosen = catalog.runs
        if catalog.complaint:
            note(catalog.complaint)
        _list(chosen, as_json)
        if not chosen:
            of = "".join(f" of the {kind} {name}" for kind, name in (("scene", scene), ("method", method)) if name)
            note(f"no runs{of} in {root}: 'irploc train-mlp SCENE' and 'irploc train METHOD SCENE' record theirs there")
            return
    if out is not None:
        from irploc.report.curves import write_curves

        write_curves(chosen, out)
        note(f"{out}: curves of {len(chosen)} run{'s' if len(chosen) > 1 else ''}")


def _check_out(out: Path | None) -> None:
    from irploc.errors import BadInput
    from irploc.files import check_writable

    if out is None:
        return
    if out.suffix.lower() != ".png":
        raise BadInput(f"cannot draw {out}: curves are drawn as .png")
    check_writable(out)


def _list(chosen: Sequence[Run], as_json: bool) -> None:
    from irploc.runs import final

    if as_json:
        click.echo(json.dumps([_plain(run) for run in chosen], indent=1))
        return
    if not chosen:
        return
    rows = []
    for run in chosen:
        last = final(run.entries)
        rows.append(
            [run.name, _when(run), run.summary.status, run.steps, _time(run.seconds), *_errors(run, last), _in_short(run)]
        )
    print_table(["run", "started", "status", "steps", "time", "position", "rotation", "of", "settings"], rows)


def _show(chosen: Sequence[Run], as_json: bool) -> None:
    """All about one run."""
    run = chosen[0]
    settings = run.configuration.to_plain(run.folder)
    if as_json:
        click.echo(json.dumps({**_plain(run), "configuration": settings, "entries": _entries(run)}, indent=1))
        return
    click.echo(f"{run.name}: {run.summary.status}, {run.steps} steps in {_time(run.seconds)}, started {_when(run)}")
    if run.summary.message:
        click.echo(f"  {run.summary.message}")
    for name, entry in _told(run).items():
        position, rotation, split = _errors(run, entry)
        click.echo(f"  {name:<7}{position} {rotation} of {split} photos, after {entry.step} steps")
    click.echo(f"  {'model':<7}{_model(run)}")
    click.echo(f"  {'folder':<7}{run.folder}")
    rows = []
    for table in ("options", "recipe", "data", "made_with"):
        rows += [[f"{table}.{name}", _short(value)] for name, value in settings[table].items()]
    print_table(["setting", "value"], rows)


def _compare(chosen: Sequence[Run], as_json: bool) -> None:
    """Which settings differ, and what came of them."""
    from irploc.runs import differences

    different = differences(chosen)
    if as_json:
        click.echo(json.dumps({"runs": [_plain(run) for run in chosen], "different": different}, indent=1))
        return
    headings = ["", *(run.name for run in chosen)]
    rows: list[list[object]] = [
        ["status", *(run.summary.status for run in chosen)],
        ["steps", *(run.steps for run in chosen)],
        ["time", *(_time(run.seconds) for run in chosen)],
        ["errors of", *(_errors(run, _told(run).get("final"))[2] for run in chosen)],
    ]
    for name in ("final", "best"):
        errors = [_errors(run, _told(run).get(name)) for run in chosen]
        rows += [
            [f"{name} position", *(found[0] for found in errors)],
            [f"{name} rotation", *(found[1] for found in errors)],
        ]
    rows.append(["best at step", *(_told(run)["best"].step if "best" in _told(run) else _NOTHING for run in chosen)])
    print_table(headings, rows)
    click.echo("")
    if not different:
        click.echo("the settings are the same")
        return
    print_table(["different", *headings[1:]], [[name, *map(_short, values)] for name, values in different.items()])


def _told(run: Run) -> dict[str, Entry]:
    """The last entry with errors and the one with the smallest; nothing of a run without errors."""
    from irploc.runs import best, final

    found = {"final": final(run.entries), "best": best(run.entries)}
    return {name: entry for name, entry in found.items() if entry is not None and entry.position_m is not None}


def _plain(run: Run) -> dict[str, Any]:
    """For JSON; ``settings`` are the few of the list."""
    of, told = run.configuration, _told(run)
    errors = {
        name: {"step": entry.step, "split": entry.split, "position_m": entry.position_m, "rotation_deg": entry.rotation_deg}
        for name, entry in told.items()
    }
    return {
        "name": run.name,
        "scene": of.scene,
        "method": of.method,
        "folder": str(run.folder),
        "started": run.summary.started,
        "status": run.summary.status,
        "steps": run.steps,
        "seconds": run.seconds,
        "sittings": run.summary.sittings,
        "units": str(of.data.get("units", "metres")),
        "final": errors.get("final"),
        "best": errors.get("best"),
        "settings": _settings(run),
        "model": str((run.folder / run.summary.model).resolve()) if run.summary.model else None,
        "model_sha256": run.summary.model_sha256 or None,
        "message": run.summary.message or None,
    }


def _entries(run: Run) -> list[dict[str, Any]]:
    return [entry.to_plain() for entry in run.entries]


def _settings(run: Run) -> dict[str, Any]:
    """Those that tell most runs apart."""
    of = run.configuration
    found = {"recipe": of.recipe.get("name"), "epochs": of.recipe.get("epochs"), "seed": of.options.get("seed")}
    found |= {"learning_rate": of.recipe.get("learning_rate"), "backbone": _backbone(of.options)}
    found["unlabelled"] = ", ".join(map(str, of.options.get("unlabelled") or ())) or None
    return {name: value for name, value in found.items() if value is not None}


def _backbone(options: Mapping[str, Any]) -> str | None:
    """Which network looked at the photos, and how; None where embeddings were trained on."""
    if not options.get("backbone"):
        return None
    random = " from random features" if options.get("random_weights") else ""
    return f"{'frozen' if options.get('frozen') else 'trainable'} {options['backbone']}{random}"


def _in_short(run: Run) -> str:
    words = {"recipe": "{}", "epochs": "{} epochs", "seed": "seed {}", "learning_rate": "rate {}"}
    words |= {"backbone": "{}", "unlabelled": "with {}"}
    return ", ".join(words[name].format(value) for name, value in _settings(run).items())


def _errors(run: Run, entry: Entry | None) -> tuple[str, str, str]:
    """Position, rotation and whose they are, for people."""
    if entry is None or entry.position_m is None:
        return _NOTHING, _NOTHING, _NOTHING
    rotation = _NOTHING if entry.rotation_deg is None else f"{entry.rotation_deg:.2f} deg"
    unit = run.unit if run.unit == "m" else f"({run.unit})"
    return f"{entry.position_m:.3f} {unit}", rotation, entry.split or _NOTHING


def _when(run: Run) -> str:
    started = run.started
    return _NOTHING if started is None else started.strftime("%Y-%m-%d %H:%M")


def _time(seconds: float) -> str:
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole / 3600:.1f} h"


def _model(run: Run) -> str:
    """Where the model is, and whether it is still that of this run."""
    from irploc.provenance import sha256_of_file

    path = run.folder / run.summary.model
    if not run.summary.model or not path.is_file():
        return "none there"
    path = path.resolve()
    if not run.summary.model_sha256:
        return f"{path} (not of this run)"
    same = sha256_of_file(path) == run.summary.model_sha256
    return str(path) if same else f"{path} (of a later training)"


def _short(value: object) -> str:
    text = _NOTHING if value is None else str(value)
    if len(text) <= _LONGEST:
        return text
    return f"{text[:12]}…" if " " not in text and "/" not in text else f"{text[: _LONGEST - 1]}…"
