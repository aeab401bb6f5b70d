"""Interpolation and regressors together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_place import place_index

from irploc.estimators.base import NOT_LOCALIZED, PoseEstimates, Query
from irploc.estimators.calibrated import Calibrated, calibrate
from irploc.estimators.calibration import Calibration
from irploc.estimators.fused import Fused
from irploc.estimators.interpolation import Bdi
from irploc.geometry import rotations
from irploc.geometry.poses import Poses, pose_errors
from irploc.retrieval.index import PlaceIndex


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

    def __init__(self, metres: float, degrees: float = 0.0) -> None:
        self.metres, self.turn = metres, rotations.quaternion_exp(np.array([[0.0, np.radians(degrees) / 2, 0.0]]))
        self.vectors, self.poses = walk(np.arange(0, 30, 0.01))

    def answer(self, embeddings: np.ndarray) -> Poses:
        found = self.poses[(embeddings @ self.vectors.T).argmax(axis=1)]
        turned = rotations.multiply(found.world_from_cam_wxyz, np.tile(self.turn, (len(found), 1)))
        return Poses(found.centers_m + np.array([0, 0, self.metres]), turned)

    def estimate(self, query: Query) -> PoseEstimates:
        return PoseEstimates.of_poses(self.answer(query.embeddings))


def calibrated(index: PlaceIndex, estimator: Offset) -> Calibrated:
    return Calibrated(estimator, calibrate(index, lambda _, fold, rows: estimator.answer(index.vectors[rows])), index)


def answer_of(index: PlaceIndex, embeddings: np.ndarray) -> Poses:
    return Bdi(index, 5).estimate(Query(embeddings)).poses


@pytest.fixture(scope="module")
def queries() -> tuple[np.ndarray, Poses]:
    return walk(np.random.default_rng(1).uniform(1, 29, 100))


@pytest.fixture(scope="module")
def index() -> PlaceIndex:
    return place_index(*walk(np.arange(0, 30, 0.2)))


def test_each_member_counts_by_the_inverse_square_of_what_its_errors_were(
    index: PlaceIndex, queries: tuple[np.ndarray, Poses]
) -> None:
    """By hand: 1 m and 3 m the same way weigh 9 to 1, which leaves (9 * 1 + 3) / 10 = 1.2 m; 8 degrees one way and 4 the
    other weigh 1 to 4, which leaves (8 - 4 * 4) / 5 = -1.6 degrees."""
    fused = Fused([calibrated(index, Offset(1.0, 8.0)), calibrated(index, Offset(3.0, -4.0))])
    position_m, rotation_deg = pose_errors(fused.estimate(Query(queries[0])).poses, queries[1])
    assert np.median(position_m) == pytest.approx(1.2, abs=0.05)
    assert np.median(rotation_deg) == pytest.approx(1.6, abs=0.3)


def test_it_announces_what_its_members_announce(index: PlaceIndex, queries: tuple[np.ndarray, Poses]) -> None:
    member = calibrated(index, Offset(1.0))
    alone, twice = member.estimate(Query(queries[0])), Fused([member, member]).estimate(Query(queries[0]))
    np.testing.assert_allclose(twice.position_m, alone.position_m)
    np.testing.assert_allclose(twice.confidence, alone.confidence, atol=1e-9)
    assert np.median(alone.position_m) == pytest.approx(1.0, rel=0.05)
    assert alone.confidence.max() < 0.1, "a metre is never within 0.25 m"


def test_a_member_of_whom_nothing_is_known_counts_like_the_others(
    index: PlaceIndex, queries: tuple[np.ndarray, Poses]
) -> None:
    for members in ([calibrated(index, Offset(0.0)), Offset(1.0)], [Offset(0.0), Offset(1.0)]):
        position_m, _ = pose_errors(Fused(members).estimate(Query(queries[0])).poses, queries[1])
        assert np.median(position_m) == pytest.approx(0.5, abs=0.02)


def test_what_its_members_refuse_it_refuses() -> None:
    def with_constant(vectors: np.ndarray, value: float) -> np.ndarray:
        longer = np.column_stack([vectors, np.full(len(vectors), value)])
        return (longer / np.linalg.norm(longer, axis=1, keepdims=True)).astype(np.float32)

    mapped, poses = walk(np.arange(0, 30, 0.2))
    index = place_index(with_constant(mapped, 1.0), poses)
    here = with_constant(walk(np.arange(0, 30, 1.0))[0], 1.0)
    strange = with_constant(np.random.default_rng(0).standard_normal((30, 64)) / 8, -1.0)
    robust = Calibrated(
        Bdi(index, 5), calibrate(index, lambda part, fold, rows: answer_of(part, index.vectors[rows])), index
    )
    answer = Fused([robust]).estimate(Query(np.concatenate([here, strange])))
    assert answer.status == ("ok",) * 30 + (NOT_LOCALIZED,) * 30
    assert not answer.poses.valid[30:].any()
    assert (answer.confidence[30:] == 0).all()


def test_the_spread_is_the_widest_of_its_ensembles(index: PlaceIndex) -> None:
    class Ensemble(Offset):
        def estimate(self, query: Query) -> PoseEstimates:
            found, some = super().estimate(query), np.full(len(query), self.metres)
            return PoseEstimates(
                found.poses, found.status, found.confidence, found.neighbours, spread_m=some, spread_deg=2 * some
            )

    query = Query(index.vectors[:2])
    answer = Fused([Ensemble(0.1), Bdi(index, 5), Ensemble(0.3)]).estimate(query)
    assert answer.spread_m.tolist() == [0.3, 0.3]
    assert answer.spread_deg.tolist() == [0.6, 0.6]
    assert np.isnan(Fused([Bdi(index, 5)]).estimate(query).spread_m).all()


def test_a_calibration_is_the_same_after_it_was_written(index: PlaceIndex) -> None:
    calibration = calibrated(index, Offset(0.1)).calibration
    assert Calibration.from_plain(calibration.to_plain()) == calibration


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
