"""What went wrong, in one form: RFC 9457 problem details, with a code for programs."""

from __future__ import annotations

import json
import logging
import re
import secrets
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from irploc.errors import Busy, IrplocError, Mismatch, NotFound
from irploc.images import NotAnImage, TooManyPixels

logger = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
_PATH = re.compile(r"[\\/]|\.(?:h5|onnx|pt|toml|faiss|csv|mat)\b")


@dataclass
class Problem(Exception):
    """Raised anywhere below a route; becomes the answer.

    Attributes:
        status: of HTTP.
        code: for programs, never changed within a version of the API.
        detail: for people, one sentence; nothing of the server's file system.
        headers: of the answer, ``Retry-After`` for example.
        more: further members of the answer.
    """

    status: int
    code: str
    detail: str
    headers: dict[str, str] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The members in order."""
        title = HTTPStatus(self.status).phrase
        return {
            "type": "about:blank",
            "title": title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.more,
        }


def answer_of(problem: Problem, scope: Scope | None = None) -> Response:
    """A problem as an answer; to a request with an id, it is in there too."""
    state = {} if scope is None else scope.setdefault("state", {})
    state["problem"] = problem.code  # for whoever counts
    request_id = state.get("request_id")
    body = problem.to_json() if request_id is None else {**problem.to_json(), "request_id": request_id}
    return JSONResponse(body, problem.status, problem.headers, MEDIA_TYPE)


def bytes_of(problem: Problem) -> bytes:
    """A problem as a whole HTTP answer, after which the connection is closed; of what was no request yet."""
    request_id = secrets.token_hex(8)
    body = json.dumps({**problem.to_json(), "request_id": request_id}).encode()
    headers = {
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
        "X-Request-Id": request_id,
        "Connection": "close",
        **problem.headers,
    }
    logger.info("a connection was ended: %s %s %s", problem.status, problem.code, request_id)
    lines = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}", *(f"{n}: {v}" for n, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def of_photo(error: IrplocError, name: str = "") -> Problem:
    """Of a photo that could not be used; its message names the photo as the client did, by ``name``."""
    if isinstance(error, NotAnImage):
        return Problem(415, "not_an_image", str(error))
    if isinstance(error, TooManyPixels):
        return Problem(413, "too_many_pixels", str(error))
    return Problem(422, "unusable_image", told(error, "the photo cannot be answered", name))


def of_request(error: IrplocError, *said: str | None) -> Problem:
    """Of what a request names; ``said`` are the words of the client that the message may repeat."""
    if isinstance(error, NotFound):
        return Problem(404, "not_found", told(error, "something that is needed is not there", *said))
    if isinstance(error, Busy | Mismatch):
        return Problem(409, "conflict", told(error, "what is here does not belong together", *said))
    return Problem(422, "invalid_request", told(error, "the request cannot be answered", *said))


def told(error: IrplocError, otherwise: str, *said: str | None) -> str:
    """A message of ours, unless it may name files of this machine: those are for the log, clients get ``otherwise``.

    Args:
        error: whose message it is.
        otherwise: in general words.
        said: words of the client, which are no files of ours whatever they look like.
    """
    message = str(error)
    rest = message
    for words in filter(None, said):
        rest = rest.replace(words, "").replace(repr(words)[1:-1], "")
    if _PATH.search(rest) is None:
        return message
    logger.error("not told to a client: %s", message)
    return f"{otherwise}; the server's log has more"
