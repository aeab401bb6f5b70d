"""Whether a floor map and a scene belong together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from irploc.errors import BadInput, Mismatch
from irploc.floormap.map import FloorMap
from irploc.floormap.placements import better_placement, extent_m, is_placed, walk_span_m
from irploc.floormap.plane import up_of_photos
from irploc.geometry.poses import Poses

SLACK_M = 0.3  # a photo counts as outside from here on: masks keep a clearance from walls, arms reach over furniture
NOTED_OUTSIDE = 0.05  # share of the mapping photos
MOST_OUTSIDE = 0.2
_PARTIAL_SPAN = 0.5  # of the walkable area's longer side: a walk that covers less saw a part, or the plan is too large
_LEAST_SPAN = 0.05  # covers less still: other units


def check_metric(units: str, where: str) -> None:
    """Raises BadInput unless a scene is in metres."""
    if units != "metres":
        raise BadInput(f"{where} has no metric scale (its units: {units}), a floor map needs metres: 'irploc scene align'")


@dataclass(frozen=True, eq=False)
class Fit:
    """How photos of known pose lie on a floor map.

    Attributes:
        floor_map: the map.
        poses: those that are known.
        what: they are called.
        strict: a walk that is tiny beside the walkable area is a misfit too.
    """

    floor_map: FloorMap
    poses: Poses
    what: str = "mapping photos"
    strict: bool = False

    @cached_property
    def distances_m(self) -> np.ndarray:
        """(N,) of each photo to walkable ground, 0 on it."""
        return self.floor_map.distances_m(self._points)

    @property
    def off_ground(self) -> float:
        """The share of photos that are not on walkable ground; 0 of none."""
        return float(np.mean(self.distances_m > 0)) if len(self.poses) else 0.0

    @property
    def outside(self) -> float:
        """The share of photos farther than ``SLACK_M`` from walkable ground; 0 of none."""
        return float(np.mean(self.distances_m > SLACK_M)) if len(self.poses) else 0.0

    @property
    def span(self) -> float:
        """The longer side of the walk over the longer side of the walkable area."""
        return float(self._walk.max() / extent_m(self.floor_map).max())

    @property
    def misfits(self) -> bool:
        """Whether the map is refused, unless it says ``accept_outside``."""
        return len(self.poses) > 0 and (self.outside > MOST_OUTSIDE or (self.strict and self.span < _LEAST_SPAN))

    @property
    def summary(self) -> str:
        """How many photos lie where, for people."""
        count = len(self.poses)
        on, near = (int((self.distances_m <= limit).sum()) for limit in (0.0, SLACK_M))
        if not count:
            return f"no {self.what} to compare with"
        return (
            f"{on} of {count} {self.what} ({100 * on / count:.3g} %) on walkable ground, {near} within {SLACK_M:g} m of it"
        )

    @property
    def seen(self) -> str:
        """What does not fit, and what would be right, in one sentence."""
        count = len(self.poses)
        return (
            f"{100 * self.outside:.0f} % of {count} {self.what} are not on walkable ground nor within {SLACK_M:g} m of it; "
            f"{self._spans}: {self._advice}"
        )

    @property
    def note(self) -> str | None:
        """What is odd about a map that is accepted, in one sentence; None where nothing is."""
        if not len(self.poses):
            return None
        if self.misfits or self.outside > NOTED_OUTSIDE:
            return self.seen
        better = better_placement(self.floor_map, self._points, 0.0) if self.off_ground > NOTED_OUTSIDE else None
        if better is not None:
            return f"{100 * self.off_ground:.0f} % of {len(self.poses)} {self.what} are not on walkable ground; {better}"
        if self.span <= _PARTIAL_SPAN:
            return f"{self._spans}: right if the walk kept to a part of it, else {self._scale} is too large"
        return None

    @property
    def _points(self) -> np.ndarray:
        return self.floor_map.on_plane(self.poses.centers_m)

    @property
    def _walk(self) -> np.ndarray:
        return walk_span_m(self.floor_map, self._points)

    @property
    def _scale(self) -> str:
        return "the polygons' unit" if is_placed(self.floor_map) else f"metres_per_pixel {self.floor_map.metres_per_pixel:g}"

    @property
    def _spans(self) -> str:
        ground = extent_m(self.floor_map)
        return f"the {self.what} span {_size(self._walk)} m, the walkable area {_size(ground)} m"

    @property
    def _advice(self) -> str:
        up = up_of_photos(self.poses)
        if up is not None and up != self.floor_map.up:
            return f"the photos hold {up} up, the map says up is {self.floor_map.up}"
        better = better_placement(self.floor_map, self._points, SLACK_M) if self.outside else None
        if better is not None:
            return better
        if self.span > 1.2:
            return (
                f"{self._scale} is too small, it would have to be at least {self.floor_map.metres_per_pixel * self.span:.2g}"
            )
        if self.span < _LEAST_SPAN:
            return f"look whether {self._scale} is too large"
        placing = "where the polygons lie" if is_placed(self.floor_map) else "metres_per_pixel, origin and yaw"
        return f"look at {placing} with 'irploc floormap show'"


def check_fit(floor_map: FloorMap, poses: Poses, where: str, what: str = "mapping photos", strict: bool = False) -> Fit:
    """How photos of known pose lie on a floor map; a map that says ``accept_outside`` is never refused.

    Args:
        poses: of photos that were taken by someone who walked.
        where: of what, for the message.
        what: the photos are, for the message.
        strict: refuse walks that are tiny beside the walkable area too.

    Raises:
        Mismatch: when more than ``MOST_OUTSIDE`` of the photos are farther than ``SLACK_M`` from walkable ground.
    """
    fit = Fit(floor_map, poses[np.flatnonzero(poses.valid)], what, strict)
    if fit.misfits and not floor_map.accept_outside:
        raise Mismatch(f"the floor map does not fit {where}: {fit.seen}")
    return fit


def _size(extent: np.ndarray) -> str:
    return f"{extent[0]:.3g} x {extent[1]:.3g}"
