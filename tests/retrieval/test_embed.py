from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import tiny_place
import torch
from PIL import Image
from tiny_place import TinyEncoder, make_scene

from irploc.errors import BadInput, Busy, Mismatch
from irploc.geometry.poses import Poses
from irploc.images import JitterOptions, decode_image, jitter_image, to_array
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions, plan_batches
from irploc.retrieval.store import EmbeddingStore, lock
from irploc.scene import Scene

OPTIONS = EmbedOptions(augmentations=3, batch_size=3)


def contents(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file if isinstance(file[name], h5py.Dataset)}


def same_contents(a: Path, b: Path) -> bool:
    left, right = contents(a), contents(b)
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return make_scene(tmp_path)


@pytest.fixture
def whole(scene: Scene, tmp_path: Path) -> Path:
    path = tmp_path / "whole.h5"
    embed_scene(scene, tmp_path / "scene", path, TinyEncoder(), OPTIONS)
    return path


def test_every_vector_is_the_encoding_of_its_version_of_its_photo(scene: Scene, whole: Path) -> None:
    with EmbeddingStore.open(whole) as store:
        versions = store.all_versions(np.arange(len(store.frames)))
    for row, image in enumerate(scene.frames.images):
        for version in range(4 if scene.frames.splits[row] == "train" else 1):
            pixels = jitter_image(decode_image(image), JitterOptions(), 0, scene.frames.names[row], version)
            alone = TinyEncoder().encode(torch.from_numpy(to_array(pixels))[None]).numpy()[0]
            assert np.allclose(versions[row, version].astype(np.float32), alone, atol=1e-3)
    assert not versions[6:, 1:].any(), "test photos have no jittered versions"
    assert not np.allclose(versions[0, 0], versions[0, 1], atol=1e-3), "the jitter changes something"


def test_the_store_repeats_the_labels_and_settings_of_the_scene(scene: Scene, whole: Path, tmp_path: Path) -> None:
    with EmbeddingStore.open(whole) as store:
        assert store.frames.names == scene.frames.names
        assert store.frames.images == scene.frames.images
        assert np.array_equal(store.frames.poses.centers_m, scene.frames.poses.centers_m)
        assert store.header.mapping_fingerprint == scene.mapping_fingerprint
        assert store.header.scene_folder == str(tmp_path / "scene")
        assert (store.header.encoder, store.header.augmentations, store.header.ground_truth) == ("tiny", 3, "invented")
    with h5py.File(whole) as file:
        assert file["embeddings"].shape == (9, 4, 16)
        assert file["embeddings"].chunks == (1, 4, 16)
        assert file["embeddings"].dtype == np.float16


def test_another_batch_size_gives_the_same_vectors_to_a_millionth(scene: Scene, whole: Path, tmp_path: Path) -> None:
    options = replace(OPTIONS, batch_size=5, dtype="float32")
    embed_scene(scene, tmp_path, tmp_path / "five.h5", TinyEncoder(), options)
    embed_scene(scene, tmp_path, tmp_path / "one.h5", TinyEncoder(), replace(options, batch_size=1))
    with EmbeddingStore.open(tmp_path / "five.h5") as five, EmbeddingStore.open(tmp_path / "one.h5") as one:
        assert np.all(np.sum(five.vectors() * one.vectors(), axis=1) > 1 - 1e-6)


def test_another_seed_changes_the_jittered_versions_only(scene: Scene, whole: Path, tmp_path: Path) -> None:
    embed_scene(scene, tmp_path, tmp_path / "seed1.h5", TinyEncoder(), replace(OPTIONS, seed=1))
    first, second = contents(whole)["embeddings"], contents(tmp_path / "seed1.h5")["embeddings"]
    assert np.array_equal(first[:, 0], second[:, 0])
    assert not np.allclose(first[:6, 1:], second[:6, 1:], atol=1e-3)


@pytest.mark.parametrize("done_calls", range(10))
def test_a_run_that_dies_after_any_batch_is_completed_bit_for_bit(
    scene: Scene, whole: Path, tmp_path: Path, done_calls: int
) -> None:
    class Dies(TinyEncoder):
        def encode(self, images_BCHW: torch.Tensor) -> torch.Tensor:
            if len(self.encoded) == done_calls:
                raise KeyboardInterrupt
            return super().encode(images_BCHW)

    path = tmp_path / "interrupted.h5"
    with pytest.raises(KeyboardInterrupt):
        embed_scene(scene, tmp_path / "scene", path, Dies(), OPTIONS)
    with EmbeddingStore.open(path, complete=False) as store:
        done = int(store.done.sum())
    report = embed_scene(scene, tmp_path / "scene", path, TinyEncoder(), OPTIONS)
    assert (report.kept, report.embedded) == (done, 9 - done)
    assert same_contents(path, whole)


