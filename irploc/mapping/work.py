"""The folder of a build while it is not finished: whose it is, what it was made from, and that nobody else is in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from irploc import provenance
from irploc.errors import BadInput
from irploc.files import write_text
from irploc.images import list_images
from irploc.retrieval.store import lock
from irploc.scene import SPLITS

FORMAT, VERSION = "irploc-build", 1
WORK, SETTINGS = "build", "settings.json"
WRITTEN = ("images", "sparse", "crops", "points.ply", "build.json", "times.csv", "map.png", *(f"{s}.csv" for s in SPLITS))


def check_places(source: Path, out: Path) -> None:
    """Raises BadInput where the scene's folder would mix with the photos, or with files that no build of ours wrote."""
    real_source, real_out = source.resolve(), out.resolve()
    if source.is_dir() and real_out.is_relative_to(real_source):
        raise BadInput(
            f"--out {out} lies in the folder of photos {source}, whose files stay as they are: choose another --out"
        )
    work = out / WORK
    if work.is_symlink() or (work.exists() and not work.is_dir()):
        raise BadInput(f"{work} is a link or a file, a folder for the work is needed there: choose another --out")
    if (out / "scene.toml").exists() or _is_ours(work):
        return
    there = [
        name for name in (*WRITTEN, WORK) if (out / name).exists() and not real_source.is_relative_to((out / name).resolve())
    ]
    if there:
        raise BadInput(
            f"{out} holds {there[0]}, which no 'irploc scene build' wrote there and which would be replaced: choose another "
            "--out"
        )


@contextmanager
def work_folder(source: Path, out: Path, settings: Mapping[str, Any], say: Callable[[str], None]) -> Iterator[Path]:
    """``out/build``, for this process alone; emptied where it was made from something else or with other settings, and gone
    again when nothing came of it.

    Args:
        settings: what the work depends on, plain values; the photos or the video are added.

    Raises:
        Busy: another process builds there. BadInput: as ``check_places``.
    """
    check_places(source, out)
    work = out / WORK
    wanted = {**provenance.header(FORMAT, VERSION), "source": str(source.absolute()), "files": _stamp(source), **settings}
    fresh = not out.exists()
    try:
        with lock(work):
            if work.is_dir() and _settings_of(work) != json.loads(json.dumps(wanted)):
                say(f"{work} was made with other settings or photos: starting over")
                shutil.rmtree(work)
            elif work.is_dir():
                say(f"going on with what is done in {work}")
            write_text(work / SETTINGS, json.dumps(wanted, indent=2))
            try:
                yield work
            finally:
                if work.is_dir() and [path.name for path in work.iterdir()] == [SETTINGS]:
                    shutil.rmtree(work)
    finally:
        if fresh:
            with suppress(OSError):
                out.rmdir()  # where it is still empty


def _is_ours(work: Path) -> bool:
    """Whether a work folder is of a build, be its settings readable or not."""
    found = _settings_of(work)
    return (work / SETTINGS).is_file() and (found is None or found.get("format") == FORMAT)


def _settings_of(work: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((work / SETTINGS).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _stamp(source: Path) -> str:
    """Of names, sizes and times of the photos, or of the video."""
    files = [source] if source.is_file() else list_images(source)
    stats = [(path.relative_to(source) if source.is_dir() else path.name, path.stat()) for path in files]
    return provenance.sha256_of_parts(f"{name} {stat.st_size} {stat.st_mtime_ns}".encode() for name, stat in stats)
