"""One function a way of aligning a scene; each gives an ``AlignmentStep`` and notes for the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from irploc.errors import BadInput
from irploc.geometry import rotations
from irploc.geometry.similarity import AlignmentStep, Similarity
from irploc.mapping.align_estimate import Fit, FitOptions, fit_about_z, fit_kept, fit_robust
from irploc.mapping.align_odd import FEWEST, Known, odd_one_out
from irploc.mapping.align_store import sparse_folder
from irploc.mapping.align_weighted import fit_weighted
from irploc.mapping.known_distances import Distance, MeasuredDistance, ScaleFit, fit_scale, measure_distance
from irploc.mapping.known_points import NamedPoints, locate_point, read_known
from irploc.mapping.known_positions import KnownPositions
from irploc.mapping.known_tables import PhotoNames
from irploc.mapping.upright import camera_gravity, stand_upright
from irploc.pointcloud import load_points, points_from_depth
from irploc.scene import Scene

METRES = "metres"
_TOLERANCE_M = {"points": 0.03, "positions": 0.1, "trajectory": 0.1, "gps": 10.0, "plan": 0.3}
_TOLERANCE_SHARE = 0.01  # of the extent of the known coordinates
_SURE, _MOST_FOR_CLICKS_M = 3.0, 0.1  # more is allowed to points that their clicks place badly along the rays
_KNOWN_SIGMA_M = 0.003  # of coordinates that somebody measured
_PLACE_SIGMA_M = {"points": _KNOWN_SIGMA_M, "positions": 0.02}  # of those among which one that is odd is looked for
_MAP_SIGMA = 0.002  # of the map, as a share of the extent
_ROUGH_M = 0.02
_DIFFERENT = 0.01  # scales by distances
_MOST_DEPTH_MAPS, _DEPTH_POINTS = 100, 30_000
_MOST_NAMED, _LARGEST_NAMED = 50, 10
_LEANING = 25.0  # degrees that the cameras' guess may be from z in an upright scene
_ODD_SCALE, _UNSURE_SCALE = 0.03, 0.005
_UPSIDE_DOWN = 0.3  # of the cameras' upward side, downwards


@dataclass(frozen=True)
class Freedom:
    """What known coordinates may change: see ``AlignOptions`` for the attributes."""

    keep_scale: bool | None = None
    keep_upright: bool = False
    max_error_m: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class _Matched:
    """N names, and the (N, 3) coordinates of each in the scene and in the building."""

    names: list[str]
    source: np.ndarray
    target: np.ndarray
    covariances: np.ndarray | None = None  # (N, 3, 3) of ``source``


Made = tuple[AlignmentStep, list[str]]


def distance_step(scene: Scene, folder: Path, points: NamedPoints, distances: Sequence[Distance], moved: Similarity) -> Made:
    """Scale from known distances; the frame's origin stays.

    Args:
        moved: the scene's frame as it is from that of the folder's files.
    """
    measured = []
    for known in distances:
        one, other = (locate_point(text, points, scene, folder) for text in (known.one, known.other))
        apart = (one.point, other.point), (one.covariance, other.covariance), (one.sigma_m, other.sigma_m)
        measured.append(measure_distance(known, *apart))
    fit = fit_scale(measured)
    names = _unique([item.known.name for item in measured])
    residuals = dict(zip(names, fit.residuals_m.tolist(), strict=True))
    left_out = tuple(name for name, kept in zip(names, fit.kept, strict=True) if not kept)
    step = AlignmentStep(
        "distance",
        Similarity(fit.scale),
        scene.units,
        METRES,
        used=int(fit.kept.sum()),
        rms=float(np.sqrt(np.mean(fit.residuals_m[fit.kept] ** 2))),
        residuals=residuals,
        left_out=left_out,
        inputs={
            "distances_m": {name: item.known.metres for name, item in zip(names, measured, strict=True)},
            "scale_uncertainty": fit.uncertainty,
        },
    )
    return step, [
        *_left_out_notes(step, "distances"),
        *_distance_notes(measured, names, fit),
        *_scale_note(scene, fit.scale),
    ]


def _distance_notes(measured: list[MeasuredDistance], names: list[str], fit: ScaleFit) -> list[str]:
    """What leaves the scale in doubt: distances that differ, or that are all short or badly clicked."""
    notes = []
    if fit.spread > _DIFFERENT:
        ratios = {name: item.ratio for name, item, kept in zip(names, measured, fit.kept, strict=True) if kept}
        least, most = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
        notes.append(
            f"the distances differ by {fit.spread:.1%} among themselves, {most} gives the largest scale and {least} the "
            "smallest: measure both again, or give one more"
        )
    if fit.uncertainty > _UNSURE_SCALE:
        notes.append(
            f"the scale is sure to {fit.uncertainty:.1%} only, for clicks of one pixel, a tape of 3 mm and places of photos "
            "known to 2 cm: give more or longer distances, or clicks from places further apart"
        )
    return notes


def upright_step(scene: Scene, folder: Path, moved: Similarity, floor: bool) -> Made:
    """z up by the cameras and the level surfaces of the sparse model or depth maps, z = 0 on the floor; the scale stays.

    Raises:
        BadInput: no common upward side, or with ``floor`` no points or no level surface.
    """
    points = _cloud(scene, folder, moved)
    if points is None and floor:
        raise BadInput(
            f"the scene {folder} has neither a sparse model (sparse/) nor depth maps in metres, so no floor is to be seen: "
            "--no-floor takes gravity alone, from the cameras"
        )
    found = stand_upright(scene.frames.poses, points, floor)
    inputs: dict[str, Any] = {
        "levels": [
            {"height": plane.height + found.similarity.translation[2], "points": plane.count, "area": plane.area}
            for plane in found.planes
        ],
        "turned_from_cameras_deg": found.guess_deg,
    }
    notes = []
    if found.floor:
        inputs |= {"floor_points": found.floor.count, "floor_area": found.floor.area}
    if not found.planes:
        notes.append("no level surface stands out among the points: gravity is by the cameras alone, to a few degrees")
    used = sum(plane.count for plane in found.planes)
    return AlignmentStep("upright", found.similarity, scene.units, scene.units, used=used, inputs=inputs), notes


def _cloud(scene: Scene, folder: Path, moved: Similarity) -> np.ndarray | None:
    """Points (M, 3) of the scene as it is: of its sparse model, else of its photos' depth maps where it is in metres."""
    model = sparse_folder(folder)
    if model is not None:
        return moved.apply(load_points(model).points_m)
    if scene.units != METRES:
        return None
    rows = np.unique(np.linspace(0, len(scene.frames) - 1, _MOST_DEPTH_MAPS).round().astype(np.int64))
    cloud = points_from_depth(scene, rows, _DEPTH_POINTS)
    return None if cloud is None else cloud.points_m


