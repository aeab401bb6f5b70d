"""The network on photos: what it sees, what it learns and what it leaves alone, and that it goes on where it stopped."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toy_images import FROZEN, TRAINABLE, first_photos, trained

from irploc.encoders.backbones import BACKBONES, random_state_dict, read_state_dict
from irploc.encoders.weights import import_weights
from irploc.errors import BadInput, NotFound
from irploc.progress import Silent, Stages
from irploc.scene import Scene
from irploc.training import image_features as images_module
from irploc.training.backbone import ImageOptions, PooledBackbone, first_weights
from irploc.training.image_features import FrozenImages, TrainedImages
from irploc.training.loop import TrainingOptions
from irploc.training.photos import Photos, as_batch, cropped, scaled
from irploc.training.siamese.model import SiameseModel

RESNET = BACKBONES["resnet18"]


@pytest.fixture(scope="module")
def scene(toy_scene: Path) -> Scene:
    """Eight mapping photos and two to watch."""
    return first_photos(Scene.load(toy_scene), 8)


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return random_state_dict(RESNET, 0)


def trunk_of(model: SiameseModel) -> dict[str, torch.Tensor]:
    return {name.removeprefix("trunk."): value for name, value in model.extra.items() if name.startswith("trunk.")}


def equal(first: SiameseModel, second: SiameseModel) -> bool:
    """Whether heads, trunk and features are the same, bit for bit."""
    ours, theirs = ({**model.network.state_dict(), **model.extra} for model in (first, second))
    assert ours.keys() == theirs.keys()
    return all(torch.equal(value, theirs[name]) for name, value in ours.items() if isinstance(value, torch.Tensor))


class Stops:
    """Progress that is interrupted after some steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def advance(self, count: int = 1) -> None:
        self.left -= count
        if self.left <= 0:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        pass


def interrupted_in(stage: str, steps: int) -> Stages:
    """Ctrl-C after some steps of a stage."""
    return lambda title, total, unit: nullcontext(Stops(steps) if title == stage else Silent())


def test_the_shorter_side_gets_the_length_whether_it_was_longer_or_smaller() -> None:
    wide, high = np.zeros((40, 80, 3), dtype=np.uint8), np.zeros((90, 30, 3), dtype=np.uint8)
    wide[:, 40:] = 255
    assert scaled(wide, 20).shape == (20, 40, 3)
    assert scaled(high, 60).shape == (180, 60, 3)
    assert (scaled(wide, 20)[:, :19] == 0).all()
    assert (scaled(wide, 20)[:, 21:] == 255).all()


def test_a_photo_is_the_same_as_a_path_an_image_or_an_array_and_stands_upright(tmp_path: Path) -> None:
    lying = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    lying.save(tmp_path / "a.png", exif=exif)
    upright = scaled(tmp_path / "a.png", 30)
    assert upright.shape == (50, 30, 3)
    np.testing.assert_array_equal(upright, np.rot90(np.asarray(lying), -1))
    np.testing.assert_array_equal(scaled(Image.open(tmp_path / "a.png"), 30), upright)
    np.testing.assert_array_equal(scaled(np.rot90(np.asarray(lying), -1), 30), upright)


def test_crops_are_where_they_are_said_to_be() -> None:
    pixels = torch.arange(6 * 8).reshape(6, 8, 1).expand(6, 8, 3)
    assert cropped(pixels, 4)[0, 0, 0] == 1 * 8 + 2  # half of what is left over, above and to the left
    assert cropped(pixels, 4, (0.0, 0.0))[0, 0, 0] == 0
    assert cropped(pixels, 4, (0.999, 0.999))[-1, -1, 0] == 47
    assert cropped(pixels, 4, (0.4, 0.0))[0, 0, 0] == 8  # 3 places down, of a third each
    assert cropped(pixels, 4, (1.0, 1.0)).shape == (4, 4, 3)
    batch = as_batch([cropped(pixels, 4), cropped(pixels, 4)])
    assert batch.shape == (2, 3, 4, 4)
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_photos_that_do_not_fit_into_memory_are_the_same_when_needed(scene: Scene) -> None:
    all_kept, one_kept = (Photos(scene.frames.images, 40, 32, limit_bytes=limit) for limit in (1 << 30, 40 * 54 * 3))
    assert (len(all_kept._kept), len(one_kept._kept)) == (10, 1)
    rows, places = np.array([3, 0, 9, 3]), np.random.default_rng(0).random((4, 2))
    assert torch.equal(all_kept.crops(rows, places), one_kept.crops(rows, places))
    assert torch.equal(all_kept.crops(rows), one_kept.crops(rows, np.full((4, 2), np.nan)))
    assert all_kept.fingerprint == one_kept.fingerprint
    assert Photos(scene.frames.images[::-1], 40, 32).fingerprint != all_kept.fingerprint


