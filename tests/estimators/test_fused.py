"""Interpolation and regressors together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_place import place_index

from irploc.estimators.base import PoseEstimates, Query
from irploc.estimators.fused import Fused, _weights
from irploc.estimators.robust import Robust
from irploc.geometry import rotations
from irploc.geometry.poses import Poses, pose_errors


def walk(times: np.ndarray) -> tuple[np.ndarray, Poses]:
    """Embeddings (N, 64) and poses at times of a walk."""
    rng = np.random.default_rng(7)
    vectors = np.cos(times[:, None] * rng.uniform(0.2, 2.0, 64) + rng.uniform(0, 6.3, 64))
    turns = np.stack([np.zeros_like(times), np.zeros_like(times), 0.5 * np.sin(0.7 * times)], axis=1)
    centers = np.stack([times, np.sin(times), np.zeros_like(times)], axis=1)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), Poses(centers, rotations.quaternion_exp(turns))


class Offset:
    """A regressor that knows the walk and is wrong by a constant."""

    def __init__(self, metres: float) -> None:
        self.metres = metres
        self.vectors, self.poses = walk(np.arange(0, 30, 0.01))

    def estimate(self, query: Query) -> PoseEstimates:
        rows = (query.embeddings @ self.vectors.T).argmax(axis=1)
        found = self.poses[rows]
        return PoseEstimates.of_poses(Poses(found.centers_m + np.array([0, 0, self.metres]), found.world_from_cam_wxyz))


@pytest.fixture
def queries() -> tuple[np.ndarray, Poses]:
    return walk(np.random.default_rng(1).uniform(1, 29, 100))


def fused(step: float, *metres: float) -> Fused:
    vectors, poses = walk(np.arange(0, 30, step))
    return Fused(Robust(place_index(vectors, poses)), [Offset(value) for value in metres], vectors, poses)


def test_a_regressor_that_is_wrong_where_the_map_is_dense_counts_for_nothing(queries: tuple[np.ndarray, Poses]) -> None:
    vectors, true = queries
    answer = fused(0.05, 1.0).estimate(Query(vectors))
    assert np.median(pose_errors(answer.poses, true)[0]) < 0.02
    assert answer.neighbours.rows.shape == (100, 10)


def test_a_good_regressor_helps_where_the_map_has_gaps(queries: tuple[np.ndarray, Poses]) -> None:
    vectors, true = queries
    sparse, poses = walk(np.arange(0, 30, 2.0))
    alone = np.median(pose_errors(Robust(place_index(sparse, poses)).estimate(Query(vectors)).poses, true)[0])
    together = np.median(pose_errors(fused(2.0, 0.0).estimate(Query(vectors)).poses, true)[0])
    assert together < 0.7 * alone


def test_weights_go_with_the_squared_expected_error() -> None:
    """By hand: errors of 3, and of (3^2 + 4^2)^1/2 = 5, weigh as 1/9 to 1/25; what is not known weighs nothing."""
    np.testing.assert_allclose(_weights(np.array([3.0]), [4.0]), [[25 / 34, 9 / 34]], rtol=1e-6)
    np.testing.assert_allclose(_weights(np.array([3.0]), [np.nan, 4.0]), [[25 / 34, 0.0, 9 / 34]], rtol=1e-6)
    np.testing.assert_allclose(_weights(np.array([np.nan]), [4.0]), [[0.5, 0.5]])


def test_a_map_too_small_to_learn_from_gives_all_the_same_weight() -> None:
    vectors, poses = walk(np.array([1.0, 1.2, 1.4]))
    answer = Fused(Robust(place_index(vectors, poses)), [Offset(0.3)], vectors, poses).estimate(Query(vectors[1:2]))
    assert answer.poses.centers_m[0, 2] == pytest.approx(0.15, abs=0.01)


def test_without_a_model_it_says_how_to_get_one(tmp_path: Path) -> None:
    from irploc.errors import NotFound
    from irploc.estimators.base import METHODS
    from irploc.estimators.build import Place

    class Closed(Place):
        def __init__(self) -> None:
            pass

        def trained(self, methods: object) -> list[str]:
            return []

        def model_path(self, method: str) -> Path:
            return tmp_path / "models" / f"hall.{method}.pt"

        class store:  # noqa: N801
            path = tmp_path / "hall.h5"

    method = METHODS.get("fused")
    with pytest.raises(NotFound, match=r"no model for fused in .*models: train one with 'irploc train-mlp .*hall\.h5"):
        method.build(method.options(), None, Closed())
