"""A small room rendered by the project itself: photos with exact poses and depth, for the demo and the tests."""

from irploc.synthetic.place import GROUND_TRUTH, PlaceOptions, render_place, scene_of_place, write_place

__all__ = ["GROUND_TRUTH", "PlaceOptions", "render_place", "scene_of_place", "write_place"]
