"""Losses by hand."""

from __future__ import annotations

import math

import pytest
import torch

from irploc.training.poseloss import DISTANCES, PoseLoss, completed, tuple_pairs

# two poses off by (1, 0, 0) and (0, 3, 4) metres, and by (0.6, 0.8, 0, 0) and nothing in the quaternion
OFF = torch.tensor([[1.0, 0, 0, 0.6, 0.8, 0, 0], [0, 3.0, 4.0, 0, 0, 0, 0]])
EXPECTED = {  # of positions, of orientations
    "mse": (26 / 6, 1 / 8),
    "l1": (8 / 6, 1.4 / 8),
    "smooth-l1": ((0.5 + 2.5 + 3.5) / 6, (0.18 + 0.32) / 8),
    "rmse": (math.sqrt(26 / 6), math.sqrt(1 / 8)),
    "norm": ((1 + 5) / 2, 0.5),
}


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_are_what_they_are_by_hand(name: str) -> None:
    position, orientation = EXPECTED[name]
    loss = PoseLoss(name, "fixed", alpha=3.0, beta=0.0, gamma=0.0)
    assert loss(OFF).loss.item() == pytest.approx(position + 3.0 * orientation, rel=1e-5)


@pytest.mark.parametrize("name", DISTANCES)
def test_learned_weights_enter_as_logarithms(name: str) -> None:
    position, orientation = EXPECTED[name]
    loss = PoseLoss(name, "learned", alpha=99.0, beta=0.5, gamma=-3.0)
    expected = position * math.exp(-0.5) + 0.5 + orientation * math.exp(3.0) - 3.0
    assert loss(OFF).loss.item() == pytest.approx(expected, rel=1e-5)
    loss(OFF).loss.backward()
    assert loss.beta.grad.item() == pytest.approx(1 - position * math.exp(-0.5), rel=1e-5)
    assert not list(PoseLoss(name, "fixed", 1.0, 0.0, 0.0).parameters())


@pytest.mark.parametrize("name", DISTANCES)
def test_no_error_costs_nothing_and_has_a_gradient(name: str) -> None:
    exact = torch.zeros(4, 7, requires_grad=True)
    loss = PoseLoss(name, "fixed", 1.0, 0.0, 0.0)(exact).loss
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-5)
    assert torch.isfinite(exact.grad).all()


@pytest.mark.parametrize("weighting", ["fixed", "learned"])
def test_the_distance_is_free_of_weights(weighting: str) -> None:
    position, orientation = EXPECTED["norm"]
    found = PoseLoss("norm", weighting, alpha=1.0 if weighting == "learned" else 7.0, beta=2.0, gamma=-9.0)(OFF)
    assert found.distance.item() == pytest.approx(position + orientation)


def test_changes_imply_others() -> None:
    assert completed({"epochs": 3, "loss": None}) == {"epochs": 3, "minimum_steps": 0}
    assert completed({"alpha": 2.0}) == {"alpha": 2.0, "weighting": "fixed", "beta": 0.0, "gamma": 0.0}
    assert completed({"gamma": -3.0}) == {"gamma": -3.0, "weighting": "learned", "alpha": 1.0}
    assert completed({"weighting": "fixed"}) == {"weighting": "fixed", "beta": 0.0, "gamma": 0.0}


def test_pairs_of_a_tuple_are_each_two_photos_once() -> None:
    first, second = tuple_pairs(3)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 2)]
