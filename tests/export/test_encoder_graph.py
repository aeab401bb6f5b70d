"""Encoders in ONNX give the vectors that they give in torch, at every size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from toy_export import FREE, write_encoder

from irploc.encoders import Encoder, EncoderOptions, create_encoder
from irploc.encoders.netvlad import NetVladEncoder, random_weights
from irploc.errors import BadInput
from irploc.export.encoder_graph import encoder_graph
from irploc.onnxmodel import EMBEDDING, INPUT, open_session


def pictures(count: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height)
    coarse = torch.rand(count, 3, 6, 8, generator=generator) * 255
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear").to(torch.uint8)


def differences(encoder: Encoder, sizes: list[tuple[int, int, int]]) -> list[float]:
    """Largest difference of vectors, of (count, height, width) pictures each."""
    model = encoder_graph(encoder)
    onnx.checker.check_model(model)
    session = open_session(model.SerializeToString(), "toy")
    found = []
    for size in sizes:
        images = pictures(*size)
        (vectors,) = session.run([EMBEDDING], {INPUT: images.numpy() / np.float32(255)})
        assert vectors.shape == (size[0], encoder.dimension)
        found.append(float(np.abs(vectors - encoder.encode(images).numpy()).max()))
    return found


@pytest.mark.parametrize("name", ["resnet18-gem"])
def test_backbones_give_the_same_vectors_at_every_size_and_batch(name: str) -> None:
    encoder = create_encoder(name, EncoderOptions(device="cpu", random_weights=0))
    assert max(differences(encoder, [(1, 96, 128), (2, 130, 101)])) < 1e-5


def test_netvlad_gives_the_same_vectors() -> None:
    encoder = NetVladEncoder(random_weights(0, dimension=8), "random", EncoderOptions(device="cpu"))
    assert max(differences(encoder, [(1, 64, 80), (2, 50, 97)])) < 1e-5


@pytest.mark.parametrize("opset", [12, 17])
def test_a_file_keeps_its_vectors_and_names_do_not_collide(tmp_path: Path, opset: int) -> None:
    encoder = create_encoder(f"onnx:{write_encoder(tmp_path / 'a.onnx', opset=opset, name='head/constant_1')}")
    assert max(differences(encoder, [(1, 40, 48), (3, 33, 57)])) < 1e-6


def test_a_fixed_size_becomes_a_resize_in_the_graph(tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "a.onnx", shape=("batch", 3, 48, 64))
    encoder = create_encoder(f"onnx:{path}")
    assert max(differences(encoder, [(1, 48, 64), (2, 96, 131), (1, 37, 40), (1, 97, 50)])) < 1e-6


def test_a_fixed_batch_stays_fixed(tmp_path: Path) -> None:
    encoder = create_encoder(f"onnx:{write_encoder(tmp_path / 'a.onnx', shape=(2, *FREE[1:]))}")
    graph = encoder_graph(encoder)
    assert graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 2
    assert max(differences(encoder, [(2, 40, 48)])) < 1e-6


def test_a_file_in_float16_takes_and_gives_float32(tmp_path: Path) -> None:
    encoder = create_encoder(f"onnx:{write_encoder(tmp_path / 'a.onnx', half=True)}")
    assert max(differences(encoder, [(1, 40, 48)])) < 1e-4


def test_an_encoder_that_is_no_network_says_which_are() -> None:
    with pytest.raises(BadInput, match=r"densevlad is no network.*netvlad-vgg16.*resnet18-gem.*onnx:PATH"):
        encoder_graph(create_encoder("densevlad"))
