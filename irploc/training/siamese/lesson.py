"""From embeddings and pairs to a trained ``SiameseModel``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from irploc import provenance
from irploc.training.dataset import TrainingSet
from irploc.training.features import StoredFeatures
from irploc.training.loop import TrainingOptions
from irploc.training.siamese.code import PoseCode
from irploc.training.siamese.draws import PairDraws
from irploc.training.siamese.loop import Material, Watched, train_siamese
from irploc.training.siamese.model import SiameseModel
from irploc.training.siamese.recipes import SiameseRecipe
from irploc.training.teacher import ridge_map

HELD_OUT_STEPS = 400


@dataclass(frozen=True)
class CorrelatedPairs:
    """Which mapping photos see the same things.

    Attributes:
        rows: (P, 2) of the mapping photos, each pair once.
        angle_deg: what the orientation test allowed.
        origin: where they come from, for the model file.
    """

    rows: np.ndarray
    angle_deg: float
    origin: str

    def among(self, kept: np.ndarray) -> CorrelatedPairs:
        """Those between photos of a mask (N,), in their new numbering."""
        numbers = np.cumsum(kept) - 1
        rows = self.rows[kept[self.rows].all(axis=1)]
        return replace(self, rows=numbers[rows])

    @property
    def fingerprint(self) -> str:
        """Of the pairs and the angle."""
        return provenance.sha256_of_parts(
            [np.ascontiguousarray(self.rows, dtype="<i8").tobytes(), repr(self.angle_deg).encode()]
        )


def train_on_embeddings(
    data: TrainingSet, pairs: CorrelatedPairs, recipe: SiameseRecipe, options: TrainingOptions
) -> SiameseModel:
    """The method ``siamese``.

    Raises:
        BadInput: fewer than two photos, no pairs, a loss that runs away.
    """
    fingerprint = provenance.sha256_of_parts([data.fingerprint.encode(), pairs.fingerprint.encode()])
    source = StoredFeatures(data.embeddings, recipe.components, options.seed, options.device, fingerprint)
    code = PoseCode.fit(data.poses, recipe.relation) if recipe.standardize else PoseCode(recipe.relation)
    draws = PairDraws(data.poses, pairs.rows, pairs.angle_deg, recipe)
    linear = None
    if recipe.lane:
        codes = torch.from_numpy(code.encode(data.poses)).float().to(options.device)
        linear = ridge_map(source.embeddings.float(), codes, recipe.ridge, partial_jitter=True)
    material = Material(source, data.poses, draws, code, linear, _watched(data, source))
    network, record = train_siamese(material, recipe, options)
    input_map = source.input_map
    if input_map is not None:
        input_map = type(input_map)(input_map.mean.cpu(), input_map.basis.cpu())
    return SiameseModel(
        method="siamese",
        network=network,
        code=code,
        recipe=recipe,
        seed=options.seed,
        identity=dict(data.identity) or {"dimension": data.dimension},
        record=asdict(record),
        pairs=described(pairs),
        input_map=input_map,
    )


def train_without(
    data: TrainingSet, held: np.ndarray, pairs: CorrelatedPairs, recipe: SiameseRecipe, options: TrainingOptions
) -> SiameseModel:
    """A quick one on the photos outside a mask (N,), to see what such models say of photos that they have not seen."""
    kept = ~held
    some = data.only(kept)
    quick = replace(recipe, epochs=1, minimum_steps=held_out_steps(recipe, len(data)))
    options = replace(options, checkpoint=None, report=lambda line: None, record=lambda entry: None)
    return train_on_embeddings(some, pairs.among(kept), quick, options)


def held_out_steps(recipe: SiameseRecipe, photos: int) -> int:
    """Steps of ``train_without``, about: not more than the model itself had."""
    return min(HELD_OUT_STEPS, recipe.total_steps(photos))


def described(pairs: CorrelatedPairs) -> dict[str, Any]:
    """For the model file."""
    return {"count": len(pairs.rows), "angle_deg": float(pairs.angle_deg), "origin": pairs.origin}


def _watched(data: TrainingSet, source: StoredFeatures) -> Watched | None:
    if data.monitor is None:
        return None
    vectors = torch.from_numpy(np.ascontiguousarray(data.monitor.embeddings)).float()
    if source.input_map is not None:
        vectors = source.input_map.apply(vectors[:, None].to(source.input_map.mean.device))[:, 0]
    return Watched(data.monitor.name, vectors, data.monitor.poses)
