"""A rendered floor of corridors with its plan: photos with exact poses, 59 m of path, made in seconds without any download.

Doors, posters and lamps repeat, so that places look alike as they do in real buildings. The mapping walk goes both ways
during office hours; the validation and test walks take other routes beside its path, late in the day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from PIL import Image

from irploc import provenance
from irploc.files import replacing, write_text
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.progress import progress
from irploc.scene import Frames, Scene
from irploc.synthetic.corridor_building import Building, build_corridors, late, office_hours
from irploc.synthetic.corridor_plan import BLOCKED, WALKABLE, drawing, raster, walkable
from irploc.synthetic.corridor_walks import MAPPING_STROLL, TEST_STROLL, VALIDATION_STROLL
from irploc.synthetic.place import CAMERA_NAME, GROUND_TRUTH, in_order, lit_places

MAP, VALIDATION, TEST = "map", "validation", "test"
PLAN_FILE, MASK_FILE, FLOORMAP_FILE = "plan.png", "walkable.png", "floormap.toml"
_SPLITS = {MAP: "train", VALIDATION: "validation", TEST: "test"}
_TEXELS_PER_PIXEL = 0.4
_STYLE = 1  # counts changes of what is rendered, so that old pictures are not taken for new ones


@dataclass(frozen=True)
class CorridorOptions:
    """What to render.

    Attributes:
        width, height: of the photos, pixels.
        mapping_frames: photos of the mapping walk (split ``train``, sequence ``map``).
        validation_frames, test_frames: photos of the other two walks (splits and sequences ``validation`` and ``test``).
        seed: of what hangs on the walls, the hand motion and the noise.
        jpeg_quality: of the photos.
        metres_per_pixel: of the plan.
        clearance_m: from walls and furniture, of the walkable area.
        max_distance_m: written into ``floormap.toml``: estimates further from the walkable area are no estimates.

    Raises:
        ValueError: for sizes and scales that are not positive, negative counts, or no photo at all.
    """

    width: int = 320
    height: int = 240
    mapping_frames: int = 400
    validation_frames: int = 80
    test_frames: int = 120
    seed: int = 0
    jpeg_quality: int = 92
    metres_per_pixel: float = 0.02
    clearance_m: float = 0.25
    max_distance_m: float = 5.0

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"photos of {self.width}x{self.height} pixels cannot be rendered")
        if min(self.counts.values()) < 0 or sum(self.counts.values()) == 0:
            raise ValueError(
                f"{', '.join(f'{count} {walk}' for walk, count in self.counts.items())} frames cannot be rendered"
            )
        if self.metres_per_pixel <= 0 or self.clearance_m < 0 or self.max_distance_m <= 0:
            raise ValueError("metres per pixel and the largest distance must be positive, the clearance not negative")

    @property
    def counts(self) -> dict[str, int]:
        """Photos of each walk."""
        return {MAP: self.mapping_frames, VALIDATION: self.validation_frames, TEST: self.test_frames}

    @property
    def camera(self) -> Camera:
        """The camera of all photos: SIMPLE_PINHOLE, about 64 degrees wide."""
        return Camera("SIMPLE_PINHOLE", self.width, self.height, (0.8 * self.width, self.width / 2, self.height / 2))

    @property
    def poses(self) -> Poses:
        """Of the mapping, validation and test frames, in that order; metres, z up, the floor at z = 0."""
        walks = zip((MAPPING_STROLL, VALIDATION_STROLL, TEST_STROLL), self.counts.values(), strict=True)
        return Poses.concatenate(
            [walk.poses(count, np.random.default_rng([self.seed, number])) for number, (walk, count) in enumerate(walks)]
        )


def render_corridor(options: CorridorOptions) -> Iterator[np.ndarray]:
    """Each photo, (height, width, 3) uint8 RGB, in the order of ``options.poses``. Deterministic for the options."""
    yield from _render(build_corridors(options.seed), options)


def _render(building: Building, options: CorridorOptions) -> Iterator[np.ndarray]:
    density = _TEXELS_PER_PIXEL * options.width
    lightings = (office_hours(), late())
    bright, dim = lit_places(building.surfaces, building.surroundings, lightings, density, options.seed)
    camera, poses = options.camera, options.poses

    def photo(number: int) -> np.ndarray:
        place = bright if number < options.mapping_frames else dim
        return place.photograph(camera, poses[[number]], [options.seed, number])

    yield from in_order(photo, len(poses))


def scene_of_corridor(folder: Path, options: CorridorOptions) -> Scene:
    """The scene that ``write_corridor`` makes, without rendering anything."""
    walks = [(walk, index) for walk, count in options.counts.items() for index in range(count)]
    names = tuple(f"{walk}/frame-{index:06d}.jpg" for walk, index in walks)
    root = folder.absolute() / "images"
    frames = Frames(
        images=tuple(root / name for name in names),
        names=names,
        sequences=np.array([walk for walk, _ in walks], dtype=object),
        indices=np.array([index for _, index in walks]),
        splits=np.array([_SPLITS[walk] for walk, _ in walks], dtype=object),
        cameras=(CAMERA_NAME,) * len(names),
        poses=options.poses,
    )
    source = f"rendered corridors, style {_STYLE}, seed {options.seed}"
    return Scene(folder.absolute().name, root, frames, {CAMERA_NAME: options.camera}, GROUND_TRUTH, source)


def write_corridor(folder: Path, options: CorridorOptions | None = None, quiet: bool = True) -> Scene:
    """Renders the corridors into ``folder``: photos, plan, walkable area, ``floormap.toml``, and last of all the scene.

    Args:
        folder: of the scene; its last part names the scene.
        options: what to render.
        quiet: show no progress bar.

    Raises:
        BadInput: when the folder cannot be written.
    """
    options = options or CorridorOptions()
    scene = scene_of_corridor(folder, options)
    for walk in options.counts:
        (scene.image_root / walk).mkdir(parents=True, exist_ok=True)
    building = build_corridors(options.seed)
    with progress("Rendering", len(scene.frames), "photos", quiet) as bar:
        for path, image in zip(scene.frames.images, _render(building, options), strict=True):
            Image.fromarray(image).save(path, quality=options.jpeg_quality)
            bar.advance()
    _write_floormap(folder, building, options)
    scene.save(folder)
    return scene


def _write_floormap(folder: Path, building: Building, options: CorridorOptions) -> None:
    grid = raster(options.metres_per_pixel)
    clear = walkable(grid, building.furniture, options.clearance_m)
    mask = Image.fromarray(np.where(clear, WALKABLE, BLOCKED).astype(np.uint8))
    for name, picture in ((PLAN_FILE, drawing(grid, building.furniture, building.doors)), (MASK_FILE, mask)):
        with replacing(folder / name) as temporary:
            picture.save(temporary, format="PNG")
    content: dict[str, Any] = {
        **provenance.header("irploc-floormap", 1),
        "plan": PLAN_FILE,
        "metres_per_pixel": options.metres_per_pixel,
        "origin_m": list(grid.origin_m),
        "yaw_deg": 0.0,
        "mask": MASK_FILE,
        "max_distance_m": options.max_distance_m,
        "up": "z",
    }
    write_text(folder / FLOORMAP_FILE, tomli_w.dumps(content))
