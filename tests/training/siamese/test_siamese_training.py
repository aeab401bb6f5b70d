from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from irploc.errors import BadInput, Mismatch, NotFound
from irploc.geometry.poses import Poses, pose_errors
from irploc.training.dataset import TrainingSet
from irploc.training.loop import TrainingOptions
from irploc.training.siamese.code import RELATIONS
from irploc.training.siamese.lesson import CorrelatedPairs, train_on_embeddings, train_without
from irploc.training.siamese.model import SiameseModel, load_siamese, save_siamese
from irploc.training.siamese.recipes import PAPER, siamese_recipe

QUICK = siamese_recipe("fast", epochs=1, minimum_steps=60, batch_size=64)
SHORT = replace(QUICK, minimum_steps=6, absolute_widths=(16, 8), relative_widths=(16, 8), batch_size=16)


def pairs_of(data: TrainingSet, window: int = 6) -> CorrelatedPairs:
    rows = np.array([[i, j] for i in range(len(data)) for j in range(i + 1, min(i + window + 1, len(data)))])
    return CorrelatedPairs(rows, 40.0, "window")


def state(model: SiameseModel) -> dict[str, torch.Tensor]:
    return dict(model.network.state_dict())


def same(one: SiameseModel, other: SiameseModel) -> bool:
    return all(torch.equal(values, state(other)[name]) for name, values in state(one).items())


def answers(model: SiameseModel, data: TrainingSet) -> tuple[Poses, Poses]:
    """Poses of the watched photos by the absolute head, and from the mapping photo most similar to each."""
    assert data.monitor is not None
    plain = np.asarray(data.embeddings[:, 0], dtype=np.float32)
    features, known = model.features(data.monitor.embeddings), model.features(plain)
    nearest = (data.monitor.embeddings @ plain.T).argmax(axis=1)
    return model.absolute(features), model.from_photos(features, known[torch.from_numpy(nearest)], data.poses[nearest])


@pytest.mark.parametrize("relation", RELATIONS)
def test_relative_poses_to_the_most_similar_photo_beat_its_own_pose(toy: Callable[..., TrainingSet], relation: str) -> None:
    data = toy()
    model = train_on_embeddings(data, pairs_of(data), replace(QUICK, relation=relation), TrainingOptions(1))
    assert data.monitor is not None
    plain = np.asarray(data.embeddings[:, 0], dtype=np.float32)
    nearest = (data.monitor.embeddings @ plain.T).argmax(axis=1)
    as_it_is = np.median(pose_errors(data.poses[nearest], data.monitor.poses), axis=1)
    absolute, relative = (np.median(pose_errors(found, data.monitor.poses), axis=1) for found in answers(model, data))
    assert (relative < 0.8 * as_it_is).all()
    assert (absolute < 3 * as_it_is).all()


def test_the_same_seed_gives_the_same_network_and_another_one_another(toy: Callable[..., TrainingSet]) -> None:
    data = toy()
    first, again, other = (train_on_embeddings(data, pairs_of(data), SHORT, TrainingOptions(seed)) for seed in (1, 1, 2))
    assert same(first, again)
    assert not same(first, other)


class _Interrupts:
    """Progress that gives up after some steps."""

    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, count: int = 1) -> None:
        self.left -= count
        if self.left < 0:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        """Says nothing."""


def test_an_interrupted_training_goes_on_to_the_same_result(toy: Callable[..., TrainingSet], tmp_path: Path) -> None:
    data, kept = toy(), tmp_path / "kept"
    whole = train_on_embeddings(data, pairs_of(data), SHORT, TrainingOptions(1))
    lines: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        train_on_embeddings(data, pairs_of(data), SHORT, TrainingOptions(1, checkpoint=kept, progress=_Interrupts(2)))
    assert kept.is_file()
    resumed = train_on_embeddings(data, pairs_of(data), SHORT, TrainingOptions(1, checkpoint=kept, report=lines.append))
    assert lines[0] == "continuing from step 3 of 6"
    assert same(whole, resumed)
    fewer = CorrelatedPairs(pairs_of(data).rows[:-1], 40.0, "window")
    train_on_embeddings(data, fewer, SHORT, TrainingOptions(1, checkpoint=kept, report=lines.append))
    assert any("starting over" in line for line in lines)


def test_a_saved_model_gives_the_same_answers(toy: Callable[..., TrainingSet], tmp_path: Path) -> None:
    data, path = toy(), tmp_path / "toy.siamese.pt"
    model = train_on_embeddings(data, pairs_of(data), SHORT, TrainingOptions(1))
    save_siamese(model, path)
    loaded = load_siamese(path, data.identity)
    for found, wanted in zip(answers(loaded, data), answers(model, data), strict=True):
        assert np.array_equal(found.centers_m, wanted.centers_m)
        assert np.array_equal(found.world_from_cam_wxyz, wanted.world_from_cam_wxyz)
    assert (loaded.recipe, loaded.code, loaded.pairs) == (model.recipe, model.code, model.pairs)
    assert loaded.pairs["count"] == len(pairs_of(data).rows)


def test_a_model_of_another_place_or_a_damaged_one_is_refused(toy: Callable[..., TrainingSet], tmp_path: Path) -> None:
    data, path = toy(), tmp_path / "toy.siamese.pt"
    with pytest.raises(NotFound, match="irploc train siamese"):
        load_siamese(path)
    model = train_on_embeddings(data, pairs_of(data), SHORT, TrainingOptions(1))
    save_siamese(model, path)
    with pytest.raises(Mismatch, match="was trained on other mapping photos"):
        load_siamese(path, {**data.identity, "mapping_fingerprint": "0" * 64})
    with pytest.raises(Mismatch, match="of the method siamese, not siamese-image"):
        load_siamese(path, method="siamese-image")
    content = torch.load(path, weights_only=True)
    content["network"]["first.location.bias"] += 1.0
    torch.save(content, path)
    with pytest.raises(BadInput, match="its weights are not those that were written"):
        load_siamese(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadInput, match="truncated"):
        load_siamese(path)


def test_the_papers_recipe_trains_too(toy: Callable[..., TrainingSet]) -> None:
    data = toy()
    recipe = replace(PAPER, epochs=2, absolute_widths=(32,), relative_widths=(32, 32))
    model = train_on_embeddings(data, pairs_of(data), recipe, TrainingOptions(0))
    assert model.input_map is None
    assert model.record["epochs"][-1]["step"] == 2 * 2  # 40 photos in batches of 30
    assert (model.code.metres, model.code.reference_wxyz) == (1.0, (1.0, 0.0, 0.0, 0.0))


def test_a_loss_that_runs_away_is_told(toy: Callable[..., TrainingSet]) -> None:
    data = toy()
    with pytest.raises(BadInput, match=r"the training diverged: .* try --learning-rate 1e"):
        train_on_embeddings(data, pairs_of(data), replace(SHORT, learning_rate=1e12), TrainingOptions(0))


def test_pairs_with_photos_that_are_held_out_are_left_out(toy: Callable[..., TrainingSet]) -> None:
    pairs = CorrelatedPairs(np.array([[0, 1], [1, 3], [3, 4]]), 40.0, "")
    kept = np.array([True, True, False, True, True])
    assert pairs.among(kept).rows.tolist() == [[0, 1], [1, 2], [2, 3]]
    assert pairs.among(np.array([True, True, False, False, True])).rows.tolist() == [[0, 1]]
    data = toy()
    model = train_without(data, np.arange(40) % 4 == 0, pairs_of(data), SHORT, TrainingOptions(1))
    assert model.record["epochs"][-1]["step"] == 6
