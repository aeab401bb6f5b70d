"""``/docs``: the API's description to read and try, from files of the package; nothing comes from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio.to_thread
import fastapi_offline
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from irploc.service.problems import Problem

router = APIRouter(include_in_schema=False)
_STATIC = Path(fastapi_offline.__file__).parent / "static"
_FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>irploc: the API</title>
<link rel="icon" href="docs/favicon.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<form id="ask" hidden style="font-family: sans-serif; padding: 2em">
<label>Token of this service: <input id="token" type="password" autocomplete="off"></label> <button>Read</button>
</form>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """"use strict";
async function start(token) {
  const headers = token ? {Authorization: "Bearer " + token} : {};
  const answer = await fetch("openapi.json", {headers});
  const ask = document.getElementById("ask");
  ask.hidden = answer.status !== 401;
  if (!answer.ok) { return; }
  const ui = SwaggerUIBundle({spec: await answer.json(), dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null,
    onComplete: () => { if (token) { ui.preauthorizeApiKey("token", token); } }});
}
document.getElementById("ask").addEventListener("submit", event => {
  event.preventDefault();
  start(document.getElementById("token").value);
});
start("");
"""


@router.get("/docs")
async def docs() -> HTMLResponse:
    """The page."""
    return HTMLResponse(_PAGE)


@router.get("/docs/start.js")
async def start() -> Response:
    """Its own script, since none may stand in the page."""
    return Response(_START, media_type="text/javascript")


@router.get("/docs/{name}")
async def file(name: str) -> Response:
    """What it is made of."""
    if name not in _FILES:
        raise Problem(404, "not_found", "there is no such file")
    content = await anyio.to_thread.run_sync((_STATIC / name).read_bytes)
    return Response(content, media_type=_FILES[name], headers={"Cache-Control": "max-age=86400"})


@router.get("/v1/openapi.json")
async def description(request: Request) -> dict[str, Any]:
    """The same as ``/openapi.json``, beside what it describes."""
    described: dict[str, Any] = request.app.openapi()
    return described
