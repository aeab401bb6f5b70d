"""Several heads at once are what each would be alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from irploc.errors import BadInput
from irploc.geometry.poses import pose_errors
from irploc.training.dataset import TrainingSet
from irploc.training.loop import TrainingOptions, train
from irploc.training.modelfile import PoseRegressor
from irploc.training.models import MLP, POSITION, IRPNet
from irploc.training.recipes import recipe
from irploc.training.stack import Stack

Toy = Callable[..., TrainingSet]


def test_a_stack_gives_what_its_members_give_and_they_change_together() -> None:
    torch.manual_seed(0)
    members = [IRPNet(8, 16, (POSITION,), dropout=0.0).eval() for _ in range(3)]
    stack, embeddings = Stack(members).eval(), torch.randn(3, 5, 8)
    together = stack(embeddings)[POSITION]
    for head, member in enumerate(members):
        torch.testing.assert_close(together[head], member(embeddings[head])[POSITION])
    with torch.no_grad():
        members[1].last_layer(POSITION).bias.add_(1.0)
    moved = stack(embeddings)[POSITION] - together
    assert moved[1].detach().numpy() == pytest.approx(1.0, abs=1e-6)
    assert not moved[[0, 2]].any()
    optimizer = torch.optim.SGD(stack.parameters(), 0.1)
    stack(embeddings)[POSITION].sum().backward()
    optimizer.step()
    torch.testing.assert_close(members[2](embeddings[2])[POSITION], stack(embeddings)[POSITION][2])
    other = stack.copy()
    assert torch.equal(other(embeddings)[POSITION], stack(embeddings)[POSITION])
    assert len(list(stack.parameters())) == len(list(members[0].parameters()))


def test_dropout_differs_between_members() -> None:
    members = [MLP(8, 16, input_dropout=0.5)] * 2
    stack = Stack([MLP(8, 16, input_dropout=0.5) for _ in members])
    for name, values in stack.named_parameters():
        with torch.no_grad():
            values[1] = values[0]
        assert name
    outputs = stack.train()(torch.ones(2, 4, 8))[POSITION]
    assert not torch.equal(outputs[0], outputs[1])


@pytest.mark.parametrize("model", ["irpnet", "mlp"])
def test_an_ensemble_holds_its_first_head_as_trained_alone(toy: Toy, model: str) -> None:
    """The first head has the draws and first weights of a training without the others."""
    data, chosen = toy(), recipe("fast", "indoor", epochs=3, width=32, batch_size=16)
    alone = train(data, model, replace(chosen, heads=1), TrainingOptions(seed=4)).heads
    three = train(data, model, chosen, TrainingOptions(seed=4)).heads
    assert len(three) == 3
    embeddings = np.asarray(data.embeddings[:, 0], dtype=np.float32)

    def poses(*heads: dict) -> tuple:  # type: ignore[type-arg]
        return PoseRegressor(model, heads, chosen, 4, data.identity, {}).poses_and_spread(embeddings)

    (first, *_), (same, *_), (other, *_) = poses(alone[0]), poses(three[0]), poses(three[1])
    assert np.max(pose_errors(first, same)[0]) < 1e-3
    assert np.max(pose_errors(first, other)[0]) > 1e-3
    mean, spread_m, spread_deg = poses(*three)
    distances = np.array([pose_errors(poses(head)[0], mean)[0] for head in three])
    np.testing.assert_allclose(spread_m, np.sqrt((distances**2).mean(axis=0)))
    assert (spread_deg >= 0).all()
    assert np.allclose(mean.centers_m, np.mean([poses(head)[0].centers_m for head in three], axis=0))


def test_an_ensemble_goes_on_after_an_interruption(toy: Toy, tmp_path: Path) -> None:
    data, chosen = toy(), recipe("fast", "indoor", epochs=4, width=32, batch_size=16, heads=2)
    whole = train(data, "irpnet", chosen, TrainingOptions()).heads

    class Stop:
        def __init__(self) -> None:
            self.left = 5

        def advance(self, count: int = 1) -> None:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt

        def note(self, text: str) -> None:
            pass

    checkpoint = tmp_path / ".model.training"
    with pytest.raises(KeyboardInterrupt):
        train(data, "irpnet", chosen, TrainingOptions(checkpoint=checkpoint, progress=Stop()))
    lines: list[str] = []
    again = train(data, "irpnet", chosen, TrainingOptions(checkpoint=checkpoint, report=lines.append)).heads
    assert lines[0].startswith("continuing from step")
    for before, after in zip(whole, again, strict=True):
        for name, network in before.items():
            assert all(
                torch.equal(a, b)
                for a, b in zip(network.state_dict().values(), after[name].state_dict().values(), strict=True)
            )


@pytest.mark.parametrize("heads", [0, -1, 1000])
def test_an_impossible_number_of_heads_is_refused(heads: int) -> None:
    with pytest.raises(BadInput, match=r"choose 1 to 64"):
        recipe("fast", "indoor", heads=heads)
