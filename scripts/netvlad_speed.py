"""What `bench_embed.py` measures, each in a process of its own: rates, the limit, the plain way, peak memory."""

from __future__ import annotations

import gc
import math
import platform
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import linear, normalize

from irploc.encoders import EncoderOptions, netvlad
from irploc.encoders.netvlad import NetVladEncoder, Weights, vgg_trunk
from irploc.encoders.network import computes_bf16, inference
from irploc.geometry.poses import Poses
from irploc.images import decode_image, to_array
from irploc.retrieval.embed import EmbedOptions, embed_scene
from irploc.scene import Frames, Scene

BATCHES = (1, 2, 4, 8)
SLOW_S = 10.0  # an image of a limit that takes longer is not searched further
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PROC = Path("/proc/self")


@dataclass(frozen=True)
class Job:
    """What one child process measures."""

    folder: Path
    precision: str
    device: str
    threads: int
    width: int
    height: int
    images: int
    rounds: int
    augmentations: int


def machine(device: str, threads: int) -> dict[str, Any]:
    """What this runs on."""
    chosen = EncoderOptions(device=device).torch_device
    name = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    if chosen.type == "cuda":
        name = torch.cuda.get_device_name(chosen)
    return {
        "name": name,
        "device": chosen.type,
        "threads": threads or torch.get_num_threads(),
        "torch": torch.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "computes_bf16": computes_bf16(chosen),
    }


