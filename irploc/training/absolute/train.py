"""From photos or their embeddings to a trained ``AbsoluteModel``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from irploc import provenance
from irploc.errors import BadInput
from irploc.geometry.poses import Poses
from irploc.progress import Stages, silent_stages
from irploc.scene import Scene
from irploc.training.absolute.data import Odometry, Unlabelled, Watched
from irploc.training.absolute.heads import make_head
from irploc.training.absolute.lesson import AbsoluteLesson
from irploc.training.absolute.model import AbsoluteModel, folded_head
from irploc.training.absolute.recipes import AbsoluteRecipe
from irploc.training.absolute.walks import Walks
from irploc.training.backbone import ImageOptions, PooledBackbone, located_first_weights
from irploc.training.backbone_file import backbone_to_plain
from irploc.training.batches import SETUP, seeded
from irploc.training.dataset import TrainingSet
from irploc.training.features import FeatureSource, StoredFeatures
from irploc.training.image_features import FrozenImages
from irploc.training.loop import Record, TrainingOptions
from irploc.training.normalisation import InputMap
from irploc.training.photographed import check_sizes, identity_of_scene, look, photographed, repeatable
from irploc.training.posevector import PoseVector
from irploc.training.steps import Diverged, DivergedModel, train_steps


def train_on_embeddings(
    data: TrainingSet,
    method: str,
    recipe: AbsoluteRecipe,
    options: TrainingOptions,
    unlabelled: Unlabelled | None = None,
) -> AbsoluteModel:
    """``posenet`` or ``mapnet`` on the embeddings of mapping photos.

    Args:
        unlabelled: walks of which odometry is known, for MapNet+.

    Raises:
        BadInput: no photos, or no walks to make tuples of. DivergedModel: the loss ran away.
    """
    if not len(data):
        raise BadInput("there are no mapping photos to train on")
    source = StoredFeatures(data.embeddings, recipe.components, options.seed, options.device, data.fingerprint)
    watched = None
    if data.monitor is not None:
        vectors = torch.from_numpy(np.ascontiguousarray(data.monitor.embeddings)).float().to(options.device)
        if source.input_map is not None:
            vectors = source.input_map.apply(vectors[:, None])[:, 0]
        watched = Watched(data.monitor.name, data.monitor.poses, vectors)
    walks = _walks(data.sequences, data.indices, recipe, method)
    identity = dict(data.identity) or {"dimension": data.dimension}
    course = _Course(method, recipe, options, source, walks, data.poses, identity, watched, source.input_map)
    if unlabelled is not None:
        course.odometry = _odometry(unlabelled, course)
    model = course.run()
    if unlabelled is not None:
        told = {"walks": unlabelled.name, "photos": len(unlabelled), "tested": unlabelled.tested}
        model = replace(model, record={**model.record, "unlabelled": told})
    return model


def train_on_photos(
    scene: Scene,
    method: str,
    recipe: AbsoluteRecipe,
    images: ImageOptions,
    options: TrainingOptions,
    stages: Stages = silent_stages,
) -> AbsoluteModel:
    """The same on the photos themselves, by a backbone; frozen, it looks at a few crops of each photo once.

    Args:
        scene: its photos must be there.
        options: beside ``checkpoint`` lie the features of a frozen backbone while it trains, see ``features_path``.
        stages: gives a progress bar for a title, a total and a unit, in place of the one of ``options``.

    Raises:
        BadInput: no mapping photos, photos that cannot be used, a crop that cannot be. NotFound, Mismatch: ImageNet weights
            that are not there, or have changed. DivergedModel: the loss ran away.
    """
    check_sizes(recipe, recipe.batch_size * recipe.steps, images)
    if not images.frozen and (recipe.components or recipe.noise or recipe.blend or recipe.averaging):
        raise ValueError(
            "components, noise, blend and averaging are of features that stay: take a recipe for a trainable one"
        )
    located_first_weights(images)  # that they are not there is said before photos are decoded
    frames = scene.frames.of_split("train")
    if not len(frames):
        raise BadInput(f"scene {scene.name} has no mapping photos (split 'train')")
    walks = _walks(frames.sequences, frames.indices, recipe, method)
    seen = photographed(scene, recipe, options.device, stages)
    found = look(seen, images, recipe, [scene.mapping_fingerprint], options, stages)
    source: FeatureSource = found.source
    input_map, trained, watched = None, None, None
    if isinstance(found.source, FrozenImages):
        stored = StoredFeatures(
            found.source.table, recipe.components, options.seed, options.device, found.source.fingerprint
        )
        source, input_map = stored, stored.input_map
        if len(seen.watched):
            plain = found.source.plain(seen.watched_rows).to(options.device)
            mapped = plain if input_map is None else input_map.apply(plain[:, None])[:, 0]
            watched = Watched(seen.watched_split, seen.watched.poses, mapped)
    else:
        trained = found.backbone
        if len(seen.watched):
            watched = Watched(seen.watched_split, seen.watched.poses, rows=seen.watched_rows)
    identity = identity_of_scene(scene, images, recipe, found.sha256)
    with stages("training", recipe.total_steps(len(frames)), "steps") as bar, repeatable():
        options = replace(options, progress=bar)
        course = _Course(method, recipe, options, source, walks, frames.poses, identity, watched, input_map, trained)
        course.kept = lambda backbone: backbone_to_plain(backbone or found.backbone, images)
        return course.run()


@dataclass
class _Course:
    """One training, from features to a model.

    Attributes:
        poses: of the labelled photos, those of ``source`` and ``walks``.
        trained: the backbone, where it is.
        odometry: of unlabelled walks.
        kept: what the model file keeps of the backbone.
    """

    method: str
    recipe: AbsoluteRecipe
    options: TrainingOptions
    source: FeatureSource
    walks: Walks
    poses: Poses
    identity: dict[str, str | int]
    watched: Watched | None = None
    input_map: InputMap | None = None
    trained: PooledBackbone | None = None
    odometry: Odometry | None = None
    kept: Callable[[PooledBackbone | None], dict[str, Any]] = lambda backbone: {}

    def __post_init__(self) -> None:
        rotation = self.recipe.rotation
        self.code = PoseVector.fit(self.poses, rotation) if self.recipe.standardize else PoseVector(rotation)

    def encoded(self, poses: Poses) -> torch.Tensor:
        """(N, P) float32 pose vectors, on the device."""
        return torch.from_numpy(self.code.encode(poses)).float().to(self.options.device)

    def run(self) -> AbsoluteModel:
        """Trains, to the end or until it diverges."""
        vectors = self.encoded(self.poses)
        tuples = self.walks.tuples(np.arange(len(self.walks)))
        targets = provenance.sha256_of_parts([vectors.cpu().numpy().tobytes(), tuples.tobytes()])
        settings = {**self.identity, "method": self.method, "targets": targets}
        lesson = AbsoluteLesson(
            self.source,
            self.walks,
            vectors,
            self.code,
            self.recipe,
            self._network(),
            self.options.seed,
            settings,
            self.watched,
            self.odometry,
        )
        try:
            return self._finished(*train_steps(lesson, self.options))
        except Diverged as error:
            raise DivergedModel(error, self._finished(error.good.network, error.good.record)) from None

    def _network(self) -> nn.ModuleDict:
        with torch.random.fork_rng():
            torch.manual_seed(seeded(self.options.seed, SETUP))
            head = make_head(self.method, self.source.inputs, self.code.size)
        network = nn.ModuleDict({"head": head.to(self.options.device)})
        if self.trained is not None:
            network["backbone"] = self.trained
        return network

    def _finished(self, network: nn.Module, record: Record) -> AbsoluteModel:
        assert isinstance(network, nn.ModuleDict)
        parts = dict(network.items())
        head, backbone = parts["head"], parts.get("backbone")
        assert isinstance(head, nn.Sequential) and isinstance(backbone, PooledBackbone | None)
        return AbsoluteModel(
            method=self.method,
            head=folded_head(self.method, head, self.code, self.input_map),
            code=self.code.unscaled(),
            recipe=self.recipe,
            seed=self.options.seed,
            identity=self.identity,
            record=asdict(record),
            backbone=self.kept(backbone),
        )


def _odometry(unlabelled: Unlabelled, course: _Course) -> Odometry:
    """Unlabelled walks, mapped as the labelled photos are."""
    options, recipe = course.options, course.recipe
    if recipe.steps < 2:
        raise BadInput("unlabelled walks say how the camera moved between photos: tuples need at least 2 --steps")
    source = StoredFeatures(
        unlabelled.embeddings, recipe.components, options.seed, options.device, unlabelled.fingerprint, course.input_map
    )
    walks = _walks(unlabelled.sequences, unlabelled.indices, recipe, course.method)
    return Odometry(source, course.encoded(unlabelled.about_their_means()), walks)


def _walks(sequences: np.ndarray, indices: np.ndarray, recipe: AbsoluteRecipe, method: str) -> Walks:
    longest = int(np.unique(sequences, return_counts=True)[1].max())
    if 1 < longest < recipe.steps:
        raise BadInput(f"tuples of {recipe.steps} photos do not fit: the longest walk has {longest}; take fewer --steps")
    walks = Walks(sequences, indices, recipe.steps, recipe.skip)
    if recipe.steps > 1 and not walks.moving:
        raise BadInput(
            f"{method} compares photos within walks, and no sequence here has two photos: train posenet, or --steps 1"
        )
    return walks
