"""``Pipeline``: what an exported file computes, as torch computes it and as a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch

from irploc import provenance
from irploc.errors import BadInput
from irploc.export.graph import float_value
from irploc.export.head import Head, append_heads
from irploc.geometry.poses import Poses
from irploc.onnxmodel import EMBEDDING, POSITION, QUATERNION, Preparation

_MOST_BYTES = 2_000_000_000  # protocol buffers end at 2 GiB


@dataclass(frozen=True)
class Trunk:
    """Photo in, vector out.

    Attributes:
        name, weights_sha256, preprocessing, minimum_side: as of an ``Encoder``.
        encode: (B, D) float32 of (B, 3, H, W) uint8, by torch.
        graph: the same from ``image`` in [0, 1] to ``embedding``.
        shorter_side, crop: what happens to photos before, see ``Preparation``; 0 where they stay whole.
    """

    name: str
    weights_sha256: str
    preprocessing: str
    minimum_side: int
    encode: Callable[[torch.Tensor], torch.Tensor]
    graph: Callable[[], onnx.ModelProto]
    shorter_side: int = 0
    crop: int = 0


@dataclass(frozen=True)
class Pipeline:
    """A trunk and what follows it.

    Attributes:
        method: of the model.
        trunk: photo in, vector out.
        heads: their mean pose is the answer.
        poses: the same of (N, D) vectors, by torch.
        identity: of the model: scene, ground_truth, mapping_fingerprint, max_side.
        seed: of its training.
        path: of the model file.
    """

    method: str
    trunk: Trunk
    heads: tuple[Head, ...]
    poses: Callable[[np.ndarray], Poses]
    identity: Mapping[str, str | int]
    seed: int
    path: Path

    def torch_poses(self, images_BCHW: np.ndarray) -> Poses:
        """B poses of (B, 3, H, W) uint8 RGB."""
        return self.poses(self.trunk.encode(torch.from_numpy(images_BCHW)).numpy())

    @property
    def preparation(self) -> Preparation:
        """What happens to photos before the trunk."""
        return Preparation(int(self.identity["max_side"]), self.trunk.shorter_side, self.trunk.crop)

    @property
    def dimension(self) -> int:
        """Of a vector."""
        first = (self.heads[0].shared or self.heads[0].position)[0]
        return int(first[0].shape[1])

    @property
    def sha256(self) -> str:
        """Of the model file."""
        return provenance.sha256_of_file(self.path)


@dataclass(frozen=True)
class Graph:
    """A pipeline in ONNX.

    Attributes:
        model: its outputs are ``position_m``, ``quaternion_wxyz`` and ``embedding``.
        batch: the number of images it takes, None where it is free.
    """

    model: onnx.ModelProto
    batch: int | None

    @property
    def content(self) -> bytes:
        """Serialised."""
        return bytes(self.model.SerializeToString())


def build_graph(pipeline: Pipeline) -> Graph:
    """Trunk and heads in one graph, fp32, checked by onnx.

    Raises:
        BadInput: a trunk that cannot be exported, or more than a file can hold.
    """
    model = pipeline.trunk.graph()
    if model.ByteSize() > _MOST_BYTES:
        raise BadInput(f"{pipeline.trunk.name} takes {model.ByteSize() / 1e9:.1f} GB, an ONNX file holds 2 GB")
    graph = model.graph
    length = graph.input[0].type.tensor_type.shape.dim[0]
    batch = length.dim_value or None
    append_heads(graph, EMBEDDING, pipeline.heads)
    del graph.output[:]
    for name, width in ((POSITION, 3), (QUATERNION, 4), (EMBEDDING, pipeline.dimension)):
        graph.output.append(float_value(name, (batch or "batch", width)))
    del model.metadata_props[:]
    model.producer_name, model.producer_version = "irploc", provenance.irploc_version()
    onnx.checker.check_model(model)
    return Graph(model, batch)
