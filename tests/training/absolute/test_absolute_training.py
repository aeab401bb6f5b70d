"""PoseNet and MapNet on a toy place: that they learn, go on where they stopped, and keep the last good state."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from irploc.errors import BadInput, Mismatch, NotFound
from irploc.geometry import rotations
from irploc.geometry.poses import Poses, pose_errors
from irploc.progress import Progress, Silent
from irploc.training.absolute.data import Unlabelled
from irploc.training.absolute.heads import WIDTHS
from irploc.training.absolute.model import AbsoluteModel, check_place, load_absolute, save_absolute
from irploc.training.absolute.recipes import METHODS, NAMES, RELATIONS, AbsoluteRecipe, absolute_recipe
from irploc.training.absolute.train import train_on_embeddings
from irploc.training.dataset import TrainingSet
from irploc.training.loop import TrainingOptions
from irploc.training.poseloss import DISTANCES
from irploc.training.posevector import ROTATIONS
from irploc.training.steps import DivergedModel

Toy = Callable[..., TrainingSet]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """MapNet with layers that train in a moment."""
    monkeypatch.setitem(WIDTHS, "mapnet", (64, 32, 16))


def short(method: str, **changes: object) -> AbsoluteRecipe:
    """Some steps on a few components."""
    return replace(absolute_recipe(method, "fast"), **{"epochs": 3, "minimum_steps": 0, "batch_size": 10, **changes})  # type: ignore[arg-type]


def same(one: AbsoluteModel, other: AbsoluteModel) -> bool:
    theirs = other.head.state_dict()
    return all(torch.equal(values, theirs[name]) for name, values in one.head.state_dict().items())


def errors(model: AbsoluteModel, data: TrainingSet) -> tuple[float, float]:
    assert data.monitor is not None
    position_m, rotation_deg = pose_errors(model.poses(data.monitor.embeddings), data.monitor.poses)
    return float(np.median(position_m)), float(np.median(rotation_deg))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", METHODS)
def test_it_learns_where_photos_between_the_mapping_photos_were_taken(toy: Toy, method: str, name: str) -> None:
    data = toy()
    recipe = replace(absolute_recipe(method, name), epochs=150, batch_size=10, minimum_steps=0, learning_rate=3e-3)
    model = train_on_embeddings(data, method, recipe, TrainingOptions(1))
    position_m, rotation_deg = errors(model, data)
    assert position_m < 0.35  # the circle has a radius of 2 m
    assert rotation_deg < 8.0  # turns reach 57 degrees
    last = model.record["epochs"][-1]
    assert (last["position_m"], last["rotation_deg"]) == pytest.approx((position_m, rotation_deg), rel=1e-3)


@pytest.mark.parametrize(
    "changes",
    [
        *({"loss": loss, "weighting": weighting} for loss in DISTANCES for weighting in ("fixed", "learned")),
        *({"rotation": rotation, "relation": relation} for rotation in ROTATIONS for relation in RELATIONS),
    ],
    ids=lambda changes: "-".join(changes.values()),
)
def test_every_loss_lowers_the_error(toy: Toy, changes: dict[str, str]) -> None:
    data = toy()
    recipe = short("mapnet", epochs=40, **changes)
    record = train_on_embeddings(data, "mapnet", recipe, TrainingOptions(1)).record["epochs"]
    assert record[-1]["position_m"] < 0.5 * record[0]["position_m"]
    assert record[-1]["rotation_deg"] < record[0]["rotation_deg"]


@pytest.mark.parametrize("method", METHODS)
def test_a_folded_head_gives_what_the_trained_one_gave(toy: Toy, method: str) -> None:
    data = toy()
    for changes in ({"components": 0}, {"components": 8}, {"standardize": False}):
        model = train_on_embeddings(data, method, short(method, **changes), TrainingOptions(1))
        assert model.head[0].in_features == data.dimension
        last = model.record["epochs"][-1]
        assert errors(model, data) == pytest.approx((last["position_m"], last["rotation_deg"]), rel=1e-3)


def test_the_same_seed_gives_the_same_head_and_another_one_another(toy: Toy) -> None:
    data = toy()
    first, again, other = (train_on_embeddings(data, "mapnet", short("mapnet"), TrainingOptions(s)) for s in (1, 1, 2))
    assert same(first, again)
    assert not same(first, other)


class _Interrupts:
    """Progress that gives up after some steps."""

    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, count: int = 1) -> None:
        self.left -= count
        if self.left < 0:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        """Says nothing."""


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_training_goes_on_to_the_same_result(toy: Toy, tmp_path: Path, method: str) -> None:
    data, kept, recipe = toy(), tmp_path / "kept", short(method)
    whole = train_on_embeddings(data, method, recipe, TrainingOptions(1))
    with pytest.raises(KeyboardInterrupt):
        train_on_embeddings(data, method, recipe, TrainingOptions(1, checkpoint=kept, progress=_Interrupts(6)))
    lines: list[str] = []
    resumed = train_on_embeddings(data, method, recipe, TrainingOptions(1, checkpoint=kept, report=lines.append))
    assert lines[0] == "continuing from step 7 of 12"
    assert same(whole, resumed)
    assert [e["step"] for e in whole.record["epochs"]] == [e["step"] for e in resumed.record["epochs"]]
    train_on_embeddings(data, method, replace(recipe, noise=0.1), TrainingOptions(1, checkpoint=kept, report=lines.append))
    assert any("starting over" in line for line in lines)


def wild(method: str, rate: float, **changes: object) -> AbsoluteRecipe:
    """Without anything that tames a rate."""
    tame = {"components": 0, "averaging": 0.0, "noise": 0.0, "cosine": False, "warmup": 0.0, "batch_size": 40}
    return short(method, **{**tame, "learning_rate": rate, "epochs": 60, **changes})


@pytest.mark.parametrize("weighting", ["fixed", "learned"])
@pytest.mark.parametrize("rate", [10.0, 1e3, 1e15])
@pytest.mark.parametrize("method", METHODS)
def test_a_training_that_runs_away_keeps_a_state_no_worse_than_its_start(
    toy: Toy, tmp_path: Path, method: str, rate: float, weighting: str
) -> None:
    data, kept = toy(), tmp_path / "kept"
    start = train_on_embeddings(data, method, wild(method, 1e-12, epochs=1), TrainingOptions(1))
    told = r"the training diverged: .* in step \d+ with a learning rate of .*; try --learning-rate "
    with pytest.raises(DivergedModel, match=told) as caught:
        train_on_embeddings(data, method, wild(method, rate, weighting=weighting), TrainingOptions(1, checkpoint=kept))
    good = caught.value.model
    assert errors(good, data)[0] <= 1.01 * errors(start, data)[0]
    assert (good.record["epochs"][-1]["step"] if good.record["epochs"] else 0) == caught.value.step
    assert not kept.exists()


def test_a_good_state_lives_through_an_interruption(toy: Toy, tmp_path: Path) -> None:
    data, kept, recipe = toy(), tmp_path / "kept", wild("posenet", 30.0, loss="mse", weighting="fixed", epochs=300)

    def run(checkpoint: Path | None, progress: Progress) -> DivergedModel:
        with pytest.raises(DivergedModel) as caught:
            train_on_embeddings(data, "posenet", recipe, TrainingOptions(1, checkpoint=checkpoint, progress=progress))
        return caught.value

    whole = run(None, Silent())
    last = int(str(whole).partition(" in step ")[2].split()[0])
    assert last > 2
    with pytest.raises(KeyboardInterrupt):
        train_on_embeddings(data, "posenet", recipe, TrainingOptions(1, checkpoint=kept, progress=_Interrupts(1)))
    resumed = run(kept, Silent())
    assert (resumed.step, str(resumed)) == (whole.step, str(whole))
    assert same(resumed.model, whole.model)


def test_a_loss_that_falls_below_zero_is_no_divergence(toy: Toy) -> None:
    recipe = short("posenet", weighting="learned", beta=-0.2, gamma=-0.2, epochs=200)
    record = train_on_embeddings(toy(), "posenet", recipe, TrainingOptions(1)).record["epochs"]
    assert record[-1]["loss"] < -1.0


def test_a_signal_at_any_moment_resumes_to_the_same_result(toy: Toy, tmp_path: Path) -> None:
    data, recipe = toy(), short("mapnet", epochs=15)
    whole = train_on_embeddings(data, "mapnet", recipe, TrainingOptions(1))
    kept, started = tmp_path / "kept", time.monotonic()
    train_on_embeddings(data, "mapnet", recipe, TrainingOptions(1))
    took = time.monotonic() - started
    resumed = None
    for delay in np.random.default_rng(0).uniform(0.05, 0.5, 40):
        signal.setitimer(signal.ITIMER_REAL, delay * took)
        previous = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
        try:
            resumed = train_on_embeddings(data, "mapnet", recipe, TrainingOptions(1, checkpoint=kept))
        except KeyboardInterrupt:
            continue
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        break
    assert resumed is not None
    assert same(whole, resumed)


def test_entries_are_recorded_as_they_are_measured(toy: Toy) -> None:
    entries: list[dict[str, object]] = []
    options = TrainingOptions(1, record=lambda entry: entries.append(dict(entry)))
    model = train_on_embeddings(toy(), "posenet", short("posenet"), options)
    assert entries == model.record["epochs"]
    assert entries[-1].keys() == {"epoch", "step", "loss", "split", "position_m", "rotation_deg"}


def test_tuples_want_walks(toy: Toy) -> None:
    data = toy()
    apart = replace(data, sequences=np.arange(len(data)).astype(str))
    with pytest.raises(BadInput, match=r"no sequence here has two photos: train posenet, or --steps 1"):
        train_on_embeddings(apart, "mapnet", short("mapnet"), TrainingOptions())
    train_on_embeddings(apart, "mapnet", short("mapnet", steps=1, epochs=1), TrainingOptions())
    with pytest.raises(BadInput, match="no mapping photos"):
        train_on_embeddings(data.only(np.zeros(len(data), dtype=bool)), "posenet", short("posenet"), TrainingOptions())


def unlabelled(data: TrainingSet, turn_deg: float) -> Unlabelled:
    """All photos of a set, without labels, in another world's frame."""
    half = np.radians(turn_deg) / 2
    world = np.array([np.cos(half), 0.0, np.sin(half), 0.0])
    centers = rotations.rotate(world, data.poses.centers_m) + np.array([7.0, -3.0, 1.0])
    turned = Poses(centers, rotations.multiply(world, data.poses.world_from_cam_wxyz))
    return Unlabelled(data.embeddings, turned, data.sequences, data.indices, "walk")


