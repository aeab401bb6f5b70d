"""What stands before every route: who may ask, from where, and what every answer carries. Works before bodies are read."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import secrets
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from irploc.service.lingering import Lingering
from irploc.service.options import ServiceOptions
from irploc.service.problems import Problem, answer_of
from irploc.service.uploads import shown

logger = logging.getLogger(__name__)
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self' data:; worker-src 'self' blob:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_ALWAYS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PROBES = ("/healthz", "/readyz")
# What a browser has to fetch before anybody can type a token; none of it knows anything of the scenes.
_FREE = (*PROBES, "/", "/docs", "/favicon.ico")
_FREE_BELOW = ("/docs/", "/assets/")
_OWN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/=-]{0,63}")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def guards(options: ServiceOptions) -> list[Middleware]:
    """The guards that an operator's choices ask for, outermost first."""
    chosen = [Middleware(Labels), Middleware(Lingering), Middleware(Hosts, allowed=options.allowed_hosts)]
    chosen.append(Middleware(Origins, allowed=options.allowed_origins))
    if options.allowed_origins:
        chosen.append(
            Middleware(
                _Cors,
                allow_origins=options.allowed_origins,
                allow_methods=("GET", "HEAD", "POST"),
                allow_headers=("Authorization", "X-Request-Id"),
                expose_headers=("Retry-After", "X-Request-Id"),
                allow_private_network=True,
            )
        )
    if options.token is not None:
        chosen.append(Middleware(Token, token=options.token))
    return chosen


class Labels:
    """Gives every request an id and every answer its headers, answers HEAD, and keeps mistakes of ours out of answers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Of HTTP; the rest passes."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope).get("x-request-id", ""))
        scope.setdefault("state", {})["request_id"] = request_id
        asks_head = scope["method"] == "HEAD"
        started = False

        async def labelled(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _label(MutableHeaders(scope=message), request_id, scope["path"])
            elif asks_head:
                message = {**message, "body": b""}
            await send(message)

        passed = {**scope, "method": "GET"} if asks_head else scope
        try:
            await self.app(passed, receive, labelled)
        except ClientDisconnect:
            logger.debug("request %s: the client left", request_id)
        except asyncio.CancelledError:  # the time that requests have when the service ends is over
            logger.warning("request %s: not answered before the end", request_id)
            if not started:
                problem = Problem(503, "shutting_down", "the service ends", {"Retry-After": "10"})
                await answer_of(problem, scope)(scope, receive, labelled)
        except Exception:
            logger.exception("request %s: %s %s failed", request_id, scope["method"], shown(scope["path"]))
            if started:
                raise
            problem = Problem(500, "internal_error", "something went wrong here; the server's log has more")
            await answer_of(problem, scope)(scope, receive, labelled)
        finally:
            scope["route"] = passed.get("route")  # for whoever counts


def _label(headers: MutableHeaders, request_id: str, path: str) -> None:
    for name, value in _ALWAYS.items():
        headers.setdefault(name, value)
    headers["X-Request-Id"] = request_id
    if path.startswith("/v1/localize"):
        headers["Cache-Control"] = "no-store"
    else:
        headers.setdefault("Cache-Control", "no-cache")


def _request_id(given: str) -> str:
    return given if _OWN_ID.fullmatch(given) else secrets.token_hex(8)


class Hosts:
    """Refuses names by which the service was not to be called, as pages do that point their own name at this machine."""

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self.app = app
        self.allowed = {name.lower() for name in allowed}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Probes may come by any name."""
        if self.allowed and scope["type"] == "http" and scope["path"] not in PROBES:
            hosts = Headers(scope=scope).getlist("host")
            host = hosts[0] if len(hosts) == 1 else ""  # of two, a proxy may have looked at the other one
            if not ({_without_port(host), host.lower()} & self.allowed):
                called = f"is not called {shown(host)!r}" if host else "must be called by one host name"
                detail = f"this service {called}; its operator can add names with --allow-host"
                await answer_of(Problem(403, "host_not_allowed", detail), scope)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _without_port(host: str) -> str:
    return re.sub(r":\d*$", "", host.lower()).removeprefix("[").removesuffix("]")


class Origins:
    """Refuses what pages of other sites make a browser send; links to this site are followed."""

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self.app = app
        self.allowed = set(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Requests of programs carry neither of the headers and pass."""
        if scope["type"] == "http" and not self._may(scope["method"], Headers(scope=scope)):
            detail = "pages of other sites may not ask; the operator can allow an origin with --allow-origin"
            await answer_of(Problem(403, "origin_not_allowed", detail), scope)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _may(self, method: str, headers: Headers) -> bool:
        origins = headers.getlist("origin")
        if origins:
            origin = origins[0] if len(origins) == 1 else ""
            return origin in self.allowed or "*" in self.allowed or _is_own(origin, headers.get("host", ""))
        if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
            return True
        followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        return followed and method in ("GET", "HEAD")


def _is_own(origin: str, host: str) -> bool:
    """Whether a page of this very host asks; its scheme is not known behind a proxy that ends TLS."""
    try:
        parts = urlsplit(origin)
        port = _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return False
    if port is None or not parts.netloc:
        return False
    return parts.netloc.lower().removesuffix(f":{port}") == host.lower().removesuffix(f":{port}")


class _Cors(CORSMiddleware):
    """Starlette's, with errors in our form."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """As the standard says."""
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        headers = {name: value for name, value in answer.headers.items() if not name.startswith("content-")}
        return _Refusal(Problem(400, "preflight_refused", bytes(answer.body).decode(), headers))


class _Refusal(Response):
    """A problem that learns of its request when it is sent."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(status_code=problem.status)
        self._problem = problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """With the request's id."""
        await answer_of(self._problem, scope)(scope, receive, send)


class Token:
    """Asks for ``Authorization: Bearer TOKEN``, except for the probes and the page's own files."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Everything that is not known to be free is protected."""
        if scope["type"] != "http" or _is_free(scope) or self._is_right(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("authorization")
        challenge = 'Bearer realm="irploc"' + ("" if given is None else ', error="invalid_token"')
        problem = Problem(401, "unauthorized", _why_not(given), {"WWW-Authenticate": challenge})
        await answer_of(problem, scope)(scope, receive, send)

    def _is_right(self, headers: Headers) -> bool:
        header = headers.get("authorization", "")
        return _is_bearer(header) and hmac.compare_digest(header.partition(" ")[2].strip().encode(), self.token)


def _is_bearer(header: str) -> bool:
    return header.partition(" ")[0].lower() == "bearer"


def _why_not(header: str | None) -> str:
    """What is not right with a header ``Authorization``; nothing of it is repeated."""
    if header is None:
        return "a token is needed: Authorization: Bearer TOKEN"
    if not _is_bearer(header):
        return "the word Bearer is missing before the token: expected Authorization: Bearer TOKEN"
    return "the token is not the right one"


def _is_free(scope: Scope) -> bool:
    path: str = scope["path"]
    return scope["method"] in ("GET", "HEAD") and (path in _FREE or (path.startswith(_FREE_BELOW) and ".." not in path))
