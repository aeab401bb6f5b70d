"""``MeNetLesson``: one step of training MeNet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from irploc.geometry.poses import Poses, pose_errors
from irploc.geometry.tangent import rotation_of_vector
from irploc.training.batches import seeded
from irploc.training.menet.answers import ask
from irploc.training.menet.augmentation import Pairs, jittered, mirrored, turned
from irploc.training.menet.frames import Framing
from irploc.training.menet.motions import motions
from irploc.training.menet.network import MeNet
from irploc.training.menet.recipes import MeNetRecipe
from irploc.training.photos import Photos
from irploc.training.poseloss import PoseLoss
from irploc.training.posevector import PoseVector
from irploc.training.siamese.draws import PairDraws
from irploc.training.steps import Optimisation, StepLoss


@dataclass(frozen=True)
class Material:
    """What is trained on.

    Attributes:
        photos: the N mapping photos, then others.
        framing: how they are seen.
        poses: of the N.
        focal_px: (N,) focal lengths of scaled photos, NaN where unknown.
        draws: pairs of the N.
    """

    photos: Photos
    framing: Framing
    poses: Poses
    focal_px: np.ndarray
    draws: PairDraws

    def seen(self, network: MeNet, rows: np.ndarray) -> torch.Tensor:
        """(B, 3, H, W) normalized photos."""
        return network.normalized(self.framing.framed(self.photos.whole(rows)))


@dataclass(frozen=True)
class WatchedPairs:
    """Pairs whose errors are shown while training goes on; nothing is chosen by them.

    Attributes:
        name: of their split.
        rows: (M, 2) of ``Material.photos``.
        motions: M ``a_from_b``.
    """

    name: str
    rows: np.ndarray
    motions: Poses


class MeNetLesson:
    """The loss of pairs of photos.

    Args:
        material: photos and pairs.
        code: how motions are regressed.
        recipe: how to train.
        network: ``menet``; the loss is added here.
        seed: of every draw.
        settings: that the result depends on, beside the recipe.
        watched: whose errors are reported; None reports the loss alone.
    """

    def __init__(
        self,
        material: Material,
        code: PoseVector,
        recipe: MeNetRecipe,
        network: nn.ModuleDict,
        seed: int,
        settings: Mapping[str, Any],
        watched: WatchedPairs | None = None,
    ) -> None:
        self._material, self._code, self._recipe, self._seed, self._watched = material, code, recipe, seed, watched
        self.network: nn.Module = network
        self.watched = watched.name if watched is not None else ""
        loss = PoseLoss(recipe.loss, recipe.weighting, recipe.alpha, recipe.beta, recipe.gamma)
        network["loss"] = loss.to(menet_of(network).mean.device)
        self.settings: dict[str, Any] = {**settings, "recipe": asdict(recipe), "photos": material.photos.fingerprint}
        self.optimisation = Optimisation.of(recipe, len(material.poses))

    def loss(self, network: nn.Module, step: int) -> StepLoss:
        """Of as many pairs as the recipe has in a batch, each in either order.

        Source: the report's eq. 9, where the recipe is ``report``.
        """
        assert isinstance(network, nn.ModuleDict)
        menet = menet_of(network)
        pairs = self._drawn(menet, np.random.default_rng(seeded(self._seed, step)))
        wanted = torch.from_numpy(self._code.encode(pairs.motions)).to(pairs.first)
        loss: StepLoss = network["loss"](menet(pairs.first, pairs.second) - wanted)
        return loss

    def errors(self, network: nn.Module) -> dict[str, float]:
        """Of the watched pairs, by both orders."""
        assert self._watched is not None and isinstance(network, nn.ModuleDict)
        menet, rows = menet_of(network), self._watched.rows
        first, second = (self._material.seen(menet, rows[:, column]) for column in (0, 1))
        if not all(bool(menet(*pair).isfinite().all()) for pair in ((first, second), (second, first))):
            return {"position_m": np.inf, "rotation_deg": np.inf}
        answers = ask(menet, self._code, first, second)
        position_m, rotation_deg = pose_errors(answers.motions, self._watched.motions)
        return {"position_m": float(np.median(position_m)), "rotation_deg": float(np.median(rotation_deg))}

    def _drawn(self, menet: MeNet, random: np.random.Generator) -> Pairs:
        """The pairs of one step, as they were taken or as they might have been."""
        recipe, material = self._recipe, self._material
        rows = np.stack(material.draws.draw(recipe.batch_size, random), axis=1)
        first, second = (material.seen(menet, rows[:, column]) for column in (0, 1))
        pairs = Pairs(first, second, motions(material.poses, rows))
        if recipe.turn_deg:
            turns = rotation_of_vector(np.radians(recipe.turn_deg) * random.uniform(-1, 1, (2, len(rows), 3)))
            pairs = turned(pairs, turns[0], turns[1], material.focal_px[rows])
        if recipe.mirror:
            pairs = mirrored(pairs, random.random(len(rows)) < recipe.mirror)
        if recipe.jitter:
            first, second = (jittered(photos, recipe.jitter, random) for photos in (pairs.first, pairs.second))
            pairs = replace(pairs, first=first, second=second)
        return pairs


def menet_of(network: nn.ModuleDict) -> MeNet:
    """The network without its loss."""
    menet = network["menet"]
    assert isinstance(menet, MeNet)
    return menet
