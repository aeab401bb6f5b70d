"""Small encoders as ONNX files and small models on them, for exports that take a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

from irploc.encoders import EncoderOptions, create_encoder
from irploc.training.modelfile import PoseRegressor, save_model
from irploc.training.models import MLP, ORIENTATION, POSITION, IRPNet, Networks
from irploc.training.recipes import recipe

FREE = ("batch", 3, "height", "width")
DIMENSION = 24


def write_encoder(
    path: Path, shape: tuple[int | str, ...] = FREE, half: bool = False, opset: int = 17, name: str = "image"
) -> Path:
    """A convolution, a ReLU and the mean over all places: (batch, 24, 1, 1)."""
    kind = onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT
    weights = np.random.default_rng(3).standard_normal((DIMENSION, 3, 8, 8)) / 8
    tensor = numpy_helper.from_array(weights.astype(np.float16 if half else np.float32), "weights")
    nodes = [
        helper.make_node("Conv", [name, "weights"], ["features"], strides=[4, 4]),
        helper.make_node("Relu", ["features"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["vector"]),
    ]
    value = helper.make_tensor_value_info
    given, gives = value(name, kind, shape), value("vector", kind, (shape[0], DIMENSION, 1, 1))
    graph = helper.make_graph(nodes, "toy", [given], [gives], [tensor])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def write_model(path: Path, encoder: Path, method: str = "irpnet", heads: int = 3, scene: str = "toy") -> PoseRegressor:
    """A model with random weights; its heads differ by about 0.1 m and some degrees."""
    torch.manual_seed(0)
    first = _networks(method)
    networks = [first]
    for _ in range(heads - 1):
        other = _networks(method)
        for name, network in other.items():
            state = {key: value + 0.05 * torch.randn(value.shape) for key, value in first[name].state_dict().items()}
            network.load_state_dict(state)
        networks.append(other)
    made = create_encoder(f"onnx:{encoder}", EncoderOptions(device="cpu"))
    identity: dict[str, str | int] = {
        "scene": scene,
        "mapping_fingerprint": "f" * 64,
        "ground_truth": "rendered",
        "encoder": made.name,
        "weights_sha256": made.weights_sha256,
        "preprocessing": made.preprocessing,
        "max_side": 80,
        "dimension": DIMENSION,
    }
    regressor = PoseRegressor(method, networks, recipe("fast", "indoor"), 7, identity, {})
    save_model(regressor, path)
    return regressor


def _networks(method: str) -> Networks:
    if method == "mlp":
        return {"joint": MLP(DIMENSION, 128).eval()}
    return {name: IRPNet(DIMENSION, 128, (name,), dropout=0.0).eval() for name in (POSITION, ORIENTATION)}
