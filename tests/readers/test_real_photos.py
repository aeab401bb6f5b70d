"""Photos really lie where the imported poses say: depth carried across kitchen frames, SIFT matches on epipolar lines."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irploc.geometry import rotations
from irploc.geometry.cameras import Camera, cam_from_world, world_from_cam
from irploc.geometry.poses import Poses
from irploc.images import decode_image, decoded_size
from irploc.pycolmap_safe import import_pycolmap
from irploc.readers import READERS, Imported, ReadOptions

KITCHEN_PAIRS = [(0, 50), (100, 160), (300, 350), (500, 560), (700, 800)]
FOX_PAIRS = [("0001", "0007"), ("0029", "0031"), ("0105", "0108")]
# Depth images are pixels of the depth sensor, 585 px, on which the original poses sit; the colour camera has 525.5 px.
DEPTH_CAMERA = Camera("SIMPLE_PINHOLE", 640, 480, (585.0, 320.0, 240.0))


@pytest.fixture(scope="module")
def pseudo(kitchen: Path) -> Imported:
    return READERS.get("7scenes")(kitchen, ReadOptions(ground_truth=kitchen / "pgt_sfm.txt"))


@pytest.fixture(scope="module")
def original(kitchen: Path) -> Imported:
    return READERS.get("7scenes")(kitchen, ReadOptions())


@pytest.fixture(scope="module")
def fox_frames(fox: Path) -> Imported:
    return READERS.get("nerfstudio")(fox, ReadOptions())


def depth_m(kitchen: Path, number: int) -> np.ndarray:
    with Image.open(kitchen / f"seq-01/frame-{number:06d}.depth.png") as image:
        depth = np.asarray(image, dtype=np.float64) / 1000
    return np.where((depth == 0) | (depth > 60), np.nan, depth)


def relative_depth_difference(kitchen: Path, poses: Poses, first: int, second: int) -> float:
    """Median of |seen - expected| / expected where pixels of one frame land in another; infinite where too few land."""
    rows, columns = np.mgrid[0:480:8, 0:640:8]
    depth = depth_m(kitchen, first)[rows, columns].ravel()
    pixels = np.stack([columns + 0.5, rows + 0.5], axis=-1).reshape(-1, 2)[np.isfinite(depth)]
    points = world_from_cam(DEPTH_CAMERA.unproject(pixels, depth[np.isfinite(depth)]), poses[[first]])
    there = cam_from_world(points, poses[[second]])
    landed = DEPTH_CAMERA.project(there)
    inside = np.isfinite(landed).all(axis=1) & (landed >= 0).all(axis=1) & (landed < [640, 480]).all(axis=1)
    column, row = landed[inside].astype(int).T
    expected = there[inside, 2]
    difference = np.abs(depth_m(kitchen, second)[row, column] - expected) / expected
    difference = difference[np.isfinite(difference)]
    return float(np.median(difference)) if len(difference) > 0.05 * len(pixels) else float("inf")


@pytest.mark.parametrize("ground_truth", ["pseudo", "original"])
def test_the_depth_of_one_kitchen_frame_is_the_depth_of_another(
    kitchen: Path, ground_truth: str, request: pytest.FixtureRequest
) -> None:
    poses = request.getfixturevalue(ground_truth).frames.poses
    differences = [relative_depth_difference(kitchen, poses, *pair) for pair in KITCHEN_PAIRS]
    assert np.median(differences) < 0.01, differences
    assert max(differences) < 0.02, differences


def inverted(poses: Poses) -> Poses:
    return Poses.from_cam_from_world(poses.world_from_cam_wxyz, poses.centers_m)


def turned_to_opengl(poses: Poses) -> Poses:
    return Poses.from_matrices(poses.to_opengl_matrices())


def centre_taken_for_translation(poses: Poses) -> Poses:
    return Poses.from_cam_from_world(rotations.conjugate(poses.world_from_cam_wxyz), poses.centers_m)


def quaternions_conjugated(poses: Poses) -> Poses:
    return replace(poses, world_from_cam_wxyz=rotations.conjugate(poses.world_from_cam_wxyz))


MISREADINGS = [inverted, turned_to_opengl, centre_taken_for_translation, quaternions_conjugated]


@pytest.mark.parametrize("misread", MISREADINGS)
def test_poses_in_another_convention_would_be_noticed(kitchen: Path, pseudo: Imported, misread) -> None:
    poses = misread(pseudo.frames.poses)
    differences = [relative_depth_difference(kitchen, poses, *pair) for pair in KITCHEN_PAIRS]
    assert np.median(differences) > 0.03, differences


@cache
def sift(image: Path, longest_side: int = 640) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) positions in pixels of the full photo and (N, 128) descriptors of unit length."""
    pycolmap = import_pycolmap()
    options = pycolmap.FeatureExtractionOptions()
    options.sift.max_num_features = 1000
    options.num_threads = 1
    small = decode_image(image, longest_side)
    scale = np.array(decoded_size(image)) / small.size
    extractor = pycolmap.FeatureExtractor.create(options, pycolmap.Device.cpu)
    keypoints, descriptors = extractor.extract(pycolmap.Bitmap.from_array(np.asarray(small.convert("L"))))
    vectors = np.asarray(descriptors.data, dtype=np.float64)
    places = np.array([[keypoint.x, keypoint.y] for keypoint in keypoints])
    return places * scale, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def matches(first: np.ndarray, second: np.ndarray, ratio: float = 0.75) -> np.ndarray:
    """(M, 2) rows of mutual nearest descriptors that pass the ratio test; no geometry is used."""
    distance = np.sqrt(np.maximum(2 - 2 * first @ second.T, 0))
    nearest = distance.argmin(axis=1)
    closest = np.sort(np.partition(distance, 1, axis=1)[:, :2], axis=1)
    rows = np.arange(len(first))
    keep = (distance.argmin(axis=0)[nearest] == rows) & (closest[:, 0] < ratio * closest[:, 1])
    return np.stack([rows[keep], nearest[keep]], axis=1)


