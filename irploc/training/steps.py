"""A training as steps: schedule, averaged weights, checkpoints, reports, and what happens when it diverges.

Every random choice of a lesson is a function of the seed and the step, so that a training that was killed continues to the
result it would have had, bit for bit on the same machine with the same number of threads.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, NoReturn, Protocol

import torch
from torch import nn

from irploc import errors
from irploc.training.batches import seeded
from irploc.training.checkpoint import load_checkpoint, save_checkpoint
from irploc.training.interrupts import held_interrupts
from irploc.training.loop import CHECKPOINT_SECONDS, CHECKPOINT_SHARE, Record, TrainingOptions, numerics

_REPORTS = 50
_EVERY_LOSS = 20  # steps between two looks at the loss: reading it waits for a GPU
_RAN_AWAY, _GOT_WORSE = 1e3, 10.0  # times the distance of the first step: at any time, and in the end


class StepLoss(NamedTuple):
    """What a step makes small.

    Attributes:
        loss: a scalar.
        distance: how far the outputs are from the truth, unweighted and detached; learned weights hide it from the loss.
    """

    loss: torch.Tensor
    distance: torch.Tensor


@dataclass(frozen=True)
class Good:
    """A state that was followed by steps which were, in the mean, no farther from the truth than the first one.

    Attributes:
        step: after how many steps.
        network: in evaluation mode.
        record: of the training up to there.
    """

    step: int
    network: nn.Module
    record: Record


class Diverged(errors.Diverged):
    """A training that gives no finite numbers any more, or ran away.

    Attributes:
        good: its last good state, the start of the training where there was no better one.
    """

    def __init__(self, message: str, good: Good) -> None:
        super().__init__(message)
        self.good = good


class DivergedModel(errors.Diverged):
    """The same, with the model that the last good state is.

    Attributes:
        model: of whatever kind was trained.
        step: after how many steps.
    """

    def __init__(self, error: Diverged, model: Any) -> None:
        super().__init__(str(error))
        self.model, self.step = model, error.good.step


class Stepped(Protocol):
    """What recipes say of steps; the fields are those of ``Optimisation``."""

    @property
    def learning_rate(self) -> float: ...

    @property
    def weight_decay(self) -> float: ...

    @property
    def warmup(self) -> float: ...

    @property
    def cosine(self) -> bool: ...

    @property
    def averaging(self) -> float: ...

    def total_steps(self, photos: int) -> int:
        """Of the whole training."""
        ...

    def steps_per_epoch(self, photos: int) -> int:
        """Of one epoch."""
        ...


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

    @classmethod
    def of(cls, recipe: Stepped, photos: int) -> Optimisation:
        """As a recipe has it, for so many photos."""
        return cls(
            steps=recipe.total_steps(photos),
            steps_per_epoch=recipe.steps_per_epoch(photos),
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            warmup=recipe.warmup,
            cosine=recipe.cosine,
            averaging=recipe.averaging,
        )

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

    def loss(self, network: nn.Module, step: int) -> StepLoss:
        """Of one step; ``network`` is in training mode."""
        ...

    def errors(self, network: nn.Module) -> dict[str, float]:
        """Median ``position_m`` and ``rotation_deg`` on the watched photos, not finite where the network gives no poses;
        ``network`` is in evaluation mode."""
        ...


def train_steps(lesson: Lesson, options: TrainingOptions) -> tuple[nn.Module, Record]:
    """The trained network in evaluation mode, and what happened.

    An interruption (Ctrl-C, SIGTERM) is taken between two steps, saves a checkpoint and is raised again.

    Raises:
        BadInput: a checkpoint that cannot be written.
        Diverged: numbers that are not finite any more, poses a thousand times farther off than those of the first step, or
            in the end ten times. ``good`` holds the last state that was followed by good steps.
    """
    with numerics(), held_interrupts() as check:
        run = _Run(lesson, options)
        try:
            return run.to_the_end(check)
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
        self._done, self._since, self._first, self._seconds = 0, 0, math.inf, 0.0
        self._sums = torch.zeros(2, device=options.device)  # of losses and distances since the last report
        self._whole = True  # False within a step, when nothing can be saved
        self._good = self._candidate = self._state()
        self._resume()
        self._saved_at, self._save_seconds, self._started = time.monotonic(), 0.0, time.monotonic()

    def to_the_end(self, check: Callable[[], None]) -> tuple[nn.Module, Record]:
        every = max(1, round(self._how.steps / self._how.steps_per_epoch / _REPORTS)) * self._how.steps_per_epoch
        self._options.progress.advance(self._done)
        while self._done < self._how.steps:
            self._step()
            if self._done % every == 0 or self._done in (1, self._how.steps):
                self._report()
            check()
            if self._save_is_due():
                self.save()
            self._options.progress.advance()
        self.save()  # what follows may be interrupted too
        self._record.seconds = self._spent
        return self._result.eval().requires_grad_(False), self._record

    @property
    def _result(self) -> nn.Module:
        return self._network if self._average is None else self._average

    def _state(self) -> Good:
        network = copy.deepcopy(self._result).eval().requires_grad_(False)
        return Good(self._done, network, copy.deepcopy(self._record))

    def _step(self) -> None:
        torch.manual_seed(seeded(self._options.seed, self._done))  # dropout
        for group in self._optimizer.param_groups:
            group["lr"] = self._how.rate(self._done)
        self._network.train()
        found = self._lesson.loss(self._network, self._done)
        if self._done % _EVERY_LOSS == 0:
            self._refuse_divergence(float(found.loss.detach()), float(found.distance))
        self._optimizer.zero_grad()
        found.loss.backward()
        self._whole = False
        self._optimizer.step()
        self._sums += torch.stack([found.loss.detach(), found.distance])
        self._done += 1
        self._follow()
        self._whole = True

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

    # -- divergence ------------------------------------------------------------------------------------------------

    def _refuse_divergence(self, loss: float, distance: float, times: float = _RAN_AWAY) -> None:
        if self._done == 0:
            self._first = distance
        if not math.isfinite(loss) or not math.isfinite(distance):
            self._give_up(f"the loss is {loss:.3g}")
        if distance > times * max(self._first, 1e-6):
            self._give_up(f"outputs are {distance / max(self._first, 1e-6):.3g} times as far from the truth as at the start")

    def _give_up(self, why: str) -> NoReturn:
        if self._options.checkpoint is not None:
            self._options.checkpoint.unlink(missing_ok=True)
        rate = self._how.learning_rate
        if self._done == 0:
            raise Diverged(
                f"{why} before the first step: the weights of the loss or the labels are out of range", self._good
            )
        raise Diverged(
            f"the training diverged: {why} in step {self._done} with a learning rate of {rate:g}; "
            f"try --learning-rate {rate / 10:g}",
            self._good,
        )

    # -- reports ---------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _report(self) -> None:
        loss, distance = (self._sums / max(self._done - self._since, 1)).tolist()
        ended = self._done == self._how.steps
        self._refuse_divergence(loss, distance, _GOT_WORSE if ended else _RAN_AWAY)
        if not all(bool(value.isfinite().all()) for value in self._result.parameters()):
            self._give_up("weights are not finite")
        epoch = self._done // self._how.steps_per_epoch
        entry: dict[str, Any] = {"epoch": epoch, "step": self._done, "loss": loss}
        words = f"loss {loss:.4f}"
        if self._lesson.watched:
            measured = self._lesson.errors(self._result.eval())
            if not all(map(math.isfinite, measured.values())):
                self._give_up("the network gives no poses any more")
            entry |= {"split": self._lesson.watched, **measured}
            shown = f"{measured['position_m']:.3f} m {measured['rotation_deg']:.2f} deg"
            self._options.progress.note(f"{self._lesson.watched} {shown}")
            words += f"; {self._lesson.watched} photos, median {shown}"
        self._sums.zero_()
        self._since = self._done
        self._record.epochs.append(entry)
        self._options.record(entry)
        self._options.report(f"epoch {epoch}/{self._how.steps // self._how.steps_per_epoch}: {words}")
        if distance <= self._first:  # the steps from the candidate on were no worse than the first one
            self._good = self._candidate
        self._candidate = self._state()

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
        """Writes the checkpoint, if one is wanted; within a step the last one stays."""
        if self._options.checkpoint is None or not self._whole:
            return
        begun = time.monotonic()
        progress = {
            "done": self._done,
            "since": self._since,
            "first": self._first,
            "sums": self._sums,
            "record": self._record.epochs,
            "seconds": self._spent,
            "network": self._network.state_dict(),
            "average": {} if self._average is None else self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "good": _to_plain(self._good),
            "candidate": _to_plain(self._candidate),
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
        self._done, self._since, self._first = progress["done"], progress["since"], progress["first"]
        self._sums = progress["sums"].to(self._options.device)
        self._record.epochs, self._seconds = progress["record"], progress["seconds"]
        self._network.load_state_dict(progress["network"])
        if self._average is not None:
            self._average.load_state_dict(progress["average"])
        self._optimizer.load_state_dict(progress["optimizer"])
        self._good, self._candidate = (self._from_plain(progress[name]) for name in ("good", "candidate"))
        self._options.report(f"continuing from step {self._done} of {self._how.steps}")

    def _from_plain(self, plain: Mapping[str, Any]) -> Good:
        network = copy.deepcopy(self._result).eval().requires_grad_(False)
        network.load_state_dict(plain["network"])
        return Good(plain["step"], network, Record(self._lesson.watched, list(plain["record"])))


def _to_plain(good: Good) -> dict[str, Any]:
    return {"step": good.step, "network": good.network.state_dict(), "record": good.record.epochs}


def _optimizer(network: nn.Module, how: Optimisation) -> torch.optim.Optimizer:
    """Fused: one pass over parameters, gradients and moments a step."""
    trained = [value for value in network.parameters() if value.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [value for value in trained if value.ndim > 1], "weight_decay": how.weight_decay},
        {"params": [value for value in trained if value.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, how.learning_rate, fused=True)
