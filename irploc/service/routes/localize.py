"""``POST /v1/localize``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from irploc.errors import IrplocError, without_frames
from irploc.images import EncodedPhoto
from irploc.localizer.localization import Localization
from irploc.service import schemas
from irploc.service.answering import Asked
from irploc.service.description import NDJSON, localize_body, localize_responses
from irploc.service.keeping import Keeper
from irploc.service.problems import Problem, answer_of, of_photo, of_request
from irploc.service.state import Service, service_of
from irploc.service.uploads import Upload, read_upload

router = APIRouter(prefix="/v1", tags=["localize"])
_Result = TypeVar("_Result")
REFUSED = "refused"  # a photo among others


@router.post(
    "/localize",
    operation_id="localize",
    response_model=schemas.Answers,
    openapi_extra=localize_body(),
    responses=localize_responses(),
)
async def localize(request: Request) -> Response:
    """Tells where photos were taken, all of one request in the same scene and by the same method.

    Photos that cannot be used have the status `refused` among others that could; where none could, the request is refused.
    """
    service = service_of(request)
    assert service.ready
    service.batcher.check_room(1)
    try:
        with service.received.counted() as count:
            results = await _results(request, service, count)
    except Problem as problem:
        # Answered here, not raised: a client may take its time, and frames would hold the upload meanwhile.
        return answer_of(without_frames(problem), request.scope)
    if all(result["status"] == REFUSED for result in results):
        return answer_of(_refused(results), request.scope)
    return _response(request, results)


async def _results(request: Request, service: Service, count: Callable[[int, int], None]) -> list[dict[str, Any]]:
    """One object per photo; photos that are to be kept are, so that none is in memory once the answer is sent."""
    limits = service.options.limits
    try:
        async with asyncio.timeout(limits.timeout_s):
            upload = await read_upload(request, limits, count)
            request.state.photos = len(upload.photos)
            answers = await _unless_gone(request, service.batcher.answer(_asked(service, upload)))
    except TimeoutError:
        raise Problem(504, "timed_out", f"there was no answer within {limits.timeout_s:g} s", {"Retry-After": "5"}) from None
    results = [_result(photo, answer) for photo, answer in zip(upload.photos, answers, strict=True)]
    if service.keeper is not None:
        await asyncio.to_thread(_keep, service.keeper, upload.photos, results)
    return results


def _asked(service: Service, upload: Upload) -> list[Asked]:
    fields = upload.fields
    names = (fields.scene, fields.method, fields.floor_map)
    try:
        localizer = service.ready.localizer(*names)
    except IrplocError as error:
        raise of_request(error, *names) from None
    camera = None if fields.camera is None else fields.camera.camera()
    return [Asked(photo, localizer, camera, fields.focal) for photo in upload.photos]


async def _unless_gone(request: Request, work: Coroutine[Any, Any, _Result]) -> _Result:
    """What comes of some work; it is given up when the client leaves, so that nobody else waits for it."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(_leaves(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _leaves(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _result(photo: EncodedPhoto, answer: Localization | IrplocError) -> dict[str, Any]:
    if isinstance(answer, IrplocError):
        return {"image": photo.name, "status": REFUSED, "error": of_photo(answer, photo.name).to_json()}
    return answer.to_json()


def _refused(results: list[dict[str, Any]]) -> Problem:
    """Of a request none of whose photos could be used."""
    first = results[0]["error"]
    more = {"results": results} if len(results) > 1 else {}
    return Problem(first["status"], first["code"], first["detail"], more=more)


def _response(request: Request, results: list[dict[str, Any]]) -> Response:
    if NDJSON in request.headers.get("accept", ""):
        return Response("".join(json.dumps(result) + "\n" for result in results), media_type=NDJSON)
    return JSONResponse({"results": results})


def _keep(keeper: Keeper, photos: tuple[EncodedPhoto, ...], results: list[dict[str, Any]]) -> None:
    answered = [pair for pair in zip(photos, results, strict=True) if pair[1]["status"] != REFUSED]
    keeper.keep([photo for photo, _ in answered], [result for _, result in answered])