def test_a_finished_store_is_not_encoded_again(scene: Scene, whole: Path, tmp_path: Path) -> None:
    encoder = TinyEncoder()
    report = embed_scene(scene, tmp_path / "scene", whole, encoder, OPTIONS)
    assert encoder.encoded == []
    assert (report.embedded, report.kept) == (0, 9)


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.13, 0.28])
def test_kill_9_at_any_moment_leaves_a_store_that_a_rerun_completes(
    scene: Scene, whole: Path, tmp_path: Path, after_s: float
) -> None:
    path = tmp_path / "killed.h5"
    command = [sys.executable, tiny_place.__file__, str(tmp_path / "scene"), str(path), "0.03"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = 0
    if path.exists():
        with EmbeddingStore.open(path, complete=False) as store:
            done = int(store.done.sum())
    report = embed_scene(scene, tmp_path / "scene", path, TinyEncoder(), OPTIONS)
    assert report.kept == done
    assert same_contents(path, whole)
    assert not list(tmp_path.glob(".killed*")), "no temporary file is left"


def test_new_photos_are_added_and_old_ones_are_not_encoded_again(scene: Scene, whole: Path, tmp_path: Path) -> None:
    more = make_scene(tmp_path, train=6, test=5)
    encoder = TinyEncoder()
    notes: list[str] = []
    report = embed_scene(more, tmp_path / "scene", whole, encoder, OPTIONS, say=notes.append)
    assert (report.kept, report.embedded, report.versions) == (9, 2, 2)
    assert any("2 images are new" in note for note in notes)
    fresh = tmp_path / "fresh.h5"
    embed_scene(more, tmp_path / "scene", fresh, TinyEncoder(), OPTIONS)
    assert same_contents(whole, fresh)


def test_changed_labels_are_brought_up_to_date_without_encoding(scene: Scene, whole: Path, tmp_path: Path) -> None:
    moved = Poses(scene.frames.poses.centers_m + 1, scene.frames.poses.world_from_cam_wxyz)
    changed = replace(scene, frames=replace(scene.frames, poses=moved))
    report = embed_scene(changed, tmp_path / "scene", whole, TinyEncoder(), OPTIONS)
    assert report.embedded == 0
    with EmbeddingStore.open(whole) as store:
        assert np.array_equal(store.frames.poses.centers_m, moved.centers_m)
        assert store.header.mapping_fingerprint == changed.mapping_fingerprint


def test_a_test_photo_that_becomes_a_mapping_photo_gets_its_jittered_versions(
    scene: Scene, whole: Path, tmp_path: Path
) -> None:
    splits = scene.frames.splits.copy()
    splits[7] = "train"
    report = embed_scene(scene.with_splits(splits), tmp_path / "scene", whole, TinyEncoder(), OPTIONS)
    assert (report.kept, report.embedded, report.versions) == (8, 1, 4)


def test_a_photo_whose_file_changed_is_encoded_again(scene: Scene, whole: Path, tmp_path: Path) -> None:
    Image.effect_noise((32, 24), 50).convert("RGB").save(scene.frames.images[0])
    report = embed_scene(scene, tmp_path / "scene", whole, TinyEncoder(), OPTIONS)
    assert (report.kept, report.embedded) == (8, 1)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"augmentations": 2}, "augmentations"),
        ({"max_side": 16}, "max_side"),
        ({"seed": 5}, "seed"),
        ({"dtype": "float32"}, "dtype"),
    ],
)
def test_other_settings_are_refused_and_named(scene: Scene, whole: Path, tmp_path: Path, change: dict, word: str) -> None:
    before = whole.read_bytes()
    with pytest.raises(Mismatch, match=word):
        embed_scene(scene, tmp_path / "scene", whole, TinyEncoder(), replace(OPTIONS, **change))
    assert whole.read_bytes() == before


def test_changed_weights_are_refused(scene: Scene, whole: Path, tmp_path: Path) -> None:
    encoder = TinyEncoder()
    encoder.weights_sha256 = "other"
    with pytest.raises(Mismatch, match="weights_sha256"):
        embed_scene(scene, tmp_path / "scene", whole, encoder, OPTIONS)


