from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_place import TinyEncoder, make_scene

from irploc.errors import BadInput, Mismatch, NotFound
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.index import KINDS, build_index, load_index, save_index
from irploc.retrieval.plan import EmbedOptions
from irploc.retrieval.store import EmbeddingStore


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene large enough for every kind of index, embedded."""
    folder = tmp_path_factory.mktemp("place")
    scene = make_scene(folder, train=160, test=8)
    embed_scene(scene, folder / "scene", folder / "tiny.h5", TinyEncoder(), EmbedOptions(augmentations=0))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_finds_a_mapping_photo_by_its_own_vector(folder: Path, kind: str) -> None:
    with EmbeddingStore.open(folder / "tiny.h5") as store:
        index = build_index(store, kind)
    rows, similarities = index.search(index.vectors, 3)
    assert (rows[:, 0] == np.arange(160)).mean() > 0.95
    assert np.allclose(similarities[rows[:, 0] == np.arange(160), 0], 1, atol=1e-5)
    assert np.all(np.diff(similarities, axis=1) <= 1e-6), "best first"


def test_flat_search_equals_sorting_all_similarities(folder: Path) -> None:
    with EmbeddingStore.open(folder / "tiny.h5") as store:
        index = build_index(store)
        queries = store.vectors(store.frames.splits == "test")
    rows, similarities = index.search(queries, 5)
    exact = queries @ index.vectors.T
    assert np.array_equal(rows, np.argsort(-exact, axis=1)[:, :5])
    assert np.allclose(similarities, -np.sort(-exact, axis=1)[:, :5], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_index_answers_as_before(folder: Path, tmp_path: Path, kind: str) -> None:
    with EmbeddingStore.open(folder / "tiny.h5") as store:
        index = build_index(store, kind)
        save_index(index, store.header, tmp_path / "tiny.faiss")
        loaded = load_index(tmp_path / "tiny.faiss", store)
        queries = store.vectors(store.frames.splits == "test")
    for ours, theirs in zip(index.search(queries, 4), loaded.search(queries, 4), strict=True):
        assert np.array_equal(ours, theirs)


def test_only_mapping_photos_are_indexed(folder: Path) -> None:
    with EmbeddingStore.open(folder / "tiny.h5") as store:
        assert set(build_index(store).frames.splits) == {"train"}


def test_an_index_of_other_photos_is_refused(folder: Path, tmp_path: Path) -> None:
    other = make_scene(tmp_path, train=100, test=2)
    embed_scene(other, tmp_path, tmp_path / "other.h5", TinyEncoder(), EmbedOptions(augmentations=0))
    with EmbeddingStore.open(folder / "tiny.h5") as store:
        save_index(build_index(store), store.header, tmp_path / "tiny.faiss")
    with EmbeddingStore.open(tmp_path / "other.h5") as store, pytest.raises(Mismatch, match="irploc index"):
        load_index(tmp_path / "tiny.faiss", store)


def test_a_damaged_index_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    with EmbeddingStore.open(folder / "tiny.h5") as store:
        path = tmp_path / "tiny.faiss"
        save_index(build_index(store), store.header, path)
        path.write_bytes(path.read_bytes()[:500])
        with pytest.raises(BadInput, match=r"tiny\.faiss is damaged"):
            load_index(path, store)


def test_a_missing_index_says_which_command_makes_it(folder: Path, tmp_path: Path) -> None:
    with EmbeddingStore.open(folder / "tiny.h5") as store, pytest.raises(NotFound, match="irploc index"):
        load_index(tmp_path / "absent.faiss", store)


def test_more_neighbours_than_photos_is_the_users_mistake(folder: Path) -> None:
    with EmbeddingStore.open(folder / "tiny.h5") as store:
        index = build_index(store)
    with pytest.raises(BadInput, match="160 mapping images"):
        index.search(index.vectors[:1], 161)


def test_a_scene_without_mapping_photos_is_refused(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, train=0, test=4)
    embed_scene(scene, tmp_path, tmp_path / "x.h5", TinyEncoder(), EmbedOptions(augmentations=0))
    with EmbeddingStore.open(tmp_path / "x.h5") as store, pytest.raises(BadInput, match="no training image"):
        build_index(store)


def test_a_small_place_is_too_small_for_ivfpq(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, train=20)
    embed_scene(scene, tmp_path, tmp_path / "x.h5", TinyEncoder(), EmbedOptions(augmentations=0))
    with EmbeddingStore.open(tmp_path / "x.h5") as store, pytest.raises(BadInput, match="use --kind flat"):
        build_index(store, "ivfpq")


def test_an_unknown_kind_names_the_known_ones(folder: Path) -> None:
    with EmbeddingStore.open(folder / "tiny.h5") as store, pytest.raises(BadInput, match="flat, ivfpq, hnsw"):
        build_index(store, "annoy")


@pytest.mark.parametrize("at", [2, 40, -5])
def test_an_index_with_a_changed_byte_is_refused(folder: Path, tmp_path: Path, at: int) -> None:
    """FAISS itself would give other neighbours, or ask for all memory."""
    path = tmp_path / "tiny.faiss"
    with EmbeddingStore.open(folder / "tiny.h5") as store:
        save_index(build_index(store), store.header, path)
        content = bytearray(path.read_bytes())
        content[at] ^= 0x10
        path.write_bytes(content)
        with pytest.raises(BadInput, match="damaged"):
            load_index(path, store)


def test_an_index_that_cannot_be_written_says_so_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    (tmp_path / f".full.faiss.{os.getpid()}.new").symlink_to("/dev/full")
    with EmbeddingStore.open(folder / "tiny.h5") as store:
        index = build_index(store)
        with pytest.raises(BadInput, match=r"cannot write .*full\.faiss"):
            save_index(index, store.header, tmp_path / "full.faiss")
        with pytest.raises(BadInput, match="cannot be called"):
            save_index(index, store.header, tmp_path / "place.toml")
    assert not list(tmp_path.iterdir())


def test_what_methods_learned_is_kept_beside_the_index(folder: Path, tmp_path: Path) -> None:
    with EmbeddingStore.open(folder / "tiny.h5") as store:
        index = replace(build_index(store), learned={"bdi:k=25": {"limit": 0.5, "mean": [1.0, 2.0]}})
        save_index(index, store.header, tmp_path / "a.faiss")
        assert load_index(tmp_path / "a.faiss", store).learned == index.learned
        assert build_index(store).learned == {}


def test_an_index_without_some_photos_finds_the_others(folder: Path) -> None:
    with EmbeddingStore.open(folder / "tiny.h5") as store:
        index = build_index(store, "hnsw")
    taken = np.arange(160) % 3 == 0
    smaller = index.without(taken)
    rows, _ = smaller.search(index.vectors[~taken], 1)
    assert rows[:, 0].tolist() == list(range(106))
    assert smaller.frames.names == tuple(name for name, gone in zip(index.frames.names, taken, strict=True) if not gone)


def test_what_was_learned_is_refused_when_changed_and_when_poses_changed(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.faiss"
    with EmbeddingStore.open(folder / "tiny.h5") as store:
        index = replace(build_index(store), learned={"bdi:k=25": {"limit": 0.5}})
        save_index(index, store.header, path)
        sidecar = path.with_suffix(".toml")
        text = sidecar.read_text()
        for changed in (text.replace("limit = 0.5", "limit = 0.6"), text.replace('learned."bdi:k=25"', "learned.fox")):
            sidecar.write_text(changed)
            with pytest.raises(BadInput, match="what methods learned is not what was written"):
                load_index(path, store)
        sidecar.write_text(text.replace(store.header.mapping_fingerprint, "0" * 64))
        with pytest.raises(Mismatch, match="when the photos had other poses"):
            load_index(path, store)
