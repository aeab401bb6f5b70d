"""Walks without labels for MapNet+: embedded photos whose poses are only known to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from irploc.errors import BadInput, Mismatch
from irploc.estimators.robust import Robust
from irploc.geometry.posegraph import MEDIAN
from irploc.geometry.posegraph_start import aligned
from irploc.geometry.posegraph_terms import Absolute
from irploc.geometry.poses import Poses
from irploc.retrieval.index import PlaceIndex
from irploc.retrieval.store import NOT_RECORDED, EmbeddingStore
from irploc.training.absolute.data import Unlabelled

_SHARED = ("weights_sha256", "preprocessing", "max_side", "dimension")
_TOGETHER = 20.0  # neighbouring photos err alike: so many count as one
_MOST_UNSURE = 0.3  # standard deviation of a scale that is taken


@dataclass(frozen=True)
class Walk:
    """What became of one file of unlabelled embeddings.

    Attributes:
        name: of its scene.
        photos: how many.
        scale: what its positions were multiplied with; 1 where it is in the place's units.
        tested: how many of them are test or validation photos of the place, whose figures then say less about new photos.
    """

    name: str
    photos: int
    scale: float
    tested: int = 0


def unlabelled_walks(paths: Sequence[Path], store: EmbeddingStore, index: PlaceIndex) -> tuple[Unlabelled, list[Walk]]:
    """The photos of some embeddings files, all splits, and what was found of each file.

    Poses may be in any frame. Where a walk is in other units than the place, as models of 'irploc scene build' are, its
    scale comes from the poses that interpolation gives its photos in the place: rotations say how its world is turned, and
    robust distances how much larger it must be.

    Args:
        paths: of the embeddings.
        store, index: of the labelled photos.

    Raises:
        NotFound, BadInput, Mismatch, Busy: a file that cannot be read, was made by another encoder, or whose scale the
            photos do not tell.
    """
    parts, walks = [], []
    for number, path in enumerate(paths):
        with EmbeddingStore.open(path) as other:
            _check_comparable(other, store)
            part, scale = _scaled(other, store, index)
            prefix = f"{number}/"
            sequences = np.array([prefix + str(name) for name in other.frames.sequences])
            versions = other.all_versions(np.arange(len(other.frames)))
            alone = other.frames.splits != "train"  # these were not jittered: every draw is the plain photo
            versions[alone] = versions[alone, :1]
            tested = len(_held_back(store) & {path.resolve() for path in other.frames.images})
        parts.append(Unlabelled(versions, part, sequences, other.frames.indices, other.header.scene))
        walks.append(Walk(other.header.scene, len(part), scale, tested))
    versions = min(part.embeddings.shape[1] for part in parts)
    together = Unlabelled(
        np.concatenate([part.embeddings[:, :versions] for part in parts]),
        Poses.concatenate([part.poses for part in parts]),
        np.concatenate([part.sequences for part in parts]),
        np.concatenate([part.indices for part in parts]),
        ", ".join(part.name for part in parts),
        sum(walk.tested for walk in walks),
    )
    return together, walks


def _held_back(store: EmbeddingStore) -> set[Path]:
    """The photos of a place that do not map."""
    frames = store.frames
    return {path.resolve() for path in frames[frames.splits != "train"].images}


def _check_comparable(other: EmbeddingStore, store: EmbeddingStore) -> None:
    ours, theirs = store.header, other.header
    different = [name for name in _SHARED if getattr(ours, name) != getattr(theirs, name)]
    if different:
        name = different[0]
        raise Mismatch(
            f"{other.path} was embedded in another way than {store.path} ({name} {str(getattr(theirs, name))[:60]}, not "
            f"{str(getattr(ours, name))[:60]}): embed it again with the same encoder and --max-side"
        )


def _scaled(other: EmbeddingStore, store: EmbeddingStore, index: PlaceIndex) -> tuple[Poses, float]:
    """The poses of a walk in the place's units, and the factor."""
    poses = other.frames.poses
    same = other.header.units == store.header.units or NOT_RECORDED in (other.header.units, store.header.units)
    if same and other.header.units in ("metres", NOT_RECORDED):
        return poses, 1.0
    expected, _ = Robust(index).expect(other.vectors(np.arange(len(poses))))
    scale, unsure = _scale(poses, Absolute(expected.poses, *_deviations(expected.position_m, expected.rotation_deg)))
    if not unsure < _MOST_UNSURE:
        raise BadInput(
            f"{other.path} is in {other.header.units} units, and its photos do not tell its scale in {store.header.scene} "
            f"(it may be off by {100 * unsure:.0f} %): give it one with "
            f"'irploc scene align {other.header.scene} --distance' "
            "and embed it again"
        )
    return Poses(poses.centers_m * scale, poses.world_from_cam_wxyz), scale


def _scale(poses: Poses, found: Absolute) -> tuple[float, float]:
    """The scale that brings a walk to the places of its photos, rotations being known, and its relative standard
    deviation."""
    _, _, scale = aligned(found, poses, 1.0, fixed=False)
    moved = scale * (poses.centers_m - poses.centers_m.mean(axis=0))
    weight = float((np.square(moved).sum(axis=1) / found.position_m**2).sum())
    return scale, float(np.sqrt(_TOGETHER / max(weight, 1e-12))) if np.isfinite(scale) and scale > 0 else np.inf


def _deviations(metres: np.ndarray, degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of coordinates and about axes, from expected errors; all alike where nobody knows them."""
    known = np.isfinite(metres).all() and np.isfinite(degrees).all()
    return (metres / MEDIAN, degrees / MEDIAN) if known else (np.full(len(metres), 0.1), np.full(len(metres), 5.0))
