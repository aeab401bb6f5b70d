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
TIMES = "times.csv"  # of a built scene: the time of every frame taken from its video
_TRAJECTORY = "stamp tx ty tz"


@dataclass(frozen=True)
class KnownPositions:
    """Where photos were taken.

    Attributes:
        rows: (M,) numbers of frames, each once.
        positions_m: (M, 3) in the building's frame.
        facts: what was assumed, for the record.
        level: whether only x and y are known.
        notes: what the user should know.
    """

    rows: np.ndarray
    positions_m: np.ndarray
    facts: Mapping[str, Any] = field(default_factory=dict)
    level: bool = False
    notes: tuple[str, ...] = ()


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


def read_trajectory(path: Path, scene: Scene, folder: Path, fps: float | None, offset_s: float) -> KnownPositions:
    """Positions of a TUM trajectory (``stamp tx ty tz …``, seconds and metres) at the times of a video's frames.

    Positions are interpolated linearly between the two nearest stamps. Frames outside the trajectory, or in a gap of it
    longer than a second, are passed over.

    Args:
        folder: of the scene; see ``frame_times`` for its ``times.csv`` and ``fps``.
        offset_s: stamp of the video's time 0.

    Raises:
        BadInput: a damaged file, fewer frames than three within it, or as ``frame_times``.
    """
    if not np.isfinite(offset_s):
        raise BadInput(f"--offset is {offset_s:g}, expected seconds")
    times, timed_by = frame_times(scene, folder, fps)
    times = times + offset_s
    if not path.is_file():
        raise NotFound(f"no trajectory {path}, expected a file with lines '{_TRAJECTORY} qx qy qz qw'")
    values = numbers(read_rows(path, 4, _TRAJECTORY), slice(0, 4), path)
    if len(values) < 2 or not np.isfinite(values).all():
        raise BadInput(f"{path} has {len(values)} positions, expected at least two finite ones: '{_TRAJECTORY}'")
    values = values[np.unique(values[:, 0], return_index=True)[1]]
    after = np.clip(np.searchsorted(values[:, 0], times), 1, len(values) - 1)
    gap = values[after, 0] - values[after - 1, 0]
    inside = (times >= values[0, 0]) & (times <= values[-1, 0]) & (gap <= _LARGEST_GAP_S)
    if inside.sum() < 3:
        options = "--offset" if "times" in timed_by else "--fps and --offset"
        raise BadInput(
            f"{int(inside.sum())} of {len(times)} frames fall into {path}: the frames are from {times.min():.2f} to "
            f"{times.max():.2f} s, the trajectory from {values[0, 0]:.2f} to {values[-1, 0]:.2f} s: set {options}"
        )
    places = np.stack([np.interp(times[inside], values[:, 0], values[:, axis]) for axis in (1, 2, 3)], axis=1)
    facts = {"file": path.name, **timed_by, "offset_s": offset_s, "not_in_trajectory": int((~inside).sum())}
    unused = fps is not None and "times" in timed_by
    notes = (f"--fps is not used: {folder / TIMES} has the time of every frame",) if unused else ()
    return KnownPositions(np.flatnonzero(inside), places, facts, notes=notes)


def frame_times(scene: Scene, folder: Path, fps: float | None) -> tuple[np.ndarray, dict[str, Any]]:
    """Seconds (N,) of the frames since the beginning of their video, and where they are from, for the record.

    Those of the folder's ``times.csv`` (``index,time_s``, the presentation times), which hold where the frame rate varies
    too; a frame's ``index`` over ``fps`` where there is no such table.

    Raises:
        BadInput: neither table nor frame rate, a rate that is not positive, or a table that is damaged or lacks a frame.
    """
    table = folder / TIMES
    if not table.is_file():
        if fps is None:
            raise BadInput(
                f"--trajectory needs --fps, the frames a second that the frames' numbers count: there is no {table}"
            )
        if not (np.isfinite(fps) and fps > 0):
            raise BadInput(f"--fps is {fps:g}, expected frames a second above zero")
        return scene.frames.indices / fps, {"fps": fps}
    rows = read_table(table, ("index", "time_s"))
    repeated([row.text("index") for row in rows], table)
    seconds = {float(row.numbers("index")[0]): float(row.numbers("time_s")[0]) for row in rows}
    lost = [int(index) for index in scene.frames.indices if float(index) not in seconds]
    if lost:
        raise BadInput(f"{table} has no time of {len(lost)} of {len(scene.frames)} frames; first: frame {lost[0]}")
    return np.array([seconds[float(index)] for index in scene.frames.indices]), {"times": TIMES}


def _first_twice(rows: np.ndarray, scene: Scene) -> str:
    values, counts = np.unique(rows, return_counts=True)
    return summarize([scene.frames.names[int(row)] for row in values[counts > 1]])


def positions_of_photos(scene: Scene, level: bool = False) -> KnownPositions:
    """Positions of the photos' EXIF, as metres east, north and up of the first one that has it.

    Args:
        level: x and y only, for a scene that stands upright: altitudes are not looked at, and need not be there.

    Raises:
        BadInput: when fewer than three photos have a position with altitude; with ``level`` fewer than two have any.
    """
    found = [(row, photo_position(image)) for row, image in enumerate(scene.frames.images)]
    placed = [(row, place) for row, place in found if place is not None]
    used = placed if level else [(row, place) for row, place in placed if np.isfinite(place).all()]
    fewest = 2 if level else 3
    if len(used) < fewest:
        lacking = len(placed) - len(used)
        lack = f" ({lacking} more lack the altitude, which --upright does without)" if lacking else ""
        raise BadInput(
            f"{len(used)} of {len(found)} photos of {scene.name} have a position in their EXIF{lack}; at least "
            f"{('two', 'three')[fewest - 2]} are needed: give a table with --positions, or known points with --points and "
            "--known"
        )
    places = np.stack([place for _, place in used])
    if level:
        places[:, 2] = 0.0
    local, origin = east_north_up(places, scene.name)
    facts = {"origin_lat_lon_alt": origin, "without_position": len(found) - len(used), "level": level}
    return KnownPositions(np.array([row for row, _ in used], dtype=np.int64), local, facts, level)
