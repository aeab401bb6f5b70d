from __future__ import annotations

import time

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from irploc.errors import BadInput
from irploc.geometry.posegraph import MEDIAN, PoseGraphOptions, _log_scale, _windows, smooth
from irploc.geometry.posegraph_solver import Terms, _Conditioner, _Problem, solve
from irploc.geometry.posegraph_start import interpolated, start_poses
from irploc.geometry.posegraph_terms import Absolute, Odometry, Steadiness, motions_between
from irploc.geometry.poses import Poses, pose_errors
from irploc.geometry.rotations import canonical, multiply
from irploc.geometry.tangent import rotation_of_vector

STILL = [1.0, 0.0, 0.0, 0.0]


def on_a_line(places: list[float]) -> Poses:
    """Cameras along x that look ahead."""
    return Poses([[x, 0.0, 0.0] for x in places], [STILL] * len(places))


def walk(count: int, seed: int = 0) -> Poses:
    """A camera that turns and sways on a circle of two metres."""
    angle = np.linspace(0.0, 0.03 * count, count)
    centers = np.stack([2 * np.cos(angle), 0.1 * np.sin(5 * angle), 2 * np.sin(angle)], axis=1)
    return Poses(centers, rotation_of_vector(np.stack([0.1 * np.sin(3 * angle), angle, 0 * angle], axis=1)))


def disturbed(poses: Poses, metres: float, degrees: float, seed: int) -> Poses:
    generator = np.random.default_rng(seed)
    centers = poses.centers_m + metres * generator.normal(size=poses.centers_m.shape)
    turns = rotation_of_vector(np.radians(degrees) * generator.normal(size=poses.centers_m.shape))
    return Poses(centers, multiply(poses.world_from_cam_wxyz, turns))


def told(poses: Poses, metres: float | list[float], degrees: float) -> Absolute:
    return Absolute(poses, np.full(len(poses), metres), np.full(len(poses), degrees))


def unsure(true: Poses, seed: int) -> Odometry:
    """Off by 5 mm and 0.2 degrees a step, which it says."""
    motions, count = disturbed(motions_between(true), 0.005, 0.2, seed), len(true) - 1
    return Odometry(motions, np.full(count, 0.005), np.full(count, 0.2))


def almost_exact(true: Poses, metric: bool = True) -> Odometry:
    return Odometry.between(true, 0.001, 0.05, metric)


def test_two_frames_meet_where_springs_of_known_stiffness_would() -> None:
    """Predictions 0 and 1, odometry 2: the three share the metre of contradiction by their variances 1, 1 and 2."""
    odometry = Odometry.between(on_a_line([0.0, 2.0]), np.sqrt(2.0), 1.0)
    far = PoseGraphOptions(together=1.0, outlier=1e6)
    found = smooth(told(on_a_line([0.0, 1.0]), 1.0, 1.0), odometry, options=far)
    assert found.poses.centers_m[:, 0] == pytest.approx([-0.25, 1.25], abs=1e-4)
    assert found.poses.world_from_cam_wxyz == pytest.approx(np.array([STILL, STILL]), abs=1e-6)


def test_rotations_meet_as_positions_do() -> None:
    turned = Poses(np.zeros((2, 3)), rotation_of_vector(np.radians([[0.0, 0, 0], [10.0, 0, 0]])))
    odometry = Odometry(Poses(np.zeros((1, 3)), rotation_of_vector(np.radians([[20.0, 0, 0]]))), np.ones(1), np.sqrt([2.0]))
    found = smooth(told(turned, 1.0, 1.0), odometry, options=PoseGraphOptions(together=1.0, outlier=1e6))
    expected = rotation_of_vector(np.radians([[-2.5, 0, 0], [12.5, 0, 0]]))
    assert found.poses.world_from_cam_wxyz == pytest.approx(expected, abs=1e-5)


