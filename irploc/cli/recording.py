"""The record of a training, as the commands that train keep it: a run folder, and the configuration beside the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from irploc.cli.common import is_quiet, note, workspace_of
from irploc.cli.configuration import command_words, file_of, options_to_save, wants_run

if TYPE_CHECKING:
    from irploc.runs import Configuration, RunRecorder, Unrecorded


@dataclass(frozen=True)
class Training:
    """What is about to be trained.

    Attributes:
        scene: the name under which models of the place are kept.
        method: of the model.
        model: its file, which the training writes.
        recipe: a dataclass, every choice but the seed.
        data: what else the result depends on: fingerprints of photos, embeddings, pairs, a model to start from. The unit of
            positions goes under ``units`` where it is not ``metres``.
        device: ``cpu`` or ``cuda``.
        known: options by parameter, where the command found out more than was typed.
    """

    scene: str
    method: str
    model: Path
    recipe: Any
    data: Mapping[str, Any]
    device: str
    known: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def recorded_run(ctx: click.Context, training: Training) -> Iterator[RunRecorder | Unrecorded]:
    """Takes entries while the block trains, calibrates and saves the model; in the end, however that comes, draws curves.

    The block ends well once the model is saved: then its configuration is written beside it. A training that goes on from
    its checkpoint goes on in its run folder too.

    Raises:
        BadInput: the run folder or the configuration cannot be written; raised before the block.
    """
    from irploc.files import is_stream
    from irploc.runs import RunRecorder, Unrecorded, check_replaceable, configuration_path

    configuration, beside = _configuration(ctx, training), configuration_path(training.model)
    kept_beside = not is_stream(training.model)
    if kept_beside:
        check_replaceable(beside)
    _tell_differences(ctx, configuration)
    if not wants_run(ctx):
        yield Unrecorded()
    else:
        runs, resume = workspace_of(ctx).runs, bool(ctx.params.get("resume", True))
        recorder = RunRecorder.open(runs, configuration, training.model, resume)
        if not is_quiet(ctx):
            _tell_folder(recorder)
        try:
            with recorder:
                yield recorder
        finally:
            _draw(recorder)
    if kept_beside:
        configuration.save(beside)


def unit_name(units: str) -> str:
    """The unit of a scene; embeddings that were made before it was recorded are of scenes in metres."""
    from irploc.retrieval.store import NOT_RECORDED

    return "metres" if units == NOT_RECORDED else units


def _configuration(ctx: click.Context, training: Training) -> Configuration:
    import torch

    from irploc.provenance import irploc_version
    from irploc.runs import Configuration

    recipe = dataclasses.asdict(training.recipe)
    arguments = [parameter.name or "" for parameter in ctx.command.params if isinstance(parameter, click.Argument)]
    versions = {"irploc": irploc_version(), "torch": str(torch.__version__), "threads": torch.get_num_threads()}
    return Configuration(
        command=command_words(ctx),
        arguments=tuple(str(ctx.params[name]) for name in arguments),
        scene=training.scene,
        method=training.method,
        options=options_to_save(ctx, recipe, training.known),
        recipe=recipe,
        data=training.data,
        made_with={"device": training.device, **versions},
    )


def _tell_differences(ctx: click.Context, configuration: Configuration) -> None:
    """Says why the numbers will not be those of the file's training, where they will not."""
    if (found := file_of(ctx)) is None:
        return
    path, theirs = found
    ours = configuration.to_plain(path.parent)
    other = [name for name, value in theirs.data.items() if ours["data"].get(name) != value]
    if other:
        note(f"{path} was trained on other data ({', '.join(other)}): the results will be others")
    other = [name for name, value in theirs.made_with.items() if ours["made_with"].get(name) != value]
    if other:
        note(f"{path} was trained with another {', '.join(other)}: the last digits may be others")


def _tell_folder(recorder: RunRecorder) -> None:
    from irploc.runs.events import INSTALL

    events = "" if recorder.has_events else f"; for TensorBoard: {INSTALL}"
    note(f"{'going on in' if recorder.continued else 'recorded in'} {recorder.folder}{events}")


def _draw(recorder: RunRecorder) -> None:
    """The curves; that they cannot be drawn is said, and takes nothing from the training."""
    from irploc.errors import IrplocError
    from irploc.report.curves import write_curves
    from irploc.runs import CURVES, Run

    if not recorder.entries:
        return
    try:
        write_curves([Run.load(recorder.folder)], recorder.folder / CURVES)
    except (IrplocError, OSError) as error:
        note(f"no curves: {error}")
