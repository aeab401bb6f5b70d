"""Photos with known poses compared: matches of their features that the epipolar geometry allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache

import numpy as np
import torch

from irploc.structure.epipolar import essential_matrix, sampson_distance
from irploc.structure.features import LocalFeatures, unit_descriptors
from irploc.structure.mappingphotos import MappingPhotos
from irploc.structure.refinement import rays_of

LIMIT_PX = 3.0  # of the Sampson distance, in a photo reduced to the size its features were found in
RATIO = 0.85
_KEPT_TENSORS = 300


class Comparison:
    """Compares N photos whose features are known; safe to call from several threads.

    Args:
        photos: with their poses.
        features: N of them.
        max_side: the features were found in photos reduced to so many pixels.
    """

    def __init__(self, photos: MappingPhotos, features: Sequence[LocalFeatures], max_side: int) -> None:
        self._photos, self._features = photos, features
        cameras = [photos.camera(row) for row in range(len(photos))]
        self._rays = [rays_of(camera, found.pixels) for camera, found in zip(cameras, features, strict=True)]
        focal = np.array([np.mean(camera.focal_px) for camera in cameras])
        larger = np.array([max(camera.width, camera.height) for camera in cameras])
        self._focal_px = focal * np.minimum(1.0, max_side / larger)
        self._tensor = lru_cache(maxsize=_KEPT_TENSORS)(self._make_tensor)

    @cached_property
    def _cam_from_world(self) -> np.ndarray:
        return np.linalg.inv(self._photos.poses.to_matrices())

    def matches(self, first: int, second: int) -> np.ndarray:
        """(M, 2) int32 rows of features of two photos that match and lie on each other's epipolar lines."""
        one, other = self._tensor(first), self._tensor(second)
        return self._on_lines(first, second, nearest_in_both(one, other, RATIO))

    def share_shown(
        self, photo: int, others: Sequence[int], enough: float, sample: int, already: np.ndarray | None = None
    ) -> float:
        """Share of a photo's features that at least two of other photos show too: what points need.

        Args:
            others: asked one after the other until the share is ``enough``.
            sample: look at so many of the features, evenly taken.
            already: (K,) bool, features that are shown anyway.
        """
        tensor = self._tensor(photo)
        rows = np.unique(np.linspace(0, len(tensor) - 1, min(sample, len(tensor))).astype(np.int64))
        if not len(rows):
            return 1.0
        times = np.zeros(len(tensor), dtype=np.int64) if already is None else 2 * already.astype(np.int64)
        share = float((times[rows] >= 2).mean())
        for other in others:
            if share >= enough:
                break
            left = rows[times[rows] < 2]
            found = nearest(tensor[torch.from_numpy(left)], self._tensor(other), RATIO)
            found[:, 0] = left[found[:, 0]]
            times[self._on_lines(photo, other, found)[:, 0]] += 1
            share = float((times[rows] >= 2).mean())
        return share

    def _on_lines(self, first: int, second: int, matches: np.ndarray) -> np.ndarray:
        essential = essential_matrix(self._cam_from_world[first], self._cam_from_world[second])
        off = sampson_distance(essential, self._rays[first][matches[:, 0]], self._rays[second][matches[:, 1]])
        focal = (self._focal_px[first] + self._focal_px[second]) / 2
        with np.errstate(invalid="ignore"):
            return matches[off * focal < LIMIT_PX].astype(np.int32)

    def _make_tensor(self, row: int) -> torch.Tensor:
        vectors = torch.from_numpy(unit_descriptors(self._features[row].descriptors))
        return vectors.bfloat16() if _is_fast_in_halves() else vectors


@torch.inference_mode()
def nearest(first: torch.Tensor, second: torch.Tensor, ratio: float) -> np.ndarray:
    """(M, 2) int64 rows of unit vectors (A, D) and their nearest of (B, D), clearly nearer than the second nearest."""
    if not len(first) or len(second) < 2:
        return np.empty((0, 2), dtype=np.int64)
    best, columns = (first @ second.T).topk(2, dim=1)
    rows = torch.nonzero(_clear(best, ratio))[:, 0]
    return np.stack([rows.numpy(), columns[rows, 0].numpy()], axis=1)


@torch.inference_mode()
def nearest_in_both(first: torch.Tensor, second: torch.Tensor, ratio: float) -> np.ndarray:
    """(M, 2) int64 rows of unit vectors that are each other's nearest, and in ``second`` clearly nearer than the second
    nearest; as ``mutual_matches``, with fewer passes."""
    if not len(first) or len(second) < 2:
        return np.empty((0, 2), dtype=np.int64)
    similarity = first @ second.T
    best, columns = similarity.topk(2, dim=1)
    mutual = similarity.amax(dim=0)[columns[:, 0]] == best[:, 0]
    rows = torch.nonzero(_clear(best, ratio) & mutual)[:, 0]
    return np.stack([rows.numpy(), columns[rows, 0].numpy()], axis=1)


def _clear(best: torch.Tensor, ratio: float) -> torch.Tensor:
    squares = 2.0 - 2.0 * best.float()
    return squares[:, 0] < ratio**2 * squares[:, 1]


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """torch without threads of its own, for callers that bring theirs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=1)
def _is_fast_in_halves() -> bool:
    """Whether the processor multiplies bfloat16: five times as fast then, and the few ties it makes fail the ratio."""
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(asked is not None and asked())
