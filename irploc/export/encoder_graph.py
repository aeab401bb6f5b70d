"""Encoders as ONNX graphs: ``image`` in, ``embedding`` out."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import compose, version_converter
from torch import nn

from irploc.encoders import ENCODERS, Encoder
from irploc.encoders.base import unit_rows
from irploc.encoders.network import NetworkEncoder
from irploc.encoders.onnx import OnnxEncoder
from irploc.errors import BadInput
from irploc.export.graph import FREE_SIZE, LEAST_OPSET, OPSET, Nodes, float_value, opset_of
from irploc.onnxmodel import EMBEDDING, INPUT

_TRACED_SIZE = (128, 160)  # any that every trunk takes; sizes are free in the graph
_NO_NETWORK = ("densevlad", "onnx")


def encoder_graph(encoder: Encoder) -> onnx.ModelProto:
    """The encoder as a model from ``image``, (batch, 3, height, width) RGB in [0, 1], to unit ``embedding`` (batch, D).

    Raises:
        BadInput: an encoder that is no network; says which are.
    """
    if isinstance(encoder, OnnxEncoder):
        return _of_file(encoder)
    if isinstance(encoder, NetworkEncoder):
        return traced(_UnitRows(encoder.as_module()))
    names = [name for name in ENCODERS if name not in _NO_NETWORK]
    raise BadInput(
        f"the encoder {encoder.name} is no network and cannot be exported: embed the scene and train with one of "
        f"{', '.join(names)}, or onnx:PATH"
    )


def traced(module: nn.Module, embedding: str = EMBEDDING) -> onnx.ModelProto:
    """A torch module from images in [0, 1] to (B, D) vectors, with free batch and size."""
    example = torch.full((2, 3, *_TRACED_SIZE), 0.5)
    example += 0.1 * torch.rand(example.shape, generator=torch.Generator().manual_seed(0))
    axes = {INPUT: {0: "batch", 2: "height", 3: "width"}, embedding: {0: "batch"}}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # The exporter by tracing: the newer one needs another library, and gives the same convolutions.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        torch.onnx.export(
            module.eval(),
            (example,),
            Path(folder) / "traced.onnx",
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[embedding],
            dynamic_axes=axes,
        )
        return onnx.load(Path(folder) / "traced.onnx")


class _UnitRows(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, D) of length one."""
        return unit_rows(self.module(images_BCHW))


def _of_file(encoder: OnnxEncoder) -> onnx.ModelProto:
    """The file's graph behind the conversions that ``OnnxEncoder`` makes: to its size and type, and to unit length."""
    height, width = encoder.fixed_size
    inner = compose.add_prefix(_loaded(encoder.path), "encoder/")
    graph = inner.graph
    held = {tensor.name for tensor in graph.initializer}
    (given,) = [value for value in graph.input if value.name not in held]
    nodes = Nodes(graph, "pixels")
    before = len(graph.node)
    last = INPUT
    if height or width:
        last = _resized(nodes, last, height, width)
    half = given.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16
    nodes.add("Cast", last, out=given.name, to=onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT)
    first = list(graph.node)[before:]
    rest = list(graph.node)[:before]
    del graph.node[:]
    graph.node.extend([*first, *rest])
    vector = f"encoder/{encoder.output}"
    ends = Nodes(graph, "embedding")
    flat = ends.add("Cast", ends.add("Flatten", vector, axis=1), to=onnx.TensorProto.FLOAT)
    ends.unit(flat, out=EMBEDDING)
    del graph.input[:], graph.output[:]
    batch = encoder.fixed_batch or "batch"
    graph.input.append(float_value(INPUT, (batch, *FREE_SIZE[1:])))
    graph.output.append(float_value(EMBEDDING, (batch, encoder.dimension)))
    return inner


def _loaded(path: Path) -> onnx.ModelProto:
    """With all its weights, for operators of ``LEAST_OPSET`` at least."""
    try:
        model = onnx.load(path)
        return model if opset_of(model) >= LEAST_OPSET else version_converter.convert_version(model, OPSET)
    except Exception as error:  # the exceptions of onnx have no common class but this
        reason = " ".join(str(error).split())[:160]
        raise BadInput(f"{path} cannot be brought to the operators of ONNX opset {OPSET}: {reason}") from None


def _resized(nodes: Nodes, image: str, height: int | None, width: int | None) -> str:
    """To the fixed lengths, antialiased bilinear, the others as they are."""
    if height:
        image = nodes.add("MatMul", _averaging(nodes, image, 2, height), image)
    if width:
        image = nodes.add("MatMul", image, nodes.add("Transpose", _averaging(nodes, image, 3, width), perm=[1, 0]))
    return image


def _averaging(nodes: Nodes, image: str, axis: int, length: int) -> str:
    """(length, n) weights that reduce or enlarge an axis of n pixels as torch does: a triangle about each pixel's centre.

    ONNX's own ``Resize`` with antialiasing gives other pixels in onnxruntime, and poses that differ by tenths of a degree.
    """
    count = nodes.add("Gather", nodes.add("Shape", image), nodes.constant(axis, np.int64), axis=0)
    places = nodes.add("Range", nodes.constant(0, np.int64), count, nodes.constant(1, np.int64))
    centres = nodes.add("Add", nodes.add("Cast", places, to=onnx.TensorProto.FLOAT), nodes.constant(0.5))
    scale = nodes.add("Div", nodes.add("Cast", count, to=onnx.TensorProto.FLOAT), nodes.constant(length))
    wanted = nodes.add("Mul", nodes.constant(np.arange(length)[:, None] + 0.5), scale)
    reach = nodes.add("Max", scale, nodes.constant(1.0))
    distance = nodes.add("Div", nodes.add("Abs", nodes.add("Sub", centres, wanted)), reach)
    weights = nodes.add("Relu", nodes.add("Sub", nodes.constant(1.0), distance))
    return nodes.add("Div", weights, nodes.sum(weights, 1))
