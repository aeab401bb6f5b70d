"""Which answers are certain enough to become labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from irploc.errors import BadInput
from irploc.estimators.base import OK
from irploc.geometry.poses import Poses
from irploc.geometry.rotations import angle_between_deg
from irploc.learning.answers import Found
from irploc.learning.walks import Walk

KEPT = "kept"
_NEIGHBOURS = 4  # photos before and after that a pose is compared with
_AT_LEAST = 3  # of them; fewer cannot tell who is wrong
_GAP = 10.0  # usual steps of the index beyond which photos are no neighbours
_FARTHER = 2.0  # times as far from its neighbours as they are from each other
_AT_THE_ENDS = 10.0  # the same where a walk begins or ends: whoever starts off quickly looks like a jump there
_DEG_OF_M = 100.0  # near duplicates: a degree counts as a centimetre


@dataclass(frozen=True)
class KeepOptions:
    """What a pose must be to be kept.

    Attributes:
        min_confidence: of the answer.
        max_error_m, max_error_deg: errors to expect, in the scene's units and degrees; also how far a pose may lie from
            those of its neighbours in the walk before it is asked whether it jumps.
        thin_m: photos nearer than this to one that maps already are left out, 1 cm and 1 deg counting alike; 0 keeps all.

    Raises:
        BadInput: for numbers that cannot be.
    """

    min_confidence: float = 0.9
    max_error_m: float = 0.05
    max_error_deg: float = 2.0
    thin_m: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_confidence <= 1:
            raise BadInput(f"min confidence is {self.min_confidence}, it must lie in [0, 1]")
        for name in ("max_error_m", "max_error_deg"):
            if not getattr(self, name) > 0:
                raise BadInput(f"{name.replace('_', ' ')} is {getattr(self, name)}, it must be positive")
        if not 0 <= self.thin_m < np.inf:
            raise BadInput(f"thin is {self.thin_m}, it must not be negative")


def judge(walk: Walk, answers: Sequence[Found], mapping: Poses, options: KeepOptions) -> list[str]:
    """A verdict per photo of a walk: ``kept``, or why not.

    Args:
        walk: N photos.
        answers: to them, in order.
        mapping: poses of the photos that map already.
        options: what is asked of a pose.
    """
    verdicts = [_by_itself(found, options) for found in answers]
    _drop(verdicts, jumping(walk, answers, verdicts, options), "jumps away from its neighbours in the walk")
    if options.thin_m:
        _drop(verdicts, _near_duplicates(answers, verdicts, mapping, options.thin_m), "near duplicate of a mapping photo")
    return verdicts


def jumping(walk: Walk, answers: Sequence[Found], verdicts: Sequence[str], options: KeepOptions) -> np.ndarray:
    """(N,) which of the kept poses lie far from those of the photos taken just before and after, while these agree.

    Of up to four neighbours, a pose must be near two; near means within ``max_error``, or not more than twice as far as they
    lie apart themselves. So neither one wrong pose nor two alike get through, and quick movements do.
    """
    found = np.zeros(len(walk), dtype=bool)
    rows = [row for row, verdict in enumerate(verdicts) if verdict == KEPT]
    if len(rows) <= _AT_LEAST:
        return found
    poses, indices = _poses([answers[row] for row in rows]), np.array(walk.indices)[rows]
    gap = _GAP * float(np.median(np.diff(indices)))
    for place, row in enumerate(rows):
        near = np.argsort(np.abs(indices - indices[place]), kind="stable")[1 : _NEIGHBOURS + 1]
        near = near[np.abs(indices[near] - indices[place]) <= gap]
        if len(near) >= _AT_LEAST:
            inside = near.min() < place < near.max()
            found[row] = _strays(poses[np.append(near, place)], _FARTHER if inside else _AT_THE_ENDS, options)
    return found


def _strays(poses: Poses, farther: float, options: KeepOptions) -> bool:
    """Whether the last pose is so many times farther from the others, in place or in direction, than these are apart."""
    first, second = np.triu_indices(len(poses) - 1, 1)
    metres = np.linalg.norm(poses.centers_m[:, None] - poses.centers_m[None], axis=2)
    quats = poses.world_from_cam_wxyz
    degrees = angle_between_deg(quats[:, None], quats[None])
    return any(
        np.sort(apart[-1, :-1])[1] > max(least, farther * _lower_median(apart[first, second]))
        for apart, least in ((metres, options.max_error_m), (degrees, options.max_error_deg))
    )


def _lower_median(values: np.ndarray) -> float:
    return float(np.sort(values)[(len(values) - 1) // 2])


def _by_itself(found: Found, options: KeepOptions) -> str:
    """The verdict on an answer alone."""
    if found.problem:
        return f"cannot be read: {found.problem}"
    if found.status != OK or found.center_m is None:
        return found.status.replace("_", " ")
    if options.min_confidence > 0 and found.confidence is None:
        return "confidence unknown"
    if found.confidence is not None and found.confidence < options.min_confidence:
        return "confidence too low"
    if found.expected is not None and (found.expected[0] > options.max_error_m or found.expected[1] > options.max_error_deg):
        return "expected error too large"
    return KEPT


def _near_duplicates(answers: Sequence[Found], verdicts: Sequence[str], mapping: Poses, thin_m: float) -> np.ndarray:
    """(N,) which kept poses lie near a mapping photo, or near one of the walk that was kept before them."""
    found = np.zeros(len(answers), dtype=bool)
    centers, quats = list(mapping.centers_m), list(mapping.world_from_cam_wxyz)
    for row in [row for row, verdict in enumerate(verdicts) if verdict == KEPT]:
        pose = _poses([answers[row]])
        metres = np.linalg.norm(np.array(centers).reshape(-1, 3) - pose.centers_m, axis=1)
        near = np.flatnonzero(metres < thin_m)
        degrees = angle_between_deg(np.array(quats).reshape(-1, 4)[near], pose.world_from_cam_wxyz)
        found[row] = bool((metres[near] + degrees / _DEG_OF_M < thin_m).any())
        if not found[row]:
            centers.append(pose.centers_m[0])
            quats.append(pose.world_from_cam_wxyz[0])
    return found


def _poses(answers: Sequence[Found]) -> Poses:
    return Poses(
        np.array([found.center_m for found in answers], dtype=np.float64),
        np.array([found.world_from_cam_wxyz for found in answers], dtype=np.float64),
    )


def _drop(verdicts: list[str], rows: np.ndarray, reason: str) -> None:
    for row in np.flatnonzero(rows):
        verdicts[row] = reason
