"""The ``map.yaml`` of ROS map_server, with its picture, as a floor map."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from irploc.errors import BadInput, NotFound
from irploc.floormap.map import FloorMap
from irploc.images import decode_image

_FREE = 0.196  # map_server's own default of free_thresh


def load_ros_map(path: Path) -> FloorMap:
    """A map whose free cells are walkable; unknown ones are not.

    Raises:
        NotFound: no such file or picture. BadInput: not such a map, nothing free.

    Source: http://wiki.ros.org/map_server, section 1.2; the modes ``trinary`` and ``scale``.
    """
    entries = _entries(path)
    try:
        origin = [float(part) for part in entries["origin"].strip("[] ").split(",")]
        x, y, yaw = origin
        metres_per_pixel = float(entries["resolution"])
        negate = float(entries.get("negate", "0")) != 0
        free = float(entries.get("free_thresh", _FREE))
        picture = Path(os.path.normpath(path.parent / entries["image"]))
    except KeyError as error:
        raise BadInput(f"{path} is no map of ROS map_server: it does not say {error.args[0]}") from None
    except ValueError as error:
        raise BadInput(f"{path} is no map of ROS map_server: {error}") from None
    grey = np.asarray(decode_image(picture).convert("L")).astype(np.float64) / 255
    walkable = (grey if negate else 1.0 - grey) < free
    try:
        return FloorMap(walkable, metres_per_pixel, (x, y), float(np.degrees(yaw)), plan=picture)
    except BadInput as error:
        raise BadInput(f"map {path}: {error}") from None


def _entries(path: Path) -> dict[str, str]:
    """Name -> text of a flat YAML file; a list over several lines becomes one in brackets."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
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
