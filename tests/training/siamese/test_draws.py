from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from irploc.errors import BadInput
from irploc.geometry.poses import Poses
from irploc.training.siamese.draws import PairDraws
from irploc.training.siamese.recipes import FAST, PAPER


def line(count: int, turned_deg: float = 0.0) -> Poses:
    """Photos a metre apart, each turned further than the one before."""
    half = np.radians(turned_deg) * np.arange(count) / 2
    quats = np.stack([np.cos(half), 0 * half, np.sin(half), 0 * half], axis=1)
    return Poses(np.stack([np.arange(count), np.zeros(count), np.zeros(count)], axis=1), quats)


def drawn(draws: PairDraws, count: int = 4000, seed: int = 0) -> np.ndarray:
    return np.stack(draws.draw(count, np.random.default_rng(seed)), axis=1)


PAIRS = np.array([[0, 1], [1, 2], [0, 2], [4, 5]])


def test_only_correlated_photos_are_drawn_and_each_pair_both_ways() -> None:
    found = drawn(PairDraws(line(7), PAIRS, 30.0, PAPER))
    assert {tuple(pair) for pair in found.tolist()} == {tuple(p) for pair in PAIRS.tolist() for p in (pair, pair[::-1])}


def test_photos_are_drawn_alike_and_so_are_their_partners() -> None:
    found = drawn(PairDraws(line(7), PAIRS, 30.0, PAPER), 20_000)
    firsts = np.bincount(found[:, 0], minlength=7) / len(found)
    assert np.allclose(firsts, [0.2, 0.2, 0.2, 0, 0.2, 0.2, 0], atol=0.015)
    of_first = found[found[:, 0] == 0, 1]
    assert abs((of_first == 1).mean() - 0.5) < 0.03


def test_near_photos_are_drawn_more_often() -> None:
    all_of_ten = np.array([[i, j] for i in range(10) for j in range(i + 1, 10)])
    found = drawn(PairDraws(line(10), all_of_ten, 30.0, replace(FAST, wide=0.0)), 100_000)
    shares = np.bincount(found[found[:, 0] == 0, 1], minlength=10)[1:] / (found[:, 0] == 0).sum()
    expected = np.diff(np.log(np.arange(1, 11))) / np.log(10)  # log((k + 1) / k), about 1 / k
    assert np.allclose(shares, expected, atol=0.02)


def test_wide_draws_leave_the_pairs_but_not_the_angle() -> None:
    found = drawn(PairDraws(line(20, 10.0), np.array([[i, i + 1] for i in range(19)]), 35.0, replace(FAST, wide=0.5)))
    apart = np.abs(found[:, 0] - found[:, 1])
    assert apart.max() == 3  # 30 degrees
    assert apart.min() == 1
    assert 0.1 < (apart > 1).mean() < 0.5


def test_without_cips_any_two_photos_are_drawn_but_never_one_twice() -> None:
    found = drawn(PairDraws(line(5), np.zeros((0, 2), dtype=np.int64), 30.0, replace(PAPER, cips=False)))
    assert {tuple(pair) for pair in found.tolist()} == {(i, j) for i in range(5) for j in range(5) if i != j}


def test_the_same_seed_draws_the_same() -> None:
    draws = PairDraws(line(7), PAIRS, 30.0, FAST)
    assert np.array_equal(drawn(draws, 50, 3), drawn(draws, 50, 3))
    assert not np.array_equal(drawn(draws, 50, 3), drawn(draws, 50, 4))


def test_one_photo_or_no_pairs_are_refused() -> None:
    with pytest.raises(BadInput, match=r"mapping photos to train on: 1;.*at least two"):
        PairDraws(line(1), PAIRS[:0], 30.0, PAPER)
    with pytest.raises(BadInput, match="no two mapping photos are correlated"):
        PairDraws(line(7), PAIRS[:0], 30.0, PAPER)
