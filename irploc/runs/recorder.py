"""``RunRecorder``: writes a run folder while a training goes on."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from irploc import provenance
from irploc.errors import BadInput, Diverged, IrplocError
from irploc.files import is_stream, write_text
from irploc.runs.configuration import Configuration
from irploc.runs.entries import Entry, EntryFile, read_entries, stamped
from irploc.runs.events import Events
from irploc.runs.run import (
    CONFIGURATION,
    DIVERGED,
    FAILED,
    FINISHED,
    INTERRUPTED,
    LOCK,
    RECORD,
    RUNNING,
    SUMMARY,
    Summary,
)

_CONTINUED = (RUNNING, INTERRUPTED)


class RunRecorder:
    """A run folder that is being written: ``config.toml, record.jsonl, summary.json`` and TensorBoard's events.

    Used as a context manager: what ends the block decides the status. Every file is whole, or a prefix of what it would
    have become, whenever the process dies.

    Args:
        folder: of the run, made already.
        configuration: what is trained, and how.
        model: the file it will become.
        lock: held while it runs.
        before: how an earlier sitting of the same run stood; None at the first.
    """

    def __init__(
        self, folder: Path, configuration: Configuration, model: Path, lock: IO[bytes], before: Summary | None = None
    ) -> None:
        self.folder, self.continued = folder, before is not None
        self._model, self._lock = model, lock
        self._file = EntryFile(folder / RECORD)
        self._earlier = max([before.seconds if before else 0.0, *(entry.seconds for entry in self._file.entries[-1:])])
        self._taken_up = self.continued  # until the first entry says where
        self._begun = time.monotonic()
        relative = Path(os.path.relpath(model, folder)).as_posix()
        started, sittings = (before.started, before.sittings + 1) if before else (_now(), 1)
        self.summary = Summary(RUNNING, started, sittings=sittings, seconds=self._earlier, model=relative)
        self._words = json.dumps(configuration.to_plain(folder), indent=1)
        configuration.save(folder / CONFIGURATION)
        self._write_summary()
        self._events = Events.written_anew(folder, self._file.entries, self._words)

    @classmethod
    def open(cls, root: Path, configuration: Configuration, model: Path, resume: bool = True) -> RunRecorder:
        """A new run below ``root``; with ``resume`` the last one for the same model file goes on where it did not end, if it
        was the same training.

        Args:
            root: ``runs/`` of the workspace.
            configuration: its scene and method name the folder.
            model: the file that the training will write.
            resume: whether the training itself goes on from its checkpoint.

        Raises:
            BadInput: the folder cannot be written.
        """
        parent = root / f"{configuration.scene}.{configuration.method}"
        try:
            if resume and (found := _unfinished(parent, configuration, model)) is not None:
                folder, lock, before = found
                return cls(folder, configuration, model, lock, before)
            folder = _new_folder(parent)
            return cls(folder, configuration, model, _locked(folder))
        except OSError as error:
            raise BadInput(f"cannot keep a record in {parent}: {error.strerror or error}; --no-run does without") from None

    @property
    def name(self) -> str:
        """``kitchen.irpnet/20260101-120000``."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def has_events(self) -> bool:
        """Whether TensorBoard can read this run."""
        return self._events is not None

    @property
    def entries(self) -> list[Entry]:
        """What was reported until now, by step."""
        return self._file.entries

    def entry(self, values: Mapping[str, Any]) -> None:
        """Keeps a report, see ``Entry.of``; one of an earlier step replaces everything since."""
        entry = Entry.of(values)
        if self._taken_up and self.entries and entry.step <= self.entries[-1].step:  # what came after is done again
            self._earlier = max((known.seconds for known in self.entries if known.step < entry.step), default=0.0)
        self._taken_up = False
        entry = stamped(entry, self._seconds, time.time())
        again = self._file.add(entry)
        if again and self._events is not None:
            self._events.close()
            self._events = Events.written_anew(self.folder, self._file.entries, self._words)
        elif self._events is not None:
            self._events.add(entry)

    def finish(self, status: str, message: str = "") -> None:
        """Says how it ended; a finished one names its model file by checksum."""
        sha256 = ""
        if status == FINISHED and self._model.is_file() and not is_stream(self._model):
            sha256 = provenance.sha256_of_file(self._model)
        self.summary = replace(
            self.summary, status=status, ended=_now(), seconds=round(self._seconds, 3), model_sha256=sha256, message=message
        )
        self._write_summary()
        self._file.close()
        if self._events is not None:
            self._events.close()
        (self.folder / LOCK).unlink(missing_ok=True)
        self._lock.close()

    def __enter__(self) -> RunRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.summary.status != RUNNING:
            return
        if error is None:
            self.finish(FINISHED)
        elif isinstance(error, KeyboardInterrupt):
            self.finish(INTERRUPTED)
        else:
            words = str(error) if isinstance(error, IrplocError) else f"{type(error).__name__}: {error}"
            self.finish(DIVERGED if isinstance(error, Diverged) else FAILED, words)

    @property
    def _seconds(self) -> float:
        return self._earlier + time.monotonic() - self._begun

    def _write_summary(self) -> None:
        write_text(self.folder / SUMMARY, json.dumps(self.summary.to_plain(), indent=1) + "\n")


class Unrecorded:
    """Stands for a ``RunRecorder`` where no record is wanted."""

    entries: Sequence[Entry] = ()

    def entry(self, values: Mapping[str, Any]) -> None:
        """Nothing."""

    def finish(self, status: str, message: str = "") -> None:
        """Nothing."""


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _new_folder(parent: Path) -> Path:
    """A folder named by the time, with a number where there is one of this second already."""
    parent.mkdir(parents=True, exist_ok=True)
    stamp, number = datetime.now().strftime("%Y%m%d-%H%M%S"), 1
    while True:
        folder = parent / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def _locked(folder: Path) -> IO[bytes]:
    """Raises BlockingIOError where another process holds it."""
    stream = (folder / LOCK).open("ab")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            stream.close()
            raise
    return stream  # a disk that knows no locks is written to without


def _unfinished(parent: Path, configuration: Configuration, model: Path) -> tuple[Path, IO[bytes], Summary] | None:
    """The last run for this model file, if it did not end and was the same training: older ones have no checkpoint left."""
    for folder in sorted((path for path in parent.glob("*") if path.is_dir()), key=stamp_order, reverse=True):
        try:
            summary = Summary.load(folder / SUMMARY)
            if (folder / summary.model).resolve() != model.resolve():
                continue
            same = configuration.same_training(Configuration.load(folder / CONFIGURATION), folder)
            if summary.status not in _CONTINUED or not same:
                return None
            read_entries(folder / RECORD)
            return folder, _locked(folder), summary
        except (IrplocError, BlockingIOError):
            return None
    return None


def stamp_order(folder: Path) -> tuple[str, int]:
    """Sorts folders by their time; ``…-10`` comes after ``…-9``."""
    day, clock, number = [*folder.name.split("-"), "", "", ""][:3]
    return f"{day}-{clock}", int(number) if number.isdecimal() else 0
