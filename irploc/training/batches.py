"""``Batches``: embeddings and poses on the device, drawn at random as functions of the seed and the step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from irploc.geometry.averaging import mean_poses
from irploc.geometry.poses import Poses, pose_errors
from irploc.training.dataset import TrainingSet
from irploc.training.losses import Outputs
from irploc.training.models import ORIENTATION, POSITION
from irploc.training.normalisation import InputMap, TargetMap, poses_of, targets_of
from irploc.training.recipes import Recipe
from irploc.training.teacher import Teacher

SETUP = 2**40  # the "step" whose generator makes maps and first weights
_ORDER = 2**41  # added to an epoch: its order of images
_HEAD = 2**42  # times the number of a head: its own draws


def seeded(seed: int, number: int) -> int:
    """A well-mixed 64-bit seed for one step, epoch or stage."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0])


def generator_for(seed: int, number: int, device: torch.device) -> torch.Generator:
    """A generator seeded with ``seeded``."""
    return torch.Generator(device).manual_seed(seeded(seed, number))


@dataclass(frozen=True)
class Watched:
    """Photos whose errors are watched: mapped embeddings (M, R), true poses and the name of their split."""

    name: str
    embeddings: torch.Tensor
    poses: Poses

    def median_errors(self, answers: list[Outputs]) -> dict[str, float]:
        """Median ``position_m`` and ``rotation_deg`` of the mean pose of some heads, whose outputs are in metres and as
        quaternions."""
        poses = [poses_of(outputs[POSITION], outputs[ORIENTATION]) for outputs in answers]
        position_m, rotation_deg = pose_errors(mean_poses(poses)[0], self.poses)
        return {"position_m": float(np.median(position_m)), "rotation_deg": float(np.median(rotation_deg))}


class Batches:
    """The training set as the networks see it.

    Attributes:
        embeddings: (N, V, R) on the device: as stored, or mapped.
        targets: output -> (N, p), as stored or standardized.
        teacher: the closed forms, where the recipe starts from them.
        input_map: how embeddings were mapped; None if not.
        target_map: how targets were.
        watched: photos whose errors are watched.
    """

    def __init__(self, data: TrainingSet, recipe: Recipe, seed: int, device: torch.device) -> None:
        self._recipe, self._seed, self._device = recipe, seed, device
        self._orders: dict[int, tuple[int, torch.Tensor]] = {}  # by head: the epoch and its order of images
        self.embeddings = torch.from_numpy(np.ascontiguousarray(data.row_embeddings())).to(device)
        targets = {name: values.to(device) for name, values in targets_of(data.row_poses(), recipe.standardize).items()}
        self.target_map = TargetMap.fit(targets) if recipe.standardize else TargetMap.identity()
        self.targets = self.target_map.apply(targets)
        photos = data.row_photos()
        walk = np.lexsort((data.indices[photos], data.sequences[photos]))
        self._walk = torch.from_numpy(walk).to(device)
        self._rank = torch.from_numpy(np.argsort(walk)).to(device)
        watched = data.watched
        vectors = torch.from_numpy(np.ascontiguousarray(watched.embeddings)).to(device)
        self.input_map: InputMap | None = None
        if recipe.components:
            generator = generator_for(seed, SETUP, torch.device("cpu"))
            self.input_map = InputMap.fit(self.embeddings, recipe.components, generator)
            self.embeddings = self.input_map.apply(self.embeddings)
            vectors = self.input_map.apply(vectors[:, None])[:, 0]
        self.teacher: Teacher | None = None
        if recipe.ridge:
            self.teacher = Teacher(self.embeddings.float(), self.targets, recipe.ridge, recipe.partial_jitter)
        self._deviations = self.embeddings.flatten(0, 1).std(dim=0, correction=0).float() if recipe.noise else None
        self.watched = Watched(watched.name, vectors, watched.poses)

    def draw(self, step: int) -> tuple[torch.Tensor, Outputs]:
        """The batch of one step: (E, B, R) float32 embeddings and their targets (E, B, p), anew for each of E heads."""
        drawn = [self._draw(step, head) for head in range(self._recipe.heads)]
        targets = {name: torch.stack([part[name] for _, part in drawn]) for name in self.targets}
        return torch.stack([embeddings for embeddings, _ in drawn]), targets

    def _draw(self, step: int, head: int) -> tuple[torch.Tensor, Outputs]:
        recipe, generator = self._recipe, generator_for(self._seed, head * _HEAD + step, self._device)
        images = self._images_of(step, head)
        embeddings = self._versions(images, generator)
        targets = {name: values[images] for name, values in self.targets.items()}
        if recipe.blend:
            others = self._others(images, generator)
            share = recipe.blend * torch.rand(len(images), 1, generator=generator, device=self._device)
            embeddings = torch.lerp(embeddings, self._versions(others, generator), share)
            targets = {name: torch.lerp(values, self.targets[name][others], share) for name, values in targets.items()}
        if self._deviations is not None:
            noise = torch.randn(embeddings.shape, generator=generator, device=self._device) * self._deviations
            share = recipe.noise * torch.rand(len(images), 1, generator=generator, device=self._device)
            embeddings = torch.addcmul(embeddings, noise, share)
        shares = recipe.teacher_shares
        if self.teacher is not None and any(shares.values()):
            answers = self.teacher.answer(embeddings)
            targets = {name: torch.lerp(values, answers[name], shares[name]) for name, values in targets.items()}
        return embeddings, targets

    def _images_of(self, step: int, head: int) -> torch.Tensor:
        """Row numbers: each image once per epoch, in an order of its own; more draws fill the last batch."""
        size, count = self._recipe.batch_size, len(self.embeddings)
        epoch, within = divmod(step, self._recipe.steps_per_epoch(count))
        if self._orders.get(head, (-1,))[0] != epoch:
            generator = generator_for(self._seed, head * _HEAD + _ORDER + epoch, torch.device("cpu"))
            rounds = -(-self._recipe.steps_per_epoch(count) * size // count)
            order = torch.cat([torch.randperm(count, generator=generator) for _ in range(rounds)])
            self._orders[head] = (epoch, order.to(self._device))
        return self._orders[head][1][within * size : (within + 1) * size]

    def _others(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Row numbers of the images to blend with."""
        count, reach = len(self.embeddings), self._recipe.blend_reach
        if not reach:
            return torch.randint(count, images.shape, generator=generator, device=self._device)
        steps = torch.randint(-reach, reach + 1, images.shape, generator=generator, device=self._device)
        return self._walk[(self._rank[images] + steps).clamp(0, count - 1)]

    def _versions(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """(B, R) a random version of each image, or a point between its plain version and that one."""
        count = self.embeddings.shape[1]
        versions = torch.randint(count, images.shape, generator=generator, device=self._device)
        drawn = self.embeddings[images, versions].float()
        if not self._recipe.partial_jitter:
            return drawn
        share = torch.rand(len(images), 1, generator=generator, device=self._device)
        return torch.lerp(self.embeddings[images, 0].float(), drawn, share)
