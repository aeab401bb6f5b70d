"""The runs of a workspace: all of them, and one by the beginning of its name."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path

from irploc.errors import BadInput, IrplocError, NotFound, summarize
from irploc.runs.recorder import stamp_order
from irploc.runs.run import CONFIGURATION, SUMMARY, Run

_SHOWN = 5  # names that a message repeats


@dataclass(frozen=True)
class Catalog:
    """What lies below ``runs/``.

    Attributes:
        root: that folder.
        runs: in the order of their time.
        unreadable: a sentence for each folder that is no run, or damaged.
    """

    root: Path
    runs: list[Run] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, root: Path, scene: str | None = None, method: str | None = None) -> Catalog:
        """Reads every run folder of a scene and a method, or of all; what cannot be read is told, and passed over."""
        catalog = cls(root)
        for folder in run_folders(root):
            try:
                if not any((folder / name).is_file() for name in (CONFIGURATION, SUMMARY)):
                    raise BadInput(f"{folder} is not a run: it has no {CONFIGURATION}")
                run = Run.load(folder)
            except (IrplocError, OSError) as error:
                catalog.unreadable.append(str(error))
                continue
            of = run.configuration
            if scene in (None, of.scene) and method in (None, of.method):
                catalog.runs.append(run)
        return catalog

    @property
    def complaint(self) -> str:
        """One line about all that cannot be read; empty where there is nothing."""
        if not self.unreadable:
            return ""
        count = len(self.unreadable)
        words = "1 folder is" if count == 1 else f"{count} folders are"
        first = "" if count == 1 else "; first"
        return f"{words} left out{first}: {self.unreadable[0]}"


def run_folders(root: Path) -> list[Path]:
    """The folders two levels down, by their time; hidden ones and files are no business of ours."""
    if not root.is_dir():
        return []
    parents = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    folders = [path for parent in parents for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return sorted(folders, key=lambda folder: (*stamp_order(folder), folder.parent.name))


def find_run(root: Path, name: str) -> Run:
    """The run of that name, or the only one whose name (``kitchen.irpnet/20260101-120000``) or time begins like that.

    Raises:
        NotFound: none. BadInput: several, or the run is damaged.
    """
    folders = {f"{folder.parent.name}/{folder.name}": folder for folder in run_folders(root)}
    wanted = _relative(root, name)
    if wanted in folders:
        return Run.load(folders[wanted])
    found = [known for known in folders if wanted and (known.startswith(wanted) or known.split("/")[1].startswith(wanted))]
    if len(found) == 1:
        return Run.load(folders[found[0]])
    if found:
        raise BadInput(f"{name!r} is the beginning of {len(found)} runs: {summarize(found[::-1], _SHOWN)}")
    close = difflib.get_close_matches(wanted, folders, n=1)
    advice = f"did you mean {close[0]!r}?" if close else f"'irploc runs' lists {'them' if folders else 'none yet'}"
    raise NotFound(f"no run {name!r} in {root}: {advice}")


def _relative(root: Path, name: str) -> str:
    """The name of a run that may be given as its folder."""
    path = Path(name)
    if path.is_dir() and path.resolve().is_relative_to(root.resolve()):
        return path.resolve().relative_to(root.resolve()).as_posix()
    return name.rstrip("/")
