"""How a Siamese network is trained: the paper's settings and ours, saved with every model."""

from __future__ import annotations

from dataclasses import dataclass, replace

from irploc.errors import BadInput
from irploc.training.siamese.code import RELATIONS


@dataclass(frozen=True)
class SiameseRecipe:
    """Every choice in a training but the seed and the pairs.

    Attributes:
        name: ``fast`` or ``paper``.
        relation: what the relative head regresses, ``difference`` (paper) or ``group``, see ``PoseCode``.
        cips: draw photos j among the correlated ones of photos i; False draws any two photos.
        wide: share of the draws in which photo j is any photo turned away by less than the orientation test allows, however
            far in the sequence; the window of the paper ends where the next walk through the place begins.
        near: draw near photos j more often, with weights 1 / rank by pose distance; False draws all alike.
        absolute_widths, relative_widths: of the hidden layers.
        dropout: in each head.
        antisymmetric, lane: see ``SiameseNetwork``; the lanes start as ridge regression with the penalty ``ridge``.
        standardize: regress poses about the mean pose, scaled to unit spread, with s_x and s_q starting at 0; False takes
            the world's axes and s_q = -3.
        components: principal components of the features to train on; 0 takes the features as they are.
        batch_size, epochs, minimum_steps, learning_rate, weight_decay: of the optimiser (Adam; AdamW with decay).
        cosine: let the learning rate fall to zero; False keeps it.
        softness: as in ``SiameseNetwork.loss``.
        noise: normal noise on each component for the relative head, up to this share of its standard deviation.
        absolute_noise, blend: noise for the absolute heads, and how far a photo is mixed with another one and its pose.
        crop: pixels of the square crops of ``siamese-image``, from photos whose shorter side is ``side``.

    Raises:
        BadInput: for values that cannot be.
    """

    name: str
    relation: str = "difference"
    cips: bool = True
    wide: float = 0.0
    near: bool = False
    absolute_widths: tuple[int, ...] = (2048,)
    relative_widths: tuple[int, ...] = (2048, 2048)
    dropout: float = 0.5
    antisymmetric: bool = False
    lane: bool = False
    ridge: float = 0.0
    standardize: bool = False
    components: int = 0
    batch_size: int = 30
    epochs: int = 300
    minimum_steps: int = 0
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    cosine: bool = False
    softness: float = 0.0
    noise: float = 0.0
    absolute_noise: float = 0.0
    blend: float = 0.0
    side: int = 256
    crop: int = 224

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name.replace('_', ' ')} is {getattr(self, name)}, it must be at least 1")
        if not 0 < self.learning_rate < float("inf"):
            raise BadInput(f"learning rate is {self.learning_rate}, it must be positive and finite")
        if self.relation not in RELATIONS:
            raise BadInput(f"unknown relation {self.relation!r}, choose {' or '.join(RELATIONS)}")

    @property
    def log_scales(self) -> tuple[float, float]:
        """s_x and s_q at the start (paper section 3.2: 0 and -3)."""
        return (0.0, 0.0) if self.standardize else (0.0, -3.0)

    def steps_per_epoch(self, photos: int) -> int:
        """Steps in which as many photos i are drawn as there are, some twice, some not at all."""
        return -(-photos // self.batch_size)

    def total_steps(self, photos: int) -> int:
        """Of the whole training, whole epochs."""
        a_pass = self.steps_per_epoch(photos)
        return max(self.epochs, -(-self.minimum_steps // a_pass)) * a_pass


PAPER = SiameseRecipe("paper")
FAST = SiameseRecipe(
    "fast",
    wide=0.2,
    near=True,
    absolute_widths=(1024, 512),
    relative_widths=(1024, 512),
    dropout=0.0,
    antisymmetric=True,
    lane=True,
    ridge=1e-2,
    standardize=True,
    components=400,
    batch_size=256,
    epochs=700,
    minimum_steps=1000,
    weight_decay=1e-2,
    cosine=True,
    softness=1e-3,
    noise=0.2,
    absolute_noise=0.2,
    blend=0.5,
)
RECIPES = {"paper": PAPER, "fast": FAST}


def siamese_recipe(name: str, **changes: object) -> SiameseRecipe:
    """A recipe by name, with some of its fields changed; None changes nothing.

    Raises:
        BadInput: unknown name or impossible value.
    """
    if name not in RECIPES:
        raise BadInput(f"unknown recipe {name!r}, choose one of {', '.join(sorted(RECIPES))}")
    given = {key: value for key, value in changes.items() if value is not None}
    return replace(RECIPES[name], **given)  # type: ignore[arg-type]
