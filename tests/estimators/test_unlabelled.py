"""Walks without labels: every photo counts, units are found, other encoders are refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_place import TinyEncoder

from irploc.errors import BadInput, Mismatch
from irploc.estimators.unlabelled import unlabelled_walks
from irploc.geometry.poses import Poses
from irploc.geometry.similarity import Similarity
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.index import PlaceIndex, build_index
from irploc.retrieval.plan import EmbedOptions
from irploc.retrieval.store import EmbeddingStore
from irploc.scene import Scene

TURNED = Similarity(0.2, (0.8, 0.0, 0.6, 0.0), (5.0, 1.0, 0.0))


def embedded(folder: Path, scene: Scene, name: str, poses: Poses, units: str, encoder: TinyEncoder | None = None) -> Path:
    walk = replace(scene, name=name, units=units, frames=replace(scene.frames, poses=poses))
    walk.save(folder / name)
    path = folder / f"{name}.h5"
    embed_scene(walk, folder / name, path, encoder or TinyEncoder(), EmbedOptions(augmentations=2))
    return path


@pytest.fixture(scope="module")
def scene(toy_scene: Path) -> Scene:
    return Scene.load(toy_scene)


@pytest.fixture
def place(scene: Scene, tmp_path: Path) -> Iterator[tuple[EmbeddingStore, PlaceIndex]]:
    with EmbeddingStore.open(embedded(tmp_path, scene, "place", scene.frames.poses, "metres")) as store:
        yield store, build_index(store)


def test_every_photo_has_its_vector_in_every_version(
    scene: Scene, tmp_path: Path, place: tuple[EmbeddingStore, PlaceIndex]
) -> None:
    path = embedded(tmp_path, scene, "walk", TURNED.apply_to_poses(scene.frames.poses), "arbitrary")
    found, walks = unlabelled_walks([path], *place)
    assert found.embeddings.shape == (32, 3, 16)
    np.testing.assert_allclose(np.linalg.norm(found.embeddings.astype(np.float64), axis=2), 1.0, atol=1e-2)
    tested = scene.frames.splits == "test"
    assert (found.embeddings[tested] == found.embeddings[tested, :1]).all()
    assert not (found.embeddings[~tested] == found.embeddings[~tested, :1]).all()
    assert walks[0].scale == pytest.approx(5.0, rel=0.1)
    steps = [np.linalg.norm(np.diff(poses.centers_m, axis=0), axis=1) for poses in (found.poses, scene.frames.poses)]
    np.testing.assert_allclose(steps[0], steps[1], rtol=0.1)


def test_walks_in_metres_stay_as_they_are_and_are_kept_apart(
    scene: Scene, tmp_path: Path, place: tuple[EmbeddingStore, PlaceIndex]
) -> None:
    paths = [embedded(tmp_path, scene, name, scene.frames.poses, "metres") for name in ("one", "two")]
    found, walks = unlabelled_walks(paths, *place)
    assert [walk.scale for walk in walks] == [1.0, 1.0]
    assert len(found) == 64
    assert not set(found.sequences[:32]) & set(found.sequences[32:])


def test_another_encoder_is_refused(scene: Scene, tmp_path: Path, place: tuple[EmbeddingStore, PlaceIndex]) -> None:
    other = TinyEncoder()
    other.weights_sha256 = "others"  # type: ignore[misc]
    path = embedded(tmp_path, scene, "walk", scene.frames.poses, "metres", other)
    with pytest.raises(Mismatch, match=r"walk\.h5 was embedded in another way .* \(weights_sha256 others, not tiny-w"):
        unlabelled_walks([path], *place)


def test_a_walk_whose_scale_cannot_be_told_is_refused_with_a_way_out(
    scene: Scene, tmp_path: Path, place: tuple[EmbeddingStore, PlaceIndex]
) -> None:
    still = Poses(np.zeros((32, 3)), scene.frames.poses.world_from_cam_wxyz)
    path = embedded(tmp_path, scene, "still", still, "arbitrary")
    with pytest.raises(BadInput, match=r"do not tell its scale in place .*off by .*irploc scene align still --distance"):
        unlabelled_walks([path], *place)
