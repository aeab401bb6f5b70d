"""A scene of small random photos and an encoder cheap enough for hundreds of runs; also a program that can be killed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import faiss
import numpy as np
import torch
from PIL import Image

from irploc.encoders import Encoder, EncoderOptions
from irploc.geometry.poses import Poses
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.index import PlaceIndex
from irploc.retrieval.plan import EmbedOptions
from irploc.scene import Frames, Scene


class TinyEncoder(Encoder):
    """A fixed random projection of 8x8 averages; float32 sums over the batch make its bits depend on the batch's shape."""

    name = "tiny"
    dimension = 16
    weights_sha256 = "tiny-weights"
    preprocessing = "8x8 means"
    minimum_side = 8

    def __init__(self, pause_s: float = 0.0) -> None:
        self.options = EncoderOptions(device="cpu")
        self.pause_s = pause_s
        self.encoded: list[int] = []
        self.projection = torch.randn(8 * 8 * 3, 16, generator=torch.Generator().manual_seed(0))

    def encode(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        self.encoded.append(len(images_BCHW))
        time.sleep(self.pause_s)
        small = torch.nn.functional.adaptive_avg_pool2d(images_BCHW.float(), 8)
        return torch.nn.functional.normalize(small.flatten(1) @ self.projection, dim=1)


def make_scene(
    folder: Path, train: int = 6, test: int = 3, sizes: tuple[tuple[int, int], ...] = ((32, 24), (24, 32))
) -> Scene:
    """Random photos of alternating sizes on a line, one metre apart."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    paths = []
    for number in range(train + test):
        width, height = sizes[number % len(sizes)]
        path = folder / "images" / f"frame-{number:03d}.png"
        coarse = generator.integers(0, 255, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(path)
        paths.append(path)
    count = len(paths)
    frames = Frames(
        images=tuple(paths),
        names=tuple(path.name for path in paths),
        sequences=np.array(["walk"] * count, dtype=object),
        indices=np.arange(count),
        splits=np.array(["train"] * train + ["test"] * test, dtype=object),
        cameras=("",) * count,
        poses=Poses(np.arange(3 * count).reshape(-1, 3), np.tile([1.0, 0, 0, 0], (count, 1))),
    )
    scene = Scene("tiny", folder / "images", frames, ground_truth="invented")
    scene.save(folder / "scene")
    return scene


def main(folder: str, path: str, pause_s: str) -> None:
    """Embeds slowly; the tests kill this."""
    scene = Scene.load(Path(folder))
    options = EmbedOptions(augmentations=3, batch_size=3)
    print("started", flush=True)
    embed_scene(scene, Path(folder), Path(path), TinyEncoder(float(pause_s)), options)


if __name__ == "__main__":
    main(*sys.argv[1:])


def place_index(vectors: np.ndarray, poses: Poses) -> PlaceIndex:
    """A flat index over these vectors (M, D), named 0.jpg, 1.jpg, …."""
    count = len(vectors)
    names = tuple(f"{number}.jpg" for number in range(count))
    frames = Frames(
        tuple(Path(name) for name in names), names, ["w"] * count, range(count), ["train"] * count, ("",) * count, poses
    )
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors, dtype=np.float32))
    return PlaceIndex(frames, np.ascontiguousarray(vectors, dtype=np.float32), index, "flat")
