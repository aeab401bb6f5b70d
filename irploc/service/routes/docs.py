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
<meta name="color-scheme" content="light dark">
<title>irploc: the API</title>
<link rel="icon" href="docs/favicon.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
<style>
body { margin: 0; }
#ask { font: 1rem/1.5 system-ui, sans-serif; max-width: 30rem; margin: 0 auto; padding: 3rem 1.25rem; }
#ask h1 { font-size: 1.25rem; margin: 0; }
#ask label { display: block; font-weight: 600; }
#ask input, #ask button { box-sizing: border-box; font: inherit; min-height: 44px; padding: 0 .9rem; border-radius: 8px; }
#ask input { display: block; width: 100%; border: 1px solid #76838a; margin: .25rem 0 .75rem; }
#ask button { border: 0; background: #14667a; color: #fff; font-weight: 600; cursor: pointer; }
#wrong { color: light-dark(#b3261e, #ff8a80); }
/* Swagger knows no dark: its colours are turned about, hues kept. On the root, so that its dialogs stay where one looks. */
@media (prefers-color-scheme: dark) {
  :root:has(#ask[hidden]) { color-scheme: light; background: #fff; filter: invert(.9) hue-rotate(180deg); }
  .swagger-ui .dialog-ux .backdrop-ux { background: rgb(255 255 255 / .8); }
}
</style>
</head>
<body>
<form id="ask" hidden>
<h1>The API of this service</h1>
<p>The description is for whoever has the token of this service. It is forgotten when this page is left.</p>
<label>Token <input id="token" type="password" autocomplete="current-password" required></label>
<p id="wrong" role="alert" hidden>That token is not the right one.</p>
<button>Show the API</button>
</form>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """"use strict";
// A form to try begins empty: made-up words for what may be left out would make every request fail.
function withEmptyForms(spec) {
  for (const operation of Object.values(spec.paths).flatMap(Object.values)) {
    const { properties = {}, required = [] } = operation.requestBody?.content?.["multipart/form-data"]?.schema ?? {};
    for (const [name, property] of Object.entries(properties)) if (!required.includes(name)) property.example = "";
  }
  return spec;
}
async function start(token) {
  const headers = token ? {Authorization: "Bearer " + token} : {};
  const answer = await fetch("openapi.json", {headers});
  const ask = document.getElementById("ask");
  ask.hidden = answer.status !== 401;
  document.getElementById("wrong").hidden = !token || ask.hidden;
  if (!answer.ok) { return; }
  const spec = withEmptyForms(await answer.json());
  const ui = SwaggerUIBundle({spec, dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null,
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
