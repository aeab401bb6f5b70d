"""The file of a floor map: TOML beside its pictures; also the ``map.yaml`` of ROS map_server."""

from __future__ import annotations

import io
import os
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from irploc import provenance
from irploc.config import options_from_mapping
from irploc.errors import BadInput, IrplocError, Mismatch, NotFound
from irploc.files import replacing, write_text
from irploc.floormap.grid import Grid, check_metres_per_pixel
from irploc.floormap.map import FloorMap
from irploc.floormap.source import (
    Source,
    check_metres,
    fill_polygons,
    read_polygons,
    walkable_of_colour,
    walkable_of_mask,
)
from irploc.images import decoded_size

FORMAT, VERSION = "irploc-floormap", 1
_RASTER_SHA = "irploc-raster-sha256"  # text in the masks that we write, so that no other is overwritten


@dataclass(frozen=True)
class FileEntries:
    """What a file says, as it is written; paths are relative to the file."""

    metres_per_pixel: float
    plan: str | None = None
    origin_m: tuple[float, float] | None = None
    yaw_deg: float = 0.0
    up: str = "z"
    max_distance_m: float = 1.0
    mask: str | None = None
    colour: str | None = None
    tolerance: int = 10
    polygons: str | None = None
    polygon_units: str = "metres"
    accept_outside: bool = False
    plan_sha256: str | None = None
    mask_sha256: str | None = None


def load_floor_map(path: Path) -> FloorMap:
    """Reads a floor map and the pictures it names.

    Raises:
        NotFound: no such file, or a picture of it is missing.
        BadInput: for entries that cannot be, unreadable pictures, or ones of different sizes.
        Mismatch: for another format, or a plan or mask that was changed since the file was made.
    """
    if not path.is_file():
        raise NotFound(f"no floor map {path}: make one with 'irploc floormap new' or 'irploc floormap grow'")
    if path.suffix in (".yaml", ".yml"):
        from irploc.floormap.ros import load_ros_map

        return load_ros_map(path)
    try:
        content = _toml(path)
    except ValueError as error:
        raise BadInput(f"{path} is not valid TOML: {error}") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
    header = {name: content.pop(name, None) for name in ("format", "version", "irploc")}
    provenance.check_header(header, FORMAT, VERSION, path)
    if "metres_per_pixel" not in content:
        raise BadInput(f"{path} does not say metres_per_pixel")
    entries = options_from_mapping(FileEntries, content, f"floor map {path}")
    try:
        return _floor_map(entries, path.parent)
    except (BadInput, Mismatch) as error:
        raise type(error)(f"floor map {path}: {error}") from None


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def save_floor_map(floor_map: FloorMap, path: Path, replace: bool = True) -> None:
    """Writes the file; paths in it are relative to it. A raster of its own goes beside it as ``<stem>.walkable.png``.

    Raises:
        BadInput: where the file or the raster would replace what the map is made from, what is no floor map, a mask that we
            did not write or that was changed since, or without ``replace`` a floor map; or when it cannot be written.
    """
    _check_target(floor_map, path, replace)
    content: dict[str, Any] = provenance.header(FORMAT, VERSION)
    if floor_map.plan is not None:
        content["plan"] = _relative(floor_map.plan, path.parent)
        content |= _sha256_entry("plan_sha256", floor_map.plan)
    content |= {
        "metres_per_pixel": float(floor_map.metres_per_pixel),
        "origin_m": list(floor_map.origin_m),
        "yaw_deg": float(floor_map.yaw_deg),
        "up": floor_map.up,
        "max_distance_m": float(floor_map.max_distance_m),
    }
    if floor_map.accept_outside:
        content["accept_outside"] = True
    source = floor_map.source
    if source is None:
        mask = _mask_beside(path)
        _write_mask(floor_map.walkable, mask)
        source = Source(mask=mask)
    content |= _source_entries(source, path.parent)
    write_text(path, tomli_w.dumps(content))


def _source_entries(source: Source, folder: Path) -> dict[str, Any]:
    if source.mask is not None:
        return {"mask": _relative(source.mask, folder)} | _sha256_entry("mask_sha256", source.mask)
    if source.colour is not None:
        return {"colour": source.colour, "tolerance": source.tolerance}
    assert source.polygons is not None
    return {"polygons": _relative(source.polygons, folder), "polygon_units": source.polygon_units}


def make_floor_map(
    source: Source,
    metres_per_pixel: float,
    origin_m: tuple[float, float] | None = None,
    yaw_deg: float = 0.0,
    up: str = "z",
    max_distance_m: float = 1.0,
    plan: Path | None = None,
) -> FloorMap:
    """The floor map that a plan and a source of walkable ground make; ``origin_m`` is (0, 0) unless told, and the corner of
    the polygons where they are in metres and there is no plan.

    Raises:
        NotFound, BadInput: for pictures that are missing, unreadable, or of different sizes.
    """
    check_metres_per_pixel(metres_per_pixel)
    size = None if plan is None else decoded_size(plan)
    corner = origin_m if origin_m is not None else (0.0, 0.0)
    if source.mask is not None:
        walkable = walkable_of_mask(source.mask)
        found = walkable.shape[1], walkable.shape[0]
        if size is not None and size != found:
            raise BadInput(
                f"the mask {source.mask} is {found[0]}x{found[1]}, the plan {plan} is {size[0]}x{size[1]}: they must have "
                "the same size"
            )
        hint = f"{source.mask} has no white"
    elif source.colour is not None:
        if plan is None:
            raise BadInput("walkable ground by colour needs a plan")
        walkable = walkable_of_colour(plan, source.colour, source.tolerance)
        hint = f"{plan} has no {source.colour} within a tolerance of {source.tolerance}"
    else:
        walkable, corner, yaw_deg = _of_polygons(source, size, metres_per_pixel, origin_m, yaw_deg)
        hint = f"{source.polygons} encloses no pixel"
    if not walkable.any():
        raise BadInput(f"no walkable pixel: {hint}")
    return FloorMap(walkable, metres_per_pixel, corner, yaw_deg, up, max_distance_m, plan, source)


