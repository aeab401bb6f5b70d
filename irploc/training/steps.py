"""A training as steps: schedule, averaged weights, checkpoints, reports, and what happens when it diverges.

Every random choice of a lesson is a function of the seed and the step, so that a training that was killed continues to the
result it would have had, bit for bit on the same machine with the same number of threads.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NoReturn, Protocol

import torch
from torch import nn

from irploc import errors
from irploc.training.batches import seeded
from irploc.training.checkpoint import load_checkpoint, save_checkpoint
from irploc.training.loop import CHECKPOINT_SECONDS, CHECKPOINT_SHARE, DIVERGED, Record, TrainingOptions, numerics

_REPORTS = 50
_EVERY_LOSS = 20  # steps between two looks at the loss: reading it waits for a GPU


class Diverged(errors.Diverged):
    """A loss that is not finite any more, or ran away.

    Attributes:
        state: the network and the record of the last report before it; None where there was none.
    """

    def __init__(self, message: str, state: tuple[nn.Module, Record] | None) -> None:
        super().__init__(message)
        self.state = state


@dataclass(frozen=True)
class Optimisation:
    """How the parameters of a lesson are moved.

    Attributes:
        steps: of the whole training.
        steps_per_epoch: for reports.
        learning_rate, weight_decay: of AdamW; only weight matrices decay.
        warmup: share of the steps in which the learning rate rises.
        cosine: let it fall to zero afterwards; False keeps it.
        averaging: decay per step of the running average of the weights that becomes the result; 0 keeps the last weights.
    """

    steps: int
    steps_per_epoch: int
    learning_rate: float
    weight_decay: float = 0.0
    warmup: float = 0.0
    cosine: bool = False
    averaging: float = 0.0

    def rate(self, number: int) -> float:
        """The learning rate of step ``number``, from 0."""
        rise = min(1.0, (number + 1) / max(1.0, self.warmup * self.steps))
        fall = 0.5 * (1.0 + math.cos(math.pi * number / self.steps)) if self.cosine else 1.0
        return self.learning_rate * rise * fall


class Lesson(Protocol):
    """What is trained, and on what."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Plain values that the result depends on; a checkpoint continues only a training with the same."""
        ...

    @property
    def optimisation(self) -> Optimisation:
        """How."""
        ...

    @property
    def network(self) -> nn.Module:
        """What is trained, the parameters of its loss included; on its device."""
        ...

    @property
    def watched(self) -> str:
        """Name of the split whose errors are reported, empty where there is none."""
        ...

    def loss(self, network: nn.Module, step: int) -> torch.Tensor:
        """The loss of one step, a scalar; ``network`` is in training mode."""
        ...

    def errors(self, network: nn.Module) -> dict[str, float]:
        """Median ``position_m`` and ``rotation_deg`` on the watched photos, not finite where the network gives no poses;
        ``network`` is in evaluation mode."""
        ...


def train_steps(lesson: Lesson, options: TrainingOptions) -> tuple[nn.Module, Record]:
    """The trained network in evaluation mode, and what happened.

    An interruption (Ctrl-C, SIGTERM) saves a checkpoint and is raised again.

    Raises:
        BadInput: a checkpoint that cannot be written.
        Diverged: the loss is not finite any more, or ran away; ``state`` holds the network and the record of the last
            report before it, where there was one.
    """
    with numerics():
        run = _Run(lesson, options)
        try:
            return run.to_the_end()
        except KeyboardInterrupt:
            run.save()
            raise


