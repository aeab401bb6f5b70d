"""A training goes on from a trained network when photos come and go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from irploc.geometry.poses import Poses, pose_errors
from irploc.splits import pose_folds
from irploc.training import batches as batches_module
from irploc.training.batches import Batches
from irploc.training.dataset import TrainingSet
from irploc.training.heldout import HeldOut
from irploc.training.linear_start import LinearLane
from irploc.training.loop import TrainingOptions, train
from irploc.training.modelfile import PoseRegressor
from irploc.training.models import MLP, ORIENTATION, OUTPUTS, POSITION, IRPNet, Networks
from irploc.training.recipes import Recipe, recipe
from irploc.training.trainee import make_trainees
from irploc.training.warm_start import SHARE_OF_STEPS, load_trained

Toy = Callable[..., TrainingSet]


def small(**changes: float) -> Recipe:
    sizes = {"width": 32, "batch_size": 16, "heads": 1, "epochs": 100, "minimum_steps": 0} | changes
    return replace(recipe("fast", "indoor"), **sizes)  # type: ignore[arg-type]


def poses_of(model: str, heads: list[Networks], data: TrainingSet, embeddings: np.ndarray) -> Poses:
    return PoseRegressor(model, heads, small(), 0, data.identity, {}).poses(embeddings)


def some(data: TrainingSet, kept: np.ndarray) -> TrainingSet:
    return replace(
        data,
        embeddings=data.embeddings[kept],
        poses=data.poses[kept],
        sequences=data.sequences[kept],
        indices=data.indices[kept],
    )


@pytest.mark.parametrize("model", ["irpnet", "mlp"])
@pytest.mark.parametrize("ridge", [0.0, 0.06])
def test_a_network_is_carried_over_to_other_components_and_spreads(toy: Toy, model: str, ridge: float) -> None:
    data, chosen = toy(), small(ridge=ridge, position_teacher=0.0, orientation_teacher=0.0)
    trained = train(some(data, np.arange(40) % 8 != 5), model, chosen, TrainingOptions()).heads
    batches = Batches(data, chosen, 0, torch.device("cpu"))
    for name, source in trained[0].items():
        outputs = tuple(OUTPUTS) if name == "joint" else (name,)
        network = MLP(32, 32) if model == "mlp" else IRPNet(32, 32, outputs, dropout=0.0)
        network.eval()
        load_trained(network, source, outputs, batches)
        if ridge:
            LinearLane(network, None, {})
        with torch.no_grad():
            found = batches.target_map.undo(network(batches.embeddings[:, 0].float()))
            wanted = source(torch.from_numpy(data.embeddings[:, 0]))
        for output in outputs:
            torch.testing.assert_close(found[output], wanted[output], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("model", ["irpnet", "mlp"])
@pytest.mark.parametrize("ridge", [0.0, 0.06])
def test_it_begins_right_on_the_mean_and_not_worse_than_it_was(toy: Toy, model: str, ridge: float) -> None:
    data, chosen = toy(), small(ridge=ridge, position_teacher=0.0, orientation_teacher=0.0)
    trained = train(some(data, np.arange(40) < 30), model, chosen, TrainingOptions()).heads
    batches = Batches(data, chosen, 0, torch.device("cpu"))
    trainees = make_trainees(model, chosen, batches, 10, trained)
    begun = [{part.training: part.finished(batches.input_map, batches.target_map)[0] for part in trainees}]
    plain = np.asarray(data.embeddings[:, 0], dtype=np.float32)
    before, after = (poses_of(model, heads, data, plain) for heads in (trained, begun))
    np.testing.assert_allclose(after.centers_m.mean(axis=0), data.poses.centers_m.mean(axis=0), atol=1e-3)
    squares = [np.mean(pose_errors(found, data.poses)[0] ** 2) for found in (before, after)]
    assert squares[1] < squares[0]


def test_a_tenth_of_the_steps_is_enough_for_a_tenth_more_photos(toy: Toy) -> None:
    data, chosen = toy(), small()
    first = train(some(data, np.arange(40) < 36), "irpnet", chosen, TrainingOptions()).heads
    short = replace(chosen, share=SHARE_OF_STEPS)
    assert short.total_steps(len(data)) == pytest.approx(0.1 * chosen.total_steps(len(data)), rel=0.1)
    added = train(data, "irpnet", short, TrainingOptions(start=first)).heads
    scratch = train(data, "irpnet", chosen, TrainingOptions()).heads
    errors = {}
    for name, heads in (("added", added), ("scratch", scratch), ("first", first)):
        found = poses_of("irpnet", heads, data, np.asarray(data.embeddings[36:, 0], dtype=np.float32))
        errors[name] = np.median(pose_errors(found, data.poses[36:])[0])
    assert errors["added"] < 1.3 * errors["scratch"] + 0.01
    assert errors["added"] < errors["first"]


def test_another_start_is_another_training(toy: Toy, tmp_path) -> None:  # type: ignore[no-untyped-def]
    data, chosen = toy(), small(epochs=2)
    starts = [train(data, "mlp", chosen, TrainingOptions(seed)).heads for seed in (1, 2)]
    one, other = (train(data, "mlp", chosen, TrainingOptions(start=start)).heads[0]["joint"] for start in starts)
    assert not torch.equal(one.first_layer.weight, other.first_layer.weight)


def test_targets_that_changed_their_sign_do_not_matter(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """q and -q are the same rotation, and with other photos all targets may have the other sign."""
    data, chosen = toy(), small(position_teacher=0.0, orientation_teacher=0.0)
    trained = train(data, "irpnet", chosen, TrainingOptions()).heads
    right = batches_module.targets_of

    def turned(poses: Poses, one_hemisphere: bool) -> dict[str, torch.Tensor]:
        targets = right(poses, one_hemisphere)
        return {**targets, ORIENTATION: -targets[ORIENTATION]}

    monkeypatch.setattr(batches_module, "targets_of", turned)
    batches = Batches(data, chosen, 0, torch.device("cpu"))
    trainees = make_trainees("irpnet", chosen, batches, 10, trained)
    begun = [{part.training: part.finished(batches.input_map, batches.target_map)[0] for part in trainees}]
    plain = np.asarray(data.embeddings[:, 0], dtype=np.float32)
    apart = pose_errors(poses_of("irpnet", begun, data, plain), poses_of("irpnet", trained, data, plain))[1]
    assert np.median(apart) < 2.0, "what ridge regression adds is small where nothing is new"


def test_held_out_photos_are_answered_by_models_that_never_saw_them(toy: Toy) -> None:
    data = toy()
    folds = pose_folds(data.poses)
    held_out = HeldOut(data, "irpnet", "indoor", TrainingOptions(), folds)
    held_out._recipe = replace(held_out._recipe, width=32, batch_size=16, minimum_steps=40)
    rows = np.flatnonzero(folds[3])
    found = held_out.poses(3, rows)
    moved = data.poses.centers_m.copy()
    moved[rows] += 100.0
    lies = HeldOut(
        replace(data, poses=Poses(moved, data.poses.world_from_cam_wxyz)), "irpnet", "indoor", TrainingOptions(), folds
    )
    lies._recipe = held_out._recipe
    assert np.array_equal(lies.poses(3, rows).centers_m, found.centers_m), "labels of held-out photos must not matter"
    assert held_out.steps == sum(held_out._recipe.total_steps(int((~held).sum())) for held in folds)
    assert POSITION in held_out._trained[3].heads[0]
