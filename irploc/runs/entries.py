"""``Entry``: what a training reports as it goes on, and the file of its lines that survives whatever ends the training."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

from irploc.errors import BadInput
from irploc.files import write_text

LOSS = "loss"  # the name of a loss that has no other


@dataclass(frozen=True)
class Entry:
    """One report.

    Attributes:
        step: optimiser steps done, at least 0; a run has one entry for a step.
        epoch: epochs done; None where the training does not count them.
        loss: by name, a mean since the entry before or of this step; what was not finite is left out.
        split: whose errors these are, ``validation``, ``test`` or ``mapping``; empty without errors.
        position_m, rotation_deg: median errors; None where they were not measured or are not finite.
        seconds: of training until here, earlier sittings of the same run included.
        time: seconds since 1970.
    """

    step: int
    epoch: int | None = None
    loss: Mapping[str, float] | None = None
    split: str = ""
    position_m: float | None = None
    rotation_deg: float | None = None
    seconds: float = 0.0
    time: float = 0.0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Entry:
        """From what a training loop reports: ``step``, and as many of the others as it has; ``loss`` a number or by name.

        Raises:
            ValueError: for another key, or a value that is none.
        """
        if unknown := set(values) - set(cls.__dataclass_fields__):
            raise ValueError(f"an entry has no {', '.join(sorted(unknown))}")
        step, epoch, split = values.get("step", -1), values.get("epoch"), values.get("split", "")
        if not _whole(step) or not (epoch is None or _whole(epoch)) or not isinstance(split, str):
            raise ValueError("an entry needs a step of at least 0, and an epoch and a split that are a number and a text")
        loss = values.get("loss")
        losses = loss if isinstance(loss, Mapping) else {} if loss is None else {LOSS: loss}
        finite = {str(name): number for name, value in losses.items() if (number := _finite(value)) is not None}
        numbers = {name: _finite(values.get(name)) for name in ("position_m", "rotation_deg", "seconds", "time")}
        return cls(
            step=int(step),
            epoch=epoch,
            loss=finite,
            split=split,
            position_m=numbers["position_m"],
            rotation_deg=numbers["rotation_deg"],
            seconds=numbers["seconds"] or 0.0,
            time=numbers["time"] or 0.0,
        )

    def to_plain(self) -> dict[str, Any]:
        """For JSON; a loss without a name is a number."""
        loss: Any = dict(self.loss or {})
        if set(loss) == {LOSS}:
            loss = loss[LOSS]
        plain = {**self.__dict__, "loss": loss or None}
        return {name: value for name, value in plain.items() if value is not None and value != ""}

    @property
    def total_loss(self) -> float | None:
        """The sum of the losses; None without any."""
        return sum(self.loss.values()) if self.loss else None


class EntryFile:
    """``record.jsonl``: a line per entry, on the disk before the training goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries = read_entries(path)
        self._stream: TextIO | None = None

    def add(self, entry: Entry) -> bool:
        """Appends an entry. One of a step that is not after the last replaces whatever came from there on: the training was
        taken up at an earlier step. Tells whether that was so."""
        kept = [known for known in self.entries if known.step < entry.step]
        again = len(kept) < len(self.entries)
        if self._stream is None or again:
            self.close()
            write_text(self.path, "".join(map(_line, kept)))  # without the torn line of a killed process
            self._stream = self.path.open("a", encoding="utf-8", newline="\n")
        self.entries = [*kept, entry]
        self._stream.write(_line(entry))
        self._stream.flush()
        os.fsync(self._stream.fileno())
        return again

    def close(self) -> None:
        """Lets the file go."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def read_entries(path: Path) -> list[Entry]:
    """The entries of a file, in order of their steps; none where there is no file. A torn last line is left out.

    Raises:
        BadInput: another line that is no entry.
    """
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last line end is torn, or nothing
    entries = [_parsed(path, number, line) for number, line in enumerate(lines, 1)]
    for before, after in pairwise(entries):
        if after.step <= before.step:
            raise BadInput(f"{path}: step {after.step} follows step {before.step}")
    return entries


def best(entries: Sequence[Entry]) -> Entry | None:
    """The entry with the smallest position error, the first of several; None without errors."""
    measured = [entry for entry in entries if entry.position_m is not None]
    return min(measured, key=lambda entry: entry.position_m or 0.0) if measured else None


def final(entries: Sequence[Entry]) -> Entry | None:
    """The last entry that has errors, else the last; None without entries."""
    measured = [entry for entry in entries if entry.position_m is not None] or list(entries)
    return measured[-1] if measured else None


def stamped(entry: Entry, seconds: float, time: float) -> Entry:
    """The entry with its times."""
    return replace(entry, seconds=round(seconds, 3), time=round(time, 3))


def _parsed(path: Path, number: int, line: bytes) -> Entry:
    try:
        return Entry.of(json.loads(line))
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise BadInput(f"{path}: line {number} is not an entry of a training") from None


def _line(entry: Entry) -> str:
    return json.dumps(entry.to_plain(), allow_nan=False) + "\n"


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _finite(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number")
    return float(value) if math.isfinite(value) else None
