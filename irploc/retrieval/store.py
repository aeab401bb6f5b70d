"""``EmbeddingStore``: the vectors of a scene's photos in one HDF5 file that survives being killed at any moment.

Everything is allocated and the structure written once, in a temporary file that is renamed into place; from then on
only raw data change, rows first and their ``done`` mark after, so that a file is valid whenever its writer dies.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from irploc import provenance
from irploc.errors import BadInput, Busy, Mismatch, NotFound
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.images import JitterOptions
from irploc.scene import Frames

FORMAT, VERSION = "irploc-embeddings", 1
DTYPES = ("float16", "float32")
NOT_RECORDED = "not recorded"  # units, in the first files
_UNCACHED = {"rdcc_nbytes": 0}  # rows are read and written whole; a chunk cache would only double the traffic
_TEXT = h5py.string_dtype()
_LABELS = ("scene", "scene_folder", "mapping_fingerprint", "ground_truth", "units", "encoder")  # the encoder's file may move


@dataclass(frozen=True)
class StoreHeader:
    """What the vectors in a store are. All but ``_LABELS`` must agree for images to be added.

    Attributes:
        scene, scene_folder: the scene's name and absolute path.
        mapping_fingerprint: ``Scene.mapping_fingerprint`` when the labels were written.
        ground_truth: of the poses.
        units: of the poses; ``metres`` unless the scene has no metric scale.
        encoder: as typed (``onnx:`` with an absolute path).
        weights_sha256: of the encoder's weights or fitted state.
        preprocessing: the encoder's own line.
        max_side: longer side in pixels after resizing; 0 is native resolution.
        precision: fp32, bf16 or fp16 arithmetic.
        augmentations: m, the jittered versions of each mapping photo.
        jitter: their ranges.
        seed: of the jitter and of a fit.
        dtype: float16 or float32 on disk.
        dimension: D.
    """

    scene: str
    scene_folder: str
    mapping_fingerprint: str
    ground_truth: str
    units: str
    encoder: str
    weights_sha256: str
    preprocessing: str
    max_side: int
    precision: str
    augmentations: int
    jitter: JitterOptions
    seed: int
    dtype: str
    dimension: int

    def differences(self, other: StoreHeader) -> list[str]:
        """Settings that make the vectors of two stores incomparable, ``name: ours, not theirs``."""
        found = []
        for name in [field.name for field in fields(self) if field.name not in _LABELS]:
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours != theirs:
                found.append(f"{name} {theirs!r} instead of {ours!r}")
        if self.encoder.partition(":")[0] != other.encoder.partition(":")[0]:
            found.insert(0, f"encoder {other.encoder} instead of {self.encoder}")
        return found


class EmbeddingStore:
    """An open store. Made by ``open`` (for reading), ``create`` and ``open_for_writing``; a context manager.

    Attributes:
        path: of the file.
        header: what the vectors are.
        frames: the N photos, with the paths and labels the scene had when they were written.
        cameras: intrinsics by name.
        image_root: what the names are relative to.
        done: (N,) bool, which photos are completely embedded.
        file_sizes: (N,) bytes of each photo when it was embedded.
        left_out: names of photos of the scene that could not be read and were left out at the user's wish.
        fitted: whether the encoder was fitted on the mapping photos.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self._file = file
        self.header = _read_header(file.attrs, path)
        self.image_root = Path(file.attrs["image_root"])
        self.cameras = {
            name: Camera(values["model"], values["width"], values["height"], tuple(values["params"]))
            for name, values in json.loads(file.attrs["cameras"]).items()
        }
        self.frames = _read_frames(file, self.image_root)
        self.done = file["done"][:].astype(bool)
        self.file_sizes = file["file_size"][:]
        self.left_out: tuple[str, ...] = tuple(json.loads(file.attrs["left_out"]))
        self.fitted = len(file["encoder_state"]) > 0

    # -- opening ---------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, path: Path, complete: bool = True) -> EmbeddingStore:
        """Opens a store for reading.

        Raises:
            NotFound: no such file. BadInput: truncated, foreign, or not all done while ``complete`` is asked for.
            Busy: another process is writing it. Mismatch: another format version.
        """
        store = cls._open(path, "r")
        missing = int((~store.done).sum())
        if complete and missing:
            store.close()
            raise BadInput(
                f"{path}: {missing} of {len(store.done)} images are not embedded yet: run the same 'irploc embed' again"
            )
        return store

    @classmethod
    def open_for_writing(cls, path: Path) -> EmbeddingStore:
        """Opens a store to fill in what is not done. Hold ``lock`` meanwhile."""
        return cls._open(path, "r+")

    @classmethod
    def _open(cls, path: Path, mode: str) -> EmbeddingStore:
        if not path.is_file():
            raise NotFound(f"no embeddings file {path}: make it with 'irploc embed SCENE'")
        try:
            file = h5py.File(path, mode, **_UNCACHED)
        except OSError as error:
            raise _explain(error, path) from None
        try:
            return cls(path, file)
        except (KeyError, OSError, ValueError, TypeError) as error:
            file.close()
            raise BadInput(f"{path} is damaged or was not written by irploc: {error}") from None
        except BaseException:
            file.close()
            raise

    @classmethod
    def create(
        cls,
        path: Path,
        header: StoreHeader,
        frames: Frames,
        cameras: Mapping[str, Camera],
        image_root: Path,
        file_sizes: np.ndarray,
        state: Mapping[str, np.ndarray],
        previous: EmbeddingStore | None = None,
        left_out: tuple[str, ...] = (),
    ) -> None:
        """Writes a store with nothing done, or with what ``previous`` has done for the same photos, and puts it in place.

        Raises:
            BadInput: when the disk has no room; the file that was there stays as it is.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (len(frames), 1 + header.augmentations, header.dimension)
        _check_room(path.parent, int(np.prod(shape)) * np.dtype(header.dtype).itemsize)
        temporary = path.with_name(f".{path.name}.new")
        try:
            with h5py.File(temporary, "w", **_UNCACHED) as file:
                _write_structure(file, header, frames, cameras, image_root, file_sizes, state)
                file.attrs["left_out"] = json.dumps(left_out)
                if previous is not None:
                    _copy_done(previous, file, frames)
            temporary.replace(path)
        except (OSError, RuntimeError) as error:
            raise _explain(error, path) from None
        finally:
            temporary.unlink(missing_ok=True)

    # -- reading ---------------------------------------------------------------------------------------------------

    def vectors(self, rows: np.ndarray | None = None) -> np.ndarray:
        """(n, D) float32 vectors of the plain photos (version 0), unit length; all N by default."""
        values = self._file["embeddings"][:, 0].astype(np.float32)
        chosen = values if rows is None else values[rows]
        return _normalized(self._checked(chosen))

    def all_versions(self, rows: np.ndarray) -> np.ndarray:
        """(n, 1 + m, D) vectors of all versions of mapping photos, in the dtype on disk."""
        chosen = np.flatnonzero(rows) if rows.dtype == bool else rows
        data = self._file["embeddings"]
        out = np.empty((len(chosen), *data.shape[1:]), dtype=data.dtype)
        for position, row in enumerate(chosen):
            out[position] = data[int(row)]
        return self._checked(out)

    def encoder_state(self) -> dict[str, np.ndarray]:
        """What a fitted encoder learned from the mapping photos."""
        with self._disk_errors():
            return {name: values[()] for name, values in self._file["encoder_state"].items()}

    def versions_of(self, row: int) -> int:
        """How many versions a photo has: 1 + m for mapping photos, 1 for all others."""
        return 1 + self.header.augmentations if self.frames.splits[row] == "train" else 1

    def _checked(self, vectors: np.ndarray) -> np.ndarray:
        if not np.isfinite(vectors).all():
            raise BadInput(f"{self.path} is damaged: it holds vectors that are not finite; make it again")
        return vectors

    # -- writing ---------------------------------------------------------------------------------------------------

    def write(self, row: int, version: int, vector: np.ndarray) -> None:
        """Stores one vector (D,); it counts only after ``mark_done``."""
        with self._disk_errors():
            self._file["embeddings"][row, version] = vector

    def mark_done(self, rows: list[int]) -> None:
        """Flushes what was written, then marks these photos complete."""
        if not rows:
            return
        with self._disk_errors():
            self._file.flush()
            for row in rows:
                self._file["done"][row] = 1
            self._file.flush()
        self.done[rows] = True

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:
            raise _explain(error, self.path) from None

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> EmbeddingStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Holds a store for one writer; the lock dies with the process.

    Raises:
        Busy: when another process holds it.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    lock_path = path.with_name(f".{path.name}.lock")
    while True:
        stream = lock_path.open("w")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.close()
            raise Busy(f"{path} is being written by another process: wait for it, or choose another --out") from None
        with suppress(FileNotFoundError):
            if os.fstat(stream.fileno()).st_ino == lock_path.stat().st_ino:
                break
        stream.close()  # the holder before us removed the file between our open and our lock
    try:
        yield
    finally:
        lock_path.unlink(missing_ok=True)
        stream.close()


def _write_structure(
    file: h5py.File,
    header: StoreHeader,
    frames: Frames,
    cameras: Mapping[str, Camera],
    image_root: Path,
    file_sizes: np.ndarray,
    state: Mapping[str, np.ndarray],
) -> None:
    values = {**provenance.header(FORMAT, VERSION), **asdict(header), "jitter": json.dumps(asdict(header.jitter))}
    values["image_root"] = str(image_root.absolute())
    values["cameras"] = json.dumps({name: asdict(camera) for name, camera in cameras.items()})
    for name, value in values.items():
        file.attrs[name] = value
    count, versions = len(frames), 1 + header.augmentations
    early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    chunks = (1, versions, header.dimension)
    file.create_dataset(
        "embeddings", (count, *chunks[1:]), header.dtype, chunks=chunks if count else None, dcpl=early, fillvalue=0
    )
    file.create_dataset("done", data=np.zeros(count, dtype=np.uint8))
    file.create_dataset("file_size", data=file_sizes.astype(np.int64))
    file.create_dataset("names", data=list(frames.names), dtype=_TEXT, shape=(count,))
    file.create_dataset("split", data=list(frames.splits), dtype=_TEXT, shape=(count,))
    file.create_dataset("sequence", data=list(frames.sequences), dtype=_TEXT, shape=(count,))
    file.create_dataset("camera", data=list(frames.cameras), dtype=_TEXT, shape=(count,))
    if frames.learned.any():
        file.create_dataset("label", data=list(frames.labels), dtype=_TEXT, shape=(count,))
    file.create_dataset("index", data=frames.indices)
    poses = np.concatenate([frames.poses.centers_m, frames.poses.world_from_cam_wxyz], axis=1)
    file.create_dataset("poses", data=poses)
    group = file.create_group("encoder_state")
    for name, array in state.items():
        group.create_dataset(name, data=array)


def _copy_done(previous: EmbeddingStore, file: h5py.File, frames: Frames) -> None:
    """Takes over the finished photos of ``previous`` that are still wanted, with as many versions as they now need."""
    row_of = {name: row for row, name in enumerate(previous.frames.names)}
    versions = file["embeddings"].shape[1]
    for row, name in enumerate(frames.names):
        old = row_of.get(name)
        needed = versions if frames.splits[row] == "train" else 1
        if old is None or not previous.done[old] or previous.versions_of(old) < needed:
            continue
        if previous.file_sizes[old] != file["file_size"][row]:
            continue
        file["embeddings"][row, :needed] = previous._file["embeddings"][old, :needed]
        file["done"][row] = 1


def _read_header(attributes: Mapping[str, Any], path: Path) -> StoreHeader:
    provenance.check_header(attributes, FORMAT, VERSION, path)
    values = {field.name: attributes[field.name] for field in fields(StoreHeader) if field.name != "units"}
    values["units"] = attributes.get("units", NOT_RECORDED)
    values["jitter"] = JitterOptions(**json.loads(values["jitter"]))
    for name in ("max_side", "augmentations", "seed", "dimension"):
        values[name] = int(values[name])
    return StoreHeader(**values)


def _read_frames(file: h5py.File, image_root: Path) -> Frames:
    names = tuple(file["names"].asstr()[:])
    poses = file["poses"][:]
    return Frames(
        images=tuple(Path(os.path.normpath(image_root / name)) for name in names),
        names=names,
        sequences=file["sequence"].asstr()[:],
        indices=file["index"][:],
        splits=file["split"].asstr()[:],
        cameras=tuple(file["camera"].asstr()[:]),
        poses=Poses(poses[:, :3], poses[:, 3:]),
        labels=file["label"].asstr()[:] if "label" in file else None,  # type: ignore[arg-type]
    )


def _normalized(vectors: np.ndarray) -> np.ndarray:
    """Unit rows again, for float16 rounding; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise BadInput(
            f"the embeddings need {needed / 1e6:.0f} MB and {folder} has {free / 1e6:.0f} MB free: "
            "choose another --out, fewer --augmentations, or --dtype float16"
        )


def _explain(error: Exception, path: Path) -> Exception:
    """Our words for what HDF5 says."""
    text = str(error)
    if "No space left" in text or "errno = 28" in text or "File too large" in text or "errno = 27" in text:
        return BadInput(f"no space left while writing {path}: what was done stays valid; make room and run again")
    if "unable to lock file" in text or "Resource temporarily unavailable" in text:
        return Busy(f"{path} is being used by another process: wait until it is done")
    if "truncated file" in text:
        return BadInput(f"{path} is truncated (it was copied incompletely?): copy it again or delete it and embed again")
    if "file signature not found" in text:
        return BadInput(f"{path} is not an HDF5 file, expected one written by 'irploc embed'")
    if "Permission denied" in text:
        return BadInput(f"{path} cannot be opened: permission denied")
    return Mismatch(f"{path} cannot be read: {text.splitlines()[0]}")
