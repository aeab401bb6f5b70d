"""The ray caster: hand-computed pixels and depths, agreement with Camera.project, depth and colour across views."""

from __future__ import annotations

import numpy as np
import pytest

from irploc.geometry.cameras import Camera, cam_from_world, world_from_cam
from irploc.geometry.poses import Poses
from irploc.synthetic.place import Place, PlaceOptions, build_places
from irploc.synthetic.raycast import Geometry
from irploc.synthetic.surfaces import Box, Patch, Surface, box_surfaces, on_wall

# Looks along +y from the origin: right is +x, down is -z.
NORTHWARD = Poses.from_matrices([[[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]]])
CAMERA = Camera("SIMPLE_PINHOLE", 40, 30, (20.0, 20.0, 15.0))
OPTIONS = PlaceOptions(width=160, height=120)


def plain(patch: Patch) -> np.ndarray:
    return np.full((*patch.shape, 3), 0.5, np.float32)


def square(y: float, left: float, top: float, side: float) -> Surface:
    """A square that faces south, towards a camera at the origin that looks north."""
    return Surface(np.array([left, y, top]), np.array([1.0, 0, 0]), np.array([0, 0, -1.0]), side, side, plain)


def test_a_square_before_the_camera_covers_the_pixels_computed_by_hand() -> None:
    # At 4 m with f = 20 px, 1 m is 5 px: x from -1 to 1 m is columns 15 to 25, z from 1 to -1 m is rows 10 to 20.
    seen = Geometry([square(4.0, -1.0, 1.0, 2.0)]).cast_rays(CAMERA, NORTHWARD)
    covered = np.zeros((30, 40), bool)
    covered[10:20, 15:25] = True
    assert np.array_equal(seen.surface == 0, covered)
    assert np.allclose(seen.depth_m[covered], 4.0, atol=1e-6)
    assert np.isinf(seen.depth_m[~covered]).all()


def test_texture_coordinates_are_metres_from_the_upper_left_corner() -> None:
    # The centre of pixel (column 15, row 10) is at x = (15.5 - 20) / 5 = -0.9 m, 0.1 m right of and below the corner.
    seen = Geometry([square(4.0, -1.0, 1.0, 2.0)]).cast_rays(CAMERA, NORTHWARD)
    assert seen.u[10, 15] / seen.inverse_depth[10, 15] == pytest.approx(0.1, abs=1e-5)
    assert seen.v[10, 15] / seen.inverse_depth[10, 15] == pytest.approx(0.1, abs=1e-5)
    assert seen.u[10, 24] / seen.inverse_depth[10, 24] == pytest.approx(1.9, abs=1e-5)


def test_the_nearer_square_hides_the_farther_one_in_either_order() -> None:
    near, far = square(2.0, -0.2, 0.2, 0.4), square(4.0, -1.0, 1.0, 2.0)
    for surfaces in ([near, far], [far, near]):
        depth = Geometry(surfaces).cast_rays(CAMERA, NORTHWARD).depth_m
        assert depth[15, 20] == pytest.approx(2.0)
        assert depth[11, 16] == pytest.approx(4.0)


def test_a_surface_is_not_seen_from_behind_nor_behind_the_camera() -> None:
    turned = Surface(np.array([1.0, 4.0, 1.0]), np.array([-1.0, 0, 0]), np.array([0, 0, -1.0]), 2.0, 2.0, plain)
    assert (Geometry([turned, square(-4.0, -1, 1, 2)]).cast_rays(CAMERA, NORTHWARD).surface == -1).all()


def test_a_surface_that_reaches_behind_the_camera_is_seen_where_it_is_in_front() -> None:
    floor = Surface(np.array([-5.0, 5.0, -1.0]), np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), 10.0, 10.0, plain)
    seen = Geometry([floor]).cast_rays(CAMERA, NORTHWARD)
    # The ray of row r goes down by (r + 0.5 - 15) / 20 per metre and meets the floor 1 m below at depth 20 / (r - 14.5).
    assert seen.depth_m[29, 20] == pytest.approx(20 / 14.5, abs=1e-5)
    assert seen.depth_m[19, 20] == pytest.approx(20 / 4.5, abs=1e-5)
    assert (seen.surface[:18] == -1).all()  # beyond the floor's far end, 5 m away
    assert (seen.surface[20:] == 0).any(axis=1).all()


def test_a_box_seen_from_inside_leaves_no_gap() -> None:
    room = box_surfaces(Box((0.0, 0.0, 0.0), (4.0, 3.0, 2.0), 17.0), {"all": plain}, inward=True)
    rng = np.random.default_rng(0)
    for _ in range(10):
        pose = Poses(rng.uniform(-0.5, 0.5, (1, 3)), rng.normal(size=(1, 4)))
        assert (Geometry(room).cast_rays(CAMERA, pose, 2).surface >= 0).all()


