"""`irploc scene align` as a user types it, on a room whose true frame is known."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from mapping.align_room import ODD_FRAME, clicks_of, room_poses, save_room, write_lines
from PIL import Image

from irploc.cli import main
from irploc.geometry.poses import Poses, pose_errors
from irploc.geometry.similarity import Similarity
from irploc.scene import Scene
from irploc.synthetic.raycast import Geometry
from irploc.synthetic.room import build_room

# Points of the room, metres; each is seen by several photos.
POINTS = {"a": (1.2, 3.9, 0.8), "b": (4.8, 2.5, 1.2), "c": (0.3, 2.0, 1.0), "d": (2.5, 0.3, 0.9), "e": (4.0, 3.8, 1.2)}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A workspace with the scene ``room`` and tables of clicks and known points."""
    scene = save_room(tmp_path / "scenes/room")
    clicks = [line for name, place in POINTS.items() for line in clicks_of(scene, name, ODD_FRAME.apply(place))]
    write_lines(tmp_path / "clicks.csv", "name,image,u,v", *clicks)
    write_lines(tmp_path / "known.csv", "name,x,y,z", *[f"{name},{x},{y},{z}" for name, (x, y, z) in POINTS.items()])
    return tmp_path


def align(home: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["--workspace", str(home), "scene", "align", "room", *map(str, arguments)])


