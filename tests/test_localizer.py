from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_place import TinyEncoder

from irploc import Localizer
from irploc.errors import BadInput, IrplocError, Mismatch, NotFound
from irploc.estimators.base import APPROXIMATE, NOT_LOCALIZED, PoseEstimates, PoseEstimator, Query
from irploc.estimators.build import available_methods, default_method, open_place
from irploc.geometry.poses import Poses
from irploc.images import EncodedPhoto
from irploc.localizer.decoding import decode_photo
from irploc.localizer.localizer import Served
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.scene import Scene
from irploc.synthetic import PlaceOptions, write_place
from irploc.training.dataset import TrainingSet
from irploc.training.loop import TrainingOptions, train
from irploc.training.modelfile import PoseRegressor, save_model
from irploc.training.recipes import recipe
from irploc.workspace import Workspace

pytestmark = pytest.mark.usefixtures("tiny_encoder")


@pytest.fixture(scope="module")
def scene(toy_scene: Path) -> Scene:
    return Scene.load(toy_scene)


@pytest.fixture(scope="module")
def workspace(toy_scene: Path, scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    home = Workspace(tmp_path_factory.mktemp("workspace"))
    embed_scene(scene, toy_scene, home.embeddings("toy"), TinyEncoder(), EmbedOptions(augmentations=1, dtype="float32"))
    return home


@pytest.fixture(scope="module")
def localizer(workspace: Workspace) -> Localizer:
    return Localizer.open(method="nearest", workspace=workspace.root)


def test_a_mapping_photo_is_found_at_its_own_pose(localizer: Localizer, scene: Scene) -> None:
    rows = np.flatnonzero(scene.frames.splits == "train")[:5]
    answers = localizer.localize([scene.frames.images[row] for row in rows])
    for row, answer in zip(rows, answers, strict=True):
        assert np.allclose(answer.pose.centers_m[0], scene.frames.poses.centers_m[row])
        assert answer.neighbours[0][0] == scene.frames.names[row]
        assert answer.neighbours[0][1] == pytest.approx(1, abs=1e-4)


def test_the_json_has_the_promised_fields_and_its_two_poses_agree(localizer: Localizer, scene: Scene) -> None:
    answer = localizer.localize([scene.frames.images[0]])[0].to_json()
    fields = (
        "image status method scene units center_m world_from_cam_wxyz cam_from_world confidence expected_error spread "
        "corrected outside_m plane_pose camera note neighbours timing_ms"
    )
    assert list(answer) == fields.split()
    assert list(answer["timing_ms"]) == ["decode", "encode", "estimate"]
    assert (answer["status"], answer["method"], answer["scene"], answer["spread"]) == ("ok", "nearest", "toy", None)
    assert 0 < answer["confidence"] < 1
    assert list(answer["expected_error"]) == ["position_m", "rotation_deg"]
    assert answer["expected_error"]["position_m"] > 0
    from irploc.geometry import rotations

    qvec, tvec = answer["cam_from_world"]["qvec_wxyz"], answer["cam_from_world"]["tvec_m"]
    assert np.allclose(rotations.rotate(qvec, answer["center_m"]) + tvec, 0, atol=1e-12), "the centre maps to the origin"
    assert np.allclose(rotations.conjugate(qvec), answer["world_from_cam_wxyz"])


def test_paths_pil_images_and_arrays_give_the_same_answer(localizer: Localizer, scene: Scene) -> None:
    path = scene.frames.images[-1]
    photo = Image.open(path)
    answers = localizer.localize([path, str(path), photo, np.asarray(photo.convert("RGB"))])
    centers = np.concatenate([answer.pose.centers_m for answer in answers])
    assert np.allclose(centers, centers[0], atol=1e-6)


def test_photos_of_many_sizes_are_answered_in_order(localizer: Localizer, scene: Scene, tmp_path: Path) -> None:
    paths = []
    for number, row in enumerate([0, 9, 4, 17]):
        photo = Image.open(scene.frames.images[row]).resize((96 + 8 * (number % 3), 72))
        paths.append(tmp_path / f"{number}.png")
        photo.save(paths[-1])
    answers = localizer.localize(paths)
    assert [answer.image for answer in answers] == [str(path) for path in paths]
    assert [answer.neighbours[0][0] for answer in answers] == [scene.frames.names[row] for row in (0, 9, 4, 17)]


def test_an_unreadable_photo_does_not_stop_the_others(localizer: Localizer, scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "note.jpg").write_text("not an image")
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    good = scene.frames.images[3]
    answers = list(localizer.localize_many([good, tmp_path / "note.jpg", tmp_path / "dot.png", tmp_path / "gone.jpg", good]))
    assert [isinstance(answer, IrplocError) for answer in answers] == [False, True, True, True, False]
    assert "is not an image" in str(answers[1])
    assert "1x1" in str(answers[2])
    assert "no image" in str(answers[3])
    with pytest.raises(BadInput, match="not an image"):
        localizer.localize([tmp_path / "note.jpg"])


def test_a_float_array_is_refused_with_its_shape(localizer: Localizer) -> None:
    with pytest.raises(BadInput, match="float64 array of shape"):
        localizer.localize([np.zeros((72, 96, 3))])


def test_changed_weights_are_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TinyEncoder, "weights_sha256", "0123456789abcdef")
    with pytest.raises(Mismatch, match="those here are 0123456789ab"):
        Localizer.open("toy", method="nearest", workspace=workspace.root)