def rays(camera: Camera, pixels: np.ndarray) -> np.ndarray:
    """(N, 3) viewing rays, the lens undone by pycolmap."""
    lens = import_pycolmap().Camera(model=camera.model, width=camera.width, height=camera.height, params=list(camera.params))
    return np.concatenate([lens.cam_from_img(pixels), np.ones((len(pixels), 1))], axis=1)


def epipolar_distances_px(imported: Imported, poses: Poses, first: int, second: int) -> np.ndarray:
    """(M,) distances of SIFT matches from the epipolar line in the second photo, pixels."""
    frames = imported.frames
    (places_a, vectors_a), (places_b, vectors_b) = sift(frames.images[first]), sift(frames.images[second])
    pairs = matches(vectors_a, vectors_b)
    camera_a, camera_b = imported.cameras[frames.cameras[first]], imported.cameras[frames.cameras[second]]
    a, b = rays(camera_a, places_a[pairs[:, 0]]), rays(camera_b, places_b[pairs[:, 1]])
    b_from_world = np.linalg.inv(poses[[second]].to_matrices()[0])
    b_from_a = b_from_world @ poses[[first]].to_matrices()[0]
    normals = np.cross(b_from_a[:3, 3], a @ b_from_a[:3, :3].T)
    return np.abs(np.sum(normals * b, axis=1)) / np.linalg.norm(normals[:, :2], axis=1) * camera_b.focal_px[0]


@pytest.mark.parametrize("pair", FOX_PAIRS, ids="-".join)
def test_matches_between_fox_photos_lie_on_epipolar_lines(fox_frames: Imported, pair: tuple[str, str]) -> None:
    names = [f"images/{number}.jpg" for number in pair]
    first, second = (fox_frames.frames.names.index(name) for name in names)
    distances = epipolar_distances_px(fox_frames, fox_frames.frames.poses, first, second)
    assert len(distances) > 50
    assert np.median(distances) < 2, np.median(distances)


def test_matches_between_kitchen_photos_lie_on_epipolar_lines(pseudo: Imported) -> None:
    distances = epipolar_distances_px(pseudo, pseudo.frames.poses, 300, 350)
    assert len(distances) > 50
    assert np.median(distances) < 2, np.median(distances)


def test_fox_axes_left_in_opengl_would_be_noticed(fox_frames: Imported) -> None:
    first, second = (fox_frames.frames.names.index(f"images/{number}.jpg") for number in FOX_PAIRS[0])
    wrong = turned_to_opengl(fox_frames.frames.poses)
    assert np.median(epipolar_distances_px(fox_frames, wrong, first, second)) > 10
