"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from irploc.scene import Scene

# Test processes side by side (pytest -n) share the cores, and so do the processes that they start.
_SIDE_BY_SIDE = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if _SIDE_BY_SIDE > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _SIDE_BY_SIDE)))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real photos, poses and weights; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("IRPLOC_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    if not (folder / "data").is_dir():
        pytest.skip(f"needs the shared data, which is not at {folder} (set IRPLOC_SHARED)")
    return folder


@pytest.fixture(scope="session")
def kitchen(shared: Path) -> Path:
    """The real 7-Scenes kitchen."""
    return shared / "data/7scenes/redkitchen"


@pytest.fixture(scope="session")
def fox(shared: Path) -> Path:
    """The real nerfstudio fox."""
    return shared / "data/nerfstudio/fox"


@pytest.fixture(scope="session")
def toy_scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scene folder of a tiny rendered place, 96x72, 24 mapping and 8 test photos; treat it as read-only."""
    from irploc.synthetic import PlaceOptions, write_place

    folder = tmp_path_factory.mktemp("rendered") / "toy"
    write_place(folder, PlaceOptions(width=96, height=72, mapping_frames=24, test_frames=8))
    return folder


@pytest.fixture(scope="session")
def room_walk(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The first nine photos, 320x240, of a walk through the rendered room; treat it as read-only."""
    from dataclasses import replace

    from PIL import Image

    from irploc.synthetic import PlaceOptions, render_place, scene_of_place

    options = PlaceOptions(width=320, height=240, mapping_frames=60, test_frames=1)
    scene = scene_of_place(tmp_path_factory.mktemp("walk") / "room", options)
    scene = replace(scene, frames=scene.frames[range(9)])
    for path, (photo, _) in zip(scene.frames.images, islice(render_place(options), 9), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(path, quality=options.jpeg_quality)
    return scene


@pytest.fixture(scope="session")
def tiny_encoder() -> Iterator[None]:
    """The encoder ``tiny``, for commands that take an encoder's name."""
    from tiny_place import TinyEncoder

    from irploc.encoders import ENCODERS, EncoderEntry

    ENCODERS.register("tiny")(EncoderEntry(lambda name, options: TinyEncoder(), 16, "test"))
    yield
    ENCODERS._entries.pop("tiny")
