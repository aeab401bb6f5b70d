"""Trained regressors answer queries, each network with its own branch."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from irploc.errors import Mismatch
from irploc.estimators import METHODS, Query
from irploc.estimators.mlp import RegressorEstimator, RegressorOptions
from irploc.retrieval.store import StoreHeader
from irploc.training.modelfile import PoseRegressor, save_model
from irploc.training.models import ORIENTATION, POSITION, IRPNet
from irploc.training.recipes import recipe

IDENTITY: dict[str, str | int] = {
    "scene": "toy",
    "mapping_fingerprint": "f",
    "ground_truth": "exact",
    "encoder": "toy-encoder",
    "weights_sha256": "a",
    "preprocessing": "none",
    "max_side": 0,
    "dimension": 8,
}


def _regressor() -> PoseRegressor:
    torch.manual_seed(0)
    networks = {name: IRPNet(8, 16, (name,), dropout=0.0).eval() for name in (POSITION, ORIENTATION)}
    return PoseRegressor("irpnet", [networks], recipe("fast", "indoor"), 0, IDENTITY, {})  # type: ignore[arg-type]


def _place(**changes: str | int) -> SimpleNamespace:
    values = dict.fromkeys(StoreHeader.__dataclass_fields__) | IDENTITY | changes
    return SimpleNamespace(store=SimpleNamespace(header=SimpleNamespace(**values)))


def test_position_and_unit_orientation_come_from_their_own_networks() -> None:
    regressor, embeddings = _regressor(), np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    estimates = RegressorEstimator(regressor).estimate(Query(embeddings))
    with torch.no_grad():
        positions = regressor.heads[0][POSITION](torch.from_numpy(embeddings))[POSITION].numpy()
        quats = regressor.heads[0][ORIENTATION](torch.from_numpy(embeddings))[ORIENTATION].numpy()
    assert np.allclose(estimates.poses.centers_m, positions)
    unit = quats / np.linalg.norm(quats, axis=1, keepdims=True)
    assert np.allclose(np.abs((unit * estimates.poses.world_from_cam_wxyz).sum(axis=1)), 1.0)
    assert estimates.status == ("ok",) * 5
    assert np.isnan(estimates.confidence).all()


def test_no_query_gives_no_pose_and_another_dimension_is_a_programming_error() -> None:
    estimator = RegressorEstimator(_regressor())
    assert len(estimator.estimate(Query(np.zeros((0, 8), dtype=np.float32)))) == 0
    with pytest.raises(ValueError, match="takes \\(N, 8\\)"):
        estimator.estimate(Query(np.zeros((2, 7), dtype=np.float32)))


def test_the_registered_method_loads_the_model_of_its_scene_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "toy.irpnet.pt"
    save_model(_regressor(), path)
    build = METHODS.get("irpnet").build
    embeddings = np.ones((1, 8), dtype=np.float32)
    estimates = build(RegressorOptions(), path, _place()).estimate(Query(embeddings))
    assert np.allclose(estimates.poses.centers_m, _regressor().poses(embeddings).centers_m)
    with pytest.raises(Mismatch, match="other mapping photos"):
        build(RegressorOptions(), path, _place(mapping_fingerprint="other"))
    with pytest.raises(Mismatch, match="a model of the method irpnet, not mlp"):
        METHODS.get("mlp").build(RegressorOptions(), path, _place())
