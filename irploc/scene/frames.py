"""``Frames``: posed photos, column by column."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from irploc import provenance
from irploc.errors import BadInput, summarize
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses

SPLITS = ("train", "validation", "test")
LEARNED = "structure"  # the label of a pose that 'irploc learn' estimated
UNIT_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Frames:
    """N posed photos, column by column.

    Attributes:
        images: N absolute paths of the photos.
        names: N unique short names, the paths relative to the scene's image root; they identify a photo everywhere.
        sequences: (N,) str, the walk a photo belongs to.
        indices: (N,) int64, position in the source: frame number of a video, number in the file name, or order.
        splits: (N,) str, one of ``SPLITS``.
        cameras: N keys of ``Scene.cameras``; empty where intrinsics are unknown.
        poses: N ``Poses``, none missing.
        labels: (N,) str, where a pose comes from: empty for the scene's ground truth, ``LEARNED`` for an estimate.

    Raises:
        ValueError: when the columns differ in length.
    """

    images: tuple[Path, ...]
    names: tuple[str, ...]
    sequences: np.ndarray
    indices: np.ndarray
    splits: np.ndarray
    cameras: tuple[str, ...]
    poses: Poses
    labels: np.ndarray = None  # type: ignore[assignment]  # empty for all, see below

    def __post_init__(self) -> None:
        object.__setattr__(self, "sequences", np.asarray(self.sequences, dtype=object))
        object.__setattr__(self, "indices", np.asarray(self.indices, dtype=np.int64))
        object.__setattr__(self, "splits", np.asarray(self.splits, dtype=object))
        labels = [""] * len(self.images) if self.labels is None else self.labels
        object.__setattr__(self, "labels", np.asarray(labels, dtype=object))
        columns = (self.names, self.sequences, self.indices, self.splits, self.cameras, self.poses, self.labels)
        if any(len(column) != len(self.images) for column in columns):
            raise ValueError("the columns of Frames differ in length")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: np.ndarray | list[int]) -> Frames:
        """The rows of a boolean mask or of row numbers."""
        chosen = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows, dtype=np.int64)
        return Frames(
            images=tuple(self.images[row] for row in chosen),
            names=tuple(self.names[row] for row in chosen),
            sequences=self.sequences[chosen],
            indices=self.indices[chosen],
            splits=self.splits[chosen],
            cameras=tuple(self.cameras[row] for row in chosen),
            poses=self.poses[chosen],
            labels=self.labels[chosen],
        )

    def of_split(self, split: str) -> Frames:
        """The frames of one split."""
        return self[self.splits == split]

    @property
    def learned(self) -> np.ndarray:
        """(N,) bool: whose pose is an estimate instead of ground truth."""
        return np.asarray(self.labels != "", dtype=bool)

    @classmethod
    def concatenate(cls, parts: Sequence[Frames]) -> Frames:
        """All rows of all parts, in order."""
        return cls(
            images=tuple(image for part in parts for image in part.images),
            names=tuple(name for part in parts for name in part.names),
            sequences=np.concatenate([part.sequences for part in parts]),
            indices=np.concatenate([part.indices for part in parts]),
            splits=np.concatenate([part.splits for part in parts]),
            cameras=tuple(camera for part in parts for camera in part.cameras),
            poses=Poses.concatenate([part.poses for part in parts]),
            labels=np.concatenate([part.labels for part in parts]),
        )


@dataclass(frozen=True)
class Rejected:
    """A photo that is not in ``frames.csv``, and why."""

    image: str
    index: int
    reason: str


def mapping_fingerprint(frames: Frames, ground_truth: str) -> str:
    """See ``Scene.mapping_fingerprint``; independent of the order of the frames."""
    train = frames.of_split("train")
    order = sorted(range(len(train)), key=lambda row: train.names[row])
    values = np.concatenate([train.poses.centers_m, train.poses.world_from_cam_wxyz], axis=1)[order]
    parts = [ground_truth.encode(), *(train.names[row].encode() for row in order)]
    return provenance.sha256_of_parts([*parts, np.round(values * 1e6).astype("<i8").tobytes()])


def learned_note(mapping: Frames) -> str:
    """A sentence where poses of mapping photos are estimates, else empty."""
    count = int(mapping.learned.sum())
    return f"{count} of {len(mapping)} mapping photos have poses that irploc learn estimated." if count else ""


def check_frames(frames: Frames, cameras: dict[str, Camera], where: str) -> None:
    """Raises BadInput for duplicate names, unknown splits, labels or cameras, missing poses, and estimates that are to test
    methods, each with count and example."""
    repeated = [name for name, count in Counter(frames.names).items() if count > 1]
    if repeated:
        raise BadInput(f"{where}: {len(repeated)} image names occur twice; first: {summarize(repeated)}")
    unknown = sorted(set(frames.splits) - set(SPLITS))
    if unknown:
        raise BadInput(f"{where}: unknown split {unknown[0]!r}, expected one of {', '.join(SPLITS)}")
    strange = sorted(set(frames.labels) - {"", LEARNED})
    if strange:
        raise BadInput(f"{where}: unknown label {strange[0]!r}, expected {LEARNED!r} or an empty one")
    judging = [frames.names[row] for row in np.flatnonzero(frames.learned & (frames.splits != "train"))]
    if judging:
        raise BadInput(
            f"{where}: {len(judging)} photos whose poses irploc learn estimated are to test methods; first: "
            f"{summarize(judging)}; they can only map: their split must be train"
        )
    lost = sorted({name for name in frames.cameras if name and name not in cameras})
    if lost:
        raise BadInput(f"{where}: frames name camera {lost[0]!r}, which scene.toml does not describe")
    if not frames.poses.valid.all():
        raise BadInput(f"{where}: {int((~frames.poses.valid).sum())} of {len(frames)} frames have no pose")


def poses_from_columns(centers_m: np.ndarray, quats_wxyz: np.ndarray, names: list[str], where: str) -> Poses:
    """``Poses`` of numbers read from a file, refusing what cannot be a pose.

    Raises:
        BadInput: for NaN or infinite values, zero quaternions, and lengths further than 1 % from one; with the count
            and the first bad row.
    """
    finite = np.isfinite(centers_m).all(axis=1) & np.isfinite(quats_wxyz).all(axis=1)
    _refuse(~finite, names, where, "have a pose that is not finite")
    lengths = np.linalg.norm(quats_wxyz, axis=1)
    _refuse(lengths < 1e-6, names, where, "have a zero quaternion")
    _refuse(np.abs(lengths - 1) > UNIT_TOLERANCE, names, where, "have a quaternion that is not of unit length")
    return Poses(centers_m, quats_wxyz)


def _refuse(bad: np.ndarray, names: list[str], where: str, what: str) -> None:
    if bad.any():
        raise BadInput(f"{where}: {int(bad.sum())} of {len(names)} rows {what}; first: {names[int(np.argmax(bad))]}")


def name_of(image: Path, image_root: Path) -> str:
    """The short name of a photo: its path relative to the image root, with forward slashes."""
    return Path(os.path.relpath(image, image_root)).as_posix()
