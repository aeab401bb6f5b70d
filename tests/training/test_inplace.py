"""Layers that update themselves must do what autograd and torch's Adam do."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from irploc.training import inplace
from irploc.training.inplace import InplaceLinear, inplace_layers, make_inplace
from irploc.training.losses import WeightedNorms
from irploc.training.models import IRPNet
from irploc.training.recipes import recipe

PAPER = recipe("paper", "outdoor", learning_rate=1e-3)


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> tuple[IRPNet, IRPNet]:
    """The same network twice, one with layers that update themselves; blocks do not divide the rows evenly."""
    monkeypatch.setattr(inplace, "LEAST_WEIGHTS", 1)
    monkeypatch.setattr(inplace, "BLOCK_WEIGHTS", 3 * 32)
    torch.manual_seed(0)
    network = IRPNet(20, 32, dropout=0.0)
    return network, copy.deepcopy(network)


def test_steps_are_those_of_torch_adam(pair: tuple[IRPNet, IRPNet]) -> None:
    theirs, ours = pair
    make_inplace(ours, PAPER)
    assert len(inplace_layers(ours)) == 9
    betas = (PAPER.beta1, PAPER.beta2)
    optimizers = [
        torch.optim.Adam(
            [value for value in network.parameters() if value.requires_grad],
            PAPER.learning_rate,
            betas,
            PAPER.epsilon,
            PAPER.weight_decay,
        )
        for network in pair
    ]
    loss = WeightedNorms({"position": 1.0, "orientation": 250.0})
    generator = torch.Generator().manual_seed(1)
    before = theirs.shared.weight.clone()
    for _ in range(5):
        batch = torch.randn(8, 20, generator=generator)
        targets = {"position": torch.randn(8, 3, generator=generator), "orientation": torch.randn(8, 4, generator=generator)}
        for network, optimizer in zip(pair, optimizers, strict=True):
            optimizer.zero_grad()
            loss(network(batch), targets).backward()
            optimizer.step()
    for (name, expected), value in zip(theirs.state_dict().items(), ours.state_dict().values(), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=2e-6, msg=lambda text, name=name: f"{name}: {text}")
    assert (theirs.shared.weight - before).abs().max() > 1e-3


def test_small_layers_are_left_to_the_optimizer(pair: tuple[IRPNet, IRPNet], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inplace, "LEAST_WEIGHTS", 32 * 32)
    make_inplace(pair[1], PAPER)
    assert sorted(inplace_layers(pair[1])) == ["branches.orientation.first", "branches.position.first"]


def test_evaluation_changes_nothing(pair: tuple[IRPNet, IRPNet]) -> None:
    theirs, ours = pair
    make_inplace(ours, PAPER)
    batch = torch.randn(4, 20)
    with torch.no_grad():
        torch.testing.assert_close(ours(batch)["position"], theirs(batch)["position"])
    torch.testing.assert_close(ours.shared.weight, theirs.shared.weight)


def test_moments_go_from_one_layer_to_another() -> None:
    layer, other = (InplaceLinear(nn.Linear(6, 5), make_inplace(nn.Identity(), PAPER)) for _ in range(2))
    layer.update(torch.randn(3, 6), torch.randn(3, 5), gives_input=True)
    other.load_moments(layer.moments())
    for name, value in layer.moments().items():
        torch.testing.assert_close(other.moments()[name], value)
    assert layer.moments()["step"] == 1
