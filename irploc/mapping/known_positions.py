"""Known camera positions of a scene's photos: tables, trajectories by time stamp."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from irploc.errors import BadInput, NotFound, summarize
from irploc.mapping.gps import east_north_up, photo_position
from irploc.mapping.known_tables import PhotoNames, read_table, repeated
from irploc.readers.base import numbers, read_rows
from irploc.scene import Scene

_METRIC, _GEOGRAPHIC = ("x", "y", "z"), ("lat", "lon", "alt")
_LARGEST_GAP_S = 1.0
_TRAJECTORY = "stamp tx ty tz"


@dataclass(frozen=True)
class KnownPositions:
    """Where photos were taken.

    Attributes:
        rows: (M,) numbers of frames, each once.
        positions_m: (M, 3) in the building's frame.
        facts: what was assumed, for the record.
    """

    rows: np.ndarray
    positions_m: np.ndarray
    facts: Mapping[str, Any] = field(default_factory=dict)


def read_positions(path: Path, scene: Scene) -> KnownPositions:
    """A table ``image,x,y,z`` in metres, or ``image,lat,lon,alt`` in degrees and metres (WGS84).

    Geographic coordinates become east, north, up of the first row, whose coordinates are recorded as the origin. Photos
    that are not in the scene are passed over, as not every photo finds a pose.

    Raises:
        BadInput: for a damaged table, or when no photo of the scene is in it.
    """
    rows = read_table(path, ("image", *_METRIC), ("image", *_GEOGRAPHIC))
    names = [row.text("image") for row in rows]
    repeated(names, path)
    photos = PhotoNames(scene.frames.names)
    found = [photos.find(name) for name in names]
    chosen = [(number, row) for number, row in zip(found, rows, strict=True) if number is not None]
    if not chosen:
        raise BadInput(
            f"{path} names no photo of the scene: its first is {names[0]!r}, the scene's {scene.frames.names[0]!r}"
        )
    frames = np.array([number for number, _ in chosen], dtype=np.int64)
    if len(set(frames.tolist())) < len(frames):
        raise BadInput(f"{path}: several rows name the same photo of the scene; first: {_first_twice(frames, scene)}")
    facts = {"file": path.name, "not_in_scene": len(rows) - len(chosen)}
    if chosen[0][1].has(*_METRIC):
        return KnownPositions(frames, np.stack([row.numbers(*_METRIC) for _, row in chosen]), facts)
    local, origin = east_north_up(np.stack([row.numbers(*_GEOGRAPHIC) for _, row in chosen]), str(path))
    return KnownPositions(frames, local, facts | {"origin_lat_lon_alt": origin})


def read_trajectory(path: Path, scene: Scene, fps: float, offset_s: float) -> KnownPositions:
    """Positions of a TUM trajectory (``stamp tx ty tz …``, seconds and metres) at the times of a video's frames.

    A frame's time is its ``index`` divided by ``fps``, plus ``offset_s``; positions are interpolated linearly between the
    two nearest stamps. Frames outside the trajectory, or in a gap of it longer than a second, are passed over.

    Raises:
        BadInput: a damaged file, a frame rate that is not positive, or fewer frames than three within it.
    """
    if not (np.isfinite(fps) and fps > 0 and np.isfinite(offset_s)):
        raise BadInput(f"--fps is {fps:g} and --offset {offset_s:g}: expected frames a second above zero, and seconds")
    if not path.is_file():
        raise NotFound(f"no trajectory {path}, expected a file with lines '{_TRAJECTORY} qx qy qz qw'")
    values = numbers(read_rows(path, 4, _TRAJECTORY), slice(0, 4), path)
    if len(values) < 2 or not np.isfinite(values).all():
        raise BadInput(f"{path} has {len(values)} positions, expected at least two finite ones: '{_TRAJECTORY}'")
    values = values[np.unique(values[:, 0], return_index=True)[1]]
    times = scene.frames.indices / fps + offset_s
    after = np.clip(np.searchsorted(values[:, 0], times), 1, len(values) - 1)
    gap = values[after, 0] - values[after - 1, 0]
    inside = (times >= values[0, 0]) & (times <= values[-1, 0]) & (gap <= _LARGEST_GAP_S)
    if inside.sum() < 3:
        raise BadInput(
            f"{int(inside.sum())} of {len(times)} frames fall into {path}: the frames are from {times.min():.2f} to "
            f"{times.max():.2f} s, the trajectory from {values[0, 0]:.2f} to {values[-1, 0]:.2f} s: set --fps and --offset"
        )
    places = np.stack([np.interp(times[inside], values[:, 0], values[:, axis]) for axis in (1, 2, 3)], axis=1)
    facts = {"file": path.name, "fps": fps, "offset_s": offset_s, "not_in_trajectory": int((~inside).sum())}
    return KnownPositions(np.flatnonzero(inside), places, facts)


def _first_twice(rows: np.ndarray, scene: Scene) -> str:
    values, counts = np.unique(rows, return_counts=True)
    return summarize([scene.frames.names[int(row)] for row in values[counts > 1]])


def positions_of_photos(scene: Scene) -> KnownPositions:
    """Positions of the photos' EXIF, as metres east, north and up of the first one that has it.

    Raises:
        BadInput: when fewer than three photos have a position with altitude.
    """
    found = [(row, photo_position(image)) for row, image in enumerate(scene.frames.images)]
    placed = [(row, place) for row, place in found if place is not None]
    whole = [(row, place) for row, place in placed if np.isfinite(place).all()]
    if len(whole) < 3:
        lack = f" ({len(placed) - len(whole)} more lack the altitude)" if len(placed) > len(whole) else ""
        raise BadInput(
            f"{len(whole)} of {len(found)} photos of {scene.name} have a position in their EXIF{lack}; at least three are "
            "needed: give a table with --positions, or known points with --points and --known"
        )
    local, origin = east_north_up(np.stack([place for _, place in whole]), scene.name)
    facts = {"origin_lat_lon_alt": origin, "without_position": len(found) - len(whole)}
    return KnownPositions(np.array([row for row, _ in whole], dtype=np.int64), local, facts)
