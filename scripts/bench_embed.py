"""How fast `netvlad-vgg16` embeds, against the machine's limit and the plain way, and whether memory stays level.

    python scripts/bench_embed.py [--images 16] [--rounds 3] [--threads T] [--precision fp32 --precision bf16]

- ours: `embed_scene` on a scene of JPEGs, as `irploc embed` runs it: decoding, encoding, writing HDF5.
- limit: VGG16's `features[:-2]` alone, on pixels that lie ready, in the same precision, with the best batch size and
  memory layout found in this run.
- plain: one image at a time, fp32, default layout, with the full residual tensor (1, 64, 512, locations).

Weights are random (speed does not depend on them). Rounds take turns, so that a busy machine slows all three; the best
round of each counts. Every measurement of memory is a process of its own; its peak is counted after loading.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from netvlad_speed import DTYPES, Job, machine, measure_memory, measure_rates
from PIL import Image

GOAL_OF_LIMIT, GOAL_OF_PLAIN_BF16 = 0.85, 2.4


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16, help="photos a round; memory is compared with twice as many")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 is torch's default")
    parser.add_argument("--precision", action="append", choices=sorted(DTYPES), help="default: fp32 and bf16")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--size", default="640x480", help="WIDTHxHEIGHT")
    parser.add_argument("--augmentations", type=int, default=0, help="jittered versions of each photo")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    given = parser.parse_args()
    width, height = (int(side) for side in given.size.split("x"))
    results: dict[str, Any] = {"machine": in_child(machine, given.device, given.threads)}
    describe_machine(results["machine"])
    sys.stdout.flush()
    with tempfile.TemporaryDirectory() as temporary:
        few, many = given.images, 2 * given.images
        write_photos(Path(temporary), many, width, height)
        for precision in given.precision or ["fp32", "bf16"]:
            job = Job(
                folder=Path(temporary),
                precision=precision,
                device=given.device,
                threads=given.threads,
                width=width,
                height=height,
                images=given.images,
                rounds=given.rounds,
                augmentations=given.augmentations,
            )
            say(f"{precision}: rates, {given.rounds} rounds of {given.images} photos")
            rates = in_child(measure_rates, job)
            say(f"{precision}: memory, {few} and {many} photos")
            memory = [in_child(measure_memory, replace(job, images=count)) for count in (few, many)]
            results[precision] = {"rates": rates, "memory": memory}
            describe_rates(precision, rates, memory, results)
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n")


def say(text: str) -> None:
    """What is being measured, on stderr."""
    print(text, file=sys.stderr, flush=True)


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """The function's value, computed in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def write_photos(folder: Path, count: int, width: int, height: int) -> None:
    """JPEGs with large shapes and fine grain; about as large as photos."""
    for number in range(count):
        generator = np.random.default_rng(number)
        coarse = Image.fromarray(generator.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        grain = generator.normal(0, 12, (height, width, 1))
        pixels = (np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:05d}.jpg", quality=90)


def describe_machine(found: dict[str, Any]) -> None:
    """Two lines."""
    print(f"{found['name']}, {found['device']}, {found['threads']} threads, {found['instructions']}, torch {found['torch']}")
    if not found["computes_bf16"]:
        print(
            "This CPU has no bf16 instructions: torch's own bf16 convolutions are slow here, and irploc's bf16 is fp32\n"
            "arithmetic on weights rounded to bf16. Its share of the bf16 limit says little; see its share of fp32's."
        )


def describe_rates(precision: str, rates: dict[str, Any], memory: list[dict[str, Any]], results: dict[str, Any]) -> None:
    """The figures of one precision, with the goals beside them."""
    ours, limit, plain = rates["ours_s"], rates["limit_s"], rates["plain_s"]
    print(f"\n{precision}")
    print(f"  limit  {1 / limit:8.3f} images/s  {limit:.3f} s an image ({rates['limit_is']})")
    print(f"  ours   {1 / ours:8.3f} images/s  {ours:.3f} s an image (embed_scene)")
    print(f"  plain  {1 / plain:8.3f} images/s  {plain:.3f} s an image (batch 1, fp32, full residuals)")
    print(f"  ours / limit  {limit / ours:.3f}  {verdict(limit / ours, GOAL_OF_LIMIT)}")
    if precision != "fp32" and "fp32" in results:
        print(f"  ours / fp32's limit  {results['fp32']['rates']['limit_s'] / ours:.3f}")
    goal = verdict(plain / ours, GOAL_OF_PLAIN_BF16) if precision == "bf16" and results["machine"]["computes_bf16"] else ""
    print(f"  ours / plain  {plain / ours:.3f}  {goal}")
    print(f"  smallest cosine to the plain way's vectors  {rates['cosine_to_plain']:.6f}")
    for kind, key in (("memory", "peak_rss_bytes"), ("GPU memory", "peak_gpu_bytes")):
        if memory[0][key] is not None:
            peaks = ", ".join(f"{row[key] / 1e6:,.0f} MB for {row['images']} images" for row in memory)
            print(f"  peak {kind} while embedding: {peaks} ({memory[1][key] / memory[0][key] - 1:+.1%})")


def verdict(value: float, goal: float) -> str:
    """Whether a goal is reached."""
    return f"(goal {goal}: {'reached' if value >= goal else 'MISSED'})"


if __name__ == "__main__":
    main()
