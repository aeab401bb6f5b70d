"""What is kept while training goes on, so that a killed training continues to the same result."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from irploc import provenance
from irploc.files import is_stream, replacing, runtime_errors_of_the_disk

FORMAT, VERSION = "irploc-training", 2
# what torch raises on damaged files, found by flipping bits
_DAMAGED = (
    *(OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError),
    *(pickle.UnpicklingError, zipfile.BadZipFile),
)


def checkpoint_path(out: Path) -> Path:
    """Beside the model that is being trained."""
    return out.with_name(f".{out.name}.training")


def save_atomically(content: dict[str, Any], path: Path) -> None:
    """Writes with torch, so that ``path`` holds the old or the new content whenever the process dies.

    Raises:
        BadInput: when the disk is full; what was there stays.
    """
    with replacing(path) as temporary, temporary.open("wb") as stream:
        with runtime_errors_of_the_disk():
            torch.save(content, stream)
        stream.flush()
        if not is_stream(path):
            os.fsync(stream.fileno())


def load_quietly(path: Path) -> dict[str, Any] | None:
    """The content of a torch file, None when it is absent, truncated or something else."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGED:
        return None
    return content if isinstance(content, dict) else None


def save_checkpoint(path: Path, settings: dict[str, Any], progress: dict[str, Any]) -> None:
    """Keeps ``progress`` of the training that ``settings`` describe."""
    save_atomically({**provenance.header(FORMAT, VERSION), "settings": settings, "progress": progress}, path)


def load_checkpoint(path: Path, settings: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """The progress of a training with exactly these settings, or None and a line that says why there is none."""
    if not path.is_file():
        return None, ""
    content = load_quietly(path)
    if content is None or content.get("format") != FORMAT or content.get("version") != VERSION:
        return None, f"{path} is not a readable checkpoint: starting over"
    found = content["settings"]
    changed = [name for name in settings if found.get(name) != settings[name]]
    if changed:
        return None, f"the unfinished training at {path} had another {', '.join(changed)}: starting over"
    return content["progress"], ""
