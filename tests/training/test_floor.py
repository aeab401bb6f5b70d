"""The penalty for positions outside a floor map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from irploc.errors import BadInput
from irploc.floormap import FloorMap, plane_axes
from irploc.geometry.poses import Poses
from irploc.training.dataset import TrainingSet
from irploc.training.floor import FloorPenalty, FloorTraining, with_steps_for_floor
from irploc.training.loop import Trained, TrainingOptions, train
from irploc.training.losses import LearnedWeighting, WeightedNorms
from irploc.training.models import ORIENTATION, POSITION, sha256_of
from irploc.training.recipes import Recipe, recipe

BAND = np.zeros((20, 60), dtype=bool)
BAND[5:15] = True  # y 0.5 to 1.5, x 0 to 6


def band(**changes: object) -> FloorMap:
    return FloorMap(**{"walkable": BAND, "metres_per_pixel": 0.1, **changes})  # type: ignore[arg-type]


def penalty(floor_map: FloorMap, weight: float = 1.0, scale: float = 1.0, offset: float = 0.0) -> FloorPenalty:
    return FloorPenalty(WeightedNorms({POSITION: 1.0}), FloorTraining(floor_map, weight), torch.full((3,), offset), scale)


def test_the_penalty_is_the_weight_times_the_mean_metres_outside() -> None:
    positions = torch.tensor([[3.0, 1.0, 1.6], [3.0, 1.85, 1.6], [3.0, 0.25, 1.6], [3.0, 3.0, 1.6]])
    outside = penalty(band()).outside_m(positions)
    assert outside.tolist() == pytest.approx([0, 0.35, 0.25, 1.5], abs=1e-4)
    loss = penalty(band(), 4.0)({POSITION: positions}, {POSITION: positions})
    assert loss.item() == pytest.approx(4 * (0.35 + 0.25 + 1.5) / 4, abs=1e-3)


def test_the_gradient_points_away_from_walkable_ground_and_is_zero_on_it() -> None:
    positions = torch.tensor([[3.0, 1.0, 1.6], [3.0, 1.85, 1.6], [3.0, -2.0, 1.6], [8.0, 1.0, 0.0]], requires_grad=True)
    penalty(band()).outside_m(positions).sum().backward()
    assert positions.grad is not None
    assert torch.allclose(positions.grad, torch.tensor([[0, 0, 0], [0, 1.0, 0], [0, -1.0, 0], [1.0, 0, 0]]), atol=1e-3)


@pytest.mark.parametrize("up", ["z", "-y", "x"])
def test_distances_of_standardized_positions_are_those_of_the_map(up: str) -> None:
    walkable = np.zeros((40, 50), dtype=bool)
    walkable[10:25, 5:30] = True
    floor_map = FloorMap(walkable, 0.1, (1.0, -2.0), 30.0, up)
    generator = np.random.default_rng(0)
    centers = generator.normal(size=(500, 3))
    centers[:, list(plane_axes(up))] = floor_map.grid.points_of(generator.uniform(0, 1, (500, 2)) * [50, 40])
    standardized = torch.from_numpy((centers - 0.5) / 2.5).float()
    found = penalty(floor_map, scale=2.5, offset=0.5).outside_m(standardized).numpy()
    assert np.abs(found - floor_map.move(centers).moved_m).max() < 0.1, "one pixel"


def test_the_penalty_has_the_units_of_the_loss() -> None:
    """A metre outside costs as much as a metre of error at weight 1, however positions are standardized."""
    true, wrong = torch.tensor([[3.0, 1.5, 0.0]]), torch.tensor([[3.0, 4.5, 0.0]])
    for scale in (1.0, 2.5):
        loss = penalty(band(), 1.0, scale)({POSITION: wrong / scale}, {POSITION: true / scale}).item()
        assert scale * loss == pytest.approx(3 + 3, abs=0.01)


def test_a_learned_weight_of_positions_counts_for_the_penalty_too() -> None:
    learned = LearnedWeighting()
    with torch.no_grad():
        learned.log_scales[POSITION].fill_(-2.0)
    outside = {POSITION: torch.tensor([[3.0, 3.5, 0.0]]), ORIENTATION: torch.zeros(1, 4)}
    plain = learned(outside, outside).item()
    with_map = FloorPenalty(learned, FloorTraining(band(), 3.0), torch.zeros(3), 1.0)(outside, outside).item()
    assert with_map - plain == pytest.approx(np.exp(2.0) * 3.0 * 2.0, rel=1e-3)


def test_the_weight_rises_from_nothing_in_the_first_four_fifths_of_a_training() -> None:
    loss, outside = penalty(band(), 3.0), {POSITION: torch.tensor([[3.0, 3.5, 0.0]])}
    found = []
    for share_done in (0.0, 0.2, 0.4, 0.8, 0.99):
        loss.advance(share_done)
        found.append(loss(outside, outside).item())
    assert found == pytest.approx([0, 1.5, 3, 6, 6], rel=1e-3)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf"), float("nan")])
def test_a_weight_that_cannot_be_is_refused(weight: float) -> None:
    with pytest.raises(BadInput, match="floor weight"):
        FloorTraining(band(), weight)


SMALL = replace(recipe("fast", "indoor"), width=32, batch_size=32, epochs=1, minimum_steps=24, components=8, heads=2)


def training_set(count: int = 60, seed: int = 1) -> TrainingSet:
    """Photos along the band whose embeddings say how far along they are, and less of where across."""
    generator = np.random.default_rng(seed)
    x, y = generator.uniform(0.5, 5.5, count), generator.uniform(0.6, 1.4, count)
    centers = np.column_stack([x, y, np.full(count, 1.6)])
    codes = np.column_stack([np.sin(x), np.cos(x), x, y, 0.1 * generator.normal(size=(count, 8))])
    embeddings = (codes[:, None] + 0.05 * generator.normal(size=(count, 3, 12))).astype(np.float32)
    quats = np.tile([1.0, 0, 0, 0], (count, 1)) + 0.05 * generator.normal(size=(count, 4))
    return TrainingSet(embeddings, Poses(centers, quats), np.array(["w"] * count, dtype=object), np.arange(count))


def trained(floor: FloorTraining | None, model: str = "irpnet", chosen: Recipe = SMALL) -> Trained:
    return train(training_set(), model, chosen, TrainingOptions(seed=3, floor=floor))


def outside_m(result: Trained, floor_map: FloorMap, training: str) -> float:
    """Mean metres outside of what the heads make of photos that they were not trained on."""
    queries = torch.from_numpy(training_set(seed=2).embeddings[:, 0])
    positions = [head[training](queries)[POSITION].double().numpy() for head in result.heads]
    return float(np.mean([floor_map.move(answer).moved_m.mean() for answer in positions]))


@pytest.mark.parametrize(("model", "training"), [("irpnet", POSITION), ("mlp", "joint")])
def test_what_is_trained_with_a_map_lies_less_outside_of_it(model: str, training: str) -> None:
    narrow = np.zeros((20, 60), dtype=bool)
    narrow[9:11] = True  # narrower than the walk, so that the labels themselves pull outside
    floor_map = band(walkable=narrow)
    longer = replace(SMALL, minimum_steps=80, heads=1, learning_rate=1e-2)
    free, held = trained(None, model, longer), trained(FloorTraining(floor_map, 20.0), model, longer)
    assert outside_m(held, floor_map, training) < 0.7 * outside_m(free, floor_map, training)
    assert held.record.floor == {"sha256": floor_map.sha256, "weight": 20.0}
    assert free.record.floor is None


def test_orientations_do_not_change_with_the_map() -> None:
    free, held = trained(None), trained(FloorTraining(band(), 20.0))
    assert sha256_of([{ORIENTATION: head[ORIENTATION]} for head in free.heads]) == sha256_of(
        [{ORIENTATION: head[ORIENTATION]} for head in held.heads]
    )


def test_a_map_without_an_outside_changes_no_weight() -> None:
    """The penalty is zero then, and everything else is drawn and computed as without it, to the bit."""
    everywhere = FloorMap(np.ones((10, 10), dtype=bool), 100.0, (-500.0, -500.0))
    assert sha256_of(trained(None).heads) == sha256_of(trained(FloorTraining(everywhere)).heads)


def test_an_unfinished_training_goes_on_with_the_same_map_only(tmp_path: pytest.TempPathFactory) -> None:
    path = tmp_path / "model.training"  # type: ignore[operator]
    first = FloorTraining(band())
    train(training_set(), "irpnet", SMALL, TrainingOptions(seed=3, floor=first, checkpoint=path))

    def reported(floor: FloorTraining | None) -> str:
        lines: list[str] = []
        options = TrainingOptions(seed=3, floor=floor, checkpoint=path, report=lines.append)
        kept = path.read_bytes()
        train(training_set(), "irpnet", SMALL, options)
        path.write_bytes(kept)
        return lines[0]

    assert "continuing from step" in reported(first)
    assert "another floor" in reported(FloorTraining(band(), 1.0))
    assert "another floor" in reported(FloorTraining(band(yaw_deg=1.0)))
    assert "another floor" in reported(None)


def test_a_loss_without_a_map_is_the_plain_one() -> None:
    from irploc.training.batches import Batches
    from irploc.training.trainee import make_trainees

    batches = Batches(training_set(), SMALL, 0, torch.device("cpu"))
    kinds = [[type(trainee.criterion) for trainee in make_trainees("irpnet", SMALL, batches, 10, floor=floor)]
             for floor in (None, FloorTraining(band()))]  # fmt: skip
    assert kinds == [[WeightedNorms, WeightedNorms], [FloorPenalty, WeightedNorms]]
    assert not [name for name in nn.Module.state_dict(penalty(band())) if "raster" in name], "not kept in checkpoints"


def test_short_recipes_get_more_steps_and_exact_ones_stay() -> None:
    short = recipe("fast", "indoor")
    assert with_steps_for_floor(short, 300).total_steps(300) == 4 * short.total_steps(300) == 1600
    exact = recipe("fast", "indoor", epochs=10)
    assert with_steps_for_floor(exact, 300) == exact
    paper = recipe("paper", "indoor")
    assert with_steps_for_floor(paper, 300) == paper
