"""Similarities between known points: pycolmap's closed form and RANSAC, and a reason where points do not determine one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from irploc.errors import BadInput
from irploc.geometry.similarity import Similarity
from irploc.pycolmap_safe import import_pycolmap

_LINE = 0.02  # spread beside the line through points, as a share of that along it
_LEAST_SURE_RAD = 0.1
_LEAST_SURE_SCALE = 0.05
_MOST_PAIRS = 2000
_ROUNDS = 10
_CLEARLY = 4.0  # times better do three of four points agree than any other three


@dataclass(frozen=True)
class FitOptions:
    """How points are brought together.

    Attributes:
        tolerance: largest residual of a point that agrees, in units of the target frame.
        keep_scale: rotate and shift only.
        keep_up: turn about z only, so that what is level stays level.
        seed: of the samples of RANSAC.
    """

    tolerance: float
    keep_scale: bool = False
    keep_up: bool = False
    seed: int = 0

    @property
    def fewest(self) -> int:
        """Points that determine the transform."""
        return 2 if self.keep_up else 3


@dataclass(frozen=True)
class Fit:
    """A transform and how well points agree with it.

    Attributes:
        similarity: target_from_source.
        residuals: (N,) distances in the target frame.
        kept: (N,) bool, the points it was made from.
    """

    similarity: Similarity
    residuals: np.ndarray
    kept: np.ndarray

    @property
    def rms(self) -> float:
        """Of the residuals of the points kept."""
        return float(np.sqrt(np.mean(np.square(self.residuals[self.kept]))))


def fit_closed_form(source: np.ndarray, target: np.ndarray, keep_scale: bool = False) -> Similarity | None:
    """The least-squares similarity of corresponding points (N, 3), N at least 3; None where they do not determine one.

    A proper rotation always: for mirrored points it is the best of these.

    Source: Umeyama 1991, through pycolmap. That of pycolmap 4.2 gives nothing for points in a plane through the origin, as
    points on a floor at z = 0 are; so both sets are first moved off it.
    """
    if len(source) < 3:
        return None
    from_shift, to_shift = _off_plane(source), _off_plane(target)
    pycolmap = import_pycolmap()
    estimate = pycolmap.estimate_rigid3d if keep_scale else pycolmap.estimate_sim3d
    found = estimate(source + from_shift, target + to_shift)
    return None if found is None else _moved(_similarity(found), from_shift, to_shift)


def fit_about_z(source: np.ndarray, target: np.ndarray, keep_scale: bool = False) -> Similarity | None:
    """The least-squares similarity that turns about z only, of corresponding points (N, 3), N at least 2; None where all
    have one place on the map. The closed form of two dimensions, as a product of complex numbers."""
    from_mean, to_mean = source.mean(axis=0), target.mean(axis=0)
    a, b = source - from_mean, target - to_mean
    one, other = a[:, 0] + 1j * a[:, 1], b[:, 0] + 1j * b[:, 1]
    power, product = float(np.sum(np.abs(one) ** 2)), complex(np.sum(np.conj(one) * other))
    if power <= 0 or abs(product) <= 1e-12 * power:
        return None
    heights, drops = float(np.sum(a[:, 2] ** 2)), float(np.sum(a[:, 2] * b[:, 2]))
    scale = 1.0 if keep_scale else (abs(product) + drops) / (power + heights)
    if scale <= 0:
        return None
    half = np.angle(product) / 2
    turn = Similarity(scale, (float(np.cos(half)), 0.0, 0.0, float(np.sin(half))))
    return Similarity(scale, turn.rotation_wxyz, tuple((to_mean - turn.apply(from_mean)).tolist()))


def fit_robust(names: list[str], source: np.ndarray, target: np.ndarray, options: FitOptions, what: str) -> Fit:
    """The transform that most of the points agree on: RANSAC, then least squares on those that agree.

    Args:
        names: N, for messages.
        source, target: (N, 3).
        what: the plural noun of a point in messages, ``known points``.

    Raises:
        BadInput: fewer points than needed, no majority that agrees (with every residual), four points of which any of
            several may be wrong, points on a line or at one place, too close together for their residuals, or mirrored.
    """
    if len(names) < options.fewest:
        raise BadInput(_too_few(len(names), options, what))
    _check_places(source, target, options, what)
    fit = _consensus(source, target, options)
    _check_not_mirrored(source, target, fit, options, what)
    if fit is None:
        raise BadInput(_disagreement(names, source, target, options, what))
    _check_told(names, source, target, fit, options, what)
    kept_names = [name for name, kept in zip(names, fit.kept, strict=True) if kept]
    _check_determined(source[fit.kept], target[fit.kept], fit, options, what, kept_names)
    return fit


def _consensus(source: np.ndarray, target: np.ndarray, options: FitOptions) -> Fit | None:
    """None where no majority agrees."""
    everyone = np.ones(len(source), dtype=bool)
    fit = fit_kept(source, target, everyone, options)
    if fit is not None and fit.residuals.max() <= options.tolerance:
        return fit
    agree = _sampled_about_z(source, target, options) if options.keep_up else _sampled(source, target, options)
    for _ in range(_ROUNDS):
        fit = fit_kept(source, target, agree, options)
        if fit is None:
            return None
        again = fit.residuals <= options.tolerance
        if (again == agree).all():
            break
        agree = again
    majority = fit is not None and fit.kept.sum() >= 3 and 2 * fit.kept.sum() > len(source)  # two agree with anything
    return fit if majority and len(source) > options.fewest else None


def fit_kept(source: np.ndarray, target: np.ndarray, kept: np.ndarray, options: FitOptions) -> Fit | None:
    """The transform of the points ``kept`` (N,) bool; None where they do not determine one."""
    if kept.sum() < options.fewest:
        return None
    solve = fit_about_z if options.keep_up else fit_closed_form
    found = solve(source[kept], target[kept], options.keep_scale)
    if found is None:
        return None
    return Fit(found, np.linalg.norm(found.apply(source) - target, axis=1), kept)


def _sampled(source: np.ndarray, target: np.ndarray, options: FitOptions) -> np.ndarray:
    """(N,) bool, the inliers of pycolmap's RANSAC."""
    pycolmap = import_pycolmap()
    ransac = pycolmap.RANSACOptions()
    ransac.max_error, ransac.random_seed = options.tolerance, options.seed
    estimate = pycolmap.estimate_rigid3d_robust if options.keep_scale else pycolmap.estimate_sim3d_robust
    found = estimate(source + _off_plane(source), target + _off_plane(target), ransac)
    return np.zeros(len(source), dtype=bool) if found is None else np.asarray(found["inlier_mask"], dtype=bool)


