"""Photos as the network on images sees them: the shorter side scaled to a fixed length, then square crops."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from irploc import provenance
from irploc.errors import BadInput, IrplocError
from irploc.images import EncodedPhoto, Photo, decode_image, scale_shorter_side, upright_rgb
from irploc.progress import Progress, Silent

CACHE_BYTES = 2 << 30


def scaled(photo: Photo, side: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB, upright, its shorter side of ``side`` pixels; antialiased bilinear, small photos are enlarged.

    Raises:
        NotFound, BadInput: for a path that is no photo.
    """
    if isinstance(photo, Path | EncodedPhoto):
        image = decode_image(photo)
    else:
        image = upright_rgb(photo) if isinstance(photo, Image.Image) else Image.fromarray(np.ascontiguousarray(photo))
    return np.array(scale_shorter_side(image, side))


def scaled_together(photos: Sequence[Photo], side: int) -> list[torch.Tensor]:
    """``scaled`` of several photos, by several threads."""
    with _pool() as pool:
        return [torch.from_numpy(pixels) for pixels in pool.map(lambda photo: scaled(photo, side), photos)]


def cropped(pixels_HW3: torch.Tensor, crop: int, place: tuple[float, float] | None = None) -> torch.Tensor:
    """(crop, crop, 3): the centre, or where ``place`` says, shares in [0, 1) of the way down and to the right."""
    spare = [length - crop for length in pixels_HW3.shape[:2]]
    if place is None:
        top, left = (length // 2 for length in spare)
    else:
        top, left = (min(int(share * (length + 1)), length) for share, length in zip(place, spare, strict=True))
    return pixels_HW3[top : top + crop, left : left + crop]


def as_batch(crops: Sequence[torch.Tensor]) -> torch.Tensor:
    """(B, 3, crop, crop) of (crop, crop, 3) each; channels last in memory, as convolutions like it."""
    return torch.stack(list(crops)).permute(0, 3, 1, 2)


class Photos:
    """N photos, scaled once by several threads and kept as far as they fit; the others are decoded again when needed.

    Args:
        paths: of them.
        side: of the shorter side, pixels.
        crop: side of the crops, no longer than ``side``.
        device: where they are kept.
        limit_bytes: of what is kept.
        progress: takes a step per photo.

    Attributes:
        fingerprint: of all pixels.

    Raises:
        BadInput: photos that cannot be used; says how many, and what is wrong with the first.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        side: int,
        crop: int,
        device: torch.device | None = None,
        limit_bytes: int = CACHE_BYTES,
        progress: Progress | None = None,
    ) -> None:
        self._paths, self._side, self.crop = tuple(paths), side, crop
        self._device = device or torch.device("cpu")
        self._kept: dict[int, torch.Tensor] = {}
        self.fingerprint = self._read(limit_bytes, progress or Silent())

    def __len__(self) -> int:
        return len(self._paths)

    def crops(self, rows: np.ndarray, places: np.ndarray | None = None) -> torch.Tensor:
        """(B, 3, crop, crop) uint8 on the device.

        Args:
            rows: (B,) numbers of photos.
            places: (B, 2) in [0, 1) as in ``cropped``; NaN, and None for all, takes the centre.
        """
        shares = np.full((len(rows), 2), np.nan) if places is None else places
        where = [None if np.isnan(down) else (down, right) for down, right in shares.tolist()]
        return as_batch([cropped(pixels, self.crop, place) for pixels, place in zip(self.whole(rows), where, strict=True)])

    def whole(self, rows: np.ndarray) -> list[torch.Tensor]:
        """B photos (H, W, 3) uint8, scaled, on the device."""
        missing = sorted({int(row) for row in rows} - self._kept.keys())
        photos = self._kept
        if missing:
            again = scaled_together([self._paths[row] for row in missing], self._side)
            photos = photos | {row: pixels.to(self._device) for row, pixels in zip(missing, again, strict=True)}
        return [photos[int(row)] for row in rows]

    def _read(self, limit_bytes: int, progress: Progress) -> str:
        digests, broken, used = [], [], 0
        with _pool() as pool:
            for row, (pixels, digest, error) in enumerate(pool.map(self._try, self._paths)):
                progress.advance()
                if pixels is None:
                    broken.append(error)
                    continue
                digests.append(digest)
                used += pixels.nbytes
                if used <= limit_bytes:
                    self._kept[row] = torch.from_numpy(pixels).to(self._device)
        if broken:
            raise BadInput(f"{len(broken)} of {len(self)} photos cannot be used; first: {broken[0]}")
        return provenance.sha256_of_parts(digests)

    def _try(self, path: Path) -> tuple[np.ndarray | None, bytes, str]:
        try:
            pixels = scaled(path, self._side)
        except IrplocError as error:
            return None, b"", str(error)
        return pixels, hashlib.sha256(pixels.tobytes()).digest(), ""


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, 8))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
