"""Pretrained weights: which exist, where they lie, how they get there, and that they are what they were.

Nothing is downloaded unless ``fetch`` is called. Beside each file lies a record of its sha256, so that a file which
changes later is noticed; the record's size and modification time spare hashing half a gigabyte at every start.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irploc import provenance
from irploc.errors import BadInput, Mismatch, NotFound
from irploc.registry import Registry

_RECORD_FORMAT, _RECORD_VERSION = "irploc weights record", 1
_BLOCK_BYTES = 1 << 20
_CLOCK_GRAIN_NS = 2_000_000_000  # a file as young as this can change again without a new modification time


@dataclass(frozen=True)
class WeightsFile:
    """One line of `irploc weights list`.

    Attributes:
        name: as the user types it.
        file: its name on disk.
        url: where it is published.
        sha256: of the published file, or its leading digits; None where nobody publishes it.
        source: what it was trained on and by whom.
        licence: as far as its publishers state it.
        check: raises BadInput, naming the path, unless the file loads as these weights.
    """

    name: str
    file: str
    url: str
    sha256: str | None
    source: str
    licence: str
    check: Callable[[Path], None]

    @property
    def path(self) -> Path:
        """Where it lies or would lie."""
        return weights_folder() / self.file

    def is_published(self, sha256: str) -> bool:
        """Whether a file of this hash can be the published one; True where its hash is not known."""
        return self.sha256 is None or sha256.startswith(self.sha256)


@dataclass(frozen=True)
class Located:
    """Weights that are there, and whose content is what it was when they were recorded."""

    path: Path
    sha256: str


CATALOGUE: Registry[WeightsFile] = Registry("weights")


def weights_folder() -> Path:
    """``IRPLOC_WEIGHTS``, else ``irploc/weights`` in the user's cache folder of this platform."""
    if chosen := os.environ.get("IRPLOC_WEIGHTS"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    elif sys.platform == "darwin":
        cache = Path.home() / "Library/Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "irploc/weights"


def find_weights(name: str) -> Located:
    """Weights of the catalogue that are on this machine.

    Raises:
        NotFound: they are not; says every way out.
        Mismatch: the file is not the published one and was never imported, or it has changed since it was recorded.
    """
    entry = CATALOGUE.get(name)
    if not entry.path.is_file():
        raise NotFound(
            f"the weights of {name} are not in {weights_folder()} (IRPLOC_WEIGHTS names another folder): run "
            f"'irploc weights fetch {name}', or get {entry.file} elsewhere and run 'irploc weights import {entry.file}', or "
            "choose an encoder that needs none (--encoder densevlad) or a file of your own (--encoder onnx:PATH)"
        )
    return _confirm(entry, trust_clock=True)


def verify_weights(name: str) -> Located:
    """As ``find_weights``, but reads every byte again; a damaged conversion is removed, to be made again when needed."""
    entry = CATALOGUE.get(name)
    located = _confirm(entry, trust_clock=False) if entry.path.is_file() else find_weights(name)
    converted = _converted_path(entry)
    if converted.is_file() and _recorded_sha256(converted, trust_clock=False) is None:
        converted.unlink()
    return located


def import_weights(source: Path, name: str) -> Located:
    """Copies a file into the weights folder, after a check that it loads, and records its hash.

    A file other than the published one is taken: whoever imports it vouches for it, and the hash tells them apart.

    Raises:
        NotFound: no such file. BadInput: it does not hold these weights.
    """
    entry = CATALOGUE.get(name)
    _require_file(source)
    entry.check(source)
    target = entry.path
    if target.exists() and target.samefile(source):
        return _record(target, provenance.sha256_of_file(target), str(source))
    with _replacing(target) as temporary, source.open("rb") as stream:
        digest = hashlib.sha256()
        with temporary.open("wb") as copy:
            while block := stream.read(_BLOCK_BYTES):
                copy.write(block)
                digest.update(block)
    return _record(target, digest.hexdigest(), str(source.absolute()))


def fetch_weights(name: str, url: str | None = None, quiet: bool = True) -> Located:
    """Downloads weights, checks that they are the published ones and that they load; all or nothing.

    Args:
        name: in the catalogue.
        url: a mirror; the hash is verified all the same.
        quiet: no progress bar.

    Raises:
        NotFound: the address cannot be reached. BadInput: what came is cut short or does not hold these weights.
            Mismatch: it is not the published file.
    """
    from irploc.encoders.download import download

    entry = CATALOGUE.get(name)
    address = url or entry.url
    advice = f"get {entry.file} elsewhere and run 'irploc weights import {entry.file}'"
    with _replacing(entry.path) as temporary:
        sha256 = download(address, temporary, f"fetching {entry.file}", advice, quiet)
        if not entry.is_published(sha256):
            raise Mismatch(f"{address} gives sha256 {sha256}, the published {entry.file} has {entry.sha256}…: {advice}")
        try:
            entry.check(temporary)
        except BadInput as error:
            raise BadInput(str(error).replace(str(temporary), address)) from None
    return _record(entry.path, sha256, address)


def guess_name(path: Path) -> str:
    """The catalogue's name for a file, from the file's name.

    Raises:
        BadInput: it says nothing; the user must.
    """
    entries = [entry for _, entry in CATALOGUE.items()]
    for entry in entries:
        if path.name == entry.file:
            return entry.name
    same_kind = [entry for entry in entries if Path(entry.file).suffix == path.suffix.lower()]
    stem = path.stem.lower().replace("_", "-")
    beginnings = [entry.name for entry in same_kind if stem.startswith(entry.name)]
    if beginnings:
        return max(beginnings, key=len)
    if len(same_kind) == 1:
        return same_kind[0].name
    raise BadInput(f"{path.name} does not say which weights it holds: add --name NAME, one of {', '.join(CATALOGUE)}")


def converted_tensors(name: str, located: Located, convert: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """``convert(located.path)``, kept beside the file in a form that opens at once (memory-mapped).

    Where it cannot be kept (a read-only folder, a full disk) it is converted every time.
    """
    import torch

    path = _converted_path(CATALOGUE.get(name))
    kept = _open_converted(path, located.sha256)
    if kept is not None:
        return kept
    tensors: dict[str, Any] = convert(located.path)
    with suppress(OSError, RuntimeError):  # torch reports a full disk as a RuntimeError
        with _replacing(path) as temporary:
            torch.save({"made_from": located.sha256, "tensors": tensors}, temporary)
        _record(path, provenance.sha256_of_file(path), located.path.name)
    return tensors


def _open_converted(path: Path, made_from: str) -> dict[str, Any] | None:
    import torch

    if not path.is_file() or _recorded_sha256(path, trust_clock=True) is None:
        return None
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    if content["made_from"] != made_from:
        return None
    tensors: dict[str, Any] = content["tensors"]
    return tensors


def _converted_path(entry: WeightsFile) -> Path:
    return entry.path.with_name(f"{entry.file}.converted.pt")


def _confirm(entry: WeightsFile, trust_clock: bool) -> Located:
    path = entry.path
    if not _record_path(path).is_file():
        sha256 = provenance.sha256_of_file(path)
        if not entry.is_published(sha256):
            raise Mismatch(
                f"{path} is not the published file (its sha256 is {sha256[:12]}… instead of {entry.sha256}…): run "
                f"'irploc weights fetch {entry.name}', or accept it with 'irploc weights import {path} --name {entry.name}'"
            )
        return _record(path, sha256, "found in the folder")
    known = _recorded_sha256(path, trust_clock)
    if known is None:
        raise Mismatch(
            f"{path} has changed since it was recorded: run 'irploc weights fetch {entry.name}', or accept it with "
            f"'irploc weights import {path} --name {entry.name}'"
        )
    return Located(path, known)


def _recorded_sha256(path: Path, trust_clock: bool) -> str | None:
    """The recorded hash of a file if that is still its hash, else None."""
    record_path = _record_path(path)
    try:
        record = json.loads(record_path.read_text())
        provenance.check_header(record, _RECORD_FORMAT, _RECORD_VERSION, record_path)
        sha256, size, changed, checked = (record[key] for key in ("sha256", "size", "mtime_ns", "checked_ns"))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, AttributeError, TypeError):
        raise BadInput(f"{record_path} is not a record of weights: delete it") from None
    now = path.stat()
    untouched = (now.st_size, now.st_mtime_ns) == (size, changed) and checked - changed > _CLOCK_GRAIN_NS
    if trust_clock and untouched:
        return str(sha256)
    if provenance.sha256_of_file(path) != sha256:
        return None
    if not untouched:
        _record(path, sha256, record.get("from", ""))
    return str(sha256)


def _record(path: Path, sha256: str, origin: str) -> Located:
    status = path.stat()
    fields = {
        **provenance.header(_RECORD_FORMAT, _RECORD_VERSION),
        "sha256": sha256,
        "from": origin,
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "checked_ns": time.time_ns(),
    }
    with suppress(OSError), _replacing(_record_path(path)) as temporary:  # where it cannot be kept, it is hashed every time
        temporary.write_text(json.dumps(fields, indent=1) + "\n")
    return Located(path, sha256)


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.record.json")


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A temporary file that takes the target's place if all goes well, and is gone if not."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise BadInput(f"the weights folder {target.parent} is not a folder (IRPLOC_WEIGHTS names it)") from None
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _require_file(path: Path) -> None:
    if path.is_dir():
        raise BadInput(f"{path} is a folder, expected a file of weights")
    if not path.exists():
        raise NotFound(f"no file {path}")
