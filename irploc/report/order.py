"""Queries in the order they were taken, where their walks break, and which of them are worth looking at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irploc.scene import Frames

_JUMP = 5  # a step this many times the usual one is a break in a walk
_SPARSE = 20  # numbers this much sparser than the photos are time stamps: count photos instead


@dataclass(frozen=True)
class Timeline:
    """Photos laid along one axis, walk after walk.

    Attributes:
        rows: (N,) the photos in order.
        places: (N,) position on the axis of each of ``rows``.
        breaks: sorted positions p in ``rows`` such that the walk is interrupted before ``rows[p]``.
        starts: (name, place) of every walk.
    """

    rows: np.ndarray
    places: np.ndarray
    breaks: np.ndarray
    starts: tuple[tuple[str, float], ...]

    def broken(self, values: np.ndarray) -> np.ndarray:
        """``values`` (N,) or (N, D) in time order, with a NaN put in at every break, to be drawn as one line."""
        return np.insert(np.asarray(values, dtype=np.float64), self.breaks, np.nan, axis=0)


def timeline(frames: Frames) -> Timeline:
    """The photos by walk and index; one walk keeps its own numbers on the axis."""
    sequences = np.array([str(name) for name in frames.sequences], dtype=object)
    rows = np.array(sorted(range(len(frames)), key=lambda row: (sequences[row], frames.indices[row])), dtype=np.int64)
    places, breaks, starts, end = np.zeros(len(rows)), [], [], 0.0
    several = len(set(sequences)) > 1
    for name in dict.fromkeys(sequences[rows]):
        positions = np.flatnonzero(sequences[rows] == name)
        numbers = frames.indices[rows[positions]].astype(np.float64)
        if np.ptp(numbers) > _SPARSE * len(numbers):
            numbers = np.arange(len(numbers), dtype=np.float64)
        steps = np.diff(numbers)
        if several:
            numbers = numbers - numbers[0] + end
            end = numbers[-1] + 1 + 0.02 * len(rows)
        places[positions] = numbers
        starts.append((str(name), float(numbers[0])))
        if positions[0]:
            breaks.append(int(positions[0]))
        if len(steps):
            breaks += (positions[1:][steps > _JUMP * max(np.median(steps), 1)]).tolist()
    return Timeline(rows, places, np.array(sorted(breaks), dtype=np.int64), tuple(starts))


def even_sample(count: int, limit: int) -> np.ndarray:
    """At most ``limit`` of ``count`` positions, evenly spread, first and last included."""
    if count <= limit:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, limit).round().astype(np.int64))


def extremes(position_m: np.ndarray, rotation_deg: np.ndarray, frames: Frames, count: int) -> tuple[list[int], list[int]]:
    """Rows of the worst and of the best queries, most extreme first, none in both.

    Ranked by position plus rotation error, each in units of its median; queries closer in time than a fiftieth of the
    walk to one that was chosen are passed over, since they show the same.
    """
    badness = _in_medians(position_m) + _in_medians(rotation_deg)
    order = np.lexsort((np.arange(len(badness)), badness))
    time = timeline(frames)
    rank = np.empty(len(time.rows), dtype=np.int64)
    rank[time.rows] = np.arange(len(time.rows))
    apart = max(1, len(badness) // 50)
    best = _spread(order, rank, apart, min(count, len(badness) // 2), [])
    worst = _spread(order[::-1], rank, apart, min(count, len(badness) - len(best)), best)
    return worst, best


def _in_medians(errors: np.ndarray) -> np.ndarray:
    finite = errors[np.isfinite(errors)]
    median = float(np.median(finite)) if len(finite) else 1.0
    return errors / max(median, 1e-12)


def _spread(order: np.ndarray, rank: np.ndarray, apart: int, count: int, taken: list[int]) -> list[int]:
    chosen: list[int] = []
    for row in order.tolist():
        if len(chosen) == count:
            break
        if row not in taken and all(abs(rank[row] - rank[other]) >= apart for other in chosen):
            chosen.append(row)
    return chosen
