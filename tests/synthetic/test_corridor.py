"""The rendered corridors: their plan, their walks, what is written, and that plan and photos are of the same building."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irploc.floormap import FloorMap
from irploc.geometry.poses import Poses, pose_errors
from irploc.scene import Scene
from irploc.synthetic.corridor import CorridorOptions, render_corridor, scene_of_corridor, write_corridor
from irploc.synthetic.corridor_building import build_corridors, late, office_hours
from irploc.synthetic.corridor_plan import HALLS, Piece, raster, solid_blocks, walkable, wall_runs
from irploc.synthetic.corridor_walks import MAPPING_STROLL, TEST_STROLL, VALIDATION_STROLL, Stroll
from irploc.synthetic.raycast import Geometry
from irploc.synthetic.walks import look

TINY = CorridorOptions(width=32, height=24, mapping_frames=6, validation_frames=2, test_frames=3, metres_per_pixel=0.05)
STROLLS = pytest.mark.parametrize("stroll", [MAPPING_STROLL, VALIDATION_STROLL, TEST_STROLL])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corridors") / "office"
    write_corridor(folder, TINY)
    return folder


def area(rectangles) -> float:
    return sum((east - west) * (north - south) for west, south, east, north in rectangles)


def test_halls_and_solid_blocks_fill_the_building() -> None:
    assert area(HALLS) == pytest.approx(130.24)
    assert area(solid_blocks()) == pytest.approx(18.4 * 11.2 - 130.24)


def test_walls_are_as_long_as_counted_by_hand() -> None:
    runs = wall_runs()
    assert len(runs) == 4 + 8 + 8  # outside, and two cores with a niche each
    assert sum(run.length_m for run in runs) == pytest.approx(59.2 + (28.4 + 3.6) + (23.2 + 2.8))


def test_every_wall_is_seen_from_a_hall() -> None:
    grid = raster(0.05)
    free = grid.filled(list(HALLS))
    surfaces = [surface for surface in build_corridors(0).surfaces if surface.height_m == 2.6 and surface.down[2] == -1]
    walls = [wall for wall in surfaces if any(np.allclose(wall.origin[:2], run.start) for run in wall_runs())]
    assert len(walls) >= 20
    for wall in walls:
        middle = (wall.origin + wall.right * wall.width_m / 2)[:2]
        for side, inside in ((0.1, True), (-0.1, False)):
            column, row = grid.pixels((middle + side * wall.normal[:2])[None])[0].astype(int)
            assert free[row, column] == inside


def test_pixels_of_the_plan_count_from_the_upper_left_corner() -> None:
    grid = raster(0.02)
    assert grid.shape == (600, 960)
    assert grid.pixels(np.array([[-0.4, -0.4], [0.0, 11.2]])) == pytest.approx(np.array([[0.0, 600.0], [20.0, 20.0]]))


def test_walkable_ground_keeps_its_distance_from_walls_and_furniture() -> None:
    grid = raster(0.02)
    clear = walkable(grid, [Piece("bench", (8.0, 0.0, 9.0, 0.4), 0.45)], clearance_m=0.25)

    def at(x: float, y: float) -> bool:
        column, row = grid.pixels(np.array([[x, y]]))[0].astype(int)
        return bool(clear[row, column])

    assert at(7.0, 0.29) and not at(7.0, 0.21)
    assert at(8.5, 0.69) and not at(8.5, 0.61)
    assert at(8.5, 1.91) and not at(8.5, 1.99)
    assert not at(5.0, 5.0), "inside a core"
    assert not at(-0.2, 5.0), "outside the building"


@STROLLS
def test_walks_stay_on_walkable_ground_and_are_smooth_whatever_the_seed(stroll: Stroll) -> None:
    grid = raster(0.02)
    clear = walkable(grid, build_corridors(0).furniture, 0.25)
    for seed in range(8):
        poses = stroll.poses(400, np.random.default_rng(seed))
        columns, rows = grid.pixels(poses.centers_m[:, :2]).astype(int).T
        assert clear[rows, columns].all()
        step_m, step_deg = pose_errors(poses[1:], poses[:-1])
        assert step_m.max() < 0.6
        assert step_deg.max() < 40
        assert (np.abs(poses.centers_m[:, 2] - 1.55) < 0.2).all()


@STROLLS
def test_walkers_look_where_they_go(stroll: Stroll) -> None:
    poses = stroll.poses(400, np.random.default_rng(0))
    ahead = poses.to_matrices()[:-1, :2, 2]
    moved = np.diff(poses.centers_m[:, :2], axis=0)
    cosine = (ahead * moved).sum(axis=1) / np.linalg.norm(ahead, axis=1) / np.linalg.norm(moved, axis=1)
    assert np.median(cosine) > 0.97
    assert (cosine > 0).mean() > 0.98


def test_mapping_takes_forty_metres_and_more_and_the_others_do_not_follow_it() -> None:
    mapping, validation, test = (
        walk.poses(500, np.random.default_rng(number)).centers_m
        for number, walk in enumerate((MAPPING_STROLL, VALIDATION_STROLL, TEST_STROLL))
    )
    assert np.linalg.norm(np.diff(mapping, axis=0), axis=1).sum() > 100
    for other in (validation, test):
        gaps = np.linalg.norm(other[:, None] - mapping[None], axis=-1).min(axis=1)
        assert 0.1 < np.median(gaps) < 0.5
    assert np.linalg.norm(test[:, None] - validation[None], axis=-1).min(axis=1).mean() > 0.1


def test_photos_and_plan_are_of_the_same_building() -> None:
    geometry = Geometry(build_corridors(0).surfaces)
    zero = np.zeros(1)
    # From the middle of the corridor across: its two walls, the far wall of the south corridor, the door side of the north.
    for heading_deg, distance_m in ((0.0, 0.9), (180.0, 0.9), (270.0, 5.6), (90.0, 5.6)):
        pose = Poses.from_matrices(look(np.array([[10.5, 5.6, 2.3]]), np.radians([heading_deg]), zero, zero))
        depth_m = geometry.cast_rays(TINY.camera, pose).depth_m
        assert depth_m[12, 16] == pytest.approx(distance_m, abs=0.05)
        assert np.isfinite(depth_m).all()


def test_a_third_of_the_lamps_is_off_late() -> None:
    assert len(late().lights) / len(office_hours().lights) == pytest.approx(2 / 3, abs=0.05)


def test_the_same_seed_gives_the_same_photos_and_another_seed_others() -> None:
    def photos(seed: int) -> list[np.ndarray]:
        return list(
            render_corridor(CorridorOptions(16, 12, mapping_frames=1, validation_frames=0, test_frames=1, seed=seed))
        )

    first, again, other = photos(0), photos(0), photos(1)
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_photos_show_something_neither_black_nor_burnt_out(written: Path) -> None:
    for path in Scene.load(written).frames.images:
        with Image.open(path) as image:
            pixels = np.asarray(image).astype(float)
        assert pixels.shape == (24, 32, 3)
        assert 40 < pixels.mean() < 200
        assert pixels.std() > 10


def test_a_written_corridor_is_a_scene_of_three_walks(written: Path) -> None:
    loaded, known = Scene.load(written), scene_of_corridor(written, TINY)
    assert loaded.name == "office"
    assert list(loaded.frames.splits) == ["train"] * 6 + ["validation"] * 2 + ["test"] * 3
    assert list(loaded.frames.sequences) == ["map"] * 6 + ["validation"] * 2 + ["test"] * 3
    assert loaded.frames.names[8] == "test/frame-000000.jpg"
    assert loaded.cameras == {"rendered": TINY.camera}
    assert pose_errors(loaded.frames.poses, TINY.poses)[0].max() < 1e-9
    assert loaded.mapping_fingerprint == known.mapping_fingerprint


def test_the_written_floor_map_agrees_with_the_walks_and_the_plan(written: Path) -> None:
    floor_map = FloorMap.load(written / "floormap.toml")
    assert floor_map.up == "z"
    assert floor_map.contains(TINY.poses.centers_m[:, :2]).all()
    assert not floor_map.contains(np.array([[6.0, 5.0], [13.0, 6.0], [-0.1, 5.0], [9.0, 0.1]])).any()
    # 0.25 m inside the west wall of the building: from there, west is nearest for a point in the wall.
    moved = floor_map.move(np.array([[-0.2, 3.0, 1.5]]))
    assert moved.centers_m[0] == pytest.approx([0.25, 3.0, 1.5], abs=0.06)
    assert moved.moved_m[0] == pytest.approx(0.45, abs=0.06)
    with Image.open(written / "plan.png") as plan:
        colours = np.asarray(plan.convert("RGB"))
    assert colours.shape[:2] == floor_map.walkable.shape
    assert (colours[floor_map.walkable] == 255).all()
    assert (colours[~floor_map.walkable] != 255).any()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"width": 0}, "0x240"),
        ({"mapping_frames": 0, "validation_frames": 0, "test_frames": 0}, "cannot be rendered"),
        ({"test_frames": -1}, "-1 test"),
        ({"metres_per_pixel": 0.0}, "must be positive"),
    ],
)
def test_impossible_options_are_refused(values: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        CorridorOptions(**values)
