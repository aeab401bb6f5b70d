"""`irploc encoders` and `irploc weights`: what can be encoded with, and the pretrained weights it takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from irploc.cli.common import FILE, is_quiet, note, print_table

if TYPE_CHECKING:
    from irploc.encoders.weights import Located, WeightsFile

_NAMES = click.argument("names", metavar="[NAME]...", nargs=-1)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of a table.")


@click.command()
@_JSON
def encoders(as_json: bool) -> None:
    """List the image encoders: length of their vectors, whether their weights are here, where those come from."""
    from irploc.encoders import ENCODERS
    from irploc.encoders.weights import CATALOGUE, weights_folder

    listed = []
    for name, entry in ENCODERS.items():
        status = "none needed" if entry.weights is None else _presence(CATALOGUE.get(entry.weights))
        listed.append({"name": name, "dimension": entry.dimension, "weights": status, "source": entry.source})
    if as_json:
        click.echo(json.dumps(listed, indent=1))
        return
    rows = [[row["name"], row["dimension"] or "varies", row["weights"], row["source"]] for row in listed]
    print_table(["encoder", "dimension", "weights", "source"], rows)
    if any(row["weights"] == "absent" for row in listed):
        note(f"weights lie in {weights_folder()}; get absent ones with 'irploc weights fetch ENCODER'")


@click.group()
def weights() -> None:
    """Fetch, import, list and verify pretrained weights.

    They lie in the folder that IRPLOC_WEIGHTS names, else in the user's cache folder. Nothing is downloaded unless
    'fetch' is called.
    """


@weights.command("list")
@_JSON
def list_weights(as_json: bool) -> None:
    """Show every file of weights that irploc knows."""
    from irploc.encoders.weights import weights_folder

    listed = []
    for entry in _all_entries():
        status, sha256 = _state(entry)
        listed.append(
            {
                "name": entry.name,
                "status": status,
                "file": str(entry.path),
                "sha256": sha256,
                "url": entry.url,
                "source": entry.source,
                "licence": entry.licence,
            }
        )
    if as_json:
        click.echo(json.dumps(listed, indent=1))
        return
    rows = [[row["name"], row["status"], (row["sha256"] or "")[:12], Path(str(row["file"])).name] for row in listed]
    print_table(["weights", "status", "sha256", "file"], rows)
    note(f"in {weights_folder()}; sources and licences: irploc weights list --json")


@weights.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--url", help="Another address that has the same file (for one NAME).")
@click.option("--force", is_flag=True, help="Also when the file is already there.")
@click.pass_context
def fetch(ctx: click.Context, names: tuple[str, ...], url: str | None, force: bool) -> None:
    """Download weights; NAME is one of 'irploc weights list' or an encoder."""
    from irploc.encoders.weights import fetch_weights, verify_weights

    entries = _entries(names)
    if url and len(entries) != 1:
        raise click.UsageError("--url belongs to one NAME")
    for entry in entries:
        if entry.path.is_file() and not force:
            located = verify_weights(entry.name)
            note(f"{entry.name} is already there (--force downloads it again)")
        else:
            note(f"{entry.name}: {entry.source}; licence: {entry.licence}")
            located = fetch_weights(entry.name, url, is_quiet(ctx))
        _show(entry, located)


@weights.command("import")
@click.argument("file", type=FILE)
@click.option("--name", help="Which weights the file holds.  [default: what the file's name says]")
def import_file(file: Path, name: str | None) -> None:
    """Copy a file of weights that you have into the weights folder, after checking that it loads."""
    import irploc.encoders  # noqa: F401 - registers what there is
    from irploc.encoders.weights import guess_name, import_weights

    entry = _entry(name or guess_name(file))
    _show(entry, import_weights(file, entry.name))


@weights.command()
@_NAMES
def verify(names: tuple[str, ...]) -> None:
    """Read weights again, all that are here or those named, and compare them with what was recorded."""
    from irploc.encoders.weights import verify_weights, weights_folder
    from irploc.errors import IrplocError, Mismatch

    entries = _entries(names) if names else [entry for entry in _all_entries() if entry.path.is_file()]
    if not entries:
        note(f"no weights in {weights_folder()}; 'irploc weights list' shows what there could be")
    failed = []
    for entry in entries:
        try:
            located = verify_weights(entry.name)
        except IrplocError as error:
            if len(entries) == 1:
                raise
            failed.append(entry.name)
            click.echo(f"{entry.name}: {error}")
        else:
            click.echo(f"{entry.name}: ok, sha256 {located.sha256}{_remark(entry, located)}")
    if failed:
        raise Mismatch(f"{len(failed)} of {len(entries)} files of weights cannot be used: {', '.join(failed)}")


def _all_entries() -> list[WeightsFile]:
    import irploc.encoders  # noqa: F401 - registers what there is
    from irploc.encoders.weights import CATALOGUE

    return [entry for _, entry in CATALOGUE.items()]


def _entries(names: Sequence[str]) -> list[WeightsFile]:
    return [_entry(name) for name in names]


def _entry(name: str) -> WeightsFile:
    """By the name of the weights or of an encoder that uses them."""
    from irploc.encoders import ENCODERS
    from irploc.encoders.weights import CATALOGUE
    from irploc.errors import BadInput

    if name not in CATALOGUE and name in ENCODERS:
        used = ENCODERS.get(name).weights
        if used is None:
            raise BadInput(f"the encoder {name} needs no weights")
        name = used
    return CATALOGUE.get(name)


def _presence(entry: WeightsFile) -> str:
    return "present" if entry.path.is_file() else "absent"


def _state(entry: WeightsFile) -> tuple[str, str | None]:
    """Status for people, and the hash of a file that can be used."""
    from irploc.encoders.weights import find_weights
    from irploc.errors import IrplocError

    if not entry.path.is_file():
        return "absent", None
    try:
        located = find_weights(entry.name)
    except IrplocError:
        return "refused (see irploc weights verify)", None
    return ("present" if entry.is_published(located.sha256) else "present (not the published file)"), located.sha256


def _show(entry: WeightsFile, located: Located) -> None:
    click.echo(f"{entry.name}: {located.path}")
    click.echo(f"sha256 {located.sha256}{_remark(entry, located)}")


def _remark(entry: WeightsFile, located: Located) -> str:
    if entry.sha256 is None:
        return " (no published hash to compare with; later changes will be noticed)"
    if entry.is_published(located.sha256):
        return f" (begins with {entry.sha256}, as published)"
    return f" (not the published file, which begins with {entry.sha256}; embeddings tell them apart)"
