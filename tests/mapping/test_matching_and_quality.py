"""Which photos are compared; what is said of a map that is not good enough."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from toy_videos import graph_of

from irploc.errors import BadInput
from irploc.mapping.features import CameraOptions
from irploc.mapping.matching import MatchGraph, MatchingOptions, all_pairs, walk_pairs
from irploc.mapping.quality import Evidence, Quality, advice, missing_ranges, quality_of
from irploc.mapping.similar import pairs_beyond

WALK = [(row, row + 1) for row in range(9)]


def evidence(graph: MatchGraph, features: int = 2000, blurred: float = 0.0) -> Evidence:
    return Evidence([f"frame-{row:06d}.jpg" for row in range(10)], np.full(10, features), graph, blurred)


def quality(models: Sequence[int] = (4,)) -> Quality:
    return Quality(10, models[0] if models else 0, 100, 0.5, 3.0, tuple(models), (10,), 0.0, 1.0)


def test_a_walk_is_compared_with_its_window_and_doubling_steps() -> None:
    steps = {int(step) for step in np.diff(walk_pairs(30, 3), axis=1).ravel()}
    assert steps == {1, 2, 3, 6, 12, 24}
    assert len(walk_pairs(30, 3)) == 29 + 28 + 27 + 24 + 18 + 6
    assert len(walk_pairs(30, 3, 0)) == 29 + 28 + 27
    assert len(walk_pairs(30, 3, 1)) == 29 + 28 + 27 + 24


def test_short_walks_and_no_window_give_what_there_is() -> None:
    assert walk_pairs(3, 10).tolist() == [[0, 1], [0, 2], [1, 2]]
    assert walk_pairs(1, 10).shape == walk_pairs(9, 0).shape == (0, 2)
    assert len(all_pairs(10)) == 45


def test_similar_photos_are_those_of_another_time() -> None:
    walk = ["a"] * 30
    nearest_first = np.array([sorted(range(30), key=lambda other, row=row: abs(other - row)) for row in range(30)])
    found = pairs_beyond(nearest_first, walk, 2, 4)
    steps = np.diff(found, axis=1).ravel()
    assert steps.min() == 13  # three windows and one
    to_first = found[(found == 0).any(axis=1)].sum(axis=1)
    assert {13, 16} <= set(to_first.tolist())  # the next is half a window and one farther
    assert 14 not in to_first
    assert pairs_beyond(nearest_first, walk, 0, 4).shape == (0, 2)


def test_photos_of_other_walks_are_another_time_whatever_their_place() -> None:
    walks = ["a", "a", "a", "b", "b", "b"]
    hits = np.array([[row, *(other for other in range(6) if other != row)] for row in range(6)])
    assert pairs_beyond(hits, walks, 1, 2).tolist() == [[0, 3], [0, 4], [0, 5], [1, 3], [2, 3]]


def test_a_camera_on_the_spot_is_told_from_a_flat_wall() -> None:
    assert Quality(10, 10, 100, 0.3, 5.0, (10,), (10,), 0.98, 0.2).only_turned
    assert not Quality(10, 10, 100, 0.3, 5.0, (10,), (10,), 0.98, 1.2).only_turned
    assert not Quality(10, 10, 100, 0.3, 5.0, (10,), (10,), 0.9, 0.2).only_turned


def test_photos_without_a_pose_are_named_by_their_runs() -> None:
    names = [f"{row}.jpg" for row in range(10)]
    assert missing_ranges(names, [names[row] for row in (0, 3, 4, 5, 7, 8, 9)]) == "1.jpg to 2.jpg (2), 6.jpg"
    assert missing_ranges(names, []) == "0.jpg to 9.jpg (10)"
    alternate = missing_ranges(names, names[1::2], most=2)
    assert alternate == "0.jpg, 2.jpg, and 3 more"


def test_denser_matching_compares_more() -> None:
    usual = MatchingOptions()
    denser = usual.denser()
    assert denser.window > usual.window
    assert denser.similar > usual.similar
    assert denser.exhaustive > usual.exhaustive


def test_groups_hang_together_by_enough_matches() -> None:
    graph = MatchGraph(np.array([[0, 1], [1, 2], [3, 4], [2, 3]]), np.array([50, 15, 20, 14]), 0.0)
    assert [rows.tolist() for rows in graph.components(6)] == [[0, 1, 2], [3, 4], [5]]


def test_quality_without_a_model() -> None:
    found = quality_of([], evidence(graph_of(WALK)))
    assert (found.registered, found.share, found.models, found.groups) == (0, 0.0, (), (10,))


@pytest.mark.parametrize(
    ("seen", "quality_", "words"),
    [
        (evidence(graph_of(WALK), features=120), quality(), "few features (half have less than 120)"),
        (
            evidence(graph_of([pair for pair in WALK if pair != (5, 6)])),
            quality(),
            "2 groups of photos share nothing (6 photos from frame-000000.jpg to frame-000005.jpg, 4 photos from",
        ),
        (
            evidence(graph_of(WALK, turned=True)),
            quality(),
            "100% of the matched pairs could come from a camera that only turned",
        ),
        (evidence(graph_of(WALK, inliers=20)), quality(), "share few matches (half fewer than 20): film slower"),
        (evidence(graph_of(WALK), blurred=0.3), quality(), "30% of the frames were blurred"),
        (evidence(graph_of(WALK)), quality((5, 4)), "the map fell into 2 parts of 5, 4 photos"),
        (evidence(graph_of(WALK)), quality(), "no single cause was found"),
    ],
)
def test_advice_fits_what_was_seen(seen: Evidence, quality_: Quality, words: str) -> None:
    given = advice(quality_, seen)
    assert words in given
    assert "\n" not in given


def test_tiny_models_are_not_worth_telling() -> None:
    assert Quality(100, 90, 1, 1.0, 1.0, (90, 10, 3), (100,), 0.0, 1.0).parts == (90, 10)


def test_a_known_focal_length_in_colmaps_order() -> None:
    assert CameraOptions("OPENCV", focal_px=500.0).params(640, 480) == (
        "500.000000,500.000000,320.000000,240.000000,0.000000,0.000000,0.000000,0.000000"
    )
    assert CameraOptions(focal_px=500.0).params(640, 480) == "500.000000,320.000000,240.000000,0.000000"
    assert CameraOptions().params(640, 480) == ""


@pytest.mark.parametrize("wrong", [{"model": "PINEHOLE"}, {"shared": "two"}, {"focal_px": 0.0}, {"focal_px": float("nan")}])
def test_cameras_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadInput, match=r"^(unknown camera model|cameras is|focal length is)"):
        CameraOptions(**wrong)  # type: ignore[arg-type]