def measure_rates(job: Job) -> dict[str, Any]:
    """Seconds an image of ours, the limit and the plain way; the best of each over interleaved rounds."""
    if job.threads:
        torch.set_num_threads(job.threads)
    weights = netvlad.random_weights(0)
    encoder = load(job, weights)
    limit, tried = find_limit(job, weights)
    plain = PlainNetVlad(weights, encoder)
    photos = decoded(job, 2)
    agreement = (plain.encode(photos) * encoder.encode(photos)).sum(1).min().item()
    ours_s, limit_s, plain_s = [], [limit.seconds], []
    for _ in range(job.rounds):
        if limit.seconds <= SLOW_S:
            limit_s.append(limit.measure(max(1, job.images // (2 * limit.batch))))
        ours_s.append(embed(job, encoder))
        plain_s.append(timed(lambda: plain.encode(photos), encoder) / len(photos))
    return {
        "ours_s": min(ours_s),
        "limit_s": min(limit_s),
        "plain_s": min(plain_s),
        "limit_is": f"batch {limit.batch}, {limit.layout}",
        "limit_tried_s": tried,
        "cosine_to_plain": agreement,
        "rounds": {"ours_s": ours_s, "limit_s": limit_s, "plain_s": plain_s},
    }


def measure_memory(job: Job) -> dict[str, Any]:
    """Peak memory while embedding this many photos, loading not counted where the system lets us reset the peak."""
    if job.threads:
        torch.set_num_threads(job.threads)
    encoder = load(job, netvlad.random_weights(0))
    gc.collect()
    with suppress(OSError):
        (PROC / "clear_refs").write_text("5")
    on_gpu = encoder.options.torch_device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    seconds = embed(job, encoder)
    peak_gpu = torch.cuda.max_memory_allocated() if on_gpu else None
    return {"images": job.images, "seconds_per_image": seconds, "peak_rss_bytes": peak_rss(), "peak_gpu_bytes": peak_gpu}


def load(job: Job, weights: Weights) -> NetVladEncoder:
    """Our encoder, warm."""
    encoder = NetVladEncoder(weights, "random-seed-0", EncoderOptions(precision=job.precision, device=job.device))
    encoder.encode(torch.zeros(1, 3, job.height, job.width, dtype=torch.uint8))
    return encoder


def embed(job: Job, encoder: NetVladEncoder) -> float:
    """Seconds an image of the real pipeline on the first ``job.images`` photos; versions count as images."""
    count = job.images
    paths = tuple(sorted(job.folder.glob("*.jpg"))[:count])
    poses = Poses(np.zeros((count, 3)), np.tile([1.0, 0.0, 0.0, 0.0], (count, 1)))
    frames = Frames(
        images=paths,
        names=tuple(path.name for path in paths),
        sequences=np.array(["s"] * count, dtype=object),
        indices=np.arange(count),
        splits=np.array(["train"] * count, dtype=object),
        cameras=("",) * count,
        poses=poses,
    )
    scene = Scene("bench", job.folder, frames)
    target = job.folder / "bench.h5"
    target.unlink(missing_ok=True)
    options = EmbedOptions(augmentations=job.augmentations)
    return timed(lambda: embed_scene(scene, job.folder, target, encoder, options), encoder) / (
        count * (1 + job.augmentations)
    )


@dataclass(frozen=True)
class Limit:
    """The convolutions alone, in one layout and batch size; ``pixels`` is (batch, 3, H, W)."""

    network: torch.nn.Module
    pixels: torch.Tensor
    layout: str
    batch: int
    seconds: float = math.inf

    def measure(self, repeats: int = 1) -> float:
        """Seconds an image."""

        def forward() -> None:
            for _ in range(repeats):
                self.network(self.pixels)
            if self.pixels.is_cuda:
                torch.cuda.synchronize()

        with inference():
            started = time.perf_counter()
            forward()
            return (time.perf_counter() - started) / (repeats * self.batch)


def find_limit(job: Job, weights: Weights) -> tuple[Limit, dict[str, float]]:
    """The fastest batch size and layout, and the seconds an image of all that were tried."""
    tried: dict[str, float] = {}
    best: Limit | None = None
    small = {layout: make_limit(job, weights, layout, 1, 64, 64) for layout in ("contiguous", "channels_last")}
    seconds = {layout: min(limit.measure(), limit.measure()) for layout, limit in small.items()}
    for layout in seconds:
        if seconds[layout] > 3 * min(seconds.values()):
            tried[f"{layout}, at 64x64 only"] = seconds[layout]
            continue
        for batch in BATCHES:
            limit = make_limit(job, weights, layout, batch, job.width, job.height)
            first = limit.measure()
            found = first if first > SLOW_S else min(limit.measure() for _ in range(2))
            tried[f"{layout}, batch {batch}"] = found
            if best is None or found < best.seconds:
                best = Limit(limit.network, limit.pixels, layout, batch, found)
            if found > SLOW_S:
                break
    assert best is not None
    return best, tried


def make_limit(job: Job, weights: Weights, layout: str, batch: int, width: int, height: int) -> Limit:
    """``features[:-2]`` in the job's precision, as torch computes it."""
    memory_format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    dtype = DTYPES[job.precision]
    device = EncoderOptions(device=job.device).torch_device
    network = vgg_trunk()
    network.load_state_dict(
        {name.removeprefix("trunk."): value.clone() for name, value in weights.items() if name.startswith("trunk.")},
        assign=True,
    )
    network = network.eval().requires_grad_(False).to(device, dtype)
    network = network.to(memory_format=memory_format)  # type: ignore[call-overload]
    pixels = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0)) * 255 - 110
    return Limit(network, pixels.to(device, dtype).contiguous(memory_format=memory_format), layout, batch)


class PlainNetVlad:
    """The formula as it is usually written: one image, fp32, every residual of every location to every centre."""

    def __init__(self, weights: Weights, encoder: NetVladEncoder) -> None:

        self.device = encoder.options.torch_device
        self.weights = {name: value.to(self.device) for name, value in weights.items()}
        self.trunk = vgg_trunk()
        trunk = {name.removeprefix("trunk."): value for name, value in self.weights.items() if name.startswith("trunk.")}
        self.trunk.load_state_dict(trunk, assign=True)
        self.trunk.eval().requires_grad_(False)

    def encode(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, D) unit vectors."""
        with inference():
            return torch.cat([self._one(image[None].to(self.device)) for image in images_BCHW]).cpu()

    def _one(self, image_1CHW: torch.Tensor) -> torch.Tensor:

        weights = self.weights
        features_1DL = normalize(self.trunk(image_1CHW.float() - weights["mean"][:, None, None]), dim=1).flatten(2)
        assigned_1KL = torch.softmax(weights["assignment"] @ features_1DL, dim=1)
        residuals_1KDL = features_1DL[:, None] - weights["centres"][None, :, :, None]
        vlad_1KD = (residuals_1KDL * assigned_1KL[:, :, None]).sum(-1)
        flat = normalize(normalize(vlad_1KD, dim=2).transpose(1, 2).flatten(1), dim=1)
        return normalize(linear(flat, weights["whitening"], weights["bias"]), dim=1)


def decoded(job: Job, count: int) -> torch.Tensor:
    """The first photos, (B, 3, H, W) uint8."""
    paths = sorted(job.folder.glob("*.jpg"))[:count]
    return torch.from_numpy(np.stack([to_array(decode_image(path)) for path in paths]))


def timed(function: Callable[[], Any], encoder: NetVladEncoder) -> float:
    """Wall seconds, the GPU's work included."""
    started = time.perf_counter()
    function()
    if encoder.options.torch_device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def peak_rss() -> int:
    """Bytes; since the last reset on Linux, of the whole process elsewhere."""
    with suppress(OSError, StopIteration):
        lines = (PROC / "status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
