"""``AbsoluteLesson``: one step of training PoseNet or MapNet."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from irploc.geometry.poses import pose_errors
from irploc.training.absolute.data import Odometry, Watched
from irploc.training.absolute.recipes import AbsoluteRecipe
from irploc.training.absolute.walks import Walks
from irploc.training.batches import generator_for, seeded
from irploc.training.features import FeatureSource
from irploc.training.poseloss import PoseLoss, tuple_pairs
from irploc.training.posevector import PoseVector
from irploc.training.steps import Optimisation, StepLoss

_ORDER, _ORDER_UNLABELLED = 2**41, 2**44  # added to an epoch: its order of photos


@dataclass(frozen=True)
class _Batch:
    """(B, s) rows of photos, and their features (B, s, D) and pose vectors (B, s, P)."""

    features: torch.Tensor
    vectors: torch.Tensor


class AbsoluteLesson:
    """The loss of tuples of photos.

    Args:
        source: features of the N labelled photos.
        walks: their tuples.
        vectors: (N, P) their pose vectors, on the device.
        code: how these were made.
        recipe: how to train.
        network: ``head``, and ``backbone`` where that is trained; the losses are added here.
        seed: of every draw.
        settings: that the result depends on, beside the recipe.
        watched_photos: whose errors are reported; None reports the loss alone.
        odometry: unlabelled walks.
    """

    def __init__(
        self,
        source: FeatureSource,
        walks: Walks,
        vectors: torch.Tensor,
        code: PoseVector,
        recipe: AbsoluteRecipe,
        network: nn.ModuleDict,
        seed: int,
        settings: dict[str, Any],
        watched_photos: Watched | None = None,
        odometry: Odometry | None = None,
    ) -> None:
        self._source, self._walks, self._vectors, self._code = source, walks, vectors, code
        self._recipe, self._seed, self._watched, self._odometry = recipe, seed, watched_photos, odometry
        self.network: nn.Module = network
        self.watched = watched_photos.name if watched_photos is not None else ""
        for name in ("absolute", *(["relative"] if recipe.steps > 1 else []), *(["odometry"] if odometry else [])):
            losses = PoseLoss(recipe.loss, recipe.weighting, recipe.alpha, recipe.beta, recipe.gamma)
            network[f"{name}_loss"] = losses.to(vectors.device)
        self._first, self._second = (part.to(vectors.device) for part in tuple_pairs(recipe.steps))
        self.settings: dict[str, Any] = {**settings, "recipe": asdict(recipe), "features": source.fingerprint}
        if odometry is not None:
            self.settings["unlabelled"] = odometry.fingerprint
        self.optimisation = Optimisation.of(recipe, len(walks))

    def loss(self, network: nn.Module, step: int) -> StepLoss:
        """Absolute poses, relative poses within tuples, and motions within tuples of unlabelled walks.

        Source: the report's eq. 10; the relative terms, and those of unlabelled walks, have weights beta and gamma of their
        own where these are learned, as in MapNet's published code: relative poses are smaller than absolute ones.
        """
        assert isinstance(network, nn.ModuleDict)
        recipe, generator = self._recipe, generator_for(self._seed, step, self._vectors.device)
        batch = self._blended(self._drawn(self._source, self._walks, self._vectors, step, _ORDER, generator), generator)
        outputs = self._outputs(network, batch, generator)
        absolute: StepLoss = network["absolute_loss"]((outputs - batch.vectors).flatten(0, 1))
        loss = absolute.loss
        if recipe.steps > 1:
            between = self._between(outputs, recipe.relation) - self._between(batch.vectors, recipe.relation)
            loss = loss + recipe.relative * network["relative_loss"](between).loss
        if self._odometry is not None:
            known = self._odometry
            batch = self._drawn(known.source, known.walks, known.vectors, step, _ORDER_UNLABELLED, generator)
            outputs = self._outputs(network, batch, generator)
            between = self._between(outputs, "group") - self._between(batch.vectors, "group")
            loss = loss + recipe.unlabelled_weight * network["odometry_loss"](between).loss
        return StepLoss(loss, absolute.distance)

    def errors(self, network: nn.Module) -> dict[str, float]:
        """Of the watched photos."""
        assert self._watched is not None and isinstance(network, nn.ModuleDict)
        features = self._watched.features
        if features is None:
            features = self._source.plain(self._watched.rows)
        vectors = network["head"](features.float()).double().cpu().numpy()
        if not np.isfinite(vectors).all():
            return {"position_m": np.inf, "rotation_deg": np.inf}
        position_m, rotation_deg = pose_errors(self._code.decode(vectors), self._watched.poses)
        return {"position_m": float(np.median(position_m)), "rotation_deg": float(np.median(rotation_deg))}

    def _drawn(
        self,
        source: FeatureSource,
        walks: Walks,
        vectors: torch.Tensor,
        step: int,
        stream: int,
        generator: torch.Generator,
    ) -> _Batch:
        """The tuples of one step: every photo begins one in each pass, in an order of its own."""
        size, count = self._recipe.batch_size, len(walks)
        start = step * size
        passes = range(start // count, (start + size - 1) // count + 1)
        orders = [np.random.default_rng(seeded(self._seed, stream + number)).permutation(count) for number in passes]
        begin = start - passes[0] * count
        rows = walks.tuples(np.concatenate(orders)[begin : begin + size])
        features = source.features(rows.ravel(), generator).float()
        return _Batch(features.unflatten(0, rows.shape), vectors[torch.from_numpy(rows).to(vectors.device)])

    def _blended(self, batch: _Batch, generator: torch.Generator) -> _Batch:
        """Each tuple mixed with another one, all its photos by the same share: differences within it are mixed alike."""
        if not self._recipe.blend or len(batch.features) < 2:
            return batch
        device = batch.features.device
        others = torch.randperm(len(batch.features), generator=generator, device=device)
        share = self._recipe.blend * torch.rand(len(others), 1, 1, generator=generator, device=device)
        return _Batch(
            torch.lerp(batch.features, batch.features[others], share),
            torch.lerp(batch.vectors, batch.vectors[others], share),
        )

    def _outputs(self, network: nn.ModuleDict, batch: _Batch, generator: torch.Generator) -> torch.Tensor:
        """(B, s, P) of what the head sees."""
        features, deviations = batch.features, self._source.deviations
        if deviations is not None and self._recipe.noise:
            share = torch.rand(*features.shape[:2], 1, generator=generator, device=features.device)
            noise = torch.randn(features.shape, generator=generator, device=features.device) * deviations
            features = features + self._recipe.noise * share * noise
        outputs: torch.Tensor = network["head"](features)
        return outputs

    def _between(self, vectors_BsP: torch.Tensor, relation: str) -> torch.Tensor:
        """(B * pairs, P or 6) relative poses of all pairs in each tuple."""
        first, second = vectors_BsP[:, self._first].flatten(0, 1), vectors_BsP[:, self._second].flatten(0, 1)
        return second - first if relation == "difference" else self._code.motion(second, first)