def test_faces_of_a_box_look_outward_and_close_it() -> None:
    box = Box((1.0, 2.0, 3.0), (0.4, 0.6, 0.8), 30.0)
    faces = box_surfaces(box, {"all": plain})
    assert len(faces) == 6
    assert sum(face.width_m * face.height_m for face in faces) == pytest.approx(2 * (0.24 + 0.32 + 0.48))
    for face in faces:
        outward = face.corners.mean(axis=0) - np.asarray(box.center)
        assert np.allclose(outward / np.linalg.norm(outward), face.normal)
        local = (face.corners - np.asarray(box.center)) @ box.axes
        assert np.allclose(np.abs(local), [0.2, 0.3, 0.4])


def test_the_corner_of_a_turned_box_is_where_the_camera_model_projects_it() -> None:
    box = Box((0.3, 3.0, -0.2), (0.8, 0.8, 0.8), 25.0)
    camera = Camera("PINHOLE", 400, 300, (260.0, 250.0, 195.0, 155.0))
    seen = Geometry(box_surfaces(box, {"all": plain})).cast_rays(camera, NORTHWARD)
    corners = np.asarray(box.center) + np.array([[-0.4, -0.4, 0.4], [-0.4, -0.4, -0.4]]) @ box.axes.T
    pixels = camera.project(cam_from_world(corners, NORTHWARD))
    for (x, y), inward in zip(pixels, (1, -1), strict=True):
        beside = [(int(x + dx), int(y + 3 * inward)) for dx in (-4, 4)]
        numbers = {int(seen.surface[row, column]) for column, row in beside}
        assert len(numbers) == 2  # the upright edge through the corner separates two faces
        assert -1 not in numbers
        assert seen.surface[int(y - 4 * inward), int(x)] in (-1, 4, 5)  # beyond it: the lid, the base, or nothing


@pytest.fixture(scope="module")
def by_day() -> Place:
    return build_places(OPTIONS)[0]


def test_depth_of_one_view_lands_on_the_surfaces_of_another(by_day: Place) -> None:
    options, camera = OPTIONS, OPTIONS.camera
    first, second = options.poses[[20]], options.poses[[24]]
    depth = by_day.depth_m(camera, first).astype(np.float64)
    pixels = np.stack(np.meshgrid(np.arange(160) + 0.5, np.arange(120) + 0.5), axis=-1).reshape(-1, 2)
    points = world_from_cam(camera.unproject(pixels, depth.ravel()), first)
    in_second = cam_from_world(points, second)
    landed = camera.project(in_second)
    inside = (landed >= 1).all(axis=1) & (landed < [159, 119]).all(axis=1)
    column, row = landed[inside].astype(int).T
    found = by_day.depth_m(camera, second)[row, column]
    agrees = np.abs(found / in_second[inside, 2] - 1) < 0.02
    assert inside.mean() > 0.5
    assert agrees.mean() > 0.9  # the others are hidden from one of the two cameras
    image, image_second = (by_day.photograph(camera, pose).astype(float) for pose in (first, second))
    difference = np.abs(image.reshape(-1, 3)[inside][agrees] - image_second[row[agrees], column[agrees]]).mean()
    shuffled = np.abs(image.reshape(-1, 3)[inside][agrees] - image_second[row[agrees][::-1], column[agrees][::-1]]).mean()
    assert difference < 10
    assert difference < 0.35 * shuffled


def test_every_rendered_depth_lies_on_the_plane_of_the_surface_it_was_found_on(by_day: Place) -> None:
    camera, pose = OPTIONS.camera, OPTIONS.poses[[7]]
    seen = by_day.geometry.cast_rays(camera, pose)
    pixels = np.stack(np.meshgrid(np.arange(160) + 0.5, np.arange(120) + 0.5), axis=-1).reshape(-1, 2)
    points = world_from_cam(camera.unproject(pixels, seen.depth_m.ravel()), pose)
    numbers = seen.surface.ravel()
    offsets = np.einsum("nk,nk->n", points - by_day.geometry.origins[numbers], by_day.geometry.normals[numbers])
    assert np.abs(offsets).max() < 1e-4


def test_a_picture_hangs_upright_and_unmirrored_on_its_wall() -> None:
    wall = box_surfaces(Box((0, 0, 0), (4.0, 4.0, 2.0)), {"back": plain}, inward=True)[0]
    picture = on_wall(wall, 1.5, 0.8, (1.0, 0.4), plain)
    # The camera at the origin looks north at the wall 2 m away, left of the wall is x = -2, its top z = 1.
    assert np.allclose(picture.origin, [-0.5, 1.985, 0.2])
    pixels = CAMERA.project(cam_from_world(picture.corners, NORTHWARD))
    assert pixels[0, 0] < pixels[1, 0]
    assert pixels[0, 1] < pixels[3, 1]
