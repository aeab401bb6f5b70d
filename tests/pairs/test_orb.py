"""Features that two photos share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pairs_wall import CAMERA, make_wall_scene, wall_photo
from PIL import Image

from irploc.errors import BadInput
from irploc.geometry.poses import Poses
from irploc.pairs.orb import FEATURES, detect, epipolar_distance, match, orb_shares
from irploc.progress import Silent
from irploc.scene import Scene

pytest.importorskip("cv2", reason="needs OpenCV: pip install 'irploc[pairs]'")


ONE = np.array([[0, 1]])


def orb_of(scene: Scene, epipolar_px: float = 4.0) -> float:
    frames = scene.frames
    return float(orb_shares(ONE, frames.images, frames.poses, {0: CAMERA, 1: CAMERA}, epipolar_px, Silent())[0])


def test_features_of_overlapping_photos_match_and_of_others_do_not(tmp_path: Path) -> None:
    assert orb_of(make_wall_scene(tmp_path / "same", (0.0, 0.0))) > 0.95
    assert orb_of(make_wall_scene(tmp_path / "near", (0.0, 1.0))) > 0.3
    assert orb_of(make_wall_scene(tmp_path / "far", (0.0, 12.0))) < 0.01


def test_matches_that_the_poses_rule_out_do_not_count(tmp_path: Path) -> None:
    """Features move sideways; poses that say down contradict nearly all of them."""
    scene = make_wall_scene(tmp_path, (0.0, 1.0))
    scene.frames.poses.centers_m[1] = [0.0, 1.0, 0.0]
    assert orb_of(scene, epipolar_px=0) > 0.3
    assert orb_of(scene) < 0.05


def test_features_are_at_most_as_many_as_asked_for_and_a_match_is_each_others_nearest(tmp_path: Path) -> None:
    wall_photo(0.0).save(tmp_path / "a.png")
    found = detect(tmp_path / "a.png", CAMERA)
    assert 100 < len(found.descriptors) <= FEATURES
    rows = match(found.descriptors, found.descriptors)
    assert (rows[:, 0] == rows[:, 1]).mean() > 0.9
    assert len(np.unique(rows[:, 1])) == len(rows)


def test_a_photo_without_features_matches_nothing(tmp_path: Path) -> None:
    scene = make_wall_scene(tmp_path, (0.0, 1.0))
    Image.new("RGB", (320, 240), "grey").save(scene.frames.images[1])
    assert orb_of(scene) == 0


def test_photos_that_cannot_be_read_for_features_are_counted(tmp_path: Path) -> None:
    scene = make_wall_scene(tmp_path, (0.0, 1.0))
    scene.frames.images[1].write_bytes(b"nothing")
    with pytest.raises(BadInput, match=r"1 of 2 photos cannot be used; first: .*1\.png is not an image"):
        orb_of(scene)


def test_a_photo_of_another_size_than_its_camera_gives_no_features(tmp_path: Path) -> None:
    scene = make_wall_scene(tmp_path, (0.0, 1.0))
    wall_photo(0.0).resize((160, 120)).save(scene.frames.images[0])
    with pytest.raises(BadInput, match="160x120, but its camera is for 320x240"):
        orb_of(scene)


def test_the_epipolar_distance_of_a_sideways_move_is_the_vertical_difference() -> None:
    """E a = (0, -1, 0), so b's residual is 0.02 and both slopes are 1: 0.02 / sqrt(2)."""
    b_from_a = np.eye(4)
    b_from_a[0, 3] = -0.3
    found = epipolar_distance(np.array([[0.0, 0, 1]]), np.array([[0.1, 0.02, 1]]), b_from_a)
    assert found.tolist() == pytest.approx([0.02 / np.sqrt(2)])


def test_without_a_baseline_rays_that_obey_the_rotation_have_no_distance() -> None:
    pose = Poses([[0, 0, 0]], [[np.cos(0.1), 0, np.sin(0.1), 0]]).to_matrices()[0]
    a = np.array([[0.1, 0.2, 1.0]])
    b = a @ pose[:3, :3].T
    assert epipolar_distance(a, b / b[:, 2:], pose).tolist() == pytest.approx([0], abs=1e-12)