def _sampled_about_z(source: np.ndarray, target: np.ndarray, options: FitOptions) -> np.ndarray:
    """(N,) bool, those within tolerance of the pair of points that most agree with."""
    pairs = np.array(list(combinations(range(min(len(source), 1000)), 2)))
    if len(pairs) > _MOST_PAIRS:
        pairs = pairs[np.random.default_rng(options.seed).choice(len(pairs), _MOST_PAIRS, replace=False)]
    best = np.zeros(len(source), dtype=bool)
    for pair in pairs:
        found = fit_about_z(source[pair], target[pair], options.keep_scale)
        if found is None:
            continue
        agree = np.linalg.norm(found.apply(source) - target, axis=1) <= options.tolerance
        best = agree if agree.sum() > best.sum() else best
    return best


def _check_places(source: np.ndarray, target: np.ndarray, options: FitOptions, what: str) -> None:
    """Refuses points that are all at one place, or on a line, in either frame."""
    flat = slice(0, 2) if options.keep_up else slice(0, 3)
    for points, where in ((source, "in the scene"), (target, "as given")):
        spread = _spread(points[:, flat])
        size = float(np.abs(points).max(initial=0.0))
        if spread[0] <= 1e-9 * max(size, 1e-9):
            raise BadInput(f"the {what} are all at one place {where}: nothing tells the rotation; give points far apart")
        if not options.keep_up and spread[1] < _LINE * spread[0]:
            raise BadInput(_on_a_line(len(points), where, what))


def _check_determined(
    source: np.ndarray, target: np.ndarray, fit: Fit, options: FitOptions, what: str, names: list[str]
) -> None:
    """Refuses those that agree where they still leave the scale or a rotation open."""
    _check_places(source, target, options, what)
    spread = _spread(target[:, :2] if options.keep_up else target)
    noise = fit.rms / np.sqrt(len(names))
    across = spread[0] if options.keep_up else spread[1]
    if noise > _LEAST_SURE_SCALE * spread[0] or noise > _LEAST_SURE_RAD * across:
        raise BadInput(
            f"the {len(names)} {what} that agree span {2 * spread[0]:.2g} by {2 * across:.2g} (twice the standard "
            f"deviations) and disagree by {fit.rms:.2g}: too close together for scale and rotation; take them further apart"
        )


