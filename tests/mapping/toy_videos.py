"""Small videos whose frames tell their number, and small maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from irploc.mapping.matching import MatchGraph
from irploc.mapping.video import Measured

SIZE = (64, 48)


def striped(number: int, width: int = SIZE[0], height: int = SIZE[1]) -> np.ndarray:
    """(h, w, 3) stripes that move two pixels a frame, above a patch as bright as ten times the number."""
    across = (np.arange(width) + 2 * number) % 16
    picture = np.repeat(np.repeat((20 + 12 * across)[None, :, None], height, axis=0), 3, axis=2)
    picture[height // 2 :, : width // 2] = min(10 * number, 250)
    return picture.astype(np.uint8)


def number_of(picture: np.ndarray) -> int:
    """The number of a frame, from the patch."""
    height, width = picture.shape[:2]
    return round(float(picture[height // 2 + 6 : height - 6, 6 : width // 2 - 8].mean()) / 10)


def write_video(path: Path, frames: Sequence[np.ndarray], fps: float = 10.0, *options: str) -> Path:
    """Encodes (h, w, 3) uint8 frames."""
    import imageio_ffmpeg

    height, width = frames[0].shape[:2]
    writer = imageio_ffmpeg.write_frames(
        str(path), (width, height), fps=fps, macro_block_size=2, quality=9, output_params=list(options)
    )
    writer.send(None)
    for frame in frames:
        writer.send(np.ascontiguousarray(frame))
    writer.close()
    return path


def measured(sharpness: Sequence[float], fps: float = 30.0, moving: bool = True) -> Measured:
    """Frames whose stripes move by a pixel of 160 each, or stand still."""
    count = len(sharpness)
    waves = [100 + 50 * np.sin((np.arange(160) + (number if moving else 0)) / 6) for number in range(count)]
    thumbnails = np.stack([np.repeat(wave[None], 120, axis=0) for wave in waves])
    return Measured(np.arange(count) / fps, np.array(sharpness, dtype=float), thumbnails.round().astype(np.uint8))


def graph_of(pairs: Sequence[tuple[int, int]], inliers: int = 100, turned: bool = False) -> MatchGraph:
    """All pairs with the same number of matches."""
    count = len(pairs)
    return MatchGraph(np.array(pairs).reshape(-1, 2), np.full(count, inliers), float(turned))
