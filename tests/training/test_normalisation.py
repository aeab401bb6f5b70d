"""Maps fold into layers without changing what a network gives."""

from __future__ import annotations

import numpy as np
import torch

from irploc.geometry.poses import Poses
from irploc.training.models import ORIENTATION, POSITION, IRPNet
from irploc.training.normalisation import InputMap, TargetMap, poses_of, targets_of


def _embeddings(images: int = 20, versions: int = 3, dimension: int = 12) -> torch.Tensor:
    return torch.randn(images, versions, dimension, generator=torch.Generator().manual_seed(1))


def test_a_folded_first_layer_gives_on_embeddings_what_it_gave_on_their_components() -> None:
    embeddings = _embeddings()
    found = InputMap.fit(embeddings, 5, torch.Generator().manual_seed(0))
    layer = torch.nn.Linear(5, 7)
    expected = layer(found.apply(embeddings))
    assert torch.allclose(found.fold(layer)(embeddings), expected, atol=1e-5)


def test_components_are_centred_orthogonal_ordered_and_of_unit_mean_square() -> None:
    rows = InputMap.fit(_embeddings(), 4, torch.Generator()).apply(_embeddings()).reshape(-1, 4).double()
    covariance = rows.T @ rows / len(rows)
    assert rows.mean(dim=0).abs().max() < 1e-5
    assert (covariance - covariance.diagonal().diag()).abs().max() < 1e-4
    assert (covariance.diagonal().diff() <= 0).all()
    assert abs(covariance.diagonal().mean().item() - 1) < 1e-4


def test_subspace_iteration_finds_the_components_of_the_full_decomposition() -> None:
    generator = torch.Generator().manual_seed(2)
    scales = torch.logspace(0, -3, 1200)
    embeddings = torch.randn(300, 1, 1200, generator=generator) * scales
    found = InputMap.fit(embeddings, 8, generator)
    rows = embeddings[:, 0] - embeddings[:, 0].mean(dim=0)
    exact = torch.linalg.svd(rows, full_matrices=False).Vh[:8].T
    angles = torch.linalg.svdvals(exact.T @ (found.basis / found.basis.norm(dim=0)))
    assert angles.min() > 0.999


def test_no_more_components_than_there_are_differences_between_embeddings() -> None:
    assert InputMap.fit(_embeddings(images=2, versions=1), 400, torch.Generator()).basis.shape == (12, 1)
    single = InputMap.fit(_embeddings(images=1, versions=1), 400, torch.Generator())
    assert torch.isfinite(single.basis).all()


def test_targets_are_standardized_by_one_factor_and_come_back() -> None:
    targets = {POSITION: torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]), ORIENTATION: torch.eye(4)[:2]}
    found = TargetMap.fit(targets)
    assert torch.equal(found.apply(targets)[POSITION], torch.tensor([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
    back = found.undo(found.apply(targets))
    assert all(torch.allclose(back[name], targets[name], atol=1e-6) for name in targets)


def test_a_folded_last_layer_gives_metres() -> None:
    targets = {POSITION: torch.randn(9, 3) * 5 + 40, ORIENTATION: torch.nn.functional.normalize(torch.randn(9, 4))}
    found, network, embeddings = TargetMap.fit(targets), IRPNet(6, width=8).eval(), torch.randn(4, 6)
    expected = found.undo(network(embeddings))
    for name in (POSITION, ORIENTATION):
        found.fold(network.last_layer(name), name)
        assert torch.allclose(network(embeddings)[name], expected[name], atol=1e-5)


def test_one_image_standardizes_to_zero() -> None:
    targets = {POSITION: torch.ones(1, 3), ORIENTATION: torch.eye(4)[:1]}
    assert not TargetMap.fit(targets).apply(targets)[POSITION].any()


def test_paper_labels_have_positive_w_and_ours_lie_on_one_side() -> None:
    nearly_backwards = np.array([[0.1, 0.0, 0.99, 0.0], [-0.1, 0.0, 0.99, 0.0]])
    poses = Poses(np.zeros((2, 3)), nearly_backwards)
    paper = targets_of(poses, one_hemisphere=False)[ORIENTATION]
    ours = targets_of(poses, one_hemisphere=True)[ORIENTATION]
    assert (paper[:, 0] >= 0).all()
    assert (paper[0] @ paper[1]).item() < 0 < (ours[0] @ ours[1]).item()


def test_raw_quaternions_are_normalised_and_zero_is_the_identity() -> None:
    poses = poses_of(torch.zeros(2, 3), torch.tensor([[0.0, 0.0, -3.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))
    assert np.allclose(poses.world_from_cam_wxyz, [[0, 0, 1, 0], [1, 0, 0, 0]])
