"""``PlaceIndex``: nearest mapping photos in embedding space, by FAISS. The only module that knows FAISS."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import tomli_w

from irploc import provenance
from irploc.errors import BadInput, Mismatch, NotFound
from irploc.files import replacing, runtime_errors_of_the_disk
from irploc.retrieval.store import EmbeddingStore, StoreHeader
from irploc.scene import Frames

FORMAT, VERSION = "irploc-index", 1
KINDS = ("flat", "ivfpq", "hnsw")
_PQ_PIECES, _TRAINING_POINTS = 64, 39  # codes a vector in IVF-PQ; FAISS wants 39 training points a centroid
_HNSW_LINKS = 32
_CANDIDATES = 100
_CHUNK = 64


@dataclass(frozen=True)
class PlaceIndex:
    """The mapping photos of a scene, searchable.

    Attributes:
        frames: the M mapping photos, rows of the index.
        vectors: (M, D) float32 unit vectors, exact whatever the kind of index.
        faiss_index: over them, inner product.
        kind: flat, ivfpq or hnsw.
        learned: plain values that methods learned from these photos, by name, saved beside the index so that they need not
            be learned at every start.
    """

    frames: Frames
    vectors: np.ndarray
    faiss_index: Any
    kind: str
    learned: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k most similar mapping photos of each query, best first.

        Args:
            queries: (N, D) float32 unit vectors.
            k: at most M.

        Returns:
            (N, k) rows into ``frames`` and (N, k) cosine similarities, exact also for approximate kinds.

        Raises:
            BadInput: when the place has fewer than k photos. ValueError: for vectors of another length.
        """
        if k > len(self.frames):
            raise BadInput(f"k is {k}, the place has {len(self.frames)} mapping images: use k={len(self.frames)} or less")
        if queries.shape[1] != self.vectors.shape[1]:
            raise ValueError(f"queries have {queries.shape[1]} dimensions, the index {self.vectors.shape[1]}")
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if self.kind == "flat":
            similarities, rows = self.faiss_index.search(queries, k)
            return rows, similarities
        starts = range(0, max(len(queries), 1), _CHUNK)  # bounds the memory for the gathered candidates
        parts = [self._search_and_rerank(queries[start : start + _CHUNK], k) for start in starts]
        return np.concatenate([rows for rows, _ in parts]), np.concatenate([similarities for _, similarities in parts])

    def without(self, taken: np.ndarray) -> PlaceIndex:
        """A flat index over the photos outside a mask (M,); nothing is learned from it."""
        return flat_index(self.frames[~taken], self.vectors[~taken])

    def _search_and_rerank(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """More candidates than asked for, put in order by their exact similarity."""
        count = min(max(4 * k, _CANDIDATES), len(self.frames))
        _, candidates = self.faiss_index.search(queries, count)
        if (candidates < 0).any():  # an inverted list may hold fewer than asked for
            exact = queries @ self.vectors.T
            candidates = np.argpartition(-exact, count - 1, axis=1)[:, :count]
        similarities = np.einsum("nd,nkd->nk", queries, self.vectors[candidates])
        order = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(candidates, order, axis=1), np.take_along_axis(similarities, order, axis=1)


class FlatL2:
    """Nearest rows of (M, C) vectors of any length by Euclidean distance.

    Args:
        vectors: at least one.
    """

    def __init__(self, vectors: np.ndarray) -> None:
        self._index = faiss.IndexFlatL2(vectors.shape[1])
        self._index.add(np.ascontiguousarray(vectors, dtype=np.float32))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """(N, k) rows, nearest first, and their (N, k) distances, to (N, C) queries; k at most M."""
        squares, rows = self._index.search(np.ascontiguousarray(queries, dtype=np.float32), k)
        return rows, np.sqrt(np.clip(squares, 0.0, None))


def build_index(store: EmbeddingStore, kind: str = "flat") -> PlaceIndex:
    """An index over the plain versions of the mapping photos in a store.

    Raises:
        BadInput: for an unknown kind, a store without mapping photos, or too few for the kind.
    """
    if kind not in KINDS:
        raise BadInput(f"unknown index kind {kind!r}, choose one of {', '.join(KINDS)}")
    rows = store.frames.splits == "train"
    if not rows.any():
        raise BadInput(f"{store.path} has no training image to search in: check the split of the scene")
    vectors = np.ascontiguousarray(store.vectors(rows))
    return PlaceIndex(store.frames[rows], vectors, _new_faiss_index(vectors, kind), kind)


def save_index(index: PlaceIndex, header: StoreHeader, path: Path) -> None:
    """Writes ``path`` and its ``.toml``, each put in place whole.

    Raises:
        BadInput: when they cannot be written; what was there stays.
    """
    sidecar = path.with_suffix(".toml")
    if sidecar == path:
        raise BadInput(f"an index cannot be called {path}: that is the name of the file beside it; use .faiss")
    content = {
        **provenance.header(FORMAT, VERSION),
        "kind": index.kind,
        "scene": header.scene,
        "ground_truth": header.ground_truth,
        "encoder": header.encoder,
        "weights_sha256": header.weights_sha256,
        "preprocessing": header.preprocessing,
        "max_side": header.max_side,
        "precision": header.precision,
        "augmentations": header.augmentations,
        "jitter": asdict(header.jitter),
        "seed": header.seed,
        "images": len(index.frames),
        "dimension": header.dimension,
        "content_sha256": _fingerprint(index),
        "mapping_fingerprint": header.mapping_fingerprint,
        "learned": {name: dict(values) for name, values in index.learned.items()},
        "learned_sha256": _sha256_of_learned(index.learned),
    }
    with replacing(sidecar) as temporary_sidecar, replacing(path) as temporary:
        with runtime_errors_of_the_disk():
            faiss.write_index(index.faiss_index, str(temporary))
        content["faiss_sha256"] = provenance.sha256_of_file(temporary)
        temporary_sidecar.write_text(tomli_w.dumps(content), encoding="utf-8")


def load_index(path: Path, store: EmbeddingStore) -> PlaceIndex:
    """Reads an index and checks that it belongs to the store.

    Raises:
        NotFound: no such file. BadInput: damaged. Mismatch: it indexes other images, vectors or another encoder.
    """
    sidecar = path.with_suffix(".toml")
    if not path.is_file() or not sidecar.is_file():
        raise NotFound(f"no index {path}: make it with 'irploc index {store.path}'")
    try:
        content = tomllib.loads(sidecar.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{sidecar} is not valid TOML: {error}") from None
    provenance.check_header(content, FORMAT, VERSION, sidecar)
    damaged = BadInput(f"{path} is damaged or not the index that {sidecar} describes: run 'irploc index {store.path}' again")
    # FAISS trusts its files: a changed byte gives other neighbours, or asks for any amount of memory.
    if content.get("faiss_sha256") != provenance.sha256_of_file(path) or content.get("kind") not in KINDS:
        raise damaged
    try:
        faiss_index = faiss.read_index(str(path))
    except RuntimeError:
        raise damaged from None
    rows = store.frames.splits == "train"
    vectors, learned = np.ascontiguousarray(store.vectors(rows)), content.get("learned", {})
    index = PlaceIndex(store.frames[rows], vectors, faiss_index, content["kind"], learned)
    if content.get("content_sha256") != _fingerprint(index) or faiss_index.ntotal != len(index.frames):
        raise Mismatch(f"{path} indexes other images than {store.path} holds: run 'irploc index {store.path}' again")
    if content.get("mapping_fingerprint", store.header.mapping_fingerprint) != store.header.mapping_fingerprint:
        raise Mismatch(f"{path} was made when the photos had other poses: run 'irploc index {store.path}' again")
    if learned and content.get("learned_sha256") != _sha256_of_learned(learned):
        raise BadInput(f"{sidecar} is damaged: what methods learned is not what was written; run 'irploc index' again")
    return index


def flat_index(frames: Frames, vectors: np.ndarray) -> PlaceIndex:
    """An exact one over M mapping photos and their (M, D) unit vectors, of an encoder or of anything else."""
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    return PlaceIndex(frames, vectors, _new_faiss_index(vectors, "flat"), "flat")


def _new_faiss_index(vectors: np.ndarray, kind: str) -> Any:
    count, dimension = vectors.shape
    index: Any
    if kind == "flat":
        index = faiss.IndexFlatIP(dimension)
    elif kind == "hnsw":
        index = faiss.IndexHNSWFlat(dimension, _HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efSearch = 128
    else:
        index = _new_ivfpq(count, dimension)
        index.train(vectors)
    index.add(vectors)
    return index


def _new_ivfpq(count: int, dimension: int) -> Any:
    """Lists and code bits as fine as the number of training points allows; re-ranking is exact, so coarse is not wrong."""
    centroids = count // _TRAINING_POINTS
    if centroids < 2:
        raise BadInput(
            f"an ivfpq index needs at least {2 * _TRAINING_POINTS} mapping images, the place has {count}: use --kind flat"
        )
    lists = max(1, min(int(4 * np.sqrt(count)), centroids))
    bits = min(8, int(np.log2(centroids)))
    pieces = max(size for size in range(1, _PQ_PIECES + 1) if dimension % size == 0)
    index: Any = faiss.index_factory(dimension, f"IVF{lists},PQ{pieces}x{bits}", faiss.METRIC_INNER_PRODUCT)
    index.nprobe = max(1, lists // 4)
    return index


def _fingerprint(index: PlaceIndex) -> str:
    return provenance.sha256_of_parts([index.vectors.tobytes(), *(name.encode() for name in index.frames.names)])


def _sha256_of_learned(learned: Mapping[str, Any]) -> str:
    return provenance.sha256_of_parts([json.dumps(learned, sort_keys=True, default=str).encode()])
