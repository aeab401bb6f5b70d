"""Points, distances and positions as users give them: where clicks meet, what a distance says, whose position it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mapping.align_room import CAMERA, ODD_FRAME, clicks_of, looking, room_scene, save_room, write_lines
from PIL import Image

from irploc.errors import BadInput, NotFound
from irploc.geometry.poses import Poses
from irploc.mapping.gps import east_north_up, photo_position
from irploc.mapping.known_distances import Distance, MeasuredDistance, fit_scale, measure_distance
from irploc.mapping.known_pixels import Click, triangulate
from irploc.mapping.known_points import locate_point, read_known, read_points
from irploc.mapping.known_positions import positions_of_photos, read_positions, read_trajectory
from irploc.mapping.known_tables import PhotoNames, read_table
from irploc.scene import Scene

CORNER = ODD_FRAME.apply([1.2, 3.9, 0.8])


@pytest.fixture
def room(tmp_path: Path) -> Scene:
    return room_scene(tmp_path / "photos")


def two_views(apart: float = 1.0, depth: float = 2.0) -> tuple[Scene, list[Click]]:
    """Two cameras side by side that look along y at a point straight ahead of their middle."""
    poses = Poses.from_matrices(np.stack([looking((x, 0, 0), 90) for x in (-apart / 2, apart / 2)]))
    scene = room_scene(Path("/nowhere"), count=2)
    pinhole = replace(CAMERA, params=(500.0, 320.0, 240.0, 0.0))
    scene = replace(scene, frames=replace(scene.frames, poses=poses), cameras={"phone": pinhole})
    shift = 500.0 * (apart / 2) / depth
    return scene, [Click(0, (320.0 + shift, 240.0)), Click(1, (320.0 - shift, 240.0))]


# --- tables ---


def test_columns_are_found_by_name_in_any_order_and_with_spaces(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.csv", "\ufeff# a comment", "", "Z,name,x,y", '3,"a, b",1,2')
    assert read_table(path, ("name", "x", "y", "z"))[0].cells == {"z": "3", "name": "a, b", "x": "1", "y": "2"}
    spaced = write_lines(tmp_path / "b.txt", "name  x y z", "a 1 2 3")
    names, values = read_known(spaced)
    assert names == ["a"]
    np.testing.assert_array_equal(values, [[1, 2, 3]])


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["a,1,2,3"], "the first line must name the columns, name,x,y,z; it is 'a,1,2,3'"),
        (["name,x,y,z"], "no rows"),
        (["name,x,y,z", "a,1,2,3,4"], "line 2 has 5 cells"),
        (["name,x,y,z", "a,1,two,3"], "line 2: y is 'two', expected a number"),
        (["name,x,y,z", "a,1,,3"], "line 2: y is missing"),
        (["name,x,y,z", "a,1,nan,3"], "must be finite"),
        (["name,x,y,z", "a,1,2,3", "a,1,2,4"], "1 names occur twice; first: a"),
    ],
)
def test_a_table_that_cannot_be_right_is_refused(tmp_path: Path, lines: list[str], complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        read_known(write_lines(tmp_path / "known.csv", *lines))


def test_a_table_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="expected a table with the columns name,x,y,z"):
        read_known(tmp_path / "none.csv")


def test_photos_are_found_by_as_much_of_their_name_as_is_unique() -> None:
    photos = PhotoNames(["walk1/a.jpg", "walk2/a.jpg", "walk2/b.jpg"])
    assert photos.find("walk1/a.jpg") == 0
    assert photos.find("walk2/a") == 1
    assert photos.find("b.png") == 2
    assert photos.find("a.jpg") is None
    with pytest.raises(BadInput, match=r"x.csv line 3: 'c.jpg' is not one photo of the scene; names are like walk1/a.jpg"):
        photos.row("c.jpg", "x.csv line 3")


# --- clicks ---


def test_rays_of_two_photos_meet_where_the_hand_says() -> None:
    scene, clicks = two_views(apart=1.0, depth=2.0)
    found = triangulate(scene, "p", clicks)
    np.testing.assert_allclose(found.point, [0, 2, 0], atol=1e-6)
    assert found.angle_deg == pytest.approx(2 * np.degrees(np.arctan(0.25)))
    # 1 px is 2 / 500 m across at 2 m. Two of them: z / sqrt(2), and along the rays 1 / tan of half their angle more
    sigma = np.sqrt(np.diag(found.covariance))
    assert sigma[2] == pytest.approx(0.004 / np.sqrt(2), rel=0.01)
    assert sigma[1] == pytest.approx(4 * 0.004 / np.sqrt(2), rel=0.1)


def test_lens_distortion_is_removed(room: Scene) -> None:
    table = clicks_of(room, "p", CORNER)
    assert CAMERA.params[3] != 0
    clicks = [Click(room.frames.names.index(line.split(",")[1]), tuple(map(float, line.split(",")[2:]))) for line in table]
    found = triangulate(room, "p", clicks)
    np.testing.assert_allclose(found.point, CORNER, atol=1e-5)
    assert found.miss_px.max() < 1e-4


def test_one_photo_is_no_triangulation() -> None:
    scene, clicks = two_views()
    with pytest.raises(BadInput, match=r"point 'p' is clicked in one photo only \(frame-000000.jpg\)"):
        triangulate(scene, "p", [clicks[0], clicks[0]])


def test_nearly_parallel_rays_are_refused_with_their_angle() -> None:
    scene, clicks = two_views(apart=0.02)
    with pytest.raises(BadInput, match=r"its rays meet at 0\.5\d degrees"):
        triangulate(scene, "p", clicks)


def test_clicks_on_different_things_are_refused_and_the_worst_named() -> None:
    scene, clicks = two_views()
    wrong = Click(1, (clicks[1].pixel[0], clicks[1].pixel[1] + 60))
    with pytest.raises(BadInput, match=r"clicks miss one another \(frame-000000.jpg 30 px, frame-000005.jpg 30 px\)"):
        triangulate(scene, "p", [clicks[0], wrong])


def test_rays_that_part_are_refused() -> None:
    scene, clicks = two_views()
    with pytest.raises(BadInput, match="its rays meet behind frame-0000"):
        triangulate(scene, "p", [Click(0, clicks[1].pixel), Click(1, clicks[0].pixel)])


def test_a_pixel_outside_its_photo_is_refused() -> None:
    scene, clicks = two_views()
    with pytest.raises(BadInput, match=r"pixel 700,240 is outside frame-000000.jpg, which is 640x480"):
        triangulate(scene, "p", [Click(0, (700.0, 240.0)), clicks[1]])


def test_a_photo_without_intrinsics_is_refused() -> None:
    scene, clicks = two_views()
    unknown = replace(scene, frames=replace(scene.frames, cameras=("", "")))
    with pytest.raises(BadInput, match="has no intrinsics"):
        triangulate(unknown, "p", clicks)


# --- points ---


def test_a_table_of_points_takes_clicks_coordinates_and_numbers(tmp_path: Path) -> None:
    scene = save_room(tmp_path / "room")
    table = ["name,image,u,v,x,y,z,point3d", *[f"{line},,,," for line in clicks_of(scene, "corner", CORNER)]]
    path = write_lines(tmp_path / "points.csv", *table, "given,,,,1,2,3,", "seventh,,,,,,,7")
    points = read_points(path, scene, tmp_path / "room")
    assert points.names == ("corner", "given", "seventh")
    np.testing.assert_allclose(points.points[:2], [CORNER, [1, 2, 3]], atol=1e-5)
    line = (tmp_path / "room/sparse/points3D.txt").read_text().splitlines()[6].split()
    assert line[0] == "7"
    np.testing.assert_allclose(points.points[2], [float(word) for word in line[1:4]])
    assert points.covariances[0].any()
    assert not points.covariances[1:].any()
    moved = points.moved(ODD_FRAME.inverse())
    np.testing.assert_allclose(moved.points[0], [1.2, 3.9, 0.8], atol=1e-5)
    np.testing.assert_allclose(np.trace(moved.covariances[0]), np.trace(points.covariances[0]) / 4.2**2)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("p,frame-000001.jpg,3,4,,,,", "'frame-000001.jpg' is not one photo"),
        ("p,,,,,,,99999", "the scene's model has no point '99999'"),
        ("p,,,,,,,-1", "no point '-1'"),
        ("p,,,,1,2,,", "z is missing"),
        ("corner,,,,1,2,3,", "'corner' is given before"),
    ],
)
def test_a_row_that_is_no_point_is_refused_with_its_line(tmp_path: Path, row: str, complaint: str) -> None:
    scene = save_room(tmp_path / "room")
    table = ["name,image,u,v,x,y,z,point3d", *[f"{line},,,," for line in clicks_of(scene, "corner", CORNER, photos=2)]]
    with pytest.raises(BadInput, match=f"line 4: .*{complaint}"):
        read_points(write_lines(tmp_path / "points.csv", *table, row), scene, tmp_path / "room")


def test_ends_of_a_distance_are_names_coordinates_numbers_or_photos(tmp_path: Path) -> None:
    scene = save_room(tmp_path / "room")
    points = read_points(write_lines(tmp_path / "p.csv", "name,x,y,z", "a,1,2,3"), scene, tmp_path / "room")
    for text, place, sigma_m in (
        ("a", [1, 2, 3], 0.0),
        ("-1,0.5,2e1", [-1, 0.5, 20], 0.0),
        ("photo:frame-000005", scene.frames.poses.centers_m[1], 0.02),
    ):
        end = locate_point(text, points, scene, tmp_path / "room")
        np.testing.assert_allclose(end.point, place)
        assert (end.sigma_m, end.covariance.any()) == (sigma_m, False)
    for text in ("b", "1,2", "1,2,x", "photo:", "1,2,nan"):
        with pytest.raises(BadInput, match=r"is no point: expected a name \(--points has a\)"):
            locate_point(text, points, scene, tmp_path / "room")


# --- distances ---


def measured(metres: float, length: float, name: str = "a", sigma: float = 0.0) -> MeasuredDistance:
    return MeasuredDistance(Distance(name, "z", metres), length, sigma)


def test_one_distance_is_the_scale() -> None:
    fit = fit_scale([measured(3.0, 12.0)])
    assert fit.scale == pytest.approx(0.25)
    assert fit.residuals_m.tolist() == [0.0]


def test_several_distances_are_averaged_the_long_ones_most() -> None:
    fit = fit_scale([measured(1.02, 1.0), measured(10.0, 10.0)])
    assert fit.scale == pytest.approx((1.02 * 1 + 10.0 * 10) / 101, rel=1e-4)  # weights are squares of the lengths
    assert fit.kept.all()


def test_distances_between_clicks_count_by_how_sure_they_are() -> None:
    fit = fit_scale([measured(1.04, 1.0, sigma=0.02), measured(1.0, 1.0, sigma=0.0)])
    assert fit.scale == pytest.approx(1.0, abs=2e-3)
    assert fit.uncertainty < 0.01


def test_the_distance_that_disagrees_is_left_out() -> None:
    fit = fit_scale([measured(2.0, 1.0), measured(4.1, 2.0), measured(9.0, 3.0)])
    assert fit.kept.tolist() == [True, True, False]
    assert fit.residuals_m[2] == pytest.approx(-2.9, abs=0.1)


def test_two_distances_that_disagree_are_refused() -> None:
    with pytest.raises(BadInput, match=r"disagree .*a - z: 2 m, b - z: 3 m.*; a third distance would tell"):
        fit_scale([measured(2.0, 1.0), measured(3.0, 1.0, "b")])


def test_a_length_and_its_uncertainty_are_along_the_line() -> None:
    ends = (np.array([0.0, 0, 0]), np.array([3.0, 4, 0]))
    spread = np.diag([0.01, 0.0, 9.0])  # the last is across
    found = measure_distance(Distance("a", "b", 1.0), ends, (spread, np.zeros((3, 3))))
    assert (found.length, found.sigma) == (5.0, pytest.approx(0.1 * 0.6))


@pytest.mark.parametrize(
    ("metres", "other", "sigma", "complaint"),
    [
        (0.0, [1, 0, 0], 0.0, "expected a length from 0.001"),
        (-1.0, [1, 0, 0], 0.0, "expected a length from 0.001"),
        (1.0, [0, 0, 0], 0.0, "at one place"),
        (1.0, [1, 0, 0], 0.3, "uncertain by 0.3 for clicks"),
    ],
)
def test_a_distance_that_tells_nothing_is_refused(metres: float, other: list[float], sigma: float, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        measure_distance(
            Distance("a", "b", metres), (np.zeros(3), np.array(other, float)), (sigma**2 * np.eye(3), np.zeros((3, 3)))
        )


# --- positions ---


def test_positions_are_those_of_the_photos_named(room: Scene, tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "p.csv", "image,x,y,z", "frame-000010,1,2,3", "elsewhere.jpg,9,9,9", "frame-000000.jpg,4,5,6"
    )
    known = read_positions(path, room)
    assert known.rows.tolist() == [2, 0]
    assert known.positions_m.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert known.facts["not_in_scene"] == 1


def test_a_table_of_other_photos_is_refused(room: Scene, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "p.csv", "image,x,y,z", "a.jpg,1,2,3")
    with pytest.raises(BadInput, match=r"names no photo of the scene: its first is 'a.jpg', the scene's 'frame-000000.jpg'"):
        read_positions(path, room)


def test_degrees_become_metres_east_north_and_up() -> None:
    degree_m = np.pi / 180 * 6371e3
    local, origin = east_north_up(np.array([[52.0, 13.0, 40.0], [52.001, 13.0, 40.0], [52.0, 13.001, 43.0]]), "x")
    assert origin == [52.0, 13.0, 40.0]
    np.testing.assert_allclose(local[0], 0, atol=1e-6)
    np.testing.assert_allclose(local[1], [0, 0.001 * degree_m, 0], atol=0.5)  # a sphere is off by up to half a percent
    np.testing.assert_allclose(local[2], [0.001 * degree_m * np.cos(np.radians(52)), 0, 3], atol=0.5)
    with pytest.raises(BadInput, match="within 90 degrees"):
        east_north_up(np.array([[91.0, 0, 0]]), "x")


def photo_with_gps(path: Path, tags: dict[int, object]) -> Path:
    exif = Image.Exif()
    exif.get_ifd(0x8825).update(tags)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6)).save(path, exif=exif)
    return path


def test_exif_gives_degrees_with_their_signs(tmp_path: Path) -> None:
    tags: dict[int, object] = {1: "S", 2: (33.0, 30.0, 36.0), 3: "W", 4: (70.0, 15.0, 0.0), 5: b"\x00", 6: 520.5}
    np.testing.assert_allclose(photo_position(photo_with_gps(tmp_path / "a.jpg", tags)), [-33.51, -70.25, 520.5])
    below = photo_position(photo_with_gps(tmp_path / "b.jpg", tags | {5: b"\x01"}))
    assert below is not None
    assert below[2] == -520.5
    without = {number: value for number, value in tags.items() if number < 5}
    place = photo_position(photo_with_gps(tmp_path / "c.jpg", without))
    assert place is not None
    assert np.isnan(place[2])


def test_a_photo_without_position_or_that_is_none_has_none(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(b"nothing")
    assert [photo_position(tmp_path / name) for name in ("a.jpg", "b.jpg", "c.jpg")] == [None] * 3


def test_a_scene_without_positions_in_its_photos_says_what_to_give(room: Scene) -> None:
    with pytest.raises(BadInput, match=r"0 of 24 photos of room have a position in their EXIF; .*--positions"):
        positions_of_photos(room)


def test_positions_of_photos_are_metres_from_the_first_that_has_one(room: Scene) -> None:
    def tags(seconds_north: float) -> dict[int, object]:
        return {1: "N", 2: (52.0, 0.0, seconds_north), 3: "E", 4: (13.0, 0.0, 0.0), 5: b"\x00", 6: 40.0 + seconds_north}

    for row in (1, 4, 5):
        photo_with_gps(room.frames.images[row], tags(float(row)))
    photo_with_gps(room.frames.images[7], {1: "N", 2: (52.0, 0.0, 0.0), 3: "E", 4: (13.0, 0.0, 0.0)})  # no altitude
    known = positions_of_photos(room)
    assert known.rows.tolist() == [1, 4, 5]
    second_m = np.pi / 180 / 3600 * 6371e3
    np.testing.assert_allclose(known.positions_m[:, 1], [0, 3 * second_m, 4 * second_m], rtol=0.01)
    np.testing.assert_allclose(known.positions_m[:, 2], [0, 3, 4], atol=0.01)
    assert known.facts["origin_lat_lon_alt"] == [pytest.approx(52 + 1 / 3600), 13.0, 41.0]
    assert (known.facts["without_position"], known.level) == (21, False)


def test_photos_without_altitude_are_enough_for_a_scene_that_stands_upright(room: Scene) -> None:
    for row in (2, 6):
        tags: dict[int, object] = {1: "N", 2: (52.0, 0.0, float(row)), 3: "E", 4: (13.0, 0.0, 0.0)}
        photo_with_gps(room.frames.images[row], tags)
    with pytest.raises(
        BadInput, match=r"0 of 24 photos .* \(2 more lack the altitude, which --upright does without\); .*three"
    ):
        positions_of_photos(room)
    known = positions_of_photos(room, level=True)
    assert (known.rows.tolist(), known.level) == ([2, 6], True)
    np.testing.assert_allclose(known.positions_m[1, :2], [0, 4 * np.pi / 180 / 3600 * 6371e3], rtol=0.01, atol=1e-6)
    room.frames.images[2].unlink()
    with pytest.raises(BadInput, match=r"1 of 24 photos .* at least two are needed"):
        positions_of_photos(room, level=True)


def test_positions_are_interpolated_at_the_times_of_the_frames(room: Scene, tmp_path: Path) -> None:
    # frames 0, 5, 10 … at 10 a second, half a second late: 0.5, 1.0, 1.5 … s
    rows = [f"{stamp} {2 * stamp} 0 {-stamp} 0 0 0 1" for stamp in (1.7, 0.9, 1.3)]
    known = read_trajectory(
        write_lines(tmp_path / "t.txt", "# stamp tx ty tz", *rows, "2.1 4.2 0 -2.1"), room, tmp_path, 10.0, 0.5
    )
    assert known.rows.tolist() == [1, 2, 3]
    np.testing.assert_allclose(known.positions_m[:, 0], [2.0, 3.0, 4.0])
    assert known.facts["not_in_trajectory"] == 21


def test_nothing_is_interpolated_across_a_gap(room: Scene, tmp_path: Path) -> None:
    stamps = [0.0, 0.6, 1.1, 1.6, 4.9, 5.1, 5.6]
    path = write_lines(tmp_path / "t.txt", *[f"{stamp} 0 0 0 0 0 0 1" for stamp in stamps])
    times = room.frames.indices[read_trajectory(path, room, tmp_path, 10.0, 0.0).rows] / 10
    assert times.tolist() == [0.0, 0.5, 1.0, 1.5, 5.0, 5.5]


def test_a_trajectory_of_another_time_is_refused_with_both_spans(room: Scene, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.txt", *[f"{1e9 + stamp} 0 0 0 0 0 0 1" for stamp in range(3)])
    with pytest.raises(
        BadInput, match=r"0 of 24 frames fall into .* from 0.00 to 11.50 s, the trajectory from 1000000000.00"
    ):
        read_trajectory(path, room, tmp_path, 10.0, 0.0)
    with pytest.raises(BadInput, match="--fps is 0"):
        read_trajectory(path, room, tmp_path, 0.0, 0.0)
    with pytest.raises(NotFound):
        read_trajectory(tmp_path / "none.txt", room, tmp_path, 10.0, 0.0)
