"""The ONNX encoder against graphs that are built here, and against the real one where it is present."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from irploc.encoders.base import EncoderOptions, create_encoder
from irploc.encoders.onnx import OnnxEncoder
from irploc.errors import BadInput, IrplocError, NotFound

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'irploc[dev]'")
pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'irploc[onnx]'")
FREE = ("batch", 3, "height", "width")


def write_graph(path, *, shape=FREE, output=("batch", 3), flat=True, half=False, offset=0.0, inputs=1, extra_output=False):
    """An encoder that gives the mean of each channel, plus ``offset``: (B, 3), or (B, 3, 1, 1) where not ``flat``."""
    kind = onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT
    bias = onnx.numpy_helper.from_array(np.array(offset, np.float16 if half else np.float32), "offset")
    nodes = [
        onnx.helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        onnx.helper.make_node("Add", ["mean", "offset"], ["pooled"]),
        onnx.helper.make_node("Flatten", ["pooled"], ["flat"]),
    ]
    value = onnx.helper.make_tensor_value_info
    outputs = [value("flat" if flat else "pooled", kind, output)]
    if extra_output:
        outputs.insert(0, value("mean", kind, ("batch", 3, "h", "w")))
    given = [value("image", kind, shape)] + [value(f"more{i}", kind, (1,)) for i in range(inputs - 1)]
    graph = onnx.helper.make_graph(nodes, "means", given, outputs, [bias])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def colours(*rgb, height=40, width=48):
    """One image of a single colour for each (R, G, B) given."""
    return torch.tensor(rgb, dtype=torch.uint8)[:, :, None, None].expand(-1, -1, height, width)


def encoder(path, **options) -> OnnxEncoder:
    return create_encoder(f"onnx:{path}", EncoderOptions(device="cpu", **options))


def unit(*rows):
    rows = np.array(rows, dtype=float)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def one_line(caught) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_vector_is_the_graphs_output_for_rgb_in_0_1_at_unit_length(tmp_path):
    made = encoder(write_graph(tmp_path / "m.onnx", offset=0.5))
    vectors = made.encode(colours((255, 0, 51), (0, 0, 0)))
    assert vectors.dtype == torch.float32
    assert made.dimension == 3
    np.testing.assert_allclose(vectors, unit((1.5, 0.5, 0.7), (0.5, 0.5, 0.5)), atol=1e-6)


def test_images_are_not_changed_by_encoding_them(tmp_path):
    images = torch.randint(0, 256, (2, 3, 33, 35), dtype=torch.uint8)
    before = images.clone()
    encoder(write_graph(tmp_path / "m.onnx")).encode(images)
    assert torch.equal(images, before)


def test_a_row_does_not_depend_on_the_other_images(tmp_path):
    made = encoder(write_graph(tmp_path / "m.onnx", offset=0.1))
    images = torch.randint(0, 256, (5, 3, 32, 40), dtype=torch.uint8)
    alone = torch.cat([made.encode(image[None]) for image in images])
    torch.testing.assert_close(made.encode(images), alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_batch_size_fixed_in_the_file_is_obeyed(tmp_path, batch):
    fixed = encoder(write_graph(tmp_path / "m.onnx", shape=(batch, 3, "h", "w"), output=(batch, 3)))
    images = torch.randint(0, 256, (5, 3, 32, 40), dtype=torch.uint8)
    expected = encoder(write_graph(tmp_path / "free.onnx")).encode(images)
    torch.testing.assert_close(fixed.encode(images), expected, atol=1e-6, rtol=0)


def test_images_are_resized_to_a_size_fixed_in_the_file_and_the_preprocessing_says_so(tmp_path):
    made = encoder(write_graph(tmp_path / "m.onnx", shape=("batch", 3, 16, 24)))
    assert "24x16" in made.preprocessing
    np.testing.assert_allclose(made.encode(colours((200, 100, 0))), unit((2, 1, 0)), atol=1e-6)
    assert "resized" not in encoder(write_graph(tmp_path / "free.onnx")).preprocessing


def test_a_pooled_map_of_one_pixel_counts_as_a_vector(tmp_path):
    made = encoder(write_graph(tmp_path / "m.onnx", output=("batch", 3, 1, 1), flat=False))
    assert made.encode(colours((0, 9, 0))).shape == (1, 3)


def test_the_first_two_dimensional_output_is_taken_before_maps(tmp_path):
    made = encoder(write_graph(tmp_path / "m.onnx", offset=1.0, extra_output=True))
    np.testing.assert_allclose(made.encode(colours((0, 0, 0))), unit((1, 1, 1)), atol=1e-6)


def test_a_dimension_that_the_file_does_not_tell_is_found_by_trying(tmp_path):
    assert encoder(write_graph(tmp_path / "m.onnx", output=("batch", "dim"))).dimension == 3
    assert encoder(write_graph(tmp_path / "n.onnx", output=None)).dimension == 3


def test_a_half_precision_file_works_and_gives_float32(tmp_path):
    vectors = encoder(write_graph(tmp_path / "m.onnx", half=True)).encode(colours((255, 255, 0)))
    assert vectors.dtype == torch.float32
    np.testing.assert_allclose(vectors, unit((1, 1, 0)), atol=2e-3)


def test_a_vector_of_zeros_stays_zero_and_an_empty_batch_is_empty(tmp_path):
    made = encoder(write_graph(tmp_path / "m.onnx"))
    assert made.encode(colours((0, 0, 0))).tolist() == [[0, 0, 0]]
    assert made.encode(torch.empty(0, 3, 32, 32, dtype=torch.uint8)).shape == (0, 3)


def test_the_name_holds_the_absolute_path_and_makes_the_same_encoder_again(tmp_path, monkeypatch):
    write_graph(tmp_path / "m.onnx")
    monkeypatch.chdir(tmp_path)
    made = encoder("m.onnx")
    assert made.name == f"onnx:{tmp_path / 'm.onnx'}"
    monkeypatch.chdir("/")
    assert create_encoder(made.name).weights_sha256 == made.weights_sha256


def test_the_hash_is_that_of_the_file(tmp_path):
    path = write_graph(tmp_path / "m.onnx")
    assert encoder(path).weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def write_with_weights_beside(folder: Path, offset: float) -> Path:
    path = write_graph(folder / "m.onnx", offset=offset)
    model = onnx.load(path)
    (folder / "m.data").unlink(missing_ok=True)
    onnx.save(model, path, save_as_external_data=True, location="m.data", size_threshold=0)
    return path


def test_the_hash_covers_weights_kept_beside_the_file(tmp_path):
    first = encoder(write_with_weights_beside(tmp_path, 0.25))
    np.testing.assert_allclose(first.encode(colours((0, 0, 0))), unit((1, 1, 1)), atol=1e-6)
    content = (tmp_path / "m.onnx").read_bytes()
    second = encoder(write_with_weights_beside(tmp_path, 0.75))
    assert (tmp_path / "m.onnx").read_bytes() == content
    assert first.weights_sha256 != second.weights_sha256


def test_weights_missing_beside_the_file_are_named(tmp_path):
    path = write_with_weights_beside(tmp_path, 0.25)
    (tmp_path / "m.data").unlink()
    with pytest.raises(NotFound) as caught:
        encoder(path)
    assert "m.data" in one_line(caught)


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        ({"shape": ("batch", 1, "h", "w"), "output": None}, "expected (batch, 3, height, width)"),
        ({"shape": ("batch", "h", "w", 3), "output": None}, "expected (batch, 3, height, width)"),
        ({"shape": ("batch", 3, "h"), "output": None}, "expected (batch, 3, height, width)"),
        ({"inputs": 2}, "2 inputs"),
    ],
)
def test_a_graph_that_is_no_image_encoder_is_refused_in_one_line(tmp_path, graph, words):
    path = write_graph(tmp_path / "m.onnx", **graph)
    with pytest.raises(BadInput) as caught:
        encoder(path)
    assert str(path) in one_line(caught)
    assert words in one_line(caught)


def test_a_graph_that_gives_a_map_is_refused(tmp_path):
    kind = onnx.TensorProto.FLOAT
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Relu", ["image"], ["map"])
    graph = onnx.helper.make_graph([node], "map", [value("image", kind, FREE)], [value("map", kind, FREE)])
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx"
    )
    with pytest.raises(BadInput) as caught:
        encoder(tmp_path / "m.onnx")
    assert "expected one vector per image" in one_line(caught)


@pytest.mark.parametrize("content", [b"", b"not a graph at all", b"\xff\xd8\xff\xe0 a photo"])
def test_what_is_not_onnx_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        encoder(path)
    assert str(path) in one_line(caught)


def test_a_truncated_file_is_refused_in_one_line(tmp_path):
    path = write_graph(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(BadInput) as caught:
        encoder(path)
    assert "cannot be loaded as ONNX" in one_line(caught)


@pytest.mark.parametrize(("name", "kind"), [("missing.onnx", NotFound), ("", BadInput), (".", BadInput)])
def test_a_path_that_is_no_file_is_refused_in_one_line(tmp_path, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind) as caught:
        encoder(name)
    one_line(caught)


def test_values_that_are_not_finite_are_refused(tmp_path):
    with pytest.raises(BadInput) as caught:
        encoder(write_graph(tmp_path / "m.onnx", offset=np.nan)).encode(colours((1, 2, 3)))
    assert "NaN" in one_line(caught)


def test_another_precision_than_the_files_is_refused(tmp_path):
    path = write_graph(tmp_path / "m.onnx")
    with pytest.raises(BadInput) as caught:
        encoder(path, precision="bf16")
    assert "fp32" in one_line(caught)
    with pytest.raises(BadInput):
        create_encoder(f"onnx:{path}", EncoderOptions(random_weights=0))


def test_without_onnxruntime_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    path = write_graph(tmp_path / "m.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(IrplocError) as caught:
        encoder(path)
    assert "pip install 'irploc[onnx]'" in one_line(caught)


class SilentlyOnTheCpu:
    """An onnxruntime built for GPUs whose libraries do not load: it says so to nobody, and goes on without."""

    def __getattr__(self, name):
        import onnxruntime

        return getattr(onnxruntime, name)

    def get_available_providers(self):
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def InferenceSession(self, path, settings, providers):  # noqa: N802
        import onnxruntime

        assert providers == [("CUDAExecutionProvider", {"device_id": 0}), "CPUExecutionProvider"]
        return onnxruntime.InferenceSession(path, settings, providers=providers[1:])


def test_a_gpu_that_onnxruntime_cannot_use_is_refused_or_told(tmp_path, monkeypatch, caplog):
    path = write_graph(tmp_path / "m.onnx")
    monkeypatch.setattr("irploc.encoders.onnx.import_onnxruntime", SilentlyOnTheCpu)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(BadInput) as caught:
        create_encoder(f"onnx:{path}", EncoderOptions(device="cuda"))
    assert one_line(caught).endswith("use --device cpu")
    assert create_encoder(f"onnx:{path}", EncoderOptions(device="auto")).encode(colours((0, 3, 4))).shape == (1, 3)
    (record,) = caplog.records
    assert record.getMessage().endswith("m.onnx runs on the CPU")


def test_the_real_encoder_tells_the_next_frame_from_another_place(shared, kitchen):
    from irploc.images import decode_image, to_array

    made = encoder(os.fspath(shared / "weights/googlenet_bvlc_gem.onnx"))
    frames = [kitchen / f"seq-01/frame-{i:06d}.color.jpg" for i in (0, 4, 500)]
    vectors = made.encode(torch.from_numpy(np.stack([to_array(decode_image(path, 160)) for path in frames])))
    assert vectors.shape == (3, 1856) == (3, made.dimension)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.05
