"""`irploc overlay` as users type it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from wall_place import WALL_M, make_wall, wall_points, write_depth, write_ply

from irploc.cli import main
from irploc.evaluation import write_pose_file
from irploc.geometry.poses import Poses
from irploc.pointcloud import scene_points
from irploc.scene import Scene
from irploc.structure.mapfile import save_map
from irploc.structure.pointmap import PointMap


@pytest.fixture
def wall(tmp_path: Path) -> Scene:
    return make_wall(tmp_path)


def run(home: Path, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["--quiet", "--workspace", str(home), *map(str, arguments)])


def overlay(home: Path, *arguments: object) -> Result:
    return run(home, "overlay", home / "scene", *arguments, "--out", home / "pictures")


def write_poses(home: Path, scene: Scene, shift_m: float = 0.1, rows: tuple[int, ...] = (4, 5)) -> Path:
    """The true poses moved sideways."""
    true = scene.frames.poses[list(rows)]
    moved = Poses(true.centers_m + np.array([shift_m, 0, 0]), true.world_from_cam_wxyz)
    write_pose_file(home / "poses.txt", [scene.frames.names[row] for row in rows], moved)
    return home / "poses.txt"


def refused(result: Result, words: str) -> None:
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    assert words in result.stderr


def test_a_known_shift_gives_the_known_difference_and_a_picture(tmp_path: Path, wall: Scene) -> None:
    result = overlay(tmp_path, "--split", "test", "--poses", write_poses(tmp_path, wall), "--json")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["image"] for row in rows] == ["photo-4.png", "photo-5.png"]
    for row in rows:
        assert row["mean_px"] == pytest.approx(20 * 0.1 / WALL_M)
        assert row["median_px"] == pytest.approx(1)
        assert row["position_m"] == pytest.approx(0.1) and row["rotation_deg"] == pytest.approx(0)
        assert row["points"] > 100 and row["capped"] == 0 and row["status"] == "ok"
        assert row["cloud"] == "depth maps of 4 photos of wall"
        with Image.open(row["picture"]) as picture:
            assert picture.info["scene"] == "wall" and picture.width == 1200
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["photo-4.overlay.png", "photo-5.overlay.png"]


def test_the_table_ends_with_all_photos(tmp_path: Path, wall: Scene) -> None:
    result = overlay(tmp_path, "--split", "test", "--poses", write_poses(tmp_path, wall, 0.2))
    lines = result.stdout.splitlines()
    assert len(lines) == 4
    assert lines[1].split()[:7] == ["photo-4.png", "0.200", "m", "0.00", "deg", "2.0", "2.0"]
    assert lines[3] == "2 photos: mean of the means 2.0 px, median of the means 2.0 px"
    assert "pictures: 2 pictures" in result.stderr


def test_a_ply_is_drawn_where_it_is_given(tmp_path: Path, wall: Scene) -> None:
    cloud = write_ply(tmp_path / "a.ply", wall_points(300))
    poses = write_poses(tmp_path, wall)
    row = json.loads(overlay(tmp_path, "photo-4.png", "--points", cloud, "--poses", poses, "--json").stdout)
    assert row["cloud"] == str(cloud) and 200 < row["points"] <= 300
    few = json.loads(overlay(tmp_path, "photo-4", "--points", cloud, "--count", 20, "--poses", poses, "--json").stdout)
    assert few["points"] <= 20


def test_a_photo_that_has_no_pose_gets_a_line_and_no_picture(tmp_path: Path, wall: Scene) -> None:
    result = overlay(tmp_path, "--split", "test", "--poses", write_poses(tmp_path, wall, rows=(5,)))
    assert result.exit_code == 0
    assert "photo-4.png  not in the pose file: no picture" in result.stdout
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["photo-5.overlay.png"]


@pytest.mark.usefixtures("tiny_encoder")
def test_photos_are_localized_by_a_method(tmp_path: Path, wall: Scene) -> None:
    other = tmp_path / "other.png"
    Image.open(wall.frames.images[0]).save(other)
    assert run(tmp_path, "embed", tmp_path / "scene", "--encoder", "tiny").exit_code == 0
    result = overlay(tmp_path, wall.frames.images[1], other, "--method", "nearest", "--json")
    assert result.exit_code == 0, result.output
    known, unknown = (json.loads(line) for line in result.stdout.splitlines())
    assert known["image"] == "photo-1.png" and known["method"] == "nearest" and known["mean_px"] is not None
    assert unknown["image"] == str(other) and unknown["mean_px"] is None and unknown["points"] > 0
    assert Path(unknown["picture"]).name == "other.overlay.png"


def test_a_photo_of_another_size_needs_its_focal_length(tmp_path: Path, wall: Scene) -> None:
    other = tmp_path / "photo-9.png"
    Image.new("RGB", (80, 60)).save(other)
    poses = tmp_path / "poses.txt"
    write_pose_file(poses, ["photo-9.png"], wall.frames.poses[[2]])
    refused(overlay(tmp_path, other, "--poses", poses), "(80x60) has no intrinsics: give --focal PX")
    row = json.loads(overlay(tmp_path, other, "--poses", poses, "--focal", 40, "--json").stdout)
    assert row["points"] > 100 and row["mean_px"] is None


def test_a_scene_without_intrinsics_needs_them_too(tmp_path: Path) -> None:
    wall = make_wall(tmp_path, with_camera=False, with_depth=False)
    arguments = ["--split", "test", "--poses", write_poses(tmp_path, wall)]
    refused(overlay(tmp_path, *arguments), "2 of 2 photos failed; first: photo-4.png has no intrinsics: give --focal PX")
    cloud = write_ply(tmp_path / "a.ply", wall_points())
    result = overlay(tmp_path, *arguments, "--points", cloud, "--focal", 20, "--json")
    assert json.loads(result.stdout.splitlines()[0])["mean_px"] == pytest.approx(1)


def test_a_scene_without_points_is_told_how_to_get_them(tmp_path: Path) -> None:
    wall = make_wall(tmp_path, with_depth=False)
    refused(overlay(tmp_path, "--split", "test", "--poses", write_poses(tmp_path, wall)), "give --points PLY_OR_COLMAP")


def test_a_scene_without_other_points_shows_those_of_its_map(tmp_path: Path) -> None:
    wall, points = make_wall(tmp_path, with_depth=False), wall_points()
    found = PointMap(
        names=wall.frames.names[:1],
        poses=wall.frames.poses[[0]],
        photo_cameras=("wide",),
        cameras=dict(wall.cameras),
        points_m=points,
        descriptors=np.zeros((len(points), 128), np.uint8),
        starts=np.array([0, len(points)]),
        observed=np.arange(len(points), dtype=np.int32),
        pixels=wall.cameras["wide"].project(points).astype(np.float32),
    )
    (tmp_path / "models").mkdir()
    save_map(found, tmp_path / "models" / "wall.structure.pt")
    asked = [tmp_path / "scene", "--split", "test", "--poses", write_poses(tmp_path, wall), "--out", tmp_path, "--json"]
    result = run(tmp_path, "overlay", *asked)
    row = json.loads(result.stdout.splitlines()[0])
    assert row["cloud"] == "wall.structure.pt" and row["points"] > 100
    assert row["mean_px"] == pytest.approx(20 * 0.1 / WALL_M)


def test_a_cloud_100_m_away_is_refused(tmp_path: Path, wall: Scene) -> None:
    cloud = write_ply(tmp_path / "a.ply", wall_points() + np.array([100, 0, 0]))
    result = overlay(tmp_path, "photo-4.png", "--points", cloud, "--poses", write_poses(tmp_path, wall))
    refused(result, "a.ply lies in another frame than the scene wall: 0% of its points land")


def test_a_depth_map_of_another_size_is_refused(tmp_path: Path, wall: Scene) -> None:
    write_depth(wall.frames.images[1].with_suffix(".depth.png"), np.ones((15, 20)))
    result = overlay(tmp_path, "photo-4.png", "--poses", write_poses(tmp_path, wall))
    refused(result, "photo-1.depth.png is 20x15, but its camera is for 40x30")


def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path, wall: Scene) -> None:
    poses = write_poses(tmp_path, wall)
    (tmp_path / "text.jpg").write_text("no photo")
    Image.new("RGB", (50, 30)).save(wall.frames.images[5])
    for arguments, words in (
        (["nothing.png", "--poses", poses], "no photo nothing.png, neither a file nor a name in scene wall"),
        ([tmp_path / "text.jpg", "--poses", poses], "text.jpg is not an image"),
        (["photo-5.png", "--poses", poses], "photo-5.png is 50x30, but its camera is for 40x30"),
        (["photo-4.png", "--poses", tmp_path / "none.txt"], "no pose file"),
        (["photo-4.png", "--poses", poses, "--points", tmp_path / "none.ply"], "no point cloud"),
        (["photo-4.png", "--poses", poses, "--points", wall.frames.images[0]], "is no point cloud: expected a .ply file"),
        (["--split", "validation", "--poses", poses], "scene wall has no validation photos"),
        (["photo-4.png", "--method", "nearest"], "irploc embed"),
    ):
        refused(overlay(tmp_path, *arguments), words)


def test_contradictions_are_usage_errors(tmp_path: Path, wall: Scene) -> None:
    for arguments in (
        [],
        ["photo-4.png", "--split", "test"],
        ["photo-4.png", "--method", "bdi", "--poses", "poses.txt"],
        ["photo-4.png", "--focal", "-5"],
        ["photo-4.png", "--focal", "nan"],
    ):
        assert overlay(tmp_path, *arguments).exit_code == 2


def test_one_photo_that_fails_does_not_stop_the_others(tmp_path: Path, wall: Scene) -> None:
    result = overlay(tmp_path, "nothing.png", "photo-4.png", "--poses", write_poses(tmp_path, wall))
    assert result.exit_code == 1
    assert "photo-4.png" in result.stdout and "1 of 2 photos failed; first: no photo nothing.png" in result.stderr


def test_photos_of_one_name_in_two_folders_get_two_pictures(tmp_path: Path, wall: Scene) -> None:
    others = [tmp_path / folder / "view.png" for folder in ("a", "b")]
    for other in others:
        other.parent.mkdir()
        Image.open(wall.frames.images[0]).save(other)
    write_pose_file(tmp_path / "poses.txt", ["a/view.png", "b/view.png"], wall.frames.poses[[0, 1]])
    assert overlay(tmp_path, *others, "--poses", tmp_path / "poses.txt").exit_code == 0
    pictures = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert len(pictures) == 2 and pictures[0].endswith("a-view.overlay.png") and pictures[1].endswith("b-view.overlay.png")


def test_an_imported_colmap_model_keeps_its_points(tmp_path: Path) -> None:
    model = tmp_path / "project/sparse/0"
    model.mkdir(parents=True)
    (model / "cameras.txt").write_text("1 SIMPLE_PINHOLE 40 30 20 20 15\n")
    (model / "images.txt").write_text("1 1 0 0 0 0 0 0 1 photo-0.png\n\n")
    (model / "points3D.txt").write_text("1 0.1 0.2 3 10 20 30 0.5\n")
    out = tmp_path / "scenes/built"
    (out / "sparse").mkdir(parents=True)
    (out / "sparse/points3D.bin").write_bytes(b"of an older import")
    result = run(tmp_path, "scene", "import", "colmap", tmp_path / "project", "--out", out)
    assert result.exit_code == 0, result.output
    found = scene_points(out)
    assert found is not None
    np.testing.assert_array_equal(found.points_m, [[0.1, 0.2, 3]])
    assert sorted(path.name for path in (out / "sparse").iterdir()) == ["cameras.txt", "images.txt", "points3D.txt"]


def test_a_model_inside_the_scene_folder_stays_as_it_is(tmp_path: Path) -> None:
    model = tmp_path / "project/sparse"
    model.mkdir(parents=True)
    (model / "cameras.txt").write_text("1 SIMPLE_PINHOLE 40 30 20 20 15\n")
    (model / "images.txt").write_text("1 1 0 0 0 0 0 0 1 photo-0.png\n\n")
    (model / "points3D.txt").write_text("1 0.1 0.2 3 10 20 30 0.5\n")
    assert run(tmp_path, "scene", "import", "colmap", tmp_path / "project", "--out", tmp_path / "project").exit_code == 0
    assert (model / "points3D.txt").read_text() == "1 0.1 0.2 3 10 20 30 0.5\n"
    assert len(scene_points(tmp_path / "project") or ()) == 1
