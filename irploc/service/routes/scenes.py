"""``/v1/scenes``: what is answered for."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from irploc.service.hosting import HostedScene
from irploc.service.state import service_of

router = APIRouter(prefix="/v1/scenes", tags=["scenes"])


@router.get("")
async def scenes(request: Request) -> dict[str, Any]:
    """Every scene in a few words."""
    return {"scenes": [summary_of(hosted) for hosted in service_of(request).ready]}


@router.get("/{name}")
async def scene(request: Request, name: str) -> dict[str, Any]:
    """One scene: extent, floor plan, trajectory."""
    return summary_of(service_of(request).ready.scene(name))


def summary_of(hosted: HostedScene) -> dict[str, Any]:
    """In a few words."""
    poses = hosted.place.index.frames.poses
    return {
        "name": hosted.name,
        "units": hosted.header.units,
        "mapping_photos": len(poses),
        "methods": list(hosted.served),
        "default_method": hosted.default_method,
        "floor_maps": list(hosted.floor_maps),
        "extent_m": {"min": poses.centers_m.min(axis=0).tolist(), "max": poses.centers_m.max(axis=0).tolist()},
    }
