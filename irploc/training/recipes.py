"""How a regressor is trained: the paper's settings and ours, as frozen options that are saved with every model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from irploc.errors import BadInput
from irploc.registry import Registry
from irploc.training.models import DROPOUT, ORIENTATION, PAPER_WIDTH, POSITION

MODELS = ("irpnet", "mlp")
PLACES = ("indoor", "outdoor")
OUTDOOR_EXTENT_M = 20.0
MOST_IMAGES_A_STEP = 2**16
MOST_HEADS = 64


@dataclass(frozen=True)
class Recipe:
    """Every choice in a training but the seed.

    Attributes:
        name: what the user called it.
        place: indoor or outdoor; the paper has two sets of settings.
        width: of the first layers of the network.
        dropout: after the second layer of a branch (irpnet).
        batch_size: images per step.
        heads: how many models are trained at once; their poses are averaged.
        epochs: each image is drawn once per epoch, in a random version.
        share: of all these steps that is done, when a training goes on from a trained model.
        minimum_steps: more epochs are done until there are that many steps, for scenes with few images.
        optimizer: ``adam`` (weight decay added to the gradient) or ``adamw`` (decoupled from it).
        learning_rate, beta1, beta2, epsilon, weight_decay: its settings.
        schedule: ``constant``, or ``cosine`` (linear warm-up, then down to zero).
        warmup: share of the steps in which the learning rate rises.
        averaging: decay per step of the running average of the weights that becomes the model; 0 keeps the last weights.
        orientation_position_weight: s_x of the orientation training (s_q is ``orientation_weight``).
        orientation_weight: s_q of the orientation training.
        components: train on that many principal components of the embeddings, scaled to unit variance as a whole and
            folded into the first layer afterwards; 0 trains on the embeddings as they are.
        standardize: train on poses shifted and scaled to unit spread, folded into the last layer afterwards.
        softness: the loss is quadratic below this distance (of standardized poses); 0 is the plain norm.
        ridge: start from the linear map that ridge regression gives, with this share of the total variance as penalty,
            carried through the layers by a few units; 0 starts at random.
        input_dropout, shared_dropout: before and after the first layer.
        partial_jitter: a draw lies at a random place between the plain version of an image and a jittered one, instead of
            being one of the versions.
        blend: mix each draw and its pose with another image's, up to this share.
        blend_reach: the other image is at most so many images away along the walks; 0 takes any.
        unit_orientation: compare quaternions of unit length; False compares the raw output, as the paper does.
        noise: normal noise added to each drawn component, up to this share of the component's standard deviation.
        position_teacher, orientation_teacher: share of the label that is what closed forms answer for the draw
            (``teacher.Teacher``).

    Raises:
        BadInput: for values that cannot be.
    """

    name: str
    place: str
    epochs: int
    learning_rate: float
    weight_decay: float
    orientation_weight: float
    orientation_position_weight: float
    width: int = PAPER_WIDTH
    dropout: float = DROPOUT
    batch_size: int = 8
    heads: int = 1
    share: float = 1.0
    minimum_steps: int = 0
    optimizer: str = "adam"
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-10
    schedule: str = "constant"
    warmup: float = 0.0
    averaging: float = 0.0
    components: int = 0
    standardize: bool = False
    softness: float = 0.0
    ridge: float = 0.0
    input_dropout: float = 0.0
    shared_dropout: float = 0.0
    partial_jitter: bool = False
    blend: float = 0.0
    blend_reach: int = 0
    unit_orientation: bool = False
    noise: float = 0.0
    position_teacher: float = 0.0
    orientation_teacher: float = 0.0

    def __post_init__(self) -> None:
        if self.place not in PLACES:
            raise BadInput(f"unknown place {self.place!r}, choose one of {', '.join(PLACES)}")
        if not 1 <= self.heads <= MOST_HEADS:
            raise BadInput(f"an ensemble of {self.heads} heads is not possible: choose 1 to {MOST_HEADS}")
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name.replace('_', ' ')} is {getattr(self, name)}, it must be at least 1")
        if self.batch_size > MOST_IMAGES_A_STEP:
            raise BadInput(f"batch size is {self.batch_size}, it must be at most {MOST_IMAGES_A_STEP}")
        if self.width < 4 or self.width % 4:
            raise BadInput(
                f"width is {self.width}, it must be a multiple of 4 (later layers have a half and a quarter of it)"
            )
        if self.ridge and self.width < 32:
            raise BadInput(f"width is {self.width}, the recipe {self.name} needs at least 32")
        if not 0 < self.learning_rate < float("inf"):
            raise BadInput(f"learning rate is {self.learning_rate}, it must be positive and finite")

    def steps_per_epoch(self, images: int) -> int:
        """Optimiser steps in which each image is drawn once; the last batch is filled up with more draws."""
        return -(-images // self.batch_size)

    def total_steps(self, images: int) -> int:
        """Steps of the whole training, whole epochs."""
        per_epoch = self.steps_per_epoch(images)
        epochs = max(self.epochs, -(-self.minimum_steps // per_epoch))
        return max(1, round(self.share * epochs)) * per_epoch

    @property
    def teacher_shares(self) -> dict[str, float]:
        """By output."""
        return {POSITION: self.position_teacher, ORIENTATION: self.orientation_teacher}

    def weights_of(self, training: str) -> dict[str, float]:
        """s of each output in the training for ``position`` or for ``orientation``."""
        if training == POSITION:
            return {POSITION: 1.0}
        return {POSITION: self.orientation_position_weight, ORIENTATION: self.orientation_weight}


RECIPES: Registry[Callable[[str], Recipe]] = Registry("recipe")


@RECIPES.register("paper")
def paper(place: str) -> Recipe:
    """What is printed, nothing else. Source: IRPNet paper, section IV-B; weight decay is coupled, as in torch's Adam."""
    outdoor = place == "outdoor"
    rate = 1e-3 if outdoor else 1e-2
    return Recipe(
        name="paper",
        place=place,
        epochs=1000 if outdoor else 300,
        learning_rate=rate,
        weight_decay=rate / 100,
        orientation_weight=250.0 if outdoor else 1.0,
        orientation_position_weight=1.0 if outdoor else 0.0,
    )


