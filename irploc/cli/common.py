"""What several commands share: the workspace, quietness, notes on stderr, tables, and paths as click types."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from irploc.workspace import Workspace


class _Path(click.Path):
    """``click.Path`` that refuses an empty word: an unset variable of a script must not mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


FILE = _Path(dir_okay=False, path_type=Path)
FOLDER = _Path(file_okay=False, path_type=Path)
PATH = _Path(path_type=Path)
SEED = click.IntRange(min=0, max=2**63 - 1)  # what HDF5, numpy and torch all take


def workspace_of(ctx: click.Context) -> Workspace:
    """The workspace that ``irploc --workspace`` or the environment names."""
    from irploc.workspace import Workspace

    return Workspace.locate(ctx.obj["workspace"])


def is_quiet(ctx: click.Context) -> bool:
    """Whether ``irploc --quiet`` was given."""
    return bool(ctx.obj["quiet"])


def stdout_is_terminal() -> bool:
    """Whether someone is looking; a closed stdout has nobody."""
    return sys.stdout is not None and sys.stdout.isatty()


def note(text: str) -> None:
    """One line on stderr, so that stdout stays for results."""
    click.echo(text, err=True)


def only_scene(workspace: Workspace) -> str:
    """The scene of a workspace that has one; the frames of a video are all taken in the same."""
    from irploc.errors import BadInput

    there = workspace.scenes_to_search()
    if len(there) > 1:
        raise BadInput(f"the workspace has several scenes ({', '.join(there)}): choose one with --scene NAME")
    return there[0]


def check_apart(poses: Path | None, tum: Path | None) -> None:
    """Raises BadInput where two files that will be written are one."""
    from irploc.errors import BadInput

    if poses is not None and tum is not None and poses.resolve() == tum.resolve():
        raise BadInput(f"--poses and --tum both name {poses}: give each a file of its own")


def store_path(ctx: click.Context, scene_or_h5: str) -> Path:
    """The embeddings file a user names by path or by scene."""
    path = Path(scene_or_h5)
    if path.suffix in (".h5", ".hdf5") or path.is_file():
        return path
    return workspace_of(ctx).embeddings_of(scene_or_h5)


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A drawn table on a terminal, aligned columns anywhere else."""
    cells = [[str(cell) for cell in row] for row in rows]
    if stdout_is_terminal():
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table

        table = Table(*headings, box=SIMPLE_HEAD, pad_edge=False)
        for row in cells:
            table.add_row(*row)
        Console(highlight=False).print(table)
        return
    widths = [max(len(row[column]) for row in [list(headings), *cells]) for column in range(len(headings))]
    for row in [list(headings), *cells]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
