"""What every registered encoder promises, tried on every registered encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from irploc.encoders import ENCODERS, Encoder, EncoderOptions, create_encoder, netvlad
from irploc.encoders.weights import CATALOGUE
from irploc.errors import BadInput, NotFound

NAMES = list(ENCODERS)
PRETRAINED = [name for name, entry in ENCODERS.items() if entry.weights]
CPU = EncoderOptions(device="cpu")


def _images(count: int, height: int = 64, width: int = 80) -> torch.Tensor:
    """Photo-like: smooth shapes, an edge, some noise; the last one dark."""
    generator = np.random.default_rng(11)
    rows, columns = np.mgrid[:height, :width]
    images = []
    for number in range(count):
        phase, pitch = generator.uniform(0, 6, 3), generator.uniform(5, 12, 3)
        waves = [120 + 80 * np.sin(rows / p + columns / (p + 3) + f) for p, f in zip(pitch, phase, strict=True)]
        pixels = np.stack(waves) + 40 * (columns > 10 * (number + 2)) + generator.normal(0, 8, (3, height, width))
        images.append(pixels / (4 if number == count - 1 else 1))
    return torch.from_numpy(np.stack(images).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module", params=NAMES)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """Every registered encoder in turn, ready to encode: with random weights, fitted, or from a small file."""
    return _ready(request.param, tmp_path_factory.mktemp("encoder"))


def _ready(name: str, folder: Path) -> Encoder:
    if name == "onnx":
        return create_encoder(f"onnx:{_onnx_file(folder)}", CPU)
    seeded = EncoderOptions(device="cpu", random_weights=0 if ENCODERS.get(name).weights else None)
    encoder = create_encoder(name, seeded)
    if encoder.needs_fitting:
        photos = _images(8).numpy()
        encoder.fit(lambda: iter(photos), len(photos), seed=0)
    return encoder


def _onnx_file(folder: Path) -> Path:
    """Mean and largest value of each channel: six numbers an image."""
    onnx = pytest.importorskip("onnx", reason="needs the package onnx")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("GlobalMaxPool", ["image"], ["largest"]),
        helper.make_node("Concat", ["mean", "largest"], ["both"], axis=1),
        helper.make_node("Flatten", ["both"], ["embedding"]),
    ]
    inputs = [helper.make_tensor_value_info("image", kind, ["b", 3, "h", "w"])]
    outputs = [helper.make_tensor_value_info("embedding", kind, ["b", 6])]
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, folder / "tiny.onnx")
    return folder / "tiny.onnx"


def test_rows_are_unit_float32_and_do_not_depend_on_their_batch_mates(encoder: Encoder) -> None:
    images = _images(3)
    before = images.clone()
    together = encoder.encode(images)
    assert together.dtype == torch.float32 and together.device.type == "cpu"
    assert together.shape == (3, encoder.dimension)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3), atol=1e-5, rtol=0)
    alone = torch.cat([encoder.encode(image[None]) for image in images])
    assert (together.double() * alone.double()).sum(1).min() >= 1 - 1e-6
    assert torch.equal(encoder.encode(images), together), "the same images give the same bits"
    assert torch.equal(images, before), "the pixels given are left alone"
    assert (together[0] - together[1]).norm() > 1e-3, "different images give different vectors"


def test_encoder_says_what_it_is(encoder: Encoder) -> None:
    entry = ENCODERS.get(encoder.name.partition(":")[0])
    assert encoder.preprocessing and "\n" not in encoder.preprocessing
    assert encoder.dimension == entry.dimension if entry.dimension and not encoder.needs_fitting else encoder.dimension > 0
    assert len(encoder.weights_sha256) == 64 or encoder.weights_sha256 == "random-seed-0"
    assert entry.source and (entry.weights is None or entry.weights in CATALOGUE)


def test_encoder_takes_images_of_any_size_from_its_smallest_on(encoder: Encoder) -> None:
    side = encoder.minimum_side
    for height, width in ((side, side), (side + 13, side + 1)):
        vectors = encoder.encode(_images(1, height, width))
        assert vectors.shape == (1, encoder.dimension) and torch.isfinite(vectors).all()


def test_an_image_of_one_colour_gives_a_finite_vector(encoder: Encoder) -> None:
    for level in (0, 255):
        vector = encoder.encode(torch.full((1, 3, 64, 64), level, dtype=torch.uint8))
        assert torch.isfinite(vector).all() and vector.norm() < 1 + 1e-5


def test_what_is_not_a_batch_of_photos_is_refused(encoder: Encoder) -> None:
    images = _images(1)
    for wrong in (images.float(), images[0], images[:, :2], images[:, :, :8]):
        with pytest.raises(ValueError, match=r"^images are .*expected"):
            encoder.encode(wrong)
    assert encoder.encode(images[:0]).shape == (0, encoder.dimension)


@pytest.mark.parametrize("name", PRETRAINED)
def test_name_with_an_argument_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="takes no argument"):
        create_encoder(f"{name}:k=3", EncoderOptions(random_weights=0))


def test_misspelt_encoder_gets_a_suggestion() -> None:
    with pytest.raises(NotFound, match="did you mean 'netvlad-vgg16'"):
        create_encoder("netvlad-vgg")


def test_half_precision_needs_a_gpu_and_other_precisions_do_not_exist() -> None:
    with pytest.raises(BadInput, match="fp16 needs a GPU"):
        EncoderOptions(precision="fp16", device="cpu")
    with pytest.raises(BadInput, match="choose one of fp32, bf16, fp16"):
        EncoderOptions(precision="fp8")


@pytest.mark.parametrize("device", ["gpu", "mps", "meta", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_before_anything_is_loaded(device: str) -> None:
    with pytest.raises(BadInput, match=r"unknown device|there is no device cuda:99: torch finds"):
        EncoderOptions(device=device)


def test_values_that_leave_the_range_of_the_precision_are_reported() -> None:
    encoder = netvlad.NetVladEncoder(netvlad.random_weights(0, dimension=4), "x", CPU)
    encoder._bias = torch.full((4,), float("inf"))
    with pytest.raises(BadInput, match="leaves the range of fp32"):
        encoder.encode(_images(1))
