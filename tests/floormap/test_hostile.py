"""Floor maps from careless or broken input: every refusal is one plain line."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_masks import GOOD, WALKABLE, picture, refused

from irploc.config import options_from_mapping
from irploc.floormap import FloorMap, GrowOptions, Source, make_floor_map
from irploc.floormap.file import FileEntries
from irploc.floormap.picture import write_floor_picture
from irploc.floormap.source import read_polygons, rgb_of, walkable_of_mask
from irploc.geometry.poses import Poses

# absurd numbers


@pytest.mark.parametrize("far_m", [1e13, 1e300, 1.7e308])
@pytest.mark.parametrize("limit_m", [1.0, np.inf])
def test_a_position_absurdly_far_away_is_far_and_no_crash(far_m: float, limit_m: float) -> None:
    floor_map = FloorMap(WALKABLE, 0.1, yaw_deg=30.0, max_distance_m=limit_m)
    points = np.array([[far_m, 0.0, 1.0], [-far_m, far_m, 1.0], [0.0, -far_m, 1.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        moved = floor_map.move(points)
        distances = floor_map.distances_m(points[:, :2])
        assert not floor_map.contains(points[:, :2]).any()
    assert moved.outside.all() and np.isfinite(moved.moved_m).all() and (moved.moved_m > 1e8).all()
    assert moved.too_far.tolist() == [np.isfinite(limit_m)] * 3
    assert floor_map.contains(floor_map.on_plane(moved.centers_m)).all()
    assert np.array_equal(distances, moved.moved_m)


def test_the_direction_to_a_far_position_is_kept(tmp_path: Path) -> None:
    """Far to the right and a little up: the nearest walkable place is the upper right corner at (3.5, 2), not another."""
    moved = FloorMap(WALKABLE, 0.1).move(np.array([[1e300, 1e299, 0.0]]))
    assert moved.centers_m[0, :2] == pytest.approx([3.5, 2.0], abs=1e-3)


def test_a_picture_with_an_estimate_absurdly_far_away_is_drawn(tmp_path: Path) -> None:
    poses = Poses(np.array([[1e300, 0.0, 0.0], [1.0, 1.5, 0.0]]), np.tile([1.0, 0.0, 0.0, 0.0], (2, 1)))
    write_floor_picture(FloorMap(WALKABLE, 0.1), tmp_path / "a.png", "hall", estimated=poses)
    assert 100 < Image.open(tmp_path / "a.png").width < 3000


@pytest.mark.parametrize("scale", [1e300, 1e-320, 1001.0, 9e-7, np.inf, np.nan, -1.0])
def test_a_scale_that_no_plan_has_is_refused(scale: float, mask: Path) -> None:
    words = "it must lie in 0.000001 to 1000"
    assert words in refused(make_floor_map, Source(mask=mask), scale)
    assert words in refused(FloorMap, WALKABLE, scale)
    assert words in refused(GrowOptions, radius_m=1e308, metres_per_pixel=scale)


def test_the_scales_at_the_limits_are_taken() -> None:
    assert [FloorMap(WALKABLE, scale).metres_per_pixel for scale in (1e-6, 1e3)] == [1e-6, 1e3]


def test_an_origin_absurdly_far_away_is_refused() -> None:
    assert "must lie within 1e+09 m" in refused(FloorMap, WALKABLE, 0.1, (1e300, 0.0))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"yaw_deg = 1{'0' * 400}", "too large for a number"),
        (f"yaw_deg = 1{'0' * 5000}", "is not valid TOML"),
        (f"origin_m = [1{'0' * 400}, 0]", "origin_m has a number that is too large"),
        ("yaw_deg = true", "option yaw_deg is True, expected a number"),
        ("tolerance = true", "option tolerance is True, expected a whole number"),
        ("tolerance = 1.5", "option tolerance is 1.5, expected a whole number"),
        ("accept_outside = 1", "option accept_outside is 1, expected true or false"),
        ("up = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("polygon_units = 3", "polygon_units is 3, expected text"),
    ],
)
def test_values_of_the_wrong_kind_are_refused(line: str, words: str, mask: Path) -> None:
    mask.with_name("hall.toml").write_text(GOOD + line)
    said = refused(FloorMap.load, mask.with_name("hall.toml"))
    assert words in said and len(said) < 400


def test_a_number_with_more_digits_than_python_writes_is_refused() -> None:
    values = {"metres_per_pixel": 10**5000}
    assert "is a huge number, too large" in refused(options_from_mapping, FileEntries, values, "x")


@pytest.mark.parametrize("entry", ["mask", "plan", "polygons"])
def test_a_path_with_a_null_character_is_refused(entry: str, mask: Path) -> None:
    text = GOOD if entry == "plan" else GOOD.replace('mask = "mask.png"\n', "")
    mask.with_name("hall.toml").write_text(text + f'{entry} = "a\\u0000b.png"')
    assert "null" in refused(FloorMap.load, mask.with_name("hall.toml"))


# polygons


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"type":"GeometryCollection","geometries":[' * 400 + "1" + "]}" * 400, "cannot be read"),
        ("[1, 2]", "expected a GeoJSON object with a type, found a list"),
        ('"Polygon"', "expected a GeoJSON object with a type, found text"),
        ("3", "found a number"),
        ("null", "found null"),
        ('{"type": "Feature", "properties": {}}', "a Feature has no geometry"),
        ('{"type": "FeatureCollection"}', "a FeatureCollection has no features"),
        ('{"type": "FeatureCollection", "features": ["a"]}', "found text"),
        ('{"type": "Polygon"}', "a Polygon has no coordinates"),
        ('{"type": "Polygon", "coordinates": 3}', "coordinates of a Polygon should be a list, found a number"),
        ('{"type": "Polygon", "coordinates": [7]}', "a ring should be a list, found a number"),
        ('{"type": "Polygon", "coordinates": [[1, 2, 3]]}', "a point should be a list, found a number"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1], [2, 2]]]}', "a point is not two numbers [x, y]"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], ["1", 0], [2, 2]]]}', "a point is not two numbers [x, y]"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [true, 0], [2, 2]]]}', "a point is not two numbers [x, y]"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [NaN, 0], [2, 2]]]}', "not finite"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1e300, 0], [2, 2]]]}', "farther away than 1e+09"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1' + "0" * 400 + ", 0], [2, 2]]]}", "farther away than 1e+09"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1, 0]]]}', "a ring has 2 points, it needs three or more"),
        ('{"type": "MultiPolygon", "coordinates": [[7]]}', "a ring should be a list"),
        ('{"type": "Feature", "geometry": null}', "has no Polygon and no MultiPolygon"),
    ],
)
def test_geojson_is_refused_in_words(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.geojson").write_text(text)
    said = refused(read_polygons, tmp_path / "a.geojson")
    assert words in said and "Error(" not in said and "'" not in said.replace(str(tmp_path), "") and len(said) < 300


def degrees(path: Path, x: float, y: float, side: float) -> Path:
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    return path


def test_geojson_in_degrees_is_told_as_such(tmp_path: Path) -> None:
    path = degrees(tmp_path / "a.geojson", 8.5417, 47.3769, 0.0008)
    plan = picture(tmp_path / "plan.png", np.zeros((40, 40), dtype=np.uint8))
    for arguments in ({}, {"plan": plan}, {"plan": plan, "origin_m": (8.0, 47.0)}):
        said = refused(make_floor_map, Source(polygons=path), 0.05, **arguments)
        assert "looks like degrees of longitude and latitude" in said and "(8.5417, 47.3769)" in said


def test_a_room_in_metres_is_not_taken_for_degrees(tmp_path: Path) -> None:
    made = make_floor_map(Source(polygons=degrees(tmp_path / "a.geojson", 8.5, 47.3, 1.0)), 0.05)
    assert made.walkable.sum() == 400


# masks and colours


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_mask_with_transparent_pixels_is_refused_and_an_opaque_alpha_taken(mode: str, tmp_path: Path) -> None:
    """White where one can walk and nothing elsewhere: laid over white, all of it would be walkable."""
    grey = WALKABLE.astype(np.uint8) * 255
    colours = [grey] * (3 if mode == "RGBA" else 1)
    path = tmp_path / "mask.png"
    picture(path, np.stack([*colours, grey], axis=2))
    said = refused(make_floor_map, Source(mask=path), 0.1)
    assert "mask.png is transparent at 900 of 1,200 pixels: save it without an alpha channel" in said
    picture(path, np.stack([*colours, np.full_like(grey, 255)], axis=2))
    assert np.array_equal(walkable_of_mask(path), WALKABLE)


def test_a_palette_with_a_transparent_colour_is_refused(tmp_path: Path) -> None:
    image = Image.fromarray(WALKABLE.astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(tmp_path / "mask.png", transparency=0)
    assert "is transparent at 900 of 1,200 pixels" in refused(walkable_of_mask, tmp_path / "mask.png")


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (WALKABLE.astype(np.uint16) * 4000, "its largest value is 4000, white would be 65535 and all from 32896 on"),
        (WALKABLE.astype(np.uint8), "its largest value is 1, white would be 255 and all from 128 on is walkable"),
        (WALKABLE.astype(np.uint16), "its largest value is 1, white would be 255 and all from 128 on is walkable"),
    ],
)
def test_a_mask_without_white_is_refused_with_what_it_has(pixels: np.ndarray, words: str, tmp_path: Path) -> None:
    said = refused(make_floor_map, Source(mask=picture(tmp_path / "mask.png", pixels)), 0.1)
    assert words in said and "has no white, which means walkable" in said


def test_the_limit_that_is_named_for_sixteen_bits_is_the_limit(tmp_path: Path) -> None:
    pixels = np.array([[32895, 32896]], dtype=np.uint16)
    assert walkable_of_mask(picture(tmp_path / "mask.png", pixels)).tolist() == [[False, True]]


def test_a_colour_of_three_digits_is_the_one_of_six() -> None:
    assert rgb_of("#fff") == (255, 255, 255)
    assert rgb_of("#1aC") == rgb_of("#11AAcc") == (0x11, 0xAA, 0xCC)
    for wrong in ("#ff", "#ffff", "#fffff", "#fffffff", "#ggg", "fff", "#fff\n"):
        assert "expected #rrggbb" in refused(rgb_of, wrong)


# ROS map_server, and files with a byte order mark

ROS = {"image": "hall.pgm", "resolution": "0.05", "origin": "[-1.0, 2.0, 0.0]", "negate": "0", "free_thresh": "0.25"}


def ros(folder: Path, **changes: str) -> Path:
    picture(folder / "hall.pgm", np.where(WALKABLE, 254, 0).astype(np.uint8))
    (folder / "hall.yaml").write_text("".join(f"{name}: {value}\n" for name, value in (ROS | changes).items()))
    return folder / "hall.yaml"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"free_thresh": "1.5"}, "free_thresh is 1.5, it must lie in 0 to 1"),
        ({"free_thresh": "-0.1"}, "free_thresh is -0.1"),
        ({"free_thresh": "nan"}, "free_thresh is nan"),
        ({"free_thresh": "low"}, "free_thresh has 'low', expected a number"),
        ({"negate": "2"}, "negate is '2', expected 0 or 1"),
        ({"negate": "maybe"}, "negate is 'maybe', expected 0 or 1"),
        ({"mode": "raw"}, "mode is 'raw', expected trinary or scale"),
        ({"origin": "[1, 2]"}, r"origin is '[1, 2]', expected [x, y, yaw]"),
        ({"resolution": "1e300"}, "metres_per_pixel is 1e+300"),
        ({"image": '"a\0b.pgm"'}, "null character"),
    ],
)
def test_a_ros_map_that_cannot_be_is_refused(changes: dict[str, str], words: str, tmp_path: Path) -> None:
    assert words in refused(FloorMap.load, ros(tmp_path, **changes))


def test_the_ros_modes_with_a_threshold_and_negation_are_read(tmp_path: Path) -> None:
    for mode in ("trinary", "scale"):
        assert np.array_equal(FloorMap.load(ros(tmp_path, mode=mode)).walkable, WALKABLE)
    assert np.array_equal(FloorMap.load(ros(tmp_path, negate="1")).walkable, ~WALKABLE)


def test_a_ros_map_with_transparent_cells_is_refused(tmp_path: Path) -> None:
    path = ros(tmp_path, image="hall.png")
    grey = WALKABLE.astype(np.uint8) * 255
    picture(tmp_path / "hall.png", np.stack([grey, grey, grey, grey], axis=2))
    assert "is transparent at 900 of 1,200 pixels" in refused(FloorMap.load, path)


def test_files_with_a_byte_order_mark_are_read(mask: Path, tmp_path: Path) -> None:
    mark = b"\xef\xbb\xbf"
    (tmp_path / "hall.toml").write_bytes(mark + GOOD.encode())
    assert np.array_equal(FloorMap.load(tmp_path / "hall.toml").walkable, WALKABLE)
    FloorMap(WALKABLE, 0.1).save(tmp_path / "hall.toml")  # it is known as a floor map, and replaced
    path = degrees(tmp_path / "a.geojson", 1.0, 2.0, 3.0)
    path.write_bytes(mark + path.read_bytes())
    assert len(read_polygons(path)[0][0]) == 4
    path = ros(tmp_path)
    path.write_bytes(mark + path.read_bytes())
    assert np.array_equal(FloorMap.load(path).walkable, WALKABLE)
