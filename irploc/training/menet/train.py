"""From photos and pairs to a trained ``MeNetModel``."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import torch
from torch import nn

from irploc import provenance
from irploc.errors import BadInput
from irploc.geometry.poses import Poses, pose_errors
from irploc.geometry.rotations import angle_between_deg
from irploc.pairs.candidates import default_window, window_pairs
from irploc.progress import Stages, silent_stages
from irploc.scene import Frames, Scene
from irploc.training.batches import SETUP, seeded
from irploc.training.dataset import spread
from irploc.training.loop import Record, TrainingOptions
from irploc.training.menet.frames import Framing
from irploc.training.menet.lesson import Material, MeNetLesson, WatchedPairs, menet_of
from irploc.training.menet.model import METHOD, MeNetModel
from irploc.training.menet.motions import motions
from irploc.training.menet.network import MeNet
from irploc.training.menet.recipes import MeNetRecipe
from irploc.training.photographed import Photographed, photographed, repeatable
from irploc.training.posevector import PoseVector
from irploc.training.siamese.draws import PairDraws
from irploc.training.siamese.lesson import CorrelatedPairs, described
from irploc.training.steps import Diverged, DivergedModel, train_steps

_TYPICAL = 4096  # draws that the scale of motions is taken from
_WATCHED = 128  # pairs
_STILL = np.array([1.0, 0.0, 0.0, 0.0])


def train_menet(
    scene: Scene,
    pairs: CorrelatedPairs,
    recipe: MeNetRecipe,
    options: TrainingOptions,
    stages: Stages = silent_stages,
) -> MeNetModel:
    """MeNet on the photos of a scene.

    Args:
        scene: its photos must be there.
        pairs: rows of its mapping photos, in their order.
        stages: gives a progress bar for a title, a total and a unit, in place of the one of ``options``.

    Raises:
        BadInput: fewer than two mapping photos, photos that cannot be used, no pairs. DivergedModel: the loss ran away.
    """
    mapping = scene.frames.of_split("train")
    if len(mapping) < 2:
        raise BadInput(f"mapping photos in {scene.name}: {len(mapping)}; a relative pose is of two")
    draws = PairDraws(mapping.poses, pairs.rows, pairs.angle_deg, recipe.drawing)
    seen = photographed(scene, recipe, options.device, stages)
    framing = Framing.fit(seen.photos, len(mapping), recipe.side, recipe.shape)
    material = Material(seen.photos, framing, mapping.poses, focal_lengths(scene, mapping, recipe.side), draws)
    typical = typical_motions(material, recipe, options.seed)
    code = PoseVector.fit(typical, recipe.rotation) if recipe.standardize else PoseVector(recipe.rotation)
    settings = {
        "method": METHOD,
        "mapping_fingerprint": scene.mapping_fingerprint,
        "pairs": pairs.fingerprint,
        "focal": provenance.sha256_of_parts([material.focal_px.tobytes()]),
    }
    network = nn.ModuleDict({"menet": _network(framing, recipe, code, options)})
    lesson = MeNetLesson(material, code, recipe, network, options.seed, settings, _watched(scene, seen, pairs))

    def finished(trained: nn.Module, record: Record) -> MeNetModel:
        assert isinstance(trained, nn.ModuleDict)
        return MeNetModel(
            network=menet_of(trained).cpu(),
            framing=framing,
            code=code,
            recipe=recipe,
            seed=options.seed,
            identity={
                "scene": scene.name,
                "mapping_fingerprint": scene.mapping_fingerprint,
                "ground_truth": scene.ground_truth,
                "units": scene.units,
            },
            record=asdict(record),
            pairs=described(pairs),
            typical_m=_root_mean_square(np.linalg.norm(typical.centers_m, axis=1)),
            typical_deg=_root_mean_square(angle_between_deg(typical.world_from_cam_wxyz, _STILL)),
        )

    with stages("training", recipe.total_steps(len(mapping)), "steps") as bar, repeatable():
        try:
            return finished(*train_steps(lesson, replace(options, progress=bar)))
        except Diverged as error:
            raise DivergedModel(error, finished(error.good.network, error.good.record)) from None


def typical_motions(material: Material, recipe: MeNetRecipe, seed: int) -> Poses:
    """Motions as they will be drawn, each with its inverse."""
    rows = np.stack(material.draws.draw(_TYPICAL, np.random.default_rng(seeded(seed, SETUP))), axis=1)
    return motions(material.poses, np.concatenate([rows, rows[:, ::-1]]))


def focal_lengths(scene: Scene, frames: Frames, side: int) -> np.ndarray:
    """(N,) focal lengths in pixels of photos whose shorter side is scaled to ``side``; NaN where unknown."""
    known = {
        name: float(np.mean(camera.focal_px)) * side / min(camera.width, camera.height)
        for name, camera in scene.cameras.items()
    }
    return np.array([known.get(name, np.nan) for name in frames.cameras], dtype=np.float64)


def _network(framing: Framing, recipe: MeNetRecipe, code: PoseVector, options: TrainingOptions) -> MeNet:
    with torch.random.fork_rng():
        torch.manual_seed(seeded(options.seed, SETUP))
        network = MeNet(framing.height, framing.width, recipe.hidden, code.size, framing.mean, framing.deviation)
    return network.to(options.device)


def _watched(scene: Scene, seen: Photographed, pairs: CorrelatedPairs) -> WatchedPairs | None:
    """Pairs of watched photos that pass the window and the angle of Algorithm 1."""
    frames = seen.watched
    rows = window_pairs(frames.sequences, frames.indices, default_window(scene.frames))
    turned_deg = pose_errors(frames.poses[rows[:, 0]], frames.poses[rows[:, 1]])[1]
    rows = rows[turned_deg <= pairs.angle_deg]
    if not len(rows):
        return None
    rows = rows[spread(len(rows), _WATCHED)]
    name = f"pairs of {seen.watched_split}"
    return WatchedPairs(name, seen.watched_rows[rows], motions(frames.poses, rows))


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))
