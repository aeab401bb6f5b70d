"""The exceptions that mean "the user can mend this"; the command line turns them into one line and exit code 1."""

from __future__ import annotations

from typing import TypeVar

_Error = TypeVar("_Error", bound=BaseException)


class IrplocError(Exception):
    """Something the user gave or has is wrong: says what, where, and what would be right."""


class BadInput(IrplocError):
    """A file, folder or value the user gave cannot be used as it is."""


class Diverged(BadInput):
    """A training whose loss is not finite any more, or ran away."""


class NotFound(IrplocError):
    """A file, scene, model or registered name that does not exist."""


class Mismatch(IrplocError):
    """Two artifacts that do not belong together: another encoder, weights, scene or format version."""


class Busy(IrplocError):
    """Another process holds what this one needs."""


def without_frames(error: _Error) -> _Error:
    """The same error, to be kept as an answer: it lets go of the calls that it came through and of what led to it.

    Those hold the photo and the whole scene that it was asked of, often in a circle that is only freed much later.
    """
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


def summarize(items: list[str], limit: int = 1) -> str:
    """The first few of many bad items, for one-line messages: ``a.jpg`` or ``a.jpg, b.jpg and 35 more``."""
    shown = ", ".join(items[:limit])
    rest = len(items) - limit
    return f"{shown} and {rest} more" if rest > 0 else shown
