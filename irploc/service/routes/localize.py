"""``POST /v1/localize``."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from irploc.errors import IrplocError
from irploc.localizer.localization import Localization
from irploc.service import schemas
from irploc.service.batching import Asked
from irploc.service.problems import Problem, of_photo
from irploc.service.state import service_of
from irploc.service.uploads import read_upload

router = APIRouter(prefix="/v1", tags=["localize"])
NDJSON = "application/x-ndjson"


@router.post("/localize", response_model=schemas.Answers)
async def localize(request: Request) -> Response:
    """Tells where photos were taken."""
    service = service_of(request)
    hosting, limits = service.ready, service.options.limits
    service.batcher.check_room(1)
    try:
        async with asyncio.timeout(limits.timeout_s):
            upload = await read_upload(request, limits)
            fields = upload.fields
            localizer = hosting.localizer(fields.scene, fields.method, fields.floor_map)
            camera = None if fields.camera is None else fields.camera.camera()
            answers = await service.batcher.answer(
                [Asked(photo, localizer, camera, fields.focal) for photo in upload.photos]
            )
    except TimeoutError:
        raise Problem(504, "timed_out", f"there was no answer within {limits.timeout_s:g} s", {"Retry-After": "5"}) from None
    names = [photo.name for photo in upload.photos]
    results = [_result(name, answer) for name, answer in zip(names, answers, strict=True)]
    if all(isinstance(answer, IrplocError) for answer in answers):
        raise _refused(answers, results)
    if NDJSON in request.headers.get("accept", ""):
        return Response("".join(json.dumps(result) + "\n" for result in results), media_type=NDJSON)
    return JSONResponse({"results": results})


def _result(name: str, answer: Localization | IrplocError) -> dict[str, Any]:
    if isinstance(answer, IrplocError):
        return {"image": name, "status": "refused", "error": of_photo(answer).to_json()}
    return answer.to_json()


def _refused(answers: list[Localization | IrplocError], results: list[dict[str, Any]]) -> Problem:
    """Of a request none of whose photos could be used."""
    first = next(answer for answer in answers if isinstance(answer, IrplocError))
    problem = of_photo(first)
    return Problem(problem.status, problem.code, problem.detail, more={"results": results} if len(results) > 1 else {})
