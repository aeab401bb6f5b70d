from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageOps

from irploc.errors import BadInput
from irploc.geometry.cameras import Camera, cam_from_world
from irploc.geometry.poses import Poses, pose_errors
from irploc.geometry.rotations import canonical
from irploc.images import EncodedPhoto
from irploc.structure.candidates import candidate_photos, shared_points
from irploc.structure.features import FeatureExtractor, LocalFeatures
from irploc.structure.guided import guided_pairs
from irploc.structure.intrinsics import (
    exif_focal_px,
    fitted_to,
    focal_px_of_exif,
    intrinsics_of,
    turned,
)
from irploc.structure.judgement import SIGNS, StructureCalibration, judge, signs_of
from irploc.structure.mirror import mirrored
from irploc.structure.pointmap import PointMap
from irploc.structure.resection import refine, resect, world_covariance
from irploc.structure.sight import Slack, seen_from
from irploc.structure.solution import Prior, Solution, SolveOptions
from irploc.structure.solve import coverage_of

CAMERA = Camera("SIMPLE_PINHOLE", 640, 480, (500.0, 320.0, 240.0))
AHEAD = Poses(np.zeros((1, 3)), np.array([[1.0, 0, 0, 0]]))


def unit_bytes(number: int) -> np.ndarray:
    descriptor = np.zeros(128, np.uint8)
    descriptor[number] = 255
    return descriptor


def seen_once(points: list[list[float]], photos: int = 1) -> PointMap:
    """Points all of which the first photo sees; it stands at the origin and looks along z, as do the others."""
    count = len(points)
    return PointMap(
        names=tuple(f"{number}.jpg" for number in range(photos)),
        poses=Poses(np.zeros((photos, 3)), np.tile([1.0, 0, 0, 0], (photos, 1))),
        photo_cameras=("camera",) * photos,
        cameras={"camera": CAMERA},
        points_m=np.array(points, dtype=np.float64),
        descriptors=np.stack([unit_bytes(number) for number in range(count)]),
        starts=np.array([0] + [count] * photos),
        observed=np.arange(count, dtype=np.int32),
        pixels=np.zeros((count, 2), np.float32),
    )


def features_at(pixels: list[list[float]], numbers: list[int]) -> LocalFeatures:
    return LocalFeatures(np.array(pixels, np.float32), np.stack([unit_bytes(number) for number in numbers]), 640, 480)


def pose_at(center: list[float], quat: list[float]) -> Poses:
    return Poses(np.array([center]), canonical(np.array([quat], dtype=np.float64)))


def test_a_camera_sees_the_points_in_its_picture_where_they_project() -> None:
    point_map = seen_once([[0, 0, 2], [1.2, 0, 2], [1.4, 0, 2], [0, 0, -2]])
    rows, pixels = seen_from(point_map, AHEAD, CAMERA)
    assert rows.tolist() == [0, 1], "500 / 2 * 1.4 is outside the picture, and the last point is behind"
    assert np.allclose(pixels, [[320, 240], [620, 240]])


def test_a_point_is_not_seen_from_behind_nor_from_much_farther_away() -> None:
    point_map = seen_once([[0, 0, 2]])
    assert not len(seen_from(point_map, pose_at([0, 0, 4], [0, 0, 1, 0]), CAMERA)[0]), "the back of the wall"
    assert len(seen_from(point_map, pose_at([0, 0, -1.9], [1, 0, 0, 0]), CAMERA)[0]) == 1
    assert not len(seen_from(point_map, pose_at([0, 0, -2.1], [1, 0, 0, 0]), CAMERA)[0]), "beyond twice the distance"


def test_slack_lets_points_in_that_a_wrong_pose_would_miss() -> None:
    point_map = seen_once([[1.4, 0, 2]])
    for slack, count in ((Slack(), 0), (Slack(position_m=0.15), 1), (Slack(rotation_deg=4.0), 1), (Slack(0.05), 0)):
        assert len(seen_from(point_map, AHEAD, CAMERA, slack)[0]) == count, slack


