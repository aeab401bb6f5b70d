"""Which pairs are tested at all: photos close in a walk, and photos that look alike."""

from __future__ import annotations

import numpy as np

from irploc.errors import Mismatch, summarize
from irploc.retrieval.index import build_index
from irploc.retrieval.store import EmbeddingStore
from irploc.scene import Frames

NEIGHBOURS = 20
PAPER_WINDOW = 30  # frames of a video all of which are photos
WINDOW, RETRIEVAL = 1, 2  # bits of a candidate's source


def window_pairs(sequences: np.ndarray, indices: np.ndarray, window: int) -> np.ndarray:
    """Pairs of the same sequence whose indices differ by at most ``window``.

    Args:
        sequences: (N,) names.
        indices: (N,) positions in the source.
        window: the paper's d.

    Returns:
        (P, 2) rows i < j, sorted, each pair once.

    Source: Algorithm 1 of the paper, first loop; its d counts frames of the video, whether they are mapping photos or not.
    """
    found = [np.empty((0, 2), dtype=np.int64)]
    for sequence in np.unique(sequences.astype(str)):
        rows = np.flatnonzero(sequences == sequence)
        rows = rows[np.argsort(indices[rows], kind="stable")]
        ends = np.searchsorted(indices[rows], indices[rows] + window, side="right")
        counts = ends - np.arange(len(rows)) - 1
        first = np.repeat(np.arange(len(rows)), counts)
        offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        found.append(np.stack([rows[first], rows[first + 1 + offset]], axis=1))
    return unique_pairs(np.concatenate(found))


def default_window(frames: Frames) -> int:
    """As many index units as ``PAPER_WINDOW`` photos of a walk span: that many times the median step.

    Args:
        frames: all photos of the scene, of any split; a step is from a photo to the next one of its sequence.
    """
    walks = [frames.indices[frames.sequences == sequence] for sequence in set(frames.sequences)]
    steps = np.concatenate([np.diff(np.unique(indices)) for indices in walks])
    return round(PAPER_WINDOW * float(np.median(steps))) if len(steps) else PAPER_WINDOW


def retrieval_pairs(store: EmbeddingStore, frames: Frames, asked: np.ndarray, k: int) -> np.ndarray:
    """Each asked photo with the k mapping photos most similar to it.

    Args:
        store: embeddings of the scene.
        frames: the N photos to pair.
        asked: (N,) bool, photos that look for partners; a partner need not be one.
        k: fewer where the place has fewer photos.

    Returns:
        (P, 2) rows i < j of ``frames``, sorted, each pair once.

    Raises:
        Mismatch: when the embeddings lack photos that ask.
    """
    if k == 0 or not asked.any():
        return np.empty((0, 2), dtype=np.int64)
    index = build_index(store)
    stored = {name: row for row, name in enumerate(store.frames.names)}
    rows = np.flatnonzero(asked)
    lost = [frames.names[row] for row in rows if frames.names[row] not in stored and frames.names[row] not in store.left_out]
    if lost:
        raise Mismatch(f"{store.path} lacks {len(lost)} photos of the scene; first: {summarize(lost)}: run 'irploc embed'")
    rows = np.array([row for row in rows if frames.names[row] in stored], dtype=np.int64)
    queries = store.vectors(np.array([stored[frames.names[row]] for row in rows], dtype=np.int64))
    hits, _ = index.search(queries, min(k + 1, len(index.frames)))  # one more: a mapping photo finds itself
    row_of = {name: row for row, name in enumerate(frames.names)}
    row_of_hit = np.array([row_of.get(name, -1) for name in index.frames.names])
    partners = row_of_hit[hits]
    partners[partners == rows[:, None]] = -1
    first_k = (np.cumsum(partners >= 0, axis=1) <= k) & (partners >= 0)
    left = np.repeat(rows, hits.shape[1]).reshape(hits.shape)
    return unique_pairs(np.stack([left[first_k], partners[first_k]], axis=1))


def unordered(frames: Frames) -> np.ndarray:
    """(N,) bool: photos that belong to no walk, their sequence having no name or no other photo."""
    names, inverse, counts = np.unique(frames.sequences.astype(str), return_inverse=True, return_counts=True)
    return (names[inverse] == "") | (counts[inverse] == 1)


def unique_pairs(pairs: np.ndarray) -> np.ndarray:
    """(P, 2) int64 with i < j, sorted, each once; pairs of a photo with itself are dropped."""
    ordered = np.sort(pairs.astype(np.int64).reshape(-1, 2), axis=1)
    return np.unique(ordered[ordered[:, 0] != ordered[:, 1]], axis=0).reshape(-1, 2)


def merged(window: np.ndarray, retrieval: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P, 2) pairs of either list, sorted, and (P,) uint8 of ``WINDOW`` and ``RETRIEVAL`` bits."""
    pairs, inverse = np.unique(np.concatenate([window, retrieval]), axis=0, return_inverse=True)
    bits = np.repeat(np.array([WINDOW, RETRIEVAL], dtype=np.uint8), [len(window), len(retrieval)])
    sources = np.zeros(len(pairs), dtype=np.uint8)
    np.bitwise_or.at(sources, inverse.reshape(-1), bits)
    return pairs.reshape(-1, 2), sources
