"""``Run``: a run folder as it is read, whatever became of the training."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from irploc import provenance
from irploc.errors import BadInput
from irploc.runs.configuration import Configuration
from irploc.runs.entries import Entry, read_entries

FORMAT, VERSION = "irploc-run", 1
CONFIGURATION, RECORD, SUMMARY, CURVES, LOCK = "config.toml", "record.jsonl", "summary.json", "curves.png", ".running"
RUNNING, FINISHED, INTERRUPTED, DIVERGED, FAILED = "running", "finished", "interrupted", "diverged", "failed"
KILLED = "killed"  # a run that says it is running, by a process that is gone
_STATUSES = (RUNNING, FINISHED, INTERRUPTED, DIVERGED, FAILED)


@dataclass(frozen=True)
class Summary:
    """How a run stands.

    Attributes:
        status: ``running``, ``finished``, ``interrupted``, ``diverged``, ``failed``; as read also ``killed``.
        started, ended: local time with its offset, ISO 8601; ``ended`` is empty while it runs.
        seconds: of all sittings together.
        sittings: how often the training was started or taken up.
        model: the model file, relative to the run folder.
        model_sha256: of the file that was written; empty before.
        message: why it failed.
    """

    status: str
    started: str
    ended: str = ""
    seconds: float = 0.0
    sittings: int = 1
    model: str = ""
    model_sha256: str = ""
    message: str = ""

    def to_plain(self) -> dict[str, Any]:
        """For JSON, with the header of the format."""
        return {**provenance.header(FORMAT, VERSION), **self.__dict__}

    @classmethod
    def load(cls, path: Path) -> Summary:
        """Reads ``summary.json``.

        Raises:
            BadInput: damaged. Mismatch: of another format.
        """
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise BadInput(f"{path} is missing") from None
        except (ValueError, RecursionError):
            raise BadInput(f"{path} is not JSON") from None
        if not isinstance(content, dict):
            raise BadInput(f"{path} is not a summary of a run")
        provenance.check_header(content, FORMAT, VERSION, path)
        known = {name: content[name] for name in cls.__dataclass_fields__ if name in content}
        texts = ("status", "started", "ended", "model", "model_sha256", "message")
        numbers = ("seconds", "sittings")
        wrong = [name for name in texts if not isinstance(known.get(name, ""), str)]
        wrong += [name for name in numbers if type(known.get(name, 0)) not in (int, float)]
        if wrong or known.get("status") not in _STATUSES or "started" not in known:
            raise BadInput(f"{path} is damaged: {', '.join(wrong) or 'its status or start'} cannot be read")
        return cls(**known)


@dataclass(frozen=True)
class Run:
    """A training that was recorded.

    Attributes:
        name: ``kitchen.irpnet/20260101-120000``, its folder below ``runs/``.
        folder: where it is.
        configuration: what was trained, and how.
        summary: how it stands.
        entries: what it reported, by step.
    """

    name: str
    folder: Path
    configuration: Configuration
    summary: Summary
    entries: Sequence[Entry]

    @classmethod
    def load(cls, folder: Path) -> Run:
        """Reads a run folder.

        Raises:
            BadInput, NotFound, Mismatch: it is damaged, or no run.
        """
        configuration = Configuration.load(folder / CONFIGURATION)
        summary = Summary.load(folder / SUMMARY)
        if summary.status == RUNNING and not is_held(folder):
            summary = Summary(**{**summary.__dict__, "status": KILLED})
        name = f"{folder.parent.name}/{folder.name}"
        return cls(name, folder, configuration, summary, read_entries(folder / RECORD))

    @property
    def started(self) -> datetime | None:
        """When; None where the summary says something else."""
        try:
            return datetime.fromisoformat(self.summary.started)
        except ValueError:
            return None

    @property
    def seconds(self) -> float:
        """Of training; of one that was killed until its last entry."""
        return max([self.summary.seconds, *(entry.seconds for entry in self.entries[-1:])])

    @property
    def steps(self) -> int:
        """Done until the last entry."""
        return self.entries[-1].step if self.entries else 0

    @property
    def unit(self) -> str:
        """Of position errors: ``m``, or the scene's unit where that has no metres."""
        units = self.configuration.data.get("units", "metres")
        return "m" if units == "metres" else str(units)


def is_held(folder: Path) -> bool:
    """Whether a process is training into this folder now."""
    try:
        with (folder / LOCK).open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
