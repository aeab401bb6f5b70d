from __future__ import annotations

import numpy as np

from irploc.geometry.poses import Poses
from irploc.training.dataset import TrainingSet, Views
from irploc.training.recipes import recipe
from irploc.training.views import with_epochs_for_views


def poses(count: int, start: float = 0.0) -> Poses:
    return Poses(start + np.arange(3.0 * count).reshape(count, 3), np.tile([1.0, 0, 0, 0], (count, 1)))


def photos() -> TrainingSet:
    """Two photos in two versions, the second version of each turned a little."""
    plain, jittered = np.eye(3)[:2], np.array([[0.8, 0.0, 0.6], [0.0, 0.8, 0.6]])
    embeddings = np.stack([plain, jittered], axis=1).astype(np.float32)
    return TrainingSet(embeddings, poses(2), np.array(["a", "a"]), np.arange(2))


def with_view(parent: int) -> TrainingSet:
    data = photos()
    views = Views(np.array([[0.6, 0.8, 0.0]], np.float32), poses(1, 100.0), np.array([parent]))
    return TrainingSet(data.embeddings, data.poses, data.sequences, data.indices, views=views)


def test_a_view_gets_what_jitter_changed_in_its_photo() -> None:
    data = with_view(0)
    rows = data.row_embeddings()
    assert data.rows == 3 and len(data) == 2 and rows.shape == (3, 2, 3)
    np.testing.assert_allclose(rows[2, 0], [0.6, 0.8, 0.0], atol=1e-6)
    moved = np.array([0.6 - 0.2, 0.8, 0.6])  # jitter took 0.2 from the first component and gave 0.6 to the third
    np.testing.assert_allclose(rows[2, 1], moved / np.linalg.norm(moved), atol=1e-6)
    np.testing.assert_array_equal(rows[:2], data.embeddings)
    np.testing.assert_array_equal(data.row_poses().centers_m[2], [100.0, 101.0, 102.0])
    assert data.row_photos().tolist() == [0, 1, 0]


def test_views_leave_with_their_photo() -> None:
    kept = np.array([False, True])
    assert with_view(0).only(kept).rows == 1
    staying = with_view(1).only(kept)
    assert staying.rows == 2 and staying.views is not None and staying.views.parents.tolist() == [0]


def test_a_checkpoint_of_a_training_without_views_is_not_taken_for_one_with_them() -> None:
    assert with_view(0).fingerprint != photos().fingerprint
    assert photos().row_embeddings() is not None and photos().rows == 2


def test_a_training_on_views_goes_through_them_often_enough_and_the_published_recipe_stays_as_it_is() -> None:
    fast, paper = recipe("fast", "indoor"), recipe("paper", "indoor")
    assert with_epochs_for_views(fast).total_steps(5600) == 50 * fast.steps_per_epoch(5600)
    assert with_epochs_for_views(paper) == paper
