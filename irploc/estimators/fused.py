"""Method ``fused``: what ``robust`` interpolates and what the trained regressors say, each weighted by its expected error.

Every member knows what error to expect of each of its answers (``calibration``): a regressor too, since networks like it
were trained without some of the mapping photos and asked for them. Answers are averaged with weights 1 / error^2, position
and rotation by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from irploc.errors import NotFound
from irploc.estimators.base import METHODS, Method, PoseEstimates, PoseEstimator, Query
from irploc.estimators.calibrated import Calibrated, with_judgement
from irploc.estimators.calibration import Judgement, inverse_square
from irploc.geometry.averaging import average_quaternions
from irploc.geometry.poses import Poses

if TYPE_CHECKING:
    from irploc.estimators.build import Place

MEMBERS = ("irpnet", "mlp")


@dataclass(frozen=True)
class FusedOptions:
    """There is nothing to choose."""


class Fused:
    """Several methods of one place, the first of which gives the neighbours.

    Args:
        members: those that are ``Calibrated`` tell what to expect of them; of another one the mean of theirs is expected.
    """

    def __init__(self, members: Sequence[PoseEstimator]) -> None:
        self._members = members

    def estimate(self, query: Query) -> PoseEstimates:
        """One pose per query, with the confidence and the errors that the members' own make likely."""
        answers, judgements = [], []
        for member in self._members:
            if isinstance(member, Calibrated):
                estimates, judgement = member.judged(query)
                judgements.append(judgement)
            else:
                estimates = member.estimate(query)
            answers.append(estimates)
        known = [isinstance(member, Calibrated) for member in self._members]
        metres = _expected([judgement.position_m for judgement in judgements], known, len(query))
        degrees = _expected([judgement.rotation_deg for judgement in judgements], known, len(query))
        in_position, in_rotation = inverse_square(metres), inverse_square(degrees)
        centers = np.stack([answer.poses.centers_m for answer in answers], axis=1)
        quats = np.stack([answer.poses.world_from_cam_wxyz for answer in answers], axis=1)
        poses = Poses(np.einsum("na,nai->ni", in_position, centers), average_quaternions(quats, in_rotation))
        spread_m = _widest([answer.spread_m for answer in answers])
        spread_deg = _widest([answer.spread_deg for answer in answers])
        fused = replace(PoseEstimates.of_poses(poses, answers[0].neighbours), spread_m=spread_m, spread_deg=spread_deg)
        if not judgements:
            return fused
        weights = 0.5 * (in_position + in_rotation)[:, known]
        trust = next(member.trust for member in self._members if isinstance(member, Calibrated))
        together = _together(judgements, weights, in_position * np.log(metres), in_rotation * np.log(degrees))
        return with_judgement(fused, together, trust)


def _expected(errors: list[np.ndarray], known: list[bool], count: int) -> np.ndarray:
    """(N, members); ones where no member knows."""
    if not errors:
        return np.ones((count, len(known)))
    given = iter(errors)
    mean = np.exp(np.mean(np.log(errors), axis=0))
    return np.stack([next(given) if is_known else mean for is_known in known], axis=1)


def _together(judgements: list[Judgement], weights: np.ndarray, logs_m: np.ndarray, logs_deg: np.ndarray) -> Judgement:
    """Weighted means of log-odds and of logarithms of errors; the members' mistakes are alike, so that averaging them hardly
    makes errors smaller."""
    chances = np.stack([judgement.confidence for judgement in judgements], axis=1).clip(1e-9, 1.0 - 1e-9)
    odds = (weights * np.log(chances / (1.0 - chances))).sum(axis=1) / weights.sum(axis=1)
    return Judgement(
        confidence=1.0 / (1.0 + np.exp(-odds)),
        position_m=np.exp(logs_m.sum(axis=1)),
        rotation_deg=np.exp(logs_deg.sum(axis=1)),
        refused=np.all([judgement.refused for judgement in judgements], axis=0),
    )


def _widest(spreads: list[np.ndarray]) -> np.ndarray:
    """(N,) of any ensemble among the members; NaN without one."""
    columns = np.stack(spreads)
    return np.where(np.isnan(columns).all(axis=0), np.nan, np.nan_to_num(columns).max(axis=0))


def _fused(options: FusedOptions, model_path: Path | None, place: Place) -> Fused:
    trained = place.trained(MEMBERS)
    if not trained:
        command = METHODS.get(MEMBERS[0]).train_command.format(embeddings=place.store.path)
        raise NotFound(f"no model for fused in {place.model_path(MEMBERS[0]).parent}: train one with '{command}'")
    return Fused([place.estimator(name) for name in ("robust", *trained)])


METHODS.register("fused")(
    Method("robust and the trained regressors together, by expected error", FusedOptions, False, _fused, members=MEMBERS)
)
