"""NetVLAD: the authors' MATLAB file, the formula against an independent float64 one, precisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch

from irploc.encoders import EncoderOptions, create_encoder, netvlad, network
from irploc.encoders.netvlad import NetVladEncoder, aggregate, read_mat, vgg_trunk
from irploc.errors import BadInput

VGG = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512)
MEAN_RGB = (121.5, 114.25, 98.75)
OUTPUTS = 16


def _cell(*values: Any) -> np.ndarray:
    cell = np.empty(len(values), dtype=object)
    for position, value in enumerate(values):
        cell[position] = value
    return cell


def _struct(generator: np.random.Generator, outputs: int) -> dict[str, Any]:
    """As the authors' file: one entry per layer of MatConvNet, ReLUs and poolings among them; whitening to a few values."""
    normal = lambda *shape: generator.standard_normal(shape, dtype=np.float32)  # noqa: E731
    layers: list[dict[str, Any]] = []
    channels = 3
    for position, width in enumerate(VGG):
        if width == "pool":
            layers.append({"type": "pool", "stride": 2.0})
            continue
        scale = np.float32((2.0 / (9 * channels)) ** 0.5)
        pair = _cell(normal(3, 3, channels, width) * scale, normal(width))
        layers.append({"type": "conv", "weights": pair})
        if position < len(VGG) - 1:
            layers.append({"type": "relu"})
        channels = int(width)
    layers.append({"type": "normalize"})
    layers.append({"type": "vlad", "weights": _cell(4 * normal(512, 64), -normal(512, 64) / np.float32(512**0.5))})
    layers += [{"type": "normalize"}, {"type": "normalize"}]
    layers.append({"type": "conv", "weights": _cell(normal(1, 1, 32768, outputs), normal(outputs))})
    layers.append({"type": "normalize"})
    average = np.tile(np.array(MEAN_RGB, dtype=np.float32), (4, 5, 1))
    return {"layers": _cell(*layers), "meta": {"normalization": {"averageImage": average}}}


@pytest.fixture(scope="module")
def struct() -> dict[str, Any]:
    return _struct(np.random.default_rng(7), OUTPUTS)


