"""Training reaches the poses, repeats itself, survives being killed and notices when it runs away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from irploc.errors import BadInput
from irploc.geometry.poses import pose_errors
from irploc.training import loop
from irploc.training.batches import Batches
from irploc.training.dataset import TrainingSet
from irploc.training.loop import Trained, TrainingOptions, train
from irploc.training.losses import OnUnitSphere, WeightedNorms
from irploc.training.models import ORIENTATION, POSITION
from irploc.training.normalisation import poses_of
from irploc.training.recipes import Recipe, recipe

Toy = Callable[..., TrainingSet]


def small(name: str = "fast", **changes: float) -> Recipe:
    """A recipe that takes a moment."""
    sizes = {"width": 32, "batch_size": 16, "heads": 1} | changes
    return recipe(name, "indoor", **sizes)  # type: ignore[arg-type]


def weights_of(trained: Trained) -> list[torch.Tensor]:
    """All of them, in order."""
    return [value for head in trained.heads for network in head.values() for value in network.state_dict().values()]


@pytest.mark.parametrize("model", ["irpnet", "mlp"])
def test_training_finds_poses_between_the_mapping_photos(toy: Toy, model: str) -> None:
    data = toy()
    trained = train(data, model, small(epochs=100), TrainingOptions())
    outputs: dict[str, torch.Tensor] = {}
    for network in trained.heads[0].values():
        outputs |= network(torch.from_numpy(data.watched.embeddings))
    position_m, rotation_deg = pose_errors(poses_of(outputs[POSITION], outputs[ORIENTATION]), data.watched.poses)
    assert np.median(position_m) < 0.25
    assert np.median(rotation_deg) < 5.0
    last = trained.record.epochs[-1]
    assert last["position_m"] == pytest.approx(np.median(position_m), abs=1e-3)
    assert last["rotation_deg"] == pytest.approx(np.median(rotation_deg), abs=0.05)


def test_the_paper_recipe_trains_one_branch_for_each_output(toy: Toy) -> None:
    trained = train(toy(), "irpnet", small("paper", learning_rate=1e-3, epochs=3), TrainingOptions())
    assert {name: list(network.branches) for name, network in trained.heads[0].items()} == {
        POSITION: [POSITION],
        ORIENTATION: [ORIENTATION],
    }


def test_outdoors_the_orientation_is_trained_with_the_position_but_kept_alone(toy: Toy) -> None:
    outdoor = replace(recipe("paper", "outdoor", epochs=1, batch_size=16), width=32)
    trained = train(toy(), "irpnet", outdoor, TrainingOptions())
    assert list(trained.heads[0][ORIENTATION].branches) == [ORIENTATION]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(toy: Toy) -> None:
    first, again, other = (train(toy(), "irpnet", small(epochs=2), TrainingOptions(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(weights_of(first), weights_of(again), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights_of(first), weights_of(other), strict=True))


def test_training_leaves_the_global_generator_alone(toy: Toy) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    train(toy(), "irpnet", small(epochs=1), TrainingOptions())
    assert torch.equal(torch.rand(1), expected)


def test_an_interrupted_training_continues_to_the_same_weights(toy: Toy, tmp_path: Path) -> None:
    chosen, path = small("paper", learning_rate=1e-3, epochs=5), tmp_path / "checkpoint"
    whole = train(toy(), "irpnet", chosen, TrainingOptions(1))

    class Stops:
        """Ctrl-C in the seventh step."""

        def __init__(self) -> None:
            self.steps = 0

        def advance(self, count: int = 1) -> None:
            self.steps += count
            if self.steps == 7:
                raise KeyboardInterrupt

        def note(self, text: str) -> None:
            pass

    with pytest.raises(KeyboardInterrupt):
        train(toy(), "irpnet", chosen, TrainingOptions(1, checkpoint=path, progress=Stops()))
    lines: list[str] = []
    rest = train(toy(), "irpnet", chosen, TrainingOptions(1, checkpoint=path, report=lines.append))
    assert lines[0] == "continuing from step 7 of 15"
    assert all(torch.equal(a, b) for a, b in zip(weights_of(whole), weights_of(rest), strict=True))
    assert rest.record.epochs == whole.record.epochs


def test_another_setting_starts_over_and_says_which(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    path, lines = tmp_path / "checkpoint", []
    train(toy(), "irpnet", small(epochs=2), TrainingOptions(1, checkpoint=path))
    train(toy(), "irpnet", small(epochs=2), TrainingOptions(2, checkpoint=path, report=lines.append))
    assert lines[0] == f"the unfinished training at {path} had another seed: starting over"
    path.write_bytes(path.read_bytes()[:100])
    lines.clear()
    train(toy(), "irpnet", small(epochs=2), TrainingOptions(2, checkpoint=path, report=lines.append))
    assert lines[0] == f"{path} is not a readable checkpoint: starting over"


def test_other_embeddings_start_over(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    path, lines = tmp_path / "checkpoint", []
    train(toy(), "irpnet", small(epochs=2), TrainingOptions(checkpoint=path))
    train(toy(count=41), "irpnet", small(epochs=2), TrainingOptions(checkpoint=path, report=lines.append))
    assert "had another embeddings" in lines[0]


def test_a_runaway_loss_ends_with_a_line_that_says_what_to_try(toy: Toy) -> None:
    with pytest.raises(BadInput, match=r"diverged: .* try --learning-rate 1000$"):
        train(toy(), "irpnet", small("paper", learning_rate=1e4, epochs=300), TrainingOptions())


def test_no_image_is_refused_and_one_image_is_enough(toy: Toy) -> None:
    with pytest.raises(BadInput, match="no mapping photos"):
        train(toy(count=0), "irpnet", small(), TrainingOptions())
    trained = train(toy(count=1), "irpnet", small(epochs=5), TrainingOptions())
    assert all(torch.isfinite(value).all() for value in weights_of(trained))


def test_every_epoch_draws_every_image_once_and_fills_the_last_batch(toy: Toy) -> None:
    batches = Batches(toy(count=40), small("paper", batch_size=8), 0, torch.device("cpu"))
    drawn = torch.cat([batches._images_of(step, 0) for step in range(5)])
    assert sorted(drawn.tolist()) == list(range(40))
    odd = Batches(toy(count=10), small("paper", batch_size=8), 0, torch.device("cpu"))
    drawn = torch.cat([odd._images_of(step, 0) for step in range(2)])
    assert len(drawn) == 16
    assert sorted(drawn[:10].tolist()) == list(range(10))


def test_a_batch_depends_on_the_step_alone(toy: Toy) -> None:
    forwards, alone = (Batches(toy(), small(), 7, torch.device("cpu")) for _ in range(2))
    for step in range(5):
        embeddings, targets = forwards.draw(step)
    again, labels = alone.draw(4)
    assert torch.equal(embeddings, again)
    assert all(torch.equal(targets[name], labels[name]) for name in targets)
    first, second, third = Batches(toy(), small(heads=3), 7, torch.device("cpu")).draw(4)[0]
    assert torch.equal(first, again[0])
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


def test_paper_draws_are_versions_of_the_image_with_its_pose(toy: Toy) -> None:
    data = toy()
    batches = Batches(data, small("paper"), 0, torch.device("cpu"))
    embeddings, targets = batches.draw(0)
    for vector, position in zip(embeddings[0].numpy(), targets[POSITION][0].numpy(), strict=True):
        image = int(np.abs(data.poses.centers_m - position).sum(axis=1).argmin())
        assert (data.embeddings[image] == vector).all(axis=1).any()


KILL_SCRIPT = """
import importlib.util, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from irploc.training import loop
from irploc.training.recipes import recipe
spec = importlib.util.spec_from_file_location("toy", {tests!r} + "/conftest.py")
toy = importlib.util.module_from_spec(spec)
spec.loader.exec_module(toy)
loop.CHECKPOINT_SECONDS, loop.CHECKPOINT_SHARE = 0.0, 1e9
class Slow:
    steps = 0
    def advance(self, count=1):
        self.steps += count
        if self.steps == 60:
            print("half way", flush=True)
        if self.steps > 60:
            time.sleep(0.02)
    def note(self, text):
        pass
