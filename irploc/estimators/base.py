"""What a localization method takes and gives, and the table of methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from irploc.errors import BadInput
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.images import Photo
from irploc.registry import Registry

OK, NOT_LOCALIZED, OUTSIDE_MAP = "ok", "not_localized", "outside_map"
APPROXIMATE = "approximate"  # a method that gives accurate poses found none: the pose is that of the one it started from


@dataclass(frozen=True)
class Neighbours:
    """The mapping photos most similar to each query, best first.

    Attributes:
        rows: (N, K) int64 row numbers in ``PlaceIndex``; K may be 0.
        similarities: (N, K) float32 cosine similarities.
    """

    rows: np.ndarray
    similarities: np.ndarray

    @classmethod
    def none(cls, count: int) -> Neighbours:
        """No neighbours for ``count`` queries."""
        return cls(np.zeros((count, 0), dtype=np.int64), np.zeros((count, 0), dtype=np.float32))


@dataclass(frozen=True)
class Query:
    """N photos to be localized at once.

    Attributes:
        embeddings: (N, D) float32 unit vectors of the scene's encoder.
        cameras: N intrinsics, None where unknown.
        images: N photos in full size, for methods that look at pixels; empty where there are embeddings alone. Paths stay
            paths, so that they cost nothing where nobody looks.
        decoded: N of the same photos, where they are at hand decoded, upright and in full size; None or empty where not.
        focal_px: focal length of all of them, where a person said so.
    """

    embeddings: np.ndarray
    cameras: Sequence[Camera | None] = ()
    images: Sequence[Photo] = ()
    decoded: Sequence[np.ndarray | None] = ()
    focal_px: float | None = None

    def __len__(self) -> int:
        return len(self.embeddings)


@dataclass(frozen=True)
class UsedCamera:
    """The intrinsics with which a pose was found, and where they come from.

    Attributes:
        source: ``given`` (by the caller), ``focal`` (a person named the focal length), ``exif``, ``scene`` (as the mapping
            photos) or ``estimated`` (with the pose).
    """

    source: str
    camera: Camera

    def to_json(self) -> dict[str, Any]:
        """The fields in order."""
        camera = self.camera
        return {
            "source": self.source,
            "model": camera.model,
            "width": camera.width,
            "height": camera.height,
            "params": list(camera.params),
        }


@dataclass(frozen=True)
class PoseEstimates:
    """Answers for N queries.

    Attributes:
        poses: NaN rows where ``status`` is ``not_localized``; there is never a fallback pose without a status.
        status: N of ``ok``, ``approximate``, ``not_localized``, ``outside_map``.
        confidence: (N,) in [0, 1], the chance that the pose is within 0.25 m and 5 degrees; NaN where nobody knows.
        neighbours: what the method looked at.
        position_m, rotation_deg: (N,) the errors to expect (as many photos have smaller ones as larger); NaN where nobody
            knows.
        spread_m, spread_deg: (N,) how far the heads of an ensemble lie apart, root mean square about their mean; NaN without
            one.
        notes: N sentences about what was assumed or went wrong; empty where there is nothing to say.
        cameras: N intrinsics that were used; None for methods that need none.

    Raises:
        ValueError: when the columns differ in length.
    """

    poses: Poses
    status: tuple[str, ...]
    confidence: np.ndarray
    neighbours: Neighbours
    position_m: np.ndarray = None  # type: ignore[assignment]  # NaN for all, see below
    rotation_deg: np.ndarray = None  # type: ignore[assignment]  # NaN for all, see below
    spread_m: np.ndarray = None  # type: ignore[assignment]  # NaN for all, see below
    spread_deg: np.ndarray = None  # type: ignore[assignment]  # NaN for all, see below
    notes: tuple[str, ...] = None  # type: ignore[assignment]  # empty for all, see below
    cameras: tuple[UsedCamera | None, ...] = None  # type: ignore[assignment]  # None for all, see below

    def __post_init__(self) -> None:
        numbers = ("position_m", "rotation_deg", "spread_m", "spread_deg")
        for name in numbers:
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.full(len(self.poses), np.nan))
        for name, nothing in (("notes", ""), ("cameras", None)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, (nothing,) * len(self.poses))
        counts = {len(self.poses), len(self.status), len(self.confidence), len(self.neighbours.rows)}
        counts |= {len(self.notes), len(self.cameras)}
        counts |= {len(getattr(self, name)) for name in numbers}
        if len(counts) != 1:
            raise ValueError(f"the columns of PoseEstimates differ in length: {sorted(counts)}")

    @classmethod
    def of_poses(cls, poses: Poses, neighbours: Neighbours | None = None) -> PoseEstimates:
        """Uncalibrated estimates: ``ok`` where there is a pose, confidence NaN."""
        status = tuple(OK if valid else NOT_LOCALIZED for valid in poses.valid)
        return cls(poses, status, np.full(len(poses), np.nan), neighbours or Neighbours.none(len(poses)))

    def __len__(self) -> int:
        return len(self.poses)


class PoseEstimator(Protocol):
    """A loaded method: embeddings in, poses out."""

    def estimate(self, query: Query) -> PoseEstimates:
        """One answer per query, in order, vectorised over the queries."""
        ...


@dataclass(frozen=True)
class Method:
    """One line of `irploc methods`.

    Attributes:
        summary: one line for people.
        options: the frozen dataclass of its options, ``name:key=value``.
        needs_model: whether a trained model file is needed.
        build: makes the estimator from its options, the path of its model file, and the ``Place``.
        members: methods whose trained models it combines; it needs one of them at least.
        made, making: what its file is called, and how one says that it is made.
        train_command: what makes the model file, as a user types it; ``{embeddings}`` stands for the embeddings file,
            ``{scene}`` for the place's name.
        relative: it relates two photos and gives no pose in the place.
    """

    summary: str
    options: type
    needs_model: bool
    build: Callable[[Any, Path | None, Any], PoseEstimator]
    train_command: str = ""
    members: tuple[str, ...] = ()
    made: str = "model"
    making: str = "train"
    relative: bool = False


def relative_only(name: str) -> BadInput:
    """The error of asking a method for poses that relates photos to each other."""
    return BadInput(f"method {name!r} is relative only, it gives no pose in the place: use 'irploc relate A.jpg B.jpg'")


METHODS: Registry[Method] = Registry("method")
