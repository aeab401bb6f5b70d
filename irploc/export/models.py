"""From a model file to a ``Pipeline``: one reader for each kind of model that is a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import nn

from irploc.encoders import Encoder, EncoderOptions, create_encoder
from irploc.errors import BadInput, Mismatch, NotFound
from irploc.export.encoder_graph import encoder_graph
from irploc.export.head import Head, Layer
from irploc.export.pipeline import Pipeline, Trunk
from irploc.training.modelfile import load_model, method_of
from irploc.training.models import MLP, ORIENTATION, POSITION, Networks, linear_layers
from irploc.workspace import Workspace

Reader = Callable[[Path, str | None], Pipeline]


def load_pipeline(path: Path, encoder: str | None = None) -> Pipeline:
    """What a model file computes from a photo.

    Args:
        path: of the model.
        encoder: where its encoder is now, if it moved.

    Raises:
        NotFound, BadInput, Mismatch: as the model and the encoder; or a method or an encoder that cannot be exported.
    """
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


READERS: dict[str, Reader] = {"irpnet": _regressor, "mlp": _regressor}
