"""Photos of a wall that is black to the left and white to the right, with depth maps: where its points lie is known exactly.

The wall is at z = 2 m, its edge at x = 0, and the cameras are at z = 0. A photo of 40x30 with f = 20 sees 4 m by 3 m of it,
so a pixel is 0.1 m wide; each camera stands 0.1 m to the right of the one before.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pairs_wall import write_depth
from PIL import Image

from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.scene import Frames, Scene

CAMERA = Camera("SIMPLE_PINHOLE", 40, 30, (20.0, 20.0, 15.0))
WALL_M = 2.0
STEP_M = 0.1
SPLITS = ("train",) * 4 + ("test",) * 2


def wall_photo(x_m: float) -> Image.Image:
    """What a camera at (x, 0, 0) sees: no pixel's centre is on the edge where x is a whole number of steps."""
    seen_m = x_m + (np.arange(CAMERA.width) + 0.5 - CAMERA.width / 2) / CAMERA.focal_px[0] * WALL_M
    line = np.where(seen_m > 0, 255, 0).astype(np.uint8)
    return Image.fromarray(np.tile(line, (CAMERA.height, 1))).convert("RGB")


def wall_points(count: int = 400) -> np.ndarray:
    """(count, 3) points of the part of the wall that the camera at x = 0 sees, metres; always the same ones."""
    width_m, height_m = (side / CAMERA.focal_px[0] * WALL_M for side in (CAMERA.width, CAMERA.height))
    across, down = np.random.default_rng(3).uniform(-0.5, 0.5, (2, count))
    return np.stack([across * width_m, down * height_m, np.full(count, WALL_M)], axis=1)


def write_ply(path: Path, points_m: np.ndarray) -> Path:
    """A PLY file without colours, with all digits; returns its path."""
    names = "".join(f"property double {name}\n" for name in "xyz")
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points_m)}\n{names}end_header\n"
    path.write_bytes(header.encode() + np.ascontiguousarray(points_m, dtype="<f8").tobytes())
    return path


def make_wall(folder: Path, with_camera: bool = True, with_depth: bool = True) -> Scene:
    """A scene ``wall`` saved in ``folder``/scene: ``photo-0.png`` to ``photo-5.png``, the last two of them for testing.

    Args:
        with_camera: whether the scene knows the intrinsics.
        with_depth: whether the mapping photos have depth maps; the test photos have none.
    """
    images = folder / "images"
    images.mkdir(parents=True)
    names = tuple(f"photo-{number}.png" for number in range(len(SPLITS)))
    x_m = STEP_M * np.arange(len(names))
    for name, x, split in zip(names, x_m, SPLITS, strict=True):
        wall_photo(x).save(images / name)
        if with_depth and split == "train":
            write_depth((images / name).with_suffix(".depth.png"), np.full((CAMERA.height, CAMERA.width), WALL_M))
    count = len(names)
    frames = Frames(
        images=tuple(images / name for name in names),
        names=names,
        sequences=np.array(["walk"] * count, dtype=object),
        indices=np.arange(count),
        splits=np.array(SPLITS, dtype=object),
        cameras=("wide" if with_camera else "",) * count,
        poses=Poses(np.stack([x_m, np.zeros(count), np.zeros(count)], axis=1), np.tile([1.0, 0, 0, 0], (count, 1))),
    )
    scene = Scene("wall", images, frames, {"wide": CAMERA} if with_camera else {}, ground_truth="arithmetic")
    scene.save(folder / "scene")
    return scene
