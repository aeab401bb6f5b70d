"""Photos of a textured wall from places along it, with or without depth: what two of them share is plain arithmetic.

The wall is at z = 2 m and the cameras at z = 0; a photo of 320x240 with f = 160 sees 4 m of it, so 1 m is 80 pixels or a
quarter of the photo.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.scene import Frames, Scene

CAMERA = Camera("SIMPLE_PINHOLE", 320, 240, (160.0, 160.0, 120.0))
PIXELS_PER_M = 80


def wall_photo(x_m: float) -> Image.Image:
    """What a camera at (x, 0, 0) sees; from beyond 12 m the wall has run out and another begins."""
    coarse = np.random.default_rng(7).integers(0, 256, (30, 400), dtype=np.uint8)
    wall = Image.fromarray(coarse).resize((3200, 240), Image.Resampling.BICUBIC)
    left = round(x_m * PIXELS_PER_M) + 160
    return wall.crop((left, 0, left + 320, 240)).convert("RGB")


def write_depth(path: Path, depth_m: np.ndarray) -> None:
    """A 16-bit depth map in millimetres; NaN becomes 0."""
    Image.fromarray(np.nan_to_num(depth_m * 1000).round().astype(np.uint16)).save(path)


def make_wall_scene(
    folder: Path,
    x_m: tuple[float, ...],
    turned_deg: tuple[float, ...] | None = None,
    depth: tuple[int, ...] = (),
    sequence: str = "walk",
    camera: bool = True,
    splits: tuple[str, ...] | None = None,
) -> Scene:
    """A scene ``wall`` saved in ``folder``/scene; photos ``0.png``, ``1.png``, … at x, turned about the vertical.

    Args:
        depth: numbers of the photos that have a depth map.
        camera: whether the scene knows the intrinsics.
    """
    images = folder / "images"
    images.mkdir(parents=True)
    for number, x in enumerate(x_m):
        wall_photo(x).save(images / f"{number}.png")
        if number in depth:
            write_depth(images / f"{number}.depth.png", np.full((240, 320), 2.0))
    count = len(x_m)
    half = np.radians(turned_deg or (0.0,) * count) / 2
    quats = np.stack([np.cos(half), np.zeros(count), np.sin(half), np.zeros(count)], axis=1)
    frames = Frames(
        images=tuple(images / f"{number}.png" for number in range(count)),
        names=tuple(f"{number}.png" for number in range(count)),
        sequences=np.array([sequence] * count, dtype=object),
        indices=np.arange(count),
        splits=np.array(splits or ("train",) * count, dtype=object),
        cameras=("wide" if camera else "",) * count,
        poses=Poses(np.stack([x_m, np.zeros(count), np.zeros(count)], axis=1), quats),
    )
    scene = Scene("wall", images, frames, {"wide": CAMERA} if camera else {}, ground_truth="arithmetic")
    scene.save(folder / "scene")
    return scene
