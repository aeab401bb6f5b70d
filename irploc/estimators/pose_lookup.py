"""``PoseLookup``: the mapping photos nearest to a pose, by the distance that a Siamese network was trained with."""

from __future__ import annotations

import numpy as np

from irploc.geometry.poses import Poses
from irploc.retrieval.index import FlatL2
from irploc.training.siamese.code import PoseCode

_CANDIDATES, _CHUNK = 16, 64


class PoseLookup:
    """Mapping photos by exp(-s_x) |dx| + exp(-s_q) |dw|, the paper's eq. 12 with the signs of its eq. 4.

    That is a sum of two norms; the Euclidean norm of both is never more than it and never less than 1 / sqrt(2) of it. So an
    L2 index on the scaled codes gives candidates, and when the last of them is farther than the best sum, no other photo can
    be better. Orientations are looked up both ways round (q and -q).

    Args:
        poses: of the M mapping photos.
        code: of poses.
        weights: exp(-s_x) and exp(-s_q).
    """

    def __init__(self, poses: Poses, code: PoseCode, weights: tuple[float, float]) -> None:
        self._code, self._scales = code, np.repeat(np.array(weights), 3)
        self._known = code.encode(poses) * self._scales
        self._index = FlatL2(self._known)

    def nearest(self, poses: Poses, count: int) -> np.ndarray:
        """(N, count) rows of the mapping photos, nearest first."""
        starts = range(0, max(len(poses), 1), _CHUNK)  # bounds the memory for the candidates
        return np.concatenate([self._nearest(poses[slice(start, start + _CHUNK)], count) for start in starts])

    def _nearest(self, poses: Poses, count: int) -> np.ndarray:
        codes = self._code.encode(poses)
        both = np.stack([codes, self._code.other_branch(codes)], axis=1) * self._scales
        found = np.zeros((len(poses), count), dtype=np.int64)
        open_rows, candidates = np.arange(len(poses)), max(_CANDIDATES, 2 * count)
        while len(open_rows):
            candidates = min(candidates, len(self._index))
            rows, sums, reach = self._sums(both[open_rows], candidates)
            order = np.argsort(sums, axis=1, kind="stable")[:, :count]
            found[open_rows] = np.take_along_axis(rows, order, axis=1)
            worst = np.take_along_axis(sums, order, axis=1)[:, -1]
            open_rows = open_rows[(reach < worst) & (candidates < len(self._index))]
            candidates *= 4
        return found

    def _sums(self, both: np.ndarray, candidates: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows and their distances (n, 2 * candidates), repeated ones at infinity, and how far the search went (n,)."""
        rows, distances = self._index.search(both.reshape(-1, both.shape[2]), candidates)
        rows = rows.reshape(len(both), 2 * candidates)
        differences = np.repeat(both, candidates, axis=1) - self._known[rows]
        sums = np.linalg.norm(differences[..., :3], axis=2) + np.linalg.norm(differences[..., 3:], axis=2)
        order = np.argsort(sums, axis=1, kind="stable")
        rows, sums = np.take_along_axis(rows, order, axis=1), np.take_along_axis(sums, order, axis=1)
        sums[_repeated(rows)] = np.inf
        return rows, sums, distances[:, -1].reshape(len(both), 2).min(axis=1)


def _repeated(rows: np.ndarray) -> np.ndarray:
    """(n, c) whether a number has been further to the left in its row."""
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    again = np.zeros_like(rows, dtype=bool)
    np.put_along_axis(again, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return again
