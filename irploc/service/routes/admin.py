"""Reading a scene again while it answers."""

from __future__ import annotations

import ipaddress
import logging

from fastapi import APIRouter, Request

from irploc.errors import IrplocError, NotFound
from irploc.service.hosting import HostedScene
from irploc.service.problems import Problem, of_request
from irploc.service.schemas import Problem as ProblemDocument
from irploc.service.schemas import Reloaded, SceneVersion
from irploc.service.state import Service, service_of

router = APIRouter(prefix="/v1/scenes", tags=["scenes"])
logger = logging.getLogger(__name__)
_PROBLEMS = {
    403: "Only with a token, or from the machine itself.",
    404: "No such scene.",
    409: "It could not be read, or scenes are being read already; the loaded one stays.",
    503: "`not_ready`: the scenes are being loaded.",
}


@router.post(
    "/{name}/reload",
    operation_id="reload_scene",
    response_model=Reloaded,
    responses={status: {"model": ProblemDocument, "description": words} for status, words in _PROBLEMS.items()},
)
async def reload(request: Request, name: str) -> Reloaded:
    """Reads a scene's embeddings, index, models and floor maps again.

    Requests in flight end with the old ones; where the new ones cannot be read, the old ones stay.
    """
    service = service_of(request)
    _check_may(request, service)
    try:
        before = service.ready.scene(name)
    except NotFound as error:
        raise of_request(error, name) from None
    if service.is_loading:
        raise Problem(409, "busy", "scenes are being read already", {"Retry-After": "5"})
    try:
        await service.reload(name)
    except IrplocError as error:
        logger.error("%s was not reloaded: %s", name, error)
        raise Problem(409, "reload_failed", f"{name} could not be read, the loaded one stays; the log says why") from None
    logger.info("reloaded: %s", name)
    return Reloaded(scene=name, before=_version(before), now=_version(service.ready.scene(name)))


def _version(hosted: HostedScene) -> SceneVersion:
    return SceneVersion(
        mapping_photos=len(hosted.place.index.frames),
        methods=list(hosted.served),
        mapping_fingerprint=hosted.header.mapping_fingerprint,
    )


def _check_may(request: Request, service: Service) -> None:
    """Where there is a token, whoever came here has it."""
    if service.options.token is not None:
        return
    host = request.client.host if request.client else ""
    try:
        near = ipaddress.ip_address(host).is_loopback
    except ValueError:
        near = False
    if not near:
        raise Problem(403, "not_allowed", "without a token, scenes are reloaded from the machine itself only")
