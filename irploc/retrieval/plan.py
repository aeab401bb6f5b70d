"""What will be embedded, how, and in which batches: a function of the scene and the options alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from irploc.errors import BadInput
from irploc.images import JitterOptions
from irploc.retrieval.store import DTYPES
from irploc.scene import Frames

_BATCH_PIXELS = 8 * 640 * 480  # of an automatic batch, so that memory does not grow with the photos' size
_MAX_AUTOMATIC_BATCH = 32


@dataclass(frozen=True)
class EmbedOptions:
    """How a scene is embedded.

    Attributes:
        augmentations: m jittered versions of each mapping photo; the paper uses 10.
        max_side: reduce the longer side to this many pixels; None is native resolution.
        batch_size: images a batch; None chooses by image size (8 of 640x480).
        seed: of the jitter and of encoders that are fitted.
        dtype: on disk, float16 or float32.
        jitter: ranges of the colour jitter.
        workers: decoding threads; None takes one per core, at most 8.
        skip_unreadable: leave photos out that cannot be decoded, instead of failing at the end.
    """

    augmentations: int = 10
    max_side: int | None = None
    batch_size: int | None = None
    seed: int = 0
    dtype: str = "float16"
    jitter: JitterOptions = field(default_factory=JitterOptions)
    workers: int | None = None
    skip_unreadable: bool = False

    def __post_init__(self) -> None:
        for name, least in (("augmentations", 0), ("max_side", 1), ("batch_size", 1), ("seed", 0), ("workers", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise BadInput(f"{name} is {value}, it must be at least {least}")
        if self.dtype not in DTYPES:
            raise BadInput(f"unknown dtype {self.dtype!r}, choose one of {', '.join(DTYPES)}")


@dataclass(frozen=True)
class Slot:
    """One version of one photo: a place in a batch."""

    row: int
    version: int


def plan_batches(
    frames: Frames, sizes: list[tuple[int, int]], augmentations: int, batch_size: int | None
) -> list[list[Slot]]:
    """All versions of all photos in batches of one image size, the same for the same scene and options.

    Args:
        frames: the photos; those of the train split have 1 + ``augmentations`` versions.
        sizes: (width, height) of each after resizing.
        batch_size: slots a batch; None chooses by image size.
    """
    buckets: dict[tuple[int, int], list[Slot]] = {}
    for row, size in enumerate(sizes):
        versions = 1 + augmentations if frames.splits[row] == "train" else 1
        buckets.setdefault(size, []).extend(Slot(row, version) for version in range(versions))
    plan: list[list[Slot]] = []
    for (width, height), slots in buckets.items():
        count = batch_size or automatic_batch_size(width, height)
        plan.extend(slots[start : start + count] for start in range(0, len(slots), count))
    return plan


def automatic_batch_size(width: int, height: int) -> int:
    """Images a batch so that a batch has about the pixels of 8 images of 640x480, at most 32."""
    return max(1, min(_MAX_AUTOMATIC_BATCH, _BATCH_PIXELS // (width * height)))
