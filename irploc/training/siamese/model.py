"""``SiameseModel``: a trained Siamese network ready for queries, and its file ``models/<scene>.siamese.pt``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from irploc import provenance
from irploc.errors import BadInput, Mismatch, NotFound
from irploc.geometry.poses import Poses
from irploc.training.checkpoint import load_quietly, save_atomically
from irploc.training.modelfile import check_identity
from irploc.training.models import sha256_of
from irploc.training.normalisation import InputMap
from irploc.training.siamese.code import PoseCode
from irploc.training.siamese.network import SiameseNetwork
from irploc.training.siamese.recipes import SiameseRecipe

FORMAT, VERSION = "irploc-siamese", 1
TRAIN_COMMAND = "irploc train siamese"
_CHUNK = 4096


@dataclass(frozen=True)
class SiameseModel:
    """A trained model.

    Attributes:
        method: ``siamese`` or ``siamese-image``.
        network: on the CPU, in evaluation mode.
        code: of poses.
        recipe: how it was trained.
        seed: of the training.
        identity: scene, mapping photos and encoder it was trained on.
        record: of the training.
        pairs: how many correlated pairs there were, and from where.
        input_map: of features, None where they are taken as they are.
        calibrations: by the form of inference, see ``estimators.siamese``; empty where nobody asked.
        extra: what ``siamese-image`` needs besides: its backbone and the mapping photos' features.
    """

    method: str
    network: SiameseNetwork
    code: PoseCode
    recipe: SiameseRecipe
    seed: int
    identity: dict[str, str | int]
    record: dict[str, Any]
    pairs: dict[str, Any]
    input_map: InputMap | None = None
    calibrations: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def features(self, vectors: np.ndarray) -> torch.Tensor:
        """(N, R) of (N, D) embeddings, or of features of the backbone."""
        rows = torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))
        return self.input_map.apply(rows[:, None])[:, 0] if self.input_map is not None else rows

    @torch.inference_mode()
    def absolute(self, features: torch.Tensor) -> Poses:
        """N poses by the first absolute head, of (N, R) features."""
        return self.code.decode(self.network.absolute(features).double().numpy())

    @torch.inference_mode()
    def from_photos(self, features_i: torch.Tensor, features_j: torch.Tensor, poses_j: Poses) -> Poses:
        """N poses of photos i from those of photos j and the relative poses between them."""
        relative = [
            self.network.relative(features_i[start : start + _CHUNK], features_j[start : start + _CHUNK])
            for start in range(0, len(features_i), _CHUNK)
        ]
        found = torch.cat(relative) if relative else torch.zeros(0, 6)
        return self.code.compose(poses_j, found.double().numpy())


def save_siamese(model: SiameseModel, path: Path) -> None:
    """Writes the file, whole or not at all."""
    content = {
        **provenance.header(FORMAT, VERSION),
        **model.identity,
        "method": model.method,
        "code": model.code.to_plain(),
        "recipe": {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(model.recipe).items()},
        "seed": model.seed,
        "record": model.record,
        "pairs": model.pairs,
        "input_map": {} if model.input_map is None else {"mean": model.input_map.mean, "basis": model.input_map.basis},
        "network": model.network.state_dict(),
        "calibrations": dict(model.calibrations),
        "extra": dict(model.extra),
        "network_sha256": _sha256_of(model),
    }
    save_atomically(content, path)


def load_siamese(path: Path, identity: Mapping[str, str | int] | None = None, method: str = "siamese") -> SiameseModel:
    """Reads a model.

    Args:
        path: of the file.
        identity: of the embeddings it will be used on (``dataset.identity_of``); None checks nothing.
        method: ``siamese`` or ``siamese-image``.

    Raises:
        NotFound: no such file. BadInput: truncated or damaged. Mismatch: something else than such a model, or trained on
            another scene, encoder or weights.
    """
    command = TRAIN_COMMAND.replace("siamese", method)
    if not path.is_file():
        raise NotFound(f"no model {path}: train one with '{command} SCENE'")
    content = load_quietly(path)
    if content is None:
        raise BadInput(f"{path} is truncated or is not a model file: train again with '{command}'")
    provenance.check_header(content, FORMAT, VERSION, path)
    try:
        model = _model(content)
        intact = content["network_sha256"] == _sha256_of(model)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise BadInput(f"{path} is damaged: {str(error).splitlines()[0]}") from None
    if not intact:
        raise BadInput(f"{path} is damaged: its weights are not those that were written; train again")
    if model.method != method:
        raise Mismatch(f"{path} is a model of the method {model.method}, not {method}")
    if identity is not None:
        check_identity(model.identity, identity, path, TRAIN_COMMAND)
    return model


def _model(content: Mapping[str, Any]) -> SiameseModel:
    names = {item.name for item in fields(SiameseRecipe)}
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in content["recipe"].items() if name in names}
    recipe = SiameseRecipe(**values)  # type: ignore[arg-type]
    weights = content["network"]
    network = _empty_network(weights, recipe)
    network.load_state_dict(weights, assign=True)
    stored = content["input_map"]
    known = ("weights_sha256", "preprocessing", "max_side", "dimension", "mapping_fingerprint", "scene", "encoder")
    return SiameseModel(
        method=content["method"],
        network=network.eval().requires_grad_(False),
        code=PoseCode.from_plain(content["code"]),
        recipe=recipe,
        seed=content["seed"],
        identity={name: content[name] for name in (*known, "ground_truth")},
        record=content["record"],
        pairs=content["pairs"],
        input_map=InputMap(stored["mean"], stored["basis"]) if stored else None,
        calibrations=content["calibrations"],
        extra=content["extra"],
    )


def _empty_network(weights: Mapping[str, torch.Tensor], recipe: SiameseRecipe) -> SiameseNetwork:
    with torch.device("meta"):
        return SiameseNetwork.of(int(weights["first.hidden.0.weight"].shape[1]), recipe)


def _sha256_of(model: SiameseModel) -> str:
    maps = {} if model.input_map is None else {"mean": model.input_map.mean, "basis": model.input_map.basis}
    tensors = {**model.network.state_dict(), **maps, **{k: v for k, v in model.extra.items() if isinstance(v, torch.Tensor)}}
    parts = [part for name in sorted(tensors) for part in (name.encode(), tensors[name].cpu().numpy().tobytes())]
    return provenance.sha256_of_parts([*parts, sha256_of([], [model.code.to_plain(), dict(model.calibrations)]).encode()])


def with_calibrations(model: SiameseModel, calibrations: Mapping[str, Any]) -> SiameseModel:
    """The same model that knows what its answers are worth."""
    return replace(model, calibrations=calibrations)
