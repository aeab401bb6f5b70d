"""``TrainingSet``: the embeddings and poses that a regressor is trained on, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from irploc import provenance
from irploc.errors import BadInput
from irploc.geometry.poses import Poses
from irploc.retrieval.store import EmbeddingStore

MONITORED = 1000  # photos whose errors are watched while training


@dataclass(frozen=True)
class Monitor:
    """Photos whose errors are shown while training goes on; nothing is chosen or stopped by them.

    Attributes:
        name: ``validation``, ``test`` or ``mapping``, the split they belong to.
        embeddings: (M, D) plain versions.
        poses: M.
    """

    name: str
    embeddings: np.ndarray
    poses: Poses


@dataclass(frozen=True)
class TrainingSet:
    """N mapping photos.

    Attributes:
        embeddings: (N, V, D) float16 or float32; version 0 is the plain photo.
        poses: N, none missing.
        sequences: (N,) the walk each photo belongs to.
        indices: (N,) its position in the walk.
        identity: which scene, photos, encoder and settings these are; kept with the model.
        monitor: photos to watch; the mapping photos themselves where a scene has no others.

    Raises:
        ValueError: when the columns differ in length.
    """

    embeddings: np.ndarray
    poses: Poses
    sequences: np.ndarray
    indices: np.ndarray
    identity: dict[str, str | int] = field(default_factory=dict)
    monitor: Monitor | None = None

    def __post_init__(self) -> None:
        if self.embeddings.ndim != 3:
            raise ValueError(f"embeddings must be (N, V, D), not {self.embeddings.shape}")
        if {len(self.poses), len(self.sequences), len(self.indices)} != {len(self.embeddings)}:
            raise ValueError("the columns of TrainingSet differ in length")

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def dimension(self) -> int:
        """Of an embedding."""
        return int(self.embeddings.shape[2])

    @property
    def watched(self) -> Monitor:
        """The monitor, or the plain versions of the mapping photos."""
        if self.monitor is not None:
            return self.monitor
        rows = spread(len(self), MONITORED)
        return Monitor("mapping", np.asarray(self.embeddings[rows, 0], dtype=np.float32), self.poses[rows])

    @property
    def fingerprint(self) -> str:
        """Identifies the numbers themselves; a checkpoint continues only on the same ones."""
        poses = np.concatenate([self.poses.centers_m, self.poses.world_from_cam_wxyz], axis=1)
        sums = self.embeddings.sum(axis=(1, 2), dtype=np.float64)
        return provenance.sha256_of_parts([repr(self.embeddings.shape).encode(), poses.tobytes(), sums.tobytes()])

    @classmethod
    def from_store(cls, store: EmbeddingStore) -> TrainingSet:
        """The mapping photos of a store; the monitor is its validation split, else its test split.

        Raises:
            BadInput: when no photo is in the split ``train``.
        """
        frames = store.frames
        rows = np.flatnonzero(frames.splits == "train")
        if not len(rows):
            raise BadInput(f"{store.path} has no mapping photos (split 'train'): split the scene and embed it again")
        return cls(
            embeddings=store.all_versions(rows),
            poses=frames.poses[rows],
            sequences=frames.sequences[rows],
            indices=frames.indices[rows],
            identity=identity_of(store),
            monitor=_monitor(store),
        )


def identity_of(store: EmbeddingStore) -> dict[str, str | int]:
    """What a model must share with the embeddings it is used on."""
    header = store.header
    return {
        "scene": header.scene,
        "mapping_fingerprint": header.mapping_fingerprint,
        "ground_truth": header.ground_truth,
        "encoder": header.encoder,
        "weights_sha256": header.weights_sha256,
        "preprocessing": header.preprocessing,
        "max_side": header.max_side,
        "dimension": header.dimension,
    }


def _monitor(store: EmbeddingStore) -> Monitor | None:
    splits = store.frames.splits
    for name in ("validation", "test"):
        rows = np.flatnonzero(splits == name)
        if len(rows):
            rows = rows[spread(len(rows), MONITORED)]
            return Monitor(name, store.vectors(rows), store.frames.poses[rows])
    return None


def spread(count: int, limit: int) -> np.ndarray:
    """At most ``limit`` row numbers, evenly spread over ``count``."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).round().astype(np.int64))
