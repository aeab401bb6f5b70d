from __future__ import annotations

from dataclasses import replace

import faiss
import numpy as np
import pytest

from irploc.errors import BadInput
from irploc.estimators.base import Query
from irploc.estimators.calibration import Calibration
from irploc.estimators.siamese import Siamese, SiameseInference, SiameseOptions
from irploc.estimators.siamese_calibration import calibrated_model
from irploc.geometry.poses import Poses, pose_errors
from irploc.retrieval.index import PlaceIndex
from irploc.scene import Frames
from irploc.training.dataset import TrainingSet
from irploc.training.loop import TrainingOptions
from irploc.training.siamese.code import PoseCode
from irploc.training.siamese.lesson import CorrelatedPairs
from irploc.training.siamese.model import SiameseModel
from irploc.training.siamese.network import SiameseNetwork
from irploc.training.siamese.recipes import siamese_recipe

RECIPE = siamese_recipe("fast", absolute_widths=(4,), relative_widths=(4,), epochs=1, minimum_steps=5, batch_size=16)
TRUTH = np.array([[0.5, 0.0, 0.0], [2.5, 0.0, 0.0], [4.4, 0.0, 0.0]])
"""Places of three queries on a line of photos a metre apart."""


def line(centers_m: np.ndarray) -> Poses:
    return Poses(centers_m, np.tile([1.0, 0.0, 0.0, 0.0], (len(centers_m), 1)))


def embeddings_of(centers_m: np.ndarray) -> np.ndarray:
    """Unit vectors on an arc: 0.1 rad a metre."""
    angle = 0.1 * centers_m[:, 0]
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def model_that_says(absolute_m: float, relative_share: float) -> SiameseModel:
    """Its absolute head says x = 10 sin(angle) + absolute_m, nearly right but for that; its relative head, that share of
    the true difference."""
    network = SiameseNetwork(2, (4,), (4,), 0.0, True, True, (0.0, 0.0)).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.zero_()
    network.first.location.bias[0] = absolute_m
    for name, share in (("first", 1.0), ("between", relative_share)):
        network.lanes[name].weight[0, 1] = 10.0 * share
    return SiameseModel("siamese", network, PoseCode("difference"), RECIPE, 0, {"dimension": 2}, {}, {})


def index_of(centers_m: np.ndarray) -> PlaceIndex:
    vectors, count = embeddings_of(centers_m), len(centers_m)
    frames = Frames(
        images=tuple(f"{row}.jpg" for row in range(count)),  # type: ignore[arg-type]
        names=tuple(f"{row}.jpg" for row in range(count)),
        sequences=np.array(["walk"] * count),
        indices=np.arange(count),
        splits=np.array(["train"] * count),
        cameras=("",) * count,
        poses=line(centers_m),
    )
    flat = faiss.IndexFlatIP(2)
    flat.add(vectors)
    return PlaceIndex(frames, vectors, flat, "flat")


LINE = np.stack([np.arange(6.0), np.zeros(6), np.zeros(6)], axis=1)
INDEX = index_of(LINE)
QUERY = Query(embeddings_of(TRUTH))


def test_no_iteration_is_the_absolute_head() -> None:
    model = model_that_says(0.3, 1.0)
    answer = Siamese(model, INDEX, SiameseOptions(max_iterations=0)).answer(QUERY.embeddings)
    assert np.allclose(answer.poses.centers_m, model.absolute(model.features(QUERY.embeddings)).centers_m)
    assert answer.iterations.tolist() == [0, 0, 0]


def test_iterating_corrects_a_wrong_absolute_pose_and_stops_when_a_photo_repeats() -> None:
    """Off by 2 m, the absolute pose leads to another photo; the relative pose from it leads to the nearest one; that one
    repeats."""
    options = SiameseOptions(one_shot=False)
    answer = Siamese(model_that_says(2.0, 1.0), INDEX, options).answer(QUERY.embeddings)
    assert pose_errors(answer.poses, line(TRUTH))[0].max() < 0.05
    assert answer.iterations.max() == 2
    assert (answer.rows[:, 0] >= 0).any()


def test_at_most_so_many_iterations_are_made() -> None:
    inference = SiameseInference(model_that_says(2.0, 0.5), INDEX.vectors, INDEX.frames.poses)
    features = inference.features(QUERY.embeddings)
    taken = [inference.iterate(features, most).iterations.max() for most in (1, 2, 5)]
    assert taken[0] == 1
    assert taken[1] == 2
    assert taken[2] == 2  # by then a photo repeats
    alone, one = inference.iterate(features, 0), inference.iterate(features, 1)
    assert np.allclose(alone.poses.centers_m, inference.absolute(features).poses.centers_m)
    nearest = inference.nearest(alone.poses, 1)
    assert np.array_equal(one.rows, nearest)


def test_photos_that_repeat_stop_their_own_query_only() -> None:
    """The first query's pose stays where it is, the others' wander: their numbers of iterations differ."""
    model = model_that_says(0.0, 1.0)
    inference = SiameseInference(model, INDEX.vectors, INDEX.frames.poses)
    features = inference.features(np.concatenate([embeddings_of(LINE[[2]]), QUERY.embeddings]))
    answer = inference.iterate(features, 5)
    assert answer.iterations[0] == 1
    assert np.allclose(answer.poses.centers_m[0], LINE[2], atol=0.1)


def test_one_shot_is_the_consensus_of_the_most_similar_photos() -> None:
    answer = Siamese(model_that_says(2.0, 1.0), INDEX, SiameseOptions(k=3)).answer(QUERY.embeddings)
    assert pose_errors(answer.poses, line(TRUTH))[0].max() < 0.05
    assert sorted(answer.rows[1].tolist()) in ([1, 2, 3], [2, 3, 4])


