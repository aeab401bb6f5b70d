"""The numbers that are printed in the paper, and what users may change."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from irploc.errors import BadInput, NotFound
from irploc.training.losses import LearnedWeighting, WeightedNorms
from irploc.training.models import ORIENTATION, POSITION
from irploc.training.recipes import place_of, recipe
from irploc.training.trainee import schedule_factor


def test_the_paper_trains_indoors_300_epochs_at_one_hundredth() -> None:
    indoor = recipe("paper", "indoor")
    assert (indoor.width, indoor.batch_size, indoor.dropout, indoor.epochs) == (4096, 8, 0.2, 300)
    assert (indoor.optimizer, indoor.beta1, indoor.beta2, indoor.epsilon) == ("adam", 0.9, 0.999, 1e-10)
    assert (indoor.learning_rate, indoor.weight_decay, indoor.schedule) == (1e-2, 1e-4, "constant")
    assert indoor.weights_of(POSITION) == {POSITION: 1.0}
    assert indoor.weights_of(ORIENTATION) == {POSITION: 0.0, ORIENTATION: 1.0}
    assert not (indoor.components or indoor.standardize or indoor.ridge or indoor.averaging or indoor.noise or indoor.blend)


def test_the_paper_trains_outdoors_1000_epochs_with_positions_beside_orientations() -> None:
    outdoor = recipe("paper", "outdoor")
    assert (outdoor.epochs, outdoor.learning_rate, outdoor.weight_decay) == (1000, 1e-3, 1e-5)
    assert outdoor.weights_of(POSITION) == {POSITION: 1.0}
    assert outdoor.weights_of(ORIENTATION) == {POSITION: 1.0, ORIENTATION: 250.0}


def test_another_learning_rate_keeps_the_papers_ratio_of_weight_decay() -> None:
    assert recipe("paper", "indoor", learning_rate=1e-3).weight_decay == pytest.approx(1e-5)


def test_epochs_given_by_the_user_are_exact() -> None:
    assert recipe("fast", "indoor", epochs=2).total_steps(1000) == 2 * -(-1000 // 256)
    assert recipe("fast", "indoor").total_steps(50) >= 400


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch size"),
        ({"batch_size": 10**8}, "at most 65536"),
        ({"width": 6}, "width"),
        ({"learning_rate": -1.0}, "rate"),
    ],
)
def test_impossible_changes_are_refused_by_name(changes: dict[str, float], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        recipe("fast", "indoor", **changes)


def test_unknown_recipes_and_places_are_refused() -> None:
    with pytest.raises(NotFound, match="did you mean 'paper'"):
        recipe("papr", "indoor")
    with pytest.raises(BadInput, match="indoor, outdoor"):
        recipe("fast", "underwater")


def test_a_kitchen_is_indoor_and_a_street_outdoor() -> None:
    room = np.random.default_rng(0).uniform(0, 4, (100, 3))
    assert place_of(room) == "indoor"
    assert place_of(room * 20) == "outdoor"
    assert place_of(np.zeros((1, 3))) == "indoor"


def test_the_norm_loss_is_the_papers() -> None:
    outputs = {POSITION: torch.tensor([[3.0, 4.0, 0.0]]), ORIENTATION: torch.tensor([[2.0, 0.0, 0.0, 0.0]])}
    targets = {POSITION: torch.zeros(1, 3), ORIENTATION: torch.tensor([[1.0, 0.0, 0.0, 0.0]])}
    assert WeightedNorms({POSITION: 1.0, ORIENTATION: 250.0})(outputs, targets).item() == pytest.approx(255.0)
    assert WeightedNorms({POSITION: 1.0, ORIENTATION: 0.0})(outputs, targets).item() == pytest.approx(5.0)


def test_the_learned_weighting_starts_from_zero_and_minus_three() -> None:
    outputs = {POSITION: torch.tensor([[3.0, 4.0, 0.0]]), ORIENTATION: torch.tensor([[2.0, 0.0, 0.0, 0.0]])}
    targets = {POSITION: torch.zeros(1, 3), ORIENTATION: torch.tensor([[1.0, 0.0, 0.0, 0.0]])}
    loss = LearnedWeighting()(outputs, targets)
    assert loss.item() == pytest.approx(5.0 + 0.0 + float(np.exp(3.0)) * 1.0 - 3.0, rel=1e-5)
    loss.backward()


def test_the_rate_rises_then_falls_to_zero_and_the_papers_stays() -> None:
    fast = recipe("fast", "indoor")
    factors = [schedule_factor(fast, step, 100) for step in range(100)]
    assert factors[0] < factors[4] > factors[50] > factors[99]
    assert factors[99] < 0.01
    assert schedule_factor(recipe("paper", "indoor"), 77, 100) == 1.0
