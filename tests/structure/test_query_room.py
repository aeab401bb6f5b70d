from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from depth_map_of_room import OPTIONS, Room, make_room
from PIL import Image, ImageOps
from tiny_place import TinyEncoder

from irploc import Localizer
from irploc.cli import main
from irploc.errors import BadInput, Mismatch, NotFound
from irploc.estimators.base import APPROXIMATE, NOT_LOCALIZED, OK, Query
from irploc.estimators.build import Place, available_methods, build_estimator, default_method, open_place
from irploc.estimators.structure import Structure
from irploc.estimators.structure_calibration import calibrate, calibration_steps, features_of_photos
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses, pose_errors
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.structure.features import FeatureExtractor, LocalFeatures
from irploc.structure.judgement import judge
from irploc.structure.mapfile import save_map
from irploc.structure.observations import Observations
from irploc.structure.solve import Prior, Solver
from irploc.workspace import Workspace

pytestmark = pytest.mark.usefixtures("tiny_encoder")
QUERIES = range(OPTIONS.mapping_frames, OPTIONS.mapping_frames + OPTIONS.test_frames)
EVERYTHING = np.arange(OPTIONS.mapping_frames)
NEAR_M, NEAR_DEG = 0.02, 0.3


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    return make_room(tmp_path_factory.mktemp("rendered") / "room")


@pytest.fixture(scope="module")
def solver(room: Room) -> Solver:
    return Solver(room.point_map)


@pytest.fixture(scope="module")
def features(room: Room) -> dict[int, LocalFeatures]:
    return {row: FeatureExtractor().extract(room.photos[row]) for row in QUERIES}


@pytest.fixture(scope="module")
def workspace(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    home = Workspace(tmp_path_factory.mktemp("workspace"))
    embed_scene(room.scene, room.folder, home.embeddings("room"), TinyEncoder(), EmbedOptions(augmentations=0))
    save_map(room.point_map, home.model("room", "structure"))
    return home


@pytest.fixture(scope="module")
def place(workspace: Workspace) -> Iterator[Place]:
    opened = open_place(workspace, "room")
    yield opened
    opened.store.close()


@pytest.fixture(scope="module")
def localizer(workspace: Workspace) -> Localizer:
    return Localizer.open("room", "structure", workspace=workspace.root)


def truth(room: Room, row: int) -> Poses:
    return room.scene.frames.poses[[row]]


def asked(place: Place, room: Room, rows: list[int], **more: object) -> Query:
    mask = np.isin(np.arange(len(room.scene.frames)), rows)
    return Query(place.store.vectors(mask), images=[room.photos[row] for row in rows], **more)  # type: ignore[arg-type]


def test_photos_of_another_path_and_another_light_are_found_to_the_centimetre(
    room: Room, solver: Solver, features: dict[int, LocalFeatures]
) -> None:
    for row in QUERIES:
        found = solver.locate(features[row], OPTIONS.camera, EVERYTHING)
        assert found is not None and found.inliers > 100 and found.rounds == 3
        metres, degrees = pose_errors(found.pose, truth(room, row))
        assert metres[0] < NEAR_M and degrees[0] < NEAR_DEG


def test_inliers_lie_where_their_points_project(room: Room, solver: Solver, features: dict[int, LocalFeatures]) -> None:
    from irploc.geometry.cameras import cam_from_world

    row = QUERIES[0]
    found = solver.locate(features[row], OPTIONS.camera, EVERYTHING)
    assert found is not None
    there = OPTIONS.camera.project(cam_from_world(room.point_map.points_m[found.points], truth(room, row)))
    assert np.median(np.linalg.norm(there - found.pixels, axis=1)) < 1.0
    assert len(set(found.points.tolist())) == found.inliers, "one to one"


def test_a_prior_saves_matches_and_leaves_the_pose(room: Room, solver: Solver, features: dict[int, LocalFeatures]) -> None:
    row = QUERIES[1]
    beside = Poses(truth(room, row).centers_m + 0.1, truth(room, row).world_from_cam_wxyz)
    alone = solver.locate(features[row], OPTIONS.camera, EVERYTHING)
    told = solver.locate(features[row], OPTIONS.camera, EVERYTHING, Prior(beside, 0.1, 2.0))
    assert alone is not None and told is not None
    assert told.tried == 1 and told.first_matched < alone.first_matched
    assert pose_errors(told.pose, alone.pose)[0][0] < 5e-3


def test_a_wrong_prior_costs_a_second_try_and_not_the_pose(
    room: Room, solver: Solver, features: dict[int, LocalFeatures]
) -> None:
    row = QUERIES[0]
    opposite = Poses(truth(room, row).centers_m, np.array([[0.0, 0.0, 1.0, 0.0]]))
    found = solver.locate(features[row], OPTIONS.camera, EVERYTHING, Prior(opposite, 0.05, 1.0))
    assert found is not None and pose_errors(found.pose, truth(room, row))[0][0] < NEAR_M


def test_a_pose_nearly_known_is_followed(room: Room, solver: Solver, features: dict[int, LocalFeatures]) -> None:
    row = QUERIES[2]
    predicted = Poses(truth(room, row).centers_m + 0.02, truth(room, row).world_from_cam_wxyz)
    found = solver.follow(features[row], OPTIONS.camera, predicted, reach_px=40.0)
    assert found is not None and pose_errors(found.pose, truth(room, row))[0][0] < NEAR_M
    behind = Poses(truth(room, row).centers_m, truth(room, row).world_from_cam_wxyz[:, [2, 3, 0, 1]])
    by_chance = solver.follow(features[row], OPTIONS.camera, behind)
    assert by_chance is None or not judge(by_chance, None, None).accepted


def test_noise_has_no_pose(solver: Solver) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (180, 240, 3), dtype=np.uint8)
    found = solver.locate(FeatureExtractor().extract(noise), OPTIONS.camera, EVERYTHING)
    assert found is None or found.first_inliers < 12


