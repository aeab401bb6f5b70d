from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from irploc.errors import BadInput, NotFound
from irploc.geometry.poses import Poses
from irploc.geometry.rotations import multiply
from irploc.geometry.tangent import rotation_of_vector
from irploc.scene import Frames
from irploc.tracking.odometry import odometry_by_sfm, odometry_of_file, odometry_of_model, steadiness_of
from irploc.workspace import Workspace

STILL = [1.0, 0.0, 0.0, 0.0]


def file_of(folder: Path, *lines: str) -> Path:
    path = folder / "walk.tum"
    path.write_text("# time tx ty tz qx qy qz qw\n" + "".join(f"{line}\n" for line in lines))
    return path


def test_motions_of_a_file_are_in_the_frame_of_the_camera_before(tmp_path: Path) -> None:
    """The camera looks along the world's x (a quarter turn about y), so that two metres along x are two ahead of it."""
    half = np.sqrt(0.5)
    path = file_of(tmp_path, f"0 5 0 0 0 {half} 0 {half}", f"1 7 0 0 0 {half} 0 {half}")
    motions = odometry_of_file(path, np.array([0.0, 1.0])).motions
    assert motions.centers_m == pytest.approx(np.array([[0.0, 0.0, 2.0]]), abs=1e-12)
    assert motions.world_from_cam_wxyz == pytest.approx(np.array([STILL]))


def test_frames_between_two_lines_are_interpolated_and_those_outside_or_in_gaps_have_none(tmp_path: Path) -> None:
    path = file_of(tmp_path, "0 0 0 0 0 0 0 1", "0.5 1 0 0 0 0 0 1", "3 2 0 0 0 0 0 1", "3.5 3 0 0 0 0 0 1")
    odometry = odometry_of_file(path, np.array([0.0, 0.25, 0.5, 1.5, 3.0, 3.5, 4.0]))
    assert odometry.motions.valid.tolist() == [True, True, False, False, True, False]
    assert odometry.motions.centers_m[[0, 1, 4], 0] == pytest.approx([0.5, 0.5, 1.0])
    assert odometry.metric
    assert odometry.position_m[4] > odometry.position_m[0] > 0


def test_the_frame_of_the_file_does_not_matter(tmp_path: Path) -> None:
    turn = rotation_of_vector(np.array([0.4, -1.0, 2.0]))
    generator = np.random.default_rng(0)
    own = Poses(generator.normal(size=(5, 3)), rotation_of_vector(generator.normal(size=(5, 3))))
    other = Poses([[1.0, 2.0, 3.0]], [turn]).to_matrices()[0] @ own.to_matrices()
    found = []
    for poses in (own, Poses.from_matrices(other)):
        rows = zip(range(5), poses.centers_m, poses.world_from_cam_wxyz, strict=True)
        lines = [f"{time} {x} {y} {z} {q[1]} {q[2]} {q[3]} {q[0]}" for time, (x, y, z), q in rows]
        found.append(odometry_of_file(file_of(tmp_path, *lines), np.arange(5.0)).motions)
    assert found[0].centers_m == pytest.approx(found[1].centers_m, abs=1e-6)
    assert found[0].world_from_cam_wxyz == pytest.approx(found[1].world_from_cam_wxyz, abs=1e-6)


def test_what_a_file_lacks_is_told(tmp_path: Path) -> None:
    times = np.array([0.0, 0.1])
    with pytest.raises(NotFound, match="no trajectory"):
        odometry_of_file(tmp_path / "none.tum", times)
    with pytest.raises(BadInput, match="1 poses, expected at least two"):
        odometry_of_file(file_of(tmp_path, "0 0 0 0 0 0 0 1"), times)
    with pytest.raises(BadInput, match=r"from 0\.00 to 0\.10 s, the trajectory from 1305\.00 to 1306\.00 s"):
        odometry_of_file(file_of(tmp_path, "1305 0 0 0 0 0 0 1", "1306 0 0 0 0 0 0 1"), times)
    with pytest.raises(BadInput, match=r"walk\.tum"):
        odometry_of_file(file_of(tmp_path, "0 0 0 0 0 0", "1 0 0"), times)


def test_a_model_gives_motions_without_scale_and_is_less_sure_between_its_frames() -> None:
    poses = Poses([[0.0, 0, 0], [1.0, 0, 0], [3.0, 0, 0]], [STILL] * 3)
    odometry = odometry_of_model(np.array([2.0, 3.0, 5.0]), poses, np.arange(7.0))
    assert not odometry.metric
    assert odometry.motions.valid.tolist() == [False, False, True, True, True, False]
    assert odometry.motions.centers_m[2:5, 0] == pytest.approx([1.0, 1.0, 1.0])
    assert odometry.position_m[3] > odometry.position_m[2]


