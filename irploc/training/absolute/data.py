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
    """

    embeddings: np.ndarray
    poses: Poses
    sequences: np.ndarray
    indices: np.ndarray
    name: str = ""

    def __len__(self) -> int:
        return len(self.poses)

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