def test_another_preprocessing_is_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TinyEncoder, "preprocessing", "9x9 means")
    with pytest.raises(Mismatch, match="preprocessing '8x8 means', tiny now has '9x9 means'"):
        Localizer.open("toy", method="nearest", workspace=workspace.root)


def test_without_a_model_the_default_is_robust_and_a_default_k_fits(workspace: Workspace) -> None:
    place = open_place(workspace, "toy")
    assert default_method(place) == "robust"
    assert available_methods(place) == ["nearest", "ewb", "csi", "bdi:k=24", "robust"], "24 mapping photos, fewer than 25"
    place.store.close()


def test_a_model_alone_says_which_method_is_meant(workspace: Workspace, tmp_path: Path) -> None:
    place = open_place(workspace, "toy")
    data = TrainingSet.from_store(place.store)
    place.store.close()
    chosen = recipe("fast", "indoor", epochs=1, width=32)
    trained = train(data, "mlp", chosen, TrainingOptions(0))
    regressor = PoseRegressor("mlp", trained.heads, chosen, 0, data.identity, {})
    save_model(regressor, tmp_path / "m.pt")
    assert Localizer.open("toy", model=tmp_path / "m.pt", workspace=workspace.root).method == "mlp"
    save_model(regressor, workspace.model("toy", "mlp"))
    place = open_place(workspace, "toy")
    assert available_methods(place)[-2:] == ["mlp", "fused"]
    assert default_method(place) == "fused"
    place.store.close()
    assert Localizer.open("toy", workspace=workspace.root).method == "fused"
    workspace.model("toy", "mlp").unlink()


def test_of_several_scenes_the_one_that_fits_answers(
    workspace: Workspace, scene: Scene, toy_scene: Path, tmp_path: Path
) -> None:
    home = Workspace(tmp_path)
    other = write_place(tmp_path / "scenes/other", PlaceOptions(96, 72, mapping_frames=12, test_frames=2, seed=5))
    options = EmbedOptions(augmentations=1, dtype="float32")
    embed_scene(scene, toy_scene, home.embeddings("toy"), TinyEncoder(), options)
    embed_scene(other, tmp_path / "scenes/other", home.embeddings("other"), TinyEncoder(), options)
    (home.root / "scenes/toy").symlink_to(toy_scene)
    localizer = Localizer.open(method="nearest", workspace=home.root)
    photos = [other.frames.images[3], scene.frames.images[2], other.frames.images[0]]
    answers = localizer.localize(photos)
    assert [answer.scene for answer in answers] == ["other", "toy", "other"]
    assert answers[1].neighbours[0][0] == scene.frames.names[2]
    assert np.allclose(answers[2].pose.centers_m[0], other.frames.poses.centers_m[0])
    with pytest.raises(BadInput, match=r"several scenes \(other, toy\): choose one with --scene"):
        Localizer.open(model=tmp_path / "some.pt", workspace=home.root)
    home.embeddings("other").unlink()
    embed_scene(other, tmp_path / "scenes/other", home.embeddings("other"), TinyEncoder(), replace(options, max_side=64))
    with pytest.raises(BadInput, match=r"several scenes \(other, toy\), embedded in different ways"):
        Localizer.open(workspace=home.root)


class _Refuses:
    """A method to which everything is another place."""

    def __init__(self, estimator: PoseEstimator) -> None:
        self._estimator = estimator

    def estimate(self, query: Query) -> PoseEstimates:
        estimates = self._estimator.estimate(query)
        nowhere = Poses(np.full((len(query), 3), np.nan), np.full((len(query), 4), np.nan))
        return replace(estimates, poses=nowhere, status=(NOT_LOCALIZED,) * len(query))


def test_where_the_most_similar_scene_refuses_the_next_one_is_asked(localizer: Localizer, scene: Scene) -> None:
    served = localizer.scenes[0]
    refusing = replace(served, method="refusing", estimator=_Refuses(served.estimator))
    photo = [scene.frames.images[3]]
    assert Localizer([refusing, served], localizer.encoder).localize(photo)[0].method == "nearest"
    assert Localizer([served, refusing], localizer.encoder).localize(photo)[0].method == "nearest"
    both = Localizer([refusing, replace(refusing, method="second")], localizer.encoder).localize(photo)[0]
    assert (both.status, both.method) == ("not_localized", "refusing")


