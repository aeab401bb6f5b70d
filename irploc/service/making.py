"""Answers that are made once of a loaded scene, beside the event loop, and kept as long as it is."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from starlette.requests import Request
from starlette.responses import Response

from irploc.service.hosting import HostedScene
from irploc.service.problems import Problem
from irploc.service.scene_data import photo_files

_KEPT_THUMBNAILS = 300
_AT_ONCE = 2  # of one scene: the rest of the processor is for those who localize
_MOST_WAITING = 100  # beyond them nobody would wait long enough, and a client that asks for all keeps the others waiting


@dataclass(frozen=True)
class Made:
    """A body and what names its version."""

    content: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, content: bytes, media_type: str) -> Made:
        """With the etag that its bytes have."""
        return cls(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:24]}"')

    def answer(self, request: Request) -> Response:
        """The body, or 304 to a client that has it."""
        headers = {"ETag": self.etag, "Cache-Control": "private, no-cache"}  # kept, and asked after: scenes are read again
        if names_tag(request.headers.get("if-none-match", ""), self.etag):
            return Response(status_code=304, headers=headers)
        return Response(self.content, media_type=self.media_type, headers=headers)


def names_tag(asked: str, etag: str) -> bool:
    """Whether an ``If-None-Match`` names the version that an answer would have."""
    named = [one.strip().removeprefix("W/") for one in asked.split(",")]
    return "*" in named or etag in named


class Maker:
    """Makes things once, however many ask at the same time; belongs to one event loop.

    Args:
        most: things that are kept, those asked for last; None keeps all.
        at_once: how many are made at the same time.
    """

    def __init__(self, most: int | None = None, at_once: int = _AT_ONCE) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, Made] = OrderedDict()
        self._making: dict[Hashable, asyncio.Task[Made]] = {}
        self._room = asyncio.Semaphore(at_once)

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, key: Hashable, make: Callable[[], bytes], media_type: str) -> Made:
        """What is kept under a key, else what ``make`` gives; raises what ``make`` raises, which is not kept.

        Raises:
            Problem: 429 where too many are being made already.
        """
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        if key not in self._making:
            if len(self._making) >= _MOST_WAITING:
                raise Problem(429, "too_busy", "too many others are being made: try again in 1 s", {"Retry-After": "1"})
            self._making[key] = asyncio.create_task(self._make(key, make, media_type))
        return await asyncio.shield(self._making[key])

    async def _make(self, key: Hashable, make: Callable[[], bytes], media_type: str) -> Made:
        try:
            async with self._room:
                made = Made.of(await asyncio.to_thread(make), media_type)
        finally:
            del self._making[key]
        self._kept[key] = made
        if self._most is not None and len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return made


class Shown:
    """What was made of one scene; holds nothing of the scene itself, so that one that was replaced is freed."""

    def __init__(self, photos: Mapping[str, Path]) -> None:
        self.photos = photos
        self.documents, self.thumbnails = Maker(), Maker(_KEPT_THUMBNAILS)


_SHOWN: WeakKeyDictionary[HostedScene, Shown] = WeakKeyDictionary()


def shown_of(hosted: HostedScene) -> Shown:
    """What was made of a scene so far."""
    shown = _SHOWN.get(hosted)
    if shown is None:
        shown = _SHOWN[hosted] = Shown(photo_files(hosted))
    return shown
