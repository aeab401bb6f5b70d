"""``PoseRegressor``: a trained regressor ready for queries, and its file ``models/<scene>.<method>.pt``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from irploc import provenance
from irploc.errors import BadInput, Mismatch, NotFound
from irploc.geometry.averaging import mean_poses
from irploc.geometry.poses import Poses
from irploc.training.checkpoint import load_quietly, save_atomically
from irploc.training.losses import Outputs
from irploc.training.models import MLP, ORIENTATION, POSITION, IRPNet, Networks, Regressor, sha256_of
from irploc.training.normalisation import poses_of
from irploc.training.recipes import Recipe

FORMAT, VERSION = "irploc-regressor", 3
# what a model and the embeddings it is used on must share, and what to say when they do not
_SHARED = ("weights_sha256", "preprocessing", "max_side", "dimension", "mapping_fingerprint")


@dataclass(frozen=True)
class PoseRegressor:
    """A trained model.

    Attributes:
        model: ``irpnet`` or ``mlp``.
        heads: of an ensemble, or one; each has networks by training, ``position`` and ``orientation`` with one branch each,
            or ``joint``.
        recipe: how they were trained.
        seed: of the training.
        identity: scene, mapping photos and encoder they were trained on.
        record: of the training: monitored split, errors and losses per epoch, seconds.
        calibration: how far its answers are to be trusted, see ``estimators.calibration``; None where nobody asked.
    """

    model: str
    heads: Sequence[Networks]
    recipe: Recipe
    seed: int
    identity: dict[str, str | int]
    record: dict[str, Any]
    calibration: Mapping[str, Any] | None = None

    def poses(self, embeddings: np.ndarray) -> Poses:
        """N poses of (N, D) float32 embeddings, the mean of the heads.

        Raises:
            ValueError: for another D.
        """
        return self.poses_and_spread(embeddings)[0]

    @torch.inference_mode()
    def poses_and_spread(self, embeddings: np.ndarray) -> tuple[Poses, np.ndarray, np.ndarray]:
        """The same poses, and how far the heads lie apart: (N,) metres and degrees, root mean square about the mean."""
        if embeddings.ndim != 2 or embeddings.shape[1] != self.identity["dimension"]:
            raise ValueError(f"embeddings are {embeddings.shape}, the model takes (N, {self.identity['dimension']})")
        rows = torch.from_numpy(np.ascontiguousarray(embeddings, dtype=np.float32))
        answers = []
        for networks in self.heads:
            outputs: Outputs = {}
            for network in networks.values():
                outputs |= network(rows)
            answers.append(poses_of(outputs[POSITION], outputs[ORIENTATION]))
        return mean_poses(answers)


def save_model(regressor: PoseRegressor, path: Path) -> None:
    """Writes the file, whole or not at all."""
    heads = [
        {
            name: {"width": network.first_layer.out_features, "weights": network.state_dict()}
            for name, network in networks.items()
        }
        for networks in regressor.heads
    ]
    content = {
        **provenance.header(FORMAT, VERSION),
        **regressor.identity,
        "method": regressor.model,
        "recipe": asdict(regressor.recipe),
        "seed": regressor.seed,
        "record": regressor.record,
        "calibration": regressor.calibration,
        "heads": heads,
        "heads_sha256": sha256_of(regressor.heads, regressor.calibration),
    }
    save_atomically(content, path)


def load_model(path: Path, identity: Mapping[str, str | int] | None = None, method: str | None = None) -> PoseRegressor:
    """Reads a model.

    Args:
        path: of the file.
        identity: of the embeddings it will be used on (``dataset.identity_of``); None checks nothing.
        method: ``irpnet`` or ``mlp`` where only that one will do.

    Raises:
        NotFound: no such file. BadInput: truncated or damaged. Mismatch: something else than a model, another method, or
            trained on another scene, encoder or weights.
    """
    if not path.is_file():
        raise NotFound(f"no model {path}: train one with 'irploc train-mlp SCENE'")
    content = load_quietly(path)
    if content is None:
        raise BadInput(f"{path} is truncated or is not a model file: train again with 'irploc train-mlp'")
    provenance.check_header(content, FORMAT, VERSION, path)
    try:
        regressor = _regressor(content)
        intact = content["heads_sha256"] == sha256_of(regressor.heads, regressor.calibration)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise BadInput(f"{path} is damaged: {str(error).splitlines()[0]}") from None
    if not intact:
        raise BadInput(f"{path} is damaged: its weights are not those that were written; train again")
    if method is not None and regressor.model != method:
        raise Mismatch(f"{path} is a model of the method {regressor.model}, not {method}")
    if identity is not None:
        check_identity(regressor.identity, identity, path)
    return regressor


def method_of(path: Path) -> str:
    """The method that a model file of any kind is of.

    Raises:
        NotFound: no such file. BadInput: truncated, damaged, or something else.
    """
    if not path.is_file():
        raise NotFound(f"no model {path}: train one with 'irploc train-mlp SCENE' or 'irploc train METHOD SCENE'")
    content = load_quietly(path)
    if content is None or not isinstance(content.get("method"), str) or "format" not in content:
        raise BadInput(f"{path} is truncated or is not a model file")
    return str(content["method"])


def check_identity(
    ours: Mapping[str, str | int], theirs: Mapping[str, str | int], path: Path, command: str = "irploc train-mlp"
) -> None:
    """Raises Mismatch when the model at ``path`` (``ours``), made by a command, was not trained on such embeddings
    (``theirs``)."""
    different = [name for name in _SHARED if ours.get(name) != theirs.get(name)]
    if not different:
        return
    if different == ["mapping_fingerprint"]:
        what = f"scene {ours['scene']!r}"
        if ours["scene"] == theirs["scene"]:
            what = f"other mapping photos or poses of {what}"
        raise Mismatch(
            f"{path} was trained on {what}, the embeddings are of {theirs['scene']!r}: train again with '{command}'"
        )
    name = different[0]
    raise Mismatch(
        f"{path} was trained on embeddings of {ours['encoder']} ({name} {_short(ours[name])}), these are of "
        f"{theirs['encoder']} ({name} {_short(theirs[name])}): train again with '{command}'"
    )


def _regressor(content: Mapping[str, Any]) -> PoseRegressor:
    identity = {name: content[name] for name in (*_SHARED, "scene", "ground_truth", "encoder")}
    model = content["method"]
    heads = [_networks(model, int(identity["dimension"]), stored) for stored in content["heads"]]
    if not heads:
        raise KeyError("it has no networks")
    known = {field.name for field in fields(Recipe)}
    recipe = Recipe(**{name: value for name, value in content["recipe"].items() if name in known})
    return PoseRegressor(model, heads, recipe, content["seed"], identity, content["record"], content["calibration"])


def _networks(model: str, dimension: int, head: Mapping[str, Any]) -> Networks:
    networks: Networks = {}
    for name, stored in head.items():
        network: Regressor
        with torch.device("meta"):
            if model == "mlp":
                network = MLP(dimension, stored["width"])
            else:
                network = IRPNet(dimension, stored["width"], (name,), dropout=0.0)
        network.load_state_dict(stored["weights"], assign=True)
        networks[name] = network.eval().requires_grad_(False)
    wanted = {"joint"} if model == "mlp" else {POSITION, ORIENTATION}
    if set(networks) != wanted:
        raise KeyError(f"it has the networks {sorted(networks)}")
    return networks


def _short(value: str | int) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:12]}…"
