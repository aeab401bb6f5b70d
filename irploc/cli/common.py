"""What several commands share: the workspace, quietness, notes on stderr, and paths as click types."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from irploc.workspace import Workspace

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
PATH = click.Path(path_type=Path)


def workspace_of(ctx: click.Context) -> Workspace:
    """The workspace that ``irploc --workspace`` or the environment names."""
    from irploc.workspace import Workspace

    return Workspace.locate(ctx.obj["workspace"])


def is_quiet(ctx: click.Context) -> bool:
    """Whether ``irploc --quiet`` was given."""
    return bool(ctx.obj["quiet"])


def note(text: str) -> None:
    """One line on stderr, so that stdout stays for results."""
    click.echo(text, err=True)


def store_path(ctx: click.Context, scene_or_h5: str) -> Path:
    """The embeddings file a user names by path or by scene."""
    path = Path(scene_or_h5)
    if path.suffix in (".h5", ".hdf5") or path.is_file():
        return path
    return workspace_of(ctx).embeddings_of(scene_or_h5)
