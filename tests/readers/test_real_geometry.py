"""Real images lie where the poses say: depth reprojects across the kitchen, features obey the epipolar lines of the fox."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irploc.geometry import rotations
from irploc.geometry.cameras import Camera, cam_from_world, world_from_cam
from irploc.geometry.poses import Poses
from irploc.pycolmap_safe import import_pycolmap
from irploc.readers import READERS, Imported, ReadOptions

DEPTH = Camera(
    "SIMPLE_PINHOLE", 640, 480, (585.0, 320, 240)
)  # the depth maps are the depth sensor's, not the colour camera's
COLOR = Camera("SIMPLE_PINHOLE", 640, 480, (525.5, 320, 240))
FRAMES_APART = 50
FOX_PAIRS = ((0, 1), (8, 9), (24, 25), (40, 41))
FOX_REDUCTION = 3


def inverted(poses: Poses) -> Poses:
    return Poses.from_matrices(np.linalg.inv(poses.to_matrices()))


def with_opengl_axes_taken_for_opencv(poses: Poses) -> Poses:
    return Poses.from_matrices(poses.to_opengl_matrices())


def with_inverse_rotations(poses: Poses) -> Poses:
    return Poses(poses.centers_m, rotations.conjugate(poses.world_from_cam_wxyz))


# --- kitchen: depth of one frame seen from another ---


@pytest.fixture(scope="module")
def depth_maps(kitchen: Path) -> dict[int, np.ndarray]:
    """Frame -> (480, 640) metres, NaN where there is none; pairs of frames ``FRAMES_APART``."""
    frames = [start + more for start in range(0, 900, 150) for more in (0, FRAMES_APART)]
    maps = {}
    for frame in frames:
        with Image.open(kitchen / f"seq-01/frame-{frame:06d}.depth.png") as image:
            millimetres = np.asarray(image).astype(np.float64)
        maps[frame] = np.where((millimetres == 0) | (millimetres == 65535), np.nan, millimetres / 1000)
    return maps


def depth_agreement(depth_maps: dict[int, np.ndarray], poses: Poses, camera: Camera = DEPTH) -> tuple[float, float]:
    """The median relative difference between depths carried over from another frame and depths measured there, and the
    share of them that agree to 5 %; occlusions count against it."""
    rows, columns = np.mgrid[4:480:8, 4:640:8]
    pixels = np.stack([columns, rows], axis=-1) + 0.5
    differences = []
    for start in [frame for frame in depth_maps if frame % 150 == 0]:
        there = start + FRAMES_APART
        depth_m = depth_maps[start][rows, columns]
        known = np.isfinite(depth_m)
        world = world_from_cam(camera.unproject(pixels[known], depth_m[known]), poses[[start]])
        carried = cam_from_world(world, poses[[there]])
        seen = np.nan_to_num(camera.project(carried), nan=-1.0)
        inside = (seen >= 0).all(axis=1) & (seen < [640, 480]).all(axis=1)
        column, row = seen[inside].astype(int).T
        measured = depth_maps[there][row, column]
        differences.append(np.abs(carried[inside, 2] - measured)[np.isfinite(measured)] / measured[np.isfinite(measured)])
    every = np.concatenate(differences)
    assert len(every) > 5000
    return float(np.median(every)), float((every < 0.05).mean())


@pytest.fixture(scope="module")
def kitchen_poses(kitchen: Path) -> Poses:
    return READERS.get("7scenes")(kitchen, ReadOptions(ground_truth=kitchen / "pgt_sfm.txt")).frames.poses


def test_depth_of_one_kitchen_frame_is_found_in_another(depth_maps: dict, kitchen_poses: Poses) -> None:
    median, agreeing = depth_agreement(depth_maps, kitchen_poses)  # measured: 0.7 % and 94 %
    assert median < 0.01
    assert agreeing > 0.9


def test_the_original_poses_fit_the_depth_maps_too(depth_maps: dict, kitchen: Path) -> None:
    median, agreeing = depth_agreement(depth_maps, READERS.get("7scenes")(kitchen, ReadOptions()).frames.poses)
    assert median < 0.01
    assert agreeing > 0.9


def test_the_depth_maps_have_the_focal_length_of_the_depth_sensor(depth_maps: dict, kitchen_poses: Poses) -> None:
    depth_median, depth_agreeing = depth_agreement(depth_maps, kitchen_poses, DEPTH)
    color_median, color_agreeing = depth_agreement(depth_maps, kitchen_poses, COLOR)
    assert depth_median < 0.8 * color_median
    assert depth_agreeing > color_agreeing + 0.04


@pytest.mark.parametrize("mistake", [inverted, with_opengl_axes_taken_for_opencv, with_inverse_rotations])
def test_depth_does_not_agree_when_the_poses_are_misread(depth_maps: dict, kitchen_poses: Poses, mistake) -> None:
    median, agreeing = depth_agreement(depth_maps, mistake(kitchen_poses))
    assert median > 0.08
    assert agreeing < 0.5


# --- fox: SIFT matches on epipolar lines ---


@pytest.fixture(scope="module")
def fox_scene(fox: Path) -> Imported:
    return READERS.get("nerfstudio")(fox, ReadOptions())


@pytest.fixture(scope="module")
def fox_matches(fox_scene: Imported) -> list[tuple[int, int, np.ndarray, np.ndarray]]:
    """(first, second, pixels in the first, pixels in the second) of neighbouring photos, in full-size pixels."""
    pycolmap = import_pycolmap()
    options = pycolmap.FeatureExtractionOptions()
    options.use_gpu, options.num_threads, options.sift.max_num_features, options.sift.first_octave = False, 1, 2000, 0
    matching = pycolmap.FeatureMatchingOptions()
    matching.use_gpu, matching.num_threads = False, 1
    extractor = pycolmap.FeatureExtractor.create(options, pycolmap.Device.cpu)
    matcher = pycolmap.FeatureMatcher.create(matching, pycolmap.Device.cpu)
    features = {}
    for row in sorted({row for pair in FOX_PAIRS for row in pair}):
        with Image.open(fox_scene.frames.images[row]) as photo:
            features[row] = extractor.extract(
                pycolmap.Bitmap.from_array(np.asarray(photo.convert("L").reduce(FOX_REDUCTION)))
            )
    found = []
    for first, second in FOX_PAIRS:
        pairs = matcher.match(*features[first], *features[second])
        pixels = [np.array([(point.x, point.y) for point in features[row][0]]) * FOX_REDUCTION for row in (first, second)]
        found.append((first, second, pixels[0][pairs[:, 0]], pixels[1][pairs[:, 1]]))
    return found


def median_epipolar_px(scene: Imported, matches: list, poses: Poses) -> float:
    """The median distance of matched points from their epipolar lines, lens distortion removed, in full-size pixels."""
    camera = next(iter(scene.cameras.values()))
    lens = import_pycolmap().Camera(model=camera.model, width=camera.width, height=camera.height, params=list(camera.params))
    matrices, distances = poses.to_matrices(), []
    for first, second, pixels_first, pixels_second in matches:
        second_from_first = np.linalg.inv(matrices[second]) @ matrices[first]
        x, y, z = second_from_first[:3, 3]
        essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ second_from_first[:3, :3]
        rays_first, rays_second = (
            np.column_stack([lens.cam_from_img(pixels), np.ones(len(pixels))]) for pixels in (pixels_first, pixels_second)
        )
        lines = rays_first @ essential.T
        off_px = np.abs((lines * rays_second).sum(axis=1)) / np.linalg.norm(lines[:, :2], axis=1) * camera.focal_px[0]
        distances.append(off_px)
    return float(np.median(np.concatenate(distances)))


def test_features_of_the_fox_lie_on_their_epipolar_lines(fox_scene: Imported, fox_matches: list) -> None:
    assert sum(len(pixels) for _, _, pixels, _ in fox_matches) > 600
    assert median_epipolar_px(fox_scene, fox_matches, fox_scene.frames.poses) < 2


@pytest.mark.parametrize("mistake", [with_opengl_axes_taken_for_opencv, inverted, with_inverse_rotations])
def test_features_leave_their_epipolar_lines_when_the_poses_are_misread(
    fox_scene: Imported, fox_matches: list, mistake
) -> None:
    assert median_epipolar_px(fox_scene, fox_matches, mistake(fox_scene.frames.poses)) > 6
