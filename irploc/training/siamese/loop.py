"""Training a Siamese network: steps, progress lines, checkpoints.

Every random choice is a function of the seed and the step, so that a training that was killed continues to the result it
would have had.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from irploc.errors import Diverged
from irploc.geometry.poses import Poses, pose_errors
from irploc.training.batches import SETUP, generator_for, seeded
from irploc.training.checkpoint import load_checkpoint, save_checkpoint
from irploc.training.features import FeatureSource
from irploc.training.loop import CHECKPOINT_SECONDS, CHECKPOINT_SHARE, DIVERGED, Record, TrainingOptions, numerics
from irploc.training.siamese.code import PoseCode
from irploc.training.siamese.draws import PairDraws
from irploc.training.siamese.network import SiameseNetwork
from irploc.training.siamese.recipes import SiameseRecipe

_REPORTS = 20


@dataclass(frozen=True)
class Watched:
    """Photos whose errors by the first absolute head are shown while training goes on; nothing is chosen by them.

    Attributes:
        name: of their split.
        features: (M, D) plain ones, or what gives them where they change with training.
        poses: M.
    """

    name: str
    features: torch.Tensor | Callable[[], torch.Tensor]
    poses: Poses


@dataclass(frozen=True)
class Lesson:
    """What is trained on.

    Attributes:
        source: features of the N mapping photos.
        poses: N.
        draws: which pairs.
        code: of poses.
        linear: (D, 6) map that the lanes start as; None where there are none.
        watched: photos to show errors of; None shows the loss alone.
    """

    source: FeatureSource
    poses: Poses
    draws: PairDraws
    code: PoseCode
    linear: torch.Tensor | None = None
    watched: Watched | None = None


def train_siamese(lesson: Lesson, recipe: SiameseRecipe, options: TrainingOptions) -> tuple[SiameseNetwork, Record]:
    """The trained network in evaluation mode on the CPU, and the record; what the source trains is trained in place.

    An interruption (Ctrl-C, SIGTERM) saves a checkpoint and is raised again.

    Raises:
        BadInput: a checkpoint that cannot be written, or a loss that runs away.
    """
    with numerics():
        run = _Run(lesson, recipe, options)
        try:
            return run.to_the_end()
        except KeyboardInterrupt:
            run.save()
            raise


class _Run:
    """One call of ``train_siamese``: the state between steps."""

    def __init__(self, lesson: Lesson, recipe: SiameseRecipe, options: TrainingOptions) -> None:
        self._lesson, self._recipe, self._options = lesson, recipe, options
        self._total = recipe.total_steps(len(lesson.poses))
        self._settings = {
            "recipe": _plain(asdict(recipe)),
            "seed": options.seed,
            "device": options.device.type,
            "features": lesson.source.fingerprint,
        }
        torch.manual_seed(seeded(options.seed, SETUP))
        self.network = SiameseNetwork.of(lesson.source.inputs, recipe).to(options.device)
        if lesson.linear is not None:
            self.network.start_from(lesson.linear.to(options.device))
        codes = lesson.code.encode(lesson.poses)
        self._codes = torch.from_numpy(codes).float().to(options.device)
        self._optimizer = self._make_optimizer()
        self._step, self._seconds, self._first_loss = 0, 0.0, math.nan
        self._started = self._saved_at = time.monotonic()
        self._record = Record(lesson.watched.name if lesson.watched else "")
        self._resume()

    def to_the_end(self) -> tuple[SiameseNetwork, Record]:
        every = max(1, self._total // _REPORTS)
        self._options.progress.advance(self._step)
        while self._step < self._total:
            loss = self._one_step(self._step)
            self._step += 1
            if self._step % every == 0 or self._step in (1, self._total):
                self._report(float(loss))
            self._options.progress.advance()
            self._save_now_and_then()
        self.save()  # what follows may be interrupted too
        self._record.seconds = self._spent
        return self.network.eval().cpu().requires_grad_(False), self._record

    def _one_step(self, number: int) -> torch.Tensor:
        lesson, recipe = self._lesson, self._recipe
        torch.manual_seed(seeded(self._options.seed, number))  # dropout
        self._set_training(True)
        for group in self._optimizer.param_groups:
            group["lr"] = recipe.learning_rate * self._rate(number)
        random = np.random.default_rng(seeded(self._options.seed, number))
        generator = generator_for(self._options.seed, number, self._options.device)
        first, second = lesson.draws.draw(recipe.batch_size, random)
        features_i, features_j = lesson.source.features(first, generator), lesson.source.features(second, generator)
        relative = torch.from_numpy(lesson.code.relative(lesson.poses[first], lesson.poses[second])).to(features_i)
        network, soft = self.network, recipe.softness
        mixed_i, codes_i = self._blended(features_i, first, generator)
        mixed_j, codes_j = self._blended(features_j, second, generator)
        loss = network.loss(network.absolute(mixed_i, "first"), codes_i, soft)
        loss = loss + network.loss(network.absolute(mixed_j, "second"), codes_j, soft)
        noisy_i, noisy_j = (self._noisy(part, recipe.noise, generator) for part in (features_i, features_j))
        loss = loss + network.loss(network.relative(noisy_i, noisy_j), relative, soft)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    def _blended(
        self, features: torch.Tensor, rows: np.ndarray, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features for an absolute head, mixed with those of other photos of the batch, and their codes."""
        codes = self._codes[torch.from_numpy(rows).to(self._codes.device)]
        if self._recipe.blend:
            others = torch.randperm(len(features), generator=generator, device=features.device)
            share = self._recipe.blend * torch.rand(len(features), 1, generator=generator, device=features.device)
            features, codes = torch.lerp(features, features[others], share), torch.lerp(codes, codes[others], share)
        return self._noisy(features, self._recipe.absolute_noise, generator), codes

    def _noisy(self, features: torch.Tensor, most: float, generator: torch.Generator) -> torch.Tensor:
        deviations = self._lesson.source.deviations
        if deviations is None or not most:
            return features
        noise = torch.randn(features.shape, generator=generator, device=features.device) * deviations
        return features + most * torch.rand(len(features), 1, generator=generator, device=features.device) * noise

    def _make_optimizer(self) -> torch.optim.Optimizer:
        recipe = self._recipe
        trained = self._lesson.source.trained()
        parameters = [*self.network.parameters()] + ([*trained.parameters()] if trained is not None else [])
        groups: list[dict[str, Any]] = [
            {"params": [value for value in parameters if value.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [value for value in parameters if value.ndim <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, recipe.learning_rate, fused=True)

    def _rate(self, number: int) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * number / self._total)) if self._recipe.cosine else 1.0

    def _set_training(self, on: bool) -> None:
        self.network.train(on)
        trained = self._lesson.source.trained()
        if trained is not None:
            trained.train(on)

    @torch.no_grad()
    def _report(self, loss: float) -> None:
        if math.isnan(self._first_loss):
            self._first_loss = abs(loss) + 1.0
        if not math.isfinite(loss) or loss > DIVERGED * self._first_loss:
            raise Diverged(f"the training diverged (loss {loss:.3g} in step {self._step}): try a smaller --learning-rate")
        entry: dict[str, Any] = {"step": self._step, "loss": loss}
        line = f"step {self._step} of {self._total}: loss {loss:.3f}"
        watched = self._lesson.watched
        if watched is not None:
            self._set_training(False)
            features = watched.features if isinstance(watched.features, torch.Tensor) else watched.features()
            codes = self.network.absolute(features.to(self._options.device))
            found = pose_errors(self._lesson.code.decode(codes.double().cpu().numpy()), watched.poses)
            entry |= {"position_m": float(np.median(found[0])), "rotation_deg": float(np.median(found[1]))}
            line += f", {watched.name} photos, absolute: {entry['position_m']:.3f} m {entry['rotation_deg']:.2f} deg"
        self._record.epochs.append(entry)
        self._options.record({**entry, "split": self._record.monitor} if watched is not None else entry)
        self._options.report(line)

    @property
    def _spent(self) -> float:
        """Seconds, those of earlier runs included."""
        return self._seconds + time.monotonic() - self._started

    def _save_now_and_then(self) -> None:
        if self._options.checkpoint is None or time.monotonic() - self._saved_at < CHECKPOINT_SECONDS:
            return
        before = time.monotonic()
        self.save()
        took = time.monotonic() - before
        self._saved_at = time.monotonic() + took / CHECKPOINT_SHARE - CHECKPOINT_SECONDS

    def save(self) -> None:
        """Keeps the progress, if there is a place for it."""
        if self._options.checkpoint is None:
            return
        trained = self._lesson.source.trained()
        progress = {
            "step": self._step,
            "network": self.network.state_dict(),
            "trained": trained.state_dict() if trained is not None else {},
            "optimizer": self._optimizer.state_dict(),
            "record": self._record.epochs,
            "seconds": self._spent,
            "first_loss": self._first_loss,
        }
        save_checkpoint(self._options.checkpoint, self._settings, progress)

    def _resume(self) -> None:
        if self._options.checkpoint is None or not self._options.resume:
            return
        progress, why_not = load_checkpoint(self._options.checkpoint, self._settings)
        if why_not:
            self._options.report(why_not)
        if progress is None:
            return
        self._step, self._seconds = progress["step"], progress["seconds"]
        self._first_loss, self._record.epochs = progress["first_loss"], progress["record"]
        self.network.load_state_dict(progress["network"])
        trained = self._lesson.source.trained()
        if trained is not None:
            trained.load_state_dict(progress["trained"])
        self._optimizer.load_state_dict(progress["optimizer"])
        self._options.report(f"going on with the unfinished training at step {self._step} of {self._total}")


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
