"""Similarities between points: found where points determine them, refused with the reason where they do not."""

from __future__ import annotations

import numpy as np
import pytest

from irploc.errors import BadInput
from irploc.geometry.similarity import Similarity
from irploc.mapping.align_estimate import FitOptions, fit_about_z, fit_closed_form, fit_robust
from irploc.mapping.align_weighted import fit_weighted

TRUE = Similarity(2.5, (0.6, -0.2, 0.5, 0.1), (1.0, -2.0, 30.0))
ABOUT_Z = Similarity(0.5, (0.8, 0.0, 0.0, 0.6), (4.0, 5.0, 6.0))
NAMES = list("abcdefgh")
CUBE = np.array([[x, y, z] for x in (0.0, 1) for y in (0.0, 1) for z in (0.0, 1)])
FLOOR = np.array([[0.0, 0, 0], [3, 0, 0], [0, 2, 0], [3, 2, 0], [1, 5, 0]])  # a plane through the origin


def assert_same(one: Similarity | None, other: Similarity, within: float = 1e-9) -> None:
    assert one is not None
    np.testing.assert_allclose(one.matrix, other.matrix, atol=within)


def refusal(source: np.ndarray, target: np.ndarray, options: FitOptions, what: str = "known points") -> str:
    with pytest.raises(BadInput) as caught:
        fit_robust(NAMES[: len(source)], source, target, options, what)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- closed forms ---


@pytest.mark.parametrize(
    "points", [CUBE, FLOOR, FLOOR[:3], 7.0 + FLOOR, 1e3 + CUBE], ids=["cube", "floor", "3", "up", "far"]
)
def test_the_closed_form_finds_the_similarity(points: np.ndarray) -> None:
    assert_same(fit_closed_form(points, TRUE.apply(points)), TRUE, within=1e-6)
    assert_same(fit_closed_form(TRUE.apply(points), points), TRUE.inverse(), within=1e-6)


def test_the_closed_form_keeps_the_scale_when_told() -> None:
    rigid = Similarity(1.0, TRUE.rotation_wxyz, TRUE.translation)
    assert_same(fit_closed_form(FLOOR, rigid.apply(FLOOR), keep_scale=True), rigid)
    found = fit_closed_form(CUBE, TRUE.apply(CUBE), keep_scale=True)
    assert found is not None
    assert found.scale == 1.0


def test_the_closed_form_never_mirrors() -> None:
    found = fit_closed_form(CUBE * [1, 1, -1], CUBE)
    assert found is not None  # a Similarity has no reflection; its residuals tell
    assert np.linalg.norm(found.apply(CUBE * [1, 1, -1]) - CUBE, axis=1).max() > 0.3


def test_a_line_determines_nothing() -> None:
    line = np.outer(np.arange(4.0), [1, 2, 3])
    assert fit_closed_form(line, 2 * line) is None


def test_a_turn_about_z_is_found_from_two_points() -> None:
    two = np.array([[1.0, 1, 0.5], [4, 5, 2]])
    assert_same(fit_about_z(two, ABOUT_Z.apply(two)), ABOUT_Z)
    rigid = Similarity(1.0, ABOUT_Z.rotation_wxyz, ABOUT_Z.translation)
    assert_same(fit_about_z(two, rigid.apply(two), keep_scale=True), rigid)


def test_a_turn_about_z_does_not_follow_points_that_lean() -> None:
    found = fit_about_z(CUBE, TRUE.apply(CUBE))
    assert found is not None
    assert found.rotation_wxyz[1:3] == (0.0, 0.0)


def test_points_above_each_other_tell_no_turn_about_z() -> None:
    assert fit_about_z(np.array([[1.0, 1, 0], [1, 1, 5]]), CUBE[:2]) is None


# --- RANSAC ---


@pytest.mark.parametrize(("keep_up", "true"), [(False, TRUE), (True, ABOUT_Z)])
def test_the_outlier_is_left_out_and_the_others_fit_exactly(keep_up: bool, true: Similarity) -> None:
    target = true.apply(CUBE)
    target[5] += [0.0, 0.7, 0.0]
    fit = fit_robust(NAMES, CUBE, target, FitOptions(0.1, keep_up=keep_up), "known points")
    assert_same(fit.similarity, true)
    assert fit.kept.tolist() == [number != 5 for number in range(8)]
    assert fit.residuals[5] == pytest.approx(0.7)
    assert fit.rms < 1e-9


def test_one_wrong_of_four_points_is_found() -> None:
    target = TRUE.apply(FLOOR[[0, 1, 2, 4]])
    target[2] += [0.5, 0.5, 0.5]
    fit = fit_robust(NAMES[:4], FLOOR[[0, 1, 2, 4]], target, FitOptions(0.05), "known points")
    assert fit.kept.tolist() == [True, True, False, True]


def test_noise_below_the_tolerance_leaves_nobody_out_and_is_averaged() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, CUBE.shape)
    fit = fit_robust(NAMES, CUBE, TRUE.apply(CUBE) + noise, FitOptions(0.1), "known points")
    assert fit.kept.all()
    assert 0.002 < fit.rms < 0.02
    np.testing.assert_allclose(fit.similarity.apply(CUBE), TRUE.apply(CUBE), atol=0.03)