def test_photos_that_cannot_be_used_are_counted_before_anything_is_trained(tmp_path: Path, scene: Scene) -> None:
    (tmp_path / "torn.jpg").write_bytes(b"no photo")
    paths = (scene.frames.images[0], tmp_path / "torn.jpg", tmp_path / "gone.jpg")
    with pytest.raises(BadInput, match=r"^2 of 3 photos cannot be used; first: .*torn.jpg is not an image") as found:
        Photos(paths, 40, 32)
    assert "\n" not in str(found.value)


def test_weights_of_a_torchvision_file_give_torchvisions_pooled_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from irploc.torchvision_safe import models

    monkeypatch.setenv("IRPLOC_WEIGHTS", str(tmp_path / "weights"))
    torch.manual_seed(1)
    whole = models.resnet18(weights=None).eval()
    torch.save(whole.state_dict(), tmp_path / "mine.pth")
    located = import_weights(tmp_path / "mine.pth", "resnet18")
    tensors, sha256 = first_weights(ImageOptions("resnet18"), seed=0)
    assert sha256 == located.sha256
    pixels = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    whole.fc = torch.nn.Identity()
    mean, std = (torch.tensor(part).reshape(1, 3, 1, 1) for part in (RESNET.mean, RESNET.std))
    expected = whole((pixels / 255 - mean) / std).detach()
    torch.testing.assert_close(PooledBackbone(RESNET, tensors, True).plain(pixels), expected, rtol=1e-4, atol=1e-5)


def test_weights_that_are_not_there_are_asked_for_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRPLOC_WEIGHTS", str(tmp_path))
    with pytest.raises(NotFound, match=r"run 'irploc weights fetch resnet18', or .*--random-weights$") as found:
        first_weights(ImageOptions("resnet18"), 0)
    assert "\n" not in str(found.value)


def test_batch_normalisation_of_a_frozen_backbone_stays_as_it_is(weights: dict[str, torch.Tensor]) -> None:
    pixels = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    frozen, trainable = (PooledBackbone(RESNET, {k: v.clone() for k, v in weights.items()}, on) for on in (False, True))
    for backbone in (frozen, trainable):
        backbone.train(True)
        backbone(pixels)
    assert not frozen.training
    assert torch.equal(frozen.trunk.bn1.running_mean, weights["bn1.running_mean"])  # type: ignore[union-attr]
    assert not torch.equal(trainable.trunk.bn1.running_mean, weights["bn1.running_mean"])  # type: ignore[union-attr]
    assert {value.requires_grad for value in frozen.parameters()} == {False}
    assert {value.requires_grad for value in trainable.parameters()} == {True}


def test_a_random_frozen_backbone_learns_the_statistics_of_photos_but_no_weight(weights: dict[str, torch.Tensor]) -> None:
    pixels = torch.randint(0, 256, (16, 3, 64, 64), dtype=torch.uint8)
    backbone = PooledBackbone(RESNET, {name: value.clone() for name, value in weights.items()}, False)
    backbone.learn_statistics(pixels)
    first = backbone.trunk.conv1(pixels.float() * backbone._scale + backbone._shift)  # type: ignore[operator]
    torch.testing.assert_close(backbone.trunk.bn1.running_mean, first.mean(dim=(0, 2, 3)), rtol=1e-3, atol=1e-4)
    assert not any(module.training for module in backbone.trunk.modules())
    for name, value in backbone.trunk.named_parameters():
        assert torch.equal(value, weights[name])


@pytest.mark.parametrize("images", [FROZEN, TRAINABLE])
def test_the_same_seed_gives_the_same_model_and_another_seed_another(scene: Scene, images: ImageOptions) -> None:
    first, again, other = (trained(scene, images, TrainingOptions(seed)) for seed in (3, 3, 4))
    assert equal(first, again)
    assert not equal(first, other)
    assert (first.record["monitor"], len(first.record["epochs"])) == ("test", 1)
    assert first.record["epochs"] == again.record["epochs"]
    assert first.extra["names"] == list(scene.frames.of_split("train").names)
    assert first.identity["mapping_fingerprint"] == scene.mapping_fingerprint
    assert first.identity["weights_sha256"] == "random-seed-3"


