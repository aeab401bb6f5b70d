"""Training MeNet on a tiny rendered place, and the file that comes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_images import first_photos, walk_pairs
from toy_menet import small_recipe, trained

from irploc.errors import BadInput, Mismatch, NotFound
from irploc.geometry.poses import pose_errors
from irploc.scene import Scene
from irploc.training.loop import TrainingOptions
from irploc.training.menet.model import MeNetModel, load_menet, save_menet
from irploc.training.menet.motions import inverse, motions
from irploc.training.menet.train import focal_lengths, train_menet
from irploc.training.steps import DivergedModel, Optimisation


@pytest.fixture(scope="module")
def scene(toy_scene: Path) -> Scene:
    return first_photos(Scene.load(toy_scene), 12, 6)


@pytest.fixture(scope="module")
def model(scene: Scene) -> MeNetModel:
    return trained(scene)


def test_a_few_photos_are_learned_by_heart(scene: Scene) -> None:
    few = first_photos(scene, 4, 0)
    plain = {"mirror": 0.0, "turn_deg": 0.0, "jitter": 0.0, "averaging": 0.9, "batch_size": 12}
    model = trained(few, epochs=60, learning_rate=2e-3, **plain)
    pairs = walk_pairs(4).rows
    images = few.frames.images
    found = model.relate([images[a] for a, _ in pairs], [images[b] for _, b in pairs])
    true = motions(few.frames.poses, pairs)
    errors, still = np.median(pose_errors(found.motions, true)[0]), np.median(np.linalg.norm(true.centers_m, axis=1))
    assert errors < still / 3
    assert model.watched_errors is None


def test_exchanged_photos_give_the_inverse_and_a_photo_with_itself_no_motion(scene: Scene, model: MeNetModel) -> None:
    images = list(scene.frames.images[:4])
    there, back = model.relate(images[:2], images[2:]), model.relate(images[2:], images[:2])
    assert np.abs(pose_errors(inverse(there.motions), back.motions)).max() < 1e-5
    alone = model.relate(images[:1], images[:1])
    assert float(np.linalg.norm(alone.motions.centers_m)) < 1e-9
    assert alone.apart_m[0] == pytest.approx(2 * float(np.linalg.norm(alone.one_way.centers_m)), rel=0.2)


def test_the_same_seed_gives_the_same_model_and_another_one_another(scene: Scene, model: MeNetModel) -> None:
    again, other = trained(scene), trained(scene, TrainingOptions(seed=1))
    for ours, theirs in zip(model.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(model.network.last.weight, other.network.last.weight)


def test_an_interrupted_training_goes_on_to_the_same_result(scene: Scene, tmp_path: Path) -> None:
    whole = trained(scene, epochs=3)

    class Interrupting:
        def __init__(self) -> None:
            self.left = 5

        def advance(self, count: int = 1) -> None:
            self.left -= count
            if not self.left:
                raise KeyboardInterrupt

        def note(self, text: str) -> None: ...

    from contextlib import nullcontext

    kept = TrainingOptions(checkpoint=tmp_path / "checkpoint")
    with pytest.raises(KeyboardInterrupt):
        train_menet(
            scene,
            walk_pairs(12),
            small_recipe(epochs=3),
            kept,
            lambda title, total, unit: nullcontext(Interrupting()),  # type: ignore[arg-type,return-value]
        )
    resumed = train_menet(scene, walk_pairs(12), small_recipe(epochs=3), kept)
    for ours, theirs in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_model_survives_its_file(model: MeNetModel, scene: Scene, tmp_path: Path) -> None:
    save_menet(model, tmp_path / "a.pt")
    loaded = load_menet(tmp_path / "a.pt")
    assert (loaded.recipe, loaded.framing, loaded.code) == (model.recipe, model.framing, model.code)
    assert (loaded.identity, loaded.typical_m, loaded.pairs) == (model.identity, model.typical_m, model.pairs)
    images = scene.frames.images
    ours, theirs = model.relate(images[:2], images[2:4]), loaded.relate(images[:2], images[2:4])
    np.testing.assert_array_equal(ours.motions.centers_m, theirs.motions.centers_m)


def test_what_typical_motions_are_is_counted(model: MeNetModel, scene: Scene) -> None:
    rows = walk_pairs(12).rows
    lengths = np.linalg.norm(motions(scene.frames.poses, rows).centers_m, axis=1)
    assert lengths.min() < model.typical_m < lengths.max()


@pytest.mark.parametrize("damage", ["cut", "noise", "weights", "other"])
def test_files_that_are_no_such_model_are_refused(model: MeNetModel, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.pt"
    save_menet(model, path)
    content = torch.load(path, weights_only=True)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:2000])
    elif damage == "noise":
        path.write_bytes(b"not a model")
    elif damage == "weights":
        content["network"]["linear.0.bias"] += 1
        torch.save(content, path)
    else:
        torch.save({**content, "format": "irploc-siamese", "method": "siamese"}, path)
    words = {"weights": "damaged: its weights", "other": "a model of the method siamese, not menet"}
    with pytest.raises(Mismatch if damage == "other" else BadInput, match=words.get(damage, "truncated")):
        load_menet(path)


def test_a_model_that_is_not_there_says_how_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="train one with 'irploc train menet SCENE'"):
        load_menet(tmp_path / "gone.pt")


def test_a_training_that_diverges_keeps_the_last_good_model(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Optimisation, "rate", lambda self, number: 1e-3 if number < 40 else 1e9)
    with pytest.raises(DivergedModel, match="the training diverged") as caught:
        trained(first_photos(scene, 8), epochs=40)
    steps = [entry["step"] for entry in caught.value.model.record["epochs"]]
    assert steps[-1] == caught.value.step
    assert 1 < steps[-1] <= 40


def test_one_mapping_photo_has_no_relative_pose(scene: Scene) -> None:
    with pytest.raises(BadInput, match="a relative pose is of two"):
        trained(first_photos(scene, 1, 0))


def test_focal_lengths_are_those_of_scaled_photos(scene: Scene) -> None:
    frames = scene.frames
    found = focal_lengths(scene, frames, 36)
    camera = scene.cameras[frames.cameras[0]]
    np.testing.assert_allclose(found, camera.focal_px[0] * 36 / 72)
    unknown = replace(frames, cameras=("",) * len(frames))
    assert np.isnan(focal_lengths(scene, unknown, 36)).all()
