"""A toy place: embeddings are smooth functions of the pose."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from irploc.geometry.poses import Poses
from irploc.training.dataset import Monitor, TrainingSet

IDENTITY: dict[str, str | int] = {
    "scene": "toy",
    "mapping_fingerprint": "f" * 64,
    "ground_truth": "exact",
    "encoder": "toy-encoder",
    "weights_sha256": "a" * 64,
    "preprocessing": "none",
    "max_side": 0,
    "dimension": 32,
}


def toy_embeddings(poses: Poses, seed: int) -> np.ndarray:
    """(N, 32) unit vectors."""
    mixing = np.random.default_rng(99).standard_normal((7, 32))
    values = np.concatenate([poses.centers_m, poses.world_from_cam_wxyz], axis=1) @ mixing
    noisy = np.tanh(values) + 0.01 * np.random.default_rng(seed).standard_normal(values.shape)
    return (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)


def toy_poses(times: np.ndarray) -> Poses:
    """A walk in a circle of 2 m, turning back and forth by 60 degrees."""
    centers = np.stack([2 * np.cos(times), 2 * np.sin(times), 0.1 * np.sin(3 * times)], axis=1)
    half = 0.5 * np.sin(2 * times)
    return Poses(centers, np.stack([np.cos(half), 0 * half, np.sin(half), 0 * half], axis=1))


def toy_set(count: int = 40) -> TrainingSet:
    """``count`` images in three versions, with 20 images between them to watch."""
    times = np.linspace(0, 5, count)
    poses, between = toy_poses(times), toy_poses(np.linspace(0.06, 4.9, 20))
    versions = np.stack([toy_embeddings(poses, seed) for seed in range(3)], axis=1)
    watched = Monitor("validation", toy_embeddings(between, 9), between)
    return TrainingSet(versions, poses, np.zeros(count), np.arange(count), IDENTITY, watched)


@pytest.fixture
def toy() -> Callable[..., TrainingSet]:
    """``toy_set``."""
    return toy_set
