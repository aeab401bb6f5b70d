"""``OnnxLocalizer``: photo in, pose out, by one exported file and nothing else; no torch, no scene, no embeddings.

The file is written by ``irploc export``: an ONNX graph, then its metadata, with which it begins to be ours.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from irploc import provenance
from irploc.errors import BadInput, IrplocError, Mismatch, NotFound
from irploc.geometry.poses import Poses
from irploc.images import crop_centre, resize_to_max_side, scale_shorter_side, to_array
from irploc.localizer.decoding import DecodedPhoto, decode_ahead
from irploc.localizer.localization import Localization
from irploc.onnxruntime_safe import import_onnxruntime

FORMAT, VERSION = "irploc-onnx", 1
INPUT, POSITION, QUATERNION, EMBEDDING = "image", "position_m", "quaternion_wxyz", "embedding"
_INSTALL = "pip install 'irploc[onnx]'"
_OF_THE_GRAPH = ("graph_bytes", "graph_sha256")


@dataclass(frozen=True)
class Preparation:
    """What happens to an upright RGB photo before the graph, as when the model was trained.

    Attributes:
        max_side: longer side in pixels that it is reduced to; 0 is native resolution.
        shorter_side, crop: pixels that the shorter side is scaled to instead, and side of the square that is then cut out
            of the middle; 0 where photos stay whole.
    """

    max_side: int
    shorter_side: int = 0
    crop: int = 0

    def apply(self, photo: Image.Image) -> Image.Image:
        """The photo as the graph takes it."""
        if self.crop:
            return crop_centre(scale_shorter_side(photo, self.shorter_side), self.crop)
        return resize_to_max_side(photo, self.max_side or None)


@dataclass(frozen=True)
class About:
    """What an exported file says of itself; kept in its metadata, one entry each.

    Attributes:
        scene, units, ground_truth, mapping_fingerprint: of the place that it answers for.
        method: of the model.
        encoder, weights_sha256, preprocessing: as in the embeddings that it was trained on; a file's name without folder.
        max_side, shorter_side, crop: of ``Preparation``.
        minimum_side: smallest width and height it takes, after that.
        dimension: of the embedding.
        model, model_sha256: name and hash of the model file it was made from.
        seed: of that one's training.
        heads: how many are averaged.
        precision: ``fp32``, ``fp16`` (weights) or ``int8`` (weights and activations).
        how: what was done for the precision, a sentence.
        check: largest differences from torch and on what, of the fp32 graph.
        loss: medians on photos before and after the precision was lowered; empty for fp32 and where there were no photos.
    """

    scene: str
    units: str
    ground_truth: str
    mapping_fingerprint: str
    method: str
    encoder: str
    weights_sha256: str
    preprocessing: str
    max_side: int
    shorter_side: int
    crop: int
    minimum_side: int
    dimension: int
    model: str
    model_sha256: str
    seed: int
    heads: int
    precision: str
    how: str
    check: Mapping[str, Any]
    loss: Mapping[str, Any]

    @property
    def preparation(self) -> Preparation:
        """What happens to photos before the graph."""
        return Preparation(self.max_side, self.shorter_side, self.crop)

    def to_metadata(self) -> dict[str, str]:
        """Texts as they are, everything else as JSON, behind the header that all our files have."""
        values = {**provenance.header(FORMAT, VERSION), **{f.name: getattr(self, f.name) for f in fields(self)}}
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}

    @classmethod
    def from_metadata(cls, found: Mapping[str, str], path: Path) -> About:
        """The inverse. Raises Mismatch for something else than an exported file, or another version of it."""
        if found.get("format") != FORMAT:
            raise Mismatch(f"{path} is an ONNX file, but no {FORMAT} file: make one with 'irploc export MODEL'")
        try:
            provenance.check_header({"format": FORMAT, "version": json.loads(found["version"])}, FORMAT, VERSION, path)
            texts = {f.name: found[f.name] for f in fields(cls)}
            values: dict[str, Any] = {
                f.name: texts[f.name] if f.type == "str" else json.loads(texts[f.name]) for f in fields(cls)
            }
        except (KeyError, ValueError) as error:
            raise BadInput(f"{path} is damaged: its metadata cannot be read ({error}); export it again") from None
        return cls(**values)


class OnnxLocalizer:
    """An exported model, loaded and warm; answers as ``Localizer`` does, without neighbours and confidence.

    >>> OnnxLocalizer(Path("kitchen.onnx")).localize(["photo.jpg"])[0].pose.centers_m

    Args:
        path: of the file.
        threads: None takes all cores.

    Raises:
        NotFound: no such file, or no onnxruntime. BadInput: no ONNX file, truncated or damaged. Mismatch: an ONNX file that
            was not exported by irploc, or by another version.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self.path = Path(path)
        content = _content(self.path)
        self._session = open_session(content, str(self.path), threads)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.about = About.from_metadata(metadata, self.path)
        _check_intact(content, metadata, self.path)
        batch = self._session.get_inputs()[0].shape[0]
        self._batch = batch if isinstance(batch, int) else None

    @property
    def method(self) -> str:
        """That of the model."""
        return self.about.method

    def localize(self, images: Sequence[Path | str | Image.Image | np.ndarray]) -> list[Localization]:
        """One answer per photo, in order; paths, PIL images, or (H, W, 3) uint8 RGB arrays.

        Raises:
            BadInput, NotFound: for the first photo that cannot be used; ``localize_many`` goes on instead.
        """
        answers = []
        for answer in self.localize_many(images):
            if isinstance(answer, IrplocError):
                raise answer
            answers.append(answer)
        return answers

    def localize_many(
        self, images: Iterable[Path | str | Image.Image | np.ndarray], batch_size: int = 4
    ) -> Iterator[Localization | IrplocError]:
        """Answers in order, an error in the place of each photo that cannot be used; decodes ahead of the graph.

        Raises:
            BadInput: for one photo instead of a list of them.
        """
        if isinstance(images, str | Path | Image.Image):
            given = images if isinstance(images, str | Path) else "image"
            raise BadInput(f"localize takes a list of photos: give [{given}]")
        batch: list[DecodedPhoto] = []
        least = self.about.minimum_side
        for photo in map(self._prepared, decode_ahead(images, self.about.max_side or None, 2 * batch_size)):
            if batch and (photo.shape != batch[0].shape or len(batch) == batch_size or photo.error):
                yield from self._answer(batch)
                batch = []
            if photo.error is not None:
                yield photo.error
            elif min(photo.shape[1:]) < least:
                size = f"{photo.shape[2]}x{photo.shape[1]}"
                yield BadInput(f"{photo.name} is {size}, {self.about.encoder} needs at least {least} pixels a side")
            else:
                batch.append(photo)
        yield from self._answer(batch)

    def poses(self, images_BCHW: np.ndarray) -> Poses:
        """B poses of (B, 3, H, W) uint8 RGB, reduced to ``max_side`` already.

        Raises:
            BadInput: when the graph cannot take them, or gives no numbers.
        """
        return run_poses(self._session, images_BCHW, self._batch, str(self.path))

    def _prepared(self, photo: DecodedPhoto) -> DecodedPhoto:
        if photo.error is not None or not self.about.crop:
            return photo  # reduced to the longest side already
        whole = Image.fromarray(np.ascontiguousarray(photo.pixels.transpose(1, 2, 0)))
        return replace(photo, pixels=to_array(self.about.preparation.apply(whole)), whole=False)

    def _answer(self, batch: list[DecodedPhoto]) -> Iterator[Localization]:
        if not batch:
            return
        started = time.perf_counter()
        poses = self.poses(np.stack([photo.pixels for photo in batch]))
        run_ms = 1e3 * (time.perf_counter() - started) / len(batch)
        for photo, pose in zip(batch, poses, strict=True):
            timing_ms = {"decode": photo.decode_ms, "encode": run_ms, "estimate": 0.0}
            about = self.about
            yield Localization(photo.name, "ok", about.method, about.scene, pose, None, (), timing_ms, about.units)


