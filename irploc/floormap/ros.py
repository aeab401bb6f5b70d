"""The ``map.yaml`` of ROS map_server, with its picture, as a floor map."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from irploc.errors import BadInput, NotFound
from irploc.floormap.map import FloorMap
from irploc.floormap.source import check_opaque
from irploc.images import decode_image

_FREE = 0.196  # map_server's own default of free_thresh
_MODES = ("trinary", "scale")  # in both, free is what lies below free_thresh


def load_ros_map(path: Path) -> FloorMap:
    """A map whose free cells are walkable; unknown ones are not.

    Raises:
        NotFound: no such file or picture. BadInput: not such a map, a picture with transparent cells, nothing free.

    Source: http://wiki.ros.org/map_server, section 1.2; the modes ``trinary`` and ``scale``.
    """
    entries = _entries(path)
    try:
        x, y, yaw = (_number(part, "origin") for part in _three(entries["origin"]))
        metres_per_pixel = _number(entries["resolution"], "resolution")
        negate, free = _negate(entries), _free(entries)
        picture = Path(os.path.normpath(path.parent / entries["image"]))
    except KeyError as error:
        raise BadInput(f"{path} is no map of ROS map_server: it does not say {error.args[0]}") from None
    except ValueError as error:
        raise BadInput(f"{path} is no map of ROS map_server: {error}") from None
    grey = np.asarray(decode_image(picture).convert("L")).astype(np.float64) / 255
    check_opaque(picture)
    walkable = (grey if negate else 1.0 - grey) < free
    try:
        return FloorMap(walkable, metres_per_pixel, (x, y), float(np.degrees(yaw)), plan=picture)
    except BadInput as error:
        raise BadInput(f"map {path}: {error}") from None


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} has {text!r}, expected a number") from None


def _three(origin: str) -> list[str]:
    parts = [part.strip() for part in origin.strip("[] ").split(",")]
    if len(parts) != 3:
        raise ValueError(f"origin is {origin!r}, expected [x, y, yaw]")
    return parts


def _negate(entries: dict[str, str]) -> bool:
    mode = entries.get("mode", _MODES[0])
    if mode not in _MODES:
        raise ValueError(f"mode is {mode!r}, expected {' or '.join(_MODES)}")
    negate = entries.get("negate", "0")
    if negate not in ("0", "1"):
        raise ValueError(f"negate is {negate!r}, expected 0 or 1")
    return negate == "1"


def _free(entries: dict[str, str]) -> float:
    free = _number(entries.get("free_thresh", str(_FREE)), "free_thresh")
    if not 0 <= free <= 1:
        raise ValueError(f"free_thresh is {free:g}, it must lie in 0 to 1")
    return free


def _entries(path: Path) -> dict[str, str]:
    """Name -> text of a flat YAML file; a list over several lines becomes one in brackets."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise NotFound(f"{path} is missing") from None
    except (UnicodeDecodeError, OSError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
    entries: dict[str, str] = {}
    name = ""
    for line in lines:
        text = line.split("#")[0].strip()
        if text.startswith("- ") and name:
            entries[name] = f"{entries[name]},{text[2:]}".strip(",")
        elif ":" in text:
            name, _, value = (part.strip() for part in text.partition(":"))
            entries[name] = value.strip("'\"")
    return entries