def test_the_method_finds_photos_together_as_alone(room: Room, place: Place) -> None:
    estimator, rows = build_estimator("structure", place), list(QUERIES)
    together = estimator.estimate(asked(place, room, rows))
    assert together.status == (OK,) * len(rows)
    metres, degrees = pose_errors(together.poses, room.scene.frames.poses[rows])
    assert metres.max() < NEAR_M and degrees.max() < NEAR_DEG
    alone = [estimator.estimate(asked(place, room, [row])).poses for row in rows]
    assert np.array_equal(Poses.concatenate(alone).centers_m, together.poses.centers_m)
    used = together.cameras[0]
    assert used is not None and (used.source, used.camera) == ("scene", OPTIONS.camera)
    assert np.isnan(together.confidence).all(), "the map was not calibrated"


def test_neighbours_are_the_key_photos_looked_at_best_first(room: Room, place: Place) -> None:
    estimates = build_estimator("structure:photos=4", place).estimate(asked(place, room, [QUERIES[0]]))
    similar = estimates.neighbours.similarities[0]
    assert len(similar) == 4 and (np.diff(similar) <= 0).all()
    assert set(estimates.neighbours.rows[0].tolist()) <= set(range(OPTIONS.mapping_frames))


def test_a_camera_that_is_given_is_used(room: Room, place: Place) -> None:
    estimator = build_estimator("structure", place)
    given = estimator.estimate(asked(place, room, [QUERIES[0]], cameras=[OPTIONS.camera]))
    assert given.cameras[0] is not None and given.cameras[0].source == "given"


def test_a_wrong_focal_length_that_a_person_named_is_not_overruled_but_said(room: Room, place: Place) -> None:
    estimates = build_estimator("structure", place).estimate(asked(place, room, [QUERIES[0]], focal_px=90.0))
    assert estimates.status[0] in (APPROXIMATE, NOT_LOCALIZED)
    assert "the focal length given (90 px) does not fit the photo" in estimates.notes[0]


