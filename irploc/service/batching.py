"""``Batcher``: a bounded queue of photos in front of the encoder.

Photos are decoded by a few threads; whatever is decoded when the encoder gets free is encoded at once, whoever sent it.
An idle encoder waits a few milliseconds, and only while other photos are being decoded. Encoding and methods run in one
thread of their own, so that the event loop stays free and methods need not be safe for threads.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field

import numpy as np

from irploc.errors import BadInput, IrplocError, without_frames
from irploc.geometry.cameras import Camera
from irploc.images import EncodedPhoto, decoded_size
from irploc.localizer import Localizer
from irploc.localizer.decoding import DecodedPhoto, decode_photo
from irploc.localizer.localization import Localization
from irploc.localizer.localizer import encode_together, localization_of
from irploc.service.containers import check_container
from irploc.service.metrics import Metrics
from irploc.service.options import Limits
from irploc.service.problems import Problem
from irploc.structure.intrinsics import fitted_to

logger = logging.getLogger(__name__)
_LONGEST_RETRY_S = 60
_PAUSE_S = 0.1
_LARGE_PIXELS = 16_000_000
_LARGE_AT_ONCE = threading.BoundedSemaphore(2)


@dataclass(frozen=True)
class Asked:
    """One photo and who is to answer.

    Attributes:
        photo: as it came.
        localizer: of the scene, method and floor map that were asked for; photos of the same one are estimated together.
        camera: its intrinsics, where the client knows.
        focal_px: its focal length, where a person said so.
    """

    photo: EncodedPhoto
    localizer: Localizer
    camera: Camera | None = None
    focal_px: float | None = None


@dataclass(eq=False)
class _Job:
    """A decoded photo that waits for the encoder."""

    asked: Asked
    decoded: DecodedPhoto
    future: asyncio.Future[Localization | IrplocError]
    since: float = field(default_factory=time.perf_counter)

    @property
    def alike(self) -> tuple[int, tuple[int, ...]]:
        """What must agree for photos to be encoded at once."""
        return id(self.asked.localizer.encoder), self.decoded.shape


_Giver = Callable[[Sequence[_Job], Sequence[Localization | Exception]], None]


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
        self._ready: list[_Job] = []
        self._changed = asyncio.Event()
        self._decoders = ThreadPoolExecutor(min(_cores(), 8), "decode")
        self._encoder = ThreadPoolExecutor(1, "encode")
        self._running: asyncio.Task[None] | None = None
        self._seconds_each = 0.1
        self._costs_s: dict[tuple[str, ...], float] = {}

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
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._encoder.shutdown(wait=False, cancel_futures=True)

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
            seconds = min(max(math.ceil(self._accepted * self._seconds_each), 1), _LONGEST_RETRY_S)
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
            decoded = await loop.run_in_executor(self._decoders, _decoded, asked)
        finally:
            self._decoding -= 1
            self._changed.set()
        if decoded.error is not None:
            return decoded.error
        least = asked.localizer.encoder.minimum_side
        if min(decoded.shape[1:]) < least:
            height, width = decoded.shape[1:]
            return BadInput(f"{decoded.name} is {width}x{height}, at least {least} pixels a side are needed")
        self._metrics.stages.labels("decode").observe(decoded.decode_ms / 1e3)
        job = _Job(asked, decoded, loop.create_future())
        self._ready.append(job)
        self._changed.set()
        return await job.future

    async def _run(self) -> None:
        while True:
            try:
                await self._answer_next()
            except Exception:  # a mistake of ours must not keep all later photos waiting for ever
                logger.exception("a batch was lost")
                await asyncio.sleep(_PAUSE_S)

    async def _answer_next(self) -> None:
        """Answers the next batch, once there is one."""
        loop = asyncio.get_running_loop()
        batch = await self._next_batch()
        started = time.perf_counter()

        def give(jobs: Sequence[_Job], outcomes: Sequence[Localization | Exception]) -> None:
            loop.call_soon_threadsafe(self._give, jobs, outcomes)

        try:
            await loop.run_in_executor(self._encoder, _answer, batch, self._costs_s, give)
        except Exception as error:
            self._give(batch, [_logged(error)] * len(batch))
        each = (time.perf_counter() - started) / len(batch)
        self._seconds_each += 0.1 * (each - self._seconds_each)
        self._metrics.batches.observe(len(batch))

    def _give(self, jobs: Sequence[_Job], outcomes: Sequence[Localization | Exception]) -> None:
        """Answers to those who still wait for them."""
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

    async def _next_batch(self) -> list[_Job]:
        """The oldest photo, and those that can be encoded with it; at least one."""
        batch: list[_Job] = []
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

    def _oldest_alike(self) -> list[_Job]:
        self._ready = [job for job in self._ready if not job.future.done()]  # of requests that gave up
        return [job for job in self._ready if job.alike == self._ready[0].alike]


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _decoded(asked: Asked) -> DecodedPhoto:
    """A photo decoded and reduced, or with the error in its place; of large ones no more than two at once are in memory in
    full size."""
    photo = asked.photo
    try:
        check_container(photo.name, photo.content)
        size = decoded_size(photo)
        if asked.camera is not None and fitted_to(asked.camera, size) is None:
            theirs = f"{asked.camera.width}x{asked.camera.height}"
            raise BadInput(f"{photo.name} is {size[0]}x{size[1]}, the camera that came with it takes photos of {theirs}")
    except IrplocError as error:
        return DecodedPhoto(photo.name, np.zeros((3, 0, 0), dtype=np.uint8), 0.0, photo, without_frames(error))
    with _LARGE_AT_ONCE if size[0] * size[1] > _LARGE_PIXELS else nullcontext():
        return decode_photo(photo, photo.name, asked.localizer.max_side)


def _answer(batch: Sequence[_Job], costs_s: dict[tuple[str, ...], float], give: _Giver) -> None:
    """Encodes photos together and gives each its outcome, an error to those that could not be answered.

    Args:
        batch: photos of one shape for one encoder.
        costs_s: methods -> seconds that a photo of theirs took last time; those that are quick are answered first.
        give: takes photos and their outcomes, as soon as they are there.
    """
    started = time.perf_counter()
    encoded = list(zip(batch, _encoded(batch), strict=True))
    encode_ms = 1e3 * (time.perf_counter() - started) / len(batch)
    groups: dict[tuple[int, float | None], list[tuple[_Job, np.ndarray]]] = {}
    for job, vector in encoded:
        if isinstance(vector, Exception):
            give([job], [vector])
        else:
            groups.setdefault((id(job.asked.localizer), job.asked.focal_px), []).append((job, vector))
    by_methods = [(_methods(members[0][0].asked.localizer), members) for members in groups.values()]
    for methods, members in sorted(by_methods, key=lambda group: costs_s.get(group[0], 0.0)):
        started = time.perf_counter()
        jobs = [job for job, _ in members]
        give(jobs, _estimated_apart(jobs, np.stack([vector for _, vector in members]), encode_ms))
        costs_s[methods] = (time.perf_counter() - started) / len(jobs)


def _methods(localizer: Localizer) -> tuple[str, ...]:
    return tuple(sorted({served.method for served in localizer.scenes}))


def _encoded(batch: Sequence[_Job]) -> list[np.ndarray | Exception]:
    """(D,) of each photo. A batch that fails is halved, so that it fits into memory and nobody pays for another's photo."""
    try:
        return list(encode_together(batch[0].asked.localizer.encoder, [job.decoded for job in batch]))
    except Exception as error:
        if len(batch) > 1:
            half = len(batch) // 2
            return _encoded(batch[:half]) + _encoded(batch[half:])
        return [_logged(error)]


