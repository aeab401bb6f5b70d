"""Photos that look alike wherever they were taken, by our own encoder and index: what closes loops in a map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from irploc.encoders import Encoder, EncoderOptions, create_encoder
from irploc.geometry.poses import Poses
from irploc.mapping.photos import PhotoSet
from irploc.pairs.candidates import unique_pairs
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.index import build_index
from irploc.retrieval.plan import EmbedOptions
from irploc.retrieval.store import EmbeddingStore
from irploc.scene import Frames, Scene

_SIDE = 320  # pixels: enough to recognise a place


def similar_pairs(
    photos: PhotoSet,
    encoder_name: str,
    k: int,
    window: int,
    store: Path,
    seed: int,
    device: str,
    quiet: bool,
    say: Callable[[str], None],
) -> np.ndarray:
    """(P, 2) rows i < j: each photo with the k that look most like it, beyond its neighbours in the walk.

    Args:
        photos: N, without poses yet.
        encoder_name: as for ``irploc embed``; one that is fitted is fitted on these photos.
        k: most similar photos.
        window: photos of the same walk that are not farther away are compared anyway, and do not count.
        store: the HDF5 file for their embeddings; one that is there is completed.

    Raises:
        NotFound, BadInput: as the encoder and ``embed_scene``.
    """
    encoder = embedding_encoder(encoder_name, device)
    scene = _unposed(photos)
    embed_scene(scene, store.parent, store, encoder, EmbedOptions(augmentations=0, max_side=_SIDE, seed=seed), quiet, say)
    with EmbeddingStore.open(store) as opened:
        index = build_index(opened)
    return pairs_beyond(index.search(index.vectors, min(k + 2 * window + 1, len(photos)))[0], photos.sequences, k, window)


def pairs_beyond(hits: np.ndarray, walks: Sequence[str], k: int, window: int) -> np.ndarray:
    """(P, 2) rows i < j: each of N photos with the first k of its (N, K) hits that are no neighbours in its walk.

    Args:
        hits: rows, most similar first, the photo itself among them.
        walks: N walks; their photos follow one another.
    """
    names, number = np.unique(np.array(walks), return_inverse=True)
    rank = np.zeros(len(walks), dtype=np.int64)
    for walk in range(len(names)):
        rank[number == walk] = np.arange(int((number == walk).sum()))
    own = np.arange(len(walks))[:, None]
    beyond = (number[hits] != number[own]) | (np.abs(rank[hits] - rank[own]) > window)
    first_k = beyond & (hits != own) & (np.cumsum(beyond, axis=1) <= k)
    return unique_pairs(np.stack([np.broadcast_to(own, hits.shape)[first_k], hits[first_k]], axis=1))


def embedding_encoder(name: str, device: str) -> Encoder:
    """The encoder; raises NotFound or BadInput where it is unknown or its weights are not there."""
    return create_encoder(name, EncoderOptions(device=device))


def _unposed(photos: PhotoSet) -> Scene:
    """A scene whose poses mean nothing: embedding and retrieval look at photos alone."""
    count = len(photos)
    poses = Poses(np.zeros((count, 3)), np.tile([1.0, 0.0, 0.0, 0.0], (count, 1)))
    images = tuple((photos.readable / name).absolute() for name in photos.names)
    frames = Frames(
        images, photos.names, np.array(photos.sequences), np.arange(count), np.full(count, "train"), ("",) * count, poses
    )
    return Scene("photos", photos.readable.absolute(), frames, ground_truth="none", source="photos", units="none")
