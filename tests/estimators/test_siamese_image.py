"""The method on photos: the same poses from a saved model, whatever a photo comes as; and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_place import TinyEncoder
from toy_images import FROZEN, TRAINABLE, first_photos, trained, walk_pairs

from irploc import Localizer
from irploc.encoders.backbones import BACKBONES, random_state_dict
from irploc.encoders.weights import import_weights
from irploc.errors import BadInput, IrplocError, Mismatch, NotFound
from irploc.estimators.base import METHODS, Query
from irploc.estimators.build import Place, available_methods, build_estimator, open_place
from irploc.estimators.siamese import SiameseOptions
from irploc.estimators.siamese_calibration import calibrated_image_model
from irploc.estimators.siamese_image import SiameseImage
from irploc.evaluation.place import evaluate_place
from irploc.geometry.poses import Poses
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.scene import Scene
from irploc.training.loop import TrainingOptions
from irploc.training.siamese.image_model import ImageModel
from irploc.training.siamese.model import SiameseModel, save_siamese
from irploc.workspace import Workspace

pytestmark = pytest.mark.usefixtures("tiny_encoder")
HERE = Path("model.pt")


@pytest.fixture(scope="module")
def scene(toy_scene: Path) -> Scene:
    return first_photos(Scene.load(toy_scene), 8)


@pytest.fixture(scope="module")
def model(scene: Scene) -> SiameseModel:
    """Trained for two steps, backbone and heads."""
    return trained(scene, TRAINABLE, epochs=2)


@pytest.fixture(scope="module")
def place(scene: Scene, model: SiameseModel, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The place with embeddings of any encoder, of smaller photos, and the saved model."""
    root = tmp_path_factory.mktemp("place")
    home = Workspace(root)
    scene.save(root / "scenes/toy")
    options = EmbedOptions(augmentations=1, max_side=48)
    embed_scene(scene, root / "scenes/toy", home.embeddings("toy"), TinyEncoder(), options)
    save_siamese(model, home.model("toy", "siamese-image"))
    return open_place(home, "toy")


def queries(scene: Scene, split: str = "test") -> Query:
    photos = scene.frames.of_split(split)
    return Query(np.ones((len(photos), 16), dtype=np.float32), images=photos.images)


def method(model: SiameseModel, scene: Scene, **options: object) -> SiameseImage:
    loaded, mapping = ImageModel(model, HERE), scene.frames.of_split("train")
    return SiameseImage(loaded, np.arange(len(mapping)), mapping, SiameseOptions(**options))  # type: ignore[arg-type]


def same(first: Poses, second: Poses) -> bool:
    ours, theirs = (np.concatenate([poses.centers_m, poses.world_from_cam_wxyz], axis=1) for poses in (first, second))
    return bool(np.allclose(ours, theirs, atol=1e-6))


@pytest.mark.parametrize("spec", ["", ":lookup=pose", ":one_shot=false", ":one_shot=false:lookup=pose", ":max_iterations=0"])
def test_a_loaded_model_answers_as_the_one_that_was_saved(
    place: Place, model: SiameseModel, scene: Scene, spec: str
) -> None:
    loaded = build_estimator(f"siamese-image{spec}", place)
    assert isinstance(loaded, SiameseImage)
    answer = loaded.estimate(queries(scene))
    expected = SiameseImage(ImageModel(model, HERE), np.arange(8), scene.frames.of_split("train"), loaded.options)
    assert same(answer.poses, expected.estimate(queries(scene)).poses)
    assert answer.status == ("ok", "ok")
    assert np.isnan(answer.confidence).all()


def test_a_mapping_photo_is_most_similar_to_itself(model: SiameseModel, scene: Scene) -> None:
    found = method(model, scene, k=3).estimate(queries(scene, "train")).neighbours
    assert found.rows[:, 0].tolist() == list(range(8))
    np.testing.assert_allclose(found.similarities[:, 0], 1.0, atol=1e-5)
    assert (np.diff(found.similarities, axis=1) <= 0).all()


def test_the_forms_look_at_as_many_photos_as_they_are_told(model: SiameseModel, scene: Scene) -> None:
    shown = {
        name: method(model, scene, **options).estimate(queries(scene)).neighbours.rows.shape[1]
        for name, options in {
            "one shot": {"k": 4},
            "more than there are": {"k": 50, "lookup": "pose"},
            "absolute": {"max_iterations": 0},
            "most similar": {"one_shot": False, "lookup": "embedding"},
        }.items()
    }
    assert shown == {"one shot": 4, "more than there are": 8, "absolute": 0, "most similar": 1}