def test_the_errors_to_expect_are_those_of_the_mean_of_two() -> None:
    """Stiff odometry makes two predictions of standard deviation 0.2 one of 0.2 / sqrt 2."""
    found = smooth(
        told(on_a_line([0.0, 0.0]), 0.2, 4.0),
        Odometry.between(on_a_line([0.0, 0.0]), 1e-4, 1e-3),
        options=PoseGraphOptions(together=1.0, outlier=1e6),
    )
    assert found.position_m == pytest.approx(MEDIAN * 0.2 / np.sqrt(2), rel=1e-3)
    assert found.rotation_deg == pytest.approx(MEDIAN * 4.0 / np.sqrt(2), rel=1e-3)


def random_problem(seed: int) -> tuple[_Problem, np.ndarray]:
    generator = np.random.default_rng(seed)

    def any_poses(count: int) -> Poses:
        return Poses(generator.normal(size=(count, 3)), canonical(generator.normal(size=(count, 4))))

    odometry = Odometry.between(any_poses(7), 0.1, 5.0, metric=False)
    odometry.motions.centers_m[3], odometry.motions.world_from_cam_wxyz[3] = np.nan, np.nan
    steadiness = Steadiness(np.cumsum(generator.uniform(0.1, 0.3, 7)), 0.5, 30.0)
    problem = _Problem(Terms(told(any_poses(7), 0.3, 10.0), odometry, steadiness, 4.0, 2.0), any_poses(7))
    return problem, problem.x + 0.3 * generator.normal(size=problem.x.shape)


def test_derivatives_are_those_that_differences_give() -> None:
    problem, x = random_problem(0)
    steps = 1e-6 * np.eye(len(x))
    differences = [(problem.residuals(x + step) - problem.residuals(x - step)) / 2e-6 for step in steps]
    assert problem.jacobian(x).toarray() == pytest.approx(np.stack(differences, axis=1), abs=1e-6)


def test_the_slope_of_the_loss_is_that_of_its_value() -> None:
    problem, x = random_problem(1)

    def cost(at: np.ndarray) -> float:
        return 0.5 * float(problem.loss(problem.residuals(at) ** 2)[0].sum())

    residuals = problem.residuals(x)
    gradient = problem.jacobian(x).T @ (residuals * problem.loss(residuals**2)[1])
    steps = 1e-6 * np.eye(len(x))
    assert gradient == pytest.approx(np.array([(cost(x + s) - cost(x - s)) / 2e-6 for s in steps]), abs=1e-4)


def test_the_conditioner_makes_the_curvature_the_identity() -> None:
    problem, x = random_problem(2)
    jacobian = problem.jacobian(x)
    conditioner = _Conditioner(jacobian, np.ones(jacobian.shape[0]))
    forward = np.stack([conditioner.forward(unit) for unit in np.eye(len(x))], axis=1)
    backward = np.stack([conditioner.backward(unit) for unit in np.eye(len(x))], axis=1)
    assert backward == pytest.approx(forward.T, abs=1e-12)
    assert (jacobian @ forward).T @ (jacobian @ forward) == pytest.approx(np.eye(len(x)), abs=1e-4)


def test_true_predictions_and_motions_stay_as_they_are() -> None:
    true = walk(30)
    found = smooth(told(true, 0.1, 5.0), almost_exact(true))
    assert max(error.max() for error in pose_errors(found.poses, true)) < 1e-4


def test_predictions_err_less_together() -> None:
    true = walk(60)
    predicted = disturbed(true, 0.2, 8.0, 1)
    odometry = unsure(true, 2)
    found = smooth(told(predicted, 0.2, 8.0), odometry)
    before, after = pose_errors(predicted, true), pose_errors(found.poses, true)
    assert np.median(after[0]) < 0.4 * np.median(before[0])
    assert np.median(after[1]) < 0.4 * np.median(before[1])


