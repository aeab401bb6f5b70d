"""Which photos map the place and which test it."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from irploc.errors import BadInput, summarize
from irploc.geometry.poses import Poses
from irploc.geometry.rotations import angles_of_products
from irploc.scene import Frames

_HOLES = (60, 16, 8, 4)  # one fold each: a hole takes out this fraction of the photos
_HELD_OUT = 4  # every fold takes out about this fraction
_TINY = 1e-4  # metres and radians; smaller differences between poses are rounding


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


def pose_folds(poses: Poses, seed: int = 0) -> list[np.ndarray]:
    """Four ways of holding out about a quarter of M mapping photos, to see how methods answer where the map has gaps.

    Each way cuts holes of another size, from a sixtieth to a quarter of the photos, so that the photos in them range from
    ones with near neighbours to ones far from all that is left. A hole is a photo and those nearest to it in pose.

    Args:
        poses: of the mapping photos, at least ``_HELD_OUT``.
        seed: of where the holes lie.

    Returns:
        (M,) masks of the photos that are held out, never all.
    """
    count, random = len(poses), np.random.default_rng(seed)
    folds = []
    for part in _HOLES:
        size, held = max(1, count // part), np.zeros(count, dtype=bool)
        for centre in random.permutation(count):
            if held.sum() + size > max(1, count // _HELD_OUT):
                break
            if held[centre]:
                continue
            nearest = np.argsort(pose_distances(poses, np.array([centre]))[0], kind="stable")[:size]
            held[nearest] = True
        folds.append(held)
    return folds


def pose_distances(poses: Poses, asked: np.ndarray) -> np.ndarray:
    """(A, M): metres and radians from the photos in rows ``asked`` to all, each as a share of its median, added up."""
    metres = cdist(poses.centers_m[asked], poses.centers_m)
    products = poses.world_from_cam_wxyz[asked] @ poses.world_from_cam_wxyz.T
    radians = angles_of_products(products)
    return np.asarray(metres / max(float(np.median(metres)), _TINY) + radians / max(float(np.median(radians)), _TINY))


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
