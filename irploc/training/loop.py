"""Training a regressor: steps, progress lines, checkpoints.

Every random choice is a function of the seed and the step, so that a training that was killed continues to the result it
would have had, bit for bit on the same machine with the same number of threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from irploc.errors import BadInput, Diverged
from irploc.progress import Progress, Silent
from irploc.training.batches import SETUP, Batches, seeded
from irploc.training.checkpoint import load_checkpoint, save_checkpoint
from irploc.training.dataset import TrainingSet
from irploc.training.floor import FloorTraining
from irploc.training.losses import Outputs
from irploc.training.models import Networks, sha256_of
from irploc.training.recipes import MODELS, Recipe
from irploc.training.trainee import make_trainees

CHECKPOINT_SECONDS = 5.0  # at least; a slow disk is written to less often
CHECKPOINT_SHARE = 0.05  # of the time, at most, goes into checkpoints
REPORTS = 100  # epochs whose errors are measured in a whole training
DIVERGED = 1e3  # times the loss of the first step


@dataclass(frozen=True)
class TrainingOptions:
    """How a training runs; only ``seed``, ``start``, ``floor`` and ``device`` can change the result.

    Attributes:
        seed: of every random choice.
        device: where it runs.
        checkpoint: file to keep the progress in; None keeps none.
        resume: go on from the checkpoint; False starts over.
        start: trained heads, as many as the recipe has, to go on from; none starts afresh.
        floor: a map whose outside costs something; None without one.
        report: takes lines for people.
        progress: takes steps.
        record: takes what is measured as it is measured: ``step``, ``epoch``, ``loss`` (a number or by name), ``split`` and
            its median ``position_m`` and ``rotation_deg``.
    """

    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    checkpoint: Path | None = None
    resume: bool = True
    start: Sequence[Networks] = ()
    floor: FloorTraining | None = None
    report: Callable[[str], None] = lambda line: None
    progress: Progress = field(default_factory=Silent)
    record: Callable[[Mapping[str, Any]], None] = lambda entry: None


@dataclass
class Record:
    """What happened, kept with the model.

    Attributes:
        monitor: the split whose errors are in ``epochs``; nothing is chosen by them.
        epochs: per measured epoch: ``epoch``, ``step``, ``loss`` by training, median ``position_m`` and ``rotation_deg``.
        seconds: spent training, all runs together.
        floor: sha256 and weight of the floor map it was trained with; None without one.
    """

    monitor: str
    epochs: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    floor: dict[str, Any] | None = None


@dataclass(frozen=True)
class Trained:
    """The heads for inference, each with its networks by training (``position`` and ``orientation``, or ``joint``), and the
    record."""

    heads: list[Networks]
    record: Record


def train(data: TrainingSet, model: str, recipe: Recipe, options: TrainingOptions) -> Trained:
    """Trains ``irpnet`` or ``mlp``; goes on from the checkpoint where there is one of the same training.

    An interruption (Ctrl-C, SIGTERM) saves a checkpoint and is raised again.

    Raises:
        BadInput: no images, a checkpoint that cannot be written, or a loss that runs away.
    """
    if not len(data):
        raise BadInput("there are no mapping photos to train on")
    if model not in MODELS:
        raise BadInput(f"unknown model {model!r}, choose one of {', '.join(MODELS)}")
    with numerics():
        run = _Run(data, model, recipe, options)
        try:
            return run.to_the_end()
        except KeyboardInterrupt:
            run.save()
            raise


@contextmanager
def numerics() -> Iterator[None]:
    """Denormal numbers off (Adam's moments reach them, and then a step takes ten times as long); global generator kept."""
    flushed = torch.set_flush_denormal(True)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        if flushed:
            torch.set_flush_denormal(False)


class _Run:
    """One call of ``train``: the state between steps."""

    def __init__(self, data: TrainingSet, model: str, recipe: Recipe, options: TrainingOptions) -> None:
        self._recipe, self._options = recipe, options
        self._per_epoch, self._total = recipe.steps_per_epoch(data.rows), recipe.total_steps(data.rows)
        floor = None if options.floor is None else options.floor.to_plain()
        self._settings: dict[str, Any] = {
            **data.identity,
            "model": model,
            "recipe": asdict(recipe),
            "seed": options.seed,
            "start": sha256_of(options.start) if options.start else "",
            "floor": floor,
            "device": options.device.type,
            "embeddings": data.fingerprint,
        }
        self._batches = Batches(data, recipe, options.seed, options.device)
        torch.manual_seed(seeded(options.seed, SETUP))
        self._trainees = make_trainees(model, recipe, self._batches, self._total, options.start, options.floor)
        self._record = Record(self._batches.watched.name, floor=floor)
        self._done, self._since, self._first_loss = 0, 0, math.inf
        self._losses = self._no_losses()
        self._resume()
        self._saved_at, self._save_seconds, self._started = time.monotonic(), 0.0, time.monotonic()

    def to_the_end(self) -> Trained:
        """The remaining steps."""
        every = max(1, round(self._total / self._per_epoch / REPORTS))
        self._options.progress.advance(self._done)
        while self._done < self._total:
            self._step()
            epoch, within = divmod(self._done, self._per_epoch)
            if within == 0:
                self._end_of_epoch(epoch, measured=epoch % every == 0 or self._done == self._total or epoch == 1)
            if self._save_is_due():
                self.save()
            self._options.progress.advance()
        self.save()  # what follows may be interrupted too
        self._add_seconds()
        maps = self._batches.input_map, self._batches.target_map
        finished = {trainee.training: trainee.finished(*maps) for trainee in self._trainees}
        heads = [{name: networks[head] for name, networks in finished.items()} for head in range(self._recipe.heads)]
        return Trained(heads, self._record)

    def _step(self) -> None:
        torch.manual_seed(seeded(self._options.seed, self._done))  # dropout
        embeddings, targets = self._batches.draw(self._done)
        losses = [trainee.step(embeddings, targets, self._done) for trainee in self._trainees]
        self._losses += torch.stack(losses)
        self._done += 1
        if self._done == 1 or self._done % self._per_epoch == 0 or self._done % 50 == 0:
            self._refuse_divergence(losses)

    def _refuse_divergence(self, losses: list[torch.Tensor]) -> None:
        """Looks at the losses; not at every step, since reading them waits for a GPU."""
        largest = max(abs(loss.item()) for loss in losses)
        if self._done == 1:
            self._first_loss = max(largest, 1e-3)
        if math.isfinite(largest) and largest <= DIVERGED * self._first_loss:
            return
        if self._options.checkpoint is not None:
            self._options.checkpoint.unlink(missing_ok=True)
        rate = self._recipe.learning_rate
        raise Diverged(
            f"the training diverged: the loss is {largest:.3g} after {self._done} steps with a learning rate of {rate:g}; "
            f"try --learning-rate {rate / 10:g}"
        )

    def _end_of_epoch(self, epoch: int, measured: bool) -> None:
        if not measured:
            return
        watched = self._batches.watched
        with torch.inference_mode():
            found = [self._outputs(watched.embeddings.float(), head) for head in range(self._recipe.heads)]
            answers = [self._batches.target_map.undo(outputs) for outputs in found]
        errors = watched.median_errors(answers)
        means = (self._losses / max(self._done - self._since, 1)).tolist()
        losses = dict(zip((trainee.training for trainee in self._trainees), means, strict=True))
        entry = {"epoch": epoch, "step": self._done, "loss": losses, **errors}
        self._record.epochs.append(entry)
        self._options.record({**entry, "split": watched.name})
        self._losses, self._since = self._no_losses(), self._done
        shown = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
        line = f"{errors['position_m']:.3f} m {errors['rotation_deg']:.2f} deg"
        self._options.progress.note(f"{watched.name} {line}")
        total = self._total // self._per_epoch
        self._options.report(f"epoch {epoch}/{total}: loss {shown}; {watched.name} photos, median {line}")

    def _outputs(self, embeddings: torch.Tensor, head: int) -> Outputs:
        outputs: Outputs = {}
        for trainee in self._trainees:
            found = trainee.results[head](embeddings)
            outputs |= {name: found[name] for name in trainee.outputs}
        return outputs

    def _no_losses(self) -> torch.Tensor:
        return torch.zeros(len(self._trainees), device=self._options.device)

    # -- checkpoints -----------------------------------------------------------------------------------------------

    def _save_is_due(self) -> bool:
        if self._options.checkpoint is None or self._done == self._total:
            return False
        return time.monotonic() - self._saved_at > max(CHECKPOINT_SECONDS, self._save_seconds / CHECKPOINT_SHARE)

    def save(self) -> None:
        """Writes the checkpoint, if one is wanted."""
        if self._options.checkpoint is None:
            return
        self._add_seconds()
        begun = time.monotonic()
        progress = {
            "done": self._done,
            "since": self._since,
            "first_loss": self._first_loss,
            "losses": self._losses,
            "record": asdict(self._record),
            "trainees": [trainee.state() for trainee in self._trainees],
        }
        save_checkpoint(self._options.checkpoint, self._settings, progress)
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - begun

    def _resume(self) -> None:
        path = self._options.checkpoint
        if path is None or not self._options.resume:
            return
        progress, reason = load_checkpoint(path, self._settings)
        if reason:
            self._options.report(reason)
        if progress is None:
            return
        self._done, self._since, self._first_loss = progress["done"], progress["since"], progress["first_loss"]
        self._losses = progress["losses"].to(self._options.device)
        self._record = Record(**progress["record"])
        for trainee, state in zip(self._trainees, progress["trainees"], strict=True):
            trainee.load_state(state)
        self._options.report(f"continuing from step {self._done} of {self._total}")

    def _add_seconds(self) -> None:
        now = time.monotonic()
        self._record.seconds += now - self._started
        self._started = now