def test_a_third_of_gross_outliers_does_no_harm() -> None:
    true = walk(40)
    predicted = disturbed(true, 0.02, 1.0, 3)
    wrong = np.random.default_rng(0).random(40) < 0.33
    predicted.centers_m[wrong] += [3.0, -2.0, 1.0]
    predicted.world_from_cam_wxyz[wrong] = multiply(
        predicted.world_from_cam_wxyz[wrong], rotation_of_vector([0.0, 2.5, 0.0])
    )
    found = smooth(told(predicted, 0.02, 1.0), almost_exact(true))
    metres, degrees = pose_errors(found.poses, true)
    assert wrong.sum() > 8
    assert metres.max() < 0.05
    assert degrees.max() < 2.0


def test_sure_frames_carry_the_unsure_ones() -> None:
    """Both ends know where they are; those between are wrong alike, and say that they may be."""
    true = walk(50)
    predicted = disturbed(true, 0.005, 0.2, 4)
    predicted.centers_m[5:45] += [0.4, 0.0, 0.3]
    sigma = np.where((np.arange(50) < 5) | (np.arange(50) >= 45), 0.005, 0.3)
    absolute = Absolute(predicted, sigma, 30 * sigma)
    found = smooth(absolute, unsure(true, 5))
    assert pose_errors(found.poses, true)[0].max() < 0.1


def test_deviations_that_nobody_told_are_found_where_predictions_jump() -> None:
    """The same as before with nothing told: between the ends predictions jump by 10 cm around a wrong place."""
    true = walk(50)
    predicted = disturbed(true, 0.005, 0.2, 6)
    jumps = disturbed(true, 0.1, 4.0, 7)
    predicted.centers_m[15:35] = jumps.centers_m[15:35] + np.array([0.4, 0.0, 0.3])
    predicted.world_from_cam_wxyz[15:35] = jumps.world_from_cam_wxyz[15:35]
    found = smooth(predicted, unsure(true, 8))
    assert pose_errors(found.poses, true)[0].max() < 0.15


def test_frames_without_a_prediction_get_their_pose_through_odometry() -> None:
    true = walk(30)
    predicted = disturbed(true, 0.01, 0.5, 9)
    predicted.centers_m[[0, 10, 11, 12, 29]] = np.nan
    predicted.world_from_cam_wxyz[[0, 10, 11, 12, 29]] = np.nan
    found = smooth(told(predicted, 0.01, 0.5), almost_exact(true))
    assert found.poses.valid.all()
    assert pose_errors(found.poses, true)[0].max() < 0.02


def test_what_no_odometry_reaches_stays_without_a_pose() -> None:
    true = walk(20)
    predicted, odometry = told(true[np.arange(20)], 0.01, 0.5), almost_exact(true)
    odometry.motions.centers_m[9], odometry.motions.world_from_cam_wxyz[9] = np.nan, np.nan
    predicted.poses.centers_m[10:], predicted.poses.world_from_cam_wxyz[10:] = np.nan, np.nan
    found = smooth(predicted, odometry)
    assert found.poses.valid.tolist() == [True] * 10 + [False] * 10
    assert np.isnan(found.position_m[10:]).all()
    assert not smooth(Poses.missing(4), Odometry.between(walk(4), 0.01, 1.0)).poses.valid.any()


def test_a_scale_that_nobody_knows_is_found() -> None:
    true = walk(60)
    smaller = Poses(0.2 * true.centers_m, true.world_from_cam_wxyz)
    predicted = disturbed(true, 0.05, 2.0, 10)
    found = smooth(told(predicted, 0.05, 2.0), almost_exact(smaller, metric=False))
    assert found.scale == pytest.approx(5.0, rel=0.05)
    assert np.median(pose_errors(found.poses, true)[0]) < 0.03


def test_a_camera_that_stands_still_gives_no_scale_and_does_no_harm() -> None:
    still = Poses(np.zeros((20, 3)), np.tile(STILL, (20, 1)))
    found = smooth(told(disturbed(still, 0.05, 2.0, 11), 0.05, 2.0), almost_exact(still, metric=False))
    assert pose_errors(found.poses, still)[0].max() < 0.05