def test_poses_follow_from_features_by_the_heads(model: SiameseModel, scene: Scene) -> None:
    features = torch.from_numpy(ImageModel(model, HERE).features(scene.frames.of_split("test").images))
    assert same(method(model, scene, max_iterations=0).estimate(queries(scene)).poses, model.absolute(features))
    nearest = method(model, scene, k=1).estimate(queries(scene))
    rows = nearest.neighbours.rows[:, 0]
    near = model.extra["mapping_features"][torch.from_numpy(rows)]
    expected = model.from_photos(features, near, scene.frames.of_split("train").poses[rows])
    assert same(nearest.poses, expected)


def test_a_photo_may_come_as_a_path_an_image_or_an_array_and_alone_or_with_others(model: SiameseModel, scene: Scene) -> None:
    estimator, photos = method(model, scene), scene.frames.of_split("test").images
    paths = estimator.estimate(queries(scene)).poses
    vectors = np.ones((2, 16), dtype=np.float32)
    with Image.open(photos[1]) as second:
        mixed = estimator.estimate(Query(vectors, images=[np.asarray(Image.open(photos[0]).convert("RGB")), second])).poses
    assert same(paths, mixed)
    alone = estimator.estimate(Query(vectors[:1], images=photos[1:])).poses
    assert np.allclose(alone.centers_m, paths.centers_m[1:], atol=1e-3)
    assert len(estimator.estimate(Query(vectors[:0]))) == 0


def test_the_order_of_the_places_photos_does_not_matter(model: SiameseModel, scene: Scene) -> None:
    loaded, mapping = ImageModel(model, HERE), scene.frames.of_split("train")
    turned = mapping[np.arange(8)[::-1]]
    estimator = SiameseImage(loaded, loaded.rows_of(turned.names, HERE), turned, SiameseOptions(k=3))
    assert same(estimator.estimate(queries(scene)).poses, method(model, scene, k=3).estimate(queries(scene)).poses)


def test_embeddings_alone_are_not_enough(model: SiameseModel, scene: Scene) -> None:
    with pytest.raises(BadInput, match=r"^siamese-image looks at photos, and got embeddings of 2 alone"):
        method(model, scene).estimate(Query(np.ones((2, 16), dtype=np.float32)))


def test_the_localizer_and_the_evaluation_give_it_the_whole_photos(place: Place, model: SiameseModel, scene: Scene) -> None:
    expected = method(model, scene).estimate(queries(scene)).poses
    photos = scene.frames.of_split("test").images
    localizer = Localizer.open("toy", "siamese-image", workspace=place.workspace.root)
    for given in ([photos[0], str(photos[1])], [Image.open(photo) for photo in photos]):
        answers = localizer.localize(given)
        assert same(Poses.concatenate([answer.pose for answer in answers]), expected)
        assert answers[0].confidence is None
    evaluation = evaluate_place(place, ["siamese-image", "nearest"])
    assert same(evaluation.results["siamese-image"].estimates.poses, expected)
    assert "siamese-image" in available_methods(place)


