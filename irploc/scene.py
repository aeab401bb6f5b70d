"""``Scene``: a mapped place as a list of posed photos, and its folder format (`scene.toml`, `frames.csv`, `rejected.csv`).

The photos themselves stay where they are."""

from __future__ import annotations

import os
import tomllib
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w

from irploc import provenance
from irploc.errors import BadInput, NotFound, summarize
from irploc.files import write_text
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.geometry.similarity import AlignmentStep

FORMAT, VERSION = "irploc-scene", 1
SPLITS = ("train", "validation", "test")
POSE_COLUMNS = ["tx", "ty", "tz", "qw", "qx", "qy", "qz"]
COLUMNS = ["image", "sequence", "index", "split", "camera", *POSE_COLUMNS]
UNIT_TOLERANCE = 1e-2
UNFINISHED = ".aligned"  # folder in a scene whose files are being replaced by those in it


@dataclass(frozen=True)
class Frames:
    """N posed photos, column by column.

    Attributes:
        images: N absolute paths of the photos.
        names: N unique short names, the paths relative to the scene's image root; they identify a photo everywhere.
        sequences: (N,) str, the walk a photo belongs to.
        indices: (N,) int64, position in the source: frame number of a video, number in the file name, or order.
        splits: (N,) str, one of ``SPLITS``.
        cameras: N keys of ``Scene.cameras``; empty where intrinsics are unknown.
        poses: N ``Poses``, none missing.

    Raises:
        ValueError: when the columns differ in length.
    """

    images: tuple[Path, ...]
    names: tuple[str, ...]
    sequences: np.ndarray
    indices: np.ndarray
    splits: np.ndarray
    cameras: tuple[str, ...]
    poses: Poses

    def __post_init__(self) -> None:
        object.__setattr__(self, "sequences", np.asarray(self.sequences, dtype=object))
        object.__setattr__(self, "indices", np.asarray(self.indices, dtype=np.int64))
        object.__setattr__(self, "splits", np.asarray(self.splits, dtype=object))
        columns = (self.names, self.sequences, self.indices, self.splits, self.cameras, self.poses)
        if any(len(column) != len(self.images) for column in columns):
            raise ValueError("the columns of Frames differ in length")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: np.ndarray | list[int]) -> Frames:
        """The rows of a boolean mask or of row numbers."""
        chosen = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows, dtype=np.int64)
        return Frames(
            images=tuple(self.images[row] for row in chosen),
            names=tuple(self.names[row] for row in chosen),
            sequences=self.sequences[chosen],
            indices=self.indices[chosen],
            splits=self.splits[chosen],
            cameras=tuple(self.cameras[row] for row in chosen),
            poses=self.poses[chosen],
        )

    def of_split(self, split: str) -> Frames:
        """The frames of one split."""
        return self[self.splits == split]


@dataclass(frozen=True)
class Rejected:
    """A photo that is not in ``frames.csv``, and why."""

    image: str
    index: int
    reason: str


