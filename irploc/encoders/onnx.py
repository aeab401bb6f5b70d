"""Any image encoder exported to ONNX: ``onnx:PATH``."""

from __future__ import annotations

import hashlib
import logging
import mmap
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from irploc.encoders.base import ENCODERS, Encoder, EncoderEntry, EncoderOptions, check_images, unit_rows
from irploc.errors import BadInput, NotFound
from irploc.onnxruntime_safe import import_onnxruntime

logger = logging.getLogger(__name__)
INSTALL = "pip install 'irploc[onnx]'"
PROBE_SIDE = 224
_CUDA = "CUDAExecutionProvider"
_INPUT_TYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16}
_EXTERNAL_FILE = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])")  # a StringStringEntryProto whose key is "location"
Shape = Sequence[int | str | None]


class OnnxEncoder(Encoder):
    """An ONNX file that maps RGB in [0, 1], (batch, 3, H, W), to one vector per image.

    The vector is the first 2-D output, else the first of shape (batch, D, 1, 1); it is brought to unit length here (a
    vector of zeros stays zero). ``name`` carries the absolute path, so that embeddings can be used from any folder.
    A batch size fixed in the file is obeyed: images are passed in groups of it, the last one filled up. An image size
    fixed in the file is obeyed too: images are resized to it, not keeping the aspect ratio, and ``preprocessing`` says so.
    """

    def __init__(self, name: str, options: EncoderOptions) -> None:
        """Raises NotFound (no file, no onnxruntime) or BadInput (not such a file, or options that it cannot follow)."""
        path = _resolve(name)
        _check_options(path, options)
        self.name = f"onnx:{path}"
        self.options = options
        self.weights_sha256 = _sha256(path)
        self._path = path
        self._session = _open_session(path, options)
        self._input, self._dtype, (self._batch, *size) = _check_input(path, self._session.get_inputs())
        if options.precision == "fp16" and self._dtype != torch.float16:
            raise BadInput(f"{path} computes in float32: use --precision fp32, or a file exported in float16")
        self._height, self._width = size
        self._output, self.dimension = self._find_output()
        self.preprocessing = "RGB / 255"
        if self._height or self._width:
            size_text = f"{self._width or 'any'}x{self._height or 'any'}"
            self.preprocessing += f", resized to {size_text} (width x height, antialiased bilinear, aspect ratio not kept)"

    def encode(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, dimension) float32 unit vectors; raises BadInput where the file cannot take the image or gives NaN."""
        check_images(images_BCHW, self.minimum_side)
        pixels_BCHW = self._preprocess(images_BCHW)
        step = self._batch or max(1, len(pixels_BCHW))
        parts = [self._encode_group(pixels_BCHW[i : i + step]) for i in range(0, len(pixels_BCHW), step)]
        if not parts:
            return torch.empty(0, self.dimension)
        vectors_BD = torch.from_numpy(np.concatenate(parts) if len(parts) > 1 else parts[0]).float()
        if not torch.isfinite(vectors_BD).all():
            raise BadInput(f"{self._path} gives NaN or infinite values for an image of {_size_text(images_BCHW)} pixels")
        return unit_rows(vectors_BD)

    @property
    def path(self) -> Path:
        """Of the file, absolute."""
        return self._path

    @property
    def output(self) -> str:
        """Name of the output that is the vector."""
        return self._output

    @property
    def fixed_batch(self) -> int | None:
        """The number of images that the file takes; None where it is free."""
        return self._batch

    @property
    def fixed_size(self) -> tuple[int | None, int | None]:
        """Height and width that images are resized to; None where they are free."""
        return self._height, self._width

    def _preprocess(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        # numpy in one thread and one pass: torch would wake all its threads for a fifth of a millisecond of work.
        pixels_BCHW = torch.from_numpy(np.divide(images_BCHW.cpu().numpy(), np.float32(255), dtype=np.float32))
        height, width = pixels_BCHW.shape[-2:]
        wanted = (self._height or height, self._width or width)
        if wanted != (height, width):
            pixels_BCHW = torch.nn.functional.interpolate(pixels_BCHW, wanted, mode="bilinear", antialias=True)
        return pixels_BCHW.to(self._dtype)

    def _encode_group(self, pixels_BCHW: torch.Tensor) -> np.ndarray:
        """(B, D) of at most one fixed batch, which is filled up with copies of the last image."""
        count = len(pixels_BCHW)
        missing = (self._batch or count) - count
        if missing:
            pixels_BCHW = torch.cat([pixels_BCHW, pixels_BCHW[-1:].expand(missing, -1, -1, -1)])
        (output,) = self._run([self._output], pixels_BCHW)
        if output.shape[0] != len(pixels_BCHW) or output.size != len(output) * self.dimension:
            raise BadInput(
                f"{self._path} gives an output of shape {output.shape} for {len(pixels_BCHW)} images of "
                f"{_size_text(pixels_BCHW)} pixels, expected ({len(pixels_BCHW)}, {self.dimension})"
            )
        return output.reshape(-1, self.dimension)[:count]

    def _run(self, outputs: list[str] | None, pixels_BCHW: torch.Tensor) -> list[np.ndarray]:
        try:
            return self._session.run(outputs, {self._input: pixels_BCHW.contiguous().numpy()})
        except Exception as error:  # the exceptions of onnxruntime have no common class but this
            raise _run_error(self._path, pixels_BCHW, error) from None

    def _find_output(self) -> tuple[str, int]:
        """Name and length of the output that is the vector: as the file declares it, else as one image shows it."""
        outputs = self._session.get_outputs()
        chosen = _first_vector([output.shape for output in outputs])
        if chosen is not None and isinstance(outputs[chosen].shape[1], int):
            return outputs[chosen].name, outputs[chosen].shape[1]
        size = (self._height or PROBE_SIDE, self._width or PROBE_SIDE)
        values = self._run(None, torch.full((self._batch or 1, 3, *size), 0.5, dtype=self._dtype))
        shapes = [np.shape(value) for value in values]
        chosen = _first_vector(shapes)
        if chosen is None or shapes[chosen][0] != (self._batch or 1):
            text = ", ".join(map(str, shapes))
            raise BadInput(f"{self._path} gives {text} for one image, expected one vector per image: (batch, D)")
        return outputs[chosen].name, shapes[chosen][1]


def _resolve(name: str) -> Path:
    argument = name.partition(":")[2]
    if not argument:
        raise BadInput("the encoder onnx needs a file: onnx:PATH")
    path = Path(argument).expanduser().resolve()
    if path.is_dir():
        raise BadInput(f"{path} is a folder, expected an ONNX file")
    if not path.exists():
        raise NotFound(f"no ONNX file {path}")
    return path


def _check_options(path: Path, options: EncoderOptions) -> None:
    if options.precision == "bf16":
        raise BadInput(f"{path}: the precision of an ONNX file is fixed when it is exported, use --precision fp32")
    if options.random_weights is not None:
        raise BadInput(f"{path}: an ONNX file has its own weights, random ones are not possible")
    if options.torch_device.type not in ("cpu", "cuda"):
        raise BadInput(f"ONNX files run on cpu or cuda, not on {options.device}")


def _sha256(path: Path) -> str:
    """Of the file; where it keeps weights in files beside it, of the hashes of all of them, in order of their names."""
    try:
        digests = [_file_sha256(path)]
        for name in _external_files(path):
            if not (path.parent / name).is_file():
                raise NotFound(f"{path} keeps weights in {path.parent / name}, which does not exist")
            digests.append(_file_sha256(path.parent / name))
    except PermissionError:
        raise BadInput(f"{path} cannot be opened: no permission") from None
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _external_files(path: Path) -> list[str]:
    """Names of the files that hold the tensors kept outside of the ONNX file."""
    if path.stat().st_size == 0:
        raise BadInput(f"{path} is empty (0 bytes), expected an ONNX file")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        spans = [(match.end(), match.end() + match.group(1)[0]) for match in _EXTERNAL_FILE.finditer(content)]
        return sorted({content[start:end].decode(errors="replace") for start, end in spans})


def _open_session(path: Path, options: EncoderOptions) -> Any:
    try:
        onnxruntime = import_onnxruntime()
    except ImportError:
        raise NotFound(f"the encoder onnx needs onnxruntime, which is not installed: {INSTALL}") from None
    providers = _providers(onnxruntime, options)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.log_severity_level = 4  # what goes wrong is raised; a second account of it on stderr is noise
    # Waiting threads that spin take the cores from the decoding of the next photos.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=providers)
    except Exception as error:  # the exceptions of onnxruntime have no common class but this
        raise BadInput(f"{path} cannot be loaded as ONNX: {_first_line(error)}") from None
    if len(providers) > 1 and _CUDA not in session.get_providers():  # it went on without a word
        reason = "onnxruntime cannot use the GPU: its CUDA or cuDNN is missing or of another version than torch's"
        if options.device != "auto":
            raise BadInput(f"{reason}; use --device cpu")
        logger.warning("%s; %s runs on the CPU", reason, path)
    return session


def _providers(onnxruntime: Any, options: EncoderOptions) -> list[Any]:
    """What computes, the first that can; raises BadInput where a GPU is asked for that it cannot use."""
    device = options.torch_device
    if device.type == "cuda" and _CUDA in onnxruntime.get_available_providers():
        return [(_CUDA, {"device_id": device.index or 0}), "CPUExecutionProvider"]
    if device.type == "cuda" and options.device != "auto":
        raise BadInput("this onnxruntime has no GPU support: use --device cpu, or pip install onnxruntime-gpu instead")
    return ["CPUExecutionProvider"]


def _check_input(path: Path, inputs: Sequence[Any]) -> tuple[str, torch.dtype, tuple[int | None, int | None, int | None]]:
    """Name, type and fixed (batch, height, width) of the only input; None where a length is free."""
    if len(inputs) != 1:
        raise BadInput(f"{path} has {len(inputs)} inputs, expected one: a batch of images")
    first = inputs[0]
    if first.type not in _INPUT_TYPES:
        raise BadInput(f"{path}: input {first.name} is {first.type}, expected float or float16")
    shape = first.shape or []
    channels_last = len(shape) == 4 and shape[3] == 3 and shape[1] != 3
    if len(shape) != 4 or channels_last or (isinstance(shape[1], int) and shape[1] != 3):
        text = ", ".join(str(length) for length in shape)
        raise BadInput(f"{path}: input {first.name} has the shape ({text}), expected (batch, 3, height, width)")
    batch, _, height, width = (length if isinstance(length, int) and length > 0 else None for length in shape)
    return first.name, _INPUT_TYPES[first.type], (batch, height, width)


def _first_vector(shapes: Sequence[Shape]) -> int | None:
    """Position of the first 2-D shape, else of the first (batch, D, 1, 1)."""
    flat = (i for i, shape in enumerate(shapes) if len(shape or ()) == 2)
    pooled = (i for i, shape in enumerate(shapes) if len(shape or ()) == 4 and tuple(shape[2:]) == (1, 1))
    return next(flat, next(pooled, None))


def _run_error(path: Path, pixels_BCHW: torch.Tensor, error: Exception) -> Exception:
    """What a failed run means: memory that ran out is left to the caller, who can try a smaller batch."""
    text = str(error)
    if any(sign in text.lower() for sign in ("out of memory", "failed to allocate", "bad_alloc", "bad allocation")):
        return MemoryError(text)
    return BadInput(f"{path} cannot encode an image of {_size_text(pixels_BCHW)} pixels: {_first_line(error)}")


def _size_text(images_BCHW: torch.Tensor) -> str:
    return f"{images_BCHW.shape[-1]}x{images_BCHW.shape[-2]}"


def _first_line(error: Exception, limit: int = 200) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


ENCODERS.register("onnx")(
    EncoderEntry(OnnxEncoder, None, "onnx:PATH, a file of yours: RGB in [0, 1] to one vector per image")
)
