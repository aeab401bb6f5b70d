"""torchvision backbones with GeM: the cut, the pooling, the pixels, and the files of weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from irploc.encoders import EncoderOptions, create_encoder
from irploc.encoders.backbones import (
    BACKBONES,
    Backbone,
    GemEncoder,
    build_trunk,
    generalized_mean,
    random_state_dict,
    read_state_dict,
)
from irploc.encoders.weights import CATALOGUE, import_weights
from irploc.errors import BadInput

RESNET = BACKBONES["resnet18"]
CPU = EncoderOptions(device="cpu")


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 64, 96), dtype=np.uint8))


def _whole_model(backbone: Backbone) -> torch.nn.Module:
    """The classifier's network of torchvision, ready to run, with the pretrained one's settings and random weights."""
    from irploc.torchvision_safe import models

    extra = {"transform_input": True, "init_weights": False} if backbone.model == "googlenet" else {}
    with torch.device("meta"):
        model = models.get_model(backbone.model, weights=None, **extra)
    model.to_empty(device="cpu").load_state_dict(random_state_dict(backbone, 5), strict=False)
    return model.eval()


def test_generalized_mean_by_hand() -> None:
    # Cubes 1, 8, 27, 64: mean 25, cube root 2.924. Negative values count as 1e-6: (8 / 2) ** (1 / 3).
    features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[2.0, -9.0], [2.0, -9.0]]]])
    torch.testing.assert_close(generalized_mean(features), torch.tensor([[25 ** (1 / 3), 4 ** (1 / 3)]]))


def test_generalized_mean_of_huge_values_does_not_overflow() -> None:
    torch.testing.assert_close(generalized_mean(torch.full((1, 2, 3, 3), 1e20)), torch.full((1, 2), 1e20))


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("resnet18", "layer4"),
        ("vgg16", "features.29"),
        ("googlenet", "inception5b"),
        ("mobilenet-v3-large", "features"),
    ],
)
def test_features_are_what_torchvisions_own_network_computes_before_its_classifier(
    name: str, last: str, images: torch.Tensor
) -> None:
    # torchvision's own forward pass, with its own preprocessing of the pixels, up to a hook on the last feature layer.
    backbone = BACKBONES[name]
    model = _whole_model(backbone)
    seen: list[torch.Tensor] = []
    model.get_submodule(last).register_forward_hook(lambda module, inputs, output: seen.append(output))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        layers = model.features if name == "vgg16" else model  # its classifier alone has 124 million random weights to run
        layers((images.float() / 255 - mean[:, None, None]) / std[:, None, None])
    cubes = seen[0].double().clamp(min=1e-6) ** 3
    expected = torch.nn.functional.normalize(cubes.mean((2, 3)) ** (1 / 3), dim=1)
    ours = GemEncoder(backbone, random_state_dict(backbone, 5), "x", CPU).encode(images)
    assert ours.shape == (2, backbone.dimension)
    torch.testing.assert_close(ours.double(), expected, atol=2e-5, rtol=0)


def test_table_agrees_with_torchvisions_list_of_weights() -> None:
    from irploc.torchvision_safe import models

    for backbone in BACKBONES.values():
        published = models.get_model_weights(backbone.model).IMAGENET1K_V1
        entry = CATALOGUE.get(backbone.name)
        assert entry.url == published.url
        assert entry.sha256 is not None and len(entry.sha256) == 8 and entry.sha256 in entry.file


def test_weights_come_from_a_state_dict_with_or_without_its_classifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: torch.Tensor
) -> None:
    monkeypatch.setenv("IRPLOC_WEIGHTS", str(tmp_path / "weights"))
    state = random_state_dict(RESNET, 5)
    torch.save({**state, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}, tmp_path / "resnet18.pth")
    located = import_weights(tmp_path / "resnet18.pth", "resnet18")
    encoder = create_encoder("resnet18-gem", CPU)
    assert encoder.weights_sha256 == located.sha256
    assert torch.equal(
        encoder.encode(images), create_encoder("resnet18-gem", EncoderOptions("fp32", "cpu", 5)).encode(images)
    )


def test_state_dict_of_old_files_has_no_step_counters_and_loads(tmp_path: Path) -> None:
    state = random_state_dict(RESNET, 5)
    path = tmp_path / "old.pth"
    torch.save({name: value for name, value in state.items() if "num_batches" not in name}, path)
    assert read_state_dict(RESNET, path).keys() == state.keys()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({}, r"lacks 100 of 120 weights of resnet18: conv1\.weight and 99 more"),
        ({"state_dict": {}}, "expected a mapping of names to tensors"),
        ([1, 2], "expected a mapping of names to tensors"),
    ],
)
def test_file_that_holds_something_else_is_refused_in_one_line(content: object, says: str, tmp_path: Path) -> None:
    path = tmp_path / "resnet18.pth"
    torch.save(content, path)
    with pytest.raises(BadInput, match=says) as caught:
        read_state_dict(RESNET, path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_weights_of_another_network_are_refused_by_their_shapes(tmp_path: Path) -> None:
    state = random_state_dict(RESNET, 5)
    state["conv1.weight"] = torch.zeros(32, 3, 7, 7)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(BadInput, match=r"conv1\.weight is \(32, 3, 7, 7\) instead of \(64, 3, 7, 7\)"):
        read_state_dict(RESNET, tmp_path / "other.pth")


@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 cut short"])
def test_file_that_is_no_state_dict_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.pth"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="is not a torch state dict of resnet18") as caught:
        read_state_dict(RESNET, path)
    assert "\n" not in str(caught.value)


def test_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (Path(tmp_path / "ran"),)  # type: ignore[return-value]

    torch.save({"conv1.weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(BadInput, match="is not a torch state dict"):
        read_state_dict(RESNET, tmp_path / "trap.pth")
    assert not (tmp_path / "ran").exists()


def test_nothing_of_the_classifiers_is_built() -> None:
    parameters = {name: sum(value.numel() for value in build_trunk(BACKBONES[name]).parameters()) for name in BACKBONES}
    # torchvision's published totals minus their classifiers: 11,689,512 - 513,000 and 138,357,544 - 123,642,856.
    assert parameters["resnet18"] == 11_176_512
    assert parameters["vgg16"] == 14_714_688
