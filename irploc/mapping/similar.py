"""Photos that look alike wherever they were taken, by our own encoder and index: what closes loops in a map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from irploc.encoders import Encoder, EncoderOptions, create_encoder
from irploc.errors import BadInput, Mismatch
from irploc.geometry.poses import Poses
from irploc.mapping.photos import PhotoSet
from irploc.pairs.candidates import unique_pairs
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.index import build_index
from irploc.retrieval.plan import EmbedOptions
from irploc.retrieval.store import EmbeddingStore
from irploc.scene import Frames, Scene

_SIDE = 320  # pixels: enough to recognise a place
_REACH = 3  # windows of the own walk that are no other time
_LOOKED_AT = 20  # hits for each that is wanted


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
    options = EmbedOptions(augmentations=0, max_side=_SIDE, seed=seed)
    try:
        embed_scene(scene, store.parent, store, encoder, options, quiet, say)
    except (BadInput, Mismatch):
        if not store.is_file():
            raise
        store.unlink()  # damaged, or of an encoder that has changed: it is ours and quickly made again
        embed_scene(scene, store.parent, store, embedding_encoder(encoder_name, device), options, quiet, say)
    with EmbeddingStore.open(store) as opened:
        index = build_index(opened)
    count = min(_LOOKED_AT * k + 2 * _REACH * window + 1, len(photos))
    return pairs_beyond(index.search(index.vectors, count)[0], photos.sequences, k, window)


def pairs_beyond(hits: np.ndarray, walks: Sequence[str], k: int, window: int) -> np.ndarray:
    """(P, 2) rows i < j: each of N photos with k of its (N, K) hits that show the place from another time.

    In a slow walk the most similar photos are those just taken. What lies within three windows in the same walk is left
    out, and of photos that follow one another only one in half a window is taken, so that k of them reach farther.

    Args:
        hits: rows, most similar first, the photo itself among them.
        walks: N walks; their photos follow one another.
    """
    names, number = np.unique(np.array(walks), return_inverse=True)
    rank = np.zeros(len(walks), dtype=np.int64)
    for walk in range(len(names)):
        rank[number == walk] = np.arange(int((number == walk).sum()))
    place = rank + number * (len(walks) + _REACH * window + 1)  # far apart for photos of different walks
    found: list[tuple[int, int]] = []
    for row, candidates in enumerate(hits):
        taken: list[int] = []
        for hit in candidates[np.abs(place[candidates] - place[row]) > _REACH * window]:
            if len(taken) == k:
                break
            if hit != row and all(abs(place[hit] - place[other]) > window // 2 for other in taken):
                taken.append(int(hit))
        found.extend((row, other) for other in taken)
    return unique_pairs(np.array(found, dtype=np.int64).reshape(-1, 2))


def embedding_encoder(name: str, device: str) -> Encoder:
    """The encoder; raises NotFound or BadInput where it is unknown or its weights are not there."""
    return create_encoder(name, EncoderOptions(device=device))


def _unposed(photos: PhotoSet) -> Scene:
    """A scene whose poses mean nothing: embedding and retrieval look at photos alone."""
    count = len(photos)
    poses = Poses(np.zeros((count, 3)), np.tile([1.0, 0.0, 0.0, 0.0], (count, 1)))
    images = tuple((photos.readable / file).absolute() for file in photos.files)
    frames = Frames(
        images, photos.files, np.array(photos.sequences), np.arange(count), np.full(count, "train"), ("",) * count, poses
    )
    return Scene("photos", photos.readable.absolute(), frames, ground_truth="none", source="photos", units="none")
