"""From a model file to a ``Pipeline``: one reader for each kind of model that is a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from irploc.encoders import Encoder, EncoderOptions, create_encoder
from irploc.errors import BadInput, Mismatch, NotFound
from irploc.export.encoder_graph import encoder_graph, traced
from irploc.export.head import Head, Layer
from irploc.export.pipeline import Pipeline, Trunk
from irploc.training.absolute.model import AbsoluteModel, load_absolute, train_command
from irploc.training.absolute.recipes import AbsoluteRecipe
from irploc.training.backbone import PooledBackbone
from irploc.training.backbone_file import backbone_from_plain
from irploc.training.modelfile import load_model, method_of
from irploc.training.models import MLP, ORIENTATION, POSITION, Networks, linear_layers
from irploc.workspace import Workspace

_IDENTITY = (1.0, 0.0, 0.0, 0.0)
Reader = Callable[[Path, str | None], Pipeline]


def load_pipeline(path: Path, encoder: str | None = None) -> Pipeline:
    """What a model file computes from a photo.

    Args:
        path: of the model.
        encoder: where its encoder is now, if it moved.

    Raises:
        NotFound, BadInput, Mismatch: as the model and the encoder; or a method or an encoder that cannot be exported.
    """
    if path.suffix.lower() == ".onnx":
        raise BadInput(f"{path} is an ONNX file already, expected a model file (.pt)")
    method = method_of(path)
    if method not in READERS:
        raise BadInput(
            f"{path} is a model of {method}, which is no function of one photo alone: models of {', '.join(READERS)} can be "
            "exported"
        )
    return READERS[method](path, encoder)


def find_model(workspace: Workspace, name: str) -> Path:
    """The model file that a user names by path, by scene, or as ``scene.method``.

    Raises:
        NotFound: none there. BadInput: a scene with several.
    """
    folder = workspace.root / "models"
    for path in (Path(name), folder / f"{name}.pt"):
        if path.is_file():
            return path
    found = [path for path in (workspace.model(Path(name).name, method) for method in READERS) if path.is_file()]
    if len(found) == 1:
        return found[0]
    if found:
        raise BadInput(f"{name} has several models: name one of {', '.join(path.stem for path in found)}")
    there = ", ".join(sorted(path.stem for path in folder.glob("*.pt"))) or "none"
    raise NotFound(f"no model {name}: give a file, or one of those in {folder} ({there})")


def trunk_of_encoder(encoder: Encoder) -> Trunk:
    """An encoder as a trunk."""
    shown = f"onnx:{Path(encoder.name.partition(':')[2]).name}" if encoder.name.startswith("onnx:") else encoder.name
    return Trunk(
        shown,
        encoder.weights_sha256,
        encoder.preprocessing,
        encoder.minimum_side,
        encoder.encode,
        lambda: encoder_graph(encoder),
    )


def same_encoder(identity: Mapping[str, str | int], moved_to: str | None, path: Path) -> Encoder:
    """The encoder of the embeddings that the model at ``path`` was trained on.

    Raises:
        NotFound: it is not there. Mismatch: another encoder, other weights or another preprocessing. BadInput: one that is
            fitted to a scene, which is no network.
    """
    name = str(identity["encoder"])
    if moved_to and moved_to.partition(":")[0] != name.partition(":")[0]:
        raise Mismatch(f"{path} was trained on {name}, not {moved_to}: --encoder only tells where the same encoder is now")
    if name == "densevlad":
        encoder_graph(create_encoder(name))  # says what can be exported
    encoder = create_encoder(moved_to or name, EncoderOptions(device="cpu"))
    for what in ("weights_sha256", "preprocessing"):
        if getattr(encoder, what) != identity[what]:
            ours, theirs = str(identity[what])[:40], str(getattr(encoder, what))[:40]
            raise Mismatch(f"{path} was trained on {name} with {what} {ours!r}, here it is {theirs!r}: train again")
    return encoder


def _regressor(path: Path, encoder: str | None) -> Pipeline:
    """Models of 'irploc train-mlp'."""
    regressor = load_model(path)
    identity = regressor.identity
    trunk = trunk_of_encoder(same_encoder(identity, encoder, path))
    heads = tuple(_head(networks) for networks in regressor.heads)
    return Pipeline(regressor.model, trunk, heads, regressor.poses, identity, regressor.seed, path)


def _head(networks: Networks) -> Head:
    if "joint" in networks:
        network = networks["joint"]
        assert isinstance(network, MLP)
        return Head(layers_of(network.trunk), layers_of(network.heads[POSITION]), layers_of(network.heads[ORIENTATION]))
    return Head((), layers_of(networks[POSITION]), layers_of(networks[ORIENTATION]))


def layers_of(network: nn.Module) -> tuple[Layer, ...]:
    """Its fully connected layers in the order in which they were made, which must be that in which they are used."""
    pairs = [(layer.weight.detach(), layer.bias.detach()) for layer in linear_layers(network)]
    return tuple((weight.float().cpu().numpy(), bias.float().cpu().numpy()) for weight, bias in pairs)


def _absolute(path: Path, encoder: str | None) -> Pipeline:
    """Models of 'irploc train posenet' and 'irploc train mapnet', on embeddings or on photos."""
    model = load_absolute(path)
    identity = model.identity
    if model.backbone:
        backbone = backbone_from_plain(model.backbone, str(identity["weights_sha256"]), path, train_command(model.method))
        trunk = _trunk_of_backbone(backbone, identity, model.recipe)
    else:
        trunk = trunk_of_encoder(same_encoder(identity, encoder, path))
    return Pipeline(model.method, trunk, (_absolute_head(model),), model.poses, identity, model.seed, path)


def _absolute_head(model: AbsoluteModel) -> Head:
    """Its last layer gives position and rotation together; shift and scale, if there are any, go into it."""
    *shared, (weight, bias) = layers_of(model.head)
    code = model.code
    scales = code.scales.astype(np.float64)
    weight = (weight * scales[:, None]).astype(np.float32)
    bias = (bias * scales + np.array(code.offset)).astype(np.float32)
    kind, reference = ("quaternion", _IDENTITY) if code.rotation == "quaternion" else ("log_quaternion", code.reference_wxyz)
    return Head(tuple(shared), ((weight[:3], bias[:3]),), ((weight[3:], bias[3:]),), kind, reference)


class _OfUnitRange(nn.Module):
    """A backbone of pixels in [0, 255] on those in [0, 1]."""

    def __init__(self, backbone: PooledBackbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, D)."""
        features: torch.Tensor = self.backbone(images_BCHW * 255.0)
        return features


def _trunk_of_backbone(backbone: PooledBackbone, identity: Mapping[str, str | int], recipe: AbsoluteRecipe) -> Trunk:
    name, sha256, preprocessing = (str(identity[key]) for key in ("encoder", "weights_sha256", "preprocessing"))
    graph = partial(traced, _OfUnitRange(backbone))
    return Trunk(name, sha256, preprocessing, 1, backbone.plain, graph, recipe.side, recipe.crop)


READERS: dict[str, Reader] = {"irpnet": _regressor, "mlp": _regressor, "posenet": _absolute, "mapnet": _absolute}
