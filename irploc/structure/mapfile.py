"""The file of a point map, ``models/<scene>.structure.pt``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from irploc import provenance
from irploc.errors import BadInput, NotFound
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.structure.features import FeatureOptions
from irploc.structure.options import MapOptions
from irploc.structure.pointmap import PointMap
from irploc.training.checkpoint import load_quietly, save_atomically

METHOD = "structure"
FORMAT, VERSION = "irploc-structure", 1
COMMAND = "irploc triangulate"
_KINDS = {
    "points_m": torch.float64,
    "descriptors": torch.uint8,
    "starts": torch.int64,
    "observed": torch.int32,
    "pixels": torch.float32,
}


def save_map(point_map: PointMap, path: Path) -> None:
    """Writes a map, whole or not at all."""
    content = _content(point_map)
    save_atomically({**provenance.header(FORMAT, VERSION), **content, "sha256": _sha256_of(content)}, path)


def load_map(path: Path) -> PointMap:
    """Reads a map.

    Raises:
        NotFound: no such file. BadInput: truncated or damaged. Mismatch: another kind of file.
    """
    if not path.is_file():
        raise NotFound(f"no map {path}: make it with '{COMMAND} SCENE'")
    content = load_quietly(path)
    if content is None:
        raise BadInput(f"{path} is truncated or is not a map: make it again with '{COMMAND} SCENE'")
    provenance.check_header(content, FORMAT, VERSION, path)
    try:
        _check_kinds(content)
        point_map = _point_map(content)
        intact = content["sha256"] == _sha256_of({name: content[name] for name in _content(point_map)})
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError, BadInput) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise BadInput(f"{path} is damaged: {reason}; make it again with '{COMMAND} SCENE'") from None
    if not intact:
        raise BadInput(f"{path} is damaged: it is not what was written; make it again with '{COMMAND} SCENE'")
    if not len(point_map):
        raise BadInput(f"{path} holds no points: make it again with '{COMMAND} SCENE --from-scratch'")
    return point_map


def _content(point_map: PointMap) -> dict[str, Any]:
    return {
        "method": METHOD,
        "names": list(point_map.names),
        "centers_m": torch.from_numpy(point_map.poses.centers_m.copy()),
        "world_from_cam_wxyz": torch.from_numpy(point_map.poses.world_from_cam_wxyz.copy()),
        "photo_cameras": list(point_map.photo_cameras),
        "cameras": {name: [cam.model, cam.width, cam.height, *cam.params] for name, cam in point_map.cameras.items()},
        **{name: torch.from_numpy(np.ascontiguousarray(getattr(point_map, name))) for name in _KINDS},
        "features": asdict(point_map.features),
        "identity": dict(point_map.identity),
        "calibration": point_map.calibration,
    }


def _check_kinds(content: Mapping[str, Any]) -> None:
    """Raises what ``load_map`` catches where columns are of a kind that ``PointMap`` does not ask for."""
    for name, kind in _KINDS.items():
        if content[name].dtype != kind:
            raise ValueError(f"{name} holds {content[name].dtype}, not {kind}")
    if not bool(content["pixels"].isfinite().all()):
        raise ValueError("a photo sees a point nowhere")
    names, identity, calibration = content["names"], content["identity"], content["calibration"]
    if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise ValueError("its photos have no names, or several the same")
    if not isinstance(identity, dict) or not all(isinstance(word, str) for pair in identity.items() for word in pair):
        raise ValueError("it does not say whose it is")
    if calibration is not None and not isinstance(calibration, dict):
        raise ValueError("its calibration cannot be read")
    MapOptions.of_identity(identity)


def _point_map(content: Mapping[str, Any]) -> PointMap:
    return PointMap(
        names=tuple(content["names"]),
        poses=Poses(content["centers_m"].numpy(), content["world_from_cam_wxyz"].numpy()),
        photo_cameras=tuple(content["photo_cameras"]),
        cameras={name: Camera(part[0], part[1], part[2], tuple(part[3:])) for name, part in content["cameras"].items()},
        **{name: content[name].numpy() for name in _KINDS},
        features=FeatureOptions(**content["features"]),
        identity=content["identity"],
        calibration=content["calibration"],
    )


def _sha256_of(content: Mapping[str, Any]) -> str:
    plain = {name: value for name, value in content.items() if not isinstance(value, torch.Tensor)}
    tensors = [(name, value) for name, value in content.items() if isinstance(value, torch.Tensor)]
    parts = [name.encode() + value.contiguous().numpy().tobytes() for name, value in tensors]
    return provenance.sha256_of_parts([repr(sorted(plain.items(), key=lambda item: item[0])).encode(), *parts])
