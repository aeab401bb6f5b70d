"""What a running service holds; routes find it in ``request.app.state.service``."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.requests import Request

from irploc.service.batching import Batcher
from irploc.service.hosting import Hosting, HostingOptions, load_hosting, reload_scene
from irploc.service.keeping import Keeper
from irploc.service.options import ServiceOptions
from irploc.service.problems import Problem
from irploc.service.uploads import Received


@dataclass
class Service:
    """One process's scenes and queue.

    Attributes:
        options, hosting_options: as the operator chose.
        batcher: the queue.
        keeper: of uploads; None where none are kept.
        hosting: None until the scenes are loaded.
        received: counts the bytes of uploads.
    """

    options: ServiceOptions
    hosting_options: HostingOptions
    batcher: Batcher
    keeper: Keeper | None = None
    hosting: Hosting | None = None

    def __post_init__(self) -> None:
        self._loading = asyncio.Lock()
        self.received = Received(self.options.limits.received_bytes)

    @property
    def ready(self) -> Hosting:
        """The scenes; raises Problem 503 until they are loaded."""
        if self.hosting is None:
            raise Problem(503, "not_ready", "the scenes are being loaded", {"Retry-After": "2"})
        return self.hosting

    async def load(self) -> None:
        """Loads the scenes in a thread; raises as ``load_hosting``."""
        async with self._loading:
            self.hosting = await asyncio.to_thread(load_hosting, self.hosting_options)

    async def reload(self, name: str) -> None:
        """Reads a scene again while the old one answers; requests in flight end with the old one.

        Raises:
            NotFound, BadInput, Mismatch: when it cannot be loaded; the old one stays.
        """
        async with self._loading:
            self.hosting = await asyncio.to_thread(reload_scene, self.hosting_options, self.ready, name)


def service_of(request: Request) -> Service:
    """The service that a request came to."""
    service: Service = request.app.state.service
    return service