def test_only_the_rows_asked_about_are_answered() -> None:
    point_map = seen_once([[0, 0, 2], [0.1, 0, 2], [0.2, 0, 2]])
    assert seen_from(point_map, AHEAD, CAMERA, among=np.array([2, 0]))[0].tolist() == [2, 0]


def test_guided_pairs_are_near_alike_and_one_to_one() -> None:
    point_map = seen_once([[0, 0, 2], [0.01, 0, 2], [0, 0.5, 2]])
    rows, pixels = seen_from(point_map, AHEAD, CAMERA)
    features = features_at([[321, 240], [322, 241], [320, 365], [600, 10]], [0, 0, 1, 2])
    pairs = guided_pairs(features, point_map, rows, pixels, 6.0)
    assert pairs.tolist() == [[0, 0]] or pairs.tolist() == [[1, 0]], (
        "two features want point 0; the others are unlike or far"
    )


def test_guided_pairs_with_a_ratio_drop_what_could_be_another_point() -> None:
    point_map = seen_once([[0, 0, 2], [0.02, 0, 2]])
    point_map = replace(point_map, descriptors=np.stack([unit_bytes(0), unit_bytes(0)]))
    rows, pixels = seen_from(point_map, AHEAD, CAMERA)
    features = features_at([[320, 240]], [0])
    assert len(guided_pairs(features, point_map, rows, pixels, 8.0)) == 1
    assert not len(guided_pairs(features, point_map, rows, pixels, 8.0, ratio=0.9))


