"""`irploc pairs` as a user meets it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from pairs_wall import make_wall_scene, write_depth
from tiny_place import TinyEncoder

from irploc.cli import main
from irploc.pairs import PairMatrix
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions

X = (0.0, 1.0, 3.0, 12.0)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with the embedded scene ``wall``, all of whose photos have depth."""
    scene = make_wall_scene(tmp_path / "scenes/wall", X, depth=(0, 1, 2, 3))
    folder = tmp_path / "scenes/wall"
    shutil.move(folder / "scene/scene.toml", folder)  # saved again, as paths are relative
    scene.save(folder)
    shutil.rmtree(folder / "scene")
    embed_scene(scene, folder, tmp_path / "embeddings/wall.h5", TinyEncoder(), EmbedOptions(augmentations=0))
    return tmp_path


def run(workspace: Path, *arguments: str) -> Result:
    """One call of irploc."""
    return CliRunner().invoke(main, ["--workspace", str(workspace), "pairs", *arguments])


def write_line_of_points(path: Path, first_m: float, last_m: float, z: float = 2.0) -> Path:
    """A PLY file of 20 points along x at y = 0.1."""
    names = "".join(f"property float {name}\n" for name in "xyz")
    rows = "".join(f"{x} 0.1 {z}\n" for x in np.linspace(first_m, last_m, 20))
    path.write_text(f"ply\nformat ascii 1.0\nelement vertex 20\n{names}end_header\n{rows}")
    return path


def test_a_scene_by_name_becomes_a_pairs_file_and_counts(workspace: Path) -> None:
    result = run(workspace, "wall")
    assert result.exit_code == 0, result.output
    path = workspace / "pairs/wall.npz"
    assert f"{path}: 2 pairs of 4 photos, from 6 candidates" in result.stdout
    assert [line.split(maxsplit=1) for line in result.stdout.splitlines()[1:]] == [
        ["2", "accepted"],
        ["4", "too little depth overlap"],
    ]
    assert PairMatrix.load(path).accepted.tolist() == [[0, 1], [1, 2]]


def test_every_threshold_reaches_its_test(workspace: Path) -> None:
    out = workspace / "p.npz"
    flags = ["--window", "2", "--neighbours", "1", "--angle", "50", "--min-depth", "0.7", "--depth-tolerance", "0.2"]
    flags += ["--min-points", "0.1", "--min-matches", "0.02", "--epipolar-px", "3", "--split", "all", "--test", "depth"]
    result = run(workspace, "wall", "--out", str(out), *flags)
    assert result.exit_code == 0, result.output
    found = PairMatrix.load(out)
    assert found.accepted.tolist() == [[0, 1]]
    expected = {
        "window": 2,
        "neighbours": 1,
        "max_angle_deg": 50,
        "min_depth": 0.7,
        "depth_tolerance": 0.2,
        "min_points": 0.1,
    }
    expected |= {"min_matches": 0.02, "epipolar_px": 3, "split": "all", "test": "depth"}
    assert {name: found.settings[name] for name in expected} == expected


def test_hloc_gets_lines_of_names(workspace: Path) -> None:
    result = run(workspace, "wall", "--format", "hloc")
    assert result.exit_code == 0, result.output
    assert (workspace / "pairs/wall.txt").read_text() == "0.png 1.png\n1.png 2.png\n"


def test_the_agreement_of_both_tests_is_printed(workspace: Path) -> None:
    pytest.importorskip("cv2")
    result = run(workspace, "wall", "--agreement")
    assert "of the 6 pairs that have depth" in result.stdout
    assert "depth accepts 33.3%; of these ORB accepts 100.0%" in result.stdout


def test_a_report_is_written_where_it_is_asked_for(workspace: Path) -> None:
    result = run(workspace, "wall", "--report", str(workspace / "r/pairs.html"))
    assert result.exit_code == 0, result.output
    assert "too little depth overlap" in (workspace / "r/pairs.html").read_text()


def test_an_embeddings_file_finds_its_scene(workspace: Path) -> None:
    h5 = str(workspace / "embeddings/wall.h5")
    result = run(workspace, h5)
    assert result.exit_code == 0, result.output
    assert "too little depth overlap" in result.stdout
    (workspace / "scenes").rename(workspace / "moved")
    result = run(workspace, h5, "--scene-dir", str(workspace / "moved/wall"))
    assert "too little depth overlap" in result.stdout