def open_session(content: bytes, where: str, threads: int | None = None) -> Any:
    """An onnxruntime session on the CPU; raises NotFound without onnxruntime, BadInput for no ONNX."""
    try:
        onnxruntime = import_onnxruntime()
    except ImportError:
        raise NotFound(f"{where} needs onnxruntime, which is not installed: {_INSTALL}") from None
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads or 0
    settings.log_severity_level = 4  # what goes wrong is raised; a second account of it on stderr is noise
    # Waiting threads that spin take the cores from the decoding of the next photos.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(content, settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # the exceptions of onnxruntime have no common class but this
        raise BadInput(f"{where} is truncated, damaged or no ONNX file: {_first_line(error)}") from None


def run_poses(session: Any, images_BCHW: np.ndarray, batch: int | None, where: str) -> Poses:
    """B poses of (B, 3, H, W) uint8 RGB; in groups where the graph takes a fixed ``batch``, the last one filled up."""
    pixels_BCHW = np.divide(images_BCHW, np.float32(255), dtype=np.float32)
    count = len(pixels_BCHW)
    step = batch or max(1, count)
    parts = []
    for start in range(0, count, step):
        group = pixels_BCHW[start : start + step]
        if batch and len(group) < batch:
            group = np.concatenate([group, np.repeat(group[-1:], batch - len(group), axis=0)])
        try:
            parts.append(session.run([POSITION, QUATERNION], {INPUT: group}))
        except Exception as error:  # the exceptions of onnxruntime have no common class but this
            size = f"{group.shape[3]}x{group.shape[2]}"
            raise BadInput(f"{where} cannot take an image of {size} pixels: {_first_line(error)}") from None
    if not parts:
        return Poses.missing(0)
    positions, quats = (np.concatenate(values)[:count] for values in zip(*parts, strict=True))
    if not (np.isfinite(positions).all() and np.isfinite(quats).all()):
        raise BadInput(f"{where} gives NaN or infinite values for an image")
    return Poses(positions, quats)


