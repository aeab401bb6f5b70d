"""``/v1/scenes``: what is answered for, and all that is drawn of it."""

from __future__ import annotations

import logging
from enum import IntEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi import Path as InPath
from fastapi.responses import Response

from irploc.errors import IrplocError, NotFound
from irploc.floormap import FloorMap
from irploc.service import scene_data
from irploc.service.hosting import HostedScene
from irploc.service.making import shown_of
from irploc.service.problems import Problem, of_request
from irploc.service.scene_schemas import SceneDescription, ScenePoints, Scenes
from irploc.service.schemas import Problem as ProblemDocument
from irploc.service.state import service_of

router = APIRouter(prefix="/v1/scenes", tags=["scenes"])
logger = logging.getLogger(__name__)
_JSON, _JPEG, _PNG = "application/json", "image/jpeg", "image/png"
_NAME, _FLOOR = InPath(description="Name of the scene."), InPath(description="Name of the floor map.")
_PHOTO = InPath(description="Name of a mapping photo, percent-encoded.", examples=["frame-000120.jpg"])


class ThumbnailSide(IntEnum):
    """Pixels of the longer side."""

    SMALL = 160
    MEDIUM = 320
    LARGE = 640


def _answers(missing: str | None = None, picture: str | None = None, invalid: str | None = None) -> dict[int | str, Any]:
    """What a route answers, for its description."""
    told = {404: missing, 422: invalid, 503: "The scenes are being loaded."}
    found: dict[int | str, Any] = {
        status: {"model": ProblemDocument, "description": words} for status, words in told.items() if words
    }
    if missing:
        found[304] = {"description": "The client has it: its `If-None-Match` names it."}
    if picture:
        found[200] = {
            "description": "The picture.",
            "content": {picture: {"schema": {"type": "string", "format": "binary"}}},
        }
    return found


@router.get("", operation_id="list_scenes", response_model=Scenes, responses=_answers())
async def scenes(request: Request) -> Scenes:
    """Every scene in a few words."""
    return Scenes(scenes=[scene_data.summary_of(hosted) for hosted in service_of(request).ready])


@router.get("/{name}", operation_id="describe_scene", response_model=SceneDescription, responses=_answers("No such scene."))
async def scene(request: Request, name: Annotated[str, _NAME]) -> Response:
    """One scene: extent, trajectory, floor maps, and where their pictures are."""
    hosted, thumbnails = _scene(request, name), service_of(request).options.thumbnails

    def make() -> bytes:
        return scene_data.describe(hosted, thumbnails).model_dump_json().encode()

    made = await shown_of(hosted).documents.get("description", make, _JSON)
    return made.answer(request)


@router.get("/{name}/points", operation_id="scene_points", response_model=ScenePoints, responses=_answers("No such scene."))
async def points(request: Request, name: Annotated[str, _NAME]) -> Response:
    """Some of a scene's points, with their colours where these are known."""
    hosted = _scene(request, name)

    def make() -> bytes:
        return scene_data.describe_points(hosted).model_dump_json().encode()

    made = await shown_of(hosted).documents.get("points", make, _JSON)
    return made.answer(request)


@router.get(
    "/{name}/floor-maps/{floor_map}/plan.png",
    operation_id="floor_map_plan",
    response_class=Response,
    responses=_answers("No such scene or floor map, or it has no plan.", _PNG),
)
async def plan(request: Request, name: Annotated[str, _NAME], floor_map: Annotated[str, _FLOOR]) -> Response:
    """The picture of a floor map's plan, its longer side at most 1600 pixels."""
    hosted = _scene(request, name)
    picture = _floor(hosted, floor_map).plan
    if picture is None:
        raise Problem(404, "not_found", f"the floor map {floor_map} has no picture of a plan")
    try:
        made = await shown_of(hosted).documents.get(("plan", floor_map), lambda: scene_data.plan_picture(picture), _PNG)
    except IrplocError as error:
        raise _gone(error, f"the picture of the plan of {floor_map}") from None
    return made.answer(request)


@router.get(
    "/{name}/floor-maps/{floor_map}/walkable.png",
    operation_id="floor_map_walkable",
    response_class=Response,
    responses=_answers("No such scene or floor map.", _PNG),
)
async def walkable(request: Request, name: Annotated[str, _NAME], floor_map: Annotated[str, _FLOOR]) -> Response:
    """A picture that shades what is not walkable, to be laid over the plan; its longer side at most 1600 pixels."""
    hosted = _scene(request, name)
    floor = _floor(hosted, floor_map)
    key = ("walkable", floor_map)
    made = await shown_of(hosted).documents.get(key, lambda: scene_data.walkable_picture(floor), _PNG)
    return made.answer(request)


@router.get(
    "/{name}/photos/{photo:path}",
    operation_id="mapping_photo",
    response_class=Response,
    responses=_answers("No such scene or mapping photo, or none are shown.", _JPEG, "Another size."),
)
async def mapping_photo(
    request: Request,
    name: Annotated[str, _NAME],
    photo: Annotated[str, _PHOTO],
    size: Annotated[
        ThumbnailSide, Query(description="Pixels of the longer side, never more than it has.")
    ] = ThumbnailSide.MEDIUM,
) -> Response:
    """A mapping photo, reduced, without its metadata."""
    hosted = _scene(request, name)
    if not service_of(request).options.thumbnails:
        raise Problem(404, "not_found", "this service does not show its mapping photos")
    shown, side = shown_of(hosted), int(size)
    if photo not in shown.photos:
        raise Problem(404, "not_found", f"scene {hosted.name} has no mapping photo of that name")
    path = shown.photos[photo]
    try:
        made = await shown.thumbnails.get((photo, side), lambda: scene_data.thumbnail(path, side), _JPEG)
    except IrplocError as error:
        raise _gone(error, "the mapping photo") from None
    return made.answer(request)


def _scene(request: Request, name: str) -> HostedScene:
    try:
        return service_of(request).ready.scene(name)
    except NotFound as error:
        raise of_request(error, name) from None


def _floor(hosted: HostedScene, name: str) -> FloorMap:
    if name not in hosted.floor_maps:
        there = f"choose one of {', '.join(hosted.floor_maps)}" if hosted.floor_maps else "it has none"
        raise Problem(404, "not_found", f"no floor map of that name in scene {hosted.name}: {there}")
    return hosted.floor_maps[name]


def _gone(error: IrplocError, what: str) -> Problem:
    logger.warning("%s", error)
    return Problem(404, "not_found", f"{what} is not there any more, or cannot be read")
