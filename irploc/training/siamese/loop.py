"""``SiameseLesson``: one step of training a Siamese network. The steps themselves are ``training.steps``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from irploc.geometry.poses import Poses, pose_errors
from irploc.training.batches import SETUP, generator_for, seeded
from irploc.training.features import FeatureSource
from irploc.training.loop import Record, TrainingOptions, numerics
from irploc.training.siamese.code import PoseCode
from irploc.training.siamese.draws import PairDraws
from irploc.training.siamese.network import SiameseNetwork
from irploc.training.siamese.recipes import SiameseRecipe
from irploc.training.steps import Optimisation, StepLoss, train_steps


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
class Material:
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


def train_siamese(material: Material, recipe: SiameseRecipe, options: TrainingOptions) -> tuple[SiameseNetwork, Record]:
    """The trained network in evaluation mode on the CPU, and the record; what the source trains is trained in place.

    An interruption (Ctrl-C, SIGTERM) saves a checkpoint and is raised again.

    Raises:
        BadInput: a checkpoint that cannot be written. Diverged: a loss that runs away.
    """
    with numerics():
        torch.manual_seed(seeded(options.seed, SETUP))
        lesson = SiameseLesson(material, recipe, options)
    _, record = train_steps(lesson, options)
    return lesson.siamese.eval().cpu().requires_grad_(False), record


class SiameseLesson:
    """The loss of pairs of photos; makes its network, initialised from torch's global generator.

    Attributes:
        siamese: the network of the heads.
        network: that, and what the source trains beside it.
    """

    def __init__(self, material: Material, recipe: SiameseRecipe, options: TrainingOptions) -> None:
        self._material, self._recipe, self._seed, self._device = material, recipe, options.seed, options.device
        self.siamese = SiameseNetwork.of(material.source.inputs, recipe).to(options.device)
        if material.linear is not None:
            self.siamese.start_from(material.linear.to(options.device))
        trained = material.source.trained()
        self.network: nn.Module = nn.ModuleDict({"heads": self.siamese} | ({"trained": trained} if trained else {}))
        self.watched = material.watched.name if material.watched else ""
        self.settings: Mapping[str, Any] = {"recipe": _plain(asdict(recipe)), "features": material.source.fingerprint}
        photos = len(material.poses)
        self.optimisation = Optimisation(
            steps=recipe.total_steps(photos),
            steps_per_epoch=recipe.steps_per_epoch(photos),
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            cosine=recipe.cosine,
        )
        codes = material.code.encode(material.poses)
        self._codes = torch.from_numpy(codes).float().to(options.device)

    def loss(self, network: nn.Module, step: int) -> StepLoss:
        """Absolute poses of both photos, and the relative pose (paper eq. 3)."""
        material, recipe, heads = self._material, self._recipe, self.siamese
        random = np.random.default_rng(seeded(self._seed, step))
        generator = generator_for(self._seed, step, self._device)
        first, second = material.draws.draw(recipe.batch_size, random)
        features_i, features_j = material.source.features(first, generator), material.source.features(second, generator)
        relative = torch.from_numpy(material.code.relative(material.poses[first], material.poses[second])).to(features_i)
        soft = recipe.softness
        mixed_i, codes_i = self._blended(features_i, first, generator)
        mixed_j, codes_j = self._blended(features_j, second, generator)
        noisy_i, noisy_j = (self._noisy(part, recipe.noise, generator) for part in (features_i, features_j))
        parts = (
            heads.loss(heads.absolute(mixed_i, "first"), codes_i, soft),
            heads.loss(heads.absolute(mixed_j, "second"), codes_j, soft),
            heads.loss(heads.relative(noisy_i, noisy_j), relative, soft),
        )
        zero = torch.zeros((), device=self._device)
        return StepLoss(sum((p.loss for p in parts), start=zero), sum((p.distance for p in parts), start=zero))

    def errors(self, network: nn.Module) -> dict[str, float]:
        """Of the watched photos, by the first absolute head."""
        watched = self._material.watched
        assert watched is not None
        features = watched.features if isinstance(watched.features, torch.Tensor) else watched.features()
        codes = self.siamese.absolute(features.to(self._device)).double().cpu().numpy()
        if not np.isfinite(codes).all():
            return {"position_m": np.inf, "rotation_deg": np.inf}
        position_m, rotation_deg = pose_errors(self._material.code.decode(codes), watched.poses)
        return {"position_m": float(np.median(position_m)), "rotation_deg": float(np.median(rotation_deg))}

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
        deviations = self._material.source.deviations
        if deviations is None or not most:
            return features
        noise = torch.randn(features.shape, generator=generator, device=features.device) * deviations
        return features + most * torch.rand(len(features), 1, generator=generator, device=features.device) * noise


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
