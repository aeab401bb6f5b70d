"""Algorithm 1 as a whole, on photos of a wall."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from pairs_wall import make_wall_scene
from tiny_place import TinyEncoder

from irploc.errors import BadInput, NotFound
from irploc.pairs import PairMatrix, PairOptions, select_pairs, window_and_angle
from irploc.pairs.agreement import measure_agreement
from irploc.pairs.angle import DEFAULT_ANGLE_DEG
from irploc.pairs.candidates import RETRIEVAL
from irploc.pointcloud import PointCloud
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.retrieval.store import EmbeddingStore

X = (0.0, 1.0, 3.0, 12.0)


def outcome(found: PairMatrix) -> dict[tuple[int, int], str]:
    """Pair -> reason."""
    from irploc.pairs.matrix import REASONS

    return {(i, j): REASONS[reason] for (i, j), reason in zip(found.pairs.tolist(), found.reasons.tolist(), strict=True)}


def test_depth_decides_where_a_photo_has_it(tmp_path: Path) -> None:
    scene = make_wall_scene(tmp_path, X, depth=(0, 1, 2, 3))
    found = select_pairs(scene, PairOptions(min_depth=0.3))
    assert [pair for pair, reason in outcome(found).items() if reason == "accepted"] == [(0, 1), (1, 2)]
    assert found.counts() == {"accepted": 2, "too little depth overlap": 4}
    assert found.measured["depth_share"].tolist() == [0.75, 0.25, 0, 0.5, 0, 0]
    assert np.isnan(found.measured["orb_share"]).all()
    assert found.mapping_fingerprint == scene.mapping_fingerprint


def test_the_rest_is_matched_and_points_come_first(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    scene = make_wall_scene(tmp_path, X, depth=(0,))
    found = select_pairs(scene, PairOptions())
    assert outcome(found)[(0, 1)] == outcome(found)[(1, 2)] == "accepted"
    assert outcome(found)[(0, 2)] == "too little depth overlap"
    assert outcome(found)[(2, 3)] == "too few matches"
    assert np.isfinite(found.measured["orb_share"]).tolist() == [False, False, False, True, True, True]
    wall = PointCloud(np.array([[x, 0.1, 2.0] for x in np.arange(-3.0, 6.0, 0.5)]), None, "wall")
    with_points = select_pairs(scene, PairOptions(), cloud=wall)
    assert outcome(with_points)[(0, 1)] == "accepted"
    assert with_points.measured["point_share"][0] == pytest.approx(0.75, abs=0.03)
    assert np.isnan(with_points.measured["depth_share"][[0, 1]]).all()


def test_a_pair_of_which_a_photo_sees_no_point_is_left_to_the_next_test(tmp_path: Path) -> None:
    scene = make_wall_scene(tmp_path, X, depth=(0, 1, 2, 3))
    wall = PointCloud(np.array([[0.0, 0.1, 2.0], [1.0, 0.1, 2.0]]), None, "wall")
    found = select_pairs(scene, PairOptions(), cloud=wall)
    assert np.isfinite(found.measured["depth_share"]).tolist() == [False, False, True, False, True, True]
    only_points = select_pairs(scene, PairOptions(test="points"), cloud=wall)
    assert outcome(only_points)[(0, 3)] == "not tested"


def test_photos_that_look_apart_are_rejected_before_their_contents_are_read(tmp_path: Path) -> None:
    """The half diagonal of the camera is 51.3 degrees."""
    scene = make_wall_scene(tmp_path, (0.0, 0.0, 0.0), turned_deg=(0.0, 51.0, 52.0), depth=(0, 1, 2))
    found = select_pairs(scene)
    assert outcome(found)[(0, 2)] == "turned too far"
    assert outcome(found)[(0, 1)] != "turned too far"
    assert found.measured["angle_deg"].tolist() == pytest.approx([51, 52, 1], abs=1e-4)
    assert np.isnan(found.measured["depth_share"][1])
    assert found.settings["largest_angle_deg"] == pytest.approx(51.34, abs=0.01)


def test_an_angle_of_the_users_is_taken_inclusively(tmp_path: Path) -> None:
    scene = make_wall_scene(tmp_path, (0.0, 0.0, 0.0), turned_deg=(0.0, 10.0, 30.0))
    found = select_pairs(scene, PairOptions(max_angle_deg=20.000001, test="none"))
    assert found.accepted.tolist() == [[0, 1], [1, 2]]


def test_only_mapping_photos_are_paired_unless_all_are_asked_for(tmp_path: Path) -> None:
    scene = make_wall_scene(tmp_path, (0.0, 0.1, 0.2), splits=("train", "test", "train"))
    assert select_pairs(scene, PairOptions(test="none")).names == ("0.png", "2.png")
    assert len(select_pairs(scene, PairOptions(test="none", split="all")).pairs) == 3


def test_photos_without_a_walk_are_paired_with_those_that_look_alike(tmp_path: Path) -> None:
    scene = make_wall_scene(tmp_path, (0.0, 0.5, 12.0, 12.5), sequence="")
    embed_scene(scene, tmp_path / "scene", tmp_path / "w.h5", TinyEncoder(), EmbedOptions(augmentations=0))
    with EmbeddingStore.open(tmp_path / "w.h5") as store:
        found = select_pairs(scene, PairOptions(window=0, test="none"), store)
        assert (found.sources == RETRIEVAL).all()
        assert len(found.pairs) == 6  # fewer than 20 others: all of them
        assert found.settings["neighbours"] == 20
        assert len(select_pairs(scene, PairOptions(window=0, neighbours=1, test="none"), store).pairs) < 6


def test_neighbours_without_embeddings_say_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="run 'irploc embed'"):
        select_pairs(make_wall_scene(tmp_path, X), PairOptions(neighbours=5))


def test_no_pair_says_which_tests_took_them(tmp_path: Path) -> None:
    scene = make_wall_scene(tmp_path, (0.0, 5.0, 5.0), turned_deg=(0, 0, 60), depth=(0, 1, 2))
    words = r"of 3 candidates 2 turned too far, 1 too little depth overlap: lower --min-depth"
    with pytest.raises(BadInput, match=words):
        select_pairs(scene)


def test_no_candidates_say_so(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no two of its 2 photos are within 0 of each other"):
        select_pairs(make_wall_scene(tmp_path, (0.0, 1.0)), PairOptions(window=0))


def test_fewer_than_two_training_images_are_refused(tmp_path: Path) -> None:
    scene = make_wall_scene(tmp_path, (0.0, 1.0), splits=("train", "test"))
    with pytest.raises(BadInput, match=r"at least two photos, wall has 1 \(mapping\)"):
        select_pairs(scene)


def test_missing_intrinsics_say_how_to_give_them(tmp_path: Path) -> None:
    scene = make_wall_scene(tmp_path, X, camera=False, depth=(0, 1))
    with pytest.raises(
        BadInput, match=r"4 of 4 photos have no intrinsics; first: 0\.png and 3 more: give --fov DEG .* --angle"
    ):
        select_pairs(scene)
    with pytest.raises(BadInput, match="give --fov DEG"):
        select_pairs(scene, PairOptions(max_angle_deg=40))


def test_the_field_of_view_stands_in_for_intrinsics(tmp_path: Path) -> None:
    """2 atan(200 / 160) across the diagonal is the camera of the wall."""
    options = PairOptions(test="depth", min_depth=0.2)
    known = select_pairs(make_wall_scene(tmp_path / "a", X, depth=(0, 1, 2, 3)), options)
    fov = float(np.degrees(2 * np.arctan(200 / 160)))
    scene = make_wall_scene(tmp_path / "b", X, depth=(0, 1, 2, 3), camera=False)
    found = select_pairs(scene, replace(options, fov_deg=fov))
    assert found.measured["depth_share"].tolist() == known.measured["depth_share"].tolist()
    assert found.settings["largest_angle_deg"] == pytest.approx(known.settings["largest_angle_deg"])


@pytest.mark.parametrize(("test", "words"), [("points", "give --points"), ("depth", "use --test orb")])
def test_a_test_without_any_data_is_refused(tmp_path: Path, test: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        select_pairs(make_wall_scene(tmp_path, X), PairOptions(test=test))


def test_without_opencv_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(NotFound, match=r"pip install 'irploc\[structure\]'"):
        select_pairs(make_wall_scene(tmp_path, X))


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": -1},
        {"neighbours": -1},
        {"max_angle_deg": 181},
        {"fov_deg": 0},
        {"min_depth": 1.1},
        {"min_points": float("nan")},
        {"min_matches": -0.1},
        {"epipolar_px": -1},
        {"test": "sift"},
        {"split": "test"},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadInput, match=r"must be|choose one of"):
        PairOptions(**wrong)  # type: ignore[arg-type]


def test_settings_are_saved_with_the_pairs(tmp_path: Path) -> None:
    options = PairOptions(window=2, test="none")
    settings = select_pairs(make_wall_scene(tmp_path, X), options).settings
    assert {name: settings[name] for name in ("window", "test", "min_depth", "split")} == {
        name: asdict(options)[name] for name in ("window", "test", "min_depth", "split")
    }
    assert settings["min_matches"] == 0.01


def test_window_and_angle_need_neither_photos_nor_cameras(tmp_path: Path) -> None:
    scene = make_wall_scene(tmp_path, (0.0, 0.0, 0.0), turned_deg=(0, DEFAULT_ANGLE_DEG - 1, DEFAULT_ANGLE_DEG + 1))
    for image in scene.frames.images:
        image.unlink()
    assert window_and_angle(scene.frames).accepted.tolist() == [[0, 1], [1, 2]]
    assert window_and_angle(scene.frames, window=1, max_angle_deg=2.5).accepted.tolist() == [[1, 2]]
    known = window_and_angle(scene.frames, cameras=scene.cameras)
    assert len(known.accepted) == 3
    assert known.settings["largest_angle_deg"] == pytest.approx(51.34, abs=0.01)


def test_agreement_counts_what_both_tests_say_of_pairs_with_depth(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    scene = make_wall_scene(tmp_path, (0.0, 1.0, 12.0, 12.5), depth=(0, 3))
    options = PairOptions()
    result = measure_agreement(scene, select_pairs(scene, options), options)
    assert (result.both, result.depth_only, result.orb_only, result.neither) == (2, 0, 0, 3)
    assert (result.pairs, result.share, result.depth_accepts) == (5, 1.0, 0.4)
    stricter = replace(options, min_depth=0.8)
    other = measure_agreement(scene, select_pairs(scene, options), stricter)
    assert (other.both, other.orb_only, other.share, other.of_rejected) == (1, 1, 0.8, 0.75)
