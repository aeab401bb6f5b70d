"""``AbsoluteModel``: a trained PoseNet or MapNet ready for queries, and its file ``models/<scene>.<method>.pt``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from irploc import provenance
from irploc.errors import BadInput, Mismatch, NotFound
from irploc.geometry.poses import Poses
from irploc.training.absolute.heads import first_layer, last_layer, make_head
from irploc.training.absolute.recipes import AbsoluteRecipe
from irploc.training.checkpoint import load_quietly, save_atomically
from irploc.training.modelfile import check_identity
from irploc.training.normalisation import InputMap
from irploc.training.posevector import PoseVector

FORMAT, VERSION = "irploc-absolute", 1
_SHARED = ("weights_sha256", "preprocessing", "max_side", "dimension", "mapping_fingerprint", "scene", "encoder")


@dataclass(frozen=True)
class AbsoluteModel:
    """A trained model.

    Attributes:
        method: ``posenet`` or ``mapnet``.
        head: features -> pose vectors in metres, without shift or scale; on the CPU, in evaluation mode.
        code: how these are read.
        recipe: how it was trained.
        seed: of the training.
        identity: scene, mapping photos, and the encoder or backbone it was trained on.
        record: of the training.
        calibration: how far its answers are to be trusted, see ``estimators.calibration``; None where nobody asked.
        backbone: what ``backbone_file`` keeps, for models that look at photos; empty for those on embeddings.
    """

    method: str
    head: nn.Sequential
    code: PoseVector
    recipe: AbsoluteRecipe
    seed: int
    identity: dict[str, str | int]
    record: dict[str, Any]
    calibration: Mapping[str, Any] | None = None
    backbone: Mapping[str, Any] = field(default_factory=dict)

    @torch.inference_mode()
    def poses(self, features: np.ndarray) -> Poses:
        """N poses of (N, D) float32 embeddings, or features of the backbone.

        Raises:
            ValueError: for another D.
        """
        wanted = first_layer(self.head).in_features
        if features.ndim != 2 or features.shape[1] != wanted:
            raise ValueError(f"features are {features.shape}, the model takes (N, {wanted})")
        rows = torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32))
        return self.code.decode(self.head(rows).double().numpy())


def folded_head(method: str, head: nn.Sequential, code: PoseVector, input_map: InputMap | None) -> nn.Sequential:
    """A head on plain features that gives metres, from one on mapped features that gives shifted and scaled vectors."""
    inputs = len(input_map.mean) if input_map is not None else first_layer(head).in_features
    with torch.random.fork_rng():
        folded = make_head(method, inputs, code.size)
    state = {name: value.detach().cpu().clone() for name, value in head.state_dict().items()}
    if input_map is not None:
        first = input_map.fold(first_layer(head))
        state |= {f"0.{name}": value for name, value in first.state_dict().items()}
    folded.load_state_dict(state)
    last, scales = last_layer(folded), torch.from_numpy(code.scales)
    with torch.no_grad():
        last.weight.copy_(last.weight.double() * scales[:, None])
        last.bias.copy_(last.bias.double() * scales + torch.tensor(code.offset, dtype=torch.float64))
    return folded.eval().requires_grad_(False)


def save_absolute(model: AbsoluteModel, path: Path) -> None:
    """Writes the file, whole or not at all."""
    content = {
        **provenance.header(FORMAT, VERSION),
        **model.identity,
        "method": model.method,
        "code": model.code.to_plain(),
        "recipe": asdict(model.recipe),
        "seed": model.seed,
        "record": model.record,
        "calibration": model.calibration,
        "head": model.head.state_dict(),
        "backbone": dict(model.backbone),
        "sha256": _sha256_of(model),
    }
    save_atomically(content, path)


def load_absolute(path: Path, method: str | None = None) -> AbsoluteModel:
    """Reads a model.

    Args:
        path: of the file.
        method: ``posenet`` or ``mapnet`` where only that one will do.

    Raises:
        NotFound: no such file. BadInput: truncated or damaged. Mismatch: something else than such a model.
    """
    command = train_command(method or "posenet")
    if not path.is_file():
        raise NotFound(f"no model {path}: train one with '{command} SCENE'")
    content = load_quietly(path)
    if content is None:
        raise BadInput(f"{path} is truncated or is not a model file: train again with '{command}'")
    provenance.check_header(content, FORMAT, VERSION, path)
    try:
        model = _model(content)
        intact = content["sha256"] == _sha256_of(model)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise BadInput(f"{path} is damaged: {str(error).splitlines()[0]}") from None
    if not intact:
        raise BadInput(f"{path} is damaged: its weights are not those that were written; train again")
    if method is not None and model.method != method:
        raise Mismatch(f"{path} is a model of the method {model.method}, not {method}")
    return model


def check_place(model: AbsoluteModel, place: Mapping[str, str | int], path: Path) -> None:
    """Raises Mismatch where a model was not trained on such embeddings (``dataset.identity_of``); for one that looks at
    photos itself only scene and mapping photos count."""
    ours = model.identity
    if model.backbone:
        ours = {**place, "scene": ours["scene"], "mapping_fingerprint": ours["mapping_fingerprint"]}
    check_identity(ours, place, path, train_command(model.method))


def train_command(method: str) -> str:
    """As a user types it."""
    return f"irploc train {method}"


def _model(content: Mapping[str, Any]) -> AbsoluteModel:
    names = {item.name for item in fields(AbsoluteRecipe)}
    code = PoseVector.from_plain(content["code"])
    with torch.device("meta"):
        head = make_head(content["method"], int(content["head"]["0.weight"].shape[1]), code.size)
    head.load_state_dict(content["head"], assign=True)
    return AbsoluteModel(
        method=content["method"],
        head=head.eval().requires_grad_(False),
        code=code,
        recipe=AbsoluteRecipe(**{name: value for name, value in content["recipe"].items() if name in names}),
        seed=content["seed"],
        identity={name: content[name] for name in (*_SHARED, "ground_truth")},
        record=content["record"],
        calibration=content["calibration"],
        backbone=content["backbone"],
    )


def _sha256_of(model: AbsoluteModel) -> str:
    tensors = {**model.head.state_dict(), **{k: v for k, v in model.backbone.items() if isinstance(v, torch.Tensor)}}
    parts = [part for name in sorted(tensors) for part in (name.encode(), tensors[name].cpu().numpy().tobytes())]
    plain = [model.code.to_plain(), None if model.calibration is None else dict(model.calibration)]
    return provenance.sha256_of_parts([*parts, json.dumps(plain, sort_keys=True).encode()])
