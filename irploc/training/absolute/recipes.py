"""How PoseNet and MapNet are trained: the report's settings and ours, saved with every model."""

from __future__ import annotations

from dataclasses import dataclass, replace

from irploc.errors import BadInput
from irploc.training.poseloss import DISTANCES, WEIGHTINGS, check_weighting, completed
from irploc.training.posevector import ROTATIONS
from irploc.training.recipes import MOST_IMAGES_A_STEP

RELATIONS = ("difference", "group")
METHODS = ("posenet", "mapnet")
MOST_EPOCHS = 1_000_000


@dataclass(frozen=True)
class AbsoluteRecipe:
    """Every choice in a training but the seed.

    Attributes:
        name: ``fast`` or ``report``.
        loss: a name of ``DISTANCES``.
        weighting: ``fixed`` or ``learned``, see ``PoseLoss``.
        alpha: weight of orientations, where it is fixed.
        beta, gamma: log weights at the start, where they are learned.
        rotation: ``quaternion`` or ``log``, see ``PoseVector``.
        steps, skip: photos of a tuple, and how many photos lie between two of them along a walk (mapnet; 1 step elsewhere).
        relative: weight of the relative terms within a tuple.
        relation: ``difference`` of pose vectors, as MapNet has it, or ``group``, the rigid motion between the cameras.
        unlabelled_weight: weight of the relative terms of walks that have odometry alone (MapNet+).
        standardize: regress poses about the mean pose, scaled to unit spread; False takes the world's axes and metres.
        components: principal components of the features to train on, folded into the first layer afterwards; 0 takes the
            features as they are.
        noise: normal noise on each feature, up to this share of its standard deviation.
        blend: mix each tuple and its poses with another one, up to this share.
        batch_size: tuples per step.
        epochs: each photo begins one tuple per epoch; more are done until there are ``minimum_steps`` steps.
        learning_rate, weight_decay, warmup, cosine, averaging: see ``Optimisation``.
        side, crop: of photos for a backbone, pixels: the shorter side, and the square that is cut out.

    Raises:
        BadInput: for values that cannot be.
    """

    name: str
    loss: str = "smooth-l1"
    weighting: str = "fixed"
    alpha: float = 1.0
    beta: float = 0.0
    gamma: float = 0.0
    rotation: str = "quaternion"
    steps: int = 1
    skip: int = 10
    relative: float = 1.0
    relation: str = "difference"
    unlabelled_weight: float = 1.0
    standardize: bool = False
    components: int = 0
    noise: float = 0.0
    blend: float = 0.0
    batch_size: int = 32
    epochs: int = 100
    minimum_steps: int = 0
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup: float = 0.0
    cosine: bool = False
    averaging: float = 0.0
    side: int = 256
    crop: int = 224

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs", "steps", "skip"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name.replace('_', ' ')} is {getattr(self, name)}, it must be at least 1")
        for name, limit in (("batch_size", MOST_IMAGES_A_STEP), ("epochs", MOST_EPOCHS)):
            if getattr(self, name) > limit:
                raise BadInput(f"{name.replace('_', ' ')} is {getattr(self, name)}, it must be at most {limit}")
        for name in ("relative", "unlabelled_weight", "noise", "weight_decay", "components"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise BadInput(f"{name.replace('_', ' ')} is {getattr(self, name)}, it must be at least 0 and finite")
        for name, most in (("blend", 1.0), ("warmup", 1.0), ("averaging", 0.9999)):
            if not 0 <= getattr(self, name) <= most:
                raise BadInput(f"{name} is {getattr(self, name)}, it must be in [0, {most:g}]")
        if not 0 < self.learning_rate < float("inf"):
            raise BadInput(f"learning rate is {self.learning_rate}, it must be positive and finite")
        known = (("loss", DISTANCES), ("weighting", WEIGHTINGS), ("rotation", ROTATIONS), ("relation", RELATIONS))
        for name, names in known:
            if getattr(self, name) not in names:
                raise BadInput(f"unknown {name} {getattr(self, name)!r}, choose one of {', '.join(names)}")
        check_weighting(self)

    def steps_per_epoch(self, photos: int) -> int:
        """Optimiser steps in which each photo begins one tuple; the last batch is filled up with more draws."""
        return -(-photos // self.batch_size)

    def total_steps(self, photos: int) -> int:
        """Of the whole training, whole epochs."""
        a_pass = self.steps_per_epoch(photos)
        return max(self.epochs, -(-self.minimum_steps // a_pass)) * a_pass


_FAST = AbsoluteRecipe(  # chosen on held-out mapping photos, scripts/tune_recipe.py; docs/benchmarks.md
    "fast", loss="smooth-l1", weighting="learned", standardize=True, noise=0.2, averaging=0.98
)
_REPORT = AbsoluteRecipe("report")  # its optimiser, rate, epochs and batch are not printed
_STEPS, _SKIP = 3, 10  # MapNet's; the report prints neither
RECIPES = {
    ("posenet", "fast"): replace(_FAST, batch_size=64, epochs=100, minimum_steps=800, learning_rate=1e-2),
    ("mapnet", "fast"): replace(_FAST, epochs=40, minimum_steps=640, steps=_STEPS, skip=_SKIP),
    ("posenet", "report"): _REPORT,
    ("mapnet", "report"): replace(_REPORT, weighting="learned", gamma=-3.0, steps=_STEPS, skip=_SKIP),
}
NAMES = ("fast", "report")


def absolute_recipe(method: str, name: str, trainable: bool = False, **changes: object) -> AbsoluteRecipe:
    """A recipe by name, with some of its fields changed, see ``completed``.

    Args:
        trainable: of a backbone that is trained with the head: slowly, with a warm-up, and without what is of features that
            stay (components, noise, mixing) or would need statistics of its own (averaged weights).

    Raises:
        BadInput: unknown name or impossible value.
    """
    if name not in NAMES:
        raise BadInput(f"unknown recipe {name!r}, choose one of {', '.join(NAMES)}")
    recipe = RECIPES[method, name]
    if trainable:
        recipe = replace(recipe, components=0, noise=0.0, blend=0.0, averaging=0.0, learning_rate=1e-4, warmup=0.05)
    return replace(recipe, **completed(changes))