def test_odometry_wants_tuples_and_a_far_world_does_not_hurt(toy: Toy) -> None:
    data = toy()
    with pytest.raises(BadInput, match="tuples need at least 2 --steps"):
        train_on_embeddings(data, "mapnet", short("mapnet", steps=1), TrainingOptions(1), unlabelled(data, 0.0))
    near = unlabelled(data, 40.0)
    far = replace(near, poses=Poses(near.poses.centers_m + 2.0**22, near.poses.world_from_cam_wxyz))
    found = [train_on_embeddings(data, "mapnet", short("mapnet"), TrainingOptions(1), walk) for walk in (near, far)]
    assert errors(found[0], data) == pytest.approx(errors(found[1], data), rel=1e-3)


def test_odometry_of_an_unlabelled_walk_helps_whatever_its_world(toy: Toy) -> None:
    data = toy(80)
    labelled = replace(data.only(np.arange(80) % 10 == 0), identity=data.identity, monitor=data.monitor)
    recipe = short("mapnet", epochs=300, batch_size=8, skip=1, blend=0.0)
    alone = train_on_embeddings(labelled, "mapnet", recipe, TrainingOptions(1))
    wider = replace(recipe, skip=3)
    helped = [
        train_on_embeddings(labelled, "mapnet", wider, TrainingOptions(1), unlabelled(data, turn)) for turn in (0.0, 130.0)
    ]
    for model in helped:
        assert errors(model, data)[0] < 0.9 * errors(alone, data)[0]
    assert errors(helped[0], data) == pytest.approx(errors(helped[1], data), rel=0.2)