def test_more_neighbours_than_photos_are_all_photos() -> None:
    answer = Siamese(model_that_says(0.0, 1.0), INDEX, SiameseOptions(k=100)).answer(QUERY.embeddings)
    assert answer.rows.shape == (3, 6)


def test_both_lookups_take_the_photos_they_say() -> None:
    model = model_that_says(3.0, 0.0)
    by_pose = Siamese(model, INDEX, SiameseOptions(k=1, lookup="pose")).answer(QUERY.embeddings)
    by_embedding = Siamese(model, INDEX, SiameseOptions(k=1)).answer(QUERY.embeddings)
    assert by_pose.rows[:, 0].tolist()[0] in (3, 4)
    assert by_embedding.rows[:, 0].tolist()[0] in (0, 1)


def test_the_estimates_name_the_photos_that_were_looked_at() -> None:
    estimates = Siamese(model_that_says(0.0, 1.0), INDEX, SiameseOptions(k=2)).estimate(QUERY)
    assert estimates.neighbours.rows.shape == (3, 2)
    assert np.allclose(estimates.neighbours.similarities[0], np.cos(0.05), atol=1e-6)
    assert estimates.status == ("ok",) * 3
    assert np.isnan(estimates.confidence).all()
    nobody = Siamese(model_that_says(0.0, 1.0), INDEX, SiameseOptions(k=2)).estimate(Query(np.zeros((0, 2), np.float32)))
    assert len(nobody) == 0


def calibrated(data: TrainingSet, index: PlaceIndex) -> SiameseModel:
    rows = np.array([[i, j] for i in range(len(data)) for j in range(i + 1, min(i + 7, len(data)))])
    model = replace(model_that_says(0.0, 1.0), identity={"dimension": data.dimension})
    return calibrated_model(model, data, index, CorrelatedPairs(rows, 40.0, ""), TrainingOptions(0))


def test_every_form_learns_what_its_answers_are_worth() -> None:
    centers = np.stack([np.linspace(0, 5, 40), np.zeros(40), np.zeros(40)], axis=1)
    index = index_of(centers)
    data = TrainingSet(index.vectors[:, None], index.frames.poses, index.frames.sequences, index.frames.indices)
    model = calibrated(data, index)
    assert set(model.calibrations) == {"absolute", "iterative", "relative", "one_shot"}
    few = TrainingSet(data.embeddings[:10], data.poses[:10], data.sequences[:10], data.indices[:10])
    assert not calibrated(few, index_of(centers[:10])).calibrations


def test_the_one_shot_lies_between_the_absolute_and_the_relative_pose() -> None:
    """The absolute head is 1 m off, the relative one right, and both are expected to err alike."""
    alike = {
        "mean": [0.0] * 9,
        "spread": [1.0] * 9,
        "position": [0.0] * 10,
        "rotation": [0.0] * 10,
        "chance": [0.0] * 3,
        "limit": 2.0,
    }
    model = replace(model_that_says(1.0, 1.0), calibrations={"absolute": alike, "relative": alike})
    found = Siamese(model, INDEX, SiameseOptions(k=3)).answer(QUERY.embeddings).poses
    assert np.allclose(found.centers_m[:, 0] - TRUTH[:, 0], 0.5, atol=0.1)
    sure = {**alike, "position": [-3.0, *[0.0] * 9]}
    surer = replace(model, calibrations={"absolute": alike, "relative": sure})
    found = Siamese(surer, INDEX, SiameseOptions(k=3)).answer(QUERY.embeddings).poses
    assert np.allclose(found.centers_m[:, 0], TRUTH[:, 0], atol=0.05)


def test_by_embedding_one_relative_pose_is_all_since_the_photo_repeats() -> None:
    options = SiameseOptions(one_shot=False, lookup="embedding")
    answer = Siamese(model_that_says(2.0, 1.0), INDEX, options).answer(QUERY.embeddings)
    assert answer.iterations.tolist() == [1, 1, 1]
    assert answer.rows[:, 0].tolist() == INDEX.search(QUERY.embeddings, 1)[0][:, 0].tolist()
    assert pose_errors(answer.poses, line(TRUTH))[0].max() < 0.05


def test_a_model_that_learned_nothing_expects_larger_errors() -> None:
    centers = np.stack([np.linspace(0, 5, 40), np.zeros(40), np.zeros(40)], axis=1)
    index = index_of(centers)
    data = TrainingSet(index.vectors[:, None], index.frames.poses, index.frames.sequences, index.frames.indices)
    rows = np.array([[i, j] for i in range(40) for j in range(i + 1, min(i + 7, 40))])
    expected = []
    for steps, rate in ((60, 1e-2), (1, 1e-9)):
        recipe = replace(RECIPE, minimum_steps=steps, learning_rate=rate, lane=False, ridge=0.0, antisymmetric=False)
        model = replace(model_that_says(0.0, 1.0), recipe=recipe)
        model = calibrated_model(model, data, index, CorrelatedPairs(rows, 40.0, ""), TrainingOptions(0))
        expected.append(np.exp(Calibration.from_plain(model.calibrations["absolute"]).position[0]))
    assert expected[1] > 1.5 * expected[0]


@pytest.mark.parametrize("wrong", [{"lookup": "colour"}, {"k": 0}, {"max_iterations": -1}])
def test_impossible_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        SiameseOptions(**wrong)  # type: ignore[arg-type]
