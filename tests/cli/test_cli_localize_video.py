"""`irploc localize VIDEO` as a user meets it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from mapping.toy_videos import write_video
from PIL import Image
from tiny_place import TinyEncoder

from irploc.cli import main
from irploc.evaluation import read_pose_file
from irploc.mapping.video import VideoFrame
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.scene import Scene

pytestmark = pytest.mark.usefixtures("tiny_encoder")
FRAMES = 12


@pytest.fixture(scope="module")
def home(toy_scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the rendered place, and a video of twelve of its mapping photos."""
    folder, scene = tmp_path_factory.mktemp("home"), Scene.load(toy_scene)
    (folder / "scenes").mkdir()
    (folder / "scenes/toy").symlink_to(toy_scene)
    embed_scene(scene, toy_scene, folder / "embeddings/toy.h5", TinyEncoder(), EmbedOptions(augmentations=1))
    write_video(folder / "walk.mp4", [np.asarray(Image.open(path)) for path in scene.frames.images[:FRAMES]], fps=10.0)
    return folder


def run(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--workspace", str(home), "localize", *arguments])


def rows_of(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_every_frame_gives_an_object_with_a_smoothed_pose_and_its_own(home: Path) -> None:
    result = run(home, str(home / "walk.mp4"), "--method", "nearest", "--json")
    rows = rows_of(result)
    assert [row["frame"] for row in rows] == list(range(FRAMES))
    assert rows[3]["time_s"] == pytest.approx(0.3)
    assert (rows[3]["image"], rows[3]["method"], rows[3]["scene"]) == ("frame-000003.jpg", "nearest", "toy")
    assert rows[3]["raw"]["center_m"] is not None
    assert rows[3]["center_m"] != rows[3]["raw"]["center_m"]
    assert {row["status"] for row in rows} <= {"ok", "approximate"}
    assert f"{FRAMES} frames: " in result.stderr
    assert "smoothed over 100 frames, odometry none" in result.stderr


def test_raw_poses_are_those_of_the_photos(home: Path) -> None:
    rows = rows_of(run(home, str(home / "walk.mp4"), "--method", "nearest", "--raw", "--json"))
    assert all(row["center_m"] == row["raw"]["center_m"] for row in rows)
    assert rows[3]["confidence"] == rows[3]["raw"]["confidence"]


def test_words_tell_the_frame_and_its_position(home: Path) -> None:
    result = run(home, str(home / "walk.mp4"), "--method", "nearest")
    lines = result.stdout.splitlines()
    assert len(lines) == FRAMES
    assert lines[5].startswith("frame-000005.jpg: x ")
    assert "in toy by nearest" in lines[5]


def test_fewer_frames_by_number_or_by_time(home: Path) -> None:
    for arguments in (["--every", "4"], ["--fps", "2.6"]):
        rows = rows_of(run(home, str(home / "walk.mp4"), "--method", "nearest", *arguments, "--json"))
        assert [row["frame"] for row in rows] == [0, 4, 8]


def test_a_trajectory_file_is_followed_and_trajectories_are_written(home: Path, tmp_path: Path) -> None:
    """Odometry that stands still puts all frames at one place, which no single photo does."""
    (tmp_path / "still.tum").write_text("".join(f"{time / 10} 1 2 3 0 0 0 1\n" for time in range(FRAMES)))
    files = ["--poses", str(tmp_path / "poses.txt"), "--tum", str(tmp_path / "out.tum")]
    result = run(
        home, str(home / "walk.mp4"), "--method", "nearest", "--odometry", str(tmp_path / "still.tum"), *files, "--json"
    )
    rows = rows_of(result)
    centers, own = (np.array([row["center_m"] for row in part]) for part in (rows, [row["raw"] for row in rows]))
    assert np.ptp(centers, axis=0).max() < 0.1 * np.ptp(own, axis=0).max()
    poses = read_pose_file(tmp_path / "poses.txt")
    assert poses.names == tuple(f"frame-{number:06d}.jpg" for number in range(FRAMES))
    assert np.allclose(poses.poses.centers_m, centers)
    lines = (tmp_path / "out.tum").read_text().splitlines()[1:]
    assert [float(word) for word in lines[2].split()[:4]] == pytest.approx([0.2, *centers[2]])
    assert f"{tmp_path / 'out.tum'}: {FRAMES} poses" in result.stderr


def test_a_causal_trajectory_begins_as_the_first_photo_says(home: Path) -> None:
    result = run(home, str(home / "walk.mp4"), "--method", "nearest", "--causal", "--window", "5", "--json")
    rows = rows_of(result)
    assert rows[0]["center_m"] == pytest.approx(rows[0]["raw"]["center_m"], abs=1e-6)
    assert "each smoothed with 4 frames before it" in result.stderr


def test_odometry_by_structure_from_motion_is_asked_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from irploc.geometry.posegraph_terms import Odometry
    from irploc.scene import Scene as AnyScene

    true = AnyScene.load(home / "scenes/toy").frames.poses[slice(0, FRAMES)]
    asked = []

    def fake(video: Path, times_s: np.ndarray, *_: object) -> Odometry:
        asked.append((video.name, np.round(10 * times_s).tolist()))
        return Odometry.between(true, 0.01, 0.5, metric=False)

    monkeypatch.setattr("irploc.tracking.odometry.odometry_by_sfm", fake)
    result = run(home, str(home / "walk.mp4"), "--method", "nearest", "--odometry", "sfm")
    assert result.exit_code == 0, result.output
    assert asked == [("walk.mp4", list(range(FRAMES)))]
    assert "odometry sfm" in result.stderr


def test_where_structure_from_motion_fails_frames_move_steadily_and_the_exit_code_tells(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from irploc.errors import BadInput

    def failing(*_: object) -> None:
        raise BadInput("walk.mp4: only 2 of 12 photos could be registered")

    steadily = run(home, str(home / "walk.mp4"), "--method", "nearest", "--json")
    monkeypatch.setattr("irploc.tracking.odometry.build_map", failing)
    result = run(
        home,
        *(str(home / "walk.mp4"), "--method", "nearest", "--odometry", "sfm", "--json"),
        *("--poses", str(tmp_path / "p.txt"), "--tum", str(tmp_path / "p.tum")),
    )
    assert result.exit_code == 1
    rows, expected = ([json.loads(line) for line in part.stdout.splitlines()] for part in (result, steadily))
    assert [row["center_m"] for row in rows] == [row["center_m"] for row in expected]
    told = [line for line in result.stderr.splitlines() if "only 2 of 12" in line]
    assert told == [
        "no odometry by structure from motion: walk.mp4: only 2 of 12 photos could be registered: "
        "smoothed as if it moved steadily"
    ]
    assert "odometry none" in result.stderr
    assert len(read_pose_file(tmp_path / "p.txt").names) == FRAMES
    assert (tmp_path / "p.tum").is_file()


def test_a_trajectory_of_other_times_is_refused_before_frames_are_located(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwanted(*_: object) -> None:
        raise AssertionError("frames were located")

    monkeypatch.setattr("irploc.tracking.trajectory.locate_frames", unwanted)
    (tmp_path / "later.tum").write_text("1305 0 0 0 0 0 0 1\n1306 0 0 0 0 0 0 1\n")
    result = run(home, str(home / "walk.mp4"), "--method", "nearest", "--odometry", str(tmp_path / "later.tum"))
    assert result.exit_code == 1
    assert "its times must be seconds since the video's beginning" in result.output


def test_after_an_interruption_what_was_located_is_smoothed_and_written(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from irploc.tracking.trajectory import locate_frames

    def stopped(localizer: Any, frames: Iterator[VideoFrame]) -> Iterator[Any]:
        for number, frame in enumerate(locate_frames(localizer, frames)):
            if number == 5:
                raise KeyboardInterrupt
            yield frame

    monkeypatch.setattr("irploc.tracking.trajectory.locate_frames", stopped)
    result = run(
        home, str(home / "walk.mp4"), "--method", "nearest", "--odometry", "sfm", "--poses", str(tmp_path / "p.txt")
    )
    assert result.exit_code != 0
    assert "interrupted after 5 frames: what was located is smoothed without structure from motion" in result.stderr
    assert len(read_pose_file(tmp_path / "p.txt").names) == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["walk.mp4", "photo.png"], "is a video: give a video and photos in commands of their own"),
        (["walk.mp4", "walk.mp4"], "is a video: give videos one at a time"),
        (["photo.png", "--window", "50"], "--window is for a video"),
        (["photo.png", "--raw"], "--raw is for a video"),
        (["photo.png", "--tum", "out.tum"], "--tum is for a video"),
        (["walk.mp4", "--every", "2", "--fps", "3"], "give --every or --fps, not both"),
        (["walk.mp4", "--fps", "nan"], "--fps is nan, it must be a number of frames a second"),
        (["walk.mp4", "--fps", "inf"], "--fps is inf"),
        (["walk.mp4", "--odometry", ""], "no trajectory"),
        (["walk.mp4", "--poses", "a.txt", "--tum", "a.txt"], "--poses and --tum both name"),
        (["walk.mp4", "--raw", "--window", "50"], "--raw smooths nothing: leave --window out"),
        (["walk.mp4", "--raw", "--odometry", "sfm"], "--raw smooths nothing: leave --odometry out"),
        (["walk.mp4", "--causal", "--odometry", "sfm"], "--odometry sfm looks at the whole video"),
        (["walk.mp4", "--odometry", "smf"], "no trajectory smf: give --odometry none, sfm, or a file"),
        (["walk.mp4", "--window", "1"], "window is 1, it must lie in [3, 10000]"),
        (["walk.mp4", "--model", "small.onnx"], "an exported model takes photos"),
        (["gone.mp4"], "no video"),
        (["words.mp4"], "is not a video"),
        (["walk.mp4", "--poses", "photo.png/poses.txt"], "cannot write photo.png/poses.txt"),
        (["walk.mp4", "--method", "magic"], "unknown method"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(home)
    Image.new("RGB", (96, 72)).save(home / "photo.png")
    (home / "words.mp4").write_text("no video\n" * 100)
    result = run(home, *arguments)
    assert result.exit_code != 0
    assert words in result.output
    assert len(result.output.strip().splitlines()) == 1 or "Usage:" in result.output


def test_of_several_scenes_one_has_to_be_chosen(home: Path, tmp_path: Path) -> None:
    (tmp_path / "embeddings").mkdir()
    for name in ("toy", "other"):
        (tmp_path / f"embeddings/{name}.h5").symlink_to(home / "embeddings/toy.h5")
    result = run(tmp_path, str(home / "walk.mp4"))
    assert result.exit_code == 1
    assert "several scenes" in result.output