class _Run:
    """One call of ``train_steps``: the state between steps."""

    def __init__(self, lesson: Lesson, options: TrainingOptions) -> None:
        self._lesson, self._options, self._how = lesson, options, lesson.optimisation
        self._network = lesson.network
        self._settings = {**lesson.settings, "seed": options.seed, "device": options.device.type, **asdict(self._how)}
        self._optimizer = _optimizer(self._network, self._how)
        self._average = copy.deepcopy(self._network).requires_grad_(False) if self._how.averaging else None
        self._record = Record(lesson.watched)
        self._done, self._since, self._first_loss, self._seconds = 0, 0, math.inf, 0.0
        self._losses = torch.zeros((), device=options.device)
        self._good: tuple[nn.Module, Record] | None = None
        self._resume()
        self._saved_at, self._save_seconds, self._started = time.monotonic(), 0.0, time.monotonic()

    def to_the_end(self) -> tuple[nn.Module, Record]:
        every = max(1, round(self._how.steps / self._how.steps_per_epoch / _REPORTS)) * self._how.steps_per_epoch
        self._options.progress.advance(self._done)
        while self._done < self._how.steps:
            self._step()
            if self._done % every == 0 or self._done in (1, self._how.steps):
                self._report()
            if self._save_is_due():
                self.save()
            self._options.progress.advance()
        self.save()  # what follows may be interrupted too
        self._record.seconds = self._spent
        return self._result.eval().requires_grad_(False), self._record

    @property
    def _result(self) -> nn.Module:
        return self._network if self._average is None else self._average

    def _step(self) -> None:
        torch.manual_seed(seeded(self._options.seed, self._done))  # dropout
        for group in self._optimizer.param_groups:
            group["lr"] = self._how.rate(self._done)
        self._network.train()
        loss = self._lesson.loss(self._network, self._done)
        if self._done % _EVERY_LOSS == 0:
            self._refuse_divergence(loss)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self._losses += loss.detach()
        self._done += 1
        self._follow()

    @torch.no_grad()
    def _follow(self) -> None:
        """Moves the averaged weights; what is counted (statistics of batch normalisation) is copied."""
        if self._average is None:
            return
        decay = min(self._how.averaging, self._done / (self._done + 9))
        ours: list[torch.Tensor] = list(self._average.parameters())
        theirs: list[torch.Tensor] = list(self._network.parameters())
        torch._foreach_lerp_(ours, theirs, 1.0 - decay)
        for mine, counted in zip(self._average.buffers(), self._network.buffers(), strict=True):
            mine.copy_(counted)

    def _refuse_divergence(self, loss: torch.Tensor) -> None:
        value = float(loss.detach())
        if self._done == 0:
            self._first_loss = max(abs(value), 1e-3)
        if not math.isfinite(value) or abs(value) > DIVERGED * self._first_loss:
            self._give_up(f"the loss is {value:.3g}")

    def _give_up(self, why: str) -> NoReturn:
        if self._options.checkpoint is not None:
            self._options.checkpoint.unlink(missing_ok=True)
        rate = self._how.learning_rate
        raise Diverged(
            f"the training diverged: {why} in step {self._done} with a learning rate of {rate:g}; "
            f"try --learning-rate {rate / 10:g}",
            self._good,
        )

    @torch.no_grad()
    def _report(self) -> None:
        mean = float(self._losses) / max(self._done - self._since, 1)
        self._refuse_divergence(torch.tensor(mean))
        self._losses.zero_()
        self._since = self._done
        epoch = self._done // self._how.steps_per_epoch
        entry: dict[str, Any] = {"epoch": epoch, "step": self._done, "loss": mean}
        words = f"loss {mean:.4f}"
        if self._lesson.watched:
            errors = self._lesson.errors(self._result.eval())
            if not all(map(math.isfinite, errors.values())):
                self._give_up("the network gives no poses any more")
            entry |= {"split": self._lesson.watched, **errors}
            shown = f"{errors['position_m']:.3f} m {errors['rotation_deg']:.2f} deg"
            self._options.progress.note(f"{self._lesson.watched} {shown}")
            words += f"; {self._lesson.watched} photos, median {shown}"
        self._record.epochs.append(entry)
        self._options.record(entry)
        self._options.report(f"epoch {epoch}/{self._how.steps // self._how.steps_per_epoch}: {words}")
        self._keep_good()

    def _keep_good(self) -> None:
        self._good = (copy.deepcopy(self._result).eval().requires_grad_(False), copy.deepcopy(self._record))

    @property
    def _spent(self) -> float:
        """Seconds, those of earlier runs included."""
        return self._seconds + time.monotonic() - self._started

    # -- checkpoints -----------------------------------------------------------------------------------------------

    def _save_is_due(self) -> bool:
        if self._options.checkpoint is None or self._done == self._how.steps:
            return False
        return time.monotonic() - self._saved_at > max(CHECKPOINT_SECONDS, self._save_seconds / CHECKPOINT_SHARE)

    def save(self) -> None:
        """Writes the checkpoint, if one is wanted."""
        if self._options.checkpoint is None:
            return
        begun = time.monotonic()
        progress = {
            "done": self._done,
            "since": self._since,
            "first_loss": self._first_loss,
            "losses": self._losses,
            "record": self._record.epochs,
            "seconds": self._spent,
            "network": self._network.state_dict(),
            "average": {} if self._average is None else self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }
        save_checkpoint(self._options.checkpoint, self._settings, progress)
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - begun

    def _resume(self) -> None:
        if self._options.checkpoint is None or not self._options.resume:
            return
        progress, why_not = load_checkpoint(self._options.checkpoint, self._settings)
        if why_not:
            self._options.report(why_not)
        if progress is None:
            return
        self._done, self._since, self._first_loss = progress["done"], progress["since"], progress["first_loss"]
        self._losses = progress["losses"].to(self._options.device)
        self._record.epochs, self._seconds = progress["record"], progress["seconds"]
        self._network.load_state_dict(progress["network"])
        if self._average is not None:
            self._average.load_state_dict(progress["average"])
        self._optimizer.load_state_dict(progress["optimizer"])
        self._options.report(f"continuing from step {self._done} of {self._how.steps}")
        self._keep_good()


def _optimizer(network: nn.Module, how: Optimisation) -> torch.optim.Optimizer:
    """Fused: one pass over parameters, gradients and moments a step."""
    trained = [value for value in network.parameters() if value.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [value for value in trained if value.ndim > 1], "weight_decay": how.weight_decay},
        {"params": [value for value in trained if value.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, how.learning_rate, fused=True)