def test_without_its_scene_an_embeddings_file_gives_pairs_by_window_and_angle_and_says_so(workspace: Path) -> None:
    (workspace / "scenes").rename(workspace / "moved")
    result = run(workspace, str(workspace / "embeddings/wall.h5"))
    assert result.exit_code == 0, result.output
    assert "window and angle alone (give --scene-dir" in result.stderr
    found = PairMatrix.load(workspace / "pairs/wall.npz")
    assert len(found.accepted) == 6
    assert found.settings["test"] == "none"
    assert found.settings["largest_angle_deg"] == pytest.approx(51.34, abs=0.01)
    refused = run(workspace, str(workspace / "embeddings/wall.h5"), "--test", "orb")
    assert refused.exit_code == 1
    assert "--scene-dir" in refused.stderr


def test_a_scene_with_other_poses_than_the_embeddings_is_refused(workspace: Path) -> None:
    make_wall_scene(workspace / "other", (0.0, 2.0, 3.0, 12.0))
    h5 = str(workspace / "embeddings/wall.h5")
    result = run(workspace, h5, "--scene-dir", str(workspace / "other/scene"))
    assert result.exit_code == 1
    assert "other mapping photos or poses" in result.stderr


def test_a_point_cloud_in_another_frame_is_refused(workspace: Path) -> None:
    far = write_line_of_points(workspace / "far.ply", 0, 20, z=-900)
    result = run(workspace, "wall", "--points", str(far))
    assert result.exit_code == 1
    assert "another frame" in result.stderr
    near = write_line_of_points(workspace / "wall.ply", -3, 7)
    result = run(workspace, "wall", "--points", str(near))
    assert result.exit_code == 0, result.output
    assert "too few points" in result.stdout


def test_a_point_cloud_is_looked_at_through_the_camera_that_fov_describes(tmp_path: Path) -> None:
    """Points at x = 1.4 to 1.9 m: a diagonal of 102.68 degrees (f = 160) sees 2 m to either side, one of 20 sees 0.28 m."""
    make_wall_scene(tmp_path / "plain", X, camera=False)
    cloud = write_line_of_points(tmp_path / "a.ply", 1.4, 1.9)
    arguments = [str(tmp_path / "plain/scene"), "--points", str(cloud)]
    result = run(tmp_path, *arguments, "--fov", "102.68")
    assert result.exit_code == 0, result.output
    assert PairMatrix.load(tmp_path / "pairs/wall.npz").accepted.tolist() == [[0, 1], [0, 2], [1, 2]]
    result = run(tmp_path, *arguments, "--fov", "20")
    assert result.exit_code == 1
    assert "another frame than the scene wall: 0% of its points land" in result.stderr


def test_a_point_cloud_without_intrinsics_is_told_the_option_that_gives_them(tmp_path: Path) -> None:
    make_wall_scene(tmp_path / "plain", X, camera=False)
    cloud = write_line_of_points(tmp_path / "a.ply", 1.4, 1.9)
    result = run(tmp_path, str(tmp_path / "plain/scene"), "--points", str(cloud))
    assert result.exit_code == 1
    assert "4 of 4 photos have no intrinsics; first: 0.png and 3 more: give --fov DEG" in result.stderr
    assert "--focal" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent"], "no scene 'absent'"),
        (["absent.h5"], "no embeddings file"),
        (["wall", "--test", "sift"], "unknown test 'sift', choose one of auto, points, depth, orb, none"),
        (["wall", "--min-depth", "2"], "min-depth is 2.0, it must be in [0, 1]"),
        (["wall", "--window", "0"], "no two of its 4 photos are within 0"),
        (["wall", "--min-depth", "0.9"], "6 too little depth overlap: lower --min-depth"),
        (["wall", "--test", "points"], "give --points PLY_OR_COLMAP"),
        (["wall", "--test", "orb", "--points", "x.ply"], "--points is not used by --test orb"),
        (["wall", "--points", "absent.ply"], "absent.ply"),
        (["wall", "--scene-dir", "."], "leave it out"),
    ],
)
def test_mistakes_end_with_one_line(workspace: Path, arguments: list[str], words: str) -> None:
    result = run(workspace, *arguments)
    assert result.exit_code == 1
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (workspace / "pairs").exists() or not list((workspace / "pairs").iterdir())


def test_depth_of_another_size_ends_with_one_line(workspace: Path) -> None:
    write_depth(workspace / "scenes/wall/images/2.depth.png", np.ones((10, 20)))
    result = run(workspace, "wall")
    assert result.exit_code == 1
    assert "2.depth.png is 20x10, but its camera is for 320x240" in result.stderr
