"""Local features of photos: SIFT keypoints with RootSIFT descriptors in bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from irploc.errors import BadInput
from irploc.images import resize_to_max_side
from irploc.opencv_safe import opencv

DIMENSION = 128
SCALE = 512.0  # a unit RootSIFT vector times this fits bytes: no component of ordinary patches exceeds a half
_CONTRAST = 0.02  # half of OpenCV's: indoor walls have little
_MOST = 20_000


@dataclass(frozen=True)
class FeatureOptions:
    """How features are found; a map and the photos localized in it share them.

    Attributes:
        max_features: of a photo; the strongest are kept.
        max_side: larger photos are reduced to so many pixels; places are those in the whole photo.

    Raises:
        BadInput: for numbers that cannot be.
    """

    max_features: int = 4096
    max_side: int = 1600

    def __post_init__(self) -> None:
        for name, least in (("max_features", 50), ("max_side", 64)):
            if not least <= getattr(self, name) <= _MOST:
                raise BadInput(f"{name} is {getattr(self, name)}, it must lie in [{least}, {_MOST}]")


@dataclass(frozen=True)
class LocalFeatures:
    """Of one photo.

    Attributes:
        pixels: (K, 2) float32 in the whole photo; the centre of its first pixel is at (0.5, 0.5).
        descriptors: (K, 128) uint8, ``SCALE`` times unit RootSIFT vectors.
        width, height: of the whole photo.
    """

    pixels: np.ndarray
    descriptors: np.ndarray
    width: int
    height: int

    def __len__(self) -> int:
        return len(self.pixels)


class FeatureExtractor:
    """SIFT (Lowe 2004) by OpenCV, as RootSIFT (Arandjelovic and Zisserman, CVPR 2012).

    Safe to call from several threads: OpenCV works outside Python's lock.
    """

    def __init__(self, options: FeatureOptions | None = None) -> None:
        self.options = options or FeatureOptions()
        self._sift: Any = opencv().SIFT_create(
            nfeatures=self.options.max_features,
            contrastThreshold=_CONTRAST,
            enable_precise_upscale=True,  # else places are off by a quarter of a pixel
        )

    def extract(self, photo: Image.Image | np.ndarray) -> LocalFeatures:
        """The features of a decoded, upright photo; none where it has no texture.

        Args:
            photo: RGB or grey; as an array (H, W, 3) or (H, W) uint8.
        """
        image = photo if isinstance(photo, Image.Image) else Image.fromarray(photo)
        small = resize_to_max_side(image.convert("L"), self.options.max_side)
        keypoints, descriptors = self._sift.detectAndCompute(np.asarray(small), None)
        if descriptors is None or not len(descriptors):
            return LocalFeatures(np.empty((0, 2), np.float32), np.empty((0, DIMENSION), np.uint8), *image.size)
        best = _strongest(keypoints, self.options.max_features)
        factor = np.array(image.size) / small.size
        places = (np.array([keypoints[row].pt for row in best]) + 0.5) * factor
        return LocalFeatures(places.astype(np.float32), root_sift(descriptors[best]), *image.size)


def root_sift(descriptors: np.ndarray) -> np.ndarray:
    """(K, 128) uint8 of SIFT descriptors (K, 128), which are not negative."""
    total = np.maximum(descriptors.sum(axis=1, keepdims=True, dtype=np.float64), 1e-9)
    return np.asarray(np.clip(np.round(np.sqrt(descriptors / total) * SCALE), 0, 255), dtype=np.uint8)


def unit_descriptors(descriptors: np.ndarray) -> np.ndarray:
    """(K, 128) float32 of unit length, of bytes."""
    vectors = descriptors.astype(np.float32)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1.0), dtype=np.float32)


def _strongest(keypoints: Any, most: int) -> np.ndarray:
    """Rows of at most ``most`` keypoints, in their order: OpenCV gives a few more than asked for where responses agree."""
    if len(keypoints) <= most:
        return np.arange(len(keypoints))
    responses = np.array([keypoint.response for keypoint in keypoints])
    limit = math.inf if not len(responses) else -np.partition(-responses, most - 1)[most - 1]
    return np.flatnonzero(responses >= limit)[:most]