def test_the_same_seed_gives_the_same_fit() -> None:
    target = TRUE.apply(CUBE) + np.random.default_rng(1).normal(0, 0.04, CUBE.shape)
    target[0] += 1
    one, other = (fit_robust(NAMES, CUBE, target, FitOptions(0.1, seed=3), "known points") for _ in range(2))
    assert one.similarity == other.similarity


# --- refusals ---


def test_two_points_are_too_few_for_a_similarity() -> None:
    assert "2 known points: a similarity needs at least three" in refusal(CUBE[:2], CUBE[:2], FitOptions(0.1))


def test_one_point_is_too_few_to_turn_about_z() -> None:
    assert "at least two" in refusal(CUBE[:1], CUBE[:1], FitOptions(0.1, keep_up=True), "plan points")


def test_points_on_a_line_leave_a_rotation_open() -> None:
    line = np.outer(np.arange(5.0), [1, 2, 3]) + np.random.default_rng(0).normal(0, 1e-3, (5, 3))
    assert "lie on a line in the scene: nothing tells the rotation about it" in refusal(
        line, TRUE.apply(line), FitOptions(0.1)
    )


def test_points_at_one_place_tell_nothing() -> None:
    assert "all at one place as given" in refusal(CUBE[:3], np.ones((3, 3)), FitOptions(0.1))


def test_points_on_a_line_agree_on_nothing_whatever_the_one_beside_it_says() -> None:
    line = np.outer(np.arange(6.0), [1.0, 2, 3])
    source = np.concatenate([line, [[5.0, -4, 2]]])
    target = np.concatenate([line, [[5.0, 4, -12]]])
    with pytest.raises(BadInput, match="no majority of the 7"):
        fit_robust(NAMES[:7], source, target, FitOptions(0.05), "known points")


def test_mirrored_points_are_told_as_such() -> None:
    message = refusal(CUBE * [1, -1, 1], TRUE.apply(CUBE), FitOptions(0.1))
    assert "mirrored: 8 of 8 agree" in message
    assert "right-handed" in message


def test_a_plan_with_y_downwards_is_told_as_such() -> None:
    message = refusal(FLOOR, ABOUT_Z.apply(FLOOR * [1, -1, 1]), FitOptions(0.1, keep_up=True), "plan points")
    assert "is y pointing down" in message


def test_points_that_disagree_are_refused_with_every_residual() -> None:
    target = TRUE.apply(CUBE[:4]) + np.random.default_rng(0).normal(0, 3, (4, 3))
    message = refusal(CUBE[:4], target, FitOptions(0.1))
    assert "no majority of the 4 known points agrees within 0.1" in message
    assert all(f"{name} " in message for name in "abcd")


def test_three_points_that_disagree_ask_for_a_fourth() -> None:
    target = FLOOR[:3].copy()
    target[1, 0] += 1
    assert "one more point would tell which is wrong" in refusal(FLOOR[:3], target, FitOptions(0.1))


def test_points_too_close_together_for_their_noise_are_refused() -> None:
    noise = np.random.default_rng(0).normal(0, 0.3, CUBE.shape)
    assert "too close together" in refusal(CUBE, CUBE + noise, FitOptions(2.0))


# --- weights ---


def test_equal_weights_give_the_closed_form() -> None:
    target = TRUE.apply(CUBE) + np.random.default_rng(0).normal(0, 0.05, CUBE.shape)
    plain = fit_closed_form(CUBE, target)
    assert plain is not None
    found = fit_weighted(CUBE, np.zeros((8, 3, 3)), target, Similarity(2.4, TRUE.rotation_wxyz, TRUE.translation), 0.01)
    assert_same(found, plain, within=1e-4)


@pytest.mark.parametrize("keep_scale", [False, True])
def test_weights_about_z_give_the_closed_form(keep_scale: bool) -> None:
    target = ABOUT_Z.apply(CUBE) + np.random.default_rng(0).normal(0, 0.01, CUBE.shape)
    plain = fit_about_z(CUBE, target, keep_scale)
    assert plain is not None
    start = Similarity(plain.scale if keep_scale else 0.45, (0.81, 0.0, 0.0, 0.586), (4.1, 5.0, 6.0))
    found = fit_weighted(CUBE, np.zeros((8, 3, 3)), target, start, 0.01, keep_scale, keep_up=True)
    assert_same(found, plain, within=1e-3)


def test_errors_along_badly_known_directions_do_no_harm() -> None:
    generator = np.random.default_rng(0)
    along = generator.normal(size=(8, 3))
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    blurred = CUBE + along * generator.normal(0, 0.05, (8, 1))
    covariances = 0.05**2 * along[:, :, None] * along[:, None, :]
    target = TRUE.apply(CUBE)
    plain = fit_closed_form(blurred, target)
    assert plain is not None
    found = fit_weighted(blurred, covariances, target, plain, 0.001)
    worst = [np.linalg.norm(fit.apply(CUBE) - target, axis=1).max() for fit in (plain, found)]
    assert worst[1] < 0.1 * worst[0]
