"""Closed forms, and the network that begins as one of them."""

from __future__ import annotations

import pytest
import torch

from irploc.training.linear_start import LinearLane
from irploc.training.models import MLP, ORIENTATION, POSITION, IRPNet, Regressor
from irploc.training.teacher import NEIGHBOURS, Teacher, interpolate, ridge_map


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_ridge_in_one_dimension_is_the_formula() -> None:
    rows, targets = torch.tensor([[[1.0]], [[-1.0]]]), torch.tensor([[2.0], [-2.0]])
    assert torch.allclose(ridge_map(rows, targets, 0.0, False), torch.tensor([[2.0]]))
    # gram 2, penalty 0.5 * 2 / 2 = 0.5, product 4
    assert torch.allclose(ridge_map(rows, targets, 0.5, False), torch.tensor([[4.0 / 2.5]]))


def test_partial_jitter_counts_like_many_random_shares() -> None:
    versions, targets = _random(30, 3, 4), _random(30, 2)
    chosen = torch.rand(2000, generator=torch.Generator().manual_seed(0)).sort().values
    points = [torch.lerp(versions[:, :1], versions, share.item()) for share in chosen]
    many = ridge_map(torch.cat(points, dim=1), targets, 0.05, False)
    assert torch.allclose(ridge_map(versions, targets, 0.05, True), many, atol=5e-3)


def test_interpolation_finds_the_weights_of_a_point_between_known_ones() -> None:
    known = torch.eye(4)
    targets = torch.tensor([[0.0], [10.0], [20.0], [40.0]])
    query = 0.25 * known[0] + 0.75 * known[1]
    assert abs(interpolate(query[None], known, targets, 2).item() - 7.5) < 0.02


def test_interpolation_of_a_constant_is_the_constant_and_of_one_photo_its_pose() -> None:
    assert torch.allclose(interpolate(_random(5, 6), _random(8, 6), torch.full((8, 2), 3.0), 4), torch.full((5, 2), 3.0))
    assert torch.allclose(
        interpolate(_random(5, 6), _random(1, 6), torch.tensor([[1.0, 2.0]]), 10)[0], torch.tensor([1.0, 2.0])
    )


def test_the_answer_is_the_mean_of_both() -> None:
    embeddings = _random(20, 2, 5)
    targets = {POSITION: _random(20, 3), ORIENTATION: _random(20, 4)}
    teacher, queries = Teacher(embeddings, targets, 0.1, True), _random(7, 5)
    near = interpolate(queries, embeddings[:, 0], targets[ORIENTATION], NEIGHBOURS)
    expected = 0.5 * (near + queries @ teacher.linear[ORIENTATION])
    assert torch.allclose(teacher.answer(queries)[ORIENTATION], expected, atol=1e-4)


def _started(kind: str = "irpnet") -> tuple[Regressor, LinearLane, dict[str, torch.Tensor], torch.Tensor]:
    torch.manual_seed(0)
    network = IRPNet(6, width=32, dropout=0.0) if kind == "irpnet" else MLP(6, width=32)
    embeddings = _random(50, 6)
    linear = {POSITION: _random(6, 3), ORIENTATION: _random(6, 4)}
    spreads = {name: (embeddings @ weights).std(dim=0) for name, weights in linear.items()}
    return network, LinearLane(network, linear, spreads), linear, embeddings


@pytest.mark.parametrize("kind", ["irpnet", "mlp"])
def test_a_network_with_a_lane_begins_as_the_linear_map(kind: str) -> None:
    network, _, linear, embeddings = _started(kind)
    outputs = network(embeddings)
    for name, weights in linear.items():
        assert torch.allclose(outputs[name], embeddings @ weights, atol=1e-4)


def test_the_other_units_stay_out_of_the_lane_and_still_learn() -> None:
    network, lane, _, embeddings = _started()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(3):
        loss = (network(embeddings)[POSITION] - 1.0).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        lane.restore()
    head = network.last_layer(POSITION)
    assert torch.equal(head.weight[:, :3], torch.eye(3))
    assert head.weight[:, 3:].abs().max() > 0
    assert isinstance(network, IRPNet)
    hidden = network.branches[POSITION].get_submodule("second")
    assert torch.equal(hidden.weight[:3, :3], torch.eye(3))
    assert not hidden.weight[:3, 3:].any()
    assert not hidden.weight[3:, :3].any()