def test_another_place_is_refused(place: Place, model: SiameseModel, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    for changed, words in (
        ({"mapping_fingerprint": "0"}, "was trained on other mapping photos or poses of scene 'toy'"),
        ({"mapping_fingerprint": "0", "scene": "hall"}, "was trained on scene 'hall', this is 'toy'"),
    ):
        save_siamese(replace(model, identity={**model.identity, **changed}), path)
        with pytest.raises(Mismatch, match=words):
            build_estimator("siamese-image", place, path)
    save_siamese(replace(model, identity={**model.identity, "encoder": "any", "dimension": 3}), path)
    build_estimator("siamese-image", place, path)  # the encoder of the embeddings has no part in it
    with pytest.raises(Mismatch, match=r"knows 1 of 2 mapping photos not, first new\.jpg"):
        ImageModel(model, HERE).rows_of([model.extra["names"][0], "new.jpg"], HERE)


def damaged(model: SiameseModel, **changes: object) -> SiameseModel:
    return replace(model, extra={**model.extra, **changes})


def test_files_that_are_not_such_models_are_refused_in_one_line(place: Place, model: SiameseModel, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    without = {name: value for name, value in model.extra.items() if name != "trunk.conv1.weight"}
    wrong = {
        "is damaged: 'names'": replace(model, extra={}),
        "is damaged: .*state_dict": replace(model, extra=without),
        "is damaged: it has .* features of 8 photos": damaged(model, mapping_features=torch.zeros(3, 512)),
        "is a model of the method siamese, not siamese-image": replace(model, method="siamese"),
    }
    for words, other in wrong.items():
        save_siamese(other, path)
        with pytest.raises(IrplocError, match=words) as found:
            build_estimator("siamese-image", place, path)
        assert "\n" not in str(found.value)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadInput, match="train again with 'irploc train siamese-image'"):
        build_estimator("siamese-image", place, path)
    path.unlink()
    with pytest.raises(NotFound, match=r"train it with 'irploc train siamese-image .*toy.h5'"):
        build_estimator("siamese-image", place, path)


def test_changed_weights_of_the_trunk_are_noticed(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    content = torch.load(place.model_path("siamese-image"), weights_only=True)
    content["extra"]["trunk.conv1.weight"][0, 0, 0, 0] += 1
    torch.save(content, path)
    with pytest.raises(BadInput, match="its weights are not those that were written"):
        build_estimator("siamese-image", place, path)


def test_a_frozen_backbone_is_found_again_by_the_hash_of_its_weights(
    place: Place, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IRPLOC_WEIGHTS", str(tmp_path / "weights"))
    for seed in (1, 2):
        torch.save(random_state_dict(BACKBONES["resnet18"], seed), tmp_path / f"{seed}.pth")
    located = import_weights(tmp_path / "1.pth", "resnet18")
    frozen = trained(scene, replace(FROZEN, random_weights=False))
    path = tmp_path / "model.pt"
    save_siamese(frozen, path)
    assert path.stat().st_size < 2e6
    answer = build_estimator("siamese-image", place, path).estimate(queries(scene, "train"))
    assert answer.neighbours.rows[:, 0].tolist() == list(range(8))
    import_weights(tmp_path / "2.pth", "resnet18")
    with pytest.raises(Mismatch, match=f"was trained on weights {located.sha256[:12]}… of resnet18"):
        build_estimator("siamese-image", place, path)
    located.path.unlink()
    with pytest.raises(NotFound, match="'irploc weights fetch resnet18'"):
        build_estimator("siamese-image", place, path)


def test_the_method_is_listed_with_the_options_of_siamese() -> None:
    listed = METHODS.get("siamese-image")
    assert (listed.options, listed.needs_model) == (SiameseOptions, True)


def test_a_frozen_backbone_leaves_photos_to_learn_confidence_from(toy_scene: Path) -> None:
    scene = first_photos(Scene.load(toy_scene), 24)
    mapping, pairs = scene.frames.of_split("train"), walk_pairs(24)
    plain = trained(scene, FROZEN, epochs=10)
    known = calibrated_image_model(plain, mapping, pairs, TrainingOptions())
    assert set(known.calibrations) == {"absolute", "iterative", "one_shot"}
    answers, before = (method(model, scene).estimate(queries(scene)) for model in (known, plain))
    kept = np.array(answers.status) == "ok"
    assert same(answers.poses[kept], before.poses[kept])
    assert ((answers.confidence >= 0) & (answers.confidence <= 1)).all()
    assert np.isfinite(answers.position_m[kept]).all()
    assert np.isnan(before.confidence).all()
    assert np.isnan(method(known, scene, k=3).estimate(queries(scene)).confidence).all()  # not what was calibrated
    doubted = replace(known, calibrations={"one_shot": {**known.calibrations["one_shot"], "limit": 1e-9}})
    refused = method(doubted, scene).estimate(queries(scene))
    assert set(refused.status) == {"not_localized"}
    assert np.isnan(refused.poses.centers_m).all()
    seen_all = replace(plain, extra={**plain.extra, "frozen": False})
    assert not calibrated_image_model(seen_all, mapping, pairs, TrainingOptions()).calibrations


def test_few_photos_teach_no_confidence(scene: Scene) -> None:
    plain = trained(scene, FROZEN)
    assert not calibrated_image_model(plain, scene.frames.of_split("train"), walk_pairs(8), TrainingOptions()).calibrations
