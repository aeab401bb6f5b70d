"""A tiny mapped place that the service can host, photos as clients send them, and an application around it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image
from tiny_place import TinyEncoder, make_scene

from irploc.images import EncodedPhoto
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.scene import Scene
from irploc.service.hosting import HostingOptions
from irploc.workspace import Workspace

_Result = TypeVar("_Result")


def make_workspace(root: Path, names: tuple[str, ...] = ("tiny",)) -> Workspace:
    """Scenes of the same random photos, embedded by the tiny encoder."""
    home = Workspace(root)
    for name in names:
        scene = make_scene(root / "photos" / name)
        scene = Scene(name, scene.image_root, scene.frames, ground_truth="invented")
        scene.save(root / "scenes" / name)
        embed_scene(scene, root / "scenes" / name, home.embeddings(name), TinyEncoder(), EmbedOptions(augmentations=0))
    return home


def hosting_options(home: Workspace, **others: Any) -> HostingOptions:
    """Every scene of a workspace, by two methods that need nothing."""
    return HostingOptions(home, **{"methods": ("nearest", "ewb:k=2"), **others})


def photo_bytes(seed: int = 0, size: tuple[int, int] = (32, 24), kind: str = "PNG") -> bytes:
    """A photo as a client sends it."""
    image = Image.effect_mandelbrot(size, (-2 + 0.1 * seed, -1, 1, 1), 50).convert("RGB")
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def sent(name: str, content: bytes | None = None) -> EncodedPhoto:
    """A photo that came."""
    return EncodedPhoto(name, photo_bytes() if content is None else content)


def within(seconds: float, work: Coroutine[Any, Any, _Result]) -> _Result:
    """Runs a coroutine in a loop of its own; a test that hangs fails."""

    async def timed() -> _Result:
        async with asyncio.timeout(seconds):
            return await work

    return asyncio.run(timed())