def test_a_cropped_photo_gets_the_focal_length_it_needs(room: Room, localizer: Localizer) -> None:
    row = QUERIES[0]
    width, height = OPTIONS.width, OPTIONS.height
    cropped = room.photos[row][height // 8 : -height // 8, width // 8 : -width // 8]
    large = np.asarray(Image.fromarray(cropped).resize((width, height), Image.Resampling.BICUBIC))
    answer = localizer.localize([large])[0]
    assert answer.status == OK and answer.camera is not None and answer.camera.source == "estimated"
    assert answer.camera.camera.focal_px[0] == pytest.approx(OPTIONS.camera.focal_px[0] * 4 / 3, rel=0.03)
    assert answer.note is not None and "cropped or zoomed" in answer.note
    assert pose_errors(answer.pose, truth(room, row))[0][0] < 0.1


def test_a_photo_cropped_on_one_side_is_not_believed(room: Room, localizer: Localizer) -> None:
    corner = np.ascontiguousarray(room.photos[QUERIES[0]][: OPTIONS.height * 4 // 5, : OPTIONS.width * 3 // 5])
    answer = localizer.localize([corner])[0]
    assert answer.status != OK and answer.note is not None and "cropped on one side" in answer.note


def test_a_photo_of_another_shape_says_what_was_assumed(room: Room, localizer: Localizer) -> None:
    narrow = np.ascontiguousarray(room.photos[QUERIES[0]][:, 30:-30])
    answer = localizer.localize([narrow])[0]
    assert answer.status == OK and answer.note is not None and "focal length unknown" in answer.note
    assert answer.to_json()["camera"]["source"] == "estimated"


def test_a_mirrored_photo_is_not_localized_and_the_note_says_why(room: Room, localizer: Localizer) -> None:
    answer = localizer.localize([ImageOps.mirror(Image.fromarray(room.photos[QUERIES[0]]))])[0]
    assert (answer.status, answer.note) == (NOT_LOCALIZED, "the photo looks mirrored")
    assert not answer.pose.valid[0]


def test_a_photo_without_texture_is_at_best_approximate(localizer: Localizer) -> None:
    grey = np.full((OPTIONS.height, OPTIONS.width, 3), 128, dtype=np.uint8)
    answer = localizer.localize([grey])[0]
    assert answer.status in (APPROXIMATE, NOT_LOCALIZED)
    assert answer.note is not None and "hardly any texture" in answer.note


def test_what_structure_cannot_find_is_the_priors_answer_and_says_so(room: Room, place: Place) -> None:
    estimator = build_estimator("structure", place)
    assert isinstance(estimator, Structure)
    query = asked(place, room, [QUERIES[0]])
    blind = replace(query, images=[np.full((180, 240, 3), 90, np.uint8)])
    ours, priors = estimator.estimate(blind), estimator.prior.estimate(query)
    assert ours.status[0] == (APPROXIMATE if priors.poses.valid[0] else NOT_LOCALIZED)
    assert np.array_equal(ours.poses.centers_m, priors.poses.centers_m, equal_nan=True)


def test_embeddings_alone_are_not_enough(place: Place) -> None:
    with pytest.raises(BadInput, match="structure looks at photos"):
        build_estimator("structure", place).estimate(Query(place.store.vectors()[:1]))


def test_the_map_makes_the_method_available_and_leaves_the_default_fast(place: Place) -> None:
    assert "structure" in available_methods(place)
    assert default_method(place) == "robust"


def test_a_scene_without_points_says_which_command_makes_them(place: Place, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="irploc triangulate room"):
        build_estimator("structure", replace(place, workspace=Workspace(tmp_path)))


def test_a_map_of_another_version_of_the_scene_is_refused(room: Room, place: Place, tmp_path: Path) -> None:
    moved = Poses(room.point_map.poses.centers_m + 0.01, room.point_map.poses.world_from_cam_wxyz)
    save_map(replace(room.point_map, poses=moved), tmp_path / "moved.pt")
    with pytest.raises(Mismatch, match="another pose"):
        build_estimator("structure", place, tmp_path / "moved.pt")


def test_a_calibrated_map_announces_what_its_answers_are_worth(room: Room, place: Place, tmp_path: Path) -> None:
    known = {row: FeatureExtractor().extract(room.photos[row]) for row in range(OPTIONS.mapping_frames)}
    observations = Observations.of_map(room.point_map)
    learned = calibrate(place, observations, known.__getitem__)
    assert learned is not None and calibration_steps(place) > 0
    save_map(replace(room.point_map, calibration=learned), tmp_path / "calibrated.pt")
    estimates = build_estimator("structure", place, tmp_path / "calibrated.pt").estimate(asked(place, room, list(QUERIES)))
    assert estimates.status == (OK,) * len(QUERIES) and estimates.confidence.min() > 0.8
    metres = pose_errors(estimates.poses, room.scene.frames.poses[list(QUERIES)])[0]
    assert np.all(estimates.position_m < 10 * metres.max()) and np.all(estimates.position_m > 0)
    save_map(replace(room.point_map, calibration={**learned, "mean": [1.0]}), tmp_path / "damaged.pt")
    with pytest.raises(BadInput, match=r"damaged\.pt is damaged"):
        build_estimator("structure", place, tmp_path / "damaged.pt")


def test_features_of_mapping_photos_come_from_their_files(room: Room, place: Place) -> None:
    seen = features_of_photos(place, FeatureExtractor())(0)
    assert (seen.width, seen.height) == (OPTIONS.width, OPTIONS.height) and len(seen) > 100


def test_the_command_says_which_camera_it_used(workspace: Workspace, room: Room) -> None:
    photo = str(room.scene.frames.images[QUERIES[0]])
    base = ["--workspace", str(workspace.root), "localize", photo, "--method", "structure"]
    told = CliRunner().invoke(main, [*base, "--json"])
    assert told.exit_code == 0, told.output
    answer = json.loads(told.output)
    assert (answer["status"], answer["note"]) == ("ok", None)
    assert answer["camera"] == {
        "source": "scene",
        "model": "SIMPLE_PINHOLE",
        "width": OPTIONS.width,
        "height": OPTIONS.height,
        "params": list(OPTIONS.camera.params),
    }
    in_words = CliRunner().invoke(main, [*base, "--focal", str(OPTIONS.camera.focal_px[0])])
    assert f"focal {OPTIONS.camera.focal_px[0]:.0f} px as given" in in_words.output
    refused = CliRunner().invoke(main, [*base, "--focal", "-3"])
    assert refused.exit_code == 1 and "must be positive" in refused.output


def test_a_portrait_of_the_same_camera_is_turned(room: Room, place: Place) -> None:
    turned = np.ascontiguousarray(np.rot90(room.photos[QUERIES[0]]))
    query = replace(asked(place, room, [QUERIES[0]]), images=[turned])
    estimates = build_estimator("structure", place).estimate(query)
    assert estimates.status == (OK,)
    camera = estimates.cameras[0]
    assert camera is not None and camera.source == "scene" and isinstance(camera.camera, Camera)
    assert pose_errors(estimates.poses, truth(room, QUERIES[0]))[0][0] < NEAR_M
