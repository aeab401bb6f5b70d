"""A rendered toy place: photos with exact poses and depth, made in seconds without any download."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.progress import progress
from irploc.scene import Frames, Scene
from irploc.synthetic.light import Lighting, Surroundings, bake_lightmaps, lightmap_grid
from irploc.synthetic.raycast import Atlas, Geometry
from irploc.synthetic.room import build_room, daylight, evening
from irploc.synthetic.surfaces import Patch, Surface
from irploc.synthetic.walks import MAPPING_WALK, TEST_WALK

Rendered = TypeVar("Rendered")
GROUND_TRUTH = "rendered, exact"
CAMERA_NAME = "rendered"
MAP, TEST = "map", "test"
_RAYS_PER_SIDE = 2
_STYLE = 1  # counts changes of what is rendered, so that old pictures are not taken for new ones


@dataclass(frozen=True)
class PlaceOptions:
    """What to render.

    Attributes:
        width, height: of the photos, pixels.
        mapping_frames: photos of the mapping walk (split ``train``, sequence ``map``), by day.
        test_frames: photos of the test walk (split ``test``, sequence ``test``), on another path, in the evening.
        seed: of the pictures on the walls, the hand motion and the noise.
        jpeg_quality: of ``write_place``.

    Raises:
        ValueError: for sizes and counts below 1, or no photo at all.
    """

    width: int = 320
    height: int = 240
    mapping_frames: int = 300
    test_frames: int = 60
    seed: int = 0
    jpeg_quality: int = 92

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"photos of {self.width}x{self.height} pixels cannot be rendered")
        if self.mapping_frames < 0 or self.test_frames < 0 or self.mapping_frames + self.test_frames == 0:
            raise ValueError(f"{self.mapping_frames} mapping and {self.test_frames} test frames: nothing to render")

    @property
    def camera(self) -> Camera:
        """The camera of all photos: SIMPLE_PINHOLE, about 64 degrees wide."""
        return Camera("SIMPLE_PINHOLE", self.width, self.height, (0.8 * self.width, self.width / 2, self.height / 2))

    @property
    def poses(self) -> Poses:
        """Of the mapping frames, then of the test frames."""
        walks = ((MAPPING_WALK, self.mapping_frames), (TEST_WALK, self.test_frames))
        return Poses.concatenate(
            [walk.poses(count, np.random.default_rng([self.seed, number])) for number, (walk, count) in enumerate(walks)]
        )


@dataclass(frozen=True)
class Place:
    """The room in one lighting, ready to be photographed.

    Attributes:
        geometry: what there is.
        atlas: how it looks.
        lighting: how it is lit.
    """

    geometry: Geometry
    atlas: Atlas
    lighting: Lighting

    def photograph(self, camera: Camera, pose: Poses, seed: int | list[int] = 0) -> np.ndarray:
        """(height, width, 3) uint8 sRGB, antialiased, with vignetting and sensor noise of ``seed``."""
        seen = self.geometry.cast_rays(camera, pose, _RAYS_PER_SIDE)
        linear = self.atlas.image(seen, camera, pose, _RAYS_PER_SIDE)
        exposure = np.asarray(self.lighting.white_balance, np.float32) * np.float32(self.lighting.exposure)
        linear = linear * exposure * _vignette(camera)[..., None]
        levels = 255.0 * (1.0 - np.exp(-1.3 * linear)) ** np.float32(1 / 2.2)
        noise = np.random.default_rng(seed).standard_normal(levels.shape, dtype=np.float32)
        return np.clip(levels + 1.5 * noise + 0.5, 0, 255).astype(np.uint8)

    def depth_m(self, camera: Camera, pose: Poses) -> np.ndarray:
        """(height, width) float32 depth along the camera's z axis through the pixel centres, metres."""
        return self.geometry.cast_rays(camera, pose).depth_m


def _vignette(camera: Camera) -> np.ndarray:
    x = (np.arange(camera.width) + 0.5 - camera.width / 2) / camera.focal_px[0]
    y = (np.arange(camera.height) + 0.5 - camera.height / 2) / camera.focal_px[1]
    return (1.0 / (1.0 + 0.7 * (x[None, :] ** 2 + y[:, None] ** 2))).astype(np.float32)


