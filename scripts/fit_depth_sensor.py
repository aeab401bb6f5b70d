"""Where the depth sensor of 7-Scenes sits beside its colour camera: fitted so that edges of depth land on edges of photos.

    python scripts/fit_depth_sensor.py SCENE

prints rotation vector (radians) and translation (m) photo_from_depth, for each half of the depth maps and for all, with
the mean edge strength (0 to 1) under the depth edges before and after. ``irploc.depth`` holds the result for the kitchen.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage, optimize
from scipy.spatial.transform import Rotation

from irploc.depth import depth_path, depth_sensor, read_depth
from irploc.geometry.cameras import Camera
from irploc.scene import Scene

EDGES_PER_FRAME, FURTHEST_M, JUMP = 1500, 3.0, 1.08
BLUR_PX, HALF_STRENGTH = 2.0, 5.0  # a gradient of 5 grey levels a pixel counts half


@dataclass(frozen=True)
class Edges:
    """Points (M, 3) on the near side of depth edges, in the sensor's frame (m), and the photo's edge strength (H, W)."""

    points_m: np.ndarray
    strength: np.ndarray
    camera: Camera


def edges_of(image: Path, camera: Camera, sensor: Camera) -> Edges:
    """The edges of one depth map and of its photo."""
    path = depth_path(image)
    assert path is not None
    depth = np.nan_to_num(read_depth(path))
    is_edge = (depth > 0) & (depth < FURTHEST_M) & (ndimage.maximum_filter(depth, 3) > depth * JUMP)
    line, column = np.nonzero(is_edge & (ndimage.minimum_filter(depth, 5) > 0))
    if len(line) > EDGES_PER_FRAME:
        some = np.random.default_rng(0).choice(len(line), EDGES_PER_FRAME, replace=False)
        line, column = line[some], column[some]
    points = sensor.unproject(np.stack([column, line], axis=1) + 0.5, depth[line, column])
    with Image.open(image) as photo:
        gradient = ndimage.gaussian_gradient_magnitude(np.asarray(photo.convert("L"), dtype=np.float64), BLUR_PX)
    return Edges(points, gradient / (gradient + HALF_STRENGTH), camera)


def mean_strength(motion: np.ndarray, frames: list[Edges]) -> float:
    """Mean edge strength of the photos where ``motion`` (rotation vector, translation) puts the edges of depth."""
    rotation, found = Rotation.from_rotvec(motion[:3]).as_matrix(), []
    for frame in frames:
        pixels = frame.camera.project(frame.points_m @ rotation.T + motion[3:]) - 0.5
        values = ndimage.map_coordinates(frame.strength, pixels.T[::-1], order=1, mode="constant", cval=np.nan)
        found.append(values[np.isfinite(values)])
    return float(np.concatenate(found).mean())


def fit(frames: list[Edges]) -> np.ndarray:
    """The motion of the greatest strength, (6,): rotation vector in radians and translation in metres."""
    steps = np.diag([0.008, 0.008, 0.004, 0.01, 0.005, 0.005])
    found = []
    for start in (np.zeros(6), np.array([0, 0, 0, -0.025, 0, 0])):  # the two lenses of a Kinect are 2.5 cm apart
        options = {"initial_simplex": np.vstack([start, start + steps]), "maxfev": 350, "xatol": 1e-5, "fatol": 1e-6}
        found.append(optimize.minimize(lambda x: -mean_strength(x, frames), start, method="Nelder-Mead", options=options))
    return min(found, key=lambda result: result.fun).x


def main() -> None:
    """Fits the halves and the whole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path, help="scene folder, imported with --ground-truth for the colour camera's poses")
    parser.add_argument("--every", type=int, default=2, help="use every so many depth maps (default 2)")
    arguments = parser.parse_args()
    scene = Scene.load(arguments.scene)
    rows = [row for row, image in enumerate(scene.frames.images) if depth_path(image)][:: arguments.every]
    frames = []
    for row in rows:
        camera = scene.cameras[scene.frames.cameras[row]]
        frames.append(edges_of(scene.frames.images[row], camera, depth_sensor("7scenes", camera).camera))
    print(f"{len(frames)} depth maps, edge strength without a motion {mean_strength(np.zeros(6), frames):.3f}")
    for name, part in (("even", frames[::2]), ("odd", frames[1::2]), ("all", frames)):
        motion = fit(part)
        words = " ".join(f"{value:+.5f}" for value in motion)
        print(f"{name:<5} {words}  strength {mean_strength(motion, part):.3f}")


if __name__ == "__main__":
    main()
