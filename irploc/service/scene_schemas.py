"""The types of what is told of scenes; metres stand for the scene's units where these are others."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from irploc.service.schemas import Model, Quaternion, Vector

Axis = Literal["x", "y", "z"]
Up = Annotated[str, Field(pattern="^-?[xyz]$")]
PlanePoint = Annotated[list[float], Field(min_length=2, max_length=2)]
_RELATIVE = "Relative to `/v1/scenes/`."
_SUMMARY: dict[str, Any] = {
    "name": "kitchen",
    "units": "metres",
    "mapping_photos": 7000,
    "encoder": "netvlad",
    "methods": ["fused", "structure", "robust"],
    "default_method": "fused",
    "floor_maps": ["ground-floor"],
    "default_floor_map": "ground-floor",
    "extent_m": {"min": [-1.6, -0.3, -0.2], "max": [2.2, 0.9, 3.1]},
}
_FLOOR_PLAN: dict[str, Any] = {
    "name": "ground-floor",
    "width_px": 92,
    "height_px": 81,
    "metres_per_pixel": 0.05,
    "origin_m": [-1.65, -0.3],
    "yaw_deg": 0.0,
    "up": "-y",
    "max_distance_m": 1.0,
    "plane": {"right": "x", "up": "z"},
    "corners_m": [[-1.65, -0.3], [2.95, -0.3], [2.95, 3.75], [-1.65, 3.75]],
    "plan_url": "kitchen/floor-maps/ground-floor/plan.png",
    "walkable_url": "kitchen/floor-maps/ground-floor/walkable.png",
}


class Extent(Model):
    """Lowest and highest coordinates of the mapping photos' centres."""

    min: Vector
    max: Vector


class SceneSummary(Model):
    """A scene in a few words."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SUMMARY]})

    name: str
    units: str = Field(description="Of positions and distances: `metres`, or other words where there is no metric scale.")
    mapping_photos: int
    encoder: str
    methods: list[str] = Field(description="What a request may name as `method`.")
    default_method: str
    floor_maps: list[str] = Field(description="What a request may name as `floor_map`, besides `none`.")
    default_floor_map: str = Field(description="`none` where there is no floor map.")
    extent_m: Extent


class Scenes(Model):
    """Every scene that is loaded."""

    scenes: list[SceneSummary]


class Plane(Model):
    """The scene's axes that lie to the right and upwards on a plan seen from above."""

    right: Axis
    up: Axis


class Walk(Model):
    """The mapping photos of one sequence, in order."""

    sequence: str
    photos: list[str] = Field(description="Names, by which answers call their neighbours too.")
    centers_m: list[Vector] = Field(description="Rounded for drawing.")
    world_from_cam_wxyz: list[Quaternion] = Field(description="Rounded for drawing; camera axes x right, y down, z forward.")
    gaps_after: list[int] = Field(description="Numbers of the photos after which the walk jumps.")


class FloorPlan(Model):
    """A floor map: a raster of pixels on the plane, and its pictures."""

    model_config = ConfigDict(json_schema_extra={"examples": [_FLOOR_PLAN]})

    name: str
    width_px: int = Field(description="Of the raster; its pictures may have fewer.")
    height_px: int
    metres_per_pixel: float
    origin_m: PlanePoint = Field(description="Lower left corner of the raster on the plane.")
    yaw_deg: float = Field(description="Of the raster's x axis, counter-clockwise from the plane's.")
    up: Up
    max_distance_m: float | None = Field(description="Farther from walkable ground no pose is believed; null: however far.")
    plane: Plane
    corners_m: Annotated[list[PlanePoint], Field(min_length=4, max_length=4)] = Field(
        description="On the plane: lower left, lower right, upper right, upper left."
    )
    plan_url: str | None = Field(description=f"Picture of the plan, null where there is none. {_RELATIVE}")
    walkable_url: str = Field(description=f"Shades what is not walkable, transparent elsewhere. {_RELATIVE}")


class SceneDescription(SceneSummary):
    """A scene with all that is drawn of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **_SUMMARY,
                    "notes": ["12 mapping photos of kitchen are not in its embeddings: 'irploc embed' takes them in"],
                    "up": "-y",
                    "plane": {"right": "x", "up": "z"},
                    "trajectory": [
                        {
                            "sequence": "seq-01",
                            "photos": ["seq-01/frame-000000.color.jpg", "seq-01/frame-000001.color.jpg"],
                            "centers_m": [[-0.4684, 0.0213, 0.2942], [-0.4696, 0.0209, 0.2934]],
                            "world_from_cam_wxyz": [
                                [0.981975, -0.012059, -0.128058, -0.138496],
                                [0.981936, -0.012016, -0.128264, -0.138587],
                            ],
                            "gaps_after": [],
                        }
                    ],
                    "floor_plans": [_FLOOR_PLAN],
                    "points_url": "kitchen/points",
                    "thumbnail_url": "kitchen/photos/{photo}",
                }
            ]
        }
    )

    notes: list[str] = Field(description="What to know about the map, for people.")
    up: Up | None = Field(description="The scene's vertical; null where nobody knows it.")
    plane: Plane = Field(description="Where `up` is null, the axes along which the place is best seen.")
    trajectory: list[Walk]
    floor_plans: list[FloorPlan]
    points_url: str = Field(description=_RELATIVE)
    thumbnail_url: str | None = Field(
        description=f"With `{{photo}}` for the percent-encoded name of a mapping photo; null: none are shown. {_RELATIVE}"
    )


class ScenePoints(Model):
    """Some of the points of a scene, for drawing."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "points_m": [[0.412, -0.183, 2.204], [0.433, -0.175, 2.211]],
                    "colors": ["#8f7a66", "#907b67"],
                    "source": "points of the scene",
                    "total": 48211,
                }
            ]
        }
    )

    points_m: list[Vector] = Field(description="Rounded for drawing; single points far away are left out.")
    colors: list[Annotated[str, Field(pattern="^#[0-9a-f]{6}$")]] | None = Field(
        description="Of each point; null where nobody knows."
    )
    source: str = Field(description="Where they come from, for people; empty where there are none.")
    total: int = Field(description="How many there are, of which these were drawn.")
