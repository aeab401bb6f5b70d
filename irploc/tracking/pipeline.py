"""Frames decoded and their features found ahead of whoever asks for poses."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from irploc.mapping.video import VideoFrame
from irploc.structure.features import FeatureExtractor, LocalFeatures

_AHEAD = 4  # frames a thread


@dataclass(frozen=True)
class Prepared:
    """A frame with its features, and how long they took; None where they were not asked for."""

    frame: VideoFrame
    features: LocalFeatures | None
    features_ms: float


def prepared(
    frames: Iterable[VideoFrame], extractor: FeatureExtractor, every: int = 1, threads: int | None = None
) -> Iterator[Prepared]:
    """The frames in order; features are found by threads, a few frames ahead.

    Args:
        frames: read by a thread of their own.
        extractor: as the map's features were found.
        every: of so many frames, the first one gets features.
        threads: for features; one per core by default, at most 8.
    """
    count = threads or min(os.cpu_count() or 1, 8)
    with ThreadPoolExecutor(count) as pool:
        waiting: deque[Future[Prepared]] = deque()
        try:
            for number, frame in enumerate(_read_ahead(frames, _AHEAD)):
                waiting.append(pool.submit(_prepare, frame, None if number % every else extractor))
                if len(waiting) > every * (count + 1):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _prepare(frame: VideoFrame, extractor: FeatureExtractor | None) -> Prepared:
    if extractor is None:
        return Prepared(frame, None, 0.0)
    started = time.perf_counter()
    features = extractor.extract(frame.pixels)
    return Prepared(frame, features, 1e3 * (time.perf_counter() - started))


def _read_ahead(frames: Iterable[VideoFrame], ahead: int) -> Iterator[VideoFrame]:
    """The frames, read by another thread; what it raises is raised here, and it ends when nobody asks any more."""
    ready: queue.Queue[VideoFrame | BaseException | None] = queue.Queue(ahead)
    over = threading.Event()

    def put(item: VideoFrame | BaseException | None) -> None:
        while not over.is_set():
            with suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return

    def read() -> None:
        try:
            for frame in frames:
                put(frame)
                if over.is_set():
                    break
            put(None)
        except BaseException as error:
            put(error)
        finally:
            if isinstance(frames, Generator):
                frames.close()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        over.set()
        reader.join()
