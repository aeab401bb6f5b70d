"""The FastAPI application: routes, errors in one form, and what happens at start and end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from irploc.errors import IrplocError
from irploc.service.batching import Batcher
from irploc.service.description import TAGS, describe
from irploc.service.guard import guards
from irploc.service.heaps import give_back_regularly
from irploc.service.hosting import HostingOptions
from irploc.service.keeping import Keeper
from irploc.service.metrics import Metrics, Observed
from irploc.service.options import MEGABYTE, ServiceOptions
from irploc.service.problems import Problem, answer_of, of_request
from irploc.service.routes import admin, docs, localize, page, probes, scenes
from irploc.service.state import Service
from irploc.service.uploads import shown

logger = logging.getLogger(__name__)


def create_app(
    hosting: HostingOptions, options: ServiceOptions | None = None, ended: Callable[[Exception | None], None] | None = None
) -> FastAPI:
    """The application; it loads its scenes when it is started, and is ready when they are.

    Args:
        hosting: what to load.
        options: limits and access.
        ended: called when loading has ended, with what went wrong or None.

    Raises:
        BadInput: when the folder for uploads cannot be used.
    """
    chosen = options or ServiceOptions()
    metrics = Metrics()
    middleware = [Middleware(Observed, metrics=metrics), *guards(chosen)]
    keeper = Keeper(chosen.keep_uploads, int(chosen.keep_mb * MEGABYTE)) if chosen.keep_uploads else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = Service(chosen, hosting, Batcher(chosen.limits, metrics), keeper, metrics=metrics)
        app.state.service = service
        service.batcher.start()
        beside = [asyncio.create_task(_load(service, ended)), asyncio.create_task(give_back_regularly())]
        yield
        for task in beside:
            task.cancel()
        await service.batcher.stop()

    app = FastAPI(
        title="irploc",
        version=version("irploc"),
        summary="Where in a mapped place was this photo taken?",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_tags=TAGS,
        middleware=middleware,
    )
    for routes in (localize, scenes, admin, probes, page, docs):
        app.include_router(routes.router)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(IrplocError, _irploc_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    describe(app, chosen.token is not None, chosen.limits.images)
    return app


async def _load(service: Service, ended: Callable[[Exception | None], None] | None) -> None:
    try:
        await service.load()
    except Exception as error:
        if ended is None:
            raise
        ended(error)
    else:
        if ended is not None:
            ended(None)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return answer_of(error, request.scope)


async def _irploc_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, IrplocError)
    return answer_of(of_request(error), request.scope)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 404:
        problem = Problem(404, "not_found", f"there is nothing at {shown(request.url.path)}")
    elif error.status_code == 405:
        allowed = {*headers.get("Allow", "").split(", "), "OPTIONS"} - {""}
        headers["Allow"] = ", ".join(sorted(allowed | ({"HEAD"} if "GET" in allowed else set())))
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
        problem = Problem(405, "method_not_allowed", f"expected one of {headers['Allow']}", headers)
    else:
        problem = Problem(error.status_code, "error", HTTPStatus(error.status_code).phrase, headers)
    return answer_of(problem, request.scope)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = shown(".".join(map(str, first["loc"])))
    return answer_of(Problem(422, "invalid_request", f"{where}: {first['msg']}"), request.scope)
