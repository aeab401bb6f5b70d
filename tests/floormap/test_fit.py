"""Whether a floor map fits a walk: what is refused, what is noted, and which other placement is named."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from irploc.errors import Mismatch
from irploc.floormap import FloorMap, Source, check_fit
from irploc.floormap.fit import MOST_OUTSIDE, NOTED_OUTSIDE, SLACK_M
from irploc.geometry import rotations
from irploc.geometry.poses import Poses

UPRIGHT = rotations.quaternion_from_matrix(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]))  # looks along x, z is up
LINE = [(float(x), 5.0) for x in np.arange(0, 4.01, 0.5)]


def poses_at(places: object) -> Poses:
    """Photos at 1.6 m above (N, 2) places, held upright."""
    at = np.array(places, dtype=float)
    return Poses(np.column_stack([at, np.full(len(at), 1.6)]), np.tile(UPRIGHT, (len(at), 1)))


def hall(metres_per_pixel: float, **changes: object) -> FloorMap:
    """A plan of 100 x 40 pixels, walkable but for a frame."""
    walkable = np.zeros((40, 100), dtype=bool)
    walkable[5:35, 5:95] = True
    return FloorMap(walkable, metres_per_pixel, (-1.0, 3.0), **changes)  # type: ignore[arg-type]


def hook(metres_per_pixel: float = 0.1, origin_m: tuple[float, float] = (2.0, 1.0), **changes: object) -> FloorMap:
    """Corridors 1 m wide in the inner 12 x 8 m of a plan of 16 x 12 m: along the lower edge, up the left one, and a stub up
    from the right end; no mirror image and no turn of it is the same."""
    walkable = np.zeros((120, 160), dtype=bool)
    walkable[90:100, 20:140] = True
    walkable[20:100, 20:30] = True
    walkable[70:90, 130:140] = True
    return FloorMap(walkable, metres_per_pixel, origin_m, **changes)  # type: ignore[arg-type]


def walk_of_hook() -> Poses:
    """Down the left corridor, along the lower one, up the stub, on their middle lines; a photo every 0.1 m."""
    corners = np.array([[4.5, 10.5], [4.5, 3.5], [15.5, 3.5], [15.5, 5.5]])
    parts = [np.linspace(a, b, round(10 * np.abs(b - a).sum())) for a, b in pairwise(corners)]
    return poses_at(np.concatenate(parts))


def refused(floor_map: FloorMap, poses: Poses, strict: bool = False) -> str:
    with pytest.raises(Mismatch) as caught:
        check_fit(floor_map, poses, "scene hall", strict=strict)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def outside_by(distances_m: list[float]) -> Poses:
    """Photos on a map of 100 x 10 m from (0, 0), and beneath it by these distances."""
    return poses_at([[10.0 + 80 * row / len(distances_m), 5.0 if d == 0 else -d] for row, d in enumerate(distances_m)])


WIDE = FloorMap(np.ones((100, 1000), dtype=bool), 0.1)


def test_photos_are_counted_on_the_ground_and_within_the_slack() -> None:
    fit = check_fit(WIDE, outside_by([0.0] * 16 + [0.2, 0.29, 0.31, 4.0]), "scene hall")
    assert fit.distances_m[16:] == pytest.approx([0.2, 0.29, 0.31, 4.0], abs=0.001)
    assert (fit.off_ground, fit.outside) == (0.2, 0.1)
    assert fit.summary == "16 of 20 mapping photos (80 %) on walkable ground, 18 within 0.3 m of it"
    assert fit.note is not None and fit.note.startswith(
        "10 % of 20 mapping photos are not on walkable ground nor within 0.3 m"
    )


@pytest.mark.parametrize(
    ("outside", "noted", "is_refused"),
    [(0, False, False), (5, False, False), (6, True, False), (20, True, False), (21, True, True)],
)
def test_more_than_a_twentieth_outside_is_noted_and_more_than_a_fifth_refused(
    outside: int, noted: bool, is_refused: bool
) -> None:
    assert (NOTED_OUTSIDE, MOST_OUTSIDE) == (0.05, 0.2)
    poses = (
        outside_by([0.0, 3.0, 0.0, 3.0] + [3.0] * (outside - 2) + [0.0] * (98 - outside))
        if outside
        else outside_by([0.0] * 100)
    )
    if is_refused:
        assert f"{outside} % of 100 mapping photos" in refused(WIDE, poses)
    else:
        assert (check_fit(WIDE, poses, "scene hall").note is not None) == noted


def test_a_mask_with_a_wide_clearance_is_not_refused() -> None:
    fit = check_fit(WIDE, outside_by([SLACK_M - 0.01] * 20), "scene hall")
    assert (fit.off_ground, fit.outside, fit.misfits) == (1.0, 0.0, False)


def test_a_map_that_says_so_is_accepted_with_a_note() -> None:
    poses = outside_by([3.0] * 20)
    fit = check_fit(replace(WIDE, accept_outside=True), poses, "scene hall", strict=True)
    assert fit.misfits and fit.note is not None and fit.note.startswith("100 % of 20 mapping photos")


@pytest.mark.parametrize("scale", [0.3, 0.5, 0.7, 1.5, 2.0, 3.0, 5.0])
@pytest.mark.parametrize("about_corner", [True, False])
def test_a_plan_of_the_wrong_scale_is_refused_and_the_one_named_holds_the_photos(scale: float, about_corner: bool) -> None:
    origin = (2.0, 1.0) if about_corner else (2.0 * scale, scale)
    said = refused(hook(0.1 * scale, origin), walk_of_hook())
    assert said.endswith("none would lie outside")
    named = float(said.split("with metres_per_pixel about ")[1].split()[0])
    if " and origin " in said:
        x, y = said.split(" and origin ")[1].split()[0].split(",")
        origin = float(x), float(y)
    assert named == pytest.approx(0.1, rel=0.06)
    assert check_fit(hook(named, origin), walk_of_hook(), "scene hall").outside == 0


def test_the_right_plan_says_nothing() -> None:
    fit = check_fit(hook(), walk_of_hook(), "scene hall", strict=True)
    assert (fit.outside, fit.note) == (0.0, None)
    assert fit.span == pytest.approx(11 / 12)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda walkable: walkable[:, ::-1], "the plan mirrored left to right"),
        (lambda walkable: walkable[::-1], "the plan mirrored top to bottom"),
        (lambda walkable: walkable[::-1, ::-1], "the plan turned by 180 degrees"),
        (lambda walkable: np.rot90(walkable), "the plan turned by 90 degrees clockwise"),
        (lambda walkable: np.rot90(walkable, -1), "the plan turned by 90 degrees counter-clockwise"),
    ],
)
def test_a_mirrored_or_turned_plan_is_refused_and_what_undoes_it_named(wrong: object, words: str) -> None:
    floor_map = replace(hook(), walkable=wrong(hook().walkable))  # type: ignore[operator]
    assert refused(floor_map, walk_of_hook()).endswith(f": with {words} none would lie outside")


@pytest.mark.parametrize("yaw", [90.0, 180.0, 270.0])
def test_a_yaw_off_by_quarter_turns_is_named(yaw: float) -> None:
    assert refused(hook(yaw_deg=yaw), walk_of_hook()).endswith(f": with yaw_deg 0 instead of {yaw:g} none would lie outside")


def test_polygons_in_metres_are_told_by_how_much_they_would_have_to_be_scaled() -> None:
    source = Source(polygons=Path("rooms.geojson"))
    said = refused(hook(0.2, source=source), walk_of_hook())
    assert float(said.split("with the polygons scaled by about ")[1].split()[0]) == pytest.approx(0.5, rel=0.06)
    assert "metres_per_pixel" not in said and "yaw" not in said
    turned = replace(hook(source=source), walkable=hook().walkable[::-1])
    assert refused(turned, walk_of_hook()).endswith("with the polygons mirrored top to bottom none would lie outside")
    assert "metres_per_pixel" not in refused(hall(0.006, source=source), poses_at(LINE))
    assert "metres_per_pixel" not in refused(hall(1.0, source=source), poses_at(LINE[:2]), strict=True)
    pixels = replace(source, polygon_units="pixels")
    assert "with metres_per_pixel about 0." in refused(hook(0.2, source=pixels), walk_of_hook())


def test_a_scale_slightly_off_is_noted_where_another_halves_the_photos_off_the_ground() -> None:
    fit = check_fit(hook(0.105), walk_of_hook(), "scene hall")
    assert fit.off_ground > NOTED_OUTSIDE and fit.outside < MOST_OUTSIDE
    assert fit.note is not None
    named = float(fit.note.split("with metres_per_pixel about ")[1].split()[0])
    assert named == pytest.approx(0.1, rel=0.06)
    assert fit.note.endswith("none would lie outside") and check_fit(hook(named), walk_of_hook(), "hall").off_ground == 0


@pytest.mark.parametrize(("scale", "noted"), [(1.0, False), (1.5, False), (2.0, True), (3.0, True), (5.0, True)])
def test_a_walk_inside_a_plan_much_too_large_is_noted(scale: float, noted: bool) -> None:
    room = FloorMap(np.ones((30, 50), dtype=bool), 0.1 * scale)
    poses = poses_at([(x, 1.5) for x in np.linspace(0.3, 4.7, 20)])
    note = check_fit(room, poses, "scene hall", strict=True).note
    assert (note is not None) == noted
    if note is not None:
        assert f"right if the walk kept to a part of it, else metres_per_pixel {0.1 * scale:g} is too large" in note


def test_spans_are_along_the_sides_of_the_plan() -> None:
    """A walk of 5 m along the diagonal of the scene, which is the long side of the plan."""
    floor_map = FloorMap(np.ones((20, 60), dtype=bool), 0.1, yaw_deg=45.0)
    along, across = np.array([1, 1]) / np.sqrt(2), np.array([-1, 1]) / np.sqrt(2)
    fit = check_fit(floor_map, poses_at([0.5 * along + across, 5.5 * along + across]), "scene hall")
    assert fit.outside == 0
    assert fit.span == pytest.approx(5 / 6)


@pytest.mark.parametrize(
    ("floor_map", "words"),
    [
        (hall(0.006), "100 % of 9 mapping photos are not on walkable ground nor within 0.3 m of it; the mapping photos "
         "span 4 x 0 m, the walkable area 0.54 x 0.18 m: metres_per_pixel 0.006 is too small, it would have to be at least "
         "0.044"),
        (hall(6.0), "look whether metres_per_pixel 6 is too large"),
        (hall(0.06, up="-y"), "the photos hold z up, the map says up is -y"),
        (hall(0.06, yaw_deg=180.0), "with yaw_deg 0 instead of 180 none would lie outside"),
        (replace(hall(0.06), origin_m=(500.0, 3.0)), "look at metres_per_pixel, origin and yaw with 'irploc floormap show'"),
    ],
)  # fmt: skip
def test_a_map_that_does_not_fit_is_refused_with_what_was_seen_and_what_would_be_right(
    floor_map: FloorMap, words: str
) -> None:
    assert words in refused(floor_map, poses_at(LINE))


def test_a_walk_that_is_tiny_beside_the_plan_is_refused_where_that_is_asked_for() -> None:
    poses = poses_at([(x + 20, y + 10) for x, y in LINE])
    check_fit(hall(1.0), poses, "scene hall")
    said = refused(hall(1.0), poses, strict=True)
    assert "0 % of 9 mapping photos are not" in said and "metres_per_pixel 1 is too large" in said


def test_without_known_poses_nothing_is_said() -> None:
    for poses in (poses_at(LINE)[[]], Poses.missing(3)):
        fit = check_fit(hall(0.06), poses, "scene hall", strict=True)
        assert (fit.note, fit.misfits, fit.summary) == (None, False, "no mapping photos to compare with")


def test_a_file_keeps_that_photos_outside_are_accepted_and_says_nothing_else_by_itself(tmp_path: Path) -> None:
    for accepted in (True, False):
        path = tmp_path / f"{accepted}.toml"
        replace(hall(0.06), accept_outside=accepted).save(path)
        assert FloorMap.load(path).accept_outside is accepted
        assert ("accept_outside" in path.read_text()) is accepted
    assert hall(0.06).sha256 == replace(hall(0.06), accept_outside=True).sha256