@RECIPES.register("fast")
def fast(place: str) -> Recipe:
    """Ours: narrow layers on principal components that start as ridge regression; the same for every place."""
    return Recipe(
        name="fast",
        place=place,
        epochs=10,
        minimum_steps=400,
        heads=3,
        learning_rate=2e-3,
        weight_decay=0.01,
        orientation_weight=1.0,
        orientation_position_weight=0.0,
        width=512,
        dropout=0.0,
        batch_size=256,
        optimizer="adamw",
        beta2=0.99,
        epsilon=1e-8,
        schedule="cosine",
        warmup=0.05,
        averaging=0.98,
        components=400,
        standardize=True,
        softness=0.05,
        ridge=0.06,
        partial_jitter=True,
        blend=0.5,
        noise=0.2,
        position_teacher=1.0,
        orientation_teacher=0.5,
    )


def recipe(name: str, place: str, **changes: float | int | None) -> Recipe:
    """The recipe of that name with changes, see ``changed``.

    Raises:
        NotFound: unknown name. BadInput: a value that cannot be.
    """
    return changed(RECIPES.get(name)(place), **changes)


def changed(chosen: Recipe, **changes: float | int | None) -> Recipe:
    """A recipe with the changes that are not None; changed epochs are exact, without a minimum of steps.

    Raises:
        BadInput: a value that cannot be.
    """
    given = {key: value for key, value in changes.items() if value is not None}
    if "epochs" in given:
        given["minimum_steps"] = 0
    if "learning_rate" in given and chosen.name == "paper":
        given.setdefault("weight_decay", float(given["learning_rate"]) / 100)
    return replace(chosen, **given)  # type: ignore[arg-type]


def place_of(centers_m: np.ndarray) -> str:
    """``outdoor`` where the camera centres (N, 3) spread over more than ``OUTDOOR_EXTENT_M``, else ``indoor``.

    The paper's indoor scenes are a few metres wide, its outdoor ones 35 m and more.
    """
    low, high = np.percentile(centers_m, [2.5, 97.5], axis=0)
    return "outdoor" if float(np.linalg.norm(high - low)) > OUTDOOR_EXTENT_M else "indoor"
