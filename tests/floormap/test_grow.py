"""Walkable ground grown from walks, and pictures of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irploc.errors import BadInput, IrplocError
from irploc.floormap import FloorMap, GrowOptions, grow_floor_map
from irploc.floormap.grow import walk_points
from irploc.floormap.picture import write_floor_picture
from irploc.geometry import rotations
from irploc.geometry.poses import Poses
from irploc.scene import Frames, Scene

UPRIGHT = rotations.quaternion_from_matrix(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]))  # looks along x, z is up


def scene_of(places: list[tuple[float, float]], walks: list[str] | None = None, split: str = "train") -> Scene:
    """Photos at 1.6 m above these places, held upright."""
    count = len(places)
    names = tuple(f"{row}.jpg" for row in range(count))
    frames = Frames(
        tuple(Path("/nowhere") / name for name in names),
        names,
        walks or ["walk"] * count,
        range(count),
        [split] * count,
        ("",) * count,
        Poses(np.column_stack([np.array(places), np.full(count, 1.6)]), np.tile(UPRIGHT, (count, 1))),
    )
    return Scene("hall", Path("/nowhere"), frames)


LINE = [(x, 5.0) for x in np.arange(0, 4.01, 0.5)]


def test_all_ground_within_the_radius_of_a_walk_is_walkable_and_nothing_else() -> None:
    grown = grow_floor_map(scene_of(LINE), GrowOptions(radius_m=0.3, metres_per_pixel=0.02))
    assert grown.up == "z"
    on = np.array([[2.0, 5.27], [2.25, 4.73], [-0.27, 5.0], [4.27, 5.0]])
    off = np.array([[2.0, 5.33], [2.25, 4.67], [-0.33, 5.0], [4.33, 5.0], [-0.25, 5.25]])
    assert grown.contains(on).all()
    assert not grown.contains(off).any()
    area = 4 * 0.6 + np.pi * 0.3**2
    assert grown.walkable.sum() * 0.02**2 == pytest.approx(area, rel=0.05)


def test_photos_are_joined_unless_the_walk_jumps_or_another_one_begins() -> None:
    places = [*LINE, (30.0, 5.0), (30.5, 5.0), (30.0, 9.0)]
    grown = grow_floor_map(scene_of(places, ["a"] * 11 + ["b"]), GrowOptions(0.3, 0.05))
    assert grown.contains(np.array([[30.25, 5.0], [30.0, 9.0]])).all(), "joined, and a photo of its own"
    assert not grown.contains(np.array([[17.0, 5.0], [30.0, 7.0], [30.25, 7.0]])).any()


def test_a_walk_is_followed_by_number_and_not_by_row() -> None:
    scene = scene_of([(0.0, 0.0), (2.0, 0.0), (1.0, 0.0), (3.0, 0.0)])
    ordered = replace(scene.frames, indices=np.array([0, 2, 1, 3]))
    points = walk_points(ordered, "z", reach_m=0.1, spacing_m=0.25)
    assert len(points) == 4 + 3 * 3
    assert np.allclose(np.sort(points[:, 0]), np.arange(0, 3.1, 0.25))


def test_test_photos_do_not_tell_where_one_can_walk() -> None:
    with pytest.raises(BadInput, match="no mapping photos"):
        grow_floor_map(scene_of(LINE, split="test"), GrowOptions())


def test_one_photo_grows_a_disc() -> None:
    grown = grow_floor_map(scene_of([(1.0, 2.0)]), GrowOptions(0.5, 0.02))
    assert grown.walkable.sum() * 0.02**2 == pytest.approx(np.pi * 0.25, rel=0.05)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"radius_m": 0.01}, "at least a pixel"),
        ({"metres_per_pixel": 0.0}, "metres_per_pixel is 0"),
        ({"up": "w"}, "up is 'w'"),
        ({"metres_per_pixel": 0.0001}, "more than 25,000,000 pixels"),
    ],
)
def test_options_that_cannot_be_are_refused(changes: dict[str, float | str], words: str) -> None:
    with pytest.raises(IrplocError, match=words):
        grow_floor_map(scene_of(LINE), replace(GrowOptions(), **changes))  # type: ignore[arg-type]


def test_a_scene_without_scale_or_vertical_is_refused_with_what_would_help() -> None:
    with pytest.raises(BadInput, match=r"its units: as in the file.*irploc scene align"):
        grow_floor_map(replace(scene_of(LINE), units="as in the file"), GrowOptions())
    scene = scene_of(LINE[:2])
    rolled = np.stack([UPRIGHT, rotations.multiply([0.0, 1.0, 0.0, 0.0], UPRIGHT)])
    lying = replace(scene, frames=replace(scene.frames, poses=Poses(scene.frames.poses.centers_m, rolled)))
    with pytest.raises(BadInput, match="say which is up with --up"):
        grow_floor_map(lying, GrowOptions())


def hall(metres_per_pixel: float, **changes: object) -> FloorMap:
    """A plan of 100 x 40 pixels, walkable but for a frame."""
    walkable = np.zeros((40, 100), dtype=bool)
    walkable[5:35, 5:95] = True
    return FloorMap(walkable, metres_per_pixel, (-1.0, 3.0), **changes)  # type: ignore[arg-type]


def test_a_picture_shows_walkable_ground_blue_and_the_plan_beneath(tmp_path: Path) -> None:
    plan = tmp_path / "plan.png"
    Image.new("RGB", (100, 40), "#00aa00").save(plan)
    scene = scene_of(LINE)
    drawn = tmp_path / "deep/out.png"
    estimated = Poses(np.array([[1.0, 2.0, 1.6], [2.0, 4.0, 1.6]]), np.tile(UPRIGHT, (2, 1)))
    write_floor_picture(hall(0.06, plan=plan, yaw_deg=5.0), drawn, "hall", scene.frames.poses, estimated)
    pixels = np.asarray(Image.open(drawn).convert("RGB")).astype(int)
    green = (pixels[..., 1] > pixels[..., 0] + 40) & (pixels[..., 1] > pixels[..., 2] + 40)
    tinted = (pixels[..., 1] > pixels[..., 0] + 10) & (pixels[..., 2] > pixels[..., 0] + 10)
    assert green.mean() > 0.05, "the plan around the walkable ground"
    assert tinted.mean() > 0.2, "blue over green"
