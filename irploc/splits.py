"""Which photos map the place and which test it."""

from __future__ import annotations

import numpy as np

from irploc.errors import BadInput, summarize
from irploc.scene import Frames


def by_blocks(frames: Frames, block_size: int = 100) -> np.ndarray:
    """Alternating blocks of consecutive frame numbers within each walk, the even blocks train: the honest split."""
    _positive(block_size, "block size")
    splits = np.where((_rank_in_sequence(frames) // block_size) % 2 == 0, "train", "test").astype(object)
    if len(frames) and not (splits == "test").any():
        longest = int(_rank_in_sequence(frames).max()) + 1
        raise BadInput(
            f"blocks of {block_size} leave no test image, the longest walk has {longest} frames: lower --block-size"
        )
    return splits


def by_modulo(frames: Frames, modulo: int = 3) -> np.ndarray:
    """By frame number modulo N: the last remainder is test, the one before validation (from N = 3 on), the others train.

    N = 3 is the equal train/validation/test split of the dataset paper; neighbouring frames land on both sides, so it
    measures interpolation, not localization.
    """
    if modulo < 2:
        raise BadInput(f"--modulo is {modulo}, it must be at least 2")
    remainder = frames.indices % modulo
    splits = np.full(len(frames), "train", dtype=object)
    splits[remainder == modulo - 1] = "test"
    if modulo > 2:
        splits[remainder == modulo - 2] = "validation"
    return splits


def by_sequence(frames: Frames, test_sequences: list[str] | None = None) -> np.ndarray:
    """Whole walks: the named ones are test, by default the last one in sorted order.

    Raises:
        BadInput: when a named walk does not exist or only one walk is there.
    """
    present = sorted(set(frames.sequences))
    chosen = test_sequences or present[-1:]
    unknown = [name for name in chosen if name not in present]
    if unknown:
        raise BadInput(f"no sequence {summarize(unknown)}; the scene has {', '.join(present)}")
    if len(set(chosen)) == len(present):
        raise BadInput("a split by sequence needs at least two sequences, so that one is left for training")
    return np.where(np.isin(frames.sequences, chosen), "test", "train").astype(object)


def by_fraction(frames: Frames, test_fraction: float = 0.2, seed: int = 0) -> np.ndarray:
    """A random share of the frames is test; the same seed gives the same choice."""
    if not 0 < test_fraction < 1:
        raise BadInput(f"the test fraction is {test_fraction}, it must lie between 0 and 1")
    count = round(len(frames) * test_fraction)
    chosen = np.random.default_rng(seed).permutation(len(frames))[:count]
    splits = np.full(len(frames), "train", dtype=object)
    splits[chosen] = "test"
    return splits


def _rank_in_sequence(frames: Frames) -> np.ndarray:
    """(N,) 0-based position of each frame's number above the first number of its walk."""
    rank = np.zeros(len(frames), dtype=np.int64)
    for sequence in set(frames.sequences):
        rows = frames.sequences == sequence
        rank[rows] = frames.indices[rows] - frames.indices[rows].min()
    return rank


def _positive(value: int, what: str) -> None:
    if value < 1:
        raise BadInput(f"the {what} is {value}, it must be at least 1")