class _Doubts:
    """A method that stands by none of its poses."""

    def __init__(self, estimator: PoseEstimator) -> None:
        self._estimator = estimator

    def estimate(self, query: Query) -> PoseEstimates:
        return replace(self._estimator.estimate(query), status=(APPROXIMATE,) * len(query))


def test_an_approximate_answer_of_one_scene_yields_to_one_that_another_stands_by(localizer: Localizer, scene: Scene) -> None:
    served, photo = localizer.scenes[0], [scene.frames.images[3]]
    doubting = replace(served, method="doubting", estimator=_Doubts(served.estimator))
    refusing = replace(served, method="refusing", estimator=_Refuses(served.estimator))

    def answer(*scenes: Served) -> tuple[str, str]:
        found = Localizer(scenes, localizer.encoder).localize(photo)[0]
        return found.status, found.method

    assert answer(doubting, served) == ("ok", "nearest")
    assert answer(served, doubting) == ("ok", "nearest")
    assert answer(refusing, doubting) == answer(doubting, refusing) == ("approximate", "doubting")
    assert answer(doubting, replace(doubting, method="second")) == ("approximate", "doubting"), "the more similar scene's"


def test_a_model_for_a_method_that_has_none_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"method 'robust' has no model: leave .*other\.pt out"):
        Localizer.open("toy", method="robust", model=tmp_path / "other.pt", workspace=workspace.root)


def test_a_scene_is_found_by_its_folder_too(workspace: Workspace, toy_scene: Path) -> None:
    assert Localizer.open(str(toy_scene), "nearest", workspace=workspace.root).scenes[0].place.name == "toy"


def test_an_unknown_scene_or_method_is_refused(workspace: Workspace) -> None:
    with pytest.raises(NotFound, match="no embeddings file"):
        Localizer.open("elsewhere", workspace=workspace.root)
    with pytest.raises(NotFound, match="unknown method"):
        Localizer.open("toy", method="magic", workspace=workspace.root)


def test_the_embeddings_are_free_for_writing_while_a_localizer_is_open(
    localizer: Localizer, workspace: Workspace, scene: Scene, toy_scene: Path
) -> None:
    report = embed_scene(
        scene, toy_scene, workspace.embeddings("toy"), TinyEncoder(), EmbedOptions(augmentations=1, dtype="float32")
    )
    assert report.embedded == 0
    assert localizer.localize([scene.frames.images[0]])[0].status == "ok"


def test_an_opened_photo_is_turned_and_converted_like_its_file(localizer: Localizer, scene: Scene, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.png"
    Image.open(scene.frames.images[3]).transpose(Image.Transpose.ROTATE_90).convert("RGBA").save(path, exif=exif)
    from_file, opened, upright = localizer.localize([path, Image.open(path), scene.frames.images[3]])
    assert np.array_equal(from_file.pose.centers_m, opened.pose.centers_m)
    assert from_file.neighbours == opened.neighbours
    assert opened.neighbours[0][1] == pytest.approx(upright.neighbours[0][1], abs=1e-6)


def test_a_photo_of_a_larger_camera_is_reduced_to_the_size_of_the_mapping_photos(localizer: Localizer, scene: Scene) -> None:
    photo = Image.open(scene.frames.images[3])
    assert localizer.max_side == max(photo.size)
    large = photo.resize((3 * photo.width, 3 * photo.height), Image.Resampling.BICUBIC)
    decoded = decode_photo(large, "large", localizer.max_side)
    assert decoded.shape == (3, photo.height, photo.width)
    assert decoded.in_full_size is None
    native = decode_photo(photo, "native", localizer.max_side)
    assert native.in_full_size is not None and native.in_full_size.shape == (photo.height, photo.width, 3)
    assert localizer.localize([large])[0].neighbours[0][0] == scene.frames.names[3]


def test_a_photo_in_memory_is_answered_like_its_file(localizer: Localizer, scene: Scene) -> None:
    path = scene.frames.images[4]
    from_file, in_memory = localizer.localize([path, EncodedPhoto("mine.png", path.read_bytes())])
    assert in_memory.image == "mine.png"
    assert np.array_equal(from_file.pose.centers_m, in_memory.pose.centers_m)


def test_what_is_no_list_of_photos_is_refused(localizer: Localizer) -> None:
    with pytest.raises(BadInput, match="takes a list of photos"):
        localizer.localize("photo.jpg")
    with pytest.raises(BadInput, match="image 0 is a int, expected a path"):
        localizer.localize([7])  # type: ignore[list-item]
    with pytest.raises(BadInput, match=r"array of shape \(0, 5, 3\)"):
        localizer.localize([np.zeros((0, 5, 3), dtype=np.uint8)])


def test_another_kind_of_encoder_is_not_the_one_that_moved(workspace: Workspace) -> None:
    with pytest.raises(Mismatch, match="was made with tiny, not densevlad"):
        Localizer.open(method="nearest", workspace=workspace.root, encoder="densevlad")
