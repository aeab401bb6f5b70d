"""The process: its address, signals and log, and its end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import uvicorn
from fastapi import FastAPI

from irploc.errors import BadInput, IrplocError
from irploc.pycolmap_safe import import_pycolmap
from irploc.service.app import create_app
from irploc.service.batching import still_working
from irploc.service.heads import ShortHeads
from irploc.service.heaps import settle, share_heaps
from irploc.service.hosting import Hosting, HostingOptions
from irploc.service.options import ServiceOptions
from irploc.service.state import Service, still_loading

logger = logging.getLogger(__name__)
_BACKLOG = 2048
_ALL_ADDRESSES = ("0.0.0.0", "::")
_LOGGED = "%(asctime)s %(levelname)s %(message)s"


def run(
    hosting: HostingOptions,
    options: ServiceOptions,
    host: str,
    port: int,
    tell: Callable[[str], None],
    grace_s: float = 30.0,
    log_requests: bool = True,
) -> None:
    """Serves until SIGINT or SIGTERM; then what was accepted is finished, for ``grace_s`` seconds at most. A second Ctrl-C
    ends at once. SIGHUP reads the scenes again.

    Args:
        hosting, options: what is served, and how.
        host, port: to listen on; port 0 takes a free one.
        tell: shows a line to whoever started the service.
        grace_s: see above.
        log_requests: whether each request leaves a line in the log.

    Raises:
        BadInput: when the address cannot be had. NotFound, BadInput, Mismatch: when the scenes cannot be loaded.
    """
    _log_to_stderr(log_requests)
    _allow_connections()
    share_heaps()
    import_pycolmap()  # in this thread and now: on import it takes the signals, which only the main thread can give back
    failures: list[Exception] = []
    started = time.perf_counter()
    with _listening(host, port) as listener:
        address = _address(host, listener)

        def ended(error: Exception | None) -> None:
            if error is not None:
                failures.append(error)
                server.should_exit = True
                return
            settle()
            service: Service = app.state.service
            for line in _greeting(service.ready):
                tell(line)
            taken_s = time.perf_counter() - started
            tell(f"process {os.getpid()}, ready after {taken_s:.0f} s: {_to_open(host, address)}")

        app = create_app(hosting, options, ended)
        server = _Server(_config(app, grace_s), app)
        with suppress(KeyboardInterrupt):  # uvicorn raises the signal again once it has ended
            server.run(sockets=[listener])
    if failures:
        raise failures[0]
    if still_loading() or still_working():
        _end_now()


def _end_now() -> None:
    """Without waiting for threads; what is written down is kept."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


class _Server(uvicorn.Server):
    """Reads the scenes again on SIGHUP, where there is such a signal; says what is left to do when a signal ends it."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app
        self._reloading: asyncio.Task[None] | None = None
        self._asked_to_reload = self._asked_to_end = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Once the loop runs."""
        await super().startup(sockets)
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hang_up)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """By SIGINT and SIGTERM; within a signal handler nothing may be logged."""
        self._asked_to_end = True
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """What was accepted is finished."""
        if self._asked_to_end:
            left = self._app.state.service.batcher.accepted
            logger.info("ending, %d photo%s still to be answered", left, " is" if left == 1 else "s are")
        await super().shutdown(sockets)

    def _hang_up(self) -> None:
        self._asked_to_reload = True
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.create_task(self._reload())

    async def _reload(self) -> None:
        """As often as it was asked for: what came into the workspace during one reading is in the next."""
        service: Service = self._app.state.service
        while self._asked_to_reload:
            await service.loaded()
            self._asked_to_reload = False
            if service.hosting is None:  # the first reading failed, which ends the process
                return
            logger.info("reading scenes again")
            try:
                loaded = await service.reload_all()
            except IrplocError as error:
                logger.error("nothing was reloaded: %s", error)
            except Exception:
                logger.exception("nothing was reloaded")
            else:
                for name, reason in loaded.failed.items():
                    logger.error("%s was not reloaded: %s", name, reason)
                logger.info("reloaded: %s", ", ".join(loaded.read) or "none")


def _config(app: FastAPI, grace_s: float) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=ShortHeads,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(grace_s)),
        timeout_keep_alive=30,
        backlog=_BACKLOG,
    )


def _allow_connections() -> None:
    """As many as this process may have; the limit that shells set is for old programs."""
    with suppress(ImportError, ValueError, OSError):
        import resource  # not on Windows

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _log_to_stderr(log_requests: bool) -> None:
    """One line an event; of uvicorn only what is wrong."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_LOGGED))
    root = logging.getLogger("irploc")
    root.handlers, root.propagate = [handler], False
    root.setLevel(logging.INFO)
    logging.getLogger("irploc.service.access").setLevel(logging.INFO if log_requests else logging.WARNING)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # what it warns of is in the answer
    for name in ("uvicorn", "uvicorn.error", "asyncio"):
        theirs = logging.getLogger(name)
        theirs.handlers, theirs.propagate = [handler], False
        theirs.setLevel(logging.WARNING)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that takes connections, closed at the end.

    Raises:
        BadInput: for an address that is in use, or is none of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError) as error:
        known = isinstance(error, OSError) and not isinstance(error, socket.gaierror) and error.errno
        reason = os.strerror(known).lower() if known else "no such address"
        raise BadInput(f"cannot listen on {host} port {port}: {reason}; choose others by --host and --port") from None
    try:
        yield listener
    finally:
        listener.close()


def _address(host: str, listener: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def _to_open(host: str, address: str) -> str:
    """Where page and API are; an address that stands for all of this machine's is none that others can use."""
    words = f"{address}/ is the page, {address}/docs the API"
    return f"{words}; other machines use this one's name instead of {host}" if host in _ALL_ADDRESSES else words


def _greeting(hosting: Hosting) -> Iterator[str]:
    for hosted in hosting:
        floors = f"; floor maps {', '.join(hosted.floor_maps)}" if hosted.floor_maps else ""
        others = ", ".join(method for method in hosted.served if method != hosted.default_method)
        yield (
            f"{hosted.name}: {len(hosted.place.index.frames)} mapping photos, answers by {hosted.default_method}"
            f"{f' (or {others})' if others else ''}{floors}"
        )
        for method, reason in hosted.skipped.items():
            yield f"{hosted.name}: without {method}: {reason}"