def with_metadata(graph: bytes, metadata: Mapping[str, str]) -> bytes:
    """A serialised ONNX model followed by metadata: in protocol buffers, messages one after the other are one message.

    So that damage is seen, the metadata count and hash the bytes before them.
    """
    entries = {**metadata, "graph_bytes": str(len(graph)), "graph_sha256": hashlib.sha256(graph).hexdigest()}
    return graph + b"".join(_METADATA_PROPS + _sized(_entry(name, value)) for name, value in entries.items())


_METADATA_PROPS = bytes([14 << 3 | 2])  # field 14 of ModelProto: StringStringEntryProto, repeated


def _entry(key: str, value: str) -> bytes:
    """A StringStringEntryProto: field 1 the key, field 2 the value."""
    return b"\x0a" + _sized(key.encode()) + b"\x12" + _sized(value.encode())


def _sized(content: bytes) -> bytes:
    """Behind its length as a varint."""
    length, prefix = len(content), bytearray()
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*prefix, length]) + content


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"no model {path}: make it with 'irploc export MODEL'") from None
    except IsADirectoryError:
        raise BadInput(f"{path} is a folder, expected a file of 'irploc export'") from None
    except PermissionError:
        raise BadInput(f"{path} cannot be opened: no permission") from None
    if not content:
        raise BadInput(f"{path} is empty (0 bytes), expected a file of 'irploc export'")
    return content


def _check_intact(content: bytes, metadata: Mapping[str, str], path: Path) -> None:
    length, wanted = (metadata.get(name, "") for name in _OF_THE_GRAPH)
    found = hashlib.sha256(memoryview(content)[: int(length)]).hexdigest() if length.isdecimal() else ""
    if not wanted or found != wanted:
        raise BadInput(f"{path} is damaged: its graph is not the one that was written; export it again")


def _first_line(error: Exception, limit: int = 160) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
