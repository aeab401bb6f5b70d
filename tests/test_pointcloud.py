"""Where a scene's points come from, and whether they lie in its frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from wall_place import CAMERA, WALL_M, make_wall, wall_points, write_depth, write_ply

from irploc.depth import depth_sensor
from irploc.errors import BadInput, NotFound
from irploc.pointcloud import (
    PointCloud,
    check_frame,
    frame_points,
    load_points,
    points_from_depth,
    scene_points,
)
from irploc.scene import Scene

MAPPING = np.arange(4)


@pytest.fixture
def wall(tmp_path: Path) -> Scene:
    return make_wall(tmp_path)


def cloud(points: np.ndarray) -> PointCloud:
    return PointCloud(points, None, "cloud.ply")


def write_model(folder: Path, points: str = "4 1.5 2 3 10 20 30 0.5\n2 -1 0 5 1 2 3 0.1\n") -> Path:
    folder.mkdir(parents=True)
    (folder / "cameras.txt").write_text("1 SIMPLE_PINHOLE 40 30 20 20 15\n")
    (folder / "images.txt").write_text("1 1 0 0 0 0 0 0 1 photo-0.png\n\n")
    (folder / "points3D.txt").write_text(points)
    return folder


@pytest.mark.parametrize("given", ["", "sparse/0", "sparse/0/points3D.txt"])
def test_the_points_of_a_colmap_model_come_with_their_colours_by_number(tmp_path: Path, given: str) -> None:
    write_model(tmp_path / "sparse/0")
    found = load_points(tmp_path / given)
    np.testing.assert_array_equal(found.points_m, [[-1, 0, 5], [1.5, 2, 3]])
    np.testing.assert_array_equal(found.colors, [[1, 2, 3], [10, 20, 30]])


def test_a_ply_file_loses_only_points_that_are_not_finite(tmp_path: Path) -> None:
    path = write_ply(tmp_path / "a.ply", np.array([[1, 2, 3], [np.nan, 0, 0], [np.inf, 0, 0], [4, 5, 6]]))
    found = load_points(path)
    np.testing.assert_array_equal(found.points_m, [[1, 2, 3], [4, 5, 6]])
    assert found.source == str(path)


def test_what_is_no_cloud_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "empty").mkdir()
    for name, problem in (("a.jpg", "expected a .ply file or the folder"), ("nothing.ply", "no point cloud")):
        with pytest.raises((BadInput, NotFound), match=problem):
            load_points(tmp_path / name)
    with pytest.raises(NotFound, match=r"no COLMAP model in .*empty"):
        load_points(tmp_path / "empty")
    with pytest.raises(BadInput, match=r"b\.ply has no points"):
        load_points(write_ply(tmp_path / "b.ply", np.full((3, 3), np.nan)))
    model = write_model(tmp_path / "damaged")
    (model / "points3D.txt").write_text("not numbers\n")
    with pytest.raises(BadInput, match=r"damaged is not a readable COLMAP model"):
        load_points(model)


def test_a_scene_has_the_points_of_its_model_else_of_its_file_else_none(tmp_path: Path) -> None:
    assert scene_points(tmp_path) is None
    write_model(tmp_path / "poses_only/sparse", points="")
    assert scene_points(tmp_path / "poses_only") is None
    write_ply(tmp_path / "points.ply", np.ones((3, 3)))
    assert len(scene_points(tmp_path) or ()) == 3
    write_model(tmp_path / "sparse")
    assert len(scene_points(tmp_path) or ()) == 2


def test_points_of_a_depth_map_lie_where_the_pixels_look(tmp_path: Path) -> None:
    wall = make_wall(tmp_path)
    depth = np.zeros((30, 40))
    depth[25, 30] = 4.0  # its centre is (30.5, 25.5), that of the camera (20, 15)
    write_depth(tmp_path / "images/photo-1.depth.png", depth)
    points = frame_points(wall, 1, 10_000)
    np.testing.assert_allclose(points, [[10.5 / 20 * 4, 10.5 / 20 * 4, 4]], rtol=1e-6)


def test_points_from_depth_lie_on_the_wall_in_the_world_with_the_colours_of_the_photos(wall: Scene) -> None:
    found = points_from_depth(wall, np.arange(6), 400)
    assert found is not None and found.colors is not None
    assert 350 <= len(found) <= 400
    np.testing.assert_allclose(found.points_m[:, 2], WALL_M, rtol=1e-6)
    assert (found.points_m[:, 0] > -2).all() and (found.points_m[:, 0] < 2.3).all()
    left = found.points_m[:, 0] < 0  # of all photos, the left half of the first sees furthest to the left
    assert (found.colors[found.points_m[:, 0] > 0.3] == 255).all() and (found.colors[left] == 0).all()


def test_points_are_spread_evenly_over_frames_and_pixels(wall: Scene) -> None:
    found = frame_points(wall, 0, 48)
    assert found is not None
    quarters = np.array([((found[:, 0] > 0) == right).sum() for right in (False, True)])
    assert 40 <= len(found) <= 48 and (quarters >= 18).all()
    whole = points_from_depth(wall, MAPPING, 3)
    assert whole is not None and len(whole) <= 3


def test_points_on_edges_lie_where_the_photo_changes(wall: Scene) -> None:
    found = points_from_depth(wall, np.array([0]), 30, on_edges=True)
    assert found is not None and len(found) >= 25
    assert np.abs(found.points_m[:, 0]).max() < 0.35  # the edge is at x = 0; a pixel is 0.1 m wide


def test_the_same_seed_gives_the_same_points(wall: Scene) -> None:
    first, again, other = (points_from_depth(wall, MAPPING, 100, seed) for seed in (5, 5, 6))
    assert first is not None and again is not None and other is not None
    np.testing.assert_array_equal(first.points_m, again.points_m)
    assert first.points_m.shape != other.points_m.shape or (first.points_m != other.points_m).any()


def test_depth_of_7_scenes_is_seen_from_the_sensors_place(tmp_path: Path) -> None:
    wall = make_wall(tmp_path)
    image = wall.frames.images[0]
    Image.new("RGB", (640, 480)).save(image)
    depth = np.zeros((480, 640))
    depth[240, 320] = 2.0
    write_depth(image.with_suffix(".depth.png"), depth)
    large = replace(wall, source="7scenes", cameras={"wide": replace(CAMERA, width=640, height=480, params=(525, 320, 240))})
    motion = depth_sensor("7scenes", CAMERA).photo_from_depth
    expected = motion[:3, :3] @ [0.5 / 585 * 2, 0.5 / 585 * 2, 2] + motion[:3, 3]
    np.testing.assert_allclose(frame_points(large, 0, 10**6), [expected], rtol=1e-6)


def test_no_depth_map_gives_no_points(wall: Scene) -> None:
    assert points_from_depth(wall, np.array([4, 5]), 100) is None
    assert frame_points(wall, 5, 100) is None


def test_a_depth_map_of_another_size_is_refused(wall: Scene) -> None:
    write_depth(wall.frames.images[2].with_suffix(".depth.png"), np.ones((15, 20)))
    with pytest.raises(BadInput, match=r"photo-2\.depth\.png is 20x15, but its camera is for 40x30"):
        points_from_depth(wall, MAPPING, 100)


def test_depth_without_intrinsics_is_refused_with_how_to_give_them(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"photo-0\.png has no intrinsics: give --focal PX"):
        points_from_depth(make_wall(tmp_path, with_camera=False), MAPPING, 100)


def test_a_cloud_in_the_scenes_frame_is_accepted(wall: Scene) -> None:
    check_frame(cloud(wall_points()), wall)
    check_frame(cloud(np.concatenate([wall_points(), wall_points(3000) - (0, 0, 30)])), wall)  # part of a larger place


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("metres", [100, -100])
def test_a_cloud_moved_by_100_m_is_refused(wall: Scene, axis: int, metres: int) -> None:
    with pytest.raises(BadInput, match=r"cloud\.ply lies in another frame than the scene wall: 0% of its points land"):
        check_frame(cloud(wall_points() + metres * np.eye(3)[axis]), wall)


@pytest.mark.parametrize("scale", [1000.0, 0.001], ids=["millimetres", "kilometres"])
def test_a_cloud_in_other_units_is_refused(wall: Scene, scale: float) -> None:
    with pytest.raises(BadInput, match=r"give points in the scene's world frame and units \(metres\)"):
        check_frame(cloud(wall_points() * scale), wall)


def test_a_cloud_cannot_be_checked_without_intrinsics(tmp_path: Path) -> None:
    wall = make_wall(tmp_path, with_camera=False)
    with pytest.raises(BadInput, match="has no intrinsics"):
        check_frame(cloud(wall_points()), wall)
    check_frame(cloud(wall_points()), wall, CAMERA)