def _check_told(names: list[str], source: np.ndarray, target: np.ndarray, fit: Fit, options: FitOptions, what: str) -> None:
    """Refuses four points of which three agree, where another three do about as well: too few to say which is wrong."""
    if len(names) != 4 or fit.kept.all():
        return
    without = [fit_kept(source, target, np.arange(4) != row, options) for row in range(4)]
    agree = {
        name: other.rms
        for name, other in zip(names, without, strict=True)
        if other is not None and other.residuals[other.kept].max() <= options.tolerance
    }
    if len(agree) > 1 and sorted(agree.values())[1] < _CLEARLY * fit.rms:
        told = " or ".join(f"{name} ({rms:.2g})" for name, rms in sorted(agree.items(), key=lambda item: item[1]))
        raise BadInput(
            f"one of the 4 {what} is wrong, but which cannot be told: the others agree without {told}: check these, or give "
            "one more point"
        )


def _check_not_mirrored(source: np.ndarray, target: np.ndarray, fit: Fit | None, options: FitOptions, what: str) -> None:
    """Refuses points of which more agree when one axis is turned round."""
    if len(source) <= options.fewest:
        return
    mirror = np.array([1.0, -1.0, 1.0]) if options.keep_up else np.array([1.0, 1.0, -1.0])
    turned = _consensus(source * mirror, target, options)
    if turned is not None and turned.kept.sum() > max(0 if fit is None else fit.kept.sum(), options.fewest):
        hint = "is y pointing down, as in the pixels of a picture?" if options.keep_up else "exchange two columns or signs"
        raise BadInput(
            f"the {what} are mirrored: {turned.kept.sum()} of {len(source)} agree to {turned.rms:.2g} if one axis is turned "
            f"round; coordinates must be right-handed ({hint})"
        )


def _disagreement(names: list[str], source: np.ndarray, target: np.ndarray, options: FitOptions, what: str) -> str:
    fit = fit_kept(source, target, np.ones(len(names), dtype=bool), options)
    lines = ""
    if fit is not None:
        order = np.argsort(-fit.residuals, kind="stable")[:8]
        lines = " (residuals: " + ", ".join(f"{names[row]} {fit.residuals[row]:.3g}" for row in order) + ")"
    more = "" if len(names) > options.fewest else "; one more point would tell which is wrong"
    return (
        f"no majority of the {len(names)} {what} agrees within {options.tolerance:.3g}{lines}: check their coordinates and "
        f"order of axes{more}, or allow more with --max-error"
    )


def _too_few(count: int, options: FitOptions, what: str) -> str:
    given = f"{count} {what}" if count != 1 else f"one of the {what}"
    if options.keep_up:
        return f"{given}: turning about z and shifting need at least two"
    return (
        f"{given}: a similarity needs at least three, not on a line; with two, stand the scene upright first and give "
        "--keep-upright"
    )


def _on_a_line(count: int, where: str, what: str) -> str:
    return (
        f"the {count} {what} lie on a line {where}: nothing tells the rotation about it; add one beside the line, or stand "
        "the scene upright and give --keep-upright"
    )


def _spread(points: np.ndarray) -> np.ndarray:
    """Standard deviations along the principal axes, largest first."""
    return np.linalg.svd(points - points.mean(axis=0), compute_uv=False) / np.sqrt(len(points))


def _off_plane(points: np.ndarray) -> np.ndarray:
    """(3,) shift after which the plane through the points is as far from the origin as they are apart."""
    mean = points.mean(axis=0)
    _, spread, axes = np.linalg.svd(points - mean)
    return np.asarray(axes[-1] * max(float(spread[0]), 1e-12) - mean)


def _similarity(found: object) -> Similarity:
    """Of pycolmap's Sim3d, or of a Rigid3d, whose quaternions have the scalar last."""
    x, y, z, w = (float(value) for value in found.rotation.quat)  # type: ignore[attr-defined]
    shift = tuple(float(value) for value in found.translation)  # type: ignore[attr-defined]
    return Similarity(float(getattr(found, "scale", 1.0)), (w, x, y, z), shift)


def _moved(found: Similarity, from_shift: np.ndarray, to_shift: np.ndarray) -> Similarity:
    """The transform between points that were shifted, for the points themselves."""
    return Similarity(found.scale, found.rotation_wxyz, tuple((found.apply(from_shift) - to_shift).tolist()))