def exact_views(pose: Poses, camera: Camera = CAMERA, count: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and points of a cloud in front of a camera."""
    rng = np.random.default_rng(1)
    local = np.stack([*rng.uniform(-1, 1, (2, count)), rng.uniform(3, 6, count)], axis=1)
    matrix = pose.to_matrices()[0]
    points = local @ matrix[:3, :3].T + matrix[:3, 3]
    return camera.project(cam_from_world(points, pose)), points


POSE = pose_at([0.3, -1.0, 2.0], [0.9, 0.1, -0.3, 0.2])


@pytest.mark.parametrize(
    "camera",
    [
        CAMERA,
        Camera("OPENCV", 640, 480, (500, 510, 310, 250, 0.1, -0.05, 0.002, -0.001)),
        Camera("FOV", 640, 480, (500, 500, 320, 240, 1e-2)),
    ],
    ids=lambda camera: camera.model,
)
def test_a_pose_is_found_exactly_among_outliers_whatever_the_lens(camera: Camera) -> None:
    from irploc.projection import project_points

    _, points = exact_views(POSE)
    pixels = project_points(camera, cam_from_world(points, POSE))
    pixels[::4] += [90, -60]
    found = resect(pixels, points, camera, 4.0, seed=0)
    assert found is not None
    metres, degrees = pose_errors(found.pose, POSE)
    assert metres[0] < 1e-4 and degrees[0] < 1e-2
    assert not found.inliers[::4].any() and found.inliers.sum() == 60


def test_the_same_seed_gives_the_same_pose() -> None:
    pixels, points = exact_views(POSE)
    pixels[::3] = np.random.default_rng(0).uniform(0, 480, pixels[::3].shape)
    first, second = (resect(pixels, points, CAMERA, 4.0, seed=3) for _ in range(2))
    assert first is not None and second is not None
    assert np.array_equal(first.pose.centers_m, second.pose.centers_m)


def test_an_unknown_focal_length_is_found_with_the_pose() -> None:
    pixels, points = exact_views(POSE)
    wrong = replace(CAMERA, params=(800.0, 320.0, 240.0))
    found = resect(pixels, points, wrong, 4.0, seed=0, focal_known=False)
    assert found is not None and found.camera.focal_px[0] == pytest.approx(500, abs=0.5)
    assert pose_errors(found.pose, POSE)[0][0] < 0.01


def test_refinement_forgives_outliers() -> None:
    pixels, points = exact_views(POSE)
    pixels[0] += 25
    start = Poses(POSE.centers_m + 0.01, POSE.world_from_cam_wxyz)
    found = refine(pixels, points, start, CAMERA, 1.0)
    assert found is not None and pose_errors(found.pose, POSE)[0][0] < 1e-3


@pytest.mark.parametrize("count", [0, 3])
def test_too_few_pairs_give_no_pose(count: int) -> None:
    pixels, points = exact_views(POSE)
    assert resect(pixels[:count], points[:count], CAMERA, 4.0, seed=0) is None
    assert refine(pixels[:count], points[:count], POSE, CAMERA, 1.0) is None


def test_the_covariance_says_how_far_noise_moves_the_pose() -> None:
    pixels, points = exact_views(POSE, count=200)
    rng, centers = np.random.default_rng(0), []
    for _ in range(60):
        found = refine(pixels + rng.normal(0, 0.5, pixels.shape), points, POSE, CAMERA, 100.0)
        assert found is not None
        centers.append(found.pose.centers_m[0])
    said = found.covariance[:3, :3] * 0.5**2
    seen = np.cov(np.array(centers).T)
    assert np.allclose(np.sqrt(np.diag(seen)), np.sqrt(np.diag(said)), rtol=0.3)
    assert seen[0, 2] * said[0, 2] > 0 or abs(said[0, 2]) < 0.1 * np.trace(said), "the axes are the world's"


def test_the_covariance_of_the_centre_without_a_turn_is_that_of_the_translation() -> None:
    theirs = np.diag([0.0, 0, 0, 1, 2, 3])
    quarter = np.array([np.sqrt(0.5), 0, 0, np.sqrt(0.5)])  # about z: the camera's x is the world's -y
    assert np.allclose(np.diag(world_covariance(theirs, quarter, np.zeros(3)))[:3], [2, 1, 3])
    turned_only = np.diag([1.0, 0, 0, 0, 0, 0])
    found = world_covariance(turned_only, np.array([1.0, 0, 0, 0]), np.array([0.0, 0, 5.0]))
    assert np.allclose(np.diag(found), [0, 100, 0, 4, 0, 0]), "twice half the angle about x moves the centre 5 m off along y"


def test_cells_of_the_picture_are_counted_once() -> None:
    pixels = np.array([[0, 0], [10, 10], [639, 479], [320, 240]])
    assert coverage_of(pixels, CAMERA) == pytest.approx(3 / 48)


def test_photos_are_ranked_by_what_the_prior_sees_and_by_embedding_in_turns() -> None:
    point_map = seen_once([[0, 0, 2], [0.1, 0, 2]], photos=3)
    assert shared_points(point_map, np.array([1])).tolist() == [1, 0, 0]
    similarities = np.array([0.1, 0.9, 0.5])
    assert candidate_photos(similarities, point_map, CAMERA, None, 2).tolist() == [1, 2]
    assert candidate_photos(similarities, point_map, CAMERA, Prior(AHEAD), 2).tolist() == [1, 0]


def test_a_named_focal_length_comes_before_all_else() -> None:
    found = intrinsics_of((640, 480), [CAMERA], given=CAMERA, focal_px=600.0, exif_px=700.0)
    assert (found.source, found.camera.params) == ("focal", (600.0, 320.0, 240.0))
    assert intrinsics_of((640, 480), [CAMERA], given=CAMERA, exif_px=700.0).source == "given"
    assert intrinsics_of((640, 480), [CAMERA], exif_px=700.0).source == "exif"
    assert intrinsics_of((640, 480), [CAMERA]).source == "scene"
    assert not intrinsics_of((640, 300), [CAMERA]).focal_known


def test_the_map_knows_the_lens_better_than_exif_where_both_agree() -> None:
    assert intrinsics_of((640, 480), [CAMERA], exif_px=505.0).camera == CAMERA


def test_the_scenes_camera_is_scaled_and_turned() -> None:
    assert intrinsics_of((320, 240), [CAMERA]).camera.params == (250.0, 160.0, 120.0)
    lens = Camera("OPENCV", 640, 480, (500, 510, 310, 250, 0.1, 0.0, 0.01, 0.02))
    assert turned(lens).params == (510, 500, 240, 320, 0.1, 0, 0, 0)
    found = intrinsics_of((480, 640), [lens])
    assert (found.source, found.camera.width, found.camera.params[0]) == ("scene", 480, 510)
    assert fitted_to(CAMERA, (640, 400)) is None


def test_mapping_cameras_that_differ_say_nothing_and_the_focal_length_starts_between_them() -> None:
    other = Camera("SIMPLE_PINHOLE", 640, 480, (700.0, 320.0, 240.0))
    found = intrinsics_of((640, 480), [CAMERA, other])
    assert (found.source, found.camera.focal_px[0]) == ("estimated", 600.0)


def test_exif_gives_the_focal_length_of_the_picture() -> None:
    assert focal_px_of_exif({0xA405: 26}, (4000, 3000)) == pytest.approx(26 / 43.27 * 5000)
    plane = {0x920A: 5.0, 0xA20E: 2000.0, 0xA210: 3, 0xA002: 4000}
    assert focal_px_of_exif(plane, (2000, 1500)) == pytest.approx(5.0 * 200 * 0.5), "reduced to half after it was taken"
    assert focal_px_of_exif({}, (4000, 3000)) is None
    assert focal_px_of_exif({0xA405: 65535}, (4000, 3000)) is None, "no such lens"


def test_a_file_without_or_with_damaged_exif_says_nothing(tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "a.jpg"
    image = Image.new("RGB", (64, 48))
    image.save(path)
    assert exif_focal_px(path) is None
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 35
    image.save(path, exif=exif)
    assert exif_focal_px(path) == pytest.approx(35 / 43.27 * 80)
    assert exif_focal_px(EncodedPhoto("a.jpg", path.read_bytes())) == pytest.approx(35 / 43.27 * 80), "in memory too"
    path.write_bytes(b"not a photo")
    assert exif_focal_px(path) is None


def test_mirrored_features_are_those_of_the_mirror_image() -> None:
    coarse = np.random.default_rng(0).integers(0, 255, (18, 24, 3), dtype=np.uint8)
    photo = Image.fromarray(coarse).resize((384, 288), Image.Resampling.BICUBIC)
    extractor = FeatureExtractor()
    ours, theirs = mirrored(extractor.extract(photo)), extractor.extract(ImageOps.mirror(photo))
    near = np.linalg.norm(ours.pixels[:, None] - theirs.pixels[None], axis=2)
    alike = ours.descriptors.astype(float) @ theirs.descriptors.T.astype(float) / 512.0**2
    found = ((near < 1.5) & (alike > 0.95)).any(axis=1)
    assert len(ours) > 30 and found.mean() > 0.8, "the rest lie where the doubled picture's half pixels matter"
    unmirrored = extractor.extract(photo).descriptors.astype(float) @ theirs.descriptors.T.astype(float) / 512.0**2
    assert ((near < 1.5) & (unmirrored > 0.95)).any(axis=1).mean() < 0.1


def a_solution(inliers: int = 200, first: int = 150, matched: int = 220, coverage: float = 0.6) -> Solution:
    return Solution(
        pose=AHEAD,
        camera=CAMERA,
        pixels=np.zeros((inliers, 2)),
        points=np.zeros(inliers, dtype=np.int64),
        first_pixels=np.zeros((max(first, 200), 2)),
        first_points=np.zeros(max(first, 200), dtype=np.int64),
        first_inliers=first,
        matched=matched,
        visible=1000,
        coverage=coverage,
        residual_px=1.0,
        covariance=np.eye(6) * 1e-6,
        rounds=3,
    )


def test_deviations_are_those_of_the_covariance() -> None:
    solution = a_solution()
    assert solution.position_sd_m == pytest.approx(np.sqrt(3) * 1e-3)
    assert solution.rotation_sd_deg == pytest.approx(np.degrees(np.sqrt(3) * 1e-3))


def test_without_a_calibration_only_what_is_beyond_doubt_is_believed_and_nothing_is_announced() -> None:
    verdict = judge(a_solution(), None, None)
    assert verdict.accepted and np.isnan([verdict.confidence, verdict.position_m]).all()
    for poor in (a_solution(inliers=12), a_solution(first=12), a_solution(coverage=0.05)):
        assert not judge(poor, None, None).accepted


def fitted_calibration() -> StructureCalibration:
    rng = np.random.default_rng(0)
    good = rng.random(300) < 0.7
    signs = rng.normal(0, 1, (300, len(SIGNS))) + 2.0 * good[:, None]
    signs[:, 3] -= 4.0 * good  # a sign that happens to speak against good poses
    return StructureCalibration.fit(signs, good, np.full(300, 2.0), np.full(300, 3.0))


def test_better_signs_never_make_a_pose_less_credible() -> None:
    calibration = fitted_calibration()
    assert min(calibration.weights[1:]) >= 0 and calibration.weights[4] == 0.0
    mean = np.array(calibration.mean)
    chances = calibration.chance(np.stack([mean - 2.0, mean, mean + 2.0]))
    assert chances[0] < 0.5 < chances[2] and (np.diff(chances) > 0).all()


def test_expected_errors_are_the_covariances_times_what_held_out_photos_showed() -> None:
    verdict = judge(a_solution(), None, fitted_calibration())
    assert verdict.position_m == pytest.approx(2.0 * np.sqrt(3) * 1e-3)
    assert verdict.rotation_deg == pytest.approx(3.0 * np.degrees(np.sqrt(3) * 1e-3))


def test_a_handful_of_inliers_is_never_believed_whatever_the_calibration_says() -> None:
    sure = replace(fitted_calibration(), weights=(20.0, *[0.0] * len(SIGNS)))
    assert judge(a_solution(), None, sure).accepted
    assert not judge(a_solution(first=12), None, sure).accepted
    assert not judge(a_solution(inliers=12, first=12), None, sure).accepted


def test_disagreement_with_the_prior_counts_in_its_own_errors() -> None:
    position = SIGNS.index("position")
    near, far = (Prior(pose_at([distance, 0, 0], [1, 0, 0, 0]), 0.1, 1.0) for distance in (0.1, 1.0))
    assert signs_of(a_solution(), near)[position] == pytest.approx(-np.log(2.0))
    assert signs_of(a_solution(), far)[position] == pytest.approx(-np.log(11.0))
    assert signs_of(a_solution(), None)[position] == pytest.approx(-np.log(2.0))


def test_a_calibration_survives_its_file_and_refuses_others() -> None:
    calibration = fitted_calibration()
    assert StructureCalibration.from_plain(calibration.to_plain()) == calibration
    for damage in ({"mean": [0.0]}, {"position_factor": -1.0}, {"weights": [float("nan")] * (1 + len(SIGNS))}):
        with pytest.raises(ValueError, match="calibration"):
            StructureCalibration.from_plain({**calibration.to_plain(), **damage})


def test_a_calibration_of_good_poses_alone_announces_their_share() -> None:
    calibration = StructureCalibration.fit(np.zeros((28, len(SIGNS))), np.ones(28, bool), np.ones(28), np.ones(28))
    assert calibration.chance(np.zeros((1, len(SIGNS))))[0] == pytest.approx(29 / 30)


@pytest.mark.parametrize("wrong", [{"photos": 0}, {"ratio": 1.5}, {"ransac_px": -1.0}, {"guided_px": float("inf")}])
def test_impossible_options_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        SolveOptions(**wrong)  # type: ignore[arg-type]