@pytest.fixture(scope="module")
def mat(struct: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("netvlad") / "Pitts30K_struct.mat"
    scipy.io.savemat(path, {"net": struct})
    return path


@pytest.fixture
def installed(mat: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IRPLOC_WEIGHTS", str(mat.parent))
    return mat


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """A noise image and a smooth one, 40 rows by 48 columns."""
    noise = np.random.default_rng(3).integers(0, 256, (3, 40, 48), dtype=np.uint8)
    ramp = np.linspace(0, 255, 40 * 48).reshape(40, 48)
    smooth = np.stack([ramp, ramp[::-1], ramp[:, ::-1]]).astype(np.uint8)
    return torch.from_numpy(np.stack([noise, smooth]))


def _reference(struct: dict[str, Any], image_3HW: np.ndarray) -> np.ndarray:
    """The formula in float64, from the arrays that went into the file: residuals one by one, as it is printed."""
    x = image_3HW.astype(np.float64) - np.reshape(MEAN_RGB, (3, 1, 1))
    for layer in struct["layers"][:29]:
        if layer["type"] == "conv":
            x = _convolve(x, *(weight.astype(np.float64) for weight in layer["weights"]))
        elif layer["type"] == "relu":
            x = np.maximum(x, 0)
        else:
            channels, height, width = x.shape
            x = x[:, : height // 2 * 2, : width // 2 * 2].reshape(channels, height // 2, 2, width // 2, 2).max((2, 4))
    locations = x.reshape(512, -1).T
    locations /= np.linalg.norm(locations, axis=1, keepdims=True)
    assignment, negated_centres = (weight.astype(np.float64) for weight in struct["layers"][30]["weights"])
    scores = np.exp(locations @ assignment)
    scores /= scores.sum(1, keepdims=True)
    vlad = np.zeros((512, 64))
    for location, score in zip(locations, scores, strict=True):
        vlad += score[None, :] * (location[:, None] + negated_centres)
    vlad /= np.linalg.norm(vlad, axis=0, keepdims=True)
    flat = np.array([vlad[d, k] for d in range(512) for k in range(64)])
    flat /= np.linalg.norm(flat)
    matrix, bias = (weight.astype(np.float64) for weight in struct["layers"][33]["weights"])
    out = flat @ matrix[0, 0] + bias
    return out / np.linalg.norm(out)


def _convolve(x: np.ndarray, kernel_SSIO: np.ndarray, bias: np.ndarray) -> np.ndarray:
    _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    out = np.zeros((height * width, kernel_SSIO.shape[3]))
    for row in range(3):
        for column in range(3):
            window = padded[:, row : row + height, column : column + width].reshape(len(x), -1)
            out += window.T @ kernel_SSIO[row, column]
    return (out + bias).T.reshape(-1, height, width)


def test_network_loaded_from_a_mat_file_agrees_with_an_independent_float64_computation(
    struct: dict[str, Any], installed: Path, images: torch.Tensor
) -> None:
    encoder = create_encoder("netvlad-vgg16")
    ours = encoder.encode(images).numpy()
    assert encoder.dimension == OUTPUTS
    for row in range(2):
        np.testing.assert_allclose(ours[row], _reference(struct, images[row].numpy()), atol=1e-5, rtol=0)
    assert abs(float(ours[0] @ ours[1])) < 0.99


@pytest.mark.parametrize("native", [True, False])
def test_bf16_vectors_have_a_cosine_of_at_least_0_999(
    mat: Path, images: torch.Tensor, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = read_mat(mat)
    exact = NetVladEncoder(weights, "x", EncoderOptions(device="cpu")).encode(images)
    monkeypatch.setattr(network, "computes_bf16", lambda device: native)
    encoder = NetVladEncoder(weights, "x", EncoderOptions(precision="bf16", device="cpu"))
    trunk_dtype = next(encoder._trunk.parameters()).dtype
    assert trunk_dtype == (torch.bfloat16 if native else torch.float32)
    cosines = (encoder.encode(images) * exact).sum(1)
    assert cosines.min() >= 0.999
    assert cosines.max() < 1 - 1e-9, "bf16 that equals fp32 is not bf16"


def test_scaling_the_biases_and_the_input_leaves_the_vector_as_it_is(
    mat: Path, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What keeps fp16 on a GPU in range, tried here in fp32.
    weights = read_mat(mat)
    plain = NetVladEncoder(weights, "x", EncoderOptions(device="cpu"))
    scaled = NetVladEncoder(weights, "x", EncoderOptions(device="cpu"))
    scaled._trunk = network.frozen(netvlad._trunk(weights, netvlad._FP16_SCALE), scaled.options)
    scaled._scale, scaled._shift = plain._scale * netvlad._FP16_SCALE, plain._shift * netvlad._FP16_SCALE
    features = scaled._trunk(scaled._pixels(images)).abs().max()
    assert features < plain._trunk(plain._pixels(images)).abs().max() / 100
    torch.testing.assert_close(scaled.encode(images), plain.encode(images), atol=1e-6, rtol=0)


def test_residual_sum_of_two_locations_and_two_clusters_by_hand() -> None:
    # Locations (2, 0) -> (1, 0) and (0, 3) -> (0, 1); equal scores give every weight one half; centres (1, 0), (0, 0.5).
    # Sums per cluster: (0.5, 0.5). Minus the weights' sum 1 times the centre: (-0.5, 0.5) and (0.5, 0).
    # Unit per cluster: (-r, r) and (1, 0), r = 1 / sqrt 2; flattened d * K + k: (-r, 1, r, 0); length sqrt 2.
    features = torch.tensor([[[2.0, 0.0], [0.0, 3.0]]])
    centres_DK = torch.tensor([[1.0, 0.0], [0.0, 0.5]])
    vector = aggregate(features, torch.zeros(2, 2), centres_DK)
    torch.testing.assert_close(vector, torch.tensor([[-0.5, 0.5**0.5, 0.5, 0.0]]))


def test_trunk_is_the_one_that_torchvision_calls_vgg16_features_without_the_last_two() -> None:
    from irploc.torchvision_safe import models

    with torch.device("meta"):
        theirs = models.vgg16(weights=None).features[:-2]
    ours = vgg_trunk()
    assert [str(module) for module in ours] == [str(module) for module in theirs]
    assert len(ours) == 29 and isinstance(ours[28], torch.nn.Conv2d)


def test_second_start_opens_the_kept_conversion_and_gives_the_same_vectors(
    installed: Path, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = create_encoder("netvlad-vgg16")
    monkeypatch.setattr(netvlad, "read_mat", lambda path: pytest.fail("the MATLAB file was read again"))
    second = create_encoder("netvlad-vgg16")
    assert torch.equal(first.encode(images), second.encode(images))
    assert first.weights_sha256 == second.weights_sha256
    assert len(first.weights_sha256) == 64


def test_random_weights_repeat_for_a_seed_and_differ_for_another() -> None:
    one, same, other = (netvlad.random_weights(seed, dimension=8) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["whitening"], other["whitening"])
    assert one.keys() == {*one} and one["whitening"].shape == (8, 32768)


def _without(struct: dict[str, Any], index: int) -> dict[str, Any]:
    layers = struct["layers"].copy()
    layers[index] = {"type": "relu"}
    return {**struct, "layers": layers}


def _small(struct: dict[str, Any], index: int, pair: np.ndarray) -> dict[str, Any]:
    layers = struct["layers"].copy()
    layers[index] = {"type": "conv", "weights": pair}
    return {**struct, "layers": layers}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda net: {"network": 1.0}, "no variable 'net'"),
        (lambda net: {"net": 1.0}, "layers"),
        (lambda net: {"net": {**net, "layers": net["layers"][:20]}}, r"net\.layers\[21\] has no pair"),
        (lambda net: {"net": _without(net, 0)}, r"net\.layers\[0\] has no pair"),
        (lambda net: {"net": _without(net, 33)}, r"net\.layers\[33\] has no pair"),
        (lambda net: {"net": _small(net, 0, _cell(np.ones((3, 3, 3, 2)), np.ones(2)))}, r"\(3, 3, 3, 2\) float64, expected"),
        (lambda net: {"net": _small(net, 0, _cell(np.full((3, 3, 3, 64), np.nan), np.ones(64)))}, "not all finite"),
        (lambda net: {"net": _small(net, 33, _cell(np.ones((1, 1, 9, 4)), np.ones(4)))}, r"layers\[33\] is \(9, 4\)"),
        (lambda net: {"net": {"layers": net["layers"][:1]}}, "meta"),
    ],
)
def test_mat_file_of_another_structure_is_refused_in_one_line(
    struct: dict[str, Any], change: Any, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "wrong.mat"
    scipy.io.savemat(path, change(struct))
    with pytest.raises(BadInput, match=says) as caught:
        read_mat(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a matlab file", b"MATLAB 5.0 MAT-file" + bytes(300)])
def test_file_that_is_no_mat_file_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "Pitts30K_struct.mat"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="not NetVLAD's MATLAB file") as caught:
        read_mat(path)
    assert "\n" not in str(caught.value)


def test_truncated_mat_file_is_refused_in_one_line(mat: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.mat"
    with mat.open("rb") as whole:
        path.write_bytes(whole.read(1_000_000))
    with pytest.raises(BadInput, match="not NetVLAD's MATLAB file"):
        read_mat(path)


def test_name_with_an_argument_is_refused() -> None:
    with pytest.raises(BadInput, match="takes no argument"):
        create_encoder("netvlad-vgg16:x", EncoderOptions(random_weights=0))
