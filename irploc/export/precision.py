"""Smaller graphs: weights in fp16, or weights and activations in int8."""

from __future__ import annotations

import io
import logging
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from irploc.export.pipeline import Graph
from irploc.onnxmodel import INPUT
from irploc.onnxruntime_safe import import_quantization

PRECISIONS = ("fp32", "fp16", "int8")
_LEAST_WEIGHTS = 4096  # smaller tensors (biases, last layers) stay in fp32: they are nothing in size and much in accuracy
_HALF_MAX = float(np.finfo(np.float16).max)
_QUANTIZED = ("Conv", "Gemm", "MatMul", "MaxPool", "Concat", "Relu")  # the last three only pass int8 on


RANGES = ("minmax", "percentile")
HOW = {
    "fp32": "fp32",
    "fp16": "weights in fp16, arithmetic fp32",
    "int8": "encoder in int8 (QDQ, one scale per channel of weights), weights of the heads in int8, their arithmetic fp32",
}


def half_weights(graph: Graph) -> Graph:
    """The same with weights rounded to fp16; arithmetic stays fp32.

    Few CPUs have fp16 convolutions: onnxruntime would convert back and forth at each. It converts these weights once, when
    the file is loaded.
    """

    def half(name: str, values: np.ndarray) -> Stored | None:
        if np.abs(values).max() > _HALF_MAX:
            return None
        cast = helper.make_node("Cast", [f"{name}/fp16"], [name], to=onnx.TensorProto.FLOAT)
        return [numpy_helper.from_array(values.astype(np.float16), f"{name}/fp16")], [cast]

    return _stored(graph, half)


def eight_bit_heads(graph: Graph) -> Graph:
    """The same with weights of the heads rounded to int8, one scale per output; arithmetic stays fp32.

    Activations of the heads in int8 cost a tenth of the accuracy, and save nothing that counts beside the encoder.
    """

    def eight_bit(name: str, values: np.ndarray) -> Stored | None:
        if not name.startswith("head/"):
            return None
        scales = np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-12) / np.float32(127)
        rounded = np.round(values / scales).astype(np.int8)
        tensors = [numpy_helper.from_array(rounded, f"{name}/int8"), numpy_helper.from_array(scales, f"{name}/scales")]
        cast = helper.make_node("Cast", [f"{name}/int8"], [f"{name}/steps"], to=onnx.TensorProto.FLOAT)
        return tensors, [cast, helper.make_node("Mul", [f"{name}/steps", f"{name}/scales"], [name])]

    return _stored(graph, eight_bit)


def quantized(graph: Graph, ranges: str, photos: Sequence[np.ndarray]) -> Graph:
    """The same with weights and activations of the encoder in int8, and weights of the heads.

    Args:
        ranges: how those of the activations are found, one of ``RANGES``.
        photos: (B, 3, H, W) uint8 each, whose activations give the ranges.
    """
    quantization = import_quantization()
    methods = {
        "minmax": quantization.CalibrationMethod.MinMax,
        "percentile": quantization.CalibrationMethod.Percentile,
    }
    with tempfile.TemporaryDirectory() as folder, _silent():
        source, out = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(graph.content)
        quantization.quantize_static(
            source,
            out,
            _reader(photos),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(_QUANTIZED),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=[node.name for node in graph.model.graph.node if node.name.startswith("head/")],
            calibrate_method=methods[ranges],
            extra_options={"CalibPercentile": 99.99},
        )
        model = onnx.load(out)
    return eight_bit_heads(replace(graph, model=model))


Stored = tuple[list[onnx.TensorProto], list[onnx.NodeProto]]  # smaller tensors, and nodes that make the weights of them


def _stored(graph: Graph, smaller: Callable[[str, np.ndarray], Stored | None]) -> Graph:
    """A copy of the graph whose large weights are made of what ``smaller`` gives for them, where it gives something."""
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    kept: list[onnx.TensorProto] = []
    made: list[onnx.NodeProto] = []
    for tensor in model.graph.initializer:
        stored = None
        if tensor.data_type == onnx.TensorProto.FLOAT and math.prod(tensor.dims) >= _LEAST_WEIGHTS:
            stored = smaller(tensor.name, numpy_helper.to_array(tensor))
        tensors, nodes = stored or ([tensor], [])
        kept.extend(tensors)
        made.extend(nodes)
    others = list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend([*made, *others])
    return replace(graph, model=model)


@contextmanager
def _silent() -> Iterator[None]:
    """The quantizer prints, and warns on the root logger; what goes wrong it raises."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(before)


def _reader(photos: Sequence[np.ndarray]) -> Any:
    quantization = import_quantization()

    class Photos(quantization.CalibrationDataReader):  # type: ignore[name-defined]
        def __init__(self) -> None:
            self._photos = iter(photos)

        def get_next(self) -> dict[str, np.ndarray] | None:
            """The next batch; None at the end."""
            batch = next(self._photos, None)
            return None if batch is None else {INPUT: np.divide(batch, np.float32(255), dtype=np.float32)}

    return Photos()
