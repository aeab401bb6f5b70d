"""`irploc train-mlp`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from irploc.cli.common import FILE, SEED, is_quiet, note, store_path, workspace_of

if TYPE_CHECKING:
    from irploc.training.dataset import TrainingSet
    from irploc.training.loop import TrainingOptions
    from irploc.training.modelfile import PoseRegressor
    from irploc.training.recipes import Recipe


@click.command("train-mlp")
@click.argument("h5")
@click.option("--model", default="irpnet", show_default=True, help="irpnet (two branches) or mlp.")
@click.option("--recipe", "recipe_name", default="fast", show_default=True, help="fast, or paper (as published).")
@click.option("--place", help="indoor or outdoor: which of the paper's settings.  [default: by the extent of the cameras]")
@click.option("--epochs", type=int, help="Times each image is drawn.  [default: by the recipe]")
@click.option("--batch-size", type=int, help="Images a step.  [default: by the recipe]")
@click.option("--learning-rate", type=float, help="Of the optimiser.  [default: by the recipe]")
@click.option("--width", type=int, help="Units of the first layers.  [default: by the recipe]")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of every random choice.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N.")
@click.option("--out", type=FILE, help="Model file.  [default: models/<scene>.<model>.pt]")
@click.option("--resume/--no-resume", default=True, help="Go on with an unfinished training of the same settings.")
@click.pass_context
def train_mlp(
    ctx: click.Context,
    h5: str,
    model: str,
    recipe_name: str,
    place: str | None,
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    width: int | None,
    seed: int,
    device: str,
    out: Path | None,
    resume: bool,
) -> None:
    """Train a pose regressor on the embeddings H5 (a file, or a scene's name).

    An interrupted training goes on where it was when the same command is run again. The errors shown are of the scene's
    validation photos, else of its test photos; nothing is chosen by them.
    """
    from irploc.encoders.base import EncoderOptions
    from irploc.errors import BadInput
    from irploc.files import check_writable
    from irploc.retrieval.store import EmbeddingStore
    from irploc.training.checkpoint import checkpoint_path
    from irploc.training.dataset import TrainingSet
    from irploc.training.loop import TrainingOptions
    from irploc.training.modelfile import save_model
    from irploc.training.recipes import MODELS, place_of, recipe

    if model not in MODELS:
        raise BadInput(f"unknown model {model!r}, choose one of {', '.join(MODELS)}")
    torch_device = EncoderOptions(device=device).torch_device
    with EmbeddingStore.open(store_path(ctx, h5)) as store:
        data = TrainingSet.from_store(store)
        workspace = workspace_of(ctx)
        path = out or workspace.model(workspace.place_of_embeddings(store.path, store.header.scene), model)
    chosen = recipe(
        recipe_name,
        place or place_of(data.poses.centers_m),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        width=width,
    )
    check_writable(path)
    options = TrainingOptions(seed, torch_device, checkpoint_path(path), resume)
    note(
        f"{model}, recipe {chosen.name} ({chosen.place}), {len(data)} images of {data.embeddings.shape[1]} versions, "
        f"{chosen.total_steps(len(data))} steps on {torch_device.type}"
    )
    regressor = _train_with_progress(data, model, chosen, options, is_quiet(ctx))
    save_model(regressor, path)
    checkpoint_path(path).unlink(missing_ok=True)
    last, record = regressor.record["epochs"][-1], regressor.record
    click.echo(
        f"{path}: trained in {record['seconds']:.0f} s; {record['monitor']} photos, median "
        f"{last['position_m']:.3f} m {last['rotation_deg']:.2f} deg"
    )


def _train_with_progress(
    data: TrainingSet, model: str, chosen: Recipe, options: TrainingOptions, quiet: bool
) -> PoseRegressor:
    """Trains with a bar on a terminal, and with a line now and then elsewhere."""
    import sys
    from dataclasses import asdict, replace

    from irploc.progress import progress
    from irploc.training.loop import train
    from irploc.training.modelfile import PoseRegressor

    on_terminal = sys.stderr.isatty()
    with progress("training", chosen.total_steps(len(data)), "steps", quiet) as bar:
        lines = _Lines(quiet, on_terminal)
        try:
            trained = train(data, model, chosen, replace(options, progress=bar, report=lines))
        except KeyboardInterrupt:
            note("interrupted; run the same command again to go on")
            raise
    identity = data.identity or {"dimension": data.dimension}
    return PoseRegressor(model, trained.networks, chosen, options.seed, identity, asdict(trained.record))


class _Lines:
    """Reports as lines on stderr: the first at once, then one every ten seconds; on a terminal the bar has the rest."""

    EVERY_SECONDS = 10.0

    def __init__(self, quiet: bool, on_terminal: bool) -> None:
        self._quiet, self._on_terminal, self._last = quiet, on_terminal, -float("inf")

    def __call__(self, line: str) -> None:
        import time

        urgent = not line.startswith("epoch ")
        due = time.monotonic() - self._last >= self.EVERY_SECONDS and not self._on_terminal
        first = self._last < 0
        if urgent or (not self._quiet and (due or first)):
            if not urgent:
                self._last = time.monotonic()
            note(line)