def points_step(scene: Scene, points: NamedPoints, known: Path, freedom: Freedom) -> Made:
    """The frame of a table of known coordinates ``name,x,y,z``, of points that ``points`` says where they are."""
    names, target = read_known(known)
    lost = [name for name in names if points.row(name) is None]
    if lost:
        raise BadInput(
            f"{len(lost)} of {len(names)} names in {known} are no points of the scene; first: {lost[0]}; --points has "
            f"{', '.join(points.names)}"
        )
    rows = [points.names.index(name) for name in names]
    matched = _Matched(names, points.points[rows], target, points.covariances[rows])
    return _fitted("points", scene, matched, freedom, {"file": known.name})


def positions_step(scene: Scene, method: str, known: KnownPositions, freedom: Freedom) -> Made:
    """The frame of known camera positions (``method``: positions, gps or trajectory)."""
    names = [scene.frames.names[int(row)] for row in known.rows]
    seen = np.array([1.0, 1.0, 0.0 if known.level else 1.0])
    matched = _Matched(names, seen * scene.frames.poses.centers_m[known.rows], seen * known.positions_m)
    try:
        step, notes = _fitted(method, scene, matched, freedom, dict(known.facts))
        return step, [*notes, *known.notes]
    except BadInput as error:
        if method == "trajectory":
            options = "is --offset" if "times" in known.facts else "are --fps and --offset"
            raise BadInput(f"{error}; {options} right?") from None
        raise


