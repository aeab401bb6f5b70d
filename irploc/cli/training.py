"""What commands that train share: lines about the progress, and what is said after Ctrl-C."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from irploc.cli.common import note


@contextmanager
def interruption_told(kept: str = "") -> Iterator[None]:
    """Says how to go on after Ctrl-C, and what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        note("interrupted; run the same command again to go on" + (f": {kept}" if kept else ""))
        raise


class Lines:
    """Reports as lines on stderr: the first at once, then one every ten seconds; on a terminal the bar has the rest."""

    EVERY_SECONDS = 10.0

    def __init__(self, quiet: bool, on_terminal: bool) -> None:
        self._quiet, self._on_terminal, self._last = quiet, on_terminal, -float("inf")

    def __call__(self, line: str) -> None:
        import time

        urgent = not line.startswith(("epoch ", "step "))
        due = time.monotonic() - self._last >= self.EVERY_SECONDS and not self._on_terminal
        first = self._last < 0
        if urgent or (not self._quiet and (due or first)):
            if not urgent:
                self._last = time.monotonic()
            note(line)
