"""``Calibration``: what confidence a method's answers deserve in one place, learned on photos held out of its own map.

The mapping photos are held out in four ways (``splits.pose_folds``), asked for as if they were queries, and the true errors
of the answers regressed on signs that any query has: how near the nearest embeddings are, and how well the answer agrees
with the poses of the photos they belong to. No test photo is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from irploc.geometry.poses import Poses, pose_errors
from irploc.geometry.rotations import angles_of_products
from irploc.retrieval.index import PlaceIndex

GOOD_M, GOOD_DEG = 0.25, 5.0  # confidence is the chance of errors up to these
LEAST_PHOTOS = 20  # with fewer in the map there is nothing to learn from
ASKED = 250  # photos, at most, that are asked for in each fold
SIGNS = 9  # see ``signs_of``
_LOOKED_AT = 10
_PENALTY = 3.0
_CLIP = 3.0  # standard deviations: no extrapolation beyond
_FLOOR_M, _FLOOR_DEG = 1e-3, 1e-2
_REFUSED = 0.02  # share of held-out photos with neighbours farther than the limit
_UNLIKE_DEG = 12.0  # nearest photos turned by more than this show much else
_GROWTH = 2.5  # errors of the nearest photo go about with this power of its distance
_FARTHEST = 1.25


@dataclass(frozen=True)
class Judgement:
    """What to think of N answers.

    Attributes:
        confidence: (N,) chance of errors within ``GOOD_M`` and ``GOOD_DEG``.
        position_m, rotation_deg: (N,) errors to expect, medians.
        refused: (N,) whether the photo is too unlike everything in the map to be of this place.
    """

    confidence: np.ndarray
    position_m: np.ndarray
    rotation_deg: np.ndarray
    refused: np.ndarray


@dataclass(frozen=True)
class Calibration:
    """Of one method in one place; plain numbers, so that files can hold it.

    Attributes:
        mean, spread: of the signs.
        position, rotation: constant and one factor per sign, for the logarithm of the expected error.
        chance: constant and the factors of both logarithms, for the log-odds of a good answer.
        limit: distance of the nearest embedding beyond which a photo is refused.
    """

    mean: tuple[float, ...]
    spread: tuple[float, ...]
    position: tuple[float, ...]
    rotation: tuple[float, ...]
    chance: tuple[float, ...]
    limit: float

    @classmethod
    def fit(cls, signs: np.ndarray, position_m: np.ndarray, rotation_deg: np.ndarray, limit: float) -> Calibration:
        """From (n, S) signs and the true errors of held-out photos."""
        mean, spread = signs.mean(axis=0), signs.std(axis=0) + 1e-9
        terms = _terms(signs, mean, spread)
        gram = terms.T @ terms + _PENALTY * np.diag([0.0] + [1.0] * signs.shape[1])
        logs = np.log(np.stack([position_m + _FLOOR_M, rotation_deg + _FLOOR_DEG], axis=1))
        factors = np.linalg.solve(gram, terms.T @ logs)
        good = (position_m <= GOOD_M) & (rotation_deg <= GOOD_DEG)
        numbers = [mean, spread, factors[:, 0], factors[:, 1], _log_odds(terms @ factors, good)]
        a, b, position, rotation, chance = (tuple(float(value) for value in part) for part in numbers)
        return cls(a, b, position, rotation, chance, float(limit))

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Calibration:
        """The inverse of ``to_plain``.

        Raises:
            KeyError, TypeError, ValueError: for anything else.
        """
        lists = {name: tuple(float(value) for value in values[name]) for name in cls.__annotations__ if name != "limit"}
        found = cls(**lists, limit=float(values["limit"]))
        size = SIGNS
        if [len(part) for part in lists.values()] != [size, size, size + 1, size + 1, 3]:
            raise ValueError("a calibration's lists differ in length")
        if not np.isfinite([*(number for part in lists.values() for number in part), found.limit]).all():
            raise ValueError("a calibration has numbers that are not finite")
        if min(found.spread) <= 0 or found.limit <= 0:
            raise ValueError("a calibration's spreads and limit must be positive")
        return found

    def to_plain(self) -> dict[str, Any]:
        """Lists and numbers."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def judge(self, signs: np.ndarray) -> Judgement:
        """Of answers with (N, S) signs."""
        terms = _terms(signs, np.array(self.mean), np.array(self.spread))
        logs = np.stack([terms @ np.array(self.position), terms @ np.array(self.rotation)], axis=1)
        odds = self.chance[0] + logs @ np.array(self.chance[1:])
        refused = nearest_distances(signs) > self.limit
        return Judgement(1.0 / (1.0 + np.exp(-odds)), np.exp(logs[:, 0]), np.exp(logs[:, 1]), refused)


