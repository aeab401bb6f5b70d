"""``MeNetModel``: a trained MeNet ready for pairs of photos, and its file ``models/<scene>.menet.pt``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from irploc import provenance
from irploc.errors import BadInput, Mismatch, NotFound
from irploc.images import Photo
from irploc.training.checkpoint import load_quietly, save_atomically
from irploc.training.menet.answers import Answers, ask
from irploc.training.menet.frames import Framing
from irploc.training.menet.network import MeNet
from irploc.training.menet.recipes import MeNetRecipe
from irploc.training.posevector import PoseVector

METHOD, TRAIN_COMMAND = "menet", "irploc train menet"
FORMAT, VERSION = "irploc-menet", 1
_IDENTITY = ("scene", "mapping_fingerprint", "ground_truth", "units")


@dataclass(frozen=True)
class MeNetModel:
    """A trained model.

    Attributes:
        network: on the CPU, in evaluation mode.
        framing: how it sees photos.
        code: how its outputs are read.
        recipe: how it was trained.
        seed: of the training.
        identity: scene, mapping photos, ground truth and units it was trained on.
        record: of the training.
        pairs: what it was trained on: ``count``, ``angle_deg``, ``origin``.
        typical_m, typical_deg: root mean square distance and angle of the pairs that were drawn.
    """

    network: MeNet
    framing: Framing
    code: PoseVector
    recipe: MeNetRecipe
    seed: int
    identity: dict[str, str]
    record: dict[str, Any]
    pairs: dict[str, Any]
    typical_m: float
    typical_deg: float

    @property
    def watched_errors(self) -> tuple[float, float] | None:
        """Median metres and degrees on the pairs that were watched in training, None where there were none."""
        last = self.record["epochs"][-1] if self.record["epochs"] else {}
        return (last["position_m"], last["rotation_deg"]) if "position_m" in last else None

    def seen(self, photos: Sequence[Photo]) -> torch.Tensor:
        """(P, 3, H, W) photos as the network sees them.

        Raises:
            NotFound, BadInput: for a path that is no photo.
        """
        return self.network.normalized(self.framing.of_photos(photos))

    def relate(self, first: Sequence[Photo], second: Sequence[Photo]) -> Answers:
        """Relative poses of P pairs, in the scene's units.

        Raises:
            NotFound, BadInput: for a path that is no photo. ValueError: for lists of different length.
        """
        if len(first) != len(second):
            raise ValueError(f"{len(first)} first photos, but {len(second)} second ones")
        return self.ask(self.seen(first), self.seen(second))

    def ask(self, first: torch.Tensor, second: torch.Tensor) -> Answers:
        """The same of photos that ``seen`` has prepared."""
        return ask(self.network, self.code, first, second)


def save_menet(model: MeNetModel, path: Path) -> None:
    """Writes the file, whole or not at all."""
    content = {
        **provenance.header(FORMAT, VERSION),
        **model.identity,
        "method": METHOD,
        "framing": _plain(asdict(model.framing)),
        "code": model.code.to_plain(),
        "recipe": _plain(asdict(model.recipe)),
        "seed": model.seed,
        "record": model.record,
        "pairs": model.pairs,
        "typical_m": model.typical_m,
        "typical_deg": model.typical_deg,
        "network": model.network.state_dict(),
        "sha256": _sha256_of(model),
    }
    save_atomically(content, path)


def load_menet(path: Path) -> MeNetModel:
    """Reads a model.

    Raises:
        NotFound: no such file. BadInput: truncated or damaged. Mismatch: something else than such a model.
    """
    if not path.is_file():
        raise NotFound(f"no model {path}: train one with '{TRAIN_COMMAND} SCENE'")
    content = load_quietly(path)
    if content is None:
        raise BadInput(f"{path} is truncated or is not a model file: train again with '{TRAIN_COMMAND}'")
    if content.get("format") != FORMAT and isinstance(content.get("method"), str):
        raise Mismatch(f"{path} is a model of the method {content['method']}, not {METHOD}")
    provenance.check_header(content, FORMAT, VERSION, path)
    try:
        model = _model(content)
        intact = content["sha256"] == _sha256_of(model)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, BadInput) as error:
        raise BadInput(f"{path} is damaged: {str(error).splitlines()[0]}") from None
    if not intact:
        raise BadInput(f"{path} is damaged: its weights are not those that were written; train again")
    return model


def _model(content: Mapping[str, Any]) -> MeNetModel:
    code = PoseVector.from_plain(content["code"])
    framing = Framing(**{name: _tuple(value) for name, value in content["framing"].items()})
    names = {item.name for item in fields(MeNetRecipe)}
    recipe = MeNetRecipe(**{name: _tuple(value) for name, value in content["recipe"].items() if name in names})
    with torch.device("meta"):
        network = MeNet(framing.height, framing.width, recipe.hidden, code.size)
    network.load_state_dict(content["network"], assign=True)
    return MeNetModel(
        network=network.eval().requires_grad_(False),
        framing=framing,
        code=code,
        recipe=recipe,
        seed=content["seed"],
        identity={name: content[name] for name in _IDENTITY},
        record=content["record"],
        pairs=content["pairs"],
        typical_m=float(content["typical_m"]),
        typical_deg=float(content["typical_deg"]),
    )


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Lists for tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _sha256_of(model: MeNetModel) -> str:
    state = model.network.state_dict()
    parts = [part for name in sorted(state) for part in (name.encode(), state[name].cpu().contiguous().numpy().tobytes())]
    plain = [_plain(asdict(model.framing)), model.code.to_plain(), model.identity, model.typical_m, model.typical_deg]
    return provenance.sha256_of_parts([*parts, json.dumps(plain, sort_keys=True).encode()])
