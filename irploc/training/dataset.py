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
class Views:
    """W views that were drawn from mapping photos, with poses of their own.

    Attributes:
        embeddings: (W, D) float32 unit vectors.
        poses: W.
        parents: (W,) row of the mapping photo that each was drawn from.
    """

    embeddings: np.ndarray
    poses: Poses
    parents: np.ndarray

    def __len__(self) -> int:
        return len(self.poses)

    def of(self, kept: np.ndarray) -> Views:
        """The views of some photos, (N,) mask, whose rows are counted anew."""
        mine = kept[self.parents]
        return Views(self.embeddings[mine], self.poses[mine], (np.cumsum(kept) - 1)[self.parents[mine]])


@dataclass(frozen=True)
class TrainingSet:
    """N mapping photos, and perhaps views drawn from them.

    Attributes:
        embeddings: (N, V, D) float16 or float32; version 0 is the plain photo.
        poses: N, none missing.
        sequences: (N,) the walk each photo belongs to.
        indices: (N,) its position in the walk.
        identity: which scene, photos, encoder and settings these are; kept with the model.
        monitor: photos to watch; the mapping photos themselves where a scene has no others.
        views: to be trained on beside the photos; None without.

    Raises:
        ValueError: when the columns differ in length.
    """

    embeddings: np.ndarray
    poses: Poses
    sequences: np.ndarray
    indices: np.ndarray
    identity: dict[str, str | int] = field(default_factory=dict)
    monitor: Monitor | None = None
    views: Views | None = None

    def __post_init__(self) -> None:
        if self.embeddings.ndim != 3:
            raise ValueError(f"embeddings must be (N, V, D), not {self.embeddings.shape}")
        if {len(self.poses), len(self.sequences), len(self.indices)} != {len(self.embeddings)}:
            raise ValueError("the columns of TrainingSet differ in length")

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def rows(self) -> int:
        """N photos and W views: what an epoch goes through."""
        return len(self) + (0 if self.views is None else len(self.views))

    def row_embeddings(self) -> np.ndarray:
        """(N + W, V, D) all versions of the photos and of the views.

        Views were embedded once. Their jittered versions are made of the photo's: what its jitter changed in its embedding
        is added to the view's.
        """
        if self.views is None:
            return self.embeddings
        rows = np.empty((self.rows, *self.embeddings.shape[1:]), dtype=self.embeddings.dtype)
        rows[: len(self)] = self.embeddings
        for number, (view, parent) in enumerate(zip(self.views.embeddings, self.views.parents, strict=True), len(self)):
            versions = self.embeddings[parent].astype(np.float32)
            moved = view + (versions - versions[0])
            rows[number] = moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)
        return rows

    def row_poses(self) -> Poses:
        """N + W."""
        return self.poses if self.views is None else Poses.concatenate([self.poses, self.views.poses])

    def row_photos(self) -> np.ndarray:
        """(N + W,) the photo that each row is, or was drawn from."""
        photos = np.arange(len(self))
        return photos if self.views is None else np.concatenate([photos, self.views.parents])

    def only(self, kept: np.ndarray) -> TrainingSet:
        """Some of the photos, (N,) mask, with their views; nothing else is known about them."""
        columns = (self.embeddings[kept], self.poses[kept], self.sequences[kept], self.indices[kept])
        return TrainingSet(*columns, views=None if self.views is None else self.views.of(kept))

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
        parts = [repr(self.embeddings.shape).encode(), poses.tobytes(), sums.tobytes()]
        if self.views is not None:
            drawn = np.concatenate([self.views.poses.centers_m, self.views.poses.world_from_cam_wxyz], axis=1)
            parts += [drawn.tobytes(), self.views.embeddings.sum(axis=1, dtype=np.float64).tobytes()]
        return provenance.sha256_of_parts(parts)

    @classmethod
    def from_store(cls, store: EmbeddingStore) -> TrainingSet:
        """The mapping photos of a store; the monitor is its validation split, else its test split.

        Raises:
            BadInput: when no photo is in the split ``train``.
        """
        frames = store.frames
        rows = np.flatnonzero(frames.splits == "train")
        learned = int(frames.learned[rows].sum())  # photos whose poses irploc learn estimated
        if not len(rows):
            raise BadInput(f"{store.path} has no mapping photos (split 'train'): split the scene and embed it again")
        return cls(
            embeddings=store.all_versions(rows),
            poses=frames.poses[rows],
            sequences=frames.sequences[rows],
            indices=frames.indices[rows],
            identity={**identity_of(store), **({"learned": learned} if learned else {})},
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
