"""From photos and pairs to a trained ``SiameseModel`` of the method ``siamese-image``."""

from __future__ import annotations

from dataclasses import asdict, replace

from irploc.progress import Stages, silent_stages
from irploc.scene import Scene
from irploc.training.backbone import ImageOptions, located_first_weights
from irploc.training.features import FeatureSource
from irploc.training.loop import TrainingOptions
from irploc.training.photographed import (
    Photographed,
    check_sizes,
    identity_of_scene,
    look,
    photographed,
    plain_features,
    repeatable,
)
from irploc.training.siamese.code import PoseCode
from irploc.training.siamese.draws import PairDraws
from irploc.training.siamese.image_model import METHOD, extra_of
from irploc.training.siamese.lesson import CorrelatedPairs, described
from irploc.training.siamese.loop import Material, Watched, train_siamese
from irploc.training.siamese.model import SiameseModel
from irploc.training.siamese.recipes import SiameseRecipe


def train_on_images(
    scene: Scene,
    pairs: CorrelatedPairs,
    recipe: SiameseRecipe,
    images: ImageOptions,
    options: TrainingOptions,
    stages: Stages = silent_stages,
) -> SiameseModel:
    """The published network.

    Args:
        scene: its photos must be there.
        pairs: rows of its mapping photos, in their order.
        recipe: ``siamese_recipe("paper")``, with ``side`` and ``crop``.
        images: the backbone.
        options: beside ``checkpoint`` lie the features of a frozen backbone while it trains, see ``features_path``.
        stages: gives a progress bar for a title, a total and a unit, in place of the one of ``options``.

    Raises:
        BadInput: fewer than two mapping photos, photos that cannot be used, no pairs, a crop that cannot be, a loss that
            runs away. NotFound, Mismatch: ImageNet weights that are not there, or have changed.
    """
    check_sizes(recipe, recipe.batch_size, images)
    mapping = scene.frames.of_split("train")
    located_first_weights(images)  # that they are not there is said before photos are decoded
    draws = PairDraws(mapping.poses, pairs.rows, pairs.angle_deg, recipe)
    seen = photographed(scene, recipe, options.device, stages)
    found = look(seen, images, recipe, [scene.mapping_fingerprint, pairs.fingerprint], options, stages)
    source = found.source
    code = PoseCode.fit(mapping.poses, recipe.relation) if recipe.standardize else PoseCode(recipe.relation)
    material = Material(source, mapping.poses, draws, code, watched=_watched(seen, source, images))
    with stages("training", recipe.total_steps(len(mapping)), "steps") as bar, repeatable():
        network, record = train_siamese(material, recipe, replace(options, progress=bar))
    with stages("features", len(mapping), "images") as bar:
        features = plain_features(source, len(mapping), bar)
    return SiameseModel(
        method=METHOD,
        network=network,
        code=code,
        recipe=recipe,
        seed=options.seed,
        identity=identity_of_scene(scene, images, recipe, found.sha256),
        record=asdict(record),
        pairs=described(pairs),
        extra=extra_of(found.backbone, images, features, mapping.names),
    )


def _watched(seen: Photographed, source: FeatureSource, images: ImageOptions) -> Watched | None:
    if not len(seen.watched):
        return None
    rows = seen.watched_rows
    features = source.plain(rows) if images.frozen else lambda: source.plain(rows)
    return Watched(seen.watched_split, features, seen.watched.poses)
