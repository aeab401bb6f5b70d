"""`irploc track` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner, Result
from mapping.toy_videos import striped, write_video
from tiny_place import TinyEncoder, make_scene

from irploc.cli import main
from irploc.evaluation import read_pose_file
from irploc.geometry.poses import Poses
from irploc.mapping.video import VideoFrame
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.structure.features import FeatureOptions, LocalFeatures
from irploc.tracking import Tracked, TrackOptions

pytestmark = pytest.mark.usefixtures("tiny_encoder")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with an embedded scene and no map, and a video of nine frames."""
    folder = tmp_path_factory.mktemp("home")
    scene = make_scene(folder)
    scene.save(folder / "scenes/tiny")
    embed_scene(scene, folder / "scenes/tiny", folder / "embeddings/tiny.h5", TinyEncoder(), EmbedOptions(augmentations=1))
    write_video(folder / "walk.mp4", [striped(number) for number in range(9)], fps=10.0)
    return folder


class FakeTracker:
    """Knows where every frame is but the fourth; ``stop_at`` is a frame at which Ctrl-C is pressed."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.options, self.stop_at, self.camera = TrackOptions(), stop_at, None
        self.point_map = SimpleNamespace(features=FeatureOptions())

    def step(self, frame: VideoFrame, features: LocalFeatures | None) -> Tracked:
        if frame.number == self.stop_at:
            raise KeyboardInterrupt
        if frame.number == 4:
            return Tracked(4, frame.time_s, "not_localized", Poses.missing(1), 0.0, None, "", {"pose": 1.0})
        half = np.radians(45.0)
        pose = Poses([[frame.number, 2.0, 3.0]], [[np.cos(half), 0.0, 0.0, np.sin(half)]])
        return Tracked(frame.number, frame.time_s, "ok", pose, 0.97, (0.004, 0.1), "followed", {"pose": 1.0})


def run(home: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str, stop_at: int | None = None) -> Result:
    place = SimpleNamespace(name="tiny", store=SimpleNamespace(header=SimpleNamespace(units="metres")))
    localizer = SimpleNamespace(notes=(), scenes=[SimpleNamespace(place=place)])
    monkeypatch.setattr("irploc.localizer.Localizer.open", lambda *_, **__: localizer)
    monkeypatch.setattr("irploc.cli.track._tracker", lambda *_: FakeTracker(stop_at))
    return CliRunner().invoke(main, ["--workspace", str(home), "track", str(home / "walk.mp4"), *arguments])


def test_every_frame_gives_an_object_with_its_pose_in_both_conventions(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(home, monkeypatch, "--json")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["frame"] for row in rows] == list(range(9))
    assert rows[3]["time_s"] == pytest.approx(0.3)
    assert rows[3]["center_m"] == [3.0, 2.0, 3.0]
    assert rows[3]["cam_from_world"]["tvec_m"] == pytest.approx([-2.0, 3.0, -3.0])
    assert (rows[3]["status"], rows[3]["found"], rows[3]["confidence"]) == ("ok", "followed", 0.97)
    assert rows[3]["expected_error"] == {"position_m": 0.004, "rotation_deg": 0.1}
    assert (rows[4]["status"], rows[4]["center_m"], rows[4]["found"]) == ("not_localized", None, None)
    assert "9 frames in" in result.stderr
    assert "frames/s: 8 ok, 1 not localized (8 followed)" in result.stderr


def test_the_files_hold_what_other_tools_read(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(home, monkeypatch, "--poses", str(tmp_path / "poses.txt"), "--tum", str(tmp_path / "walk.tum"))
    assert result.exit_code == 0, result.output
    poses = read_pose_file(tmp_path / "poses.txt")
    assert poses.names == tuple(f"frame-{number:06d}.jpg" for number in range(9) if number != 4)
    assert np.allclose(poses.poses.centers_m[:, 0], [0, 1, 2, 3, 5, 6, 7, 8])
    lines = (tmp_path / "walk.tum").read_text().splitlines()
    assert lines[0].startswith("# timestamp tx ty tz qx qy qz qw")
    assert [float(word) for word in lines[2].split()] == pytest.approx([0.1, 1, 2, 3, 0, 0, np.sqrt(0.5), np.sqrt(0.5)])


def test_fewer_frames_by_number_or_by_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in (["--every", "3"], ["--fps", "3.4"]):
        result = run(home, monkeypatch, *arguments, "--json")
        assert [json.loads(line)["frame"] for line in result.stdout.splitlines()] == [0, 3, 6], result.output
    both = run(home, monkeypatch, "--every", "3", "--fps", "3")
    assert (both.exit_code, "give --every or --fps, not both" in both.stderr) == (1, True)


def test_after_an_interruption_what_was_done_is_written(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(home, monkeypatch, "--poses", str(tmp_path / "poses.txt"), stop_at=3)
    assert result.exit_code != 0
    assert "interrupted; what was done is written" in result.stderr
    assert len(read_pose_file(tmp_path / "poses.txt").names) == 3


def test_a_scene_without_a_map_says_which_command_makes_it(home: Path) -> None:
    result = CliRunner().invoke(main, ["--workspace", str(home), "track", str(home / "walk.mp4"), "--scene", "tiny"])
    assert result.exit_code == 1
    assert "irploc triangulate tiny" in result.stderr


def test_what_is_no_video_is_told(home: Path) -> None:
    (home / "notes.txt").write_text("words\n" * 50)
    result = CliRunner().invoke(main, ["--workspace", str(home), "track", str(home / "notes.txt")])
    assert (result.exit_code, "notes.txt is not a video" in result.stderr) == (1, True)
    result = CliRunner().invoke(main, ["--workspace", str(home), "track", str(home / "none.mp4")])
    assert (result.exit_code, "no video" in result.stderr) == (1, True)
