"""The one place that imports OpenCV, which is an extra."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from irploc.errors import NotFound


def opencv() -> Any:
    """The module ``cv2``.

    Raises:
        NotFound: when it is not installed, with the command that installs it.
    """
    try:
        import cv2
    except ImportError:
        raise NotFound("features of photos need OpenCV: pip install 'irploc[structure]'") from None
    return cv2


@contextmanager
def one_thread_a_call() -> Iterator[None]:
    """OpenCV without threads of its own, for callers that bring theirs."""
    cv2 = opencv()
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
