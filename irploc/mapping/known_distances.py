"""The scale of a scene from distances that somebody measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irploc.errors import BadInput

LARGEST_DISAGREEMENT = 0.05  # of distances among themselves, as a share
_LARGEST_UNCERTAINTY = 0.1
_SURE = 3.0  # standard deviations
TAPE_M = 0.003  # standard deviation of what somebody measured
_SHORTEST_M, _LONGEST_M = 1e-3, 1e6


@dataclass(frozen=True)
class Distance:
    """``metres`` between two named points."""

    one: str
    other: str
    metres: float

    @property
    def name(self) -> str:
        """For messages and records."""
        return f"{self.one} - {self.other}"


@dataclass(frozen=True)
class MeasuredDistance:
    """A distance in the scene.

    Attributes:
        known: what it is in the building.
        length: in the scene's units.
        sigma: standard deviation of the length, from that of the clicks; 0 where nothing is known of it.
        known_sigma_m: standard deviation of what was measured, in metres.
    """

    known: Distance
    length: float
    sigma: float
    known_sigma_m: float = TAPE_M

    @property
    def ratio(self) -> float:
        """Metres per unit of the scene."""
        return self.known.metres / self.length

    @property
    def uncertainty(self) -> float:
        """Relative standard deviation of ``ratio``."""
        return float(np.hypot(self.sigma / self.length, self.known_sigma_m / self.known.metres))


@dataclass(frozen=True)
class ScaleFit:
    """What N distances say together.

    Attributes:
        scale: metres per unit of the scene.
        uncertainty: its relative standard deviation, by the clicks, the tape and how well the distances agree.
        residuals_m: (N,).
        kept: (N,) bool, those it was made from.
        spread: the largest scale of those kept over the smallest, less one.
    """

    scale: float
    uncertainty: float
    residuals_m: np.ndarray
    kept: np.ndarray
    spread: float


def measure_distance(
    known: Distance,
    ends: tuple[np.ndarray, np.ndarray],
    covariances: tuple[np.ndarray, np.ndarray],
    ends_sigma_m: tuple[float, float] = (0.0, 0.0),
) -> MeasuredDistance:
    """The length between two points of the scene (3,) with covariances (3, 3).

    Args:
        ends_sigma_m: how well somebody with a tape knows where the ends are, beside what the tape itself does, in metres.

    Raises:
        BadInput: a known distance that is not positive, two points at one place, or a length less than ten times its
            uncertainty.
    """
    if not _SHORTEST_M <= known.metres <= _LONGEST_M:
        raise BadInput(
            f"the distance {known.name} is {known.metres:g} m, expected a length from {_SHORTEST_M:g} to {_LONGEST_M:g} m"
        )
    apart = ends[1] - ends[0]
    length = float(np.linalg.norm(apart))
    size = max(float(np.abs(ends).max()), 1e-12)
    if length <= 1e-9 * size:
        raise BadInput(f"the points of the distance {known.name} are at one place in the scene")
    along = apart / length
    sigma = float(np.sqrt(max(along @ (covariances[0] + covariances[1]) @ along, 0.0)))
    if sigma > _LARGEST_UNCERTAINTY * length:
        raise BadInput(
            f"the distance {known.name} is {length:.3g} units in the scene, uncertain by {sigma:.2g} for clicks of 1 pixel: "
            "take a longer one, or click it in photos from places further apart"
        )
    return MeasuredDistance(known, length, sigma, float(np.linalg.norm([TAPE_M, *ends_sigma_m])))


def fit_scale(measured: list[MeasuredDistance]) -> ScaleFit:
    """Least squares on the scale, weighted by how sure each length is, without those that disagree with the others.

    The uncertainty is that of the weighted mean; where the distances disagree by more than they should, it grows with that.

    Raises:
        BadInput: two distances that disagree, or more without a majority that agrees; with each one's scale.
    """
    lengths = np.array([item.length for item in measured])
    metres = np.array([item.known.metres for item in measured])
    ratios = np.array([item.ratio for item in measured])
    sigmas = np.array([item.uncertainty for item in measured])
    best = np.zeros(len(measured), dtype=bool)
    for scale, sigma in zip(ratios, sigmas, strict=True):
        agree = np.abs(ratios / scale - 1) <= np.maximum(LARGEST_DISAGREEMENT, _SURE * np.hypot(sigmas, sigma))
        best = agree if agree.sum() > best.sum() else best
    if 2 * best.sum() <= len(measured) and len(measured) > 1:
        words = ", ".join(f"{item.known.name}: {ratio:.4g} m" for item, ratio in zip(measured, ratios, strict=True))
        more = "; a third distance would tell which is wrong" if len(measured) == 2 else ""
        raise BadInput(f"the distances disagree on the length of a unit of the scene ({words}): measure again{more}")
    kept, sure = ratios[best], sigmas[best]
    weights = (kept * sure) ** -2 / np.sum((kept * sure) ** -2)
    scale = float(weights @ kept)
    freedom = max(len(kept) - 1, 1)
    excess = float(np.sqrt(np.sum(((kept / scale - 1) / sure) ** 2) / freedom))
    uncertainty = float(np.linalg.norm(weights * sure)) * max(1.0, excess)
    return ScaleFit(scale, uncertainty, scale * lengths - metres, best, float(kept.max() / kept.min() - 1))
