"""The page and its files, and the script that draws its plots; nothing of them comes from elsewhere."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import anyio.to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response

from irploc.service.making import names_tag
from irploc.service.problems import Problem

router = APIRouter(include_in_schema=False)
_FOLDER = Path(__file__).parents[1] / "page"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PLOTLY = "plotly.min.js"


@dataclass(frozen=True)
class _Asset:
    """A file as it is sent: whole, and compressed."""

    content: bytes
    compressed: bytes
    kind: str
    tag: str


@router.get("/")
async def page(request: Request) -> Response:
    """The one page."""
    return await _sent(request, "index.html")


@router.get("/favicon.ico")
async def favicon(request: Request) -> Response:
    """What browsers ask for by themselves."""
    return await _sent(request, "icon.svg")


@router.get("/assets/{name}")
async def asset(request: Request, name: str) -> Response:
    """A file of the page, or the plotting script."""
    return await _sent(request, name)


@cache
def _names() -> dict[str, Callable[[], bytes]]:
    """What may be asked for, and how it is read."""
    own = {path.name: path.read_bytes for path in _FOLDER.iterdir() if path.suffix in _KINDS}
    return {**own, _PLOTLY: files("plotly").joinpath("package_data", _PLOTLY).read_bytes}


@cache
def _asset(name: str) -> _Asset:
    content = _names()[name]()
    tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
    return _Asset(content, gzip.compress(content, 6, mtime=0), _KINDS[Path(name).suffix], tag)


async def _sent(request: Request, name: str) -> Response:
    if name not in _names():
        raise Problem(404, "not_found", "the page has no such file")
    asset = await anyio.to_thread.run_sync(_asset, name)
    compressed = _takes_gzip(request.headers.get("accept-encoding", ""))
    tag = f'{asset.tag[:-1]}-gzip"' if compressed else asset.tag
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if names_tag(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    if compressed:
        return Response(asset.compressed, headers={**headers, "Content-Encoding": "gzip"}, media_type=asset.kind)
    return Response(asset.content, headers=headers, media_type=asset.kind)


def _takes_gzip(accepted: str) -> bool:
    """Whether an ``Accept-Encoding`` names it, with a weight that is not zero."""
    for one in accepted.lower().replace(" ", "").split(","):
        name, _, weight = one.partition(";")
        if name == "gzip":
            return not re.fullmatch(r"q=0(\.0*)?", weight)
    return False
