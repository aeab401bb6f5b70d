"""``Batcher``: a bounded queue of photos in front of the encoder.

Photos are decoded by a few threads, large ones by fewer, so that small ones pass them. Whatever is decoded when the
encoder gets free is encoded at once, whoever sent it. An idle encoder waits a few milliseconds, and only while other
photos are being decoded. Then methods answer, quick ones first, slow ones in turns between which the next batch is encoded.
Encoding and methods run in one thread of their own, so that the event loop stays free and methods need not be safe for
threads.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from irploc.errors import IrplocError
from irploc.localizer.localization import Localization
from irploc.service.answering import (
    Asked,
    Costs,
    Giver,
    Group,
    Job,
    answer,
    decode,
    decode_unless_large,
    encode,
    logged,
)
from irploc.service.metrics import Metrics
from irploc.service.options import Limits
from irploc.service.problems import Problem

logger = logging.getLogger(__name__)
_LONGEST_RETRY_S = 60
_PAUSE_S = 0.1
_DECODE, _DECODE_LARGE, _ENCODE = _THREADS = ("irploc-decode", "irploc-decode-large", "irploc-encode")


class Pace:
    """How long a photo takes, encoding and its method together, by the last dozen of them."""

    def __init__(self) -> None:
        self._worked_s, self._answered = 0.1, 1.0
        self._new_s = 0.0  # of work since photos were answered last

    @property
    def seconds_each(self) -> float:
        """A weighted mean."""
        return (self._worked_s + self._new_s) / self._answered

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While photos are encoded, or methods answer."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._new_s += time.perf_counter() - started

    def answered(self, photos: int) -> None:
        """Photos that are done; what was worked for them counts in full, what came before it less and less."""
        kept = 0.92**photos
        self._worked_s, self._answered = kept * self._worked_s + self._new_s, kept * self._answered + photos
        self._new_s = 0.0


class Batcher:
    """Answers photos, those that arrive together at once. Belongs to one event loop.

    Args:
        limits: ``queue``, ``batch`` and ``batch_wait_ms`` of them.
        metrics: where photos are counted and timed.
    """

    def __init__(self, limits: Limits, metrics: Metrics | None = None) -> None:
        self._limits, self._metrics = limits, metrics or Metrics()
        self._accepted = 0
        self._decoding = 0
        self._ready: list[Job] = []
        self._changed = asyncio.Event()
        self._decoders = ThreadPoolExecutor(min(_cores(), 8), _DECODE)
        self._large_decoders = ThreadPoolExecutor(1 if _cores() < 3 else 2, _DECODE_LARGE)
        self._encoder = ThreadPoolExecutor(1, _ENCODE)
        self._running: asyncio.Task[None] | None = None
        self._pace = Pace()
        self._costs_s: Costs = {}
        self._encoded: list[Group] = []  # that wait for their methods

    def start(self) -> None:
        """Begins to answer; within the event loop."""
        self._running = asyncio.create_task(self._run())

    async def stop(self, grace_s: float = 5.0) -> None:
        """Ends once what was accepted is answered, or after some seconds."""
        end = time.monotonic() + grace_s
        while self._accepted and time.monotonic() < end:
            await asyncio.sleep(0.01)
        if self._running:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
        for threads in (self._decoders, self._large_decoders, self._encoder):
            threads.shutdown(wait=False, cancel_futures=True)

    async def run(self, work: Callable[[], None]) -> None:
        """Something that uses the encoder or a method, between two batches."""
        await asyncio.get_running_loop().run_in_executor(self._encoder, work)

    @property
    def accepted(self) -> int:
        """Photos that are not answered yet."""
        return self._accepted

    def check_room(self, photos: int) -> None:
        """Raises Problem 429, with the seconds after which to try again, where the queue has no room for so many."""
        if self._accepted + photos > self._limits.queue:
            seconds = min(max(math.ceil(self._accepted * self._pace.seconds_each), 1), _LONGEST_RETRY_S)
            raise Problem(
                429,
                "too_busy",
                f"{self._accepted} photos are waiting, with {photos} more they would be over {self._limits.queue}: "
                f"try again in {seconds} s",
                {"Retry-After": str(seconds)},
            )

    async def answer(self, asked: Sequence[Asked]) -> list[Localization | IrplocError]:
        """One answer per photo, in order, an error in the place of each photo that cannot be used.

        Raises:
            Problem: 429 where the queue has no room.
        """
        self.check_room(len(asked))
        self._accepted += len(asked)
        try:
            outcomes = await asyncio.gather(*(self._one(one) for one in asked), return_exceptions=True)
        finally:
            self._accepted -= len(asked)
        answers: list[Localization | IrplocError] = []
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, IrplocError):
                raise outcome
            answers.append(outcome)
            self._metrics.answered(outcome)
        return answers

    async def _one(self, asked: Asked) -> Localization | IrplocError:
        loop = asyncio.get_running_loop()
        self._decoding += 1
        try:
            decoded = await loop.run_in_executor(self._decoders, decode_unless_large, asked)
            if decoded is None:
                decoded = await loop.run_in_executor(self._large_decoders, decode, asked)
        finally:
            self._decoding -= 1
            self._changed.set()
        if decoded.error is not None:
            return decoded.error
        self._metrics.stages.labels("decode").observe(decoded.decode_ms / 1e3)
        job = Job(asked, decoded, loop.create_future())
        self._ready.append(job)
        self._changed.set()
        return await job.future

    async def _run(self) -> None:
        while True:
            try:
                if self._encoded:
                    await self._let_methods_answer()
                if self._ready or not self._encoded:
                    await self._encode_next()
            except Exception:  # a mistake of ours must not keep all later photos waiting for ever
                logger.exception("a batch was lost")
                await asyncio.sleep(_PAUSE_S)

    async def _encode_next(self) -> None:
        """Encodes the next batch, once there is one, and lets its methods answer."""
        batch = await self._next_batch()
        try:
            with self._pace.at_work():
                groups = await asyncio.get_running_loop().run_in_executor(self._encoder, encode, batch, self._giver())
        except Exception as error:
            self._give(batch, [logged(error)] * len(batch))
            return
        self._metrics.batches.observe(len(batch))
        self._encoded += groups
        await self._let_methods_answer()

    async def _let_methods_answer(self) -> None:
        """One turn of those that wait for it."""
        groups, self._encoded = self._encoded, []
        loop = asyncio.get_running_loop()
        try:
            with self._pace.at_work():
                left = await loop.run_in_executor(self._encoder, answer, groups, self._costs_s, self._giver())
        except Exception as error:
            for group in groups:
                self._give(group.jobs, [logged(error)] * len(group.jobs))
        else:
            self._encoded += left

    def _giver(self) -> Giver:
        """Brings outcomes into the event loop."""
        loop = asyncio.get_running_loop()

        def give(jobs: Sequence[Job], outcomes: Sequence[Localization | Exception]) -> None:
            loop.call_soon_threadsafe(self._give, jobs, outcomes)

        return give

    def _give(self, jobs: Sequence[Job], outcomes: Sequence[Localization | Exception]) -> None:
        """Answers to those who still wait for them."""
        self._pace.answered(len(jobs))
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, Localization):
                self._observe(outcome, time.perf_counter() - job.since)
            if job.future.done():
                continue
            if isinstance(outcome, Localization | IrplocError):
                job.future.set_result(outcome)
            else:
                job.future.set_exception(outcome)

    def _observe(self, outcome: Localization, seconds: float) -> None:
        """The stages of a photo that was answered so many seconds after it was decoded; what is none of its own is wait."""
        own = {stage: outcome.timing_ms[stage] / 1e3 for stage in ("encode", "estimate")}
        for stage, taken in {**own, "wait": max(0.0, seconds - sum(own.values()))}.items():
            self._metrics.stages.labels(stage).observe(taken)

    async def _next_batch(self) -> list[Job]:
        """The oldest photo, and those that can be encoded with it; at least one."""
        batch: list[Job] = []
        while not batch:  # whoever sent the photo that was waited with may have left meanwhile
            while not self._oldest_alike():
                self._changed.clear()
                await self._changed.wait()
            await self._wait_for_more()
            batch = self._oldest_alike()[: self._limits.batch]
        taken = set(map(id, batch))
        self._ready = [job for job in self._ready if id(job) not in taken]
        return batch

    async def _wait_for_more(self) -> None:
        """A while, as long as photos are being decoded and the batch has room."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._limits.batch_wait_ms / 1e3
        while self._decoding and len(self._oldest_alike()) < self._limits.batch and (left := end - loop.time()) > 0:
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)

    def _oldest_alike(self) -> list[Job]:
        self._ready = [job for job in self._ready if not job.future.done()]  # of requests that gave up
        return [job for job in self._ready if job.alike == self._ready[0].alike]


def still_working() -> bool:
    """Whether a thread of a queue that was stopped, or whose loop was, goes on; Python's end would wait for it."""
    return any(thread.name.startswith(_THREADS) for thread in threading.enumerate())


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
