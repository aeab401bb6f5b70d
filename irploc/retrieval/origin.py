"""The scene that embeddings were made from, where it is still there."""

from __future__ import annotations

from pathlib import Path

from irploc.errors import Mismatch
from irploc.retrieval.store import EmbeddingStore
from irploc.scene import Scene, mapping_fingerprint


def scene_of(store: EmbeddingStore, folder: Path | None = None) -> tuple[Scene, Path] | None:
    """The scene and its folder; None where it is not found at the place that the embeddings record.

    Args:
        folder: where it is now; it must be there then.

    Raises:
        NotFound: when there is no scene in ``folder``. Mismatch: when it has other mapping photos or poses.
    """
    header = store.header
    place = folder or Path(header.scene_folder)
    if folder is None and not (place / "scene.toml").is_file():
        return None
    scene = Scene.load(place)
    left_out = set(store.left_out)
    kept = [row for row, name in enumerate(scene.frames.names) if name not in left_out]
    if mapping_fingerprint(scene.frames[kept], scene.ground_truth) != header.mapping_fingerprint:
        raise Mismatch(
            f"{place} has other mapping photos or poses than {store.path} was made from: embed it again, or give the right "
            "--scene-dir"
        )
    return scene, place


def scene_of_labels(store: EmbeddingStore) -> Scene:
    """What embeddings know of their scene by themselves: names, poses, walks and cameras."""
    header = store.header
    return Scene(header.scene, store.image_root, store.frames, store.cameras, header.ground_truth, units=header.units)
