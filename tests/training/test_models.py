"""The networks are those of the paper."""

from __future__ import annotations

import torch

from irploc.training.models import MLP, ORIENTATION, POSITION, IRPNet, linear_layers, parameter_count


def test_irpnet_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        network = IRPNet(4096)
    assert parameter_count(network) == 71_328_775


def test_the_mlp_has_the_layers_of_table_one() -> None:
    with torch.device("meta"):
        network = MLP(4096)
    shapes = [(layer.in_features, layer.out_features) for layer in linear_layers(network)]
    assert shapes == [(4096, 4096), (4096, 2048), (2048, 1024), (1024, 3), (1024, 4)]


def test_each_branch_has_4096_2048_1024_units_behind_the_shared_layer() -> None:
    with torch.device("meta"):
        network = IRPNet(1856)
    shapes = [(layer.in_features, layer.out_features) for layer in linear_layers(network)]
    branch = [(4096, 4096), (4096, 2048), (2048, 1024)]
    assert shapes == [(1856, 4096), *branch, (1024, 3), *branch, (1024, 4)]


def test_dropout_follows_the_second_layer_of_each_branch_with_one_fifth() -> None:
    names = [name for name, _ in IRPNet(8, width=8).branches[POSITION].named_children()]
    assert names == ["first", "relu1", "second", "relu2", "dropout", "third", "relu3", "head"]
    assert IRPNet(8, width=8).branches[ORIENTATION].get_submodule("dropout").p == 0.2


def test_weights_start_with_the_variance_of_he_and_zero_biases() -> None:
    torch.manual_seed(0)
    layer = IRPNet(400, width=400).shared
    assert abs(layer.weight.std().item() - (2 / 400) ** 0.5) < 1e-3
    assert not layer.bias.any()


def test_a_network_without_the_other_branch_gives_the_same_output() -> None:
    torch.manual_seed(0)
    whole = IRPNet(6, width=8).eval()
    alone = IRPNet(6, width=8, branches=(ORIENTATION,)).eval()
    alone.load_state_dict({name: value for name, value in whole.state_dict().items() if name in alone.state_dict()})
    embeddings = torch.randn(5, 6)
    assert set(alone(embeddings)) == {ORIENTATION}
    assert torch.equal(alone(embeddings)[ORIENTATION], whole(embeddings)[ORIENTATION])
    assert whole(embeddings)[POSITION].shape == (5, 3)
