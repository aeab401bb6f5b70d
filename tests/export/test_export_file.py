"""Exported files: checked against torch, whole or not at all, and refused when they are not what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from toy_export import FREE, write_encoder, write_model

from irploc.errors import BadInput, IrplocError, Mismatch, NotFound
from irploc.export import Material, Runner, build_graph, export_pipeline, load_pipeline
from irploc.export.precision import eight_bit_heads, half_weights
from irploc.geometry.poses import Poses, pose_errors
from irploc.images import decode_image, to_array
from irploc.onnxmodel import VERSION, OnnxLocalizer, Preparation
from irploc.scene import Scene


@pytest.fixture(scope="module")
def material(exportable: Path) -> Material:
    return Material(Scene.load(exportable / "scenes/toy").frames, Preparation(80))


@pytest.fixture(scope="module")
def exported(exportable: Path, material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "toy.onnx"
    export_pipeline(load_pipeline(exportable / "models/toy.irpnet.pt"), path, material)
    return path


def test_photos_get_the_poses_that_torch_gives(exportable: Path, exported: Path, toy_scene: Path) -> None:
    photos = sorted(toy_scene.rglob("*.jpg"))[:5]
    pipeline = load_pipeline(exportable / "models/toy.irpnet.pt")
    pixels = np.stack([to_array(decode_image(photo, 80)) for photo in photos])
    position_m, rotation_deg = pose_errors(OnnxLocalizer(exported).poses(pixels), pipeline.torch_poses(pixels))
    assert position_m.max() < 1e-5 and rotation_deg.max() < 1e-3
    answers = OnnxLocalizer(exported).localize(photos)
    found = Poses.concatenate([answer.pose for answer in answers])
    assert pose_errors(found, pipeline.torch_poses(pixels))[0].max() < 1e-5
    assert np.ptp(found.centers_m, axis=0).max() > 1e-3  # not the same pose for all


@pytest.mark.parametrize("method", ["irpnet", "mlp"])
@pytest.mark.parametrize("heads", [1, 3])
def test_every_kind_of_regressor_is_exported(tmp_path: Path, method: str, heads: int, material: Material) -> None:
    write_model(tmp_path / "m.pt", write_encoder(tmp_path / "e.onnx"), method, heads)
    exported = export_pipeline(load_pipeline(tmp_path / "m.pt"), tmp_path / "m.onnx", material)
    assert exported.about.check["position_m"] < 1e-5
    assert (exported.about.method, exported.about.heads, exported.about.seed) == (method, heads, 7)


@pytest.mark.parametrize("shape", [("batch", 3, 48, 64), (2, *FREE[1:])])
def test_encoders_of_fixed_size_or_batch_are_exported(tmp_path: Path, material: Material, shape) -> None:
    write_model(tmp_path / "m.pt", write_encoder(tmp_path / "e.onnx", shape=shape))
    exported = export_pipeline(load_pipeline(tmp_path / "m.pt"), tmp_path / "m.onnx", material)
    assert exported.about.check["images"] >= 18


def test_the_file_says_what_it_is(exported: Path, exportable: Path) -> None:
    found = {entry.key: entry.value for entry in onnx.load(exported).metadata_props}
    assert (found["format"], found["version"], found["scene"], found["precision"]) == ("irploc-onnx", "1", "toy", "fp32")
    assert found["encoder"] == "onnx:encoder.onnx"  # no folder of the machine it was made on
    assert len(found["model_sha256"]) == len(found["weights_sha256"]) == 64
    about = OnnxLocalizer(exported).about
    assert (about.max_side, about.crop, about.ground_truth, about.units) == (80, 0, "rendered", "metres")
    outputs = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in onnx.load(exported).graph.output
    }
    assert outputs == {"position_m": ["batch", 3], "quaternion_wxyz": ["batch", 4], "embedding": ["batch", 24]}


def test_a_graph_that_differs_from_torch_is_not_written(exportable: Path, material: Material, tmp_path: Path) -> None:
    pipeline = load_pipeline(exportable / "models/toy.irpnet.pt")

    def moved(embeddings: np.ndarray) -> Poses:
        poses = pipeline.poses(embeddings)
        return Poses(poses.centers_m + np.array([2e-4, 0, 0]), poses.world_from_cam_wxyz)

    with pytest.raises(Mismatch, match=r"by up to 0\.0002 m and .* nothing was written"):
        export_pipeline(replace(pipeline, poses=moved), tmp_path / "toy.onnx", material)
    assert list(tmp_path.iterdir()) == []


def test_without_a_scene_pictures_are_made_up(exportable: Path, tmp_path: Path) -> None:
    nothing = Material(None, Preparation(80))
    pipeline = load_pipeline(exportable / "models/toy.irpnet.pt")
    exported = export_pipeline(pipeline, tmp_path / "a.onnx", nothing, "fp16")
    assert exported.about.check["of"] == "made-up pictures"
    assert exported.about.loss == {}
    with pytest.raises(BadInput, match="int8 is calibrated on mapping photos"):
        export_pipeline(pipeline, tmp_path / "b.onnx", nothing, "int8")
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_fp16_halves_the_weights_and_hardly_changes_poses(exportable: Path, material: Material) -> None:
    graph = build_graph(load_pipeline(exportable / "models/toy.irpnet.pt"))
    halved = half_weights(graph)
    assert len(halved.content) < 0.65 * len(graph.content)
    batch = material.to_check()[0]
    position_m, rotation_deg = pose_errors(Runner(halved, "fp16").poses(batch), Runner(graph, "fp32").poses(batch))
    assert 0 < position_m.max() < 0.01 and rotation_deg.max() < 0.5


def test_heads_in_int8_have_steps_of_a_hundred_and_twenty_seventh_of_each_rows_largest_weight(exportable: Path) -> None:
    graph = build_graph(load_pipeline(exportable / "models/toy.irpnet.pt"))
    before = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.model.graph.initializer}
    smaller = eight_bit_heads(graph).model.graph
    after = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in smaller.initializer}
    changed = [name for name in before if f"{name}/int8" in after]
    assert changed and all(name.startswith("head/") for name in changed)
    for name in changed:
        step = np.abs(before[name]).max(axis=1, keepdims=True) / 127
        restored = after[f"{name}/int8"] * after[f"{name}/scales"]
        assert np.abs(restored - before[name]).max() <= (step / 2).max() * 1.001
        assert np.abs(after[f"{name}/int8"]).max(axis=1).min() == 127


def test_int8_is_measured_against_fp32_on_test_photos(exportable: Path, material: Material, tmp_path: Path) -> None:
    pipeline = load_pipeline(exportable / "models/toy.irpnet.pt")
    exported = export_pipeline(pipeline, tmp_path / "a.onnx", material, "int8")
    loss = exported.about.loss
    assert (loss["split"], loss["n"]) == ("test", 8)
    assert loss["int8"]["position_m"] == pytest.approx(loss["fp32"]["position_m"], rel=0.2)
    assert loss["int8"] != loss["fp32"]
    operators = {node.op_type for node in onnx.load(tmp_path / "a.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators
    assert "ranges of activations by" in exported.about.how


def test_calibration_photos_and_those_to_choose_on_are_different(material: Material) -> None:
    calibrating, held_out = material.to_calibrate()
    texts = [{photo.tobytes() for photo in part} for part in (calibrating, held_out)]
    assert texts[0] and texts[1] and not texts[0] & texts[1]


def test_an_unknown_precision_names_those_there_are(exportable: Path, material: Material, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="unknown precision 'int4', choose one of fp32, fp16, int8"):
        export_pipeline(load_pipeline(exportable / "models/toy.irpnet.pt"), tmp_path / "a.onnx", material, "int4")


def _flip(content: bytes) -> bytes:
    """One bit of a weight."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda content: b"", r"is empty \(0 bytes\)"),
        (lambda content: b"hello", "no ONNX file"),
        (lambda content: content[: len(content) // 2], "truncated"),
        (lambda content: content[:-1], "truncated"),
        (_flip, "is damaged: its graph is not the one that was written"),
        (lambda content: content.replace(b"irploc-onnx", b"irploc-onyx"), "is an ONNX file, but no irploc-onnx file"),
        (
            lambda content: content.replace(b"\x07version\x12\x011", b"\x07version\x12\x019"),
            f"has irploc-onnx version 9, this irploc reads version {VERSION}",
        ),
        (lambda content: content.replace(b"max_side", b"max_sine"), "its metadata cannot be read"),
    ],
)
def test_a_spoilt_file_is_refused_by_name_and_reason(
    exported: Path, tmp_path: Path, spoil: Callable[[bytes], bytes], words: str
) -> None:
    path = tmp_path / "spoilt.onnx"
    path.write_bytes(spoil(exported.read_bytes()))
    assert path.read_bytes() != exported.read_bytes()
    with pytest.raises(IrplocError, match=words) as caught:
        OnnxLocalizer(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_no_exported_file_is_refused(tmp_path: Path, exportable: Path) -> None:
    with pytest.raises(NotFound, match=r"no model .*make it with 'irploc export MODEL'"):
        OnnxLocalizer(tmp_path / "none.onnx")
    with pytest.raises(Mismatch, match="is an ONNX file, but no irploc-onnx file"):
        OnnxLocalizer(exportable / "encoder.onnx")


def test_photos_that_cannot_be_used_are_errors_in_their_place(exported: Path, toy_scene: Path, tmp_path: Path) -> None:
    good = sorted(toy_scene.rglob("*.jpg"))[0]
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    tiny = np.zeros((10, 200, 3), dtype=np.uint8)
    answers = list(OnnxLocalizer(exported).localize_many([good, tmp_path / "broken.jpg", tiny, good]))
    assert [isinstance(answer, IrplocError) for answer in answers] == [False, True, True, False]
    assert "is not an image" in str(answers[1])
    assert "at least 32 pixels a side" in str(answers[2])
    with pytest.raises(BadInput, match="takes a list of photos"):
        list(OnnxLocalizer(exported).localize_many(good))


def test_photos_of_many_sizes_are_answered_in_order(exported: Path, toy_scene: Path) -> None:
    image = decode_image(sorted(toy_scene.rglob("*.jpg"))[0])
    sizes = [(96, 72), (72, 96), (72, 96), (50, 41), (96, 72)]
    photos = [np.asarray(image.resize(size)) for size in sizes]
    together = OnnxLocalizer(exported).localize(photos)
    alone = [OnnxLocalizer(exported).localize([photo])[0] for photo in photos]
    assert [answer.image for answer in together] == [f"image {number}" for number in range(5)]
    for one, other in zip(together, alone, strict=True):
        assert np.allclose(one.pose.centers_m, other.pose.centers_m, atol=1e-5)


def test_an_encoder_that_changed_is_refused(tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "e.onnx")
    write_model(tmp_path / "m.pt", encoder)
    write_encoder(encoder, opset=16)
    with pytest.raises(Mismatch, match=r"with weights_sha256 .*train again"):
        load_pipeline(tmp_path / "m.pt")
