"""The arithmetic of map making: epipolar distances, observations, key photos, pairs, refinement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from irploc.errors import BadInput, Mismatch
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.progress import Silent
from irploc.retrieval.index import flat_index
from irploc.scene import Frames
from irploc.structure.comparison import nearest, nearest_in_both
from irploc.structure.current import LEFT_OUT, check_map
from irploc.structure.epipolar import essential_matrix, sampson_distance
from irploc.structure.features import SCALE
from irploc.structure.keyphotos import choose_key_photos, nearest_views
from irploc.structure.matching import mutual_matches
from irploc.structure.observations import Observations
from irploc.structure.options import MapOptions
from irploc.structure.pairing import similar_pairs, spacing_m
from irploc.structure.refinement import refine_points

CAMERA = Camera("SIMPLE_PINHOLE", 200, 100, (100.0, 100.0, 50.0))
FORWARD = (1.0, 0.0, 0.0, 0.0)


def poses_at(*centers: tuple[float, float, float]) -> Poses:
    """Cameras that look along z."""
    return Poses(np.array(centers, dtype=float), np.tile(FORWARD, (len(centers), 1)))


def frames_at(poses: Poses, names: tuple[str, ...] | None = None) -> Frames:
    count = len(poses)
    names = names or tuple(f"{row}.png" for row in range(count))
    return Frames(tuple(map(Path, names)), names, ["w"] * count, range(count), ["train"] * count, ("c",) * count, poses)


def descriptor(*places: int) -> np.ndarray:
    """A unit RootSIFT vector with equal weight on some sixteenths of its components, as bytes."""
    vector = np.zeros((16, 8))
    vector[list(places)] = np.sqrt(1 / len(places) / 8) * SCALE
    return vector.ravel().round().astype(np.uint8)


def sixteenths(unit: np.ndarray) -> np.ndarray:
    """(..., 16) lengths of the sixteenths of unit descriptors (..., 128)."""
    return np.linalg.norm(unit.reshape(*unit.shape[:-1], 16, 8), axis=-1)


def seen(poses: Poses, points_m: np.ndarray, who: list[tuple[int, int]]) -> Observations:
    """Observations (photo, point) of points at their exact pixels, each with a descriptor of its own photo and point."""
    pixels = [CAMERA.project(points_m[point] - poses.centers_m[photo]) for photo, point in who]
    return Observations(
        names=tuple(f"{row}.png" for row in range(len(poses))),
        poses=poses,
        photo_cameras=("c",) * len(poses),
        cameras={"c": CAMERA},
        points_m=points_m,
        photos=np.array([photo for photo, _ in who], dtype=np.int32),
        points=np.array([point for _, point in who], dtype=np.int32),
        pixels=np.array(pixels, dtype=np.float32),
        descriptors=np.stack([descriptor(point, 10 + photo) for photo, point in who]),
        identity={"scene": "line"},
    )


THREE = poses_at((0, 0, 0), (1, 0, 0), (2, 0, 0))
POINTS = np.array([[0.5, 0.0, 4.0], [1.0, 0.5, 5.0], [1.5, -0.5, 4.0]])
ALL_SEE_FIRST = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (1, 2), (2, 2)]


def test_sideways_cameras_have_level_epipolar_lines_and_half_the_row_difference_is_sampsons_distance_times_root_two() -> (
    None
):
    first, second = np.linalg.inv(poses_at((0, 0, 0), (3, 0, 0)).to_matrices())
    essential = essential_matrix(first, second)
    # x' E x = y - y' up to sign; both lines have unit normals, so that the distance is |y - y'| / sqrt(2)
    distance = sampson_distance(essential, np.array([[0.3, 0.1], [0.3, 0.1]]), np.array([[-0.5, 0.1], [-0.9, 0.3]]))
    np.testing.assert_allclose(distance, [0.0, 0.2 / np.sqrt(2)], atol=1e-12)


def test_the_same_point_in_two_turned_photos_lies_on_its_epipolar_line() -> None:
    turned = Poses(np.array([[0, 0, 0], [1, 0.3, -0.2]]), np.array([[1, 0, 0, 0], [0.97, 0.1, -0.2, 0.05]]))
    matrices = np.linalg.inv(turned.to_matrices())
    local = [matrix[:3, :3] @ [0.2, -0.1, 3.0] + matrix[:3, 3] for matrix in matrices]
    rays = [(point[:2] / point[2])[None] for point in local]
    assert sampson_distance(essential_matrix(*matrices), *rays)[0] < 1e-12
    assert sampson_distance(essential_matrix(*matrices), rays[0], rays[1] + [[0.0, 0.01]])[0] > 1e-3


def test_photos_from_one_place_have_no_epipolar_lines() -> None:
    same = np.linalg.inv(poses_at((1, 2, 3), (1, 2, 3)).to_matrices())
    assert not essential_matrix(*same).any()


def test_quick_mutual_matches_are_those_of_the_plain_ones() -> None:
    import torch

    vectors = np.random.default_rng(0).normal(size=(2, 60, 16)).astype(np.float32)
    vectors[1, :30] = vectors[0, 10:40] + 0.05 * vectors[1, :30]
    first, second = vectors / np.linalg.norm(vectors, axis=2, keepdims=True)
    quick = nearest_in_both(torch.from_numpy(first), torch.from_numpy(second), 0.85)
    np.testing.assert_array_equal(quick, mutual_matches(first, second, 0.85))
    assert len(quick) >= 30
    assert len(nearest(torch.from_numpy(first), torch.from_numpy(second), 0.85)) >= len(quick)


def test_a_map_of_observations_is_ordered_by_photo_and_has_mean_descriptors() -> None:
    made = seen(THREE, POINTS, ALL_SEE_FIRST[::-1]).to_map()
    np.testing.assert_array_equal(made.points_m, POINTS)
    np.testing.assert_array_equal(made.starts, [0, 2, 5, 7])
    assert sorted(made.seen_by(1)) == [0, 1, 2]
    # point 1 was seen by photos 0 and 1: (e1 + e10)/sqrt 2 and (e1 + e11)/sqrt 2 have the mean direction (2, 1, 1)/sqrt 6
    parts = sixteenths(made.unit_descriptors)[1]
    np.testing.assert_allclose(parts[[1, 10, 11]], np.array([2, 1, 1]) / np.sqrt(6), atol=0.01)
    assert made.identity["scene"] == "line"


def test_a_photo_held_out_leaves_no_trace_in_the_map() -> None:
    everything = seen(THREE, POINTS, ALL_SEE_FIRST)
    everything = replace(everything, points_m=POINTS + np.array([[0.3, 0, 0.1], [0, 0, 0], [0, 0, 0]]))
    made = everything.to_map(np.array([True, True, False]))
    assert made.names == ("0.png", "1.png")
    assert len(made) == 2  # point 2 has one observation left
    parts = sixteenths(made.unit_descriptors)[0]
    np.testing.assert_allclose(parts[[0, 10, 11, 12]], np.array([2, 1, 1, 0]) / np.sqrt(6), atol=0.01)
    # what the held photo did to the point's place goes too: the two rays that are left meet in the true point
    np.testing.assert_allclose(made.points_m, POINTS[:2], atol=1e-4)


def test_photos_that_see_nothing_are_not_in_the_map() -> None:
    made = seen(THREE, POINTS, [(0, 0), (1, 0)]).to_map()
    assert made.names == ("0.png", "1.png")
    assert len(seen(THREE, POINTS, [(0, 0), (1, 1)]).to_map()) == 0


def test_observations_of_a_map_make_the_same_map() -> None:
    made = seen(THREE, POINTS, ALL_SEE_FIRST).to_map()
    again = Observations.of_map(made).to_map()
    np.testing.assert_array_equal(again.observed, made.observed)
    np.testing.assert_array_equal(again.pixels, made.pixels)
    assert np.abs(again.descriptors.astype(int) - made.descriptors).max() <= 1


def test_observations_that_do_not_fit_together_are_refused() -> None:
    whole = seen(THREE, POINTS, ALL_SEE_FIRST)
    with pytest.raises(ValueError, match="differ in length"):
        replace(whole, pixels=whole.pixels[:-1])
    with pytest.raises(ValueError, match="not there"):
        replace(whole, points_m=POINTS[:2])


def test_points_move_to_where_their_rays_meet_and_an_outlier_does_not_draw_them() -> None:
    four = poses_at((0, 0, 0), (1, 0, 0), (2, 0, 0), (1, 1, 0))
    exact = seen(four, POINTS[:1], [(0, 0), (1, 0), (2, 0), (3, 0)])
    moved = replace(exact, points_m=POINTS[:1] + 0.2)
    np.testing.assert_allclose(moved.refined(20).points_m, POINTS[:1], atol=1e-4)
    pixels = exact.pixels.copy()
    pixels[3] += 60
    refined = replace(exact, pixels=pixels).refined(20)
    np.testing.assert_allclose(refined.points_m, POINTS[:1], atol=0.02)
    assert refined.errors_px[3] > 50


def test_a_point_behind_a_photo_fits_it_infinitely_badly() -> None:
    behind = replace(seen(THREE, POINTS, ALL_SEE_FIRST), points_m=POINTS * [1, 1, -1])
    assert np.isinf(behind.errors_px()).all()


def test_certainty_of_points_is_free_of_scale_and_better_for_wide_angles() -> None:
    wide, narrow = ([(0, 0), (2, 0)], [(0, 0), (1, 0)])
    sigma = [seen(THREE, POINTS[:1], who).refined(0).relative_sigma[0] for who in (wide, narrow)]
    assert sigma[0] < sigma[1]
    large = seen(Poses(THREE.centers_m * 9, THREE.world_from_cam_wxyz), POINTS[:1] * 9, wide)
    assert large.refined(0).relative_sigma[0] == pytest.approx(sigma[0], rel=1e-3)


def test_refining_nothing_gives_nothing() -> None:
    empty = seen(THREE, POINTS, ALL_SEE_FIRST).only(np.array([], dtype=int))
    assert len(refine_points(empty.points_m, empty.sightings()).points_m) == 0


class Line:
    """Compares photos on a line: photo n shows ten things, of which the one before shows ``common``."""

    def __init__(self, common: float) -> None:
        self.common = common
        self.asked: list[int] = []

    def share_shown(
        self, photo: int, others: list[int], enough: float, sample: int, already: np.ndarray | None = None
    ) -> float:
        near = [other for other in others if abs(photo - other) <= 2]
        self.asked += others
        return self.common if len(near) >= 2 else 0.0


def test_photos_that_two_key_photos_show_are_left_out() -> None:
    line = poses_at(*((0.1 * row, 0, 0) for row in range(7)))
    # 0 and 1 are taken, 2 has both of them near; 3 has only 1 near, 4 only 3, 5 both 3 and 4, 6 only 4
    assert choose_key_photos(line, Line(0.9), "auto", Silent()).tolist() == [0, 1, 3, 4, 6]  # type: ignore[arg-type]
    assert choose_key_photos(line, Line(0.2), "auto", Silent()).tolist() == list(range(7))  # type: ignore[arg-type]


def test_all_or_so_many_key_photos() -> None:
    line = poses_at(*((0.1 * row, 0, 0) for row in range(7)))
    assert choose_key_photos(line, Line(1.0), "all", Silent()).tolist() == list(range(7))  # type: ignore[arg-type]
    assert choose_key_photos(line, Line(1.0), "4", Silent()).tolist() == [0, 2, 4, 6]  # type: ignore[arg-type]
    assert choose_key_photos(line, Line(1.0), "99", Silent()).tolist() == list(range(7))  # type: ignore[arg-type]


def test_nearest_views_are_near_in_place_and_direction_whatever_the_units() -> None:
    centers = np.array([[0, 0, 0], [0.1, 0, 0], [0.2, 0, 0], [5, 0, 0]], dtype=float)
    quats = np.array([FORWARD, (0, 0, 1, 0), (0.999, 0.04, 0, 0), FORWARD])  # the second looks back
    for scale in (1.0, 1000.0):
        poses = Poses(centers * scale, quats)
        assert nearest_views(poses, 0, np.array([1, 2, 3]), 1).tolist() == [2]


def test_pairs_need_a_baseline_and_a_common_view() -> None:
    centers = [(0.0, 0, 0), (1, 0, 0), (2, 0, 0), (2.01, 0, 0), (3, 0, 0)]
    quats = np.tile(FORWARD, (5, 1))
    quats[4] = (0, 0, 1, 0)  # looks the other way
    poses = Poses(np.array(centers), quats)
    vectors = np.eye(5, 8, dtype=np.float32) * 0.1 + 1
    index = flat_index(frames_at(poses), vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    pairs = {tuple(pair) for pair in similar_pairs(index, [CAMERA] * 5, 4).tolist()}
    assert (2, 3) not in pairs  # a hundredth of the usual distance apart
    assert not any(4 in pair for pair in pairs)
    assert {(0, 1), (1, 2)} <= pairs


def test_near_duplicates_are_no_two_partners() -> None:
    poses = poses_at((0, 0, 0), (1, 0, 0), (1.01, 0, 0), (2, 0, 0), (3, 0, 0), (4, 0, 0))
    vectors = np.ones((6, 4), dtype=np.float32) / 2
    index = flat_index(frames_at(poses), vectors)
    pairs = similar_pairs(index, [CAMERA] * 6, 6)
    assert sum((0 in pair) and bool({1, 2} & set(pair)) for pair in pairs.tolist()) == 2  # by 0 one, and one that chose 0
    assert spacing_m(poses) == pytest.approx(1.0, abs=0.01)


def test_pairs_of_one_photo_are_none() -> None:
    index = flat_index(frames_at(poses_at((0, 0, 0))), np.ones((1, 4), dtype=np.float32) / 2)
    assert similar_pairs(index, [CAMERA], 3).shape == (0, 2)


def test_a_map_is_current_until_its_photos_move_or_go() -> None:
    made = seen(THREE, POINTS, ALL_SEE_FIRST).to_map()
    frames, path = frames_at(THREE), Path("line.pt")
    assert check_map(made, frames, path) == ""
    flipped = replace(made, poses=made.poses)
    object.__setattr__(flipped.poses, "world_from_cam_wxyz", -made.poses.world_from_cam_wxyz)  # the same rotations
    assert check_map(flipped, frames, path) == ""
    with pytest.raises(Mismatch, match=r"1 of its 3 photos had another pose.*--from-scratch"):
        check_map(made, frames_at(poses_at((0, 0, 0), (1, 0, 0.001), (2, 0, 0))), path)
    with pytest.raises(Mismatch, match="1 photos that are no mapping photos"):
        check_map(made, frames[np.array([True, True, False])], path)
    tests = replace(frames, splits=np.array(["train", "train", "test"], dtype=object))
    with pytest.raises(Mismatch, match="no mapping photos"):
        check_map(made, tests, path)


def test_newer_photos_are_noted_and_photos_left_out_are_not() -> None:
    made = seen(THREE, POINTS, ALL_SEE_FIRST).to_map()
    more = frames_at(Poses.concatenate([THREE, poses_at((3, 0, 0), (4, 0, 0))]))
    assert "2 mapping photos of line are newer" in check_map(made, more, Path("line.pt"))
    knowing = replace(made, identity={**made.identity, LEFT_OUT: "3.png\n4.png"})
    assert check_map(knowing, more, Path("line.pt")) == ""


@pytest.mark.parametrize("word", ["some", "1", "-3", "2.5", "", "²"])
def test_impossible_key_photos_are_refused(word: str) -> None:
    with pytest.raises(BadInput, match="expected auto, all or a number"):
        MapOptions(key_photos=word)


def test_options_survive_the_maps_identity() -> None:
    import json

    options = MapOptions.of({"pairs": 7, "max_side": 800, "key_photos": "all"})
    assert MapOptions.of_identity({"options": json.dumps(options.plain())}) == options
    assert MapOptions.of_identity({}) == MapOptions()