def _of_polygons(
    source: Source, size: tuple[int, int] | None, metres_per_pixel: float, origin_m: tuple[float, float] | None, yaw: float
) -> tuple[np.ndarray, tuple[float, float], float]:
    """Raster, origin and yaw."""
    assert source.polygons is not None
    polygons = read_polygons(source.polygons)
    if source.polygon_units == "metres":
        check_metres(polygons, source.polygons)
    if size is None:
        if source.polygon_units == "pixels":
            raise BadInput(f"{source.polygons} is in pixels, which needs a plan")
        grid = Grid.around(np.concatenate([rings[0] for rings in polygons]), metres_per_pixel)
    else:
        grid = Grid(*size, metres_per_pixel, origin_m if origin_m is not None else (0.0, 0.0), yaw)
    if source.polygon_units == "metres":
        polygons = [[grid.pixels_of(ring) for ring in rings] for rings in polygons]
    return fill_polygons(polygons, grid, str(source.polygons)), grid.origin_m, grid.yaw_deg


def _floor_map(entries: FileEntries, folder: Path) -> FloorMap:
    def path(name: str | None) -> Path | None:
        return None if name is None else Path(os.path.normpath(folder / name))

    for field in fields(entries):
        value = getattr(entries, field.name)
        if "str" in str(field.type) and not isinstance(value, str | None):
            raise BadInput(f"{field.name} is {value!r}, expected text in quotes")
        if field.type == "bool" and not isinstance(value, bool):
            raise BadInput(f"{field.name} is {value!r}, expected true or false")
    origin = entries.origin_m
    if origin is not None:
        if not (isinstance(origin, list | tuple) and len(origin) == 2 and all(_is_number(value) for value in origin)):
            raise BadInput(f"origin_m is {origin!r}, expected [x, y] in metres")
        try:
            origin = (float(origin[0]), float(origin[1]))
        except OverflowError:
            raise BadInput("origin_m has a number that is too large") from None
    source = Source(path(entries.mask), entries.colour, entries.tolerance, path(entries.polygons), entries.polygon_units)
    _check_unchanged(path(entries.plan), entries.plan_sha256)
    _check_unchanged(source.mask, entries.mask_sha256)
    placed = (entries.metres_per_pixel, origin, entries.yaw_deg, entries.up, entries.max_distance_m)
    made = make_floor_map(source, *placed, path(entries.plan))
    return replace(made, accept_outside=entries.accept_outside)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.absolute(), folder.absolute())).as_posix()


def same_as_one_of(path: Path, files: list[Path]) -> bool:
    """Whether a path leads to one of some files, by a link too."""
    return path.exists() and any(file.exists() and path.samefile(file) for file in files)


def _check_target(floor_map: FloorMap, path: Path, replace: bool) -> None:
    """Raises BadInput unless the file and the raster beside it can be written without harm to others."""
    if path.suffix.lower() != ".toml":
        raise BadInput(f"the floor map {path} must end in .toml")
    for target in [path] if floor_map.source is not None else [path, _mask_beside(path)]:
        if same_as_one_of(target, floor_map.files):
            raise BadInput(f"{target} is a file that the floor map is made from: choose another name")
    if path.is_file():
        if not _is_floor_map(path):
            raise BadInput(f"{path} is there and is no floor map: choose another name, or remove it")
        if not replace:
            raise BadInput(f"{path} is a floor map already: choose another --out, or give --force to overwrite it")
    mask = _mask_beside(path)
    if floor_map.source is None and mask.is_file() and not _is_raster(mask, floor_map.walkable):
        raise BadInput(f"{mask} is there and is no mask that irploc wrote: choose another name, or remove it")


def _mask_beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}.walkable.png")


def _is_floor_map(path: Path) -> bool:
    try:
        return _toml(path).get("format") == FORMAT
    except (ValueError, OSError):
        return False


def _is_raster(mask: Path, walkable: np.ndarray) -> bool:
    """Whether nothing is lost by overwriting a mask: it is as we wrote it, or says the same."""
    try:
        with Image.open(mask) as image:
            written = image.info.get(_RASTER_SHA)
        found = walkable_of_mask(mask)
    except (IrplocError, OSError, ValueError):
        return False
    return written == _sha256_of(found) or np.array_equal(found, walkable)


def _sha256_of(walkable: np.ndarray) -> str:
    return provenance.sha256_of_parts([repr(walkable.shape).encode(), np.packbits(walkable).tobytes()])


def _sha256_entry(name: str, picture: Path) -> dict[str, str]:
    return {name: provenance.sha256_of_file(picture)} if picture.is_file() else {}


def _check_unchanged(picture: Path | None, sha256: str | None) -> None:
    """Raises Mismatch for a picture that is not the one of which the file was made; files without the sha256 take any."""
    if picture is None or sha256 is None or not picture.is_file():
        return
    if provenance.sha256_of_file(picture) != sha256:
        raise Mismatch(f"{picture} was changed since the file was made: make the floor map again")


def _write_mask(walkable: np.ndarray, path: Path) -> None:
    stream = io.BytesIO()
    text = PngInfo()
    text.add_text(_RASTER_SHA, _sha256_of(walkable))
    Image.fromarray(walkable.astype(np.uint8) * 255).save(stream, "PNG", pnginfo=text)
    with replacing(path) as temporary:
        temporary.write_bytes(stream.getvalue())