def worked(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


def refused(result: Result) -> str:
    assert result.exit_code == 1, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def scene(home: Path) -> Scene:
    return Scene.load(home / "scenes/room")


def worst_error(home: Path, truth: Poses | None = None) -> tuple[float, float]:
    position, rotation = pose_errors(scene(home).frames.poses, room_poses() if truth is None else truth)
    return float(position.max()), float(rotation.max())


def apart(one: str, other: str) -> str:
    return str(float(np.linalg.norm(np.subtract(POINTS[one], POINTS[other]))))


def test_a_distance_between_clicks_gives_the_scale(home: Path) -> None:
    result = worked(align(home, "--points", home / "clicks.csv", "--distance", "a", "b", apart("a", "b")))
    assert "1 of 1 used" in result.stdout
    assert "units: metres" in result.stdout
    assert "scale sure to 0." in result.stdout
    step = scene(home).alignment[0]
    assert step.similarity.scale == pytest.approx(1 / 4.2, rel=1e-5)
    assert 0 < step.inputs["scale_uncertainty"] < 0.02


def test_the_distance_that_disagrees_is_named(home: Path) -> None:
    pairs = ["--distance", "a", "b", apart("a", "b"), "--distance", "b", "c", apart("b", "c"), "--distance", "a", "d", "9.5"]
    result = worked(align(home, "--points", home / "clicks.csv", *pairs))
    assert "1 of the distances disagree with the others and are left out: a - d" in result.stderr
    assert "left out" in next(line for line in result.stdout.splitlines() if line.startswith("  a - d"))
    assert scene(home).alignment[0].similarity.scale == pytest.approx(1 / 4.2, rel=1e-5)


def test_known_points_give_the_whole_frame(home: Path) -> None:
    result = worked(align(home, "--points", home / "clicks.csv", "--known", home / "known.csv"))
    assert worst_error(home)[0] < 1e-4
    assert worst_error(home)[1] < 1e-3
    assert "5 of 5 used" in result.stdout
    for name in POINTS:
        assert any(line.startswith(f"  {name}  ") and line.endswith(" m") for line in result.stdout.splitlines())


def test_the_known_point_that_disagrees_is_named_with_its_residual(home: Path) -> None:
    rows = (home / "known.csv").read_text().splitlines()
    rows[5] = "e,4.0,3.8,1.8"
    result = worked(align(home, "--points", home / "clicks.csv", "--known", write_lines(home / "wrong.csv", *rows)))
    assert "left out: e (0.60 m)" in result.stderr
    assert worst_error(home)[0] < 1e-3


def test_mirrored_and_unknown_points_are_refused_and_nothing_changes(home: Path) -> None:
    before = (home / "scenes/room/frames.csv").read_bytes()
    mirrored = write_lines(home / "m.csv", "name,x,y,z", *[f"{name},{x},{y},{-z}" for name, (x, y, z) in POINTS.items()])
    assert "mirrored" in refused(align(home, "--points", home / "clicks.csv", "--known", mirrored))
    lost = write_lines(home / "l.csv", "name,x,y,z", "a,1,2,3", "f,1,2,3", "b,2,3,4")
    assert "1 of 3 names" in refused(align(home, "--points", home / "clicks.csv", "--known", lost))
    assert (home / "scenes/room/frames.csv").read_bytes() == before


def test_three_mirrored_points_cannot_be_told_but_the_photos_upside_down_can(home: Path) -> None:
    mirrored = write_lines(
        home / "m.csv", "name,x,y,z", *[f"{n},{POINTS[n][1]},{POINTS[n][0]},{POINTS[n][2]}" for n in "abd"]
    )
    result = worked(align(home, "--points", home / "clicks.csv", "--known", mirrored))
    assert "the photos stand upside down in this frame" in result.stderr


def test_known_points_after_upright_turn_about_z_only(home: Path) -> None:
    rows = (home / "known.csv").read_text().splitlines()
    two = write_lines(home / "two.csv", *rows[:3])
    worked(align(home, "--upright", "--points", home / "clicks.csv", "--known", two))
    assert scene(home).alignment[1].similarity.rotation_wxyz[1:3] == (0.0, 0.0)
    assert worst_error(home)[0] < 0.05
    assert "needs at least three" in refused(align(home, "--points", home / "clicks.csv", "--known", two))


def test_upright_then_a_plan_finds_the_room_by_three_points(home: Path) -> None:
    plan = write_lines(home / "plan.csv", "name,x,y", *[f"{name},{POINTS[name][0]},{POINTS[name][1]}" for name in "abc"])
    result = worked(align(home, "--upright", "--points", home / "clicks.csv", "--plan-points", plan))
    assert "floor at z = 0.000" in result.stdout
    assert [step.method for step in scene(home).alignment] == ["upright", "plan"]
    assert worst_error(home)[0] < 0.05
    assert worst_error(home)[1] < 0.5


def test_a_plan_by_two_photos_keeps_the_scale_of_a_distance(home: Path) -> None:
    truth = room_poses().centers_m
    names = scene(home).frames.names
    plan = write_lines(home / "plan.csv", "name,x,y", *[f"{names[row]},{truth[row, 0]},{truth[row, 1]}" for row in (0, 12)])
    metres = float(np.linalg.norm(truth[0] - truth[20]))
    distance = ["--distance", f"photo:{names[0]}", f"photo:{names[20]}", str(metres)]
    result = worked(align(home, *distance, "--upright", "--plan-points", plan))
    assert "two points on the plan leave nothing to check them by" in result.stderr
    assert [step.method for step in scene(home).alignment] == ["distance", "upright", "plan"]
    assert scene(home).alignment[2].similarity.scale == 1.0
    assert worst_error(home)[0] < 0.05


def test_a_plan_of_another_scale_is_refused_with_the_factor(home: Path) -> None:
    worked(align(home, "--points", home / "clicks.csv", "--known", home / "known.csv"))
    plan = write_lines(home / "plan.csv", "name,x,y", *[f"{n},{1.5 * POINTS[n][0]},{1.5 * POINTS[n][1]}" for n in POINTS])
    assert "the plan is 1.5 times the scene" in refused(align(home, "--points", home / "clicks.csv", "--plan-points", plan))
    worked(align(home, "--points", home / "clicks.csv", "--plan-points", plan, "--free-scale"))
    assert scene(home).alignment[1].similarity.scale == pytest.approx(1.5, rel=1e-3)


def test_a_plan_without_upright_is_refused(home: Path) -> None:
    plan = write_lines(home / "plan.csv", "name,x,y", "a,1,2", "b,3,4")
    assert "give --upright too" in refused(align(home, "--points", home / "clicks.csv", "--plan-points", plan))


def test_camera_positions_give_the_frame(home: Path) -> None:
    truth, names = room_poses().centers_m, scene(home).frames.names
    rows = [f"{name},{x!r},{y!r},{z!r}" for name, (x, y, z) in zip(names, truth.tolist(), strict=True)]
    rows[3] = f"{names[3]},9,9,9"
    result = worked(align(home, "--positions", write_lines(home / "p.csv", "image,x,y,z", *rows)))
    assert f"left out: {names[3]}" in result.stderr
    assert "23 of 24 used" in result.stdout
    assert worst_error(home)[0] < 1e-6


def test_a_trajectory_gives_the_frame_by_time(home: Path) -> None:
    truth = room_poses().centers_m  # frames 0, 5, 10 … of a video of 10 frames a second that began at 100 s
    rows = [f"{100 + 0.5 * row!r} {x!r} {y!r} {z!r} 0 0 0 1" for row, (x, y, z) in enumerate(truth.tolist())]
    path = write_lines(home / "t.txt", *rows)
    worked(align(home, "--trajectory", path, "--fps", "10", "--offset", "100"))
    assert worst_error(home)[0] < 1e-6
    assert "--trajectory needs --fps" in refused(align(home, "--trajectory", path))


def test_a_trajectory_is_read_at_the_times_of_a_built_scene(home: Path) -> None:
    truth, indices = room_poses().centers_m, scene(home).frames.indices
    times = np.cumsum(np.where(np.arange(len(truth)) % 2, 0.2, 0.7))  # a rate that varies
    write_lines(
        home / "scenes/room/times.csv",
        "index,time_s",
        *[f"{index},{time:.6f}" for index, time in zip(indices, times, strict=True)],
    )
    rows = [
        f"{time + 50!r} {x!r} {y!r} {z!r} 0 0 0 1" for time, (x, y, z) in zip(times.tolist(), truth.tolist(), strict=True)
    ]
    result = worked(align(home, "--trajectory", write_lines(home / "t.txt", *rows), "--offset", "50", "--fps", "10"))
    assert "--fps is not used" in result.stderr
    assert scene(home).alignment[0].inputs["times"] == "times.csv"
    assert worst_error(home)[0] < 1e-4


def test_gps_without_altitude_is_enough_after_upright_and_leaves_the_floor(home: Path) -> None:
    truth, loaded = 40 * room_poses().centers_m, scene(home)  # a hall: satellites tell no room
    for row in range(0, len(truth), 3):
        exif = Image.Exif()
        seconds = truth[row, :2] / (np.pi / 180 / 3600 * 6371e3)  # at the equator a second is as long in x as in y
        exif.get_ifd(0x8825).update({1: "N", 2: (0.0, 0.0, float(seconds[1])), 3: "E", 4: (10.0, 0.0, float(seconds[0]))})
        loaded.frames.images[row].parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 6)).save(loaded.frames.images[row], exif=exif)
    assert "8 more lack the altitude, which --upright does without" in refused(align(home, "--gps"))
    worked(align(home, "--gps", "--upright"))
    found = scene(home)
    assert found.alignment[1].similarity.scale * found.alignment[0].similarity.scale == pytest.approx(40 / 4.2, rel=0.01)
    np.testing.assert_allclose(found.frames.poses.centers_m[:, 2], truth[:, 2], rtol=0.02)  # above the floor