def build_places(options: PlaceOptions) -> tuple[Place, Place]:
    """The room by day and in the evening, with textures and shadows as fine as photos of this size can show."""
    by_day, in_evening = lit_places(*build_room(), (daylight(), evening()), 0.45 * options.width, options.seed)
    return by_day, in_evening


def lit_places(
    surfaces: Sequence[Surface], surroundings: Surroundings, lightings: Sequence[Lighting], density: float, seed: int
) -> list[Place]:
    """The same surfaces in every lighting.

    Args:
        surfaces, surroundings: the place.
        lightings: how it is lit.
        density: texels per metre.
        seed: of the paintings.
    """
    paintings = [
        surface.material(Patch(surface.width_m, surface.height_m, density * surface.detail, seed * 1000 + number))
        for number, surface in enumerate(surfaces)
    ]
    geometry = Geometry(surfaces)
    samples = 4 if density > 60 else 2
    grid = lightmap_grid(surfaces, surroundings, max(0.11, 8 / density), directions=6 * samples)

    def lit(lighting: Lighting) -> Place:
        lightmaps = bake_lightmaps(grid, lighting, surroundings, samples)
        return Place(geometry, Atlas(surfaces, geometry, paintings, lightmaps, lighting), lighting)

    return [lit(lighting) for lighting in lightings]


def render_place(options: PlaceOptions) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each photo (height, width, 3) uint8 RGB with its depth (height, width) float32 in metres, mapping walk first.

    Their poses are ``options.poses``. Deterministic for the options.
    """
    yield from _render(options, with_depth=True)


def _render(options: PlaceOptions, with_depth: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    by_day, in_evening = build_places(options)
    camera, poses = options.camera, options.poses

    def frame(number: int) -> tuple[np.ndarray, np.ndarray]:
        place = by_day if number < options.mapping_frames else in_evening
        pose = poses[[number]]
        depth = place.depth_m(camera, pose) if with_depth else np.zeros((0, 0), np.float32)
        return place.photograph(camera, pose, [options.seed, number]), depth

    yield from in_order(frame, len(poses))


def in_order(render: Callable[[int], Rendered], count: int) -> Iterator[Rendered]:
    """``render(0)``, ``render(1)``, …, made by a few threads, at most a few ahead of what is taken."""
    workers = min(4, os.cpu_count() or 1)
    waiting: deque[Future[Rendered]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for number in range(count):
            waiting.append(pool.submit(render, number))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def scene_of_place(folder: Path, options: PlaceOptions) -> Scene:
    """The scene that ``write_place`` makes, without rendering anything."""
    counts = {MAP: options.mapping_frames, TEST: options.test_frames}
    sequences = [name for name, count in counts.items() for _ in range(count)]
    indices = [index for count in counts.values() for index in range(count)]
    names = tuple(f"{walk}/frame-{index:06d}.jpg" for walk, index in zip(sequences, indices, strict=True))
    root = folder.absolute() / "images"
    frames = Frames(
        images=tuple(root / name for name in names),
        names=names,
        sequences=np.array(sequences, dtype=object),
        indices=np.array(indices),
        splits=np.array(["train" if walk == MAP else "test" for walk in sequences], dtype=object),
        cameras=(CAMERA_NAME,) * len(names),
        poses=options.poses,
    )
    source = f"rendered place, style {_STYLE}, seed {options.seed}"
    return Scene(folder.absolute().name, root, frames, {CAMERA_NAME: options.camera}, GROUND_TRUTH, source)


def write_place(folder: Path, options: PlaceOptions | None = None, quiet: bool = True) -> Scene:
    """Renders a place into ``folder`` (JPEG photos below ``images/``) and saves its scene there, last of all.

    Args:
        folder: of the scene; its last part names the scene.
        options: what to render.
        quiet: show no progress bar.
    """
    options = options or PlaceOptions()
    scene = scene_of_place(folder, options)
    for walk in (MAP, TEST):
        (scene.image_root / walk).mkdir(parents=True, exist_ok=True)
    with progress("Rendering", len(scene.frames), "photos", quiet) as bar:
        for path, (image, _) in zip(scene.frames.images, _render(options, with_depth=False), strict=True):
            Image.fromarray(image).save(path, quality=options.jpeg_quality)
            bar.advance()
    scene.save(folder)
    return scene