@dataclass(frozen=True)
class Scene:
    """A mapped place.

    Attributes:
        name: what users call it.
        image_root: folder that the frames' names are relative to.
        frames: the posed photos.
        cameras: name -> intrinsics.
        ground_truth: where the poses come from, as reports will name it.
        source: the format or tool the scene was made from.
        units: of the poses; ``metres`` unless the source has no metric scale.
        rejected: photos without a usable pose.
        alignment: what was done to its frame and scale, in order; the poses are those after it.
    """

    name: str
    image_root: Path
    frames: Frames
    cameras: dict[str, Camera] = field(default_factory=dict)
    ground_truth: str = "unknown"
    source: str = "unknown"
    units: str = "metres"
    rejected: tuple[Rejected, ...] = ()
    alignment: tuple[AlignmentStep, ...] = ()

    def __post_init__(self) -> None:
        check_frames(self.frames, self.cameras, self.name)

    @property
    def mapping_fingerprint(self) -> str:
        """Identifies the mapping photos, their poses (to 1 micrometre) and ground truth: what a model was trained on."""
        return mapping_fingerprint(self.frames, self.ground_truth)

    def with_splits(self, splits: np.ndarray) -> Scene:
        """The same scene, split otherwise."""
        return replace(self, frames=replace(self.frames, splits=splits))

    def save(self, folder: Path) -> None:
        """Writes ``scene.toml``, ``frames.csv`` and ``rejected.csv``; the photos stay where they are."""
        for name, text in self.texts(folder).items():
            write_text(folder / name, text)

    def texts(self, folder: Path) -> dict[str, str]:
        """File name -> content, for the scene to lie in ``folder``, which the stored paths are relative to."""
        content: dict[str, Any] = {
            **provenance.header(FORMAT, VERSION),
            "name": self.name,
            "units": self.units,
            "ground_truth": self.ground_truth,
            "source": self.source,
            "image_root": _stored_path(self.image_root, folder),
            "cameras": {
                name: {"model": cam.model, "width": cam.width, "height": cam.height, "params": list(cam.params)}
                for name, cam in self.cameras.items()
            },
        }
        if self.alignment:
            content["alignment"] = [step.to_dict() for step in self.alignment]
        rejected = pd.DataFrame([vars(item) for item in self.rejected], columns=["image", "index", "reason"])
        tables = self.split_tables(folder) if any((folder / f"{split}.csv").is_file() for split in SPLITS) else {}
        return {
            "frames.csv": _frames_table(self.frames, folder).to_csv(index=False),
            "rejected.csv": rejected.to_csv(index=False),
            **tables,
            "scene.toml": tomli_w.dumps(content),
        }

    def split_tables(self, folder: Path) -> dict[str, str]:
        """``train.csv``, ``validation.csv`` and ``test.csv`` -> rows of ``frames.csv``. Where a scene's folder has them they
        are written again with the scene, so that they agree."""
        return {f"{split}.csv": _frames_table(self.frames.of_split(split), folder).to_csv(index=False) for split in SPLITS}

    @classmethod
    def load(cls, folder: Path) -> Scene:
        """Reads a scene folder.

        Raises:
            NotFound: when there is no scene in ``folder``.
            BadInput: for a table that cannot be right, Mismatch for another format or version.
        """
        path = folder / "scene.toml"
        if not path.is_file():
            raise NotFound(f"no scene in {folder} (no scene.toml): make one with 'irploc scene import'")
        if (folder / UNFINISHED).is_dir():
            raise BadInput(f"an alignment of {folder} was interrupted: 'irploc scene align {folder} --show' finishes it")
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadInput(f"{path} is not valid TOML: {error}") from None
        provenance.check_header(content, FORMAT, VERSION, path)
        _check_texts(content, path)
        base = _base_of_paths(folder, content.get("image_root", "."))
        image_root = Path(os.path.normpath(base / content.get("image_root", ".")))
        return cls(
            name=content.get("name", folder.name),
            image_root=image_root,
            frames=_read_frames(folder, base, image_root),
            cameras=_read_cameras(content.get("cameras", {}), path),
            ground_truth=content.get("ground_truth", "unknown"),
            source=content.get("source", "unknown"),
            units=content.get("units", "metres"),
            rejected=_read_rejected(folder / "rejected.csv"),
            alignment=_read_alignment(content.get("alignment", []), path),
        )


def mapping_fingerprint(frames: Frames, ground_truth: str) -> str:
    """See ``Scene.mapping_fingerprint``; independent of the order of the frames."""
    train = frames.of_split("train")
    order = sorted(range(len(train)), key=lambda row: train.names[row])
    values = np.concatenate([train.poses.centers_m, train.poses.world_from_cam_wxyz], axis=1)[order]
    parts = [ground_truth.encode(), *(train.names[row].encode() for row in order)]
    return provenance.sha256_of_parts([*parts, np.round(values * 1e6).astype("<i8").tobytes()])


def check_frames(frames: Frames, cameras: dict[str, Camera], where: str) -> None:
    """Raises BadInput for duplicate names, unknown splits or cameras, and missing poses, each with count and example."""
    repeated = [name for name, count in Counter(frames.names).items() if count > 1]
    if repeated:
        raise BadInput(f"{where}: {len(repeated)} image names occur twice; first: {summarize(repeated)}")
    unknown = sorted(set(frames.splits) - set(SPLITS))
    if unknown:
        raise BadInput(f"{where}: unknown split {unknown[0]!r}, expected one of {', '.join(SPLITS)}")
    lost = sorted({name for name in frames.cameras if name and name not in cameras})
    if lost:
        raise BadInput(f"{where}: frames name camera {lost[0]!r}, which scene.toml does not describe")
    if not frames.poses.valid.all():
        raise BadInput(f"{where}: {int((~frames.poses.valid).sum())} of {len(frames)} frames have no pose")


def poses_from_columns(centers_m: np.ndarray, quats_wxyz: np.ndarray, names: list[str], where: str) -> Poses:
    """``Poses`` of numbers read from a file, refusing what cannot be a pose.

    Raises:
        BadInput: for NaN or infinite values, zero quaternions, and lengths further than 1 % from one; with the count
            and the first bad row.
    """
    finite = np.isfinite(centers_m).all(axis=1) & np.isfinite(quats_wxyz).all(axis=1)
    _refuse(~finite, names, where, "have a pose that is not finite")
    lengths = np.linalg.norm(quats_wxyz, axis=1)
    _refuse(lengths < 1e-6, names, where, "have a zero quaternion")
    _refuse(np.abs(lengths - 1) > UNIT_TOLERANCE, names, where, "have a quaternion that is not of unit length")
    return Poses(centers_m, quats_wxyz)


