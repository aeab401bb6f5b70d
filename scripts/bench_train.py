"""Seconds per training step of each recipe beside the time that moving the parameters through memory must take.

The floor is ten passes over the parameters of the networks in training (forward and backward read them; the gradients are
written and read; Adam reads and writes the parameter and its two moments, ten in all) at the bandwidth of a large copy,
reads and writes counted, measured in the same run. Beside it the comparison that the IRPNet paper makes (12 ms against
140 ms on a V100): a step of PoseNet with a trainable ResNet-152 on 8 images of 224x224. Random embeddings and pixels; run it
on a quiet machine:

    python scripts/bench_train.py [--dimension 4096] [--images 500] [--steps 10] [--device cpu] [--no-posenet]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from irploc.geometry.poses import Poses
from irploc.training.batches import Batches
from irploc.training.dataset import TrainingSet
from irploc.training.models import parameter_count
from irploc.training.recipes import Recipe, recipe
from irploc.training.trainee import make_trainees

PASSES = 10
POSENET_BATCH = 8
COPY_FLOATS = 2**27  # 512 MB, far beyond any cache


def seconds_of(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Median seconds of one call, after two that do not count."""
    times = []
    for _ in range(repeats + 2):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        begun = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begun)
    return statistics.median(times[2:])


def copy_bandwidth(device: torch.device) -> float:
    """Bytes per second of a copy, those read and those written."""
    source = torch.ones(COPY_FLOATS, device=device)
    target = torch.zeros_like(source)
    return 2 * source.nbytes / seconds_of(lambda: target.copy_(source), 5, device)


def random_set(images: int, versions: int, dimension: int) -> TrainingSet:
    """Unit embeddings and poses that mean nothing."""
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((images, versions, dimension), dtype=np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=2, keepdims=True)
    poses = Poses(rng.standard_normal((images, 3)), rng.standard_normal((images, 4)))
    return TrainingSet(embeddings.astype(np.float16), poses, np.zeros(images), np.arange(images))


def posenet_seconds(device: torch.device, steps: int = 3) -> float:
    """Seconds of a step of PoseNet: all of a ResNet-152 trained with fused Adam, batch 8 of 224x224, 7 outputs."""
    from irploc.torchvision_safe import models

    torch.manual_seed(0)
    network = models.resnet152(weights=None, num_classes=7).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), 1e-4, fused=True)
    images = torch.rand(POSENET_BATCH, 3, 224, 224, device=device).to(memory_format=torch.channels_last)
    poses = torch.rand(POSENET_BATCH, 7, device=device)

    def step() -> None:
        optimizer.zero_grad()
        torch.linalg.vector_norm(network(images) - poses, dim=1).mean().backward()
        optimizer.step()

    return seconds_of(step, steps, device)


def measure(chosen: Recipe, data: TrainingSet, steps: int, bandwidth: float, device: torch.device) -> float:
    """Prints one line per network and one for all of a step; gives the seconds of that."""
    batches = Batches(data, chosen, 0, device)
    torch.manual_seed(0)
    trainees = make_trainees("irpnet", chosen, batches, chosen.total_steps(len(data)))
    total, total_floor = 0.0, 0.0
    for trainee in trainees:
        parameters = parameter_count(trainee.network)
        numbers = iter(range(1_000_000))

        def step(trainee=trainee, numbers=numbers) -> None:  # type: ignore[no-untyped-def]
            number = next(numbers)
            trainee.step(*batches.draw(number), number)

        seconds, floor = seconds_of(step, steps, device), PASSES * 4 * parameters / bandwidth
        total, total_floor = total + seconds, total_floor + floor
        print(
            f"  {trainee.training:<12} {parameters / 1e6:6.1f} M parameters  {seconds * 1e3:8.2f} ms a step  "
            f"floor {floor * 1e3:8.2f} ms  ratio {seconds / floor:5.2f}"
        )
    per_epoch = chosen.steps_per_epoch(len(data))
    print(
        f"  {'both':<12} {'':>19}  {total * 1e3:8.2f} ms a step  floor {total_floor * 1e3:8.2f} ms  "
        f"ratio {total / total_floor:5.2f}; {total * per_epoch:.1f} s an epoch, "
        f"{total * chosen.total_steps(len(data)):.0f} s a training"
    )
    return total


def main() -> None:
    """Measures both recipes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimension", type=int, default=4096)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--no-posenet", action="store_true", help="leave the ResNet-152 out")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_flush_denormal(True)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{device.type} ({name}), torch {torch.__version__}, {options.images} images of {options.dimension} dimensions")
    bandwidth = copy_bandwidth(device)
    print(f"copy bandwidth, reads and writes: {bandwidth / 1e9:.1f} GB/s")
    data = random_set(options.images, 11, options.dimension)
    seconds: dict[tuple[str, str], float] = {}
    for chosen in (recipe("paper", "indoor"), recipe("paper", "outdoor"), recipe("fast", "indoor")):
        print(f"{chosen.name} ({chosen.place}): batches of {chosen.batch_size}, width {chosen.width}")
        seconds[chosen.name, chosen.place] = measure(chosen, data, options.steps, bandwidth, device)
    if options.no_posenet:
        return
    theirs = posenet_seconds(device)
    print(f"PoseNet, ResNet-152 trained on {POSENET_BATCH} images of 224x224: {theirs * 1e3:.0f} ms a step")
    for (name, place), ours in seconds.items():
        per_batch = ours * POSENET_BATCH / recipe(name, place).batch_size
        times = theirs / per_batch
        print(f"  {name} ({place}): {per_batch * 1e3:8.2f} ms for each {POSENET_BATCH} images, {times:.0f} times faster")


if __name__ == "__main__":
    main()
