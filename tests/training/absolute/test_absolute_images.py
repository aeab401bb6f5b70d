"""PoseNet and MapNet on photos: a frozen backbone and one that learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_images import FROZEN, TRAINABLE, first_photos

from irploc.encoders.backbones import BACKBONES, random_state_dict
from irploc.encoders.weights import import_weights
from irploc.errors import BadInput, Mismatch, NotFound
from irploc.scene import Scene
from irploc.training.absolute.model import AbsoluteModel, check_place, load_absolute, save_absolute
from irploc.training.absolute.recipes import METHODS, AbsoluteRecipe, absolute_recipe
from irploc.training.absolute.train import train_on_photos
from irploc.training.backbone import ImageOptions
from irploc.training.backbone_file import backbone_from_plain, features_of_photos
from irploc.training.loop import TrainingOptions

RESNET = BACKBONES["resnet18"]


def small(method: str, images: ImageOptions = FROZEN, **changes: object) -> AbsoluteRecipe:
    """A few steps on crops of 64 pixels."""
    sizes = {"epochs": 1, "minimum_steps": 0, "batch_size": 4, "side": 73, "crop": 64, "skip": 2}
    return absolute_recipe(method, "fast", trainable=not images.frozen, **{**sizes, **changes})


@pytest.fixture(scope="module")
def scene(toy_scene: Path) -> Scene:
    """Eight mapping photos and two to watch."""
    return first_photos(Scene.load(toy_scene), 8)


def answers(model: AbsoluteModel, scene: Scene, path: Path) -> np.ndarray:
    backbone = backbone_from_plain(model.backbone, str(model.identity["weights_sha256"]), path, "irploc train posenet")
    return model.poses(features_of_photos(backbone, scene.frames.images, 73, 64)).centers_m


@pytest.mark.parametrize("images", [FROZEN, TRAINABLE], ids=["frozen", "trainable"])
@pytest.mark.parametrize("method", METHODS)
def test_a_model_answers_the_same_after_it_was_saved(
    scene: Scene, tmp_path: Path, method: str, images: ImageOptions
) -> None:
    path = tmp_path / "toy.pt"
    model = train_on_photos(scene, method, small(method, images), images, TrainingOptions(1))
    save_absolute(model, path)
    loaded = load_absolute(path, method)
    np.testing.assert_array_equal(answers(loaded, scene, path), answers(model, scene, path))
    assert (loaded.identity["encoder"], loaded.identity["dimension"]) == ("resnet18", 512)
    assert "centre crop 64" in str(loaded.identity["preprocessing"])
    assert loaded.record["epochs"][-1]["split"] == "test"


def test_a_trained_backbone_is_kept_as_it_was_trained_and_a_frozen_one_as_it_was(scene: Scene) -> None:
    options = TrainingOptions(1)
    start = random_state_dict(RESNET, 1)
    frozen = train_on_photos(scene, "posenet", small("posenet"), FROZEN, options).backbone
    trained = train_on_photos(scene, "posenet", small("posenet", TRAINABLE), TRAINABLE, options).backbone
    assert torch.equal(frozen["trunk.conv1.weight"], start["conv1.weight"])
    assert not torch.equal(trained["trunk.conv1.weight"], start["conv1.weight"])


def test_features_of_a_frozen_backbone_are_those_a_query_gets(scene: Scene, tmp_path: Path) -> None:
    """The errors recorded at the end, of features made in training, are those of photos asked from their files."""
    model = train_on_photos(scene, "posenet", small("posenet"), FROZEN, TrainingOptions(1))
    test = scene.frames.of_split("test")
    found = answers(model, scene, tmp_path / "m.pt")[scene.frames.splits == "test"]
    off = np.median(np.linalg.norm(found - test.poses.centers_m, axis=1))
    assert model.record["epochs"][-1]["position_m"] == pytest.approx(off, rel=1e-3)


class _Interrupts:
    """Stages whose training gives up after some steps."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, title: str, total: int, unit: str) -> _Interrupts:
        self._counts = title == "training"
        return self

    def __enter__(self) -> _Interrupts:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def advance(self, count: int = 1) -> None:
        self.left -= count if self._counts else 0
        if self.left < 0:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        pass


@pytest.mark.parametrize("images", [FROZEN, TRAINABLE], ids=["frozen", "trainable"])
def test_an_interrupted_training_goes_on_to_the_same_result(scene: Scene, tmp_path: Path, images: ImageOptions) -> None:
    recipe, kept = small("mapnet", images, epochs=2), tmp_path / "kept"
    whole = train_on_photos(scene, "mapnet", recipe, images, TrainingOptions(1))
    with pytest.raises(KeyboardInterrupt):
        train_on_photos(scene, "mapnet", recipe, images, TrainingOptions(1, checkpoint=kept), _Interrupts(1))
    lines: list[str] = []
    resumed = train_on_photos(scene, "mapnet", recipe, images, TrainingOptions(1, checkpoint=kept, report=lines.append))
    assert lines[0] == "continuing from step 2 of 4"
    for name, values in whole.head.state_dict().items():
        assert torch.equal(values, resumed.head.state_dict()[name])


def test_imagenet_weights_are_found_again_by_their_hash(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IRPLOC_WEIGHTS", str(tmp_path / "weights"))
    images = ImageOptions("resnet18", frozen=True, crops=2)
    with pytest.raises(NotFound, match="--random-weights"):
        train_on_photos(scene, "posenet", small("posenet"), images, TrainingOptions(1))
    _import(tmp_path, 5)
    model, path = train_on_photos(scene, "posenet", small("posenet"), images, TrainingOptions(1)), tmp_path / "m.pt"
    assert not any(name.startswith("trunk.") for name in model.backbone)
    assert np.isfinite(answers(model, scene, path)).all()
    _import(tmp_path, 6)
    with pytest.raises(Mismatch, match="import those it was trained on"):
        answers(model, scene, path)


def _import(folder: Path, seed: int) -> None:
    file = folder / "resnet18-f37072fd.pth"
    torch.save(random_state_dict(RESNET, seed), file)
    import_weights(file, "resnet18")


def test_a_model_on_photos_does_not_care_for_the_places_encoder(scene: Scene, tmp_path: Path) -> None:
    model = train_on_photos(scene, "posenet", small("posenet"), FROZEN, TrainingOptions(1))
    place = {**model.identity, "encoder": "netvlad-vgg16", "weights_sha256": "b" * 64, "dimension": 4096}
    check_place(model, place, tmp_path)
    with pytest.raises(Mismatch, match="other mapping photos"):
        check_place(model, {**place, "mapping_fingerprint": "0"}, tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"crop": 16}, "crop is 16 pixels"), ({"crop": 100}, "it must be smaller")],
)
def test_impossible_sizes_are_refused(scene: Scene, changes: dict[str, int], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        train_on_photos(scene, "posenet", small("posenet", **changes), FROZEN, TrainingOptions(1))


def test_one_photo_a_step_is_too_few_for_a_backbone_that_learns(scene: Scene) -> None:
    with pytest.raises(BadInput, match="needs at least 2"):
        train_on_photos(scene, "posenet", small("posenet", TRAINABLE, batch_size=1), TRAINABLE, TrainingOptions(1))


def test_a_scene_without_mapping_photos_is_refused(toy_scene: Path) -> None:
    with pytest.raises(BadInput, match="has no mapping photos"):
        train_on_photos(first_photos(Scene.load(toy_scene), 0), "posenet", small("posenet"), FROZEN, TrainingOptions(1))
