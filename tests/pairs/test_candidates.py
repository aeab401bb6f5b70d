"""Which pairs are tested at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_place import TinyEncoder, make_scene

from irploc.errors import Mismatch
from irploc.pairs.candidates import RETRIEVAL, WINDOW, merged, retrieval_pairs, unique_pairs, unordered, window_pairs
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.retrieval.store import EmbeddingStore
from irploc.scene import Frames, Scene


def words(*names: str) -> np.ndarray:
    return np.array(names, dtype=object)


def test_a_window_counts_positions_in_the_source_not_photos() -> None:
    found = window_pairs(words("a", "a", "a", "a"), np.array([0, 2, 4, 40]), 2)
    assert found.tolist() == [[0, 1], [1, 2]]


def test_a_window_stays_within_its_sequence_whatever_the_order_of_the_photos() -> None:
    found = window_pairs(words("b", "a", "b", "a"), np.array([7, 1, 6, 0]), 1)
    assert found.tolist() == [[0, 2], [1, 3]]


@pytest.mark.parametrize(("count", "window"), [(100, 30), (10, 30), (2, 1)])
def test_a_window_over_a_whole_walk_has_as_many_pairs_as_arithmetic_says(count: int, window: int) -> None:
    reach = min(window, count - 1)
    assert len(window_pairs(words(*["w"] * count), np.arange(count), window)) == reach * count - reach * (reach + 1) // 2


def test_photos_with_the_same_position_are_a_pair_and_no_photo_is_its_own() -> None:
    assert window_pairs(words("w", "w"), np.array([3, 3]), 0).tolist() == [[0, 1]]
    assert unique_pairs(np.array([[2, 2], [3, 1], [1, 3]])).tolist() == [[1, 3]]


def test_merging_keeps_where_each_pair_comes_from() -> None:
    pairs, sources = merged(np.array([[0, 1], [1, 2]]), np.array([[0, 3], [1, 2]]))
    assert pairs.tolist() == [[0, 1], [0, 3], [1, 2]]
    assert sources.tolist() == [WINDOW, RETRIEVAL, WINDOW | RETRIEVAL]


@pytest.fixture
def embedded(tmp_path: Path) -> tuple[Scene, EmbeddingStore]:
    scene = make_scene(tmp_path, train=5, test=2)
    embed_scene(scene, tmp_path / "scene", tmp_path / "tiny.h5", TinyEncoder(), EmbedOptions(augmentations=0))
    return scene, EmbeddingStore.open(tmp_path / "tiny.h5")


def most_similar(store: EmbeddingStore, photo: int, k: int) -> set[int]:
    """By comparing it with every mapping photo."""
    vectors = store.vectors()
    similarity = vectors @ vectors[photo]
    similarity[(store.frames.splits != "train") | (np.arange(len(vectors)) == photo)] = -2
    return set(np.argsort(-similarity)[:k].tolist())


def test_retrieval_gives_each_photo_its_most_similar_mapping_photos(embedded: tuple[Scene, EmbeddingStore]) -> None:
    scene, store = embedded
    asked = np.ones(len(scene.frames), dtype=bool)
    expected = {tuple(sorted((photo, other))) for photo in range(7) for other in most_similar(store, photo, 2)}
    assert set(map(tuple, retrieval_pairs(store, scene.frames, asked, 2).tolist())) == expected


def test_only_photos_that_ask_get_partners(embedded: tuple[Scene, EmbeddingStore]) -> None:
    scene, store = embedded
    found = retrieval_pairs(store, scene.frames, np.arange(7) == 3, 1)
    assert found.tolist() == [sorted((3, most_similar(store, 3, 1).pop()))]


def test_more_neighbours_than_photos_are_all_of_them(embedded: tuple[Scene, EmbeddingStore]) -> None:
    scene, store = embedded
    train = scene.frames.of_split("train")
    assert len(retrieval_pairs(store, train, np.ones(5, dtype=bool), 50)) == 10


def test_photos_that_are_not_embedded_are_counted(embedded: tuple[Scene, EmbeddingStore]) -> None:
    _, store = embedded
    frames = store.frames
    renamed = Frames(
        frames.images,
        ("new.png", *frames.names[1:]),
        frames.sequences,
        frames.indices,
        frames.splits,
        frames.cameras,
        frames.poses,
    )
    with pytest.raises(Mismatch, match=r"lacks 1 photos of the scene; first: new.png"):
        retrieval_pairs(store, renamed, np.ones(7, dtype=bool), 2)


def test_photos_without_a_walk_are_unordered(embedded: tuple[Scene, EmbeddingStore]) -> None:
    frames = embedded[0].frames[[0, 1, 2, 3]]
    object.__setattr__(frames, "sequences", words("", "walk", "walk", "alone"))
    assert unordered(frames).tolist() == [True, False, False, True]
