"""Progress on stderr for anything longer than a second; silent when not a terminal or when told to be quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import Protocol


class Progress(Protocol):
    """Takes steps as they are done."""

    def advance(self, count: int = 1) -> None:
        """``count`` more units are done."""
        ...

    def note(self, text: str) -> None:
        """Shows a few words beside the bar, the latest loss for example."""
        ...


class Silent:
    """Shows nothing."""

    def advance(self, count: int = 1) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


Stages = Callable[[str, int, str], AbstractContextManager[Progress]]  # a bar for a title, a total and a unit


def silent_stages(title: str, total: int, unit: str) -> AbstractContextManager[Progress]:
    """No progress bars."""
    return nullcontext(Silent())


@contextmanager
def progress(title: str, total: int, unit: str, quiet: bool = False) -> Iterator[Progress]:
    """A bar with rate and time left.

    Args:
        title: what is being done.
        total: how many units there are.
        unit: the plural noun of a unit, ``images``.
        quiet: show nothing at all.
    """
    if quiet or not sys.stderr.isatty() or find_spec("rich") is None:  # small devices need not have it
        yield Silent()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[words]}"),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as bar:
        yield _Bar(bar, bar.add_task(title, total=total, rate="", words=""), unit)


class _Bar:
    def __init__(self, bar: object, task: int, unit: str) -> None:
        self._bar, self._task, self._unit = bar, task, unit
        self._started, self._done = time.monotonic(), 0

    def advance(self, count: int = 1) -> None:
        self._done += count
        rate = self._done / max(time.monotonic() - self._started, 1e-9)
        self._bar.update(self._task, advance=count, rate=f"{rate:.1f} {self._unit}/s")  # type: ignore[attr-defined]

    def note(self, text: str) -> None:
        self._bar.update(self._task, words=text)  # type: ignore[attr-defined]
