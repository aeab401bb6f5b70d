"""Views of a place from where nobody stood (``irploc views``), as further rows to train on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from irploc.retrieval.store import EmbeddingStore
from irploc.training.dataset import Views
from irploc.training.recipes import Recipe

_ALIKE = ("weights_sha256", "preprocessing", "max_side", "dimension")
_LEAST_EPOCHS = 50  # a view says less than a photo, but 19 of 5600 rows were too few
_MOST_BYTES = 1_500_000_000  # of embeddings of all versions


def views_path(embeddings: Path) -> Path:
    """Where the views' embeddings lie, beside those of the place."""
    return embeddings.with_name(f"{embeddings.stem}-views.h5")


def load_views(store: EmbeddingStore) -> tuple[Views | None, str]:
    """The views that were drawn from a store's mapping photos.

    Returns:
        None where there are none that fit, and a sentence about them: empty where nobody ever drew any.

    Raises:
        BadInput, Mismatch: their file is damaged or something else.
    """
    path = views_path(store.path)
    if not path.is_file():
        return None, ""
    with EmbeddingStore.open(path) as drawn:
        header, ours = drawn.header, store.header
        if not header.ground_truth.endswith(ours.mapping_fingerprint):
            return None, f"{path} was drawn from other mapping photos: left out; 'irploc views' draws them again"
        if any(getattr(header, name) != getattr(ours, name) for name in _ALIKE):
            return None, f"{path} was embedded in another way than {store.path}: left out; 'irploc views' draws them again"
        frames = store.frames
        row_of = {frames.names[row]: number for number, row in enumerate(np.flatnonzero(frames.splits == "train"))}
        parents = np.array([row_of.get(name, -1) for name in drawn.frames.sequences], dtype=np.int64)
        if (parents < 0).any():
            return None, f"{path} was drawn from photos that are not embedded: left out; 'irploc views' draws them again"
        room = int(_MOST_BYTES / (2.0 * ours.dimension * (ours.augmentations + 1)))
        rows = np.arange(len(parents))
        if len(rows) > room:
            rows = np.unique(np.linspace(0, len(rows) - 1, max(room, 1)).round().astype(np.int64))
        mask = np.zeros(len(parents), dtype=bool)
        mask[rows] = True
        views = Views(drawn.vectors(mask), drawn.frames.poses[rows], parents[rows])
    some = f" of {len(parents)}, for memory's sake" if len(rows) < len(parents) else ""
    return views, f"{len(rows)} views{some}"


def with_epochs_for_views(recipe: Recipe) -> Recipe:
    """A recipe that counts steps, not epochs, with enough of these for rows that are many; others as they are."""
    return replace(recipe, epochs=max(recipe.epochs, _LEAST_EPOCHS)) if recipe.minimum_steps else recipe
