"""``/healthz``, ``/readyz`` and ``/metrics``, for whoever watches the process."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from irploc.service.schemas import Problem as ProblemDocument
from irploc.service.state import service_of

router = APIRouter(tags=["probes"])


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """The scenes are loaded."""

    status: Literal["ready"] = "ready"
    scenes: list[str]


@router.get("/healthz", operation_id="healthz")
async def healthz() -> Health:
    """Whether the process answers."""
    return Health()


@router.get(
    "/readyz",
    operation_id="readyz",
    responses={503: {"model": ProblemDocument, "description": "The scenes are being loaded."}},
)
async def readyz(request: Request) -> Readiness:
    """Whether the scenes are loaded."""
    return Readiness(scenes=list(service_of(request).ready.scenes))


@router.get(
    "/metrics",
    operation_id="metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus's text format."}},
)
async def metrics(request: Request) -> Response:
    """Counts and times, for Prometheus."""
    return Response(service_of(request).metrics.text(), media_type=CONTENT_TYPE_LATEST)
