"""A service over a toy scene, behind a real socket; and photos to send to it."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import uvicorn
from PIL import Image
from tiny_place import TinyEncoder

from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.scene import Scene
from irploc.service.app import create_app
from irploc.service.hosting import HostingOptions
from irploc.service.options import ServiceOptions
from irploc.workspace import Workspace

JPEG = "image/jpeg"


def toy_workspace(root: Path, scene_folder: Path) -> Workspace:
    """A workspace in which the scene is embedded by the encoder ``tiny``."""
    home = Workspace(root)
    options = EmbedOptions(augmentations=1, dtype="float32")
    embed_scene(Scene.load(scene_folder), scene_folder, home.embeddings("toy"), TinyEncoder(), options)
    return home


@contextmanager
def address_of(hosting: HostingOptions, options: ServiceOptions | None = None) -> Iterator[str]:
    """The address of a service that runs in a thread, ready."""
    loaded = threading.Event()
    failures: list[Exception | None] = []

    def ended(error: Exception | None) -> None:
        failures.append(error)
        loaded.set()

    app = create_app(hosting, options or ServiceOptions(), ended)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            assert loaded.wait(30) and failures == [None], failures
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


@contextmanager
def serving(home: Workspace, options: ServiceOptions | None = None, **of_hosting: Any) -> Iterator[httpx.Client]:
    """A client of a running service that is ready."""
    running = address_of(HostingOptions(home, **of_hosting), options)
    with running as address, httpx.Client(base_url=address, trust_env=False, timeout=20) as client:
        yield client


def picture(seed: int = 0, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """Coarse noise, always the same for a seed."""
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **of_saving: Any) -> bytes:
    """The image as a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **of_saving)
    return stream.getvalue()


def photo_files(*contents: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    """What ``httpx`` takes as ``files``: photos in the field ``images``."""
    return [("images", (f"{number}.jpg", content, JPEG)) for number, content in enumerate(contents)]
