"""``/healthz`` and ``/readyz``, for whoever watches the process."""

from __future__ import annotations

from fastapi import APIRouter, Request

from irploc.service.state import service_of

router = APIRouter(tags=["probes"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(request: Request) -> dict[str, str]:
    """Whether the scenes are loaded."""
    assert service_of(request).ready
    return {"status": "ready"}
