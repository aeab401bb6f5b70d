"""A batcher by itself, with an encoder that notes what it is given; no HTTP."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from tiny_place import TinyEncoder

from irploc.errors import IrplocError
from irploc.localizer import Localizer
from irploc.localizer.localization import Localization
from irploc.service import answering
from irploc.service.batching import Batcher
from irploc.service.hosting import Hosting
from irploc.service.options import Limits


@dataclass
class Recording(TinyEncoder):
    """Notes the shape of every batch; may be slow, short of memory, or wait until it may go on."""

    pause_s: float = 0.0
    most: int = 1000
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    may_go_on: threading.Event | None = None

    def __post_init__(self) -> None:
        super().__init__(self.pause_s)

    def encode(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        if len(images_BCHW) > self.most:
            raise MemoryError("no room")
        self.shapes.append(tuple(images_BCHW.shape))
        assert self.may_go_on is None or self.may_go_on.wait(10)
        return super().encode(images_BCHW)


def localizer_of(hosting: Hosting, encoder: TinyEncoder, method: str | None = None) -> Localizer:
    """Of the only scene."""
    return Localizer(hosting.localizer(None, method, None).scenes, encoder)


@asynccontextmanager
async def running(limits: Limits | None = None) -> AsyncIterator[Batcher]:
    """A batcher between its start and its stop."""
    batcher = Batcher(limits or Limits())
    batcher.start()
    try:
        yield batcher
    finally:
        await batcher.stop()


def poses(answers: list[Localization | IrplocError]) -> list[list[float]]:
    """Positions of those that were located."""
    return [answer.pose.centers_m[0].tolist() for answer in answers if isinstance(answer, Localization)]


async def until(true: Callable[[], object]) -> None:
    """Waits for something, ten seconds at most."""
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.002)


def decode_slowly(monkeypatch: pytest.MonkeyPatch, slow: str, seconds: float) -> None:
    """Photos of one name take longer to decode than others."""
    decode = answering.decode_photo

    def slowly(photo: Any, name: str, max_side: int | None) -> Any:
        time.sleep(seconds if name == slow else 0)
        return decode(photo, name, max_side)

    monkeypatch.setattr(answering, "decode_photo", slowly)
