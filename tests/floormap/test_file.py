"""The file of a floor map: masks, colours and polygons, round trips, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irploc.errors import BadInput, IrplocError, Mismatch, NotFound
from irploc.floormap import FloorMap, Source, make_floor_map

WALKABLE = np.zeros((30, 40), dtype=bool)
WALKABLE[10:20, 5:35] = True


def picture(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def geojson(path: Path, *polygons: list[list[list[float]]]) -> Path:
    features = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": rings}} for rings in polygons
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def box(x0: float, y0: float, x1: float, y1: float) -> list[list[float]]:
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]


def test_a_raster_of_its_own_is_written_beside_the_file_and_reads_back(tmp_path: Path) -> None:
    made = FloorMap(WALKABLE, 0.05, (-1.25, 0.5), 12.5, "-y", 2.5)
    made.save(tmp_path / "deep/hall.toml")
    assert (tmp_path / "deep/hall.walkable.png").is_file()
    read = FloorMap.load(tmp_path / "deep/hall.toml")
    assert np.array_equal(read.walkable, WALKABLE)
    names = ("metres_per_pixel", "origin_m", "yaw_deg", "up", "max_distance_m", "sha256")
    assert [getattr(read, name) for name in names] == [getattr(made, name) for name in names]


def test_a_file_names_its_pictures_relative_to_itself_and_may_move_with_them(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    mask = picture(tmp_path / "a/mask.png", WALKABLE * 255)
    make_floor_map(Source(mask=mask), 0.1).save(tmp_path / "a/hall.toml")
    assert 'mask = "mask.png"' in (tmp_path / "a/hall.toml").read_text()
    (tmp_path / "a").rename(tmp_path / "b")
    assert np.array_equal(FloorMap.load(tmp_path / "b/hall.toml").walkable, WALKABLE)


def test_an_infinite_limit_reads_back(tmp_path: Path) -> None:
    FloorMap(WALKABLE, 0.05, max_distance_m=np.inf).save(tmp_path / "hall.toml")
    assert FloorMap.load(tmp_path / "hall.toml").max_distance_m == np.inf


def test_a_colour_of_the_plan_is_walkable_within_its_tolerance(tmp_path: Path) -> None:
    plan = np.zeros((4, 3, 3))
    plan[0] = (200, 220, 255)
    plan[1] = (210, 210, 245)
    plan[2] = (211, 220, 255)
    path = picture(tmp_path / "plan.png", plan)
    made = make_floor_map(Source(colour="#c8dcff", tolerance=10), 0.5, plan=path)
    assert made.walkable[:, 0].tolist() == [True, True, False, False]
    made.save(tmp_path / "hall.toml")
    assert FloorMap.load(tmp_path / "hall.toml").sha256 == made.sha256


def test_polygons_in_metres_fill_the_pixels_whose_centres_they_hold(tmp_path: Path) -> None:
    """2 x 1 m with a hole of 0.5 x 0.5 m, on a plan of 4 x 3 m whose lower left corner is at (10, 20)."""
    path = geojson(tmp_path / "rooms.geojson", [box(11, 21, 13, 22), box(11.5, 21.25, 12, 21.75)])
    plan = picture(tmp_path / "plan.png", np.zeros((12, 16, 3)))
    made = make_floor_map(Source(polygons=path), 0.25, (10.0, 20.0), plan=plan)
    expected = np.zeros((12, 16), dtype=bool)
    expected[4:8, 4:12] = True
    expected[5:7, 6:8] = False
    assert np.array_equal(made.walkable, expected)


def test_polygons_in_pixels_count_rows_from_the_top_of_the_plan(tmp_path: Path) -> None:
    path = geojson(tmp_path / "rooms.geojson", [box(1, 2, 4, 3)], [box(5, 0, 6, 1)])
    plan = picture(tmp_path / "plan.png", np.zeros((5, 8, 3)))
    made = make_floor_map(Source(polygons=path, polygon_units="pixels"), 0.25, plan=plan)
    assert np.argwhere(made.walkable).tolist() == [[0, 5], [2, 1], [2, 2], [2, 3]]


def test_polygons_without_a_plan_have_a_raster_of_their_own(tmp_path: Path) -> None:
    path = geojson(tmp_path / "rooms.geojson", [box(-3, 7, -1, 8)])
    made = make_floor_map(Source(polygons=path), 0.1)
    assert made.walkable.sum() == 200
    assert made.contains(np.array([[-2.99, 7.01], [-1.01, 7.99], [-3.01, 7.5], [-2, 8.01]])).tolist() == [1, 1, 0, 0]
    made.save(tmp_path / "hall.toml")
    assert FloorMap.load(tmp_path / "hall.toml").sha256 == made.sha256


def test_a_triangle_has_the_area_it_should_and_a_multipolygon_reads_like_its_parts(tmp_path: Path) -> None:
    triangle = [[[0, 0], [10, 0], [0, 10], [0, 0]]]
    path = tmp_path / "rooms.geojson"
    path.write_text(json.dumps({"type": "MultiPolygon", "coordinates": [triangle, [box(20, 0, 21, 1)]]}))
    made = make_floor_map(Source(polygons=path), 0.05)
    assert made.walkable.sum() * 0.05**2 == pytest.approx(51, abs=0.3)


def test_the_map_of_ros_map_server_reads_as_it_is(tmp_path: Path) -> None:
    grey = np.full((4, 6), 205)  # unknown
    grey[1:3, 1:5], grey[0] = 254, 0
    picture(tmp_path / "hall.pgm", grey)
    text = "image: hall.pgm\nresolution: 0.05  # metres\norigin: [-1.0, 2.0, 1.5707963]\nnegate: 0\nfree_thresh: 0.196\n"
    (tmp_path / "hall.yaml").write_text(text + "occupied_thresh: 0.65\n")
    read = FloorMap.load(tmp_path / "hall.yaml")
    assert np.array_equal(read.walkable, grey == 254)
    assert (read.metres_per_pixel, read.origin_m, read.yaw_deg) == (0.05, (-1.0, 2.0), pytest.approx(90, abs=1e-4))
    (tmp_path / "hall.yaml").write_text(text.replace("[-1.0, 2.0, 1.5707963]", "\n- -1.0\n- 2.0\n- 0.0"))
    assert FloorMap.load(tmp_path / "hall.yaml").origin_m == (-1.0, 2.0)
    (tmp_path / "hall.yaml").write_text("image: hall.pgm\nresolution: 0.05\n")
    with pytest.raises(BadInput, match="no map of ROS map_server: it does not say origin"):
        FloorMap.load(tmp_path / "hall.yaml")


def test_a_mask_of_another_size_than_the_plan_is_refused_with_both(tmp_path: Path) -> None:
    mask, plan = picture(tmp_path / "mask.png", WALKABLE * 255), picture(tmp_path / "plan.png", np.zeros((30, 41)))
    with pytest.raises(BadInput, match=r"mask.png is 40x30, the plan .*plan.png is 41x30: they must have the same size"):
        make_floor_map(Source(mask=mask), 0.05, plan=plan)


def test_polygons_outside_the_plan_are_refused_with_where_they_lie(tmp_path: Path) -> None:
    path = geojson(tmp_path / "rooms.geojson", [box(0, 0, 1, 1)], [box(3, 3, 9, 4)])
    plan = picture(tmp_path / "plan.png", np.zeros((50, 60, 3)))
    with pytest.raises(BadInput, match=r"1 of 2 polygons reach outside the plan of 60x50 .* spans columns 30 to 90"):
        make_floor_map(Source(polygons=path), 0.1, plan=plan)


def refused(function: object, *arguments: object, **names: object) -> str:
    with pytest.raises(IrplocError) as caught:
        function(*arguments, **names)  # type: ignore[operator]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_nowhere_walkable_is_refused_with_what_would_be(tmp_path: Path) -> None:
    black = picture(tmp_path / "black.png", np.zeros((4, 4)))
    assert "no white, which means walkable" in refused(make_floor_map, Source(mask=black), 0.1)
    assert "no #00ff00 within" in refused(make_floor_map, Source(colour="#00ff00"), 0.1, plan=black)
    tiny = geojson(tmp_path / "tiny.geojson", [box(0.02, 0.02, 0.08, 0.08)])
    assert "encloses no pixel" in refused(make_floor_map, Source(polygons=tiny), 0.2)


def test_sources_that_cannot_be_are_refused(tmp_path: Path) -> None:
    assert "not by mask and colour" in refused(Source, mask=tmp_path, colour="#ffffff")
    assert "not by none of them" in refused(Source)
    assert "expected #rrggbb" in refused(Source, colour="white")
    assert "tolerance is 300" in refused(Source, colour="#ffffff", tolerance=300)
    assert "polygon_units is 'feet'" in refused(Source, polygons=tmp_path, polygon_units="feet")
    assert "needs a plan" in refused(make_floor_map, Source(colour="#ffffff"), 0.1)
    assert "metres_per_pixel is -1" in refused(make_floor_map, Source(mask=tmp_path / "x.png"), -1)
    pixels = geojson(tmp_path / "a.geojson", [box(0, 0, 1, 1)])
    assert "in pixels, which needs a plan" in refused(make_floor_map, Source(polygons=pixels, polygon_units="pixels"), 0.1)
    degrees = geojson(tmp_path / "b.geojson", [box(0, 0, 1e6, 1e6)])
    assert "look whether these are metres" in refused(make_floor_map, Source(polygons=degrees), 0.1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "is not GeoJSON"),
        ('{"type": "Point", "coordinates": [1, 2]}', "has no Polygon and no MultiPolygon"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}', "has a polygon that cannot be read"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1, "a"], [2, 2]]]}', "has a polygon that cannot be read"),
        ('{"type": "Polygon"}', "has a polygon that cannot be read"),
        ("[1, 2]", "has a polygon that cannot be read"),
    ],
)
def test_geojson_that_holds_no_polygon_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.geojson").write_text(text)
    assert words in refused(make_floor_map, Source(polygons=tmp_path / "a.geojson"), 0.1)


GOOD = 'format = "irploc-floormap"\nversion = 1\nmetres_per_pixel = 0.1\n'


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        (GOOD + 'mask = "gone.png"', NotFound, "gone.png"),
        (GOOD + 'mask = "note.png"', BadInput, "note.png is not an image"),
        (GOOD + 'mask = "mask.png"\nmetres_per_pixle = 0.2', BadInput, "did you mean 'metres_per_pixel'"),
        (GOOD + 'mask = "mask.png"\norigin_m = [1]', BadInput, r"origin_m is \[1\], expected \[x, y\]"),
        (GOOD + "mask = 3", BadInput, "mask is 3, expected text"),
        (GOOD.replace("0.1", '"wide"') + 'mask = "mask.png"', BadInput, "metres_per_pixel is 'wide', expected a number"),
        (GOOD, BadInput, "exactly one of mask, colour and polygons"),
        (GOOD.replace("metres_per_pixel = 0.1", ""), BadInput, "does not say metres_per_pixel"),
        (GOOD.replace("version = 1", "version = 9"), Mismatch, "version 9"),
        ('format = "irploc-scene"\nversion = 1', Mismatch, "is not an irploc-floormap file"),
        ("= 3", BadInput, "not valid TOML"),
    ],
)
def test_a_file_that_cannot_be_right_is_refused_in_one_line(
    text: str, kind: type[IrplocError], words: str, tmp_path: Path
) -> None:
    picture(tmp_path / "mask.png", WALKABLE * 255)
    (tmp_path / "note.png").write_text("no picture")
    (tmp_path / "hall.toml").write_text(text)
    with pytest.raises(kind, match=words) as caught:
        FloorMap.load(tmp_path / "hall.toml")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="irploc floormap new"):
        FloorMap.load(tmp_path / "hall.toml")