def test_a_camera_that_moves_steadily_is_known_better_than_from_its_frames_alone() -> None:
    true = walk(60)
    predicted = disturbed(true, 0.1, 4.0, 12)
    steady = Steadiness(np.arange(60) / 5, 0.1, 10.0)
    found = smooth(told(predicted, 0.1, 4.0), None, steady, options=PoseGraphOptions(together=1.0))
    before, after = pose_errors(predicted, true), pose_errors(found.poses, true)
    assert np.median(after[0]) < 0.5 * np.median(before[0])
    assert np.median(after[1]) < 0.6 * np.median(before[1])


def test_a_frame_between_two_is_passed_at_constant_velocity() -> None:
    predicted = on_a_line([0.0, 7.0, 2.0])
    predicted.world_from_cam_wxyz[1], predicted.centers_m[1] = np.nan, np.nan
    steady = Steadiness(np.array([0.0, 0.25, 1.0]), 0.1, 10.0)
    found = smooth(told(predicted, 0.01, 1.0), None, steady)
    assert found.poses.centers_m[1] == pytest.approx([0.5, 0.0, 0.0], abs=1e-3)


def test_windows_answer_for_every_frame_once_and_for_the_central_ones() -> None:
    for count in (1, 2, 99, 100, 101, 149, 151, 1234):
        answered = [rows for _, rows in _windows(count, PoseGraphOptions())]
        assert [row for rows in answered for row in range(count)[rows]] == list(range(count))
    middle = list(_windows(1000, PoseGraphOptions()))[5]
    assert middle == (slice(250, 350), slice(275, 325))


def test_windows_agree_with_one_that_holds_all() -> None:
    true = walk(260)
    predicted = disturbed(true, 0.1, 4.0, 13)
    odometry = unsure(true, 14)
    short = smooth(told(predicted, 0.1, 4.0), odometry, options=PoseGraphOptions(together=2.0))
    whole = smooth(told(predicted, 0.1, 4.0), odometry, options=PoseGraphOptions(window=260, together=2.0))
    metres, degrees = pose_errors(short.poses, whole.poses)
    assert metres.max() < 0.03
    assert degrees.max() < 1.0


def test_a_causal_pose_does_not_change_when_the_video_goes_on() -> None:
    true = walk(24)
    predicted, odometry = disturbed(true, 0.1, 4.0, 15), almost_exact(true)
    options = PoseGraphOptions(window=10, causal=True)
    for absolute in (told(predicted, 0.1, 4.0), Absolute.of_poses(predicted)):
        longer = smooth(absolute, odometry, options=options).poses
        shorter = smooth(absolute[slice(0, 15)], odometry[slice(0, 14)], options=options).poses
        assert np.allclose(longer.centers_m[:15], shorter.centers_m)
        assert np.allclose(longer.world_from_cam_wxyz[:15], shorter.world_from_cam_wxyz)


def test_sequences_know_nothing_of_each_other() -> None:
    first, second = walk(12), walk(9)
    both = Poses.concatenate([disturbed(first, 0.1, 4.0, 16), disturbed(second, 0.1, 4.0, 17)])
    motions = motions_between(Poses.concatenate([first, second]))
    odometry = Odometry(motions, np.full(20, 0.01), np.full(20, 0.5))
    together = smooth(told(both, 0.1, 4.0), odometry, sequences=["a"] * 12 + ["b"] * 9).poses
    alone = smooth(told(both[slice(12, 21)], 0.1, 4.0), odometry[slice(12, 20)]).poses
    assert np.allclose(together.centers_m[12:], alone.centers_m)


def test_no_frames_and_one_frame() -> None:
    assert len(smooth(Poses.missing(0)).poses) == 0
    one = smooth(told(on_a_line([3.0]), 0.1, 1.0), Odometry.between(on_a_line([3.0]), 0.1, 1.0))
    assert one.poses.centers_m == pytest.approx(np.array([[3.0, 0.0, 0.0]]))