def plan_step(scene: Scene, points: NamedPoints, plan: Path, freedom: Freedom) -> Made:
    """The frame of a floor plan from a table ``name,x,y`` in its metres; heights stay, but for a change of scale.

    A name is that of a point, else of a photo: where it was taken. The scale stays where it is known already, unless
    ``freedom`` frees it.
    """
    _check_upright(scene, "--plan-points")
    names, target = read_known(plan, ("x", "y"))
    photos = PhotoNames(scene.frames.names)
    source = np.zeros((len(names), 3))
    for number, name in enumerate(names):
        row, photo = points.row(name), photos.find(name)
        if row is None and photo is None:
            raise BadInput(f"{plan}: {name!r} is no point of --points and no photo of the scene")
        source[number, :2] = scene.frames.poses.centers_m[photo, :2] if row is None else points.points[row, :2]
    matched = _Matched(names, source, np.hstack([target, np.zeros((len(names), 1))]))
    keep = scene.units == METRES if freedom.keep_scale is None else freedom.keep_scale
    level = replace(freedom, keep_scale=keep, keep_upright=True)
    try:
        step, notes = _fitted("plan", scene, matched, level, {"file": plan.name, "keep_scale": keep})
    except BadInput as error:
        own = fit_about_z(matched.source, matched.target)
        if keep and own is not None and abs(own.scale - 1) > _ODD_SCALE:
            raise BadInput(f"{error}; the plan is {own.scale:.3g} times the scene: are its metres right?") from None
        raise
    if len(names) == 2:
        notes.append("two points on the plan leave nothing to check them by: a third would")
    return step, notes


def _fitted(method: str, scene: Scene, matched: _Matched, freedom: Freedom, inputs: dict[str, Any]) -> Made:
    if freedom.keep_upright:
        _check_upright(scene, "--keep-upright")
    names, target = matched.names, matched.target
    tolerance = freedom.max_error_m or _tolerance(method, matched)
    what = {"points": "known points", "plan": "plan points"}.get(method, "known camera positions")
    options = FitOptions(tolerance, bool(freedom.keep_scale), freedom.keep_upright, freedom.seed)
    fit = fit_robust(names, matched.source, target, options, what)
    if freedom.max_error_m is None and method in _PLACE_SIGMA_M:
        fit = _without_odd(matched, fit, options, _PLACE_SIGMA_M[method])
    if matched.covariances is not None:
        fit = _weighted(matched, fit, options)
    step = AlignmentStep(
        method,
        fit.similarity,
        scene.units,
        METRES,
        used=int(fit.kept.sum()),
        rms=fit.rms,
        residuals=_named(names, fit),
        left_out=tuple(name for name, kept in zip(names, fit.kept, strict=True) if not kept),
        inputs=inputs | {"tolerance_m": tolerance, "given": len(names)},
    )
    notes = [*_left_out_notes(step, what), *_rough_note(method, what, names, fit), *_scale_note(scene, fit.similarity.scale)]
    if not freedom.keep_upright and _up_after(scene, fit.similarity) < -_UPSIDE_DOWN:
        notes.append(
            "the photos stand upside down in this frame if z is up in it: are the known coordinates left-handed, or two of "
            "their axes exchanged?"
        )
    return step, notes


def _tolerance(method: str, matched: _Matched) -> float:
    """Largest residual of what agrees, in metres: by the kind of the coordinates, their extent, and how sure clicks are."""
    extent = np.ptp(matched.target, axis=0).max(initial=0.0)
    least = max(_TOLERANCE_M[method], _TOLERANCE_SHARE * float(extent))
    if matched.covariances is None or not extent > 0:
        return least
    scale = np.linalg.norm(np.ptp(matched.target, axis=0)) / max(
        float(np.linalg.norm(np.ptp(matched.source, axis=0))), 1e-12
    )
    click = float(np.sqrt(np.linalg.eigvalsh(matched.covariances)[:, -1].max())) * float(scale)
    return max(least, min(_SURE * click, _MOST_FOR_CLICKS_M))


