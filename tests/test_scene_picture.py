"""The top view of a scene."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irploc.errors import BadInput
from irploc.geometry import rotations
from irploc.geometry.poses import Poses
from irploc.scene import Frames, Scene
from irploc.scene_picture import _figure_size, _round_length, _spaced, _walk, gaps_after, ground_axes, write_top_view

BLUE, RED = (0x44, 0x77, 0xAA), (0xEE, 0x66, 0x77)  # mapping and test photos


def scene_at(centers_m: list[list[float]], splits: list[str] | None = None, units: str = "metres") -> Scene:
    count = len(centers_m)
    frames = Frames(
        images=tuple(Path(f"/nowhere/{number}.png") for number in range(count)),
        names=tuple(f"{number}.png" for number in range(count)),
        sequences=np.array([""] * count, dtype=object),
        indices=np.arange(count),
        splits=np.array(splits or ["train"] * count, dtype=object),
        cameras=("",) * count,
        poses=Poses(np.array(centers_m, dtype=float).reshape(-1, 3), np.tile([1.0, 0, 0, 0], (count, 1))),
    )
    return Scene("hall", Path("/nowhere"), frames, units=units)


def pixels_like(image: Image.Image, color: tuple[int, int, int]) -> int:
    return int((np.abs(np.asarray(image.convert("RGB")).astype(int) - color).max(axis=2) < 8).sum())


@pytest.mark.parametrize(
    ("down", "right_and_up"),
    [
        ([0, 1, 0], (0, 2)),  # COLMAP: y is down
        ([0, 0, -1], (0, 1)),  # z is up
        ([0, -1, 0], (2, 0)),  # y is up: x to the right and z upwards would be a mirror image
        ([0, 0, 1], (1, 0)),
        ([1, 0, 0], (2, 1)),
        ([-1, 0, 0], (1, 2)),
    ],
)
def test_the_place_is_seen_from_above_whatever_axis_is_vertical(down: list[int], right_and_up: tuple[int, int]) -> None:
    turns = rotations.quaternion_from_matrix(
        [turn_with_down(np.array(down, dtype=float), angle) for angle in range(0, 300, 40)]
    )
    centers = np.random.default_rng(0).normal(size=(len(turns), 3)) + 50.0 * np.outer(np.arange(len(turns)), down)
    assert ground_axes(Poses(centers, turns)) == right_and_up
    right, up_the_page = np.eye(3)[list(right_and_up)]
    np.testing.assert_array_equal(np.cross(right, up_the_page), -np.array(down))  # towards the one who looks down


def turn_with_down(down: np.ndarray, heading_deg: float) -> np.ndarray:
    """A world_from_cam matrix whose y axis is ``down``."""
    some = np.roll(down, 1)
    other = np.cross(down, some)
    forward = np.cos(np.radians(heading_deg)) * some + np.sin(np.radians(heading_deg)) * other
    return np.stack([np.cross(down, forward), down, forward], axis=1)


def test_photos_without_a_common_vertical_are_drawn_in_the_plane_of_their_spread() -> None:
    rolled = np.array([[1.0, 0, 0, 0], [0, 0, 0, 1]])  # one upright, one upside down
    assert ground_axes(Poses([[0.0, 0, 0], [1, 5, 3]], rolled)) == (1, 2)
    assert ground_axes(Poses([[0.0, 0, 0], [9, 0.1, 3]], rolled)) == (0, 2)


def test_the_picture_shows_every_split_in_its_colour(tmp_path: Path) -> None:
    scene = scene_at([[x, 0, x % 3] for x in range(12)], ["train"] * 6 + ["test"] * 6)
    write_top_view(scene, tmp_path / "new" / "top.png")
    with Image.open(tmp_path / "new" / "top.png") as image:
        assert pixels_like(image, BLUE) > 50
        assert pixels_like(image, RED) > 50
    write_top_view(scene_at([[x, 0, x % 3] for x in range(12)]), tmp_path / "one.png")
    with Image.open(tmp_path / "one.png") as image:
        assert pixels_like(image, RED) == 0


def test_a_wide_place_gives_a_wide_picture_and_a_deep_one_a_high_one() -> None:
    wide, high = (_figure_size(np.array(points, dtype=float), 10.0) for points in ([[0, 0], [10, 2]], [[0, 0], [2, 10]]))
    assert wide[0] > wide[1]
    assert high[1] > high[0]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("centers_m", [[[1, 2, 3]], [[1, 2, 3]] * 4, [[0, 0, 0], [0, 0, 1e-9]], [[0, 0, 0], [1e6, 0, 0]]])
@pytest.mark.parametrize("units", ["metres", "as in the file"])
def test_odd_scenes_are_drawn_too(tmp_path: Path, centers_m: list, units: str) -> None:
    write_top_view(scene_at(centers_m, units=units), tmp_path / "top.png")
    with Image.open(tmp_path / "top.png") as image:
        assert pixels_like(image, BLUE) > 5


def test_a_scene_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="hall has no posed photos"):
        write_top_view(scene_at([]), tmp_path / "top.png")


def test_a_walk_goes_by_number_and_breaks_where_it_jumps() -> None:
    frames = scene_at([[x, 0, 0] for x in (2, 0, 1, 3, 100, 101)]).frames
    frames = replace(frames, indices=np.array([2, 0, 1, 3, 4, 5]))
    walk = _walk(frames, frames.poses.centers_m[:, :2], np.ones(6, dtype=bool))
    np.testing.assert_array_equal(walk[:, 0], [0, 1, 2, 3, np.nan, 100, 101])


@pytest.mark.parametrize(
    ("heights", "expected"),
    [([], []), ([3], []), ([0, 1], []), ([0, 0, 0, 0, 5], [3]), ([0, 1, 2, 11, 12, 30, 31, 32], [2, 4])],
)
def test_a_walk_jumps_where_a_step_is_far_longer_than_its_median(heights: list[float], expected: list[int]) -> None:
    walk = np.array([[0.0, 0.0, height] for height in heights]).reshape(-1, 3)
    assert gaps_after(walk).tolist() == expected


def test_arrows_keep_their_distance() -> None:
    assert _spaced(np.array([[0.0, 0], [0.4, 0], [1.0, 0], [1.5, 0], [2.2, 0]]), 1.0) == [0, 2, 4]


@pytest.mark.parametrize(("about", "length"), [(0.38, 0.2), (7.2, 5.0), (1.0, 1.0), (19.9, 10.0), (0.05, 0.05)])
def test_the_scale_is_a_round_length(about: float, length: float) -> None:
    assert _round_length(about) == pytest.approx(length)
