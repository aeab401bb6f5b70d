"""``--keep-uploads``: photos that were answered, each with its answer beside it, under names of ours."""

from __future__ import annotations

import json
import logging
import os
import secrets
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from irploc.errors import BadInput
from irploc.images import EncodedPhoto
from irploc.service.options import MEGABYTE

logger = logging.getLogger(__name__)
_PATTERN = "[0-9]*T[0-9]*Z-*"
_SUFFIX_OF = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"RI": ".webp"}  # what can be answered begins with one of them


class Keeper:
    """Writes into one folder until it is full; what was kept is never deleted. Safe for threads.

    Args:
        folder: made for this user alone where it is not there.
        most_bytes: of photos and answers; beyond it photos are answered and not kept.

    Raises:
        BadInput: when the folder cannot be used.

    Attributes:
        kept, full, failed: photos that were written, that found no room, and that could not be written.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder, self._most_bytes = folder, most_bytes
        self._lock = threading.Lock()
        self.kept = self.full = self.failed = 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._bytes = sum(path.stat().st_size for path in folder.glob(_PATTERN))
        except OSError as error:
            raise BadInput(f"cannot keep uploads in {folder}: {error.strerror or error}") from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise BadInput(f"cannot keep uploads in {folder}: it may not be written")

    def keep(self, photos: Sequence[EncodedPhoto], answers: Sequence[dict[str, Any]]) -> None:
        """Keeps photos with their answers; what goes wrong is logged, since the answers were given all the same."""
        for photo, answer in zip(photos, answers, strict=True):
            text = f"{json.dumps(answer)}\n".encode()
            if not self._has_room(len(photo.content) + len(text)):
                continue
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}"
            try:
                self._write(f"{name}{_suffix(photo.content)}", photo.content)
                self._write(f"{name}.json", text)  # last: a photo with an answer beside it is whole
            except OSError as error:
                with self._lock:
                    self.failed += 1
                logger.error("an upload could not be kept in %s: %s", self._folder, error.strerror or error)
            else:
                with self._lock:
                    self.kept += 1

    def _has_room(self, size: int) -> bool:
        with self._lock:
            if not self.full and self._bytes + size <= self._most_bytes:  # once full, it stays so: no gaps
                self._bytes += size
                return True
            self.full += 1
            first = self.full == 1
        if first:
            words = "%s is full: the next photo did not fit into %g MB, uploads are not kept any more"
            logger.warning(words, self._folder, self._most_bytes / MEGABYTE)
        return False

    def _write(self, name: str, content: bytes) -> None:
        temporary = self._folder / f".{name}.new"
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                stream.write(content)
            temporary.replace(self._folder / name)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def _suffix(content: bytes) -> str:
    return _SUFFIX_OF[content[:2]]