def _refuse(bad: np.ndarray, names: list[str], where: str, what: str) -> None:
    if bad.any():
        raise BadInput(f"{where}: {int(bad.sum())} of {len(names)} rows {what}; first: {names[int(np.argmax(bad))]}")


def _stored_path(path: Path, folder: Path) -> str:
    """``path`` relative to ``folder`` when they share more than the file system's root, else absolute."""
    path, folder = path.absolute(), folder.absolute()
    if os.path.commonpath([path, folder]) == path.anchor:
        return str(path)
    return Path(os.path.relpath(path, folder)).as_posix()


def _base_of_paths(folder: Path, image_root: str) -> Path:
    """The absolute folder that stored paths are relative to: as the user wrote it, or, where that leads nowhere because
    ``folder`` is reached through a link, where it really lies."""
    written, real = folder.absolute(), folder.resolve()
    leads_nowhere = not Path(os.path.normpath(written / image_root)).exists()
    return real if leads_nowhere and Path(os.path.normpath(real / image_root)).exists() else written


def _frames_table(frames: Frames, folder: Path) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "image": [_stored_path(path, folder) for path in frames.images],
            "sequence": frames.sequences,
            "index": frames.indices,
            "split": frames.splits,
            "camera": frames.cameras,
        }
    )
    table[POSE_COLUMNS] = np.concatenate([frames.poses.centers_m, frames.poses.world_from_cam_wxyz], axis=1)
    return table


def _read_frames(folder: Path, base: Path, image_root: Path) -> Frames:
    path = folder / "frames.csv"
    text = {"image": str, "sequence": str, "split": str, "camera": str}
    try:
        table = pd.read_csv(
            path,
            dtype=text,
            keep_default_na=False,
            na_values={name: ["", "nan", "NaN"] for name in POSE_COLUMNS},
        )
    except FileNotFoundError:
        raise NotFound(f"{path} is missing") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, ValueError) as error:
        raise BadInput(f"{path} is not a readable table: {str(error).strip()}") from None
    absent = [name for name in COLUMNS if name not in table]
    if absent:
        raise BadInput(f"{path} lacks the columns {', '.join(absent)}; it needs {','.join(COLUMNS)}")
    if table.empty:
        raise BadInput(f"{path} has no images")
    try:
        numbers = table[POSE_COLUMNS].to_numpy(dtype=np.float64)
        if pd.api.types.is_float_dtype(table["index"]):
            raise ValueError("the column index must hold whole numbers")
        indices = table["index"].to_numpy(dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise BadInput(f"{path}: a pose or index is not a number: {error}") from None
    images = tuple(Path(os.path.normpath(base / image)) for image in table["image"])
    return Frames(
        images=images,
        names=tuple(name_of(image, image_root) for image in images),
        sequences=table["sequence"].to_numpy(dtype=object),
        indices=indices,
        splits=table["split"].to_numpy(dtype=object),
        cameras=tuple(table["camera"]),
        poses=poses_from_columns(numbers[:, :3], numbers[:, 3:], list(table["image"]), str(path)),
    )


def _check_texts(content: dict[str, Any], path: Path) -> None:
    for name in ("name", "units", "ground_truth", "source", "image_root"):
        if not isinstance(content.get(name, ""), str):
            raise BadInput(f"{path}: {name} is {content[name]!r}, expected text in quotes")
    name = content.get("name", "scene")
    if name in ("", ".", "..") or "/" in name:  # files are called after it
        raise BadInput(f"{path}: name is {name!r}, expected a name without /")


def name_of(image: Path, image_root: Path) -> str:
    """The short name of a photo: its path relative to the image root, with forward slashes."""
    return Path(os.path.relpath(image, image_root)).as_posix()


def _read_cameras(table: dict[str, Any], path: Path) -> dict[str, Camera]:
    cameras = {}
    for name, values in table.items():
        try:
            cameras[name] = Camera(values["model"], values["width"], values["height"], tuple(values["params"]))
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"{path}: camera {name!r}: {error}") from None
    return cameras


def _read_alignment(steps: Any, path: Path) -> tuple[AlignmentStep, ...]:
    try:
        return tuple(AlignmentStep.from_dict(step) for step in steps)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"{path}: an alignment step is damaged: {error}") from None


def _read_rejected(path: Path) -> tuple[Rejected, ...]:
    if not path.is_file():
        return ()
    try:
        table = pd.read_csv(path, dtype={"image": str, "reason": str}, keep_default_na=False)
        columns = (table["image"], [int(index) for index in table["index"]], table["reason"])
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, KeyError, ValueError):
        raise BadInput(f"{path} is not a table of image,index,reason") from None
    return tuple(Rejected(image, index, reason) for image, index, reason in zip(*columns, strict=True))
