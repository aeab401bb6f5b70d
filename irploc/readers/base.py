"""What a dataset reader gives, the table of readers, and the small things that all of them need."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from irploc.errors import BadInput, NotFound
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.registry import Registry
from irploc.scene import Frames, Rejected, name_of


@dataclass(frozen=True)
class ReadOptions:
    """What a reader may be told.

    Attributes:
        ground_truth: poses to use instead of the dataset's own (7-Scenes pseudo ground truth).
        images: folder with the photos, where the format does not say.
        convention: of a label table, see ``readers.table``.
    """

    ground_truth: Path | None = None
    images: Path | None = None
    convention: str = "world_from_cam"


@dataclass(frozen=True)
class Imported:
    """A dataset in irploc's own convention, before splitting.

    Attributes:
        frames: posed photos with the split that the dataset itself defines, else all ``train``.
        image_root: the names are relative to it.
        cameras: intrinsics by name.
        ground_truth: where the poses come from.
        rejected: photos left out, and why.
        units: ``metres`` unless the format does not promise a metric scale.
        defines_split: whether the dataset says which photos test.
    """

    frames: Frames
    image_root: Path
    cameras: dict[str, Camera]
    ground_truth: str
    rejected: tuple[Rejected, ...] = ()
    units: str = "metres"
    defines_split: bool = False


Reader = Callable[[Path, ReadOptions], Imported]
READERS: Registry[Reader] = Registry("scene format")


@dataclass
class FrameList:
    """Collects frames one by one; ``finish`` makes the columns."""

    image_root: Path
    images: list[Path] = field(default_factory=list)
    sequences: list[str] = field(default_factory=list)
    indices: list[int | None] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    cameras: list[str] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    def add(self, image: Path, sequence: str = "", camera: str = "", split: str = "train", index: int | None = None) -> None:
        """One photo; ``index`` is the number in its name when not given."""
        self.images.append(absolute(image))
        self.sequences.append(sequence)
        self.indices.append(number_in_name(image.name) if index is None else index)
        self.splits.append(split)
        self.cameras.append(camera)

    def reject(self, image: str, reason: str, index: int | None = None) -> None:
        """One photo that is left out."""
        number = number_in_name(image) if index is None else index
        self.rejected.append(Rejected(image, -1 if number is None else number, reason))

    def finish(self, poses: Poses, where: str) -> Frames:
        """The frames with their poses.

        Raises:
            BadInput: when there is none.
        """
        if not self.images:
            first = f"; first: {self.rejected[0].image}: {self.rejected[0].reason}" if self.rejected else ""
            raise BadInput(f"{where} has no image with a pose ({len(self.rejected)} were rejected{first})")
        numbered = all(index is not None for index in self.indices)
        return Frames(
            images=tuple(self.images),
            names=tuple(name_of(image, absolute(self.image_root)) for image in self.images),
            sequences=np.array(self.sequences, dtype=object),
            indices=np.array(self.indices if numbered else range(len(self.images)), dtype=np.int64),
            splits=np.array(self.splits, dtype=object),
            cameras=tuple(self.cameras),
            poses=poses,
        )


def absolute(path: Path) -> Path:
    """The path from the root, without ``..``; symbolic links stay."""
    return Path(os.path.normpath(path.absolute()))


def number_in_name(name: str) -> int | None:
    """The last number in a file name's stem: 12 of ``seq2/frame00012.color.png``; None where there is none."""
    found = re.findall(r"\d+", Path(name).name.rpartition(".")[0] or Path(name).name)
    return int(found[-1]) if found and len(found[-1]) < 18 else None


def read_rows(path: Path, columns: int, layout: str, skip_header: int = 0) -> list[tuple[int, list[str]]]:
    """(line number, words) of the lines of a text table; empty lines and ``#`` comments are left out.

    Raises:
        NotFound: no such file. BadInput: not text, or lines with fewer words, with the count and the first line's number.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise NotFound(f"no file {path}") from None
    except (UnicodeDecodeError, IsADirectoryError):
        raise BadInput(f"{path} is not a text file, expected lines '{layout}'") from None
    rows = [
        (number, line.split())
        for number, line in enumerate(lines, start=1)
        if number > skip_header and line.strip() and not line.lstrip().startswith("#")
    ]
    short = [number for number, words in rows if len(words) < columns]
    if short:
        raise BadInput(
            f"{path}: {len(short)} of {len(rows)} lines have fewer than {columns} columns; first: line {short[0]}; "
            f"expected '{layout}'"
        )
    return rows


def numbers(rows: Sequence[tuple[int, list[str]]], columns: slice, path: Path) -> np.ndarray:
    """(N, columns) float64 of those words.

    Raises:
        BadInput: for words that are no numbers, with the count and the first line's number.
    """
    values, bad = [], []
    for number, words in rows:
        try:
            values.append([float(word) for word in words[columns]])
        except ValueError:
            bad.append(number)
    if bad:
        raise BadInput(f"{path}: {len(bad)} of {len(rows)} lines hold words where numbers belong; first: line {bad[0]}")
    width = columns.stop - (columns.start or 0)
    return np.array(values, dtype=np.float64).reshape(-1, width)


def without_extension(name: str) -> str:
    """A photo's name for matching across files: forward slashes, no leading ``./``, no image extension."""
    clean = name.replace("\\", "/").removeprefix("./")
    return re.sub(r"(\.color)?\.(jpe?g|png|bmp|tiff?|webp|ppm|pgm)$", "", clean, flags=re.IGNORECASE)
