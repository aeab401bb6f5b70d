"""The one place that imports pycolmap: on first use, with the process's signal handling left as it was."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any


def import_pycolmap() -> Any:
    """The pycolmap module. Importing it installs a handler that prints a C++ stack trace on SIGTERM; ours is put back."""
    if "pycolmap" in sys.modules:
        return sys.modules["pycolmap"]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    import pycolmap

    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
    pycolmap.logging.minloglevel = 2  # its warnings go to stderr in a format of their own
    return pycolmap
