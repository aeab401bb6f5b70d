"""What is known before a photo is localized on points, and what is known after."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from irploc.errors import BadInput
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses


@dataclass(frozen=True)
class Prior:
    """A pose that another method gives, and how far it may be wrong.

    Attributes:
        pose: one row.
        position_m, rotation_deg: the errors to expect (medians); NaN where nobody knows.
    """

    pose: Poses
    position_m: float = float("nan")
    rotation_deg: float = float("nan")


@dataclass(frozen=True)
class SolveOptions:
    """How a pose is found.

    Attributes:
        photos: key photos whose points are looked at first.
        points: of them, the most that are compared with the photo; those that most of the photos see.
        ratio: a match's distance is below this times that to the second nearest point.
        ransac_px, guided_px, loss_px: largest error of a match, reach of the guided round and scale of the robust loss, in a
            picture of 640 pixels; in others in proportion, but at least half of it.
        enough: inliers of the first round with which no other points are tried.
        least: inliers without which there is no pose.
        seed: of RANSAC.

    Raises:
        BadInput: for numbers that cannot be.
    """

    photos: int = 10
    points: int = 1000
    ratio: float = 0.9
    ransac_px: float = 8.0
    guided_px: float = 6.0
    loss_px: float = 1.0
    enough: int = 40
    least: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("photos", "points", "enough", "least"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} is {getattr(self, name)}, it must be at least 1")
        for name in ("ransac_px", "guided_px", "loss_px"):
            if not 0 < getattr(self, name) < float("inf"):
                raise BadInput(f"{name} is {getattr(self, name)}, it must be positive")
        if not 0 < self.ratio <= 1:
            raise BadInput(f"ratio is {self.ratio}, it must lie in (0, 1]")


@dataclass(frozen=True)
class Solution:
    """The pose of one photo on the points of a map.

    Attributes:
        pose: one row.
        camera: with which it holds; its focal length is refined where it was not known.
        pixels: (K, 2) of the inliers, in the photo.
        points: (K,) their rows in the map.
        first_pixels, first_points: (M, 2) and (M,) the pairs that RANSAC was given, of which ``first_inliers`` agree.
        matched: pairs of the last round, of which K are inliers.
        visible: points of the map that the pose ought to see.
        coverage: share of the picture's 8 x 6 cells that hold an inlier.
        residual_px: root mean square over the inliers, both axes together.
        covariance: (6, 6) of the centre (m) and of the rotation (radians, about the world's axes).
        rounds: how many there were, and ``tried`` how many sets of points the first one took.
        compared: points that the photo was compared with in the first one; 0 where a pose was followed.
    """

    pose: Poses
    camera: Camera
    pixels: np.ndarray
    points: np.ndarray
    first_pixels: np.ndarray
    first_points: np.ndarray
    first_inliers: int
    matched: int
    visible: int
    coverage: float
    residual_px: float
    covariance: np.ndarray = field(repr=False)
    rounds: int
    tried: int = 1
    compared: int = 0

    @property
    def inliers(self) -> int:
        """How many."""
        return len(self.points)

    @property
    def first_matched(self) -> int:
        """Pairs that RANSAC was given."""
        return len(self.first_points)

    @property
    def center_covariance_m2(self) -> np.ndarray:
        """(3, 3) of the centre in the world frame."""
        return self.covariance[:3, :3]

    @property
    def position_sd_m(self) -> float:
        """Root of the mean squared distance of the centre from the true one that the covariance makes likely."""
        return float(np.sqrt(max(np.trace(self.center_covariance_m2), 0.0)))

    @property
    def rotation_sd_deg(self) -> float:
        """The same of the rotation."""
        return float(np.degrees(np.sqrt(max(np.trace(self.covariance[3:, 3:]), 0.0))))
