"""What a floor map makes of estimates: which lie outside, and where they are moved."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from irploc.estimators.base import APPROXIMATE, NOT_LOCALIZED, OUTSIDE_MAP, PoseEstimates
from irploc.floormap import FloorMap
from irploc.geometry.poses import Poses

_HIDDEN = "the pose is approximate, that of the method it started from"  # what ``outside_map`` does not say


@dataclass(frozen=True)
class OnFloor:
    """N estimates against a floor map.

    Attributes:
        raw: as the method gave them; ``outside_map`` where the position is not walkable.
        corrected: positions moved to the nearest walkable place, heights and rotations kept; ``not_localized`` and without a
            pose where that is farther than the map allows.
        moved_m: (N,) metres from the raw position to walkable ground, 0 on it; NaN without a pose.
    """

    raw: PoseEstimates
    corrected: PoseEstimates
    moved_m: np.ndarray

    @property
    def outside(self) -> np.ndarray:
        """(N,) which raw positions are not walkable."""
        return self.moved_m > 0

    @property
    def too_far(self) -> np.ndarray:
        """(N,) which of them are farther away than the map allows."""
        return self.outside & ~self.corrected.poses.valid

    @property
    def answers(self) -> PoseEstimates:
        """What is told to users: the raw poses, none where they are too far away."""
        return without(self.raw, self.too_far)


def on_floor(estimates: PoseEstimates, floor_map: FloorMap) -> OnFloor:
    """Estimates compared with a floor map. Source: the paper's post-processing (nearest walkable point, Euclidean); that
    what is too far away counts as not localized is ours."""
    moved = floor_map.move(estimates.poses.centers_m)
    status = tuple(OUTSIDE_MAP if out else kept for out, kept in zip(moved.outside, estimates.status, strict=True))
    hidden = moved.outside & ~moved.too_far & (np.array(estimates.status) == APPROXIMATE)
    notes = tuple(
        "; ".join(filter(None, (_HIDDEN, note))) if one else note for one, note in zip(hidden, estimates.notes, strict=True)
    )
    raw = replace(estimates, status=status, notes=notes)
    near = replace(raw, poses=Poses(moved.centers_m, estimates.poses.world_from_cam_wxyz))
    return OnFloor(raw, without(near, moved.too_far), moved.moved_m)


def without(estimates: PoseEstimates, rows: np.ndarray) -> PoseEstimates:
    """The estimates, some (N,) of them refused: no pose, and confidence 0 where there was any."""

    def kept(values: np.ndarray) -> np.ndarray:
        return np.where(rows.reshape(-1, *(1,) * (values.ndim - 1)), np.nan, values)

    known = ~np.isnan(estimates.confidence)
    return replace(
        estimates,
        poses=Poses(kept(estimates.poses.centers_m), kept(estimates.poses.world_from_cam_wxyz)),
        status=tuple(NOT_LOCALIZED if gone else status for gone, status in zip(rows, estimates.status, strict=True)),
        confidence=np.where(rows & known, 0.0, estimates.confidence),
        position_m=kept(estimates.position_m),
        rotation_deg=kept(estimates.rotation_deg),
        spread_m=kept(estimates.spread_m),
        spread_deg=kept(estimates.spread_deg),
    )