def test_a_frozen_trunk_keeps_its_weights_and_a_trainable_one_does_not(
    scene: Scene, weights: dict[str, torch.Tensor]
) -> None:
    names = [name for name, value in weights.items() if value.ndim == 4]
    frozen, changed = (trunk_of(trained(scene, images)) for images in (FROZEN, TRAINABLE))
    assert frozen.keys() == changed.keys() == weights.keys()
    assert all(torch.equal(frozen[name], weights[name]) for name in names)
    assert not any(torch.equal(changed[name], weights[name]) for name in names)
    assert not torch.equal(changed["bn1.running_mean"], weights["bn1.running_mean"])


def test_features_in_the_model_are_those_of_centre_crops_by_the_trained_backbone(scene: Scene) -> None:
    model = trained(scene, TRAINABLE)
    backbone = PooledBackbone(RESNET, trunk_of(model), False)
    mapping = scene.frames.of_split("train")
    pixels = as_batch([cropped(torch.from_numpy(scaled(path, 73)), 64) for path in mapping.images])
    torch.testing.assert_close(backbone.plain(pixels), model.extra["mapping_features"], rtol=1e-4, atol=1e-4)


def test_crops_in_training_are_a_function_of_the_generator(scene: Scene, weights: dict[str, torch.Tensor]) -> None:
    source = TrainedImages(Photos(scene.frames.images, 73, 64), PooledBackbone(RESNET, weights, True), "")
    rows = np.array([1, 1, 4])
    first, again, other = (source.features(rows, torch.Generator().manual_seed(seed)).detach() for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])  # two crops of one photo
    assert not torch.equal(first, other)


@pytest.mark.parametrize("images", [FROZEN, TRAINABLE])
def test_an_interrupted_training_goes_on_to_the_same_model(scene: Scene, images: ImageOptions, tmp_path: Path) -> None:
    whole, path = trained(scene, images, TrainingOptions(1), epochs=2), tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        trained(scene, images, TrainingOptions(1, checkpoint=path), interrupted_in("training", 1), epochs=2)
    lines: list[str] = []
    rest = trained(scene, images, TrainingOptions(1, checkpoint=path, report=lines.append), epochs=2)
    assert lines[0] == "continuing from step 1 of 2"
    assert equal(whole, rest)
    assert rest.record["epochs"][-1] == whole.record["epochs"][-1]


class Corner(torch.nn.Module):
    """A backbone whose features are the first pixel of a crop."""

    dimension = 3

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def plain(self, pixels_BCHW: torch.Tensor) -> torch.Tensor:
        return pixels_BCHW[:, :, 0, 0].float()


def test_a_frozen_backbone_has_seen_the_centre_and_some_crops_of_each_photo(tmp_path: Path) -> None:
    down, right = np.meshgrid(np.arange(40), np.arange(60), indexing="ij")
    paths = [tmp_path / f"{row}.png" for row in range(7)]
    for row, path in enumerate(paths):  # a pixel says where it is, and in which photo
        Image.fromarray(np.stack([down, right, np.full_like(down, row)], axis=2).astype(np.uint8)).save(path)
    source = FrozenImages(Photos(paths, 40, 32), 5, Corner(), 3, 0, "")  # type: ignore[arg-type]
    rows = np.array([6, 0, 4, 5])
    assert source.plain(rows).tolist() == [[4, 14, row] for row in rows]
    drawn = source.features(np.repeat(np.arange(5), 100), torch.Generator().manual_seed(0))
    assert drawn[:, 2].tolist() == np.repeat(np.arange(5), 100).tolist()
    for row in range(5):
        places = {(int(y), int(x)) for y, x, _ in drawn[100 * row : 100 * (row + 1)].tolist()}
        assert len(places) == 3
        assert all(y <= 8 and x <= 28 for y, x in places)
    assert len({tuple(corner) for corner in drawn[:, :2].tolist()}) > 10  # other places in other photos


