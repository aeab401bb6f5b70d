"""TensorBoard events of a run, where the package ``tensorboardX`` is installed. The only user of that package."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from irploc.runs.entries import LOSS, Entry

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.summary_pb2 import Summary

INSTALL = "pip install 'irploc[tensorboard]'"
PATTERN = "events.out.tfevents.*"


class Events:
    """The events file of a run folder: scalars ``loss`` (or ``loss/NAME``), ``error/position_m``, ``error/rotation_deg``.

    Written by the package's ``EventsWriter``, not by its ``SummaryWriter``, whose ``flush`` leaves what its thread has not
    taken yet.
    """

    def __init__(self, writer: EventsWriter) -> None:
        self._writer = writer

    @classmethod
    def written_anew(cls, folder: Path, entries: Sequence[Entry], words: str) -> Events | None:
        """A file with these entries in place of the files that the folder has; None where the package is not installed.

        Args:
            folder: of the run.
            entries: what the run has until now.
            words: shown as text beside the curves.
        """
        try:
            from tensorboardX import summary
            from tensorboardX.event_file_writer import EventsWriter
        except ImportError:
            return None
        for old in folder.glob(PATTERN):
            old.unlink()
        events = cls(EventsWriter(str(folder / "events")))
        events._write(summary.text("configuration", "    " + words.replace("\n", "\n    ")), 0, time.time())
        for entry in entries:
            events._add(entry)
        events._writer.flush()
        return events

    def add(self, entry: Entry) -> None:
        """Writes the scalars of an entry; they can be seen at once."""
        self._add(entry)
        self._writer.flush()

    def close(self) -> None:
        """Lets the file go."""
        self._writer.close()

    def _add(self, entry: Entry) -> None:
        from tensorboardX import summary

        scalars = {LOSS if name == LOSS else f"{LOSS}/{name}": value for name, value in (entry.loss or {}).items()}
        scalars |= {f"error/{name}": getattr(entry, name) for name in ("position_m", "rotation_deg")}
        for name, value in scalars.items():
            if value is not None:
                self._write(summary.scalar(name, value), entry.step, entry.time)

    def _write(self, content: Summary, step: int, seconds: float) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._writer.write_event(Event(wall_time=seconds, step=step, summary=content))
