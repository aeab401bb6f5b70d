"""The header that every file we write carries, and the refusal to read anything else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from importlib import metadata
from numbers import Number
from pathlib import Path
from typing import Any

from irploc.errors import Mismatch


def irploc_version() -> str:
    """The installed version of this package."""
    return metadata.version("irploc")


def header(format_name: str, version: int) -> dict[str, Any]:
    """The three fields every file of ours begins with."""
    return {"format": format_name, "version": version, "irploc": irploc_version()}


def check_header(found: Mapping[str, Any], format_name: str, version: int, path: Path) -> None:
    """Raises Mismatch unless ``found`` is a header of this format and version."""
    if not isinstance(found.get("format"), str) or found["format"] != format_name:
        raise Mismatch(f"{path} is not an {format_name} file (its format is {found.get('format')!r})")
    if not isinstance(found.get("version"), Number | str) or found["version"] != version:
        raise Mismatch(
            f"{path} has {format_name} version {found.get('version')}, this irploc reads version {version}: make it again"
        )


def sha256_of_file(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_parts(parts: Iterable[bytes]) -> str:
    """Hex sha256 of several byte strings, each preceded by its length so that no two lists collide."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