def test_an_unfinished_training_of_other_photos_or_crops_is_not_continued(scene: Scene, tmp_path: Path) -> None:
    path, lines = tmp_path / "checkpoint", []
    with pytest.raises(KeyboardInterrupt):
        trained(scene, FROZEN, TrainingOptions(checkpoint=path), interrupted_in("training", 1), epochs=2)
    trained(scene, replace(FROZEN, crops=3), TrainingOptions(checkpoint=path, report=lines.append), epochs=2)
    assert lines[0] == f"the unfinished training at {path} had another features: starting over"
    turned = replace(scene, frames=replace(scene.frames, images=scene.frames.images[::-1]))
    lines.clear()
    trained(turned, FROZEN, TrainingOptions(checkpoint=path, report=lines.append), epochs=2)
    assert lines[0].endswith("starting over")


def test_crops_of_a_frozen_backbone_are_not_computed_again_after_an_interruption(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    plain = PooledBackbone.plain

    def counted(self: PooledBackbone, pixels: torch.Tensor) -> torch.Tensor:
        computed.append(len(pixels))
        if sum(computed) > 20:
            raise KeyboardInterrupt
        return plain(self, pixels)

    whole, path = trained(scene, FROZEN), tmp_path / "checkpoint"
    monkeypatch.setattr(PooledBackbone, "plain", counted)
    with pytest.raises(KeyboardInterrupt):  # in the second of the chunks of 16
        trained(scene, FROZEN, TrainingOptions(checkpoint=path))
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.features"]
    computed.clear()
    rest = trained(scene, FROZEN, TrainingOptions(checkpoint=path))
    assert computed == [8 * 3 + 2 - 16]
    assert equal(whole, rest)


def test_features_are_kept_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images_module, "_SAVE_SECONDS", 0.0)
    table = torch.arange(12.0).reshape(6, 2)
    images_module._Kept(tmp_path / "features", "of these photos").save_now_and_then(table, 4)
    again, other = torch.zeros(6, 2), torch.zeros(6, 2)
    assert images_module._Kept(tmp_path / "features", "of these photos").restore(again) == 4
    assert again.tolist() == [*table[:4].tolist(), [0, 0], [0, 0]]
    assert images_module._Kept(tmp_path / "features", "of others").restore(other) == 0
    assert images_module._Kept(None, "").restore(other) == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"crop": 16}, "crop is 16 pixels, it must be at least 32"),
        ({"crop": 80}, "crop is 80 pixels of photos whose shorter side is 73"),
        ({"batch_size": 1}, "batch size is 1, a trainable backbone .* at least 2"),
        ({"batch_size": 0}, "batch size is 0"),
        ({"learning_rate": 0.0}, "learning rate is 0.0"),
        ({"relation": "sum"}, "unknown relation 'sum'"),
    ],
)
def test_settings_that_cannot_be_are_refused(scene: Scene, changes: dict[str, object], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        trained(scene, TRAINABLE, **changes)


def test_a_place_needs_two_photos_and_a_pair(scene: Scene) -> None:
    with pytest.raises(BadInput, match="mapping photos to train on: 1"):
        trained(first_photos(scene, 1), FROZEN)
    with pytest.raises(BadInput, match="unknown backbone 'resnet'"):
        ImageOptions("resnet")
    with pytest.raises(BadInput, match="crops is 0"):
        ImageOptions(crops=0)


def test_without_photos_to_watch_the_loss_alone_is_shown(scene: Scene) -> None:
    lines: list[str] = []
    model = trained(first_photos(scene, 8, 0), FROZEN, TrainingOptions(report=lines.append))
    assert model.record["monitor"] == ""
    assert lines[-1].startswith("epoch 1/1: loss ")
    assert "photos" not in lines[-1]


def test_the_state_of_the_weights_file_reaches_the_model_unless_it_is_random(
    scene: Scene, weights: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IRPLOC_WEIGHTS", str(tmp_path / "weights"))
    torch.save(weights, tmp_path / "mine.pth")
    located = import_weights(tmp_path / "mine.pth", "resnet18")
    model = trained(scene, replace(FROZEN, random_weights=False))
    assert trunk_of(model) == {}  # found again by its hash
    assert model.identity["weights_sha256"] == located.sha256
    backbone = PooledBackbone(RESNET, read_state_dict(RESNET, located.path), False)
    mapping = scene.frames.of_split("train")
    pixels = as_batch([cropped(torch.from_numpy(scaled(path, 73)), 64) for path in mapping.images])
    torch.testing.assert_close(backbone.plain(pixels), model.extra["mapping_features"], rtol=1e-4, atol=1e-4)