def test_the_sign_of_quaternions_does_not_matter() -> None:
    true = walk(20)
    predicted = disturbed(true, 0.1, 4.0, 18)
    turned = Poses(predicted.centers_m, predicted.world_from_cam_wxyz)
    turned.world_from_cam_wxyz[::2] *= -1.0
    found, other = (smooth(told(poses, 0.1, 4.0), almost_exact(true)).poses for poses in (predicted, turned))
    assert pose_errors(found, other)[0].max() < 1e-6


def test_half_turns_are_passed() -> None:
    angle = np.linspace(0.0, 3 * np.pi, 60)
    true = Poses(np.zeros((60, 3)), rotation_of_vector(np.stack([0 * angle, angle, 0 * angle], axis=1)))
    found = smooth(told(disturbed(true, 0.01, 3.0, 19), 0.01, 3.0), almost_exact(true))
    assert pose_errors(found.poses, true)[1].max() < 3.0


def test_the_start_is_near_the_answer_whatever_the_outliers_say() -> None:
    true = walk(40)
    predicted = disturbed(true, 0.02, 1.0, 20)
    predicted.centers_m[:15] += [5.0, 0.0, 0.0]
    start = start_poses(told(predicted, 0.02, 1.0), almost_exact(true), 0.0)
    assert pose_errors(start, true)[0].max() < 0.2


def test_poses_between_two_are_on_the_way() -> None:
    two = Poses([[0.0, 0, 0], [4.0, 0, 0]], rotation_of_vector([[0.0, 0, 0], [0.0, 0, 1.0]]))
    found = interpolated(two, np.array([0.0, 2.0]), np.array([-1.0, 0.5, 2.0]))
    assert found.centers_m[:, 0].tolist() == [0.0, 1.0, 4.0]
    assert found.world_from_cam_wxyz[1] == pytest.approx(rotation_of_vector([0.0, 0, 0.25]))


def test_a_hundred_frames_take_a_fraction_of_a_second() -> None:
    true = walk(100)
    absolute = told(disturbed(true, 0.2, 8.0, 21), 0.2, 8.0)
    odometry = Odometry(disturbed(motions_between(true), 0.01, 0.5, 22), np.full(99, 0.01), np.full(99, 0.5))
    terms, start = Terms(absolute, odometry, None, 20.0, 3.0), start_poses(absolute, odometry, 0.0)
    seconds, steps = [], []
    with threadpool_limits(1, "blas"):  # as ``tracking.trajectory.smooth_poses`` does
        for _ in range(3):
            started = time.perf_counter()
            steps.append(solve(terms, start).steps)
            seconds.append(time.perf_counter() - started)
    assert max(steps) < 30
    assert min(seconds) < 0.5, "0.03 s on an idle core"


@pytest.mark.parametrize("wrong", [{"window": 2}, {"window": 100_000}, {"together": 0.5}, {"outlier": 0.0}])
def test_impossible_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=r"it must lie in|together is"):
        PoseGraphOptions(**wrong)  # type: ignore[arg-type]


def test_counts_that_do_not_fit_are_a_programmers_mistake() -> None:
    with pytest.raises(ValueError, match="4 motions between 3 frames"):
        smooth(walk(3), Odometry.between(walk(5), 0.1, 1.0))
    with pytest.raises(ValueError, match="not those of 3 frames"):
        smooth(walk(3), sequences=["a", "b"])


def test_a_scale_is_as_sure_as_the_independent_predictions_that_told_it() -> None:
    """Of windows that say 2 and 3 the surer one counts. Its weight is 400; where twenty predictions count as one it is 20,
    and the standard deviation of the logarithm 1 / sqrt(20); it stays between a tenth and a half."""
    told_by = np.array([[2.0, 400.0], [3.0, 100.0]])
    assert _log_scale(told_by, 20.0) == pytest.approx((np.log(2.0), 0.2236), abs=1e-4)
    assert _log_scale(told_by, 1.0)[1] == pytest.approx(0.1)
    assert _log_scale(told_by / [1.0, 20.0], 20.0)[1] == pytest.approx(0.5)
