"""Descriptors compared: nearest in both directions, and clearly nearer than the second nearest."""

from __future__ import annotations

import numpy as np
import torch


@torch.inference_mode()
def mutual_matches(first: np.ndarray, second: np.ndarray, ratio: float = 0.85) -> np.ndarray:
    """(M, 2) rows of descriptors that are each other's nearest.

    Args:
        first: (A, D) float32 unit vectors.
        second: (B, D).
        ratio: the distance to the nearest of ``second`` is below this times that to the second nearest (Lowe 2004).

    Returns:
        Ascending in the first column; empty where one side has no or one vector.
    """
    if not len(first) or len(second) < 2:
        return np.empty((0, 2), dtype=np.int64)
    similarity = torch.from_numpy(first) @ torch.from_numpy(second).T
    best, column = similarity.max(dim=1)
    rows = torch.arange(len(column))
    mutual = similarity.max(dim=0).indices[column] == rows
    similarity[rows, column] = -1.0
    next_best = similarity.max(dim=1).values
    clear = (2.0 - 2.0 * best) < ratio**2 * (2.0 - 2.0 * next_best)
    kept = torch.nonzero(mutual & clear)[:, 0]
    return np.stack([kept.numpy(), column[kept].numpy()], axis=1)