def inverse_square(errors: np.ndarray) -> np.ndarray:
    """Weights (N, A) of A answers with expected errors (N, A), rows summing to one."""
    weights = 1.0 / errors**2
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def signs_of(index: PlaceIndex, embeddings: np.ndarray, poses: Poses) -> np.ndarray:
    """(N, 9) logarithms: the distance of the query's embedding (N, D) to the nearest, fifth and tenth of the map, and how
    far the answer is from the poses of the nearest, the five and the ten nearest photos, in metres and in radians."""
    count = min(_LOOKED_AT, len(index.frames))
    rows, similarities = index.search(embeddings, count)
    distances = np.sqrt(np.clip(2.0 - 2.0 * similarities.astype(np.float64), 1e-8, None))
    mapped = index.frames.poses
    metres = np.linalg.norm(mapped.centers_m[rows] - poses.centers_m[:, None], axis=2)
    products = np.einsum("nkd,nd->nk", mapped.world_from_cam_wxyz[rows], poses.world_from_cam_wxyz)
    radians = angles_of_products(products)
    near = [distances[:, 0], distances[:, min(4, count - 1)], distances[:, -1]]
    apart = [part[:, :first].mean(axis=1) + _FLOOR_M for first in (1, 5, _LOOKED_AT) for part in (metres, radians)]
    return np.log(np.stack(near + apart, axis=1))


def nearest_distances(signs: np.ndarray) -> np.ndarray:
    """(N,) distances of the nearest embeddings, from ``signs_of``."""
    return np.asarray(np.exp(signs[:, 0]))


def refusal_limit(index: PlaceIndex, folds: Sequence[np.ndarray]) -> float:
    """How far the nearest embedding may be from a photo of this place.

    Nearly all held-out photos are nearer. In a map whose widest holes still leave similar views, the limit is moved to where
    the nearest photo would show something else, as far as its error can be extrapolated.
    """
    distances, turned = [], []
    for held in folds:
        smaller, rows = index.without(held), asked_in(held)
        nearest, similarities = smaller.search(index.vectors[rows], 1)
        distances.append(np.sqrt(np.clip(2.0 - 2.0 * similarities[:, 0].astype(np.float64), 1e-8, None)))
        turned.append(float(np.median(pose_errors(smaller.frames.poses[nearest[:, 0]], index.frames.poses[rows])[1])))
    far = float(np.quantile(np.concatenate(distances), 1.0 - _REFUSED))
    return far * float(np.clip((_UNLIKE_DEG / max(max(turned), 1e-3)) ** (1.0 / _GROWTH), 1.0, _FARTHEST))


def asked_in(held: np.ndarray) -> np.ndarray:
    """Row numbers of the photos of a fold that are asked for: all, or ``ASKED`` at even distances."""
    rows = np.flatnonzero(held)
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), ASKED)).round().astype(np.int64))]


def _terms(signs: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    scaled = np.clip((signs - mean) / spread, -_CLIP, _CLIP)
    return np.concatenate([np.ones((len(scaled), 1)), scaled], axis=1)


def _log_odds(logs: np.ndarray, good: np.ndarray) -> np.ndarray:
    """(3,) a logistic regression on two columns; where all answers are good, or none, their smoothed share."""
    from sklearn.linear_model import LogisticRegression

    if good.all() or not good.any():
        share = (good.sum() + 1.0) / (len(good) + 2.0)
        return np.array([np.log(share / (1.0 - share)), 0.0, 0.0])
    fitted = LogisticRegression().fit(logs, good)
    return np.concatenate([fitted.intercept_, fitted.coef_[0]])
