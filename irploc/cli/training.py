"""What commands that train share: lines about the progress, and what is said after Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from irploc.cli.common import note

Model = TypeVar("Model")


@contextmanager
def interruption_told(kept: str = "") -> Iterator[None]:
    """Says how to go on after Ctrl-C, and what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        note("interrupted; run the same command again to go on" + (f": {kept}" if kept else ""))
        raise


def trained_or_kept(train: Callable[[], Model], save: Callable[[Model, Path], None], path: Path) -> Model:
    """What ``train`` gives; of a training that diverged the last good state is kept beside the place where the model would
    have been."""
    from irploc.errors import Diverged
    from irploc.training.steps import DivergedModel

    with interruption_told():
        try:
            return train()
        except DivergedModel as error:
            if not error.step:
                raise Diverged(f"{error}; it was never better than its start") from None
            good = path.with_name(f"{path.stem}.last-good{path.suffix}")
            save(error.model, good)
            raise Diverged(f"{error}; its state after {error.step} steps is kept in {good}") from None


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
