"""What PoseNet and MapNet are trained on: labelled photos, and walks of which only the odometry is known."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from irploc import provenance
from irploc.geometry.poses import Poses
from irploc.training.absolute.walks import Walks
from irploc.training.features import FeatureSource


@dataclass(frozen=True)
class Unlabelled:
    """M photos of walks whose poses are known in a frame of their own alone, from odometry or structure from motion.

    Attributes:
        embeddings: (M, V, D), by the encoder of the labelled photos; version 0 is the plain photo.
        poses: M, ``world_from_cam`` of any world, in the labelled photos' units.
        sequences, indices: (M,) the walk and the place in it.
        name: for people.
        tested: how many of them are test or validation photos of the place.
    """

    embeddings: np.ndarray
    poses: Poses
    sequences: np.ndarray
    indices: np.ndarray
    name: str = ""
    tested: int = 0

    def __len__(self) -> int:
        return len(self.poses)

    def about_their_means(self) -> Poses:
        """The poses, each walk about its mean place: motions are the same, and float32 holds them wherever its world is."""
        centers = self.poses.centers_m.copy()
        for walk in np.unique(self.sequences):
            rows = self.sequences == walk
            centers[rows] -= centers[rows].mean(axis=0)
        return Poses(centers, self.poses.world_from_cam_wxyz)

    @property
    def fingerprint(self) -> str:
        """Of the numbers."""
        numbers = [self.poses.centers_m, self.poses.world_from_cam_wxyz, self.embeddings.sum(axis=(1, 2), dtype=np.float64)]
        return provenance.sha256_of_parts([part.tobytes() for part in numbers])


@dataclass(frozen=True)
class Odometry:
    """Unlabelled photos as training sees them.

    Attributes:
        source: of their features.
        vectors: (M, P) their pose vectors, of which only the motions between them mean something.
        walks: their tuples.
    """

    source: FeatureSource
    vectors: torch.Tensor
    walks: Walks

    @property
    def fingerprint(self) -> str:
        """Of features, vectors and tuples."""
        tuples = self.walks.tuples(np.arange(len(self.walks)))
        parts = [self.source.fingerprint.encode(), self.vectors.cpu().numpy().tobytes(), tuples.tobytes()]
        return provenance.sha256_of_parts(parts)


@dataclass(frozen=True)
class Watched:
    """Photos whose errors are shown while training goes on; nothing is chosen by them.

    Attributes:
        name: of their split.
        features: (M, D) plain ones on the device; None where the backbone is trained.
        rows: (M,) their numbers among the photos of a trained backbone.
        poses: M.
    """

    name: str
    poses: Poses
    features: torch.Tensor | None = None
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
