"""The rendered place: what it writes, that it repeats itself, and that only the light differs between the walks."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irploc.geometry.poses import pose_errors
from irploc.scene import Scene
from irploc.synthetic import PlaceOptions, render_place, scene_of_place, write_place
from irploc.synthetic.place import Place, build_places

TINY = PlaceOptions(width=64, height=48, mapping_frames=8, test_frames=4)


@pytest.fixture(scope="module")
def frames() -> list[tuple[np.ndarray, np.ndarray]]:
    return list(render_place(TINY))


@pytest.fixture(scope="module")
def places() -> tuple[Place, Place]:
    return build_places(TINY)


def test_a_place_has_as_many_photos_of_the_size_asked_for_with_depth_everywhere(frames) -> None:
    assert len(frames) == 12
    for image, depth in frames:
        assert image.shape == (48, 64, 3)
        assert image.dtype == np.uint8
        assert depth.shape == (48, 64)
        assert depth.dtype == np.float32
        assert np.isfinite(depth).all()
        assert 0.5 < depth.min() < depth.max() < 8.0


def test_photos_show_something_neither_black_nor_burnt_out(frames) -> None:
    for image, _ in frames:
        assert 40 < image.mean() < 200
        assert image.std() > 20
        assert (image == 255).all(axis=-1).mean() < 0.2


def test_the_same_seed_gives_the_same_photos_and_another_seed_others(frames) -> None:
    again = list(islice(render_place(TINY), 3))
    for (image, depth), (image_again, depth_again) in zip(frames, again, strict=False):
        assert np.array_equal(image, image_again)
        assert np.array_equal(depth, depth_again)
    assert len(again) == 3
    other = PlaceOptions(width=64, height=48, mapping_frames=1, test_frames=0, seed=1)
    assert not np.array_equal(next(iter(render_place(other)))[0], frames[0][0])


def test_the_evening_changes_the_pixels_but_not_the_depth(places) -> None:
    by_day, in_evening = places
    pose = TINY.poses[[3]]
    day, evening = (place.photograph(TINY.camera, pose, seed=5).astype(float) for place in places)
    assert np.array_equal(by_day.depth_m(TINY.camera, pose), in_evening.depth_m(TINY.camera, pose))
    assert np.abs(day - evening).mean() > 8
    balance_day, balance_evening = (image[..., 0].mean() / image[..., 2].mean() for image in (day, evening))
    assert abs(balance_evening / balance_day - 1) > 0.05


def test_the_test_walk_is_not_the_mapping_walk_but_stays_near_it() -> None:
    options = PlaceOptions()
    mapping, test = options.poses[: options.mapping_frames], options.poses[options.mapping_frames :]
    gaps = np.linalg.norm(test.centers_m[:, None] - mapping.centers_m[None], axis=-1).min(axis=1)
    assert gaps.min() > 0.005
    assert np.median(gaps) < 0.4


def test_walks_are_smooth() -> None:
    options = PlaceOptions()
    for poses in (options.poses[: options.mapping_frames], options.poses[options.mapping_frames :]):
        step_m, step_deg = pose_errors(poses[1:], poses[:-1])
        assert step_m.max() < 0.35
        assert step_deg.max() < 15


def test_a_written_place_is_a_scene_with_exact_poses(tmp_path: Path, frames) -> None:
    scene = write_place(tmp_path / "attic", TINY)
    loaded = Scene.load(tmp_path / "attic")
    assert loaded.name == scene.name == "attic"
    assert loaded.ground_truth == "rendered, exact"
    assert loaded.units == "metres"
    assert list(loaded.frames.splits) == ["train"] * 8 + ["test"] * 4
    assert list(loaded.frames.sequences) == ["map"] * 8 + ["test"] * 4
    assert list(loaded.frames.indices) == [*range(8), *range(4)]
    assert loaded.frames.names[8] == "test/frame-000000.jpg"
    assert loaded.cameras == {"rendered": TINY.camera}
    position_m, rotation_deg = pose_errors(loaded.frames.poses, TINY.poses)
    assert position_m.max() < 1e-9
    assert rotation_deg.max() < 1e-6
    known = scene_of_place(tmp_path / "attic", TINY)  # without rendering
    assert known.mapping_fingerprint == loaded.mapping_fingerprint
    assert known.frames.images == loaded.frames.images
    assert known.source == loaded.source
    with Image.open(loaded.frames.images[8]) as image:
        assert image.format == "JPEG"
        assert np.abs(np.asarray(image).astype(float) - frames[8][0]).mean() < 6


def test_impossible_sizes_and_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="0x48"):
        PlaceOptions(width=0, height=48)
    with pytest.raises(ValueError, match="nothing to render"):
        PlaceOptions(mapping_frames=0, test_frames=0)
    with pytest.raises(ValueError, match="-1 mapping"):
        PlaceOptions(mapping_frames=-1)


def test_a_place_may_have_no_test_walk() -> None:
    assert len(list(render_place(PlaceOptions(width=16, height=12, mapping_frames=1, test_frames=0)))) == 1


def test_the_toy_scene_that_other_tests_use_is_complete(toy_scene: Path) -> None:
    scene = Scene.load(toy_scene)
    assert len(scene.frames.of_split("train")) == 24
    assert len(scene.frames.of_split("test")) == 8
    assert all(path.is_file() for path in scene.frames.images)