def test_missing_photos_are_reported_once_with_the_count(scene: Scene, tmp_path: Path) -> None:
    for image in scene.frames.images[2:5]:
        image.unlink()
    with pytest.raises(BadInput, match=r"3 of 9 images .* missing; first: .*frame-002"):
        embed_scene(scene, tmp_path, tmp_path / "x.h5", TinyEncoder(), OPTIONS)


def truncate(path: Path) -> None:
    """Cuts a photo's pixels and keeps its header."""
    Image.effect_noise((320, 240), 50).convert("RGB").save(path.with_suffix(".jpg"), quality=95)
    data = path.with_suffix(".jpg").read_bytes()
    path.write_bytes(data[: len(data) // 2])


def test_a_truncated_photo_fails_at_the_end_and_the_others_are_kept(scene: Scene, tmp_path: Path) -> None:
    truncate(scene.frames.images[4])
    path = tmp_path / "x.h5"
    with pytest.raises(BadInput, match=r"1 of 9 images cannot be read; first: .*frame-004.* truncated"):
        embed_scene(scene, tmp_path, path, TinyEncoder(), OPTIONS)
    with pytest.raises(BadInput, match="1 of 9 images are not embedded"):
        EmbeddingStore.open(path)
    report = embed_scene(scene, tmp_path, path, TinyEncoder(), replace(OPTIONS, skip_unreadable=True))
    assert report.unreadable == ("frame-004.png",)
    with EmbeddingStore.open(path) as store:
        assert len(store.frames) == 8


def test_a_photo_that_is_too_small_is_named_with_the_limit(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, sizes=((32, 24), (1, 1)))
    with pytest.raises(BadInput, match=r"4 of 9 images cannot be used: .* is 1x1, tiny needs at least 8"):
        embed_scene(scene, tmp_path, tmp_path / "x.h5", TinyEncoder(), OPTIONS)


def test_memory_running_out_halves_the_batch_and_goes_on(scene: Scene, whole: Path, tmp_path: Path) -> None:
    class Small(TinyEncoder):
        def encode(self, images_BCHW: torch.Tensor) -> torch.Tensor:
            if len(images_BCHW) > 1:
                raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate")
            return super().encode(images_BCHW)

    notes: list[str] = []
    encoder = Small()
    embed_scene(scene, tmp_path / "scene", tmp_path / "small.h5", encoder, OPTIONS, say=notes.append)
    assert set(encoder.encoded) == {1}
    assert notes == ["memory ran out with 3 images at once, going on with 1"]
    assert np.allclose(contents(whole)["embeddings"], contents(tmp_path / "small.h5")["embeddings"], atol=2e-3)


def test_an_encoders_own_mistake_is_not_taken_for_memory(scene: Scene, tmp_path: Path) -> None:
    class Broken(TinyEncoder):
        def encode(self, images_BCHW: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        embed_scene(scene, tmp_path, tmp_path / "x.h5", Broken(), OPTIONS)


def test_two_writers_of_one_store_are_told_apart(scene: Scene, tmp_path: Path) -> None:
    with lock(tmp_path / "x.h5"), pytest.raises(Busy, match="another process"):
        embed_scene(scene, tmp_path, tmp_path / "x.h5", TinyEncoder(), OPTIONS)
    embed_scene(scene, tmp_path, tmp_path / "x.h5", TinyEncoder(), OPTIONS)


def test_batches_hold_one_image_size_and_every_version_once(scene: Scene) -> None:
    sizes = [(32, 24), (24, 32)] * 4 + [(32, 24)]
    plan = plan_batches(scene.frames, sizes, 3, 4)
    slots = [slot for batch in plan for slot in batch]
    assert len(slots) == len(set(slots)) == 6 * 4 + 3
    assert all(len({sizes[slot.row] for slot in batch}) == 1 and len(batch) <= 4 for batch in plan)


def test_an_automatic_batch_holds_fewer_large_images() -> None:
    from irploc.retrieval.plan import automatic_batch_size

    assert automatic_batch_size(640, 480) == 8
    assert automatic_batch_size(4000, 3000) == 1
    assert automatic_batch_size(32, 32) == 32


def test_photos_left_out_are_remembered_by_name(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, sizes=((32, 24), (1, 1)))
    truncate(scene.frames.images[2])
    report = embed_scene(scene, tmp_path, tmp_path / "x.h5", TinyEncoder(), replace(OPTIONS, skip_unreadable=True))
    expected = {"frame-001.png", "frame-003.png", "frame-005.png", "frame-007.png", "frame-002.png"}
    assert set(report.unreadable) == expected
    with EmbeddingStore.open(tmp_path / "x.h5") as store:
        assert set(store.left_out) == expected
        assert not set(store.frames.names) & expected
