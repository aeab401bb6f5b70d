"""A model file gives back the same poses, and refuses what it does not belong to, one line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from irploc.errors import BadInput, Mismatch, NotFound
from irploc.training.dataset import TrainingSet
from irploc.training.loop import TrainingOptions, train
from irploc.training.modelfile import PoseRegressor, load_model, save_model
from irploc.training.recipes import recipe


@pytest.fixture(params=["irpnet", "mlp"])
def trained(request: pytest.FixtureRequest, toy: Callable[..., TrainingSet]) -> PoseRegressor:
    """A model after a few steps."""
    data, chosen = toy(), recipe("fast", "indoor", epochs=2, width=32, batch_size=16)
    result = train(data, request.param, chosen, TrainingOptions(5))
    return PoseRegressor(request.param, result.heads, chosen, 5, data.identity, asdict(result.record))


def test_a_saved_model_gives_the_same_poses(trained: PoseRegressor, toy: Callable[..., TrainingSet], tmp_path: Path) -> None:
    path, embeddings = tmp_path / "toy.pt", toy().embeddings[:, 0]
    save_model(trained, path)
    loaded = load_model(path, trained.identity, trained.model)
    assert np.array_equal(loaded.poses(embeddings).centers_m, trained.poses(embeddings).centers_m)
    assert np.array_equal(loaded.poses(embeddings).world_from_cam_wxyz, trained.poses(embeddings).world_from_cam_wxyz)
    assert (loaded.recipe, loaded.seed, loaded.record) == (trained.recipe, 5, trained.record)
    assert len(loaded.poses(embeddings[:0])) == 0


def test_one_photo_gets_the_pose_it_gets_among_others(trained: PoseRegressor, toy: Callable[..., TrainingSet]) -> None:
    embeddings = toy().embeddings[:, 0]
    assert np.allclose(trained.poses(embeddings[3:4]).centers_m, trained.poses(embeddings).centers_m[3], atol=1e-5)


def test_the_file_holds_weights_only_and_says_what_it_is(trained: PoseRegressor, tmp_path: Path) -> None:
    path = tmp_path / "toy.pt"
    save_model(trained, path)
    content = torch.load(path, weights_only=True)
    assert content["format"] == "irploc-regressor"
    assert (content["scene"], content["encoder"], content["method"]) == ("toy", "toy-encoder", trained.model)
    assert content["recipe"]["name"] == "fast"
    assert content["record"]["epochs"][-1]["epoch"] == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["toy.pt"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scene": "other", "mapping_fingerprint": "e" * 64}, "was trained on scene 'toy'"),
        ({"mapping_fingerprint": "e" * 64}, "other mapping photos or poses of scene 'toy'"),
        ({"encoder": "netvlad", "weights_sha256": "b" * 64}, "embeddings of toy-encoder"),
        ({"weights_sha256": "b" * 64}, "weights_sha256 aaaaaaaaaaaa…"),
        ({"max_side": 320}, "max_side 0"),
        ({"dimension": 64}, "dimension 32"),
    ],
)
def test_a_model_of_something_else_is_refused(
    trained: PoseRegressor, tmp_path: Path, changes: dict[str, str | int], words: str
) -> None:
    path = tmp_path / "toy.pt"
    save_model(trained, path)
    with pytest.raises(Mismatch, match=words) as caught:
        load_model(path, {**trained.identity, **changes})
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(trained: PoseRegressor, tmp_path: Path) -> None:
    path = tmp_path / "toy.pt"
    save_model(trained, path)
    other = "mlp" if trained.model == "irpnet" else "irpnet"
    with pytest.raises(Mismatch, match=f"a model of the method {trained.model}, not {other}"):
        load_model(path, method=other)
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"not a model at all"):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=r"truncated or is not a model"):
            load_model(path)
    path.write_bytes(whole)
    content = torch.load(path, weights_only=True)
    weights = next(iter(content["heads"][0].values()))["weights"]
    next(iter(weights.values())).view(-1)[0] += 1
    torch.save(content, path)
    with pytest.raises(BadInput, match="not those that were written"):
        load_model(path)
    torch.save({"weights": torch.zeros(2)}, path)
    with pytest.raises(Mismatch, match="not an irploc-regressor file"):
        load_model(path)
    with pytest.raises(NotFound, match="irploc train-mlp"):
        load_model(tmp_path / "absent.pt")