def _estimated_apart(jobs: Sequence[_Job], embeddings: np.ndarray, encode_ms: float) -> Sequence[Localization | Exception]:
    """As ``_estimated``; what fails together is tried one by one."""
    try:
        return _estimated(jobs, embeddings, encode_ms)
    except Exception as error:
        if len(jobs) > 1:
            each = (_estimated_apart([job], embeddings[[row]], encode_ms) for row, job in enumerate(jobs))
            return [outcome for outcomes in each for outcome in outcomes]
        return [_logged(error)]


def _logged(error: Exception) -> Exception:
    """The error, without frames; one that is a mistake of ours, or of the machine, is in the log then."""
    if not isinstance(error, IrplocError):
        logger.error("a photo could not be answered", exc_info=error)
    return without_frames(error)


def _estimated(jobs: Sequence[_Job], embeddings: np.ndarray, encode_ms: float) -> list[Localization]:
    started = time.perf_counter()
    answers = jobs[0].asked.localizer.estimate(
        embeddings,
        [job.decoded.source for job in jobs],
        [job.asked.camera for job in jobs],
        [job.decoded.in_full_size for job in jobs],
        jobs[0].asked.focal_px,
    )
    estimate_ms = 1e3 * (time.perf_counter() - started) / len(jobs)
    return [localization_of(job.decoded, answer, encode_ms, estimate_ms) for job, answer in zip(jobs, answers, strict=True)]
