"""``Scene``: a mapped place as a list of posed photos, and its folder format (`scene.toml`, `frames.csv`, `rejected.csv`).

The photos themselves stay where they are."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from irploc import provenance
from irploc.errors import BadInput, NotFound
from irploc.files import write_text
from irploc.geometry.cameras import Camera
from irploc.geometry.similarity import AlignmentStep
from irploc.scene.frames import SPLITS, Frames, Rejected, check_frames, mapping_fingerprint
from irploc.scene.tables import frames_table, read_frames, read_rejected, rejected_table, stored_path

FORMAT, VERSION = "irploc-scene", 1
UNFINISHED = ".aligned"  # folder in a scene whose files are being replaced by those in it


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
            "image_root": stored_path(self.image_root, folder),
            "cameras": {
                name: {"model": cam.model, "width": cam.width, "height": cam.height, "params": list(cam.params)}
                for name, cam in self.cameras.items()
            },
        }
        if self.alignment:
            content["alignment"] = [step.to_dict() for step in self.alignment]
        tables = self.split_tables(folder) if any((folder / f"{split}.csv").is_file() for split in SPLITS) else {}
        return {
            "frames.csv": frames_table(self.frames, folder),
            "rejected.csv": rejected_table(self.rejected),
            **tables,
            "scene.toml": tomli_w.dumps(content),
        }

    def split_tables(self, folder: Path) -> dict[str, str]:
        """``train.csv``, ``validation.csv`` and ``test.csv`` -> rows of ``frames.csv``. Where a scene's folder has them they
        are written again with the scene, so that they agree."""
        return {f"{split}.csv": frames_table(self.frames.of_split(split), folder) for split in SPLITS}

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
            frames=read_frames(folder, base, image_root),
            cameras=_read_cameras(content.get("cameras", {}), path),
            ground_truth=content.get("ground_truth", "unknown"),
            source=content.get("source", "unknown"),
            units=content.get("units", "metres"),
            rejected=read_rejected(folder / "rejected.csv"),
            alignment=_read_alignment(content.get("alignment", []), path),
        )


def _base_of_paths(folder: Path, image_root: str) -> Path:
    """The absolute folder that stored paths are relative to: as the user wrote it, or, where that leads nowhere because
    ``folder`` is reached through a link, where it really lies."""
    written, real = folder.absolute(), folder.resolve()
    leads_nowhere = not Path(os.path.normpath(written / image_root)).exists()
    return real if leads_nowhere and Path(os.path.normpath(real / image_root)).exists() else written


def _check_texts(content: dict[str, Any], path: Path) -> None:
    for name in ("name", "units", "ground_truth", "source", "image_root"):
        if not isinstance(content.get(name, ""), str):
            raise BadInput(f"{path}: {name} is {content[name]!r}, expected text in quotes")
    name = content.get("name", "scene")
    if name in ("", ".", "..") or "/" in name:  # files are called after it
        raise BadInput(f"{path}: name is {name!r}, expected a name without /")


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
