"""Interpolation that chooses its neighbours: on walks whose embeddings bend, where no fixed k is good for all maps."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from tiny_place import place_index

from irploc.errors import BadInput
from irploc.estimators.base import Query
from irploc.estimators.holes import ErrorModel, simulate
from irploc.estimators.interpolation import Bdi, Ewb
from irploc.estimators.neighbourhoods import COARSE, LEAST_FOR_COARSE, SIZES, Map, look
from irploc.estimators.robust import LEARNED, Robust
from irploc.geometry import rotations
from irploc.geometry.poses import Poses, pose_errors
from irploc.retrieval.index import PlaceIndex


def walk(times: np.ndarray, noise: float = 0.02, seed: int = 0) -> tuple[np.ndarray, Poses]:
    """Embeddings (N, 64) and poses at times of a winding walk; near in time is near in embedding."""
    rng = np.random.default_rng(7)
    frequencies, phases = rng.uniform(0.2, 2.0, 64), rng.uniform(0, 6.3, 64)
    vectors = np.cos(times[:, None] * frequencies + phases)
    vectors += noise * np.random.default_rng(seed).standard_normal(vectors.shape)
    centers = np.stack([times, np.sin(times), np.zeros_like(times)], axis=1)
    turns = np.stack([np.zeros_like(times), np.zeros_like(times), 0.5 * np.sin(0.7 * times)], axis=1)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), Poses(centers, rotations.quaternion_exp(turns))


def medians(estimator: Bdi | Ewb | Robust, vectors: np.ndarray, poses: Poses) -> np.ndarray:
    return np.array([np.median(part) for part in pose_errors(estimator.estimate(Query(vectors)).poses, poses)])


@pytest.fixture(params=[0.02, 0.1, 0.5], ids=["dense", "middling", "sparse"])
def scene(request: pytest.FixtureRequest) -> tuple[PlaceIndex, np.ndarray, Poses]:
    """A map with a photo every ``param`` seconds, and queries between."""
    times = np.arange(0, 30, request.param)
    queries, true = walk(np.random.default_rng(1).uniform(0, 29, 150), seed=2)
    return place_index(*walk(times)), queries, true


def test_it_is_about_as_good_as_the_best_k_whatever_the_map(scene: tuple[PlaceIndex, np.ndarray, Poses]) -> None:
    index, queries, true = scene
    fixed = [medians(kind(index, k), queries, true) for k in (1, 2, 3, 5, 10, 15, 25, 35, 50) for kind in (Ewb, Bdi)]
    assert (medians(Robust(index), queries, true) < 1.25 * np.min(fixed, axis=0)).all()


def test_no_fixed_k_is_good_everywhere() -> None:
    """Why the method exists; if this fails, the test above shows nothing."""
    worst: dict[int, float] = {}
    for step in (0.02, 0.5):
        index = place_index(*walk(np.arange(0, 30, step)))
        queries, true = walk(np.random.default_rng(1).uniform(0, 29, 150), seed=2)
        errors = {k: medians(Bdi(index, k), queries, true)[0] for k in (2, 3, 5, 10, 25, 50)}
        for k, error in errors.items():
            worst[k] = max(worst.get(k, 0.0), error / min(errors.values()))
    assert min(worst.values()) > 1.25


def test_the_answer_does_not_depend_on_the_other_queries(scene: tuple[PlaceIndex, np.ndarray, Poses]) -> None:
    index, queries, _ = scene
    robust = Robust(index)
    together, alone = robust.estimate(Query(queries[:5])), robust.estimate(Query(queries[2:3]))
    assert np.allclose(together.poses.centers_m[2], alone.poses.centers_m[0], atol=1e-5)
    assert together.neighbours.rows.shape == (5, 10)
    assert len(robust.estimate(Query(queries[:0]))) == 0


@pytest.mark.parametrize("count", [1, 2, 5, 11, 12, 13])
def test_small_maps_work(count: int) -> None:
    vectors, poses = walk(np.linspace(0, 2, count))
    answer = Robust(place_index(vectors, poses)).estimate(Query(vectors[:1]))
    assert np.linalg.norm(answer.poses.centers_m[0] - poses.centers_m[0]) < 0.1


def test_a_map_of_one_spot_or_of_copies_gives_that_spot() -> None:
    vectors, _ = walk(np.linspace(0, 3, 20))
    spot = Poses(np.full((20, 3), 2.0), np.tile([1.0, 0, 0, 0], (20, 1)))
    assert np.allclose(Robust(place_index(vectors, spot)).estimate(Query(vectors[:3])).poses.centers_m, 2.0)
    copies = np.repeat(vectors[:1], 20, axis=0)
    assert np.isfinite(Robust(place_index(copies, spot)).estimate(Query(copies[:2])).poses.centers_m).all()


def test_holes_leave_out_what_they_should_and_make_errors_larger() -> None:
    vectors, poses = walk(np.arange(0, 12, 0.1))
    samples = simulate(Map(vectors, poses))
    assert samples.signs.shape == (7 * 120, len(SIZES), 10), "holes of 0, 1, 2, 4, 8, 16 and 32 of 120 photos"
    nearest = np.median(samples.position_m[:, 0].reshape(7, 120), axis=1)
    assert all(after > before for before, after in pairwise(nearest))


def test_the_error_model_tells_good_neighbourhoods_from_bad() -> None:
    vectors, poses = walk(np.arange(0, 30, 0.1))
    samples = simulate(Map(vectors, poses))
    model = ErrorModel.fit(samples.signs, samples.position_m)
    queries, true = walk(np.random.default_rng(3).uniform(0, 29, 100), seed=4)
    rows, _ = place_index(vectors, poses).search(queries, 50)
    seen = look(Map(vectors, poses), queries, rows)
    errors = np.array([pose_errors(found, true)[0] for found in seen.poses]).T
    predicted = model.log_errors(seen.signs)
    assert np.corrcoef(predicted.ravel(), np.log(errors + 1e-4).ravel())[0, 1] > 0.6


def test_what_is_saved_with_the_index_gives_the_same_answers_and_nothing_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, poses = walk(np.arange(0, 12, 0.1))
    index = place_index(vectors, poses)
    learning = Robust(index)
    saved = replace(index, learned={LEARNED: learning.to_plain()})
    monkeypatch.setattr("irploc.estimators.robust.simulate", None)
    queries, _ = walk(np.random.default_rng(3).uniform(0, 11, 20), seed=4)
    first, second = (robust.estimate(Query(queries)).poses for robust in (learning, Robust(saved)))
    assert np.array_equal(first.centers_m, second.centers_m)
    whole = learning.to_plain()
    assert whole is not None
    nan = {**whole["position"], "mean": [float("nan")] * 10}
    for damaged in ({}, {"position": {}, "rotation": {}}, {**whole, "position": nan}):
        with pytest.raises(BadInput, match="run 'irploc index' again"):
            Robust(replace(index, learned={LEARNED: damaged}))


def test_coarse_neighbourhoods_meet_the_query_in_their_components_and_sum_to_one() -> None:
    """What makes them a local linear regression: there are more neighbours than components, and no ridge to speak of."""
    vectors, poses = walk(np.arange(0, 30, 0.1))
    mapped, (queries, _) = Map(vectors, poses), walk(np.array([3.33, 17.77]), seed=5)
    rows, _ = place_index(vectors, poses).search(queries, 50)
    seen = look(mapped, queries, rows)
    assert seen.weights.shape == (2, len(SIZES) + len(COARSE), 50)
    np.testing.assert_allclose(seen.weights.sum(axis=2), 1.0, atol=1e-9)
    for column, (size, neighbours) in enumerate(COARSE, start=len(SIZES)):
        assert not seen.weights[:, column, neighbours:].any()
        met = np.einsum("nk,nkr->nr", seen.weights[:, column], mapped.reduced[rows][:, :, :size])
        wanted = mapped.reduce(queries)[:, :size]
        away = np.linalg.norm(met - wanted, axis=1)
        assert (away < 0.5 * np.linalg.norm(mapped.reduced[rows[:, 0], :size] - wanted, axis=1)).all()


def test_small_maps_have_no_coarse_neighbourhoods() -> None:
    vectors, poses = walk(np.arange(LEAST_FOR_COARSE) * 0.1)
    assert Map(vectors, poses).kinds == len(SIZES) + len(COARSE)
    assert Map(vectors[:-1], poses[list(range(LEAST_FOR_COARSE - 1))]).kinds == len(SIZES)