def _weighted(matched: _Matched, fit: Fit, options: FitOptions) -> Fit:
    """The same with every point weighted by how well its clicks place it; the points kept stay the same."""
    assert matched.covariances is not None
    kept = fit.kept
    found = fit_weighted(
        matched.source[kept],
        matched.covariances[kept],
        matched.target[kept],
        fit.similarity,
        _KNOWN_SIGMA_M,
        options.keep_scale,
        options.keep_up,
    )
    return Fit(found, np.linalg.norm(found.apply(matched.source) - matched.target, axis=1), kept)


def _without_odd(matched: _Matched, fit: Fit, options: FitOptions, sigma_m: float) -> Fit:
    """Without those that disagree with the others by less than the tolerance, as long as a majority is left."""
    names, source, target = matched.names, matched.source, matched.target
    extent = float(np.ptp(target, axis=0).max(initial=0.0))
    covariances = np.zeros((len(names), 3, 3)) if matched.covariances is None else matched.covariances
    sigma = float(np.hypot(sigma_m, _MAP_SIGMA * extent))
    known = Known(source, covariances, target, sigma, options.keep_scale, options.keep_up)
    while 2 * (fit.kept.sum() - 1) > len(names):
        row = odd_one_out(known, fit.kept, fit.similarity)
        left = fit.kept & (np.arange(len(names)) != row)
        again = None if row is None else fit_kept(source, target, left, options)
        if again is None:
            break
        fit = again
    return fit


def _rough_note(method: str, what: str, names: list[str], fit: Fit) -> list[str]:
    """Names the largest residual where points that were kept agree badly: which one is wrong was not to be told."""
    if method != "points" or fit.rms <= _ROUGH_M:
        return []
    worst = int(np.argmax(np.where(fit.kept, fit.residuals, -1.0)))
    advice = "check its coordinates and clicks first"
    if fit.kept.sum() <= FEWEST:
        advice = f"of {fit.kept.sum()} points it need not be the wrong one: check all, or give five"
    return [
        f"the {what} agree to {100 * fit.rms:.1f} cm only (rms); the largest residual is that of {names[worst]}, "
        f"{100 * fit.residuals[worst]:.1f} cm: {advice}"
    ]


def _up_after(scene: Scene, similarity: Similarity) -> float:
    """The z component, after a similarity, of the photos' mean upward side."""
    up = rotations.rotate(scene.frames.poses.world_from_cam_wxyz, [0.0, -1.0, 0.0]).mean(axis=0)
    return float(rotations.rotate(similarity.rotation_wxyz, up)[2])


def _named(names: list[str], fit: Fit) -> dict[str, float]:
    """Residuals by name; of many points the largest only."""
    rows = np.arange(len(names)) if len(names) <= _MOST_NAMED else np.argsort(-fit.residuals, kind="stable")[:_LARGEST_NAMED]
    return {names[int(row)]: float(fit.residuals[row]) for row in rows}


def _check_upright(scene: Scene, option: str) -> None:
    """Raises BadInput where z is not up as far as the cameras can tell."""
    leaning = float(np.degrees(np.arccos(np.clip(camera_gravity(scene.frames.poses).up[2], -1, 1))))
    if leaning > _LEANING:
        raise BadInput(f"{option} turns about z, but z is {leaning:.0f} degrees from up in the scene: give --upright too")


def _left_out_notes(step: AlignmentStep, what: str) -> list[str]:
    if not step.left_out:
        return []
    shown = ", ".join(
        f"{name} ({step.residuals[name]:.2f} m)" if name in step.residuals else name for name in step.left_out[:5]
    )
    more = f" and {len(step.left_out) - 5} more" if len(step.left_out) > 5 else ""
    return [f"{len(step.left_out)} of the {what} disagree with the others and are left out: {shown}{more}"]


def _scale_note(scene: Scene, scale: float) -> list[str]:
    if scene.units != METRES or abs(scale - 1) <= _ODD_SCALE:
        return []
    return [f"the scene was in metres already, and its scale changes by a factor of {scale:.3f} (--keep-scale keeps it)"]


def _unique(names: list[str]) -> list[str]:
    """The same names, numbered where they occur again."""
    return [name if name not in names[:row] else f"{name} ({row + 1})" for row, name in enumerate(names)]
