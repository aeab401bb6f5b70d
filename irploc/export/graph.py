"""``Nodes``: operations and constants appended to an ONNX graph, by what they compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

FREE_SIZE: tuple[int | str, ...] = ("batch", 3, "height", "width")
LEAST_OPSET, OPSET = 13, 17  # oldest whose operators mean what is written here; what our own graphs are made for


class Nodes:
    """Appends to ``graph``; every method gives the name of its result.

    Args:
        graph: takes the nodes and constants.
        prefix: of all names, so that they meet none of the graph's.
    """

    def __init__(self, graph: onnx.GraphProto, prefix: str) -> None:
        self._graph, self._prefix, self._count = graph, prefix, 0

    def constant(self, values: object, dtype: type = np.float32) -> str:
        """A tensor kept in the file."""
        name = self._name("constant")
        self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype=dtype), name))
        return name

    def add(self, operator: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        """Any operator with one result."""
        name = out or self._name(operator)
        node = helper.make_node(operator, list(inputs), [name], name=self._name(f"{operator}_node"), **attributes)
        self._graph.node.append(node)
        return name

    def sum(self, values: str, axis: int, keepdims: bool = True) -> str:
        """Over one axis, which stays with length 1 or goes."""
        return self.add("ReduceSum", values, self.constant([axis], np.int64), keepdims=int(keepdims))

    def length(self, vectors: str) -> str:
        """(B, 1) Euclidean lengths of (B, D); not ``ReduceL2``, whose meaning changed with opset 18."""
        return self.add("Sqrt", self.sum(self.add("Mul", vectors, vectors), 1))

    def unit(self, vectors: str, out: str | None = None) -> str:
        """Rows of length one; rows of zeros stay zero."""
        length = self.add("Max", self.length(vectors), self.constant(1e-12))
        return self.add("Div", vectors, length, out=out)

    def _name(self, what: str) -> str:
        self._count += 1
        return f"{self._prefix}/{what}_{self._count}"


def float_value(name: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    """A float32 input or output; texts are lengths that are free."""
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(shape))


def opset_of(model: onnx.ModelProto) -> int:
    """Version of the standard operators that a model uses."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
