"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from irploc.errors import BadInput


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends well, and is gone when not.

    Whenever the process dies, ``path`` holds the old content or the new. What processes that were killed left behind is
    removed. The folder is made if need be. A link keeps pointing where it did; a device or a pipe is written to as it is.

    Raises:
        BadInput: when it cannot be written (no room, no permission); FAISS and torch raise RuntimeError for that.
    """
    try:
        target = path.resolve() if path.is_symlink() else path
        if target.is_dir():
            raise BadInput(f"cannot write {path}: it is a folder")
        if target.exists() and not target.is_file():
            yield target
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(target)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.new")
        try:
            yield temporary
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:
        raise BadInput(f"cannot write {path}: {_reason(error)}; what was there is unchanged") from None


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8, whole or not at all.

    Raises:
        BadInput: as ``replacing``.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)
        stream.flush()
        if temporary.is_file():
            os.fsync(stream.fileno())


def check_writable(path: Path) -> None:
    """Raises BadInput now if ``path`` could not be written after hours of work."""
    if path.is_dir():
        raise BadInput(f"cannot write {path}: it is a folder")
    if path.exists() and not path.is_file():
        return
    probe = path.with_name(f".{path.name}.probe")
    try:
        with replacing(probe) as temporary:
            temporary.touch()
        probe.unlink(missing_ok=True)
    except BadInput as error:
        raise BadInput(str(error).replace(str(probe), str(path))) from None


def _remove_leftovers(path: Path) -> None:
    for leftover in path.parent.glob(f".{_literal(path.name)}.*.new"):
        process = leftover.name.split(".")[-2]
        if process.isdecimal() and not _is_running(int(process)):
            leftover.unlink(missing_ok=True)


def _literal(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error) or type(error).__name__).splitlines()[0]
