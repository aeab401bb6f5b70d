"""The network: its layers, and how photos get into its shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from irploc.errors import BadInput
from irploc.training.menet.frames import Framing
from irploc.training.menet.network import MeNet, menet_parameters
from irploc.training.menet.recipes import menet_recipe
from irploc.training.photos import Photos


def test_nine_convolutions_of_the_reports_channels_kernels_and_strides() -> None:
    found = [
        (layer.out_channels, layer.kernel_size[0], layer.stride[0])
        for layer in MeNet(64, 64, (8,)).convolutions
        if isinstance(layer, nn.Conv2d)
    ]
    assert found == [
        *((16, 7, 2), (32, 5, 2), (64, 3, 2), (64, 3, 1), (128, 3, 2)),
        *((128, 3, 1), (256, 3, 2), (256, 3, 1), (512, 3, 2)),
    ]


def test_parameters_counted_by_hand() -> None:
    convolutions = [(6, 16, 7), (16, 32, 5), (32, 64, 3), (64, 64, 3), (64, 128, 3), (128, 128, 3), (128, 256, 3)]
    convolutions += [(256, 256, 3), (256, 512, 3)]
    expected = sum(before * after * kernel**2 + after for before, after, kernel in convolutions)
    # 224 is halved six times, upwards: 112, 56, 28, 14, 7, 4
    expected += (512 * 4 * 4) * 1024 + 1024 + 1024 * 7 + 7
    assert menet_parameters() == expected == 10_756_631
    assert menet_parameters(96, 128, (512,)) == expected - (8192 * 1024 + 1024 + 7168) + (2048 * 512 + 512 + 3584)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 47), (96, 128)])
def test_any_size_of_photos_gives_seven_numbers_which_start_at_zero(height: int, width: int) -> None:
    network = MeNet(height, width, (8,))
    photos = torch.rand(2, 3, height, width)
    assert torch.equal(network(photos, photos), torch.zeros(2, 7))


def test_photos_are_normalized_by_their_mean_and_deviation() -> None:
    network = MeNet(32, 32, (8,), mean=(10.0, 20.0, 30.0), deviation=(1.0, 2.0, 4.0))
    photo = torch.tensor([11, 22, 34], dtype=torch.uint8)[None, :, None, None].expand(1, 3, 32, 32)
    assert torch.equal(network.normalized(photo), torch.ones(1, 3, 32, 32))


def framing(height: int = 4, width: int = 6) -> Framing:
    return Framing(4, height, width, (100.0, 101.0, 102.0), (1.0, 1.0, 1.0))


def numbered(height: int, width: int) -> torch.Tensor:
    return torch.arange(height * width, dtype=torch.uint8).reshape(height, width, 1).repeat(1, 1, 3)


def test_a_photo_of_the_frames_shape_is_taken_as_it_is() -> None:
    photo = numbered(4, 6)
    assert torch.equal(framing().framed([photo])[0], photo.permute(2, 0, 1))


def test_an_upright_photo_in_a_lying_frame_loses_its_ends_and_is_filled_at_the_sides() -> None:
    photo = numbered(6, 4)
    found = framing().framed([photo])[0]
    assert torch.equal(found[0, :, 1:5], photo[1:5, :, 0])
    assert found[:, :, 0].unique(dim=1).flatten().tolist() == [100, 101, 102]
    assert found[:, :, 5].unique(dim=1).flatten().tolist() == [100, 101, 102]


def test_the_frame_is_the_shape_of_most_photos_and_knows_their_mean(tmp_path: Path) -> None:
    sizes = [(16, 12), (16, 12), (12, 16)]
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for number, (path, size) in enumerate(zip(paths, sizes, strict=True)):
        Image.new("RGB", size, (10 * number, 50, 60)).save(path)
    found = Framing.fit(Photos(paths, 12, 12), 3, 12, "whole")
    assert (found.height, found.width) == (12, 16)
    np.testing.assert_allclose(found.mean, (10, 50, 60))
    np.testing.assert_allclose(found.deviation, (np.sqrt(200 / 3), 1, 1))  # no less than one
    square = Framing.fit(Photos(paths, 12, 12), 3, 12, "square")
    assert (square.height, square.width) == (12, 12)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"side": 16}, "side is 16 pixels, it must be in"),
        ({"epochs": 0}, "epochs is 0"),
        ({"hidden": ()}, "hidden is"),
        ({"mirror": 1.5}, r"mirror is 1.5, it must be in \[0, 1\]"),
        ({"turn_deg": float("nan")}, "turn deg is nan"),
        ({"alpha": float("inf")}, "alpha is inf, it must be finite"),
        ({"shape": "round"}, "unknown shape 'round', choose one of whole, square"),
        ({"loss": "huber"}, "unknown loss 'huber'"),
        ({"learning_rate": -1.0}, "learning rate is -1.0"),
    ],
)
def test_recipes_that_cannot_be_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        menet_recipe("fast", **changes)


def test_epochs_that_are_given_are_exact_and_an_alpha_that_is_given_is_fixed() -> None:
    assert menet_recipe("fast", epochs=2).total_steps(64) == 4
    assert menet_recipe("fast", alpha=3.0).weighting == "fixed"
    report = menet_recipe("report")
    assert (report.loss, report.weighting, report.alpha, report.standardize) == ("mse", "fixed", 1.0, False)
    with pytest.raises(BadInput, match="unknown recipe 'paper', choose one of fast, report"):
        menet_recipe("paper")
