"""The command line. Commands live in one module per noun and are imported only when they run."""

from __future__ import annotations

import errno
import importlib
import signal
from pathlib import Path
from typing import Any

import click

from irploc.errors import IrplocError

# command -> (module:attribute, one line for --help). Nothing is imported until the command is used.
COMMANDS = {
    "demo": ("irploc.cli.demo:demo", "The whole flow on a small rendered place; no download."),
    "scene": ("irploc.cli.scene:scene", "Build, import, align, split, export and inspect scenes."),
    "floormap": ("irploc.cli.floormap:floormap", "Where one can walk: make and look at floor maps."),
    "embed": ("irploc.cli.embed:embed", "Photos of a scene -> embeddings (HDF5)."),
    "index": ("irploc.cli.embed:index", "Embeddings -> search index (FAISS)."),
    "triangulate": ("irploc.cli.triangulate:triangulate", "Photos of a scene -> a map of 3D points, for centimetres."),
    "views": ("irploc.cli.views:views", "Views from where nobody stood, for regressors to train on."),
    "pairs": ("irploc.cli.pairs:pairs", "Which photos of a scene see the same things."),
    "train-mlp": ("irploc.cli.train:train_mlp", "Train a pose regressor (irpnet, mlp) on embeddings."),
    "train": ("irploc.cli.train_group:train", "Train the other methods (posenet, mapnet, siamese …)."),
    "runs": ("irploc.cli.runs:runs", "List trainings, and compare their settings and errors."),
    "localize": ("irploc.cli.localize:localize", "Where were these photos taken?"),
    "serve": ("irploc.cli.serve:serve", "Answer over HTTP, and show where photos were taken on a page."),
    "evaluate": ("irploc.cli.evaluate:evaluate", "Measure methods on a scene, or anyone's pose files."),
    "relate": ("irploc.cli.relate:relate", "How do the cameras of two photos stand to each other?"),
    "learn": ("irploc.cli.learn:learn", "Unlabelled photos -> more mapping photos, a better index and regressors."),
    "track": ("irploc.cli.track:track", "Where was every frame of this video taken?"),
    "export": ("irploc.cli.export:export", "A model with its encoder as one ONNX file, to run without torch."),
    "overlay": ("irploc.cli.overlay:overlay", "Draw a scene's points into photos, by estimated and true poses."),
    "encoders": ("irploc.cli.encoders:encoders", "List the image encoders."),
    "methods": ("irploc.cli.methods:methods", "List the localization methods."),
    "weights": ("irploc.cli.encoders:weights", "Fetch, import, list and verify pretrained weights."),
}


class Main(click.Group):
    """The one place where our errors become messages; everything below just raises."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the work, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the module of a command on first use."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Adds a suggestion to click's message for a misspelt command."""
        import difflib

        if args and args[0] not in COMMANDS and (close := difflib.get_close_matches(args[0], COMMANDS, n=1)):
            raise click.UsageError(f"no such command {args[0]!r}, did you mean {close[0]!r}?", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, from ``COMMANDS``, so that --help imports nothing."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; our own errors leave one line and exit code 1."""
        try:
            return super().invoke(ctx)
        except IrplocError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if error.errno in (
                None,
                errno.EPIPE,
            ):  # a mistake of ours; or the reader of our output left, which click ends quietly
                raise
            where = f": {error.filename}" if error.filename else ""
            raise click.ClickException(f"{error.strerror or error}{where}") from error


@click.group(cls=Main, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--workspace",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder with scenes/ embeddings/ indexes/ models/ runs/ pairs/ reports/.  [default: $IRPLOC_WORKSPACE or the "
    "current folder]",
)
@click.option("--quiet", is_flag=True, help="No progress bars.")
@click.version_option(package_name="irploc")
@click.pass_context
def main(ctx: click.Context, workspace: Path | None, quiet: bool) -> None:
    """Where was this photo taken? Visual localization from image-retrieval embeddings."""
    signal.signal(signal.SIGTERM, _terminate)
    ctx.obj = {"workspace": workspace, "quiet": quiet}


def _terminate(signum: int, frame: object) -> None:
    """SIGTERM ends a command like Ctrl-C does: files are closed, what was done stays valid."""
    raise KeyboardInterrupt
