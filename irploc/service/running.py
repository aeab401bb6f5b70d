"""The process: uvicorn, its signals, and its end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import uvicorn

from irploc.service.app import create_app
from irploc.service.hosting import HostingOptions
from irploc.service.options import ServiceOptions


def run(
    hosting: HostingOptions,
    options: ServiceOptions,
    host: str,
    port: int,
    tell: Callable[[str], None],
    grace_s: float = 30.0,
) -> None:
    """Serves until SIGINT or SIGTERM; then what was accepted is finished, for ``grace_s`` seconds at most.

    Raises:
        NotFound, BadInput, Mismatch: when the scenes cannot be loaded.
    """
    failures: list[Exception] = []

    def ended(error: Exception | None) -> None:
        if error is not None:
            failures.append(error)
            server.should_exit = True
            return
        tell(f"serving on http://{host}:{port}")

    app = create_app(hosting, options, ended)
    config = uvicorn.Config(
        app, host=host, port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=int(grace_s)
    )
    server = uvicorn.Server(config)
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal again once it has ended
        server.run()
    if failures:
        raise failures[0]
