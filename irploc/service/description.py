"""The API's description (OpenAPI): what the types cannot say of forms, problems and tokens, and examples."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from irploc.service.problems import MEDIA_TYPE
from irploc.service.schemas import Intrinsics, LocalizeFields

NDJSON = "application/x-ndjson"
TAGS = [
    {"name": "localize", "description": "Where photos were taken."},
    {"name": "scenes", "description": "The mapped places that are answered for."},
    {"name": "probes", "description": "For whoever watches the process."},
]
PROBLEMS = {
    400: "`malformed_body`: the body is no multipart form.",
    401: "`unauthorized`: a token is needed, or is not the right one.",
    403: "`host_not_allowed`, `origin_not_allowed`: called by a name, or from a page, that may not.",
    404: "`not_found`: no such scene, method, floor map or photo.",
    405: "`method_not_allowed`: `Allow` lists those there are.",
    409: "`conflict`: files of the scene do not belong together (any more).",
    413: "`too_large`, `too_many_images`, `too_many_pixels`: over a limit of this service.",
    415: "`not_multipart`, `encoded_body`: another body; `not_an_image`: none of the photos is JPEG, PNG or WebP.",
    422: "`invalid_request`: a field that cannot be; `no_image`; `unusable_image`: truncated, too small …",
    429: "`too_busy`: the queue or the memory for uploads is full; `Retry-After` says when to come again.",
    500: "`internal_error`: a mistake of the service; its log has more, under `request_id`.",
    503: "`not_ready`: the scenes are being loaded; `shutting_down`: the service ends.",
    504: "`timed_out`: no answer within the time limit.",
}
_EVERYWHERE = (401, 403, 405, 500)
_OF_LOCALIZE = (400, 404, 409, 413, 415, 422, 429, 503, 504)
_OPEN = ("/healthz", "/readyz")
_EXAMPLE = {
    "image": "photo.jpg",
    "status": "ok",
    "method": "fused",
    "scene": "kitchen",
    "units": "metres",
    "center_m": [-0.881, -0.074, 0.559],
    "world_from_cam_wxyz": [0.9655, -0.0358, -0.2027, -0.1597],
    "cam_from_world": {"qvec_wxyz": [0.9655, 0.0358, 0.2027, 0.1597], "tvec_m": [0.517, 0.357, -0.836]},
    "confidence": 0.62,
    "expected_error": {"position_m": 0.3, "rotation_deg": 7.6},
    "spread": None,
    "corrected": {"center_m": [-0.88, -0.074, 0.56], "moved_m": 0.001},
    "outside_m": 0.001,
    "plane_pose": {"x_m": -0.881, "y_m": 0.559, "heading_deg": 113.4},
    "camera": None,
    "note": None,
    "neighbours": [{"name": "seq-01/frame-000119.color.jpg", "similarity": 0.981}],
    "timing_ms": {"decode": 2.1, "encode": 31.0, "estimate": 0.4},
}
_NOT_LOCALIZED = {
    **_EXAMPLE,
    "image": "elsewhere.jpg",
    "status": "not_localized",
    **dict.fromkeys(("center_m", "world_from_cam_wxyz", "cam_from_world", "confidence", "expected_error"), None),
    **dict.fromkeys(("corrected", "outside_m", "plane_pose"), None),
}
_EXAMPLES = {
    "localized": {"summary": "Found", "value": {"results": [_EXAMPLE]}},
    "not_localized": {"summary": "A photo of another place", "value": {"results": [_NOT_LOCALIZED]}},
}


def localize_body() -> dict[str, Any]:
    """The form that ``POST /v1/localize`` takes, for ``openapi_extra``."""
    fields = LocalizeFields.model_json_schema(ref_template="#/components/schemas/{model}")["properties"]
    binary = {"type": "string", "format": "binary"}
    properties = {
        "images": {
            "type": "array",
            "items": binary,
            "minItems": 1,
            "description": "One or several photos: JPEG, PNG or WebP.",
        },
        **{name: _of_form(field) for name, field in fields.items()},
    }
    schema = {"type": "object", "required": ["images"], "additionalProperties": False, "properties": properties}
    schema["dependentSchemas"] = {"focal": {"properties": {"camera": False}}}  # one of them; tools stumble over ``not``
    encoding = {
        "camera": {"contentType": "application/json"},
        "images": {"contentType": "image/jpeg, image/png, image/webp"},
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema, "encoding": encoding}}}}


def _of_form(field: dict[str, Any]) -> dict[str, Any]:
    """A field as a form has it: absent instead of null."""
    kinds = [kind for kind in field.get("anyOf", [field]) if kind.get("type") != "null"]
    said = {name: field[name] for name in ("description", "examples") if name in field}
    return {**kinds[0], **said}


def localize_responses() -> dict[int | str, dict[str, Any]]:
    """What ``POST /v1/localize`` answers besides its type, and its problems."""
    line = {"oneOf": [{"$ref": "#/components/schemas/Localization"}, {"$ref": "#/components/schemas/RefusedPhoto"}]}
    answered = {
        "description": "One result per photo, in the order in which they were sent; as lines where `Accept` asks for them.",
        "content": {
            NDJSON: {"schema": {"type": "string", "description": "One result a line.", "x-line": line}},
        },
    }
    return {200: answered, **{status: {} for status in _OF_LOCALIZE}}


def describe(app: FastAPI, asks_token: bool, most_images: int) -> None:
    """Makes the application's description say what holds for every route.

    Args:
        app: with all its routes.
        asks_token: whether requests need one.
        most_images: photos that one request may have.
    """
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(made(), asks_token, most_images)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _completed(described: dict[str, Any], asks_token: bool, most_images: int) -> dict[str, Any]:
    parts = described.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    localize = described["paths"]["/v1/localize"]["post"]
    localize["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]["images"]["maxItems"] = most_images
    answer = localize["responses"]["200"]["content"]["application/json"]
    answer["examples"] = _EXAMPLES  # here, since FastAPI leaves every null out
    intrinsics = Intrinsics.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.setdefault("Intrinsics", intrinsics)
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, methods in described["paths"].items():
        for operation in methods.values():
            answers = operation["responses"]
            open_to_all = not asks_token or path in _OPEN
            for status in {*map(int, answers), *_EVERYWHERE} - ({401} if open_to_all else set()):
                if status >= 400:
                    answers[str(status)] = _problem(status, answers.get(str(status), {}))
            operation["responses"] = dict(sorted(answers.items()))
            operation["security"] = [] if open_to_all else [{"token": []}]
    return described


def _problem(status: int, described: dict[str, Any]) -> dict[str, Any]:
    words = described.get("description") or ""
    own = words not in ("", "Validation Error") and not words.startswith(("Unprocessable", "Bad Request"))
    example = {
        "type": "about:blank",
        "title": "…",
        "status": status,
        "code": "…",
        "detail": "…",
        "request_id": "0ae4f9779acb97c0",
    }
    codes = PROBLEMS.get(status, "A problem.")
    example["code"] = codes.split("`")[1] if "`" in codes else "error"
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}}
    kept = {"headers": described["headers"]} if "headers" in described else {}
    return {"description": words if own else codes, "content": content, **kept}
