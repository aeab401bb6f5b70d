"""What is counted and timed, for Prometheus; and a line in the log for every request.

Labels have few values: routes, loaded scenes and methods, statuses. Nothing in them comes from clients.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from irploc.errors import IrplocError
from irploc.localizer.localization import Localization
from irploc.service.uploads import shown

access_logger = logging.getLogger("irploc.service.access")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0)
_METHODS = ("GET", "HEAD", "POST", "OPTIONS")
STAGES = ("decode", "wait", "encode", "estimate")


class Metrics:
    """One application's, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry, "namespace": "irploc"}
        self.requests = Counter("requests", "Requests answered.", ("route", "method", "status"), **own)
        self.problems = Counter("problems", "Requests refused or failed, by the code of their problem.", ("code",), **own)
        self.seconds = Histogram(
            "request_seconds", "From a request's arrival to its answer.", ("route",), buckets=_SECONDS, **own
        )
        self.photos = Counter("photos", "Photos answered or refused.", ("scene", "method", "status"), **own)
        self.stages = Histogram("stage_seconds", "Of one photo.", ("stage",), buckets=_SECONDS, **own)
        self.batches = Histogram(
            "batch_photos", "Photos that were encoded at once.", buckets=(1, 2, 4, 8, 16, 32, 64), **own
        )
        self.queue = Gauge("queue_photos", "Photos accepted and not answered yet.", **own)
        self.received = Gauge("received_bytes", "Of uploads in memory.", **own)
        self.kept = Gauge("kept_uploads", "Answered photos that were to be kept, since the start.", ("result",), **own)
        self.ready = Gauge("ready", "1 once the scenes are loaded.", **own)
        self.reloads = Counter("reloads", "Scenes read again.", ("result",), **own)
        self.mapping_photos = Gauge("scene_mapping_photos", "Mapping photos of a loaded scene.", ("scene",), **own)
        ProcessCollector(registry=self.registry)
        for stage in STAGES:
            self.stages.labels(stage)

    def text(self) -> bytes:
        """As Prometheus reads it (``CONTENT_TYPE_LATEST``)."""
        return generate_latest(self.registry)

    def answered(self, outcome: Localization | IrplocError) -> None:
        """Counts a photo."""
        if isinstance(outcome, IrplocError):
            self.photos.labels("", "", "refused").inc()
        else:
            self.photos.labels(outcome.scene, outcome.method, outcome.status).inc()

    def watch(self, queue: Callable[[], float], received: Callable[[], float]) -> None:
        """Where the lengths of queues are read when somebody asks."""
        self.queue.set_function(queue)
        self.received.set_function(received)

    def watch_kept(self, **counts: Callable[[], float]) -> None:
        """Where it is read what became of photos that were to be kept, by result."""
        for result, count in counts.items():
            self.kept.labels(result).set_function(count)

    def loaded(self, photos: dict[str, int]) -> None:
        """Which scenes answer, with their numbers of mapping photos."""
        self.ready.set(1)
        self.mapping_photos.clear()
        for scene, count in photos.items():
            self.mapping_photos.labels(scene).set(count)


class Observed:
    """Counts, times and logs every request."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Of HTTP; the rest passes. A request that nobody answered, since its client left, has the status 499.

        Its time ends with the last of the answer's content: not with work after it, or what its client still sends.
        """
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope.setdefault("state", {})  # shared with the copies of the scope that others pass on
        started, ended, status = time.perf_counter(), None, 499

        async def noted(message: Message) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)
            if message["type"] == "http.response.start" or message.get("body"):
                ended = time.perf_counter()

        try:
            await self.app(scope, receive, noted)
        finally:
            self._note(scope, status, (ended or time.perf_counter()) - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.metrics.requests.labels(route, method, str(status)).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        state = scope.get("state", {})
        photos = state.get("photos")
        if "problem" in state:
            self.metrics.problems.labels(state["problem"]).inc()
        access_logger.info(
            "%s %s %d %.0f ms%s %s",
            method,
            shown(scope["path"]),
            status,
            1e3 * seconds,
            "" if photos is None else f" {photos} photo{'s' if photos != 1 else ''}",
            state.get("request_id", ""),
        )
