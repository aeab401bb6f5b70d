"""The tables of a scene's folder: ``frames.csv`` and ``rejected.csv``."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from irploc.errors import BadInput, NotFound
from irploc.scene.frames import Frames, Rejected, name_of, poses_from_columns

POSE_COLUMNS = ["tx", "ty", "tz", "qw", "qx", "qy", "qz"]
COLUMNS = ["image", "sequence", "index", "split", "camera", *POSE_COLUMNS]
LABEL_COLUMN = "label"  # the last one, written only where a photo has a label


def frames_table(frames: Frames, folder: Path) -> str:
    """The text of ``frames.csv`` for a scene in ``folder``, which paths are relative to where they can be.

    A column ``label`` comes last where a pose is not ground truth.
    """
    table = pd.DataFrame(
        {
            "image": [stored_path(path, folder) for path in frames.images],
            "sequence": frames.sequences,
            "index": frames.indices,
            "split": frames.splits,
            "camera": frames.cameras,
        }
    )
    table[POSE_COLUMNS] = np.concatenate([frames.poses.centers_m, frames.poses.world_from_cam_wxyz], axis=1)
    if frames.learned.any():
        table[LABEL_COLUMN] = frames.labels
    return table.to_csv(index=False)


def read_frames(folder: Path, base: Path, image_root: Path) -> Frames:
    """The frames of the scene in ``folder``; stored paths are relative to ``base``.

    Raises:
        NotFound: no such file. BadInput: it is no such table, or a pose cannot be one.
    """
    path = folder / "frames.csv"
    text = {"image": str, "sequence": str, "split": str, "camera": str, LABEL_COLUMN: str}
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
        labels=table[LABEL_COLUMN].to_numpy(dtype=object) if LABEL_COLUMN in table else None,  # type: ignore[arg-type]
    )


def rejected_table(rejected: tuple[Rejected, ...]) -> str:
    """The text of ``rejected.csv``."""
    return pd.DataFrame([vars(item) for item in rejected], columns=["image", "index", "reason"]).to_csv(index=False)


def read_rejected(path: Path) -> tuple[Rejected, ...]:
    """What ``rejected_table`` wrote; none where there is no file.

    Raises:
        BadInput: it is no such table.
    """
    if not path.is_file():
        return ()
    try:
        table = pd.read_csv(path, dtype={"image": str, "reason": str}, keep_default_na=False)
        columns = (table["image"], [int(index) for index in table["index"]], table["reason"])
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, KeyError, ValueError):
        raise BadInput(f"{path} is not a table of image,index,reason") from None
    return tuple(Rejected(image, index, reason) for image, index, reason in zip(*columns, strict=True))


def stored_path(path: Path, folder: Path) -> str:
    """``path`` relative to ``folder`` when they share more than the file system's root, else absolute."""
    path, folder = path.absolute(), folder.absolute()
    if os.path.commonpath([path, folder]) == path.anchor:
        return str(path)
    return Path(os.path.relpath(path, folder)).as_posix()
