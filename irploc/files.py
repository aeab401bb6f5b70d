"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from irploc.errors import BadInput

_OLD_SECONDS = 3600.0


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends well, and is gone when not.

    Whenever the process dies, ``path`` holds the old content or the new. What processes that were killed left behind is
    removed. The folder is made if need be. A link keeps pointing where it did; a device or a pipe is written to as it is.

    Raises:
        BadInput: when it cannot be written (no room, no permission).
    """
    try:
        if path.is_dir():
            raise BadInput(f"cannot write {path}: it is a folder")
        if is_stream(path):
            yield path
            return
        target = path.resolve() if path.is_symlink() else path
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "it may not be written")
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(target)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.new")
        try:
            yield temporary
            if target.exists():
                shutil.copymode(target, temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(f"cannot write {path}: {_reason(error)}; what was there is unchanged") from None


@contextmanager
def runtime_errors_of_the_disk() -> Iterator[None]:
    """FAISS and torch raise RuntimeError where a write fails; makes it the OSError that it is. Wrap their call alone."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(str(error).splitlines()[0] if str(error) else "the write failed") from error


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8, whole or not at all.

    Raises:
        BadInput: as ``replacing``.
    """
    mode = "a" if is_stream(path) else "w"  # a redirected /dev/stdout holds what was printed before
    with replacing(path) as temporary, temporary.open(mode, encoding="utf-8", newline="\n") as stream:
        stream.write(text)
        stream.flush()
        if mode == "w":
            os.fsync(stream.fileno())


def check_writable(path: Path) -> None:
    """Raises BadInput now if ``path`` could not be written after hours of work."""
    if path.is_dir():
        raise BadInput(f"cannot write {path}: it is a folder")
    if is_stream(path):
        return
    target = path.resolve() if path.is_symlink() else path
    if target.exists() and not os.access(target, os.W_OK):
        raise BadInput(f"cannot write {path}: it may not be written")
    probe = target.with_name(f".{target.name}.probe")
    try:
        with replacing(probe) as temporary:
            temporary.touch()
        probe.unlink(missing_ok=True)
    except BadInput as error:
        raise BadInput(str(error).replace(str(probe), str(path))) from None


def is_stream(path: Path) -> bool:
    """Whether it is a device or a pipe, or a name for one (``/dev/stdout``), which cannot be replaced."""
    return path.absolute().parts[1:2] in (("dev",), ("proc",)) or (path.exists() and not path.is_file())


def _remove_leftovers(path: Path) -> None:
    """Those of processes that have ended, if old enough not to be another machine's."""
    for leftover in path.parent.glob(f".{_literal(path.name)}.*.new"):
        with suppress(OSError, OverflowError):
            process = leftover.name.split(".")[-2]
            old = time.time() - leftover.stat().st_mtime > _OLD_SECONDS
            if old and process.isdecimal() and not _is_running(int(process)):
                leftover.unlink()


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
