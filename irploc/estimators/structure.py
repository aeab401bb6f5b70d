"""Method ``structure``: poses on the place's own points, started from what the embeddings say.

The candidates come from the index and from the prior, which is the answer of ``fused`` (``robust`` without models); the
points, the geometry and what makes a pose believable are in ``irploc.structure``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from irploc.errors import BadInput
from irploc.estimators.base import (
    APPROXIMATE,
    METHODS,
    NOT_LOCALIZED,
    OK,
    Method,
    Neighbours,
    PoseEstimates,
    PoseEstimator,
    Query,
    UsedCamera,
)
from irploc.estimators.calibrated import Trust
from irploc.geometry.poses import Poses
from irploc.images import EncodedPhoto, decode_image
from irploc.opencv_safe import one_thread_a_call
from irploc.pairs.threads import in_threads
from irploc.progress import Silent
from irploc.structure.candidates import KeyPhotos
from irploc.structure.current import check_map
from irploc.structure.features import FeatureExtractor
from irploc.structure.intrinsics import Intrinsics, exif_focal_px, intrinsics_of
from irploc.structure.judgement import StructureCalibration, Verdict, judge
from irploc.structure.mapfile import COMMAND, METHOD, load_map
from irploc.structure.photo import MIRRORED, Found, PhotoSolver
from irploc.structure.pointmap import PointMap
from irploc.structure.solution import Prior, SolveOptions
from irploc.structure.solve import Solver

if TYPE_CHECKING:
    from irploc.estimators.build import Place


@dataclass(frozen=True)
class StructureOptions:
    """How photos are localized on points.

    Attributes:
        prior: whether the pose of ``fused`` or ``robust`` chooses photos and points, and is heard about the answer.
        photos: key photos whose points are looked at first.
        points: of them, the most that are compared with the photo.
    """

    prior: bool = True
    photos: int = 10
    points: int = 1000

    def __post_init__(self) -> None:
        SolveOptions(photos=self.photos, points=self.points)


@dataclass(frozen=True)
class Solved:
    """One photo: what was found, from which prior, and what is thought of it (None without a pose)."""

    found: Found
    prior: Prior | None
    verdict: Verdict | None
    note: str

    @property
    def accepted(self) -> bool:
        """Whether the pose is believed."""
        return self.verdict is not None and self.verdict.accepted


class Structure:
    """The method in one place.

    Args:
        photo_solver: over its map.
        key_photos: the map's photos in the index.
        prior: gives a first answer; None asks the embeddings for candidates alone.
        calibration: what answers are worth; None where nobody asked.
        options, trust: as everywhere.
        note: what the user should know about the map; empty where there is nothing.
    """

    def __init__(
        self,
        photo_solver: PhotoSolver,
        key_photos: KeyPhotos,
        prior: PoseEstimator,
        calibration: StructureCalibration | None = None,
        options: StructureOptions | None = None,
        trust: Trust | None = None,
        note: str = "",
    ) -> None:
        self.options, self.trust = options or StructureOptions(), trust or Trust()
        self.photo_solver, self.key_photos, self.prior = photo_solver, key_photos, prior
        self.calibration, self.note = calibration, note
        self._map_cameras = list(photo_solver.point_map.cameras.values())

    @property
    def point_map(self) -> PointMap:
        """On which photos are localized."""
        return self.photo_solver.point_map

    def estimate(self, query: Query) -> PoseEstimates:
        """One pose per query; neighbours are the key photos whose points were looked at.

        Raises:
            BadInput: for queries without photos, and photos that cannot be read.
        """
        return self.answered(query)[0]

    def answered(self, query: Query) -> tuple[PoseEstimates, list[Solved]]:
        """The estimates, and how each came about."""
        if len(query.images) != len(query):
            raise BadInput(
                f"{METHOD} looks at photos, and got embeddings of {len(query)} alone: give the photos, or take fused"
            )
        start = self.prior.estimate(query)
        similarities = self.key_photos.similarities(query.embeddings)
        priors = _priors(start) if self.options.prior else [None] * len(query)
        asked = list(zip(range(len(query)), similarities, priors, start.poses.valid, strict=True))
        if len(asked) == 1:
            solved = [self._solve(query, *asked[0])]
        else:
            with one_thread_a_call():
                solved = in_threads(lambda one: self._solve(query, *one), asked, Silent())
        return self._estimates(start, solved, similarities), solved

    def _solve(self, query: Query, row: int, similarities: np.ndarray, prior: Prior | None, of_the_place: bool) -> Solved:
        photo = _decoded(query, row)
        intrinsics = self._intrinsics(query, row, photo.size)
        features = self.photo_solver.extractor.extract(photo)
        found = self.photo_solver.find(features, intrinsics, similarities, prior, bool(of_the_place))
        verdict = None if found.solution is None else judge(found.solution, prior, self.calibration)
        solved = Solved(found, prior, verdict, found.note)
        if not solved.accepted and not found.note and self.photo_solver.looks_mirrored(features, intrinsics, similarities):
            return replace(solved, note=MIRRORED)
        return solved

    def _intrinsics(self, query: Query, row: int, size: tuple[int, int]) -> Intrinsics:
        given = query.cameras[row] if query.cameras else None
        image = query.images[row]
        asked = image if given is None and query.focal_px is None and isinstance(image, Path | EncodedPhoto) else None
        exif_px = None if asked is None else exif_focal_px(asked)
        return intrinsics_of(size, self._map_cameras, given, query.focal_px, exif_px)

    def _estimates(self, start: PoseEstimates, solved: Sequence[Solved], similarities: np.ndarray) -> PoseEstimates:
        good = np.array([one.accepted for one in solved], dtype=bool)
        mirrored = np.array([one.note == MIRRORED for one in solved], dtype=bool)
        found = Poses.concatenate([_pose_of(one) for one in solved])
        none = ~good & (mirrored | ~start.poses.valid)

        def chosen(theirs: np.ndarray, ours: np.ndarray, missing: float = np.nan) -> np.ndarray:
            shape = (-1, *(1,) * (theirs.ndim - 1))
            return np.where(good.reshape(shape), ours, np.where(none.reshape(shape), missing, theirs))

        def of_verdicts(name: str) -> np.ndarray:
            return np.array([np.nan if one.verdict is None else getattr(one.verdict, name) for one in solved])

        confidence = of_verdicts("confidence")
        if not self.trust.metric:
            confidence = np.full(len(solved), np.nan)
        refused = np.nan if np.isnan(start.confidence).all() and self.calibration is None else 0.0
        spreads = {name: np.where(good | none, np.nan, getattr(start, name)) for name in ("spread_m", "spread_deg")}
        return PoseEstimates(
            poses=Poses(
                chosen(start.poses.centers_m, found.centers_m),
                chosen(start.poses.world_from_cam_wxyz, found.world_from_cam_wxyz),
            ),
            status=tuple(OK if ok else NOT_LOCALIZED if gone else APPROXIMATE for ok, gone in zip(good, none, strict=True)),
            confidence=chosen(start.confidence, confidence, refused),
            neighbours=self._neighbours(solved, similarities),
            position_m=chosen(start.position_m, of_verdicts("position_m")),
            rotation_deg=chosen(start.rotation_deg, of_verdicts("rotation_deg")),
            **spreads,
            notes=tuple(one.note for one in solved),
            cameras=tuple(UsedCamera(one.found.intrinsics.source, one.found.intrinsics.camera) for one in solved),
        )

    def _neighbours(self, solved: Sequence[Solved], similarities: np.ndarray) -> Neighbours:
        """The key photos that were looked at, the most similar ones first."""
        if not solved:
            return Neighbours.none(0)
        count = min(len(one.found.photos) for one in solved)
        photos = np.array([one.found.photos[:count] for one in solved], dtype=np.int64).reshape(len(solved), count)
        order = np.argsort(-np.take_along_axis(similarities, photos, axis=1), axis=1, kind="stable")
        photos = np.take_along_axis(photos, order, axis=1)
        return Neighbours(self.key_photos.rows[photos], np.take_along_axis(similarities, photos, axis=1))


def _priors(start: PoseEstimates) -> list[Prior | None]:
    rows = zip(start.poses, start.poses.valid, start.position_m, start.rotation_deg, strict=True)
    return [Prior(pose, float(metres), float(degrees)) if valid else None for pose, valid, metres, degrees in rows]


def _pose_of(solved: Solved) -> Poses:
    return solved.found.solution.pose if solved.accepted and solved.found.solution else Poses.missing(1)


def _decoded(query: Query, row: int) -> Image.Image:
    """The photo in full size, upright."""
    at_hand = query.decoded[row] if query.decoded else None
    image = query.images[row] if at_hand is None else at_hand
    if isinstance(image, Path | EncodedPhoto):
        return decode_image(image)
    return Image.fromarray(image) if isinstance(image, np.ndarray) else image.convert("RGB")


def prior_of(place: Place) -> PoseEstimator:
    """What answers first: ``fused`` where a model is there that it uses, else ``robust``."""
    return place.estimator("fused" if place.trained(METHODS.get("fused").members) else "robust")


def _build(options: StructureOptions, model_path: Path | None, place: Place) -> Structure:
    path = model_path or place.model_path(METHOD)
    point_map = load_map(path)
    note = check_map(point_map, place.index.frames, path)
    row_of = {name: row for row, name in enumerate(place.index.frames.names)}
    rows = np.array([row_of[name] for name in point_map.names], dtype=np.int64)
    solver = Solver(point_map, SolveOptions(photos=options.photos, points=options.points))
    photo_solver = PhotoSolver(solver, FeatureExtractor(point_map.features))
    try:
        calibration = None if point_map.calibration is None else StructureCalibration.from_plain(point_map.calibration)
    except (KeyError, TypeError, ValueError):
        raise BadInput(f"{path} is damaged: its calibration cannot be read; run '{COMMAND}' again") from None
    key_photos = KeyPhotos(rows, place.index.vectors)
    return Structure(photo_solver, key_photos, prior_of(place), calibration, options, place.trust, note)


METHODS.register(METHOD)(
    Method(
        f"centimetres: the pose on the place's own points, made with '{COMMAND}'",
        StructureOptions,
        True,
        _build,
        f"{COMMAND} {{scene}}",
        made="map",
        making="make",
    )
)
