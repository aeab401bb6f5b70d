"""The page of a service over the rendered room, with a floor map and without, in a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from browsing import Visit, chromium
from PIL import Image
from tiny_place import TinyEncoder
from toy_service import address_of

from irploc.floormap import FloorMap
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.scene import Scene
from irploc.service.hosting import HostingOptions
from irploc.service.options import Limits, ServiceOptions
from irploc.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Browser

METHODS = ("robust", "nearest")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def home(toy_scene: Path, tmp_path_factory: pytest.TempPathFactory, tiny_encoder: None) -> Workspace:
    """The rendered room, with a floor map of a part of it: some photos lie outside."""
    home = Workspace(tmp_path_factory.mktemp("home"))
    shutil.copytree(toy_scene, home.root / "scenes" / "toy")
    scene = Scene.load(home.root / "scenes" / "toy")
    embed_scene(scene, home.root / "scenes" / "toy", home.embeddings("toy"), TinyEncoder(), EmbedOptions(augmentations=0))
    return home


@pytest.fixture(scope="module")
def scene(home: Workspace) -> Scene:
    return home.load_scene("toy")


@pytest.fixture(scope="module")
def floor(home: Workspace, scene: Scene) -> Path:
    """A plan with a picture, turned by 90 degrees, on which the half of the room with the larger x cannot be walked."""
    centers = scene.frames.poses.centers_m
    low, high = centers.min(axis=0) - 1.0, centers.max(axis=0) + 1.0
    middle = float(np.median(centers[:, 0]))
    metres = 0.05
    across, up = (int((high[axis] - low[axis]) / metres) for axis in (1, 0))  # the plan's x axis runs along the scene's y
    # turned by 90 degrees, the picture's rows run along -x of the scene: row 0 at the smallest x
    walkable = np.zeros((up, across), dtype=bool)
    walkable[: int((middle - low[0]) / metres)] = True
    picture = home.root / "plan.png"
    Image.new("RGB", (across, up), "white").save(picture)
    path = home.root / "plan.toml"
    floor_map = FloorMap(
        walkable, metres, (float(high[0]), float(low[1])), 90.0, max_distance_m=50.0, plan=picture, accept_outside=True
    )
    floor_map.save(path)
    return path


@pytest.fixture(scope="module")
def address(home: Workspace, floor: Path) -> Iterator[str]:
    with address_of(HostingOptions(home, methods=METHODS, floor_maps=(("toy", floor),))) as found:
        yield found


@pytest.fixture(scope="module")
def without_floor(home: Workspace) -> Iterator[str]:
    options = ServiceOptions(token="sixteen-characters", limits=Limits(queue=1, images=1))
    with address_of(HostingOptions(home, methods=METHODS), options) as found:
        yield found


@pytest.fixture(scope="module")
def floorless(home: Workspace) -> Iterator[str]:
    """For the page of another service, as if that had been started anew without its floor map."""
    with address_of(HostingOptions(home, methods=METHODS), ServiceOptions(allowed_origins=("*",))) as found:
        yield found


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        visit = Visit(context.new_page(), address)
        visit.open()
        yield visit
        visit.page.unroute_all(behavior="ignoreErrors")  # of pictures that are still fetched
        assert not visit.complaints
        assert all(url.startswith((address, "blob:", "data:")) for url in visit.requested), visit.requested
