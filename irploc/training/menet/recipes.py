"""How MeNet is trained: the report's settings and ours, saved with every model."""

from __future__ import annotations

from dataclasses import dataclass, replace

from irploc.errors import BadInput
from irploc.training.menet.network import REPORT_HIDDEN, REPORT_SIDE
from irploc.training.poseloss import DISTANCES, WEIGHTINGS, check_weighting, completed
from irploc.training.posevector import ROTATIONS
from irploc.training.siamese.recipes import SiameseRecipe

SHAPES = ("whole", "square")
LEAST_SIDE, MOST_SIDE = 32, 1024
_MOST_TURN = 30.0


@dataclass(frozen=True)
class MeNetRecipe:
    """Every choice in a training but the seed and the pairs.

    Attributes:
        name: ``fast`` or ``report``.
        loss, weighting, alpha, beta, gamma: see ``PoseLoss``.
        rotation: ``quaternion`` or ``log``, see ``PoseVector``.
        standardize: regress motions scaled to unit spread; False takes metres and plain quaternions.
        cips, near, wide: which photos b are drawn for photos a, as in ``SiameseRecipe``.
        shape: ``whole`` photos, of the shape that most mapping photos have, or the ``square`` in their middle.
        side: pixels of the shorter side.
        hidden: widths of the linear layers but the last.
        mirror: share of the pairs that are mirrored, left for right, with their motion.
        turn_deg: turn each photo of a pair about its camera by up to this much around each axis, and its motion with it; for
            photos whose focal length is known.
        jitter: change brightness, contrast and colours of each photo by up to this many standard deviations.
        batch_size: pairs per step.
        epochs: each photo begins one pair per epoch; more are done until there are ``minimum_steps`` steps.
        learning_rate, weight_decay, warmup, cosine, averaging: see ``Optimisation``.

    Raises:
        BadInput: for values that cannot be.
    """

    name: str
    loss: str = "mse"
    weighting: str = "fixed"
    alpha: float = 1.0
    beta: float = 0.0
    gamma: float = 0.0
    rotation: str = "quaternion"
    standardize: bool = False
    cips: bool = True
    near: bool = False
    wide: float = 0.0
    shape: str = "square"
    side: int = REPORT_SIDE
    hidden: tuple[int, ...] = REPORT_HIDDEN
    mirror: float = 0.0
    turn_deg: float = 0.0
    jitter: float = 0.0
    batch_size: int = 32
    epochs: int = 100
    minimum_steps: int = 0
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup: float = 0.0
    cosine: bool = False
    averaging: float = 0.0

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name.replace('_', ' ')} is {getattr(self, name)}, it must be at least 1")
        if min(self.hidden, default=0) < 1:
            raise BadInput(f"hidden is {list(self.hidden)}, it must be the width of one layer or several")
        ranges = {"jitter": 10.0, "weight_decay": float("inf"), "mirror": 1.0, "wide": 1.0}
        for name, most in {**ranges, "turn_deg": _MOST_TURN}.items():
            if not 0 <= getattr(self, name) <= most or getattr(self, name) == float("inf"):
                what = "at least 0 and finite" if most == float("inf") else f"in [0, {most:g}]"
                raise BadInput(f"{name.replace('_', ' ')} is {getattr(self, name)}, it must be {what}")
        if not 0 < self.learning_rate < float("inf"):
            raise BadInput(f"learning rate is {self.learning_rate}, it must be positive and finite")
        if not LEAST_SIDE <= self.side <= MOST_SIDE:
            raise BadInput(f"side is {self.side} pixels, it must be in [{LEAST_SIDE}, {MOST_SIDE}]")
        known = (("loss", DISTANCES), ("weighting", WEIGHTINGS), ("rotation", ROTATIONS), ("shape", SHAPES))
        for name, names in known:
            if getattr(self, name) not in names:
                raise BadInput(f"unknown {name} {getattr(self, name)!r}, choose one of {', '.join(names)}")
        check_weighting(self)

    @property
    def crop(self) -> int:
        """For ``photographed``: photos are kept whole."""
        return self.side

    @property
    def drawing(self) -> SiameseRecipe:
        """What ``PairDraws`` reads of a recipe."""
        return SiameseRecipe("pairs", cips=self.cips, near=self.near, wide=self.wide)

    def steps_per_epoch(self, photos: int) -> int:
        """Optimiser steps in which as many pairs are drawn as there are photos."""
        return -(-photos // self.batch_size)

    def total_steps(self, photos: int) -> int:
        """Of the whole training, whole epochs."""
        a_pass = self.steps_per_epoch(photos)
        return max(self.epochs, -(-self.minimum_steps // a_pass)) * a_pass


REPORT = MeNetRecipe("report")  # its input, widths, alpha, optimiser, rate, epochs and batch are not printed
FAST = MeNetRecipe(
    "fast",
    loss="norm",
    weighting="learned",
    standardize=True,
    shape="whole",
    side=64,
    hidden=(512,),
    mirror=0.5,
    turn_deg=10.0,
    jitter=0.3,
    epochs=320,
    minimum_steps=3000,
    weight_decay=0.01,
    warmup=0.05,
    cosine=True,
    averaging=0.995,
)
RECIPES = {"fast": FAST, "report": REPORT}


def menet_recipe(name: str, **changes: object) -> MeNetRecipe:
    """A recipe by name, with some of its fields changed; None changes nothing, and changed epochs are exact.

    Raises:
        BadInput: unknown name or impossible value.
    """
    if name not in RECIPES:
        raise BadInput(f"unknown recipe {name!r}, choose one of {', '.join(RECIPES)}")
    return replace(RECIPES[name], **completed(changes))