def test_frames_of_a_model_have_their_own_times_also_after_the_last_frame_that_was_located(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """1020 frames of thirty a second, of which one a second is located, the last one at 33 s; the model has every sixth one
    from the fourth on. The camera moves one unit a second, and 0.6 after 32.1 s."""
    numbers = np.arange(3, 1020, 6)
    seconds = numbers / 30
    centers = np.stack([np.where(seconds < 32.05, seconds, 32.1 + 0.6 * (seconds - 32.1)), 0 * seconds, 0 * seconds], axis=1)
    model = place_of(centers, numbers / 10).index

    @contextmanager
    def built(*_: object) -> Iterator[Any]:
        yield SimpleNamespace(photos=SimpleNamespace(times_s=dict(zip(numbers.tolist(), seconds.tolist(), strict=True))))

    monkeypatch.setattr("irploc.tracking.odometry.build_map", built)
    monkeypatch.setattr("irploc.tracking.odometry.scene_of", lambda *_: model)
    motions = odometry_by_sfm(Path("walk.mp4"), np.arange(34.0)).motions
    assert motions.centers_m[1:, 0] == pytest.approx([1.0] * 31 + [0.64], abs=1e-6)
    assert not motions.valid[0], "the model begins after the first frame"


def place_of(centers: Any, seconds: np.ndarray, units: str = "metres", turns: Any = None, folder: str = "nowhere") -> Any:
    """A place whose only walk was filmed at ten frames a second."""
    count = len(centers)
    quats = np.tile(STILL, (count, 1)) if turns is None else rotation_of_vector(np.asarray(turns))
    names = tuple(f"{row}.jpg" for row in range(count))
    numbers = np.round(10 * seconds).astype(np.int64)
    frames = Frames(
        tuple(map(Path, names)), names, ["w"] * count, numbers, ["train"] * count, ("",) * count, Poses(centers, quats)
    )
    header = SimpleNamespace(units=units, scene_folder=folder)
    return SimpleNamespace(
        name="toy",
        index=SimpleNamespace(frames=frames),
        store=SimpleNamespace(header=header),
        workspace=Workspace(Path()),
    )


def test_steadiness_is_that_of_the_mapping_walk() -> None:
    """Velocities that change by white noise of 0.4 m/s and 12 deg/s in a second."""
    generator, seconds = np.random.default_rng(0), np.arange(1000) / 10
    velocities = np.cumsum(0.4 * np.sqrt(0.1) * generator.normal(size=(1000, 3)), axis=0)
    turning = np.cumsum(np.radians(12.0) * np.sqrt(0.1) * generator.normal(size=1000))
    turns = np.stack([0 * turning, np.cumsum(0.1 * turning), 0 * turning], axis=1)
    found = steadiness_of(place_of(0.1 * np.cumsum(velocities, axis=0), seconds, turns=turns), seconds[:3], 10.0)
    assert found.position_m == pytest.approx(0.4, rel=0.15)
    assert found.rotation_deg == pytest.approx(12.0 / np.sqrt(3), rel=0.15), "it turns about one axis of three"
    assert found.times_s.tolist() == [0.0, 0.1, 0.2]


def test_where_nothing_can_be_learned_a_camera_moves_as_in_a_hand() -> None:
    photos = place_of(np.random.default_rng(0).normal(size=(30, 3)), 100.0 * np.arange(30))
    assert (steadiness_of(photos, np.zeros(1), 10.0).position_m, steadiness_of(photos, np.zeros(1), 10.0).rotation_deg) == (
        0.3,
        20.0,
    )
    model = place_of([[0.0, 0, 0], [30.0, 40.0, 0]], np.array([0.0, 99.0]), units="as in the model")
    assert steadiness_of(model, np.zeros(1), 10.0).position_m == pytest.approx(3.0), "as in a place five metres across"


def test_what_a_frame_rate_that_may_be_wrong_teaches_is_believed_within_bounds() -> None:
    seconds = np.arange(200) / 10
    hasty = place_of(np.random.default_rng(1).normal(size=(200, 3)), seconds)
    assert steadiness_of(hasty, np.zeros(1), 10.0).position_m == pytest.approx(1.5)
    still = place_of(np.zeros((200, 3)), seconds)
    assert steadiness_of(still, np.zeros(1), 10.0).position_m == pytest.approx(0.06)
    assert steadiness_of(still, np.zeros(1), 0.0).rotation_deg == pytest.approx(20.0), "a frame rate of 0 tells nothing"


def test_the_times_of_a_built_scene_are_used(tmp_path: Path) -> None:
    """The numbers of the frames would say ten times as fast."""
    generator, seconds = np.random.default_rng(2), np.arange(2000) / 10
    velocities = np.cumsum(0.4 * np.sqrt(0.1) * generator.normal(size=(2000, 3)), axis=0)
    place = place_of(0.1 * np.cumsum(velocities, axis=0), seconds, folder=str(tmp_path))
    rows = "".join(f"{number},{number / 10}\n" for number in range(2000))
    (tmp_path / "times.csv").write_text(f"index,time_s\n{rows}")
    assert steadiness_of(place, seconds[:3], 100.0).position_m == pytest.approx(0.4, rel=0.2)


def test_multiplied_turns_are_those_of_the_motion() -> None:
    before, turn = rotation_of_vector(np.array([0.3, 0.2, 0.1])), rotation_of_vector(np.array([0.0, 0.0, 0.5]))
    poses = Poses(np.zeros((2, 3)), [before, multiply(before, turn)])
    motions = odometry_of_model(np.array([0.0, 1.0]), poses, np.array([0.0, 1.0])).motions
    assert motions.world_from_cam_wxyz[0] == pytest.approx(turn)
