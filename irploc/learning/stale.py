"""What was made from a scene before it learned, and has to be made again."""

from __future__ import annotations

import tomllib
from pathlib import Path

from irploc.errors import Mismatch
from irploc.retrieval.index import load_index
from irploc.retrieval.store import EmbeddingStore
from irploc.scene import Scene
from irploc.training.modelfile import load_model
from irploc.training.recipes import MODELS, Recipe
from irploc.workspace import Workspace


def embeddings_stale(scene: Scene, path: Path) -> bool:
    """Whether embeddings lack photos that the scene learned from, or say that they are not done."""
    with EmbeddingStore.open(path, complete=False) as store:
        there = set(store.frames.names) | set(store.left_out)
        return not store.done.all() or any(name not in there for name in scene.frames[scene.frames.learned].names)


def index_stale(workspace: Workspace, store: EmbeddingStore) -> str:
    """The kind of the index in the workspace where it is of other photos; empty where it is right, and where there is none:
    it is made in memory then."""
    path = workspace.index(workspace.place_of_embeddings(store.path, store.header.scene))
    if not path.is_file():
        return ""
    try:
        load_index(path, store)
    except Mismatch:
        return str(tomllib.loads(path.with_suffix(".toml").read_text(encoding="utf-8")).get("kind", "flat"))
    return ""


def models_stale(workspace: Workspace, store: EmbeddingStore) -> dict[str, Recipe]:
    """The regressors in the workspace that were trained on other photos of the scene, with their recipes."""
    name = workspace.place_of_embeddings(store.path, store.header.scene)
    paths = [workspace.model(name, model) for model in MODELS]
    trained = [load_model(path) for path in paths if path.is_file()]
    now = store.header.mapping_fingerprint
    return {one.model: one.recipe for one in trained if one.identity["mapping_fingerprint"] != now}
