"""`irploc train`: the trained methods but ``irpnet`` and ``mlp``, which are `irploc train-mlp`'s."""

from __future__ import annotations

import importlib

import click

_COMMANDS = {
    "posenet": ("irploc.cli.train_absolute:posenet", "One linear layer on embeddings, or on a backbone."),
    "mapnet": ("irploc.cli.train_absolute:mapnet", "Four layers, trained on tuples of photos along walks."),
    "menet": ("irploc.cli.train_menet:menet", "Relative poses of two photos, for 'irploc relate'."),
    "siamese": ("irploc.cli.train_siamese:siamese", "Absolute and relative poses on embeddings, trained together."),
    "siamese-image": ("irploc.cli.train_siamese_image:siamese_image", "The same on photos, with a network's feature maps."),
}


class _Train(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@click.group(cls=_Train)
def train() -> None:
    """Train a localization method."""
