"""The folder beside a map while it is being made: what was done stays there, so that an interrupted run goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from irploc import provenance
from irploc.errors import BadInput
from irploc.files import is_stream, write_text
from irploc.retrieval.store import lock
from irploc.structure.mappingphotos import MappingPhotos

FORMAT, VERSION = "irploc-structure-work", 1
_SETTINGS = "settings.json"


def work_path(out: Path) -> Path:
    """Where the work on a map lies."""
    return out.with_name(f".{out.name}.work")


@contextmanager
def work_folder(out: Path, settings: Mapping[str, Any], say: Callable[[str], None]) -> Iterator[Path]:
    """The folder of the work on ``out``, for this process alone; emptied where it was done on something else.

    Args:
        settings: what the work depends on, plain values.
        say: told whether it goes on.

    Raises:
        Busy: another process makes that map. BadInput: something that is not ours lies there, or it cannot be written.
    """
    if is_stream(out):
        raise BadInput(f"cannot make a map in {out}: it is a device or a pipe; choose a file")
    folder = work_path(out)
    wanted = json.loads(json.dumps({**provenance.header(FORMAT, VERSION), **settings}))
    with lock(out):
        found = _settings_of(folder)
        if folder.exists() and (not folder.is_dir() or (found is None and _has_other_files(folder))):
            raise BadInput(f"{folder} is not what an 'irploc triangulate' left there: remove it, or choose another --out")
        if found == wanted:
            say(f"going on with what is done in {folder}")
        elif found is not None:
            say(f"{folder} was made with other settings or photos: starting over")
            remove_work(out)
        write_text(folder / _SETTINGS, json.dumps(wanted))
        yield folder


def remove_work(out: Path) -> None:
    """Removes what is needed no more once the map is written; the settings last, so that what is left is known as ours."""
    folder = work_path(out)
    for part in folder.iterdir() if folder.is_dir() else ():
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def stamp(photos: MappingPhotos) -> str:
    """Of names, poses, intrinsics, and the sizes and times of the files."""
    parts = []
    for row, (name, image) in enumerate(zip(photos.names, photos.images, strict=True)):
        stat = image.stat()
        parts.append(f"{name} {photos.camera(row)} {stat.st_size} {stat.st_mtime_ns}".encode())
    poses = (photos.poses.centers_m, photos.poses.world_from_cam_wxyz)
    return provenance.sha256_of_parts([*parts, *(column.tobytes() for column in poses)])


def _has_other_files(folder: Path) -> bool:
    """Whether there is more than what a process leaves that was killed while it wrote the settings."""
    return any(not path.match(f".{_SETTINGS}.*.new") for path in folder.iterdir())


def _settings_of(folder: Path) -> dict[str, Any] | None:
    """The settings of work of ours; None where there is none."""
    try:
        found = json.loads((folder / _SETTINGS).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None
