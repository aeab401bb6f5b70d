"""The floor map of a place: where one can walk, and what that says about an estimated pose."""

from irploc.floormap.file import make_floor_map
from irploc.floormap.fit import Fit, check_fit, check_metric
from irploc.floormap.grow import GrowOptions, grow_floor_map
from irploc.floormap.map import FloorMap, Moved
from irploc.floormap.plane import PlanePose, headings_deg, plane_axes, plane_poses, up_of_photos
from irploc.floormap.source import Source

__all__ = [
    "Fit",
    "FloorMap",
    "GrowOptions",
    "Moved",
    "PlanePose",
    "Source",
    "check_fit",
    "check_metric",
    "grow_floor_map",
    "headings_deg",
    "make_floor_map",
    "plane_axes",
    "plane_poses",
    "up_of_photos",
]
