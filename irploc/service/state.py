"""What a running service holds; routes find it in ``request.app.state.service``."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request

from irploc.errors import IrplocError
from irploc.service.batching import Batcher
from irploc.service.hosting import Hosting, HostingOptions
from irploc.service.keeping import Keeper
from irploc.service.loading import Loaded, bound, changes, load_hosting, reload_scene, warm
from irploc.service.metrics import Metrics
from irploc.service.options import ServiceOptions
from irploc.service.problems import Problem
from irploc.service.uploads import Received

logger = logging.getLogger(__name__)
_LOADING = "loading"
_Result = TypeVar("_Result")


@dataclass
class Service:
    """One process's scenes and queue.

    Attributes:
        options, hosting_options: as the operator chose.
        batcher: the queue.
        keeper: of uploads; None where none are kept.
        hosting: None until the scenes are loaded.
        metrics: what is counted.
        received: counts the bytes of uploads.
    """

    options: ServiceOptions
    hosting_options: HostingOptions
    batcher: Batcher
    keeper: Keeper | None = None
    hosting: Hosting | None = None
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self._loading = asyncio.Lock()
        self.received = Received(self.options.limits.received_bytes)
        self.metrics.watch(lambda: self.batcher.accepted, lambda: self.received.in_memory)
        if (keeper := self.keeper) is not None:
            self.metrics.watch_kept(kept=lambda: keeper.kept, full=lambda: keeper.full, failed=lambda: keeper.failed)

    @property
    def ready(self) -> Hosting:
        """The scenes; raises Problem 503 until they are loaded."""
        if self.hosting is None:
            raise Problem(503, "not_ready", "the scenes are being loaded", {"Retry-After": "2"})
        return self.hosting

    @property
    def is_loading(self) -> bool:
        """Whether scenes are being read at this moment."""
        return self._loading.locked()

    async def load(self) -> None:
        """Loads the scenes beside the event loop; raises as ``load_hosting``."""
        async with self._loading:
            self.hosting_options = await beside_the_loop(bound, self.hosting_options)
            await self._take((await beside_the_loop(load_hosting, self.hosting_options)).hosting)

    async def loaded(self) -> None:
        """Once no scenes are being read."""
        async with self._loading:
            pass

    async def reload(self, name: str) -> None:
        """Reads a scene again while the old one answers; requests in flight end with the old one.

        Raises:
            NotFound, BadInput, Mismatch: when it cannot be loaded; the old one stays.
        """
        async with self._loading:
            with self._failures_counted():
                fresh = await beside_the_loop(reload_scene, self.hosting_options, self.ready, name)
                await self._take(self.ready.replaced(fresh))
            self.metrics.reloads.labels("ok").inc()

    async def reload_all(self) -> Loaded:
        """Reads every scene again, with those that came into the workspace; what cannot be read stays as it was.

        Raises:
            NotFound, BadInput: when nothing can be read.
        """
        async with self._loading:
            with self._failures_counted():
                loaded = await beside_the_loop(load_hosting, self.hosting_options, self.ready)
                await self._take(loaded.hosting)
            self.metrics.reloads.labels("ok").inc(len(loaded.read))
            self.metrics.reloads.labels("failed").inc(len(loaded.failed))
        return loaded

    @contextmanager
    def _failures_counted(self) -> Iterator[None]:
        try:
            yield
        except IrplocError:
            self.metrics.reloads.labels("failed").inc()
            raise

    async def _take(self, hosting: Hosting) -> None:
        """Lets scenes answer, those that are new once every method of theirs was asked."""
        before = {} if self.hosting is None else self.hosting.scenes
        for hosted in hosting:
            if before.get(hosted.name) is not hosted:
                await self.batcher.run(partial(warm, hosted))
        if self.hosting is not None:
            _tell_changes(self.hosting, hosting)
        self.hosting = hosting
        self.metrics.loaded({hosted.name: len(hosted.place.index.frames) for hosted in hosting})


def _tell_changes(before: Hosting, now: Hosting) -> None:
    for hosted in now:
        if told := changes(before.scenes.get(hosted.name), hosted):
            logger.warning("%s: %s", hosted.name, "; ".join(told))
    for name in before.scenes:
        if name not in now.scenes:
            logger.warning("%s: gone, it is not answered for any more", name)
    if before.comparable and not now.comparable:
        logger.warning("requests must name their scene now: %s were embedded in different ways", ", ".join(now.scenes))


async def beside_the_loop(work: Callable[..., _Result], *arguments: Any) -> _Result:
    """What a slow function gives, run by a thread that does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[_Result] = loop.create_future()

    def finish(give: Callable[[Any], None], value: Any) -> None:
        def give_once() -> None:
            if not found.done():
                give(value)

        with suppress(RuntimeError):  # the loop has ended, nobody waits any more
            loop.call_soon_threadsafe(give_once)

    def run() -> None:
        try:
            result = work(*arguments)
        except Exception as error:
            finish(found.set_exception, error)
        else:
            finish(found.set_result, result)

    threading.Thread(target=run, daemon=True, name=_LOADING).start()
    return await found


def still_loading() -> bool:
    """Whether a thread still reads scenes; Python's end would stop it within C++ code, which ends the process by SIGABRT."""
    return any(thread.name == _LOADING for thread in threading.enumerate())


def service_of(request: Request) -> Service:
    """The service that a request came to."""
    service: Service = request.app.state.service
    return service
