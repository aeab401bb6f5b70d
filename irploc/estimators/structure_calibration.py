"""What poses on points deserve to be believed in a place: learned on mapping photos that were held out of its map.

Photos are held out in the four ways of ``splits.pose_folds`` and asked of the map that is left. Wrong poses are rare there,
so that more are provoked: photos are asked of maps without any photo that sees much of what they see, and of a map whose
points have changed places, where every pose is chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from irploc.estimators.base import PoseEstimator, Query
from irploc.estimators.calibrated import Calibrated
from irploc.estimators.calibration import GOOD_DEG, GOOD_M, LEAST_PHOTOS
from irploc.estimators.robust import LEARNED, Robust
from irploc.geometry.poses import Poses, pose_errors
from irploc.opencv_safe import one_thread_a_call
from irploc.pairs.threads import in_threads
from irploc.progress import Progress, Silent
from irploc.splits import pose_distances, pose_folds
from irploc.structure.candidates import KeyPhotos
from irploc.structure.features import FeatureExtractor, LocalFeatures
from irploc.structure.intrinsics import GIVEN, Intrinsics
from irploc.structure.judgement import StructureCalibration, signs_of
from irploc.structure.observations import Observations
from irploc.structure.photo import PhotoSolver
from irploc.structure.pointmap import PointMap
from irploc.structure.solution import Prior, Solution, SolveOptions
from irploc.structure.solve import Solver

if TYPE_CHECKING:
    from irploc.estimators.build import Place

ASKED = 24  # photos of each fold
_GROUPS, _OF_GROUP = 8, 6  # photos asked of maps that hardly show what they show
_CHANCE = 30  # photos asked of a map whose points changed places
_OVERLAP = 0.1  # share of its points that a photo of such a map may have in common with the group
_LEAST_KEPT = 8  # key photos
_LEAST_OF_CHANCE = 5  # inliers: fewer than are asked for otherwise, to see more poses of chance
_METRES_OF_EXTENT = 0.05  # what 0.25 m are taken to be where a scene has no metric scale


@dataclass(frozen=True)
class _Trial:
    """Photos asked of another map: their rows in the index, the map, which mapping photos its index lacks, and how."""

    asked: np.ndarray
    point_map: PointMap
    held: np.ndarray
    options: SolveOptions = field(default_factory=SolveOptions)


@dataclass(frozen=True)
class _Answer:
    """A pose, from which prior, and its true errors."""

    solution: Solution
    prior: Prior | None
    metres: float
    degrees: float


def calibration_steps(place: Place) -> int:
    """How many photos ``calibrate`` asks for, about; 0 where the place is too small for one."""
    return 4 * ASKED + _GROUPS * _OF_GROUP + _CHANCE if len(place.index.frames) >= LEAST_PHOTOS else 0


def calibrate(
    place: Place,
    observations: Observations,
    features: Callable[[int], LocalFeatures],
    progress: Progress | None = None,
) -> dict[str, Any] | None:
    """The calibration of a map, as ``PointMap.calibration`` keeps it; None where the place is too small for one.

    Args:
        place: whose index holds all mapping photos.
        observations: of the map's photos.
        features: of a mapping photo, by its row in the index.
        progress: takes a step per photo.
    """
    if len(place.index.frames) < LEAST_PHOTOS:
        return None
    progress = progress or Silent()
    parts: list[_Answer | None] = []
    for trial in _trials(place, observations):
        parts += _asked(place, trial, observations, features, progress)
    solved = [part for part in parts if part is not None]
    if len(solved) < LEAST_PHOTOS:
        return None
    # each is judged with its prior and as if it had none: some photos have none, and the other signs must do then
    signs = np.stack([signs_of(part.solution, prior) for part in solved for prior in (part.prior, None)])
    solved = [part for part in solved for _ in range(2)]
    metres, degrees = np.array([part.metres for part in solved]), np.array([part.degrees for part in solved])
    good = (metres <= good_m(place)) & (degrees <= GOOD_DEG)
    sd = np.array([(part.solution.position_sd_m, part.solution.rotation_sd_deg) for part in solved])
    return StructureCalibration.fit(signs, good, metres / sd[:, 0], degrees / sd[:, 1]).to_plain()


def features_of_photos(place: Place, extractor: FeatureExtractor) -> Callable[[int], LocalFeatures]:
    """Features of mapping photos, from their files."""
    from irploc.images import decode_image

    return lambda row: extractor.extract(decode_image(place.index.frames.images[row]))


def good_m(place: Place) -> float:
    """How far a good pose may be wrong: 0.25 m, or a share of the extent where the scene is not in metres."""
    if place.trust.metric:
        return GOOD_M
    centers = place.index.frames.poses.centers_m
    return _METRES_OF_EXTENT * float(np.linalg.norm(centers.max(axis=0) - centers.min(axis=0)))


def _trials(place: Place, observations: Observations) -> Iterator[_Trial]:
    frames = place.index.frames
    row_of = {name: row for row, name in enumerate(frames.names)}
    key_rows = np.array([row_of[name] for name in observations.names])
    for held in pose_folds(frames.poses):
        kept = ~held[key_rows]
        if kept.sum() >= _LEAST_KEPT:
            yield _Trial(_evenly(np.flatnonzero(held), ASKED), observations.to_map(kept), held)
    yield from _hardly_overlapping(frames.poses, observations, key_rows)
    everything, nobody = observations.to_map(), np.zeros(len(frames), dtype=bool)
    shuffled = np.random.default_rng(0).permutation(len(everything))
    chance = replace(everything, points_m=everything.points_m[shuffled])
    yield _Trial(_evenly(np.arange(len(frames)), _CHANCE), chance, nobody, SolveOptions(least=_LEAST_OF_CHANCE))


def _hardly_overlapping(poses: Poses, observations: Observations, key_rows: np.ndarray) -> Iterator[_Trial]:
    """Groups of photos near each other, and maps of the photos that see hardly any of their points."""
    centres = _evenly(np.arange(len(poses)), _GROUPS)
    for near in pose_distances(poses, centres):
        group = np.argsort(near, kind="stable")[: max(_OF_GROUP, len(poses) // 30)]
        showing = np.isin(observations.photos, np.flatnonzero(np.isin(key_rows, group)))
        theirs = np.zeros(len(observations.points_m), dtype=bool)
        theirs[observations.points[showing]] = True
        counts = np.bincount(observations.photos, minlength=len(key_rows))
        common = np.bincount(observations.photos, weights=theirs[observations.points], minlength=len(key_rows))
        kept = common <= _OVERLAP * counts
        if kept.sum() < _LEAST_KEPT:
            continue
        held = np.zeros(len(poses), dtype=bool)
        held[key_rows[~kept]] = held[group] = True
        yield _Trial(_evenly(group, _OF_GROUP), observations.to_map(kept), held)


def _asked(
    place: Place,
    trial: _Trial,
    observations: Observations,
    features: Callable[[int], LocalFeatures],
    progress: Progress,
) -> list[_Answer | None]:
    """Of each photo: its pose, from which prior, and its true errors in metres and degrees."""
    frames, vectors = place.index.frames, place.index.vectors
    row_of = {name: row for row, name in enumerate(frames.names)}
    keys = KeyPhotos(np.array([row_of[name] for name in trial.point_map.names], dtype=np.int64), vectors)
    solver = PhotoSolver(Solver(trial.point_map, trial.options), FeatureExtractor(observations.features))
    start = _prior(place, trial.held).estimate(Query(vectors[trial.asked]))
    similarities = keys.similarities(vectors[trial.asked])

    def ask(number: int) -> _Answer | None:
        row = int(trial.asked[number])
        prior = Prior(start.poses[[number]], float(start.position_m[number]), float(start.rotation_deg[number]))
        seen = features(row)
        intrinsics = Intrinsics(GIVEN, observations.cameras[frames.cameras[row]])
        known = prior if prior.pose.valid[0] else None
        photos = solver.candidates(similarities[number], intrinsics, known)
        by_chance = trial.options.least < SolveOptions().least
        solution = solver.solver.locate(seen, intrinsics.camera, photos, known, thorough=not by_chance)
        progress.advance()
        if solution is None:
            return None
        metres, degrees = pose_errors(solution.pose, frames.poses[[row]])
        return _Answer(solution, known, float(metres[0]), float(degrees[0]))

    with one_thread_a_call():
        return in_threads(ask, range(len(trial.asked)), Silent())


def _prior(place: Place, held: np.ndarray) -> PoseEstimator:
    """``robust`` in the place without some photos, expecting the errors that it expects with them."""
    smaller = place.index.without(held)
    if LEARNED in place.index.learned:
        smaller = replace(smaller, learned={LEARNED: place.index.learned[LEARNED]})
    whole = place.estimator("robust")
    if not isinstance(whole, Calibrated):
        return Robust(smaller)
    return Calibrated(Robust(smaller), whole.calibration, smaller, place.trust)


def _evenly(rows: np.ndarray, count: int) -> np.ndarray:
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), count)).round().astype(np.int64))]
