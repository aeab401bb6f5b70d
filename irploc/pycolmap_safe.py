"""The one place that imports pycolmap: on first use, with the process's signal handling left as it was."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

_IMPORTING = threading.Lock()


def import_pycolmap() -> Any:
    """The pycolmap module; threads may ask at once.

    Importing it installs a handler that prints a C++ stack trace on SIGTERM; ours is put back.
    """
    with _IMPORTING:  # a module is in sys.modules before it is complete
        return sys.modules["pycolmap"] if "pycolmap" in sys.modules else _imported()


def _imported() -> Any:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    import pycolmap

    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
    pycolmap.logging.minloglevel = 2  # its warnings go to stderr in a format of their own
    return pycolmap