def test_a_trajectory_of_another_time_asks_about_the_offset(home: Path) -> None:
    truth = room_poses().centers_m
    rows = [f"{0.5 * row!r} {x!r} {y!r} {z!r} 0 0 0 1" for row, (x, y, z) in enumerate(truth.tolist())]
    path = write_lines(home / "t.txt", *rows)
    assert "are --fps and --offset right?" in refused(align(home, "--trajectory", path, "--fps", "10", "--offset", "4"))


def test_steps_are_shown_and_undone_one_by_one(home: Path) -> None:
    before = scene(home).frames.poses
    worked(align(home, "--points", home / "clicks.csv", "--known", home / "known.csv"))
    worked(align(home, "--upright"))
    shown = worked(align(home, "--show")).stdout
    assert shown.index("points") < shown.index("upright")
    assert worked(align(home, "--undo")).stdout.startswith("undone: upright")
    assert scene(home).units == "metres"
    worked(align(home, "--undo"))
    assert scene(home).units == "as in the model"
    assert worst_error(home, before)[0] < 1e-9
    assert "no alignment to undo" in refused(align(home, "--undo"))


def test_depth_maps_show_the_floor_where_there_are_no_sparse_points(tmp_path: Path, toy_scene: Path) -> None:
    toy = Scene.load(toy_scene)
    leaning = Similarity(1.0, (0.98, 0.1, -0.15, 0.05), (0.0, 0.0, -1.3))
    geometry, names = Geometry(build_room()[0]), toy.frames.names
    for row, name in enumerate(names):
        photo = tmp_path / "photos" / name
        photo.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(toy.frames.images[row], photo)
        depth_mm = 1000 * geometry.cast_rays(toy.cameras["rendered"], toy.frames.poses[[row]]).depth_m
        Image.fromarray(depth_mm.astype(np.uint16)).save(photo.with_suffix(".depth.png"))
    moved = replace(
        toy.frames,
        images=tuple(tmp_path / "photos" / name for name in names),
        poses=leaning.apply_to_poses(toy.frames.poses),
    )
    replace(toy, name="room", image_root=tmp_path / "photos", frames=moved).save(tmp_path / "scenes/room")
    worked(align(tmp_path, "--upright"))
    back = scene(tmp_path).alignment[0].similarity.compose(leaning)
    np.testing.assert_allclose(back.apply([[3.0, 2, 0], [1, 1, 0], [5, 4, 2.6]])[:, 2], [0, 0, 2.6], atol=0.03)


