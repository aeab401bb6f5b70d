"""Which key photos probably show what a photo shows: by embedding, and by what a prior pose would see."""

from __future__ import annotations

from itertools import chain, zip_longest

import numpy as np

from irploc.geometry.cameras import Camera
from irploc.structure.pointmap import PointMap
from irploc.structure.sight import EXACT, seen_from
from irploc.structure.solution import Prior

_SAMPLE = 5000  # points, enough to tell which photos see what a pose would see


class KeyPhotos:
    """The embeddings of the photos of a map.

    Args:
        rows: (N,) of the map's photos in ``PlaceIndex``.
        vectors: (M, D) of all mapping photos.
    """

    def __init__(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        self.rows = rows
        self._vectors = vectors if len(rows) == len(vectors) and (rows == np.arange(len(rows))).all() else vectors[rows]

    def similarities(self, embeddings: np.ndarray) -> np.ndarray:
        """(Q, N) cosines of (Q, D) unit embeddings."""
        return np.asarray(embeddings @ self._vectors.T)


def candidate_photos(
    similarities: np.ndarray, point_map: PointMap, camera: Camera, prior: Prior | None, count: int
) -> np.ndarray:
    """Rows of at most ``count`` key photos, best first.

    With a prior, the photos that see most of what it would see take turns with those of the most similar embeddings.

    Args:
        similarities: (N,) of the query's embedding with the key photos'.
        camera: of the query.
    """
    alike = np.argsort(-similarities, kind="stable")[:count]
    if prior is None:
        return alike
    some = np.arange(0, len(point_map), max(len(point_map) // _SAMPLE, 1))
    shared = shared_points(point_map, seen_from(point_map, prior.pose, camera, EXACT, some)[0])
    by_view = np.argsort(-shared, kind="stable")[: count // 2]
    by_view = by_view[shared[by_view] > 0]
    turns = chain.from_iterable(zip_longest(alike.tolist(), by_view.tolist()))
    return np.array(list(dict.fromkeys(row for row in turns if row is not None))[:count], dtype=np.int64)


def shared_points(point_map: PointMap, rows: np.ndarray) -> np.ndarray:
    """(N,) how many of some points each key photo sees."""
    seen = np.zeros(len(point_map), dtype=bool)
    seen[rows] = True
    running = np.concatenate([[0], np.cumsum(seen[point_map.observed])])
    return np.asarray(running[point_map.starts[1:]] - running[point_map.starts[:-1]])
