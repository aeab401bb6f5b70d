from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tiny_place import place_index

from irploc.errors import BadInput, NotFound
from irploc.estimators.base import METHODS, Query
from irploc.estimators.build import build_estimator, check_specs
from irploc.estimators.calibrated import Trust
from irploc.estimators.interpolation import Bdi, Csi, Ewb
from irploc.geometry import rotations
from irploc.geometry.poses import Poses
from irploc.retrieval.index import PlaceIndex


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def index() -> PlaceIndex:
    """Four photos: three along the axes of embedding space and one between the first two."""
    vectors = unit(np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]]))
    turns = rotations.quaternion_exp(np.radians([[0, 0, 0], [0, 0, 10], [0, 0, 20], [0, 0, 5]]))
    return place_index(vectors, Poses(np.array([[0.0, 0, 0], [2, 0, 0], [0, 6, 0], [1, 0, 0]]), turns))


def query(*rows: list[float]) -> Query:
    return Query(unit(np.array(rows)).astype(np.float32))


def test_nearest_is_the_pose_of_the_most_similar_photo(index: PlaceIndex) -> None:
    answer = Ewb(index, 1).estimate(query([0.1, 0.9, 0.1], [0.1, 0.1, 0.9]))
    assert answer.poses.centers_m.tolist() == [[2, 0, 0], [0, 6, 0]]
    assert np.allclose(rotations.angle_between_deg(answer.poses.world_from_cam_wxyz[1], [1, 0, 0, 0]), 40)
    assert answer.neighbours.rows[:, 0].tolist() == [1, 2]
    assert answer.status == ("ok", "ok")
    assert np.isnan(answer.confidence).all(), "not calibrated: no made-up number"


def test_equal_weights_average_centres_and_rotations(index: PlaceIndex) -> None:
    answer = Ewb(index, 2).estimate(query([1, 0.9, 0]))  # nearest are the photo between, then the first
    assert np.allclose(answer.poses.centers_m, [[0.5, 0, 0]])
    assert np.allclose(rotations.angle_between_deg(answer.poses.world_from_cam_wxyz[0], [1, 0, 0, 0]), 5, atol=1e-6)


def test_similarity_weights_are_proportional_to_the_power(index: PlaceIndex) -> None:
    rows, similarities = np.array([[0, 1]]), np.array([[0.8, 0.4]])
    weights = Csi(index, 2, 3.0).weights(np.zeros((1, 3)), rows, similarities)
    assert np.allclose(weights, [[8 / 9, 1 / 9]])


def test_negative_similarities_weigh_nothing_and_all_negative_weigh_equally(index: PlaceIndex) -> None:
    csi = Csi(index, 2, 8.0)
    assert np.allclose(csi.weights(np.zeros((1, 3)), np.array([[0, 1]]), np.array([[0.5, -0.5]])), [[1, 0]])
    assert np.allclose(csi.weights(np.zeros((1, 3)), np.array([[0, 1]]), np.array([[-0.1, -0.5]])), [[0.5, 0.5]])


def test_csi_with_power_zero_is_ewb_and_with_a_huge_power_is_nearest(index: PlaceIndex) -> None:
    asked = query([0.5, 0.7, 0.2])
    assert np.allclose(Csi(index, 3, 0.0).estimate(asked).poses.centers_m, Ewb(index, 3).estimate(asked).poses.centers_m)
    assert np.allclose(Csi(index, 3, 1000.0).estimate(asked).poses.centers_m, Ewb(index, 1).estimate(asked).poses.centers_m)


def test_bdi_recovers_the_weights_of_an_affine_combination() -> None:
    generator = np.random.default_rng(0)
    vectors = unit(generator.normal(size=(5, 12)))
    true = np.array([0.7, 0.5, -0.4, 0.1, 0.1])
    index = place_index(vectors, Poses(generator.normal(size=(5, 3)), np.tile([1.0, 0, 0, 0], (5, 1))))
    weights = Bdi(index, 5).weights((true @ index.vectors)[None], np.arange(5)[None], np.ones((1, 5)))
    assert np.allclose(weights, true, atol=1e-4), "signs are free"


