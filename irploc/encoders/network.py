"""What encoders that are torch networks share: arithmetic, memory layout, and pixels in groups."""

from __future__ import annotations

import platform
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from irploc.encoders.base import Encoder, EncoderOptions, check_images, unit_rows
from irploc.errors import BadInput

# Pixels that go through a network at once. On a CPU one 640x480 image per two cores is as fast as any batch (measured),
# and a larger group only fills memory: 64 channels at full size are 79 MB an image in fp32.
_CPU_PIXELS_PER_THREAD = 1 << 18
_MOST_PIXELS = 1 << 22
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def computes_bf16(device: torch.device) -> bool:
    """Whether bf16 is faster than fp32 there: every GPU counts, and CPUs with instructions for it."""
    if device.type != "cpu":
        return True
    if platform.machine().lower() in ("x86_64", "amd64"):
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def arithmetic_dtype(options: EncoderOptions) -> torch.dtype:
    """The type that is computed in.

    On a CPU without bf16 instructions torch multiplies bf16 about twenty times slower than fp32; there, bf16 means
    weights rounded to bf16 and arithmetic in fp32, which is nearer to the fp32 vectors than true bf16 is.
    """
    dtype = _DTYPES[options.precision]
    return torch.float32 if dtype == torch.bfloat16 and not computes_bf16(options.torch_device) else dtype


def rounded(weights: torch.Tensor, options: EncoderOptions) -> torch.Tensor:
    """Weights in the options' precision, on their device, in the type that is computed in."""
    placed = weights.to(device=options.torch_device, dtype=_DTYPES[options.precision])
    return placed.to(arithmetic_dtype(options))


def frozen(network: nn.Module, options: EncoderOptions) -> nn.Module:
    """The network for inference: rounded, on the device, channels last (the faster layout on CPUs and GPUs)."""
    network = network.eval().requires_grad_(False)
    network = network.to(device=options.torch_device, dtype=_DTYPES[options.precision])
    return network.to(dtype=arithmetic_dtype(options), memory_format=torch.channels_last)  # type: ignore[call-overload]


@contextmanager
def inference() -> Iterator[None]:
    """No gradients, the same bits every time, and fp32 that is fp32: cuDNN would round it to TF32."""
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


class NetworkEncoder(Encoder):
    """An encoder that is a torch network: pixels * scale + shift -> ``_describe`` per group -> ``_finish`` per batch."""

    def __init__(self, options: EncoderOptions, scale_C: torch.Tensor, shift_C: torch.Tensor) -> None:
        self.options = options
        self._dtype = arithmetic_dtype(options)
        device = options.torch_device
        self._scale = scale_C.float().reshape(1, 3, 1, 1).to(device)
        self._shift = shift_C.float().reshape(1, 3, 1, 1).to(device)

    def encode(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, dimension) float32 unit vectors; raises BadInput where the precision does not hold the values."""
        check_images(images_BCHW, self.minimum_side)
        if not len(images_BCHW):
            return torch.empty(0, self.dimension)
        with inference():
            described = [self._describe(self._pixels(group)) for group in self._groups(images_BCHW)]
            vectors = unit_rows(self._finish(torch.cat(described))).cpu()
        if not torch.isfinite(vectors).all():
            raise BadInput(f"{self.name} leaves the range of {self.options.precision} on these images: use --precision fp32")
        return vectors.clone()  # outside of inference mode: callers may do with it what they like

    def as_module(self) -> nn.Module:
        """The same as one network, for tracing: (B, 3, H, W) float32 RGB in [0, 1] to (B, dimension), lengths free."""
        return _Whole(self)

    def _groups(self, images_BCHW: torch.Tensor) -> Iterator[torch.Tensor]:
        limit = _MOST_PIXELS
        if self.options.torch_device.type == "cpu":
            limit = min(limit, _CPU_PIXELS_PER_THREAD * torch.get_num_threads())
        count = max(1, limit // (images_BCHW.shape[2] * images_BCHW.shape[3]))
        for start in range(0, len(images_BCHW), count):
            yield images_BCHW[start : start + count]

    def _pixels(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        on_device = images_BCHW.to(self.options.torch_device)
        pixels = on_device.to(dtype=torch.float32, memory_format=torch.channels_last)
        return pixels.mul_(self._scale).add_(self._shift).to(self._dtype)

    @abstractmethod
    def _describe(self, pixels_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, K) float32 of a group of images."""

    def _finish(self, described_BK: torch.Tensor) -> torch.Tensor:
        """(B, dimension) of what ``_describe`` gave for the whole batch."""
        return described_BK


class _Whole(nn.Module):
    """All of a ``NetworkEncoder`` but the grouping of images."""

    def __init__(self, encoder: NetworkEncoder) -> None:
        super().__init__()
        self._encoder = encoder
        self._parts = nn.ModuleList(part for part in vars(encoder).values() if isinstance(part, nn.Module))

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, dimension)."""
        encoder = self._encoder
        pixels = images_BCHW * (255.0 * encoder._scale) + encoder._shift
        return encoder._finish(encoder._describe(pixels))


def he_normal(shape: torch.Size | tuple[int, ...], generator: torch.Generator, gain: float = 2.0) -> torch.Tensor:
    """Random weights of variance gain / fan-in, the first axis being the output's; 2 keeps the scale through ReLUs."""
    fan_in = torch.Size(shape[1:]).numel()
    return torch.empty(shape).normal_(0.0, (gain / fan_in) ** 0.5, generator=generator)
