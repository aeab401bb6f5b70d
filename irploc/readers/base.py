"""What a dataset reader gives, the table of readers, and the small things that all of them need."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from irploc.errors import BadInput, NotFound
from irploc.geometry import rotations
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

    def only(self, format_name: str, *used: str) -> None:
        """Raises BadInput when an option is given that this format has no use for."""
        for option in fields(self):
            if option.name not in used and getattr(self, option.name) != option.default:
                raise BadInput(f"--{option.name.replace('_', '-')} is not for {format_name}: leave it out")


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
        return Frames(
            images=tuple(self.images),
            names=tuple(name_of(image, absolute(self.image_root)) for image in self.images),
            sequences=np.array(self.sequences, dtype=object),
            indices=self._indices(),
            splits=np.array(self.splits, dtype=object),
            cameras=tuple(self.cameras),
            poses=poses,
        )

    def _indices(self) -> np.ndarray:
        """The numbers in the names, or the order where those do not tell the photos of a sequence apart."""
        pairs = list(zip(self.sequences, self.indices, strict=True))
        usable = None not in self.indices and len(set(pairs)) == len(pairs)
        return np.array(self.indices if usable else range(len(self.images)), dtype=np.int64)


def sequences_by_folder(names: Sequence[str]) -> list[str]:
    """The folder of each photo where there are several folders, else empty: the walk of photos that come without one."""
    folders = [Path(name).parent.as_posix() for name in names]
    return folders if len(set(folders)) > 1 else [""] * len(names)


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


def problem_of_matrix(world_from_cam: np.ndarray) -> str:
    """Why a 4x4 matrix is no pose; empty if it is one."""
    if not np.isfinite(world_from_cam).all():
        return "pose is not finite"
    try:
        rotations.quaternion_from_matrix(world_from_cam[:3, :3])
    except ValueError as error:
        return f"pose is invalid: {error}"
    return ""


def labels_of(rows: Sequence[tuple[int, list[str]]]) -> list[str]:
    """What messages call each row: ``line 7 (seq1/frame00004.png)``."""
    return [f"line {number} ({words[0]})" for number, words in rows]


def without_extension(name: str) -> str:
    """A photo's name for matching across files: forward slashes, no leading ``./``, no image extension, no ``.color``."""
    clean = name.replace("\\", "/").removeprefix("./")
    bare = re.sub(r"\.(jpe?g|png|bmp|tiff?|webp|ppm|pgm)$", "", clean, flags=re.IGNORECASE)
    return re.sub(r"\.color$", "", bare, flags=re.IGNORECASE)
