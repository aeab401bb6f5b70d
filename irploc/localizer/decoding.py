"""Photos decoded ahead of the encoder."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from irploc.errors import BadInput, IrplocError, without_frames
from irploc.images import EncodedPhoto, Photo, decode_image, resize_to_max_side, to_array, upright_rgb


@dataclass
class DecodedPhoto:
    """A photo ready for the encoder, or the error in its place.

    Attributes:
        pixels: (3, H, W) uint8.
        source: as it was given, in full size.
        whole: whether the pixels are the photo in full size.
    """

    name: str
    pixels: np.ndarray
    decode_ms: float
    source: Photo
    error: IrplocError | None = None
    whole: bool = False

    @property
    def in_full_size(self) -> np.ndarray | None:
        """(H, W, 3) uint8 of the whole photo; None where the pixels were reduced."""
        return self.pixels.transpose(1, 2, 0) if self.whole else None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the pixels."""
        return self.pixels.shape


def decode_ahead(images: Iterable[Photo | str], max_side: int | None, ahead: int) -> Iterator[DecodedPhoto]:
    """Photos in order, decoded by threads that stay ``ahead`` of whoever takes them."""
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        waiting: deque[Future[DecodedPhoto]] = deque()
        try:
            for number, image in enumerate(images):
                waiting.append(pool.submit(decode_photo, image, f"image {number}", max_side))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def decode_photo(image: Photo | str, fallback_name: str, max_side: int | None) -> DecodedPhoto:
    """A photo decoded and reduced, or with the error in its place.

    Args:
        image: a path or file in memory; a PIL image; or (H, W, 3) uint8 RGB.
        fallback_name: of what has no name itself.
        max_side: pixels to which the longer side is reduced; None leaves it.
    """
    started = time.perf_counter()
    name = str(image) if isinstance(image, str | Path | EncodedPhoto) else fallback_name
    source = Path(image) if isinstance(image, str) else image
    try:
        whole = decode_image(source) if isinstance(source, Path | EncodedPhoto) else _as_pil(source, name)
    except IrplocError as error:
        return DecodedPhoto(name, np.zeros((3, 0, 0), dtype=np.uint8), 0.0, source, without_frames(error))
    photo = resize_to_max_side(whole, max_side)
    return DecodedPhoto(name, to_array(photo), 1e3 * (time.perf_counter() - started), source, whole=photo is whole)


def _as_pil(image: Image.Image | np.ndarray, name: str) -> Image.Image:
    if isinstance(image, Image.Image):
        try:
            return upright_rgb(image)
        except (OSError, ValueError) as error:
            raise BadInput(f"{name} cannot be decoded: {error}") from None
    if not isinstance(image, np.ndarray):
        raise BadInput(f"{name} is a {type(image).__name__}, expected a path, a PIL image or an array")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise BadInput(f"{name} is a {image.dtype} array of shape {image.shape}, expected (height, width, 3) uint8 RGB")
    return Image.fromarray(image)
