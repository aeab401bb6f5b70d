"""The types of the API, from which its description is made; all numbers in the units that their names say."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from irploc.geometry.cameras import CAMERA_MODELS, Camera

Vector = Annotated[list[float], Field(min_length=3, max_length=3)]
Quaternion = Annotated[list[float], Field(min_length=4, max_length=4)]


_LARGEST, _LEAST_FOCAL = 1e6, 0.01  # beyond which arithmetic with a camera is no longer finite; in longer sides


class Model(BaseModel):
    """Unknown fields are mistakes."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Intrinsics(Model):
    """A camera in COLMAP's models and parameter order, pixels; the first pixel's centre is at (0.5, 0.5)."""

    model: str = Field(examples=["PINHOLE"], json_schema_extra={"enum": list(CAMERA_MODELS)})
    width: int = Field(gt=0, le=100_000, examples=[640])
    height: int = Field(gt=0, le=100_000, examples=[480])
    params: list[Annotated[float, Field(ge=-_LARGEST, le=_LARGEST)]] = Field(
        max_length=16, examples=[[525.0, 525.0, 320.0, 240.0]]
    )

    @model_validator(mode="after")
    def _is_a_camera(self) -> Intrinsics:
        focal, side = self.camera().focal_px, max(self.width, self.height)
        if not _LEAST_FOCAL * side <= min(focal) <= max(focal) <= side / _LEAST_FOCAL:
            raise ValueError(f"no camera has a focal length of {min(focal):g} pixels in photos of {side}")
        return self

    def camera(self) -> Camera:
        """As the rest of irploc has it; raises ValueError for what cannot be."""
        return Camera(self.model, self.width, self.height, tuple(self.params))


class UsedIntrinsics(Intrinsics):
    """The intrinsics with which a pose was found."""

    source: Literal["given", "focal", "exif", "scene", "estimated"]


def _from_text(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError(f"is no JSON object; expected for example {_CAMERA_EXAMPLE}") from None


_CAMERA_EXAMPLE = '{"model": "PINHOLE", "width": 640, "height": 480, "params": [525, 525, 320, 240]}'


class LocalizeFields(Model):
    """What a request may say besides its photos."""

    scene: str | None = Field(None, max_length=200, description="Name of the scene; else the one that the photo fits best.")
    method: str | None = Field(None, max_length=200, description="One of the scene's methods; else its default.")
    floor_map: str | None = Field(
        None, max_length=200, description="One of the scene's floor maps, or `none`; else its first."
    )
    focal: float | None = Field(None, ge=1, le=1e6, description="Focal length of the photos in pixels.")
    camera: Annotated[Intrinsics | None, BeforeValidator(_from_text)] = Field(
        None,
        description=f"Intrinsics of the photos as a JSON object: `{_CAMERA_EXAMPLE}`. Models: {', '.join(CAMERA_MODELS)}.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> LocalizeFields:
        if self.focal is not None and self.camera is not None:
            raise ValueError("give focal or camera, not both")
        return self


class CamFromWorld(Model):
    """COLMAP's convention."""

    qvec_wxyz: Quaternion
    tvec_m: Vector


class Errors(Model):
    """Of a position in metres (or the scene's units) and a rotation in degrees."""

    position_m: float
    rotation_deg: float


class CorrectedPosition(Model):
    """The nearest walkable place, and how far it is."""

    center_m: Vector
    moved_m: float


class PlanePose(Model):
    """Seen from above; heading counter-clockwise from the plane's first axis, null where the camera looks up or down."""

    x_m: float
    y_m: float
    heading_deg: float | None


class Neighbour(Model):
    """A mapping photo and its cosine similarity."""

    name: str
    similarity: float


class Problem(BaseModel):
    """RFC 9457; `code` is for programs, `detail` for people."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str


class Localization(Model):
    """The object that `irploc localize --json` prints for a photo; of one that could not be used it is a RefusedPhoto."""

    image: str
    status: Literal["ok", "approximate", "not_localized", "outside_map"]
    method: str
    scene: str
    units: str
    center_m: Vector | None
    world_from_cam_wxyz: Quaternion | None
    cam_from_world: CamFromWorld | None
    confidence: float | None
    expected_error: Errors | None
    spread: Errors | None
    corrected: CorrectedPosition | None
    outside_m: float | None
    plane_pose: PlanePose | None
    camera: UsedIntrinsics | None
    note: str | None
    neighbours: list[Neighbour]
    timing_ms: dict[str, float]


class RefusedPhoto(Model):
    """A photo that could not be used, among others that could."""

    image: str
    status: Literal["refused"]
    error: Problem


class Answers(Model):
    """One result per photo, in the order in which they were sent."""

    results: list[Localization | RefusedPhoto]


class SceneVersion(Model):
    """What a loaded scene is made from."""

    mapping_photos: int
    methods: list[str]
    mapping_fingerprint: str = Field(description="sha256 over names and poses of the mapping photos.")


class Reloaded(Model):
    """A scene that was read again."""

    scene: str
    before: SceneVersion
    now: SceneVersion
