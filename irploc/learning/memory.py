"""``learned.csv``: every photo that a scene was shown, what was found out about it, and whether it was kept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from irploc.errors import BadInput
from irploc.files import write_text
from irploc.learning.answers import Found
from irploc.learning.judging import KEPT
from irploc.learning.walks import Walk
from irploc.readers.base import absolute
from irploc.scene import Scene
from irploc.scene.tables import stored_path

TABLE = "learned.csv"
COLUMNS = ["image", "sequence", "index", "status", "confidence", "position_m", "rotation_deg", "verdict", "source"]
_SEQUENCE = "learned-"


@dataclass(frozen=True)
class Decided:
    """A walk with the answers to its photos and what became of them; ``sequence`` is its name in the scene."""

    sequence: str
    walk: Walk
    answers: tuple[Found, ...]
    verdicts: tuple[str, ...]

    @property
    def kept(self) -> np.ndarray:
        """(N,) bool."""
        return np.array([verdict == KEPT for verdict in self.verdicts], dtype=bool)


class Memory:
    """What a scene's folder remembers of earlier runs.

    Args:
        folder: of the scene.

    Raises:
        BadInput: where its table cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / TABLE
        self.table = _read(self.path)

    def left_out(self) -> set[Path]:
        """The photos that were looked at and not kept."""
        rows = self.table[self.table["verdict"] != KEPT]
        return {(self.folder / image).resolve() for image in rows["image"]}

    def sequence_of(self, source: Path, scene: Scene, taken: Iterable[str] = ()) -> str:
        """The name of a walk: the one that it got before, else the next free one."""
        known = self.table[self.table["source"] == stored_path(source, self.folder)]["sequence"]
        if len(known):
            return str(known.iloc[-1])
        names = {*scene.frames.sequences, *self.table["sequence"], *taken}
        numbers = [int(name.removeprefix(_SEQUENCE)) for name in names if re.fullmatch(rf"{_SEQUENCE}\d+", name)]
        return f"{_SEQUENCE}{max(numbers, default=0) + 1}"

    def save(self, decided: Sequence[Decided]) -> None:
        """Adds what was decided now, in the place of what was said of the same photos before."""
        new = pd.concat([_rows(one, self.folder) for one in decided], ignore_index=True)
        old = self.table[~self.table["image"].isin(set(new["image"]))]
        table = pd.concat([old, new], ignore_index=True) if len(old) else new
        write_text(self.path, table[COLUMNS].to_csv(index=False))
        self.table = table


def counted(decided: Sequence[Decided]) -> dict[str, int]:
    """How many photos there are by verdict, the most frequent first."""
    return dict(Counter(verdict for one in decided for verdict in one.verdicts).most_common())


def _rows(decided: Decided, folder: Path) -> pd.DataFrame:
    answers = decided.answers
    return pd.DataFrame(
        {
            "image": [stored_path(photo, folder) for photo in decided.walk.photos],
            "sequence": decided.sequence,
            "index": decided.walk.indices,
            "status": [found.status for found in answers],
            "confidence": [_number(found.confidence) for found in answers],
            "position_m": [_number(found.expected and found.expected[0]) for found in answers],
            "rotation_deg": [_number(found.expected and found.expected[1]) for found in answers],
            "verdict": decided.verdicts,
            "source": stored_path(absolute(decided.walk.source), folder),
        },
        dtype=object,
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame({name: [] for name in COLUMNS}, dtype=object)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        return table[COLUMNS]
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, KeyError, ValueError):
        raise BadInput(f"{path} is not a table of {','.join(COLUMNS)}: mend it, or delete it to forget") from None