chosen = recipe("fast", "indoor", width=32, batch_size=16, epochs=40, heads=1)
loop.train(toy.toy_set(), "irpnet", chosen, loop.TrainingOptions(2, checkpoint=Path({path!r}), progress=Slow()))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_killed_training_continues_to_the_same_weights(toy: Toy, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    script = KILL_SCRIPT.format(path=str(path), tests=str(Path(__file__).parent))
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"half way\n"
    process.kill()
    process.wait()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        lines: list[str] = []
        chosen = small(epochs=40)
        rest = train(toy(), "irpnet", chosen, TrainingOptions(2, checkpoint=path, report=lines.append))
        whole = train(toy(), "irpnet", chosen, TrainingOptions(2))
    finally:
        torch.set_num_threads(threads)
    assert lines[0].startswith("continuing from step ")
    assert all(torch.equal(a, b) for a, b in zip(weights_of(whole), weights_of(rest), strict=True))


def test_images_are_blended_with_those_near_them_on_the_walk(toy: Toy) -> None:
    data = toy()
    shuffled = np.random.default_rng(0).permutation(40)
    data = replace(
        data, embeddings=data.embeddings[shuffled], poses=data.poses[shuffled.tolist()], indices=data.indices[shuffled]
    )
    near, far = (Batches(data, small(blend_reach=reach), 0, torch.device("cpu")) for reach in (2, 0))
    images = torch.arange(40)
    steps = [
        np.abs(data.indices[batches._others(images, torch.Generator().manual_seed(1)).numpy()] - data.indices)
        for batches in (near, far)
    ]
    assert steps[0].max() == 2
    assert steps[1].max() > 10


def test_orientations_are_compared_at_unit_length(toy: Toy) -> None:
    """By hand: of a raw output along the true quaternion, however long, nothing is missing."""
    offset, scale = torch.tensor([0.5, 0.0, 0.0, 0.0]), 0.25
    loss = OnUnitSphere(WeightedNorms({ORIENTATION: 1.0}), offset, scale)
    true = torch.tensor([[0.6, 0.8, 0.0, 0.0]])
    targets = {ORIENTATION: (true - offset) / scale}
    assert loss({ORIENTATION: (3 * true - offset) / scale}, targets) == pytest.approx(0.0, abs=1e-6)
    turned = torch.tensor([[0.8, -0.6, 0.0, 0.0]])
    assert loss({ORIENTATION: (turned - offset) / scale}, targets) == pytest.approx(2**0.5 / scale, rel=1e-5)
    trained = train(toy(), "irpnet", small(epochs=100, unit_orientation=True), TrainingOptions())
    assert trained.record.epochs[-1]["rotation_deg"] < 5
