"""Milliseconds of a warm Localizer on one photo, against the encoder's own time in the same run.

    python scripts/bench_localize.py --workspace DIR --scene kitchen photo.jpg

The goal: at most 1.15 times the encoder for `bdi`, 1.25 times for `irpnet`. Everything counts: decoding, encoding,
estimating, and the neighbours that are listed. The two are timed in turns, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from irploc import Localizer
from irploc.images import decode_image, to_array


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--scene")
    parser.add_argument("--methods", default="nearest,bdi,irpnet,mlp")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()

    photo = decode_image(options.photo)
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}; {photo.width}x{photo.height}"
    )
    for method in options.methods.split(","):
        localizer = Localizer.open(options.scene, method, workspace=options.workspace)
        photo = decode_image(options.photo, localizer.max_side)
        pixels = torch.from_numpy(to_array(photo)[None])
        localizer.localize([options.photo])
        encoder_ms, total_ms = time_in_turns(localizer, pixels, options.photo, options.rounds)
        ratios = np.array(total_ms) / np.array(encoder_ms)
        parts = localizer.localize([options.photo])[0].timing_ms
        spent = ", ".join(f"{name} {value:.1f}" for name, value in parts.items())
        print(
            f"{method:8} {statistics.median(total_ms):7.1f} ms, encoder alone {statistics.median(encoder_ms):7.1f} ms, "
            f"ratio {np.median(ratios):.3f} (last: {spent} ms)"
        )


def time_in_turns(localizer: Localizer, pixels: torch.Tensor, photo: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Milliseconds of the encoder alone, and of the whole way from the file to the answer, round by round."""
    encoder_ms, total_ms = [], []
    for _ in range(rounds):
        started = time.perf_counter()
        localizer.encoder.encode(pixels)
        encoded = time.perf_counter()
        localizer.localize([photo])
        encoder_ms.append(1e3 * (encoded - started))
        total_ms.append(1e3 * (time.perf_counter() - encoded))
    return encoder_ms, total_ms


if __name__ == "__main__":
    main()
