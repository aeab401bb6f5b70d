"""TensorBoard events of a run, where the package ``tensorboardX`` is installed. The only user of that package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from irploc.runs.entries import LOSS, Entry

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

INSTALL = "pip install 'irploc[tensorboard]'"
PATTERN = "events.out.tfevents.*"


class Events:
    """The events file of a run folder: scalars ``loss`` (or ``loss/NAME``), ``error/position_m``, ``error/rotation_deg``."""

    def __init__(self, writer: SummaryWriter) -> None:
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
            from tensorboardX import SummaryWriter
        except ImportError:
            return None
        for old in folder.glob(PATTERN):
            old.unlink()
        events = cls(SummaryWriter(str(folder)))
        events._writer.add_text("configuration", "    " + words.replace("\n", "\n    "))
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
        scalars = {LOSS if name == LOSS else f"{LOSS}/{name}": value for name, value in (entry.loss or {}).items()}
        scalars |= {f"error/{name}": getattr(entry, name) for name in ("position_m", "rotation_deg")}
        for name, value in scalars.items():
            if value is not None:
                self._writer.add_scalar(name, value, entry.step, walltime=entry.time)