def test_a_scene_without_any_points_takes_gravity_from_its_cameras(home: Path) -> None:
    shutil.rmtree(home / "scenes/room/sparse")
    assert "neither a sparse model (sparse/) nor depth maps" in refused(align(home, "--upright"))
    result = worked(align(home, "--upright", "--no-floor"))
    assert "gravity is by the cameras alone" in result.stderr


def test_a_dry_run_writes_nothing(home: Path) -> None:
    before = (home / "scenes/room/scene.toml").read_bytes()
    result = worked(align(home, "--upright", "--dry-run"))
    assert "nothing is written" in result.stderr
    assert (home / "scenes/room/scene.toml").read_bytes() == before


def test_json_holds_the_steps_as_they_are_stored(home: Path) -> None:
    result = worked(align(home, "--points", home / "clicks.csv", "--known", home / "known.csv", "--json"))
    content = json.loads(result.stdout)
    assert (content["scene"], content["units"]) == ("room", "metres")
    stored = scene(home).alignment[0]
    assert content["steps"][0]["similarity"] == stored.similarity.to_dict()
    assert set(content["steps"][0]["residuals"]) == set(POINTS)
    assert Similarity.from_dict(content["steps"][0]["similarity"]).scale == pytest.approx(1 / 4.2, rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "nothing to align by"),
        (["--known", "k.csv"], "give --points"),
        (["--points", "clicks.csv"], "--points alone aligns nothing"),
        (["--gps", "--positions", "p.csv"], "--positions and --gps each fix the whole frame"),
        (["--gps"], "have a position in their EXIF"),
        (["--no-floor", "--gps"], "--no-floor goes with --upright"),
        (["--show", "--undo"], "go alone"),
        (["--undo", "--upright"], "go alone"),
        (["--show", "--no-floor"], "go alone"),
        (["--gps", "--keep-scale"], "--keep-scale would keep no metres"),
        (["--upright", "--max-error", "-1"], "expected metres above zero"),
        (["--distance", "1,2,3", "x", "2"], "'x' is no point"),
        (["--points", "none.csv", "--known", "k.csv"], "no file none.csv"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_one_line(home: Path, arguments: list[str], complaint: str) -> None:
    assert complaint in refused(align(home, *arguments))


def test_embeddings_with_the_old_poses_are_told(home: Path, toy_scene: Path, tiny_encoder: None) -> None:
    def run(*arguments: str | Path) -> Result:
        return worked(CliRunner().invoke(main, ["--quiet", "--workspace", str(home), *map(str, arguments)]))

    Scene.load(toy_scene).save(home / "scenes/toy")
    run("embed", "toy", "--encoder", "tiny", "--augmentations", "0")
    names = Scene.load(home / "scenes/toy").frames.names
    distance = ["--distance", f"photo:{names[0]}", f"photo:{names[9]}", "7"]
    result = run("scene", "align", "toy", *distance)
    assert "toy.h5 has the poses of before: run 'irploc embed toy' again" in result.stderr
    assert "the scene was in metres already, and its scale changes by a factor" in result.stderr
    run("embed", "toy", "--encoder", "tiny", "--augmentations", "0")
    assert "poses of before" not in run("scene", "align", "toy", *distance, "--dry-run").stderr
    assert "poses of before" in run("scene", "align", "toy", "--undo").stderr
