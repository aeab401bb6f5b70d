"""``Head``: the layers from an embedding to a pose, and their graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import onnx

from irploc.export.graph import Nodes
from irploc.onnxmodel import POSITION, QUATERNION

Layer = tuple[np.ndarray, np.ndarray]  # weight (outputs, inputs) and bias (outputs,), float32
SQUARINGS = 9  # the mean quaternion is found to 1e-6 where the two largest eigenvalues differ by 3 %
ROTATIONS = {"quaternion": 4, "log_quaternion": 3}
_NO_ROTATION = 1e-9  # outputs shorter than this are the identity, as in ``training.normalisation.poses_of``


@dataclass(frozen=True)
class Head:
    """Fully connected layers.

    Attributes:
        shared: each followed by a ReLU; none where position and rotation share nothing.
        position: with ReLUs between them; the last gives metres.
        rotation: with ReLUs between them; the last gives what ``rotation_as`` says.
        rotation_as: ``quaternion`` (4 numbers wxyz of any length) or ``log_quaternion`` (3: axis times half the angle).
        reference_wxyz: what the rotation is multiplied to, from the right: ``world_from_cam`` is reference * rotation.

    Raises:
        ValueError: for layers that do not follow each other, or end in another number of outputs.
    """

    shared: tuple[Layer, ...]
    position: tuple[Layer, ...]
    rotation: tuple[Layer, ...]
    rotation_as: str = "quaternion"
    reference_wxyz: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        for layers, outputs in ((self.position, 3), (self.rotation, ROTATIONS[self.rotation_as])):
            widths = [weight.shape for weight, _ in (*self.shared, *layers)]
            follow = all(after[1] == before[0] for before, after in pairwise(widths))
            if not layers or not follow or widths[-1][0] != outputs:
                raise ValueError(f"layers of shapes {widths} do not lead to {outputs} outputs")


def append_heads(graph: onnx.GraphProto, embedding: str, heads: Sequence[Head]) -> None:
    """Appends the mean pose of the heads, ``position_m`` (B, 3) and ``quaternion_wxyz`` (B, 4), unit with w >= 0.

    Names of its nodes and weights begin with ``head/``.
    """
    nodes = Nodes(graph, "head")
    positions, quats = [], []
    for head in heads:
        shared = embedding
        for layer in head.shared:
            shared = nodes.add("Relu", _linear(nodes, shared, layer))
        positions.append(_chain(nodes, shared, head.position))
        rotation = _chain(nodes, shared, head.rotation)
        quat = _exponential(nodes, rotation) if head.rotation_as == "log_quaternion" else _unit(nodes, rotation)
        quats.append(nodes.add("MatMul", quat, nodes.constant(_times(head.reference_wxyz))))
    count = nodes.constant(len(heads))
    nodes.add("Div", nodes.add("Sum", *positions), count, out=POSITION)
    mean = quats[0] if len(quats) == 1 else _mean(nodes, quats)
    _upper_half(nodes, mean, QUATERNION)


def _chain(nodes: Nodes, values: str, layers: Sequence[Layer]) -> str:
    for layer in layers[:-1]:
        values = nodes.add("Relu", _linear(nodes, values, layer))
    return _linear(nodes, values, layers[-1])


def _linear(nodes: Nodes, values: str, layer: Layer) -> str:
    weight, bias = layer
    return nodes.add("Gemm", values, nodes.constant(weight), nodes.constant(bias), transB=1)


def _unit(nodes: Nodes, quats: str) -> str:
    """Unit quaternions; the identity where there is next to nothing."""
    length = nodes.length(quats)
    some = nodes.add("Greater", length, nodes.constant(_NO_ROTATION))
    scaled = nodes.add("Div", quats, nodes.add("Where", some, length, nodes.constant(1.0)))
    return nodes.add("Where", some, scaled, nodes.constant([[1.0, 0.0, 0.0, 0.0]]))


def _exponential(nodes: Nodes, logs: str) -> str:
    """(B, 4) unit quaternions of (B, 3) axes times half the angle: cos a, axis sin a."""
    angle = nodes.length(logs)
    some = nodes.add("Greater", angle, nodes.constant(1e-6))
    divisor = nodes.add("Where", some, angle, nodes.constant(1.0))
    factor = nodes.add("Where", some, nodes.add("Div", nodes.add("Sin", angle), divisor), nodes.constant(1.0))
    return nodes.add("Concat", nodes.add("Cos", angle), nodes.add("Mul", logs, factor), axis=1)


def _times(left_wxyz: Sequence[float]) -> np.ndarray:
    """(4, 4) matrix M with q M = left * q for rows q."""
    w, x, y, z = left_wxyz
    return np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]]).T


def _mean(nodes: Nodes, quats: Sequence[str]) -> str:
    """(B, 4) the eigenvector of the largest eigenvalue of sum q q^T, by squaring that matrix again and again.

    ONNX has no eigenvectors. After k squarings the other eigenvalues are down to their ratio to the power 2^k, and every
    column points along the one; the column with the largest diagonal element is taken, which is never zero.

    Source: Markley et al., "Averaging Quaternions", 2007, as ``geometry.averaging``.
    """
    last = nodes.constant([2], np.int64)
    stacked = nodes.add("Concat", *(nodes.add("Unsqueeze", quat, last) for quat in quats), axis=2)  # (B, 4, K)
    matrix = nodes.add("MatMul", stacked, nodes.add("Transpose", stacked, perm=[0, 2, 1]))
    identity = nodes.constant(np.eye(4))
    for _ in range(SQUARINGS):
        matrix = nodes.add("MatMul", matrix, matrix)
        trace = nodes.sum(nodes.sum(nodes.add("Mul", matrix, identity), 1), 2)
        matrix = nodes.add("Div", matrix, trace)
    diagonal = nodes.sum(nodes.add("Mul", matrix, identity), 2, keepdims=False)
    largest = nodes.add("ArgMax", diagonal, axis=1, keepdims=0)  # (B,)
    chosen = nodes.add("OneHot", largest, nodes.constant([4], np.int64), nodes.constant([0.0, 1.0]))
    column = nodes.add("MatMul", matrix, nodes.add("Unsqueeze", chosen, last))
    return nodes.unit(nodes.add("Squeeze", column, last))


def _upper_half(nodes: Nodes, quats: str, out: str) -> str:
    """The same rotations with w >= 0."""
    w = nodes.add("Slice", quats, *(nodes.constant([place], np.int64) for place in (0, 1, 1)))
    negative = nodes.add("Less", w, nodes.constant(0.0))
    sign = nodes.add("Where", negative, nodes.constant(-1.0), nodes.constant(1.0))
    return nodes.add("Mul", quats, sign, out=out)
