"""The features that a photo's mirror image would have, without looking at it again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from irploc.structure.features import LocalFeatures

_CELLS, _DIRECTIONS = 4, 8  # of a SIFT descriptor: 4 x 4 cells of 8 directions, relative to the keypoint's own


def mirrored(features: LocalFeatures) -> LocalFeatures:
    """Left and right exchanged: a keypoint's direction is mirrored with it, so that in its own axes up and down change."""
    grid = features.descriptors.reshape(-1, _CELLS, _CELLS, _DIRECTIONS)
    turned = grid[:, ::-1][..., -np.arange(_DIRECTIONS) % _DIRECTIONS]
    places = np.stack([features.width - features.pixels[:, 0], features.pixels[:, 1]], axis=1)
    return replace(features, pixels=places, descriptors=np.ascontiguousarray(turned).reshape(len(features), -1))
