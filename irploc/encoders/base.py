"""What an image encoder is, and the table of those that exist."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch

from irploc.errors import BadInput
from irploc.registry import Registry

PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class EncoderOptions:
    """How an encoder runs; none of it is part of the encoder's identity but ``precision``.

    Attributes:
        precision: fp32, bf16 (CPU and GPU) or fp16 (GPU only).
        device: a torch device, ``auto`` takes the GPU where there is one.
        random_weights: seed of random weights instead of pretrained ones, for tests and speed benchmarks only.
    """

    precision: str = "fp32"
    device: str = "auto"
    random_weights: int | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise BadInput(f"unknown precision {self.precision!r}, choose one of {', '.join(PRECISIONS)}")
        device = self.torch_device  # refuses one that is not there
        if self.precision == "fp16" and device.type == "cpu":
            raise BadInput("fp16 needs a GPU; on a CPU use --precision fp32 or bf16")

    @property
    def torch_device(self) -> torch.device:
        """The device that ``device`` stands for."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            chosen = torch.device(self.device)
        except RuntimeError:
            chosen = torch.device("meta")
        if chosen.type not in ("cpu", "cuda"):
            raise BadInput(f"unknown device {self.device!r}, choose auto, cpu, cuda or cuda:N")
        if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
            found = f"{torch.cuda.device_count()} GPU(s)"
            raise BadInput(f"there is no device {self.device}: torch finds {found} here; use --device cpu or auto")
        return chosen


class Encoder(ABC):
    """A frozen function from photos to unit vectors.

    Attributes:
        name: as the user types it, ``netvlad-vgg16`` or ``onnx:PATH``.
        dimension: length of a vector; 0 until a fitted encoder is fitted.
        weights_sha256: of the weights or the fitted state; two encoders with the same name and hash give the same vectors.
        preprocessing: one line saying what happens to the pixels, kept with every file of embeddings.
        minimum_side: smallest width and height it can encode, pixels.
        options: how it runs.
    """

    name: str
    dimension: int
    weights_sha256: str
    preprocessing: str
    minimum_side: ClassVar[int] = 32
    needs_fitting: ClassVar[bool] = False
    options: EncoderOptions

    @abstractmethod
    def encode(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, dimension) float32 unit vectors, on the CPU, of (B, 3, H, W) uint8 RGB images.

        Each row depends on its own image only. All preprocessing happens here.
        """

    def fit(self, images: Callable[[], Iterator[np.ndarray]], count: int, seed: int) -> None:
        """Learns what the encoder needs from the mapping photos; only called when ``needs_fitting``.

        Args:
            images: gives a new pass over the mapping photos, (3, H, W) uint8 each, in a fixed order.
            count: how many there are.
            seed: of every random choice.
        """
        raise ValueError(f"{self.name} is not fitted")

    def state(self) -> dict[str, np.ndarray]:
        """What ``fit`` learned, to be kept with the embeddings; empty for pretrained encoders."""
        return {}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """The inverse of ``state``."""
        if state:
            raise ValueError(f"{self.name} keeps no state")


class EncoderFactory(Protocol):
    """Builds an encoder from the name typed (with what follows a colon) and the options."""

    def __call__(self, name: str, options: EncoderOptions) -> Encoder: ...


@dataclass(frozen=True)
class EncoderEntry:
    """One line of `irploc encoders`.

    Attributes:
        factory: builds it.
        dimension: of its vectors; None where it depends on the file or the fit.
        source: where its weights come from, for people.
        weights: key in the weights catalogue, or None when it needs none.
    """

    factory: EncoderFactory
    dimension: int | None
    source: str
    weights: str | None = None


ENCODERS: Registry[EncoderEntry] = Registry("encoder")


def create_encoder(name: str, options: EncoderOptions | None = None) -> Encoder:
    """The encoder a user names; ``kind:argument`` names (``onnx:PATH``) are looked up by what precedes the colon.

    Raises:
        NotFound: unknown name, or its weights are absent.
    """
    kind = name.partition(":")[0]
    return ENCODERS.get(kind).factory(name, options or EncoderOptions())


def check_images(images_BCHW: torch.Tensor, minimum_side: int) -> None:
    """Raises ValueError unless these are (B, 3, H, W) uint8 with sides of at least ``minimum_side``."""
    shape = tuple(images_BCHW.shape)
    if images_BCHW.dtype != torch.uint8 or len(shape) != 4 or shape[1] != 3:
        raise ValueError(f"images are {images_BCHW.dtype} {shape}, expected uint8 (B, 3, H, W)")
    if min(shape[2:]) < minimum_side:
        raise ValueError(f"images are {shape[3]}x{shape[2]}, expected at least {minimum_side} pixels a side")


def unit_rows(vectors: torch.Tensor) -> torch.Tensor:
    """float32 rows of length one."""
    return torch.nn.functional.normalize(vectors.float(), dim=1)