def test_bdi_minimises_the_residual_among_weights_that_sum_to_one() -> None:
    generator = np.random.default_rng(1)
    vectors, asked = unit(generator.normal(size=(6, 20))), unit(generator.normal(size=(1, 20)))
    index = place_index(vectors, Poses(np.zeros((6, 3)), np.tile([1.0, 0, 0, 0], (6, 1))))
    weights = Bdi(index, 6).weights(asked, np.arange(6)[None], np.ones((1, 6)))[0]
    residual = np.linalg.norm(weights @ vectors - asked)
    assert np.isclose(weights.sum(), 1)
    for step in generator.normal(size=(50, 6)) * 1e-3:
        assert np.linalg.norm((weights + step - step.mean()) @ vectors - asked) >= residual - 1e-9


def test_bdi_survives_duplicate_photos_and_a_query_that_is_one_of_them() -> None:
    vectors = unit(np.array([[1.0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0]]))
    index = place_index(vectors, Poses(np.array([[1.0, 1, 1]] * 3 + [[5, 5, 5]]), np.tile([1.0, 0, 0, 0], (4, 1))))
    answer = Bdi(index, 3).estimate(query([1, 0, 0]))
    assert np.allclose(answer.poses.centers_m, [[1, 1, 1]], atol=1e-6)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if not (method.needs_model or method.members)])
def test_every_method_without_a_model_answers_many_queries_as_each_alone(name: str) -> None:
    generator = np.random.default_rng(2)
    turns = rotations.canonical(generator.normal(size=(40, 4)))
    index = place_index(unit(generator.normal(size=(40, 50))), Poses(generator.normal(size=(40, 3)), turns))
    asked = unit(generator.normal(size=(5, 50))).astype(np.float32)
    estimator = build_estimator(name, FakePlace(index))
    answers = estimator.estimate(Query(asked))
    assert len(answers) == 5 and set(answers.status) <= {"ok", "not_localized", "outside_map"}
    assert np.array_equal(answers.poses.valid, [status != "not_localized" for status in answers.status])
    together = answers.poses
    alone = Poses.concatenate([estimator.estimate(Query(asked[[row]])).poses for row in range(5)])
    assert np.allclose(together.centers_m, alone.centers_m, atol=1e-5)
    assert np.allclose(rotations.angle_between_deg(together.world_from_cam_wxyz, alone.world_from_cam_wxyz), 0, atol=1e-3)


@dataclass
class FakePlace:
    index: PlaceIndex
    name: str = "tiny"
    trust = Trust()

    def model_path(self, method: str) -> Path:
        return Path("absent.pt")

    class store:  # noqa: N801
        path = Path("tiny.h5")


def test_defaults_are_the_promised_ones() -> None:
    assert METHODS.get("ewb").options().k == 10
    assert METHODS.get("bdi").options().k == 25
    assert (METHODS.get("csi").options().k, METHODS.get("csi").options().alpha) == (20, 8)


def test_a_misspelt_method_gets_a_suggestion(index: PlaceIndex) -> None:
    with pytest.raises(NotFound, match="did you mean 'nearest'"):
        build_estimator("neares", FakePlace(index))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("bdi:n=5", "no option 'n'"),
        ("bdi:k=many", "a whole number"),
        ("bdi:k=0", "at least 1"),
        ("bdi:k=", "name:key=value"),
        ("bdi:k", "option k is 'true', expected a whole number"),
        ("bdi:k=1:k=2", "twice"),
        ("csi:alpha=-1", "must lie in"),
        ("nearest:k=2", "no option 'k'"),
    ],
)
def test_wrong_options_are_named(index: PlaceIndex, spec: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        build_estimator(spec, FakePlace(index))


def test_a_method_named_twice_is_refused() -> None:
    with pytest.raises(BadInput, match="twice"):
        check_specs(["bdi", "nearest", "bdi"])


def test_k_beyond_the_number_of_photos_says_so(index: PlaceIndex) -> None:
    with pytest.raises(BadInput, match="4 mapping images"):
        build_estimator("ewb:k=5", FakePlace(index)).estimate(query([1, 0, 0]))


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.needs_model and not method.relative])
def test_a_method_without_its_model_says_how_to_train_it(index: PlaceIndex, name: str) -> None:
    commands = {
        **{method: f"train {method} tiny.h5" for method in ("posenet", "mapnet")},
        "siamese": "train siamese tiny.h5",
        "siamese-image": "train siamese-image tiny.h5",
        "structure": "make it with 'irploc triangulate tiny'",
    }
    with pytest.raises(NotFound, match=commands.get(name, f"train-mlp tiny.h5 --model {name}")):
        build_estimator(name, FakePlace(index))
