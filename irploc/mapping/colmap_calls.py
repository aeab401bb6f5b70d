"""Long calls of pycolmap: they can be interrupted, and what they say goes to a file."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from irploc.errors import BadInput
from irploc.pycolmap_safe import import_pycolmap

T = TypeVar("T")
_POLL_SECONDS = 0.1
_RESERVE_BYTES = 60_000_000  # more than COLMAP writes between two looks


def interruptible(call: Callable[..., T], writes_to: Path) -> T:
    """The result of a call that takes a ``pycolmap.CancellationToken`` as ``cancellation_token``.

    It runs beside the main thread, which Ctrl-C and SIGTERM reach at once: then it is told to stop, what it has written is
    whole, and the interruption goes on. The same where the disk gets full: COLMAP would take the whole process down with it.

    Args:
        call: to be made.
        writes_to: a folder on the disk that it writes to.

    Raises:
        BadInput: when the disk gets full, or COLMAP gives up. Whatever else the call raises.
    """
    token = import_pycolmap().CancellationToken()
    results: list[T] = []
    errors: list[BaseException] = []
    ended = threading.Event()  # Thread.join() that was interrupted takes the thread for ended (Python 3.11)

    def run() -> None:
        try:
            results.append(call(cancellation_token=token))
        except BaseException as error:  # carried to the caller's thread
            errors.append(error)
        finally:
            ended.set()

    threading.Thread(target=run, name="colmap").start()
    try:
        while not ended.wait(_POLL_SECONDS):
            check_room(writes_to)
    except BaseException:
        token.cancel()
        ended.wait()
        raise
    if errors and isinstance(errors[0], RuntimeError | MemoryError):
        words = (str(errors[0]).splitlines() or ["out of memory"])[-1]
        raise BadInput(f"COLMAP gave up: {words}; if that repeats, remove {writes_to} and run the same command again")
    if errors:
        raise errors[0]
    return results[0]


def check_room(folder: Path) -> None:
    """Raises BadInput where the disk of a folder is nearly full."""
    free = shutil.disk_usage(folder).free
    if free < _RESERVE_BYTES:
        raise BadInput(
            f"no space left on the disk of {folder}: {free / 1e6:.0f} MB are free, less than the "
            f"{_RESERVE_BYTES / 1e6:.0f} MB that are kept; make room and run the same command again to go on"
        )


@contextmanager
def colmap_log(path: Path) -> Iterator[None]:
    """COLMAP's own lines are added to ``path`` instead of stderr."""
    logging = import_pycolmap().logging
    before = {name: getattr(logging, name) for name in ("minloglevel", "logtostderr", "alsologtostderr", "stderrthreshold")}
    prefix = path.with_name(f".{path.name}-")
    logging.minloglevel, logging.logtostderr, logging.alsologtostderr = 0, False, False
    logging.stderrthreshold = int(logging.Level.FATAL)
    logging.set_log_destination(logging.Level.INFO, str(prefix))
    for level in (logging.Level.WARNING, logging.Level.ERROR):  # the file for INFO has them too
        logging.set_log_destination(level, "")
    try:
        yield
    finally:
        logging.set_log_destination(logging.Level.INFO, "")
        for name, value in before.items():
            setattr(logging, name, value)
        _append(sorted(path.parent.glob(f"{prefix.name}*")), path)


def _append(parts: list[Path], path: Path) -> None:
    for part in parts:
        with path.open("ab") as log:
            log.write(part.read_bytes())
        part.unlink()
