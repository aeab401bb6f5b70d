from __future__ import annotations

import math

import pytest
import torch

from irploc.training.siamese.network import SiameseNetwork
from irploc.training.siamese.recipes import FAST, PAPER, SiameseRecipe


def network_of(recipe: SiameseRecipe, inputs: int = 12) -> SiameseNetwork:
    torch.manual_seed(0)
    return SiameseNetwork.of(inputs, recipe).eval()


def test_the_papers_heads_have_its_layers() -> None:
    network = network_of(PAPER, 2048)
    shapes = {name: tuple(values.shape) for name, values in network.named_parameters() if name.endswith("weight")}
    assert shapes["first.hidden.0.weight"] == shapes["second.hidden.0.weight"] == (2048, 2048)
    assert shapes["first.location.weight"] == shapes["first.orientation.weight"] == (3, 2048)
    assert shapes["between.hidden.0.weight"] == (2048, 4096)
    assert [layer.p for layer in network.modules() if isinstance(layer, torch.nn.Dropout)] == [0.5, 0.5, 0.5]
    assert network.log_scales.tolist() == [0.0, -3.0]


def test_the_two_absolute_heads_have_weights_of_their_own() -> None:
    features = torch.randn(4, 12)
    network = network_of(PAPER)
    assert not torch.allclose(network.absolute(features, "first"), network.absolute(features, "second"))


def test_the_loss_is_equation_4() -> None:
    """A location 5 away and an orientation 0.1 away, with s_x = 0 and s_q = -3: 5 + 0 + 0.1 e^3 - 3."""
    found = network_of(PAPER).loss(torch.tensor([[3.0, 4.0, 0.0, 0.1, 0.0, 0.0]]), torch.zeros(1, 6)).loss
    assert found.item() == pytest.approx(5.0 + 0.1 * math.e**3 - 3.0, abs=1e-5)


def test_the_loss_is_the_mean_over_the_batch() -> None:
    outputs = torch.zeros(2, 6)
    outputs[0, 0] = 2.0
    assert network_of(FAST).loss(outputs, torch.zeros(2, 6)).loss.item() == pytest.approx(1.0, abs=1e-5)


def test_exchanging_photos_changes_the_sign_and_equal_photos_are_at_one_place() -> None:
    network = network_of(FAST)
    one, other = torch.randn(5, 12), torch.randn(5, 12)
    assert torch.allclose(network.relative(one, other), -network.relative(other, one), atol=1e-6)
    assert torch.allclose(network.relative(one, one), torch.zeros(5, 6), atol=1e-6)


def test_the_papers_relative_head_knows_no_symmetry() -> None:
    network = network_of(PAPER)
    one, other = torch.randn(5, 12), torch.randn(5, 12)
    assert not torch.allclose(network.relative(one, other), -network.relative(other, one), atol=1e-2)


def test_every_head_can_start_as_a_linear_map() -> None:
    network, linear = network_of(FAST), torch.randn(12, 6)
    with torch.no_grad():
        for name in ("first", "second", "between"):
            network.get_submodule(name).location.weight.zero_()
            network.get_submodule(name).orientation.weight.zero_()
    network.start_from(linear)
    one, other = torch.randn(5, 12), torch.randn(5, 12)
    for head in ("first", "second"):
        assert torch.allclose(network.absolute(one, head), one @ linear, atol=1e-5)
    assert torch.allclose(network.relative(one, other), (one - other) @ linear, atol=1e-5)


def test_distances_are_weighed_with_the_inverse_exponentials() -> None:
    assert network_of(PAPER).weights_of_distance == pytest.approx((1.0, math.e**3), rel=1e-6)