def test_a_saved_model_gives_the_same_answers(toy: Toy, tmp_path: Path) -> None:
    data, path = toy(), tmp_path / "toy.mapnet.pt"
    model = train_on_embeddings(data, "mapnet", short("mapnet", rotation="log"), TrainingOptions(1))
    save_absolute(model, path)
    loaded = load_absolute(path, "mapnet")
    assert data.monitor is not None
    found, wanted = (each.poses(data.monitor.embeddings) for each in (loaded, model))
    assert np.array_equal(found.centers_m, wanted.centers_m)
    assert np.array_equal(found.world_from_cam_wxyz, wanted.world_from_cam_wxyz)
    assert (loaded.recipe, loaded.code, loaded.seed, loaded.record) == (model.recipe, model.code, 1, model.record)
    check_place(loaded, data.identity, path)
    with pytest.raises(ValueError, match=r"features are \(20, 31\), the model takes \(N, 32\)"):
        loaded.poses(data.monitor.embeddings[:, 1:])


def test_a_model_of_another_place_or_a_damaged_one_is_refused(toy: Toy, tmp_path: Path) -> None:
    data, path = toy(), tmp_path / "toy.posenet.pt"
    with pytest.raises(NotFound, match="irploc train posenet SCENE"):
        load_absolute(path, "posenet")
    model = train_on_embeddings(data, "posenet", short("posenet"), TrainingOptions(1))
    save_absolute(model, path)
    with pytest.raises(Mismatch, match="trained on other mapping photos"):
        check_place(model, {**data.identity, "mapping_fingerprint": "0" * 64}, path)
    with pytest.raises(Mismatch, match="weights_sha256"):
        check_place(model, {**data.identity, "weights_sha256": "0" * 64}, path)
    with pytest.raises(Mismatch, match="of the method posenet, not mapnet"):
        load_absolute(path, "mapnet")
    content = torch.load(path, weights_only=True)
    content["head"]["0.bias"] += 1.0
    torch.save(content, path)
    with pytest.raises(BadInput, match="its weights are not those that were written"):
        load_absolute(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadInput, match="truncated"):
        load_absolute(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": "l2"}, "unknown loss 'l2', choose one of mse"),
        ({"rotation": "euler"}, "unknown rotation 'euler'"),
        ({"relation": "sum"}, "unknown relation 'sum'"),
        ({"weighting": "none"}, "unknown weighting 'none'"),
        ({"steps": 0}, "steps is 0"),
        ({"skip": 0}, "skip is 0"),
        ({"alpha": -1.0}, "alpha is -1"),
        ({"beta": float("nan")}, "beta is nan"),
        ({"averaging": -2.0}, "averaging is -2"),
        ({"blend": 2.0}, "blend is 2"),
        ({"learning_rate": float("nan")}, "learning rate is nan"),
        ({"batch_size": 0}, "batch size is 0"),
    ],
)
def test_impossible_recipes_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        absolute_recipe("mapnet", "fast", **changes)


def test_weights_that_would_not_be_used_are_refused() -> None:
    assert absolute_recipe("mapnet", "fast", alpha=2.0).weighting == "fixed"
    assert absolute_recipe("mapnet", "report", weighting="fixed").gamma == 0.0
    for changes in (
        {"alpha": 2.0, "weighting": "learned"},
        {"beta": 1.0, "weighting": "fixed"},
        {"alpha": 2.0, "beta": 1.0},
    ):
        with pytest.raises(BadInput, match="beta and gamma"):
            absolute_recipe("mapnet", "fast", **changes)
    with pytest.raises(BadInput, match="unknown recipe 'paper', choose one of fast, report"):
        absolute_recipe("mapnet", "paper")
