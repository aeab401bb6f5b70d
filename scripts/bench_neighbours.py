"""Method ``robust`` against ``ewb`` and ``bdi`` with every k, on several splits of the same embedded photos.

    python scripts/bench_neighbours.py embeddings/kitchen.h5 embeddings/fox.h5 [--split blocks:100 --split modulo:3 …]

For every file and split: the errors of ``nearest`` and ``robust``, and the best that ``ewb`` or ``bdi`` reaches with any k
of a list, chosen with the ground truth separately for position and rotation. ``own`` is the split of the scene,
``blocks:N`` alternates blocks of N photos, ``modulo:N`` tests every N-th, ``sparse:N`` maps with every N-th alone.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import faiss
import numpy as np

from irploc.errors import IrplocError
from irploc.estimators.base import PoseEstimator, Query
from irploc.estimators.interpolation import Bdi, Ewb
from irploc.estimators.robust import Robust
from irploc.geometry.poses import pose_errors
from irploc.retrieval.index import PlaceIndex
from irploc.retrieval.store import EmbeddingStore

KS = (1, 2, 3, 5, 10, 15, 20, 25, 35, 50)


def mapped(split: str, splits: np.ndarray, order: np.ndarray) -> np.ndarray:
    """(N,) which photos map; ``order`` is each photo's place in the walk."""
    kind, _, number = split.partition(":")
    if kind == "own":
        return splits == "train"
    if not number.isdecimal() or int(number) < 1 + (kind == "modulo"):
        raise SystemExit(f"unknown split {split}: own, blocks:N, modulo:N or sparse:N")
    count = int(number)
    if kind == "blocks":
        return order // count % 2 == 0
    if kind == "modulo":
        return order % count != count - 1
    if kind == "sparse":
        return order % count == 0
    raise SystemExit(f"unknown split {split}: own, blocks:N, modulo:N or sparse:N")


def measure(store: EmbeddingStore, split: str) -> str:
    """One line of the table."""
    frames, vectors = store.frames, store.vectors()
    order = np.empty(len(frames), dtype=np.int64)
    order[np.lexsort((frames.indices, frames.sequences))] = np.arange(len(frames))
    chosen = mapped(split, frames.splits, order)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors[chosen])
    asked = frames.splits == "test" if split == "own" else ~chosen
    index = PlaceIndex(kind="flat", vectors=vectors[chosen], frames=frames[chosen], faiss_index=flat)
    query, true = Query(vectors[asked]), frames.poses[asked]

    def medians(estimator: PoseEstimator) -> np.ndarray:
        return np.array([np.median(part) for part in pose_errors(estimator.estimate(query).poses, true)])

    ks = [k for k in KS if k <= len(index.frames)]
    fixed = np.stack([medians(kind(index, k)) for k in ks for kind in (Ewb, Bdi)])
    started = time.perf_counter()
    robust = medians(Robust(index))
    seconds = time.perf_counter() - started
    nearest, best = medians(Ewb(index, 1)), fixed.min(axis=0)
    numbers = [f"{metres:.3f} m {degrees:.2f}°" for metres, degrees in (nearest, best, robust)]
    shares = "/".join(f"{value:.2f}" for value in robust / best)
    against = "/".join(f"{value:.2f}" for value in robust / nearest)
    cells = [f"{store.path.stem} {split}", str(len(index.frames)), *numbers, shares, against, f"{seconds:.1f} s"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("embeddings", nargs="+", type=Path)
    parser.add_argument("--split", action="append", help="own, blocks:N, modulo:N, sparse:N; may be repeated")
    options = parser.parse_args()
    print("| split | mapped | nearest | best fixed k | robust | robust / best | robust / nearest | time |")
    print("|---|---|---|---|---|---|---|---|")
    for path in options.embeddings:
        with EmbeddingStore.open(path) as store:
            for split in options.split or ["own"]:
                print(measure(store, split), flush=True)


if __name__ == "__main__":
    try:
        main()
    except IrplocError as error:
        raise SystemExit(f"Error: {error}") from None
