"""`irploc floormap`, and --floor-map of localize, evaluate and train-mlp, as users type them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from tiny_place import TinyEncoder

from irploc import Localizer
from irploc.cli import main
from irploc.floormap import FloorMap
from irploc.geometry.similarity import AlignmentStep, Similarity
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.scene import Scene
from irploc.training.modelfile import load_model

pytestmark = pytest.mark.usefixtures("tiny_encoder")


@pytest.fixture(scope="module")
def workspace(toy_scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered room of 6.2 x 4.8 m in metres, z up, embedded; treat it as read-only."""
    home = tmp_path_factory.mktemp("floors")
    scene = replace(Scene.load(toy_scene), name="toy")
    scene.save(home / "scenes/toy")
    embed_scene(scene, home / "scenes/toy", home / "embeddings/toy.h5", TinyEncoder(), EmbedOptions(augmentations=1))
    FloorMap(np.ones((48, 62), dtype=bool), 0.1).save(home / "room.toml")
    return home


@pytest.fixture(scope="module")
def test_center(workspace: Path) -> np.ndarray:
    """Where 'nearest' puts the first test photo."""
    photo = Scene.load(workspace / "scenes/toy").frames.of_split("test").images[0]
    return Localizer.open("toy", "nearest", workspace=workspace).localize([photo])[0].pose.centers_m[0]


def strip(path: Path, first_x_m: float, limit_m: float) -> Path:
    """A map of the room that is walkable from x = ``first_x_m`` on; the rest of the walk may lie outside."""
    walkable = np.zeros((480, 620), dtype=bool)
    walkable[:, round(100 * first_x_m) :] = True
    FloorMap(walkable, 0.01, max_distance_m=limit_m, accept_outside=True).save(path)
    return path


def run(workspace: Path, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["--quiet", "--workspace", str(workspace), *map(str, arguments)])


def refused(result: Result, code: int = 1) -> str:
    assert result.exit_code == code, result.output
    if code == 1:
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    return result.stderr


def photo_of(workspace: Path) -> Path:
    return Scene.load(workspace / "scenes/toy").frames.of_split("test").images[0]


def test_a_plan_is_described_checked_against_the_scene_and_drawn(workspace: Path, tmp_path: Path) -> None:
    Image.new("RGB", (124, 96), "white").save(tmp_path / "plan.png")
    out = tmp_path / "hall.toml"
    flags = ("--plan", tmp_path / "plan.png", "--metres-per-pixel", 0.05, "--walkable", "#ffffff", "--scene", "toy")
    result = run(workspace, "floormap", "new", *flags, "--out", out)
    assert result.exit_code == 0, result.output
    assert f"{out}: 124x96 pixels, 6.2 x 4.8 m, 29.76 m² walkable (100 %), z is up" in result.stdout
    share = "24 of 24 mapping photos (100 %) on walkable ground, 24 within 0.3 m of it"
    assert share in result.stdout and "accept_outside" not in out.read_text()
    result = run(workspace, "floormap", "show", out, "toy", "--out", tmp_path / "hall.png")
    assert result.exit_code == 0, result.output
    assert share in result.stdout
    assert Image.open(tmp_path / "hall.png").width > 500


def test_a_plan_of_the_wrong_scale_is_refused_and_not_written(workspace: Path, tmp_path: Path) -> None:
    Image.new("RGB", (124, 96), "white").save(tmp_path / "plan.png")
    out = tmp_path / "hall.toml"
    for scale, words in ((0.005, "0.005 is too small"), (0.5, "0.5 is too large")):
        flags = ("--plan", tmp_path / "plan.png", "--metres-per-pixel", scale, "--walkable", "#ffffff", "--scene", "toy")
        said = refused(run(workspace, "floormap", "new", *flags, "--out", out))
        assert words in said and "mapping photos are not on walkable ground" in said
        assert not out.exists()


def half_room(folder: Path) -> tuple[object, ...]:
    """A plan of the room whose half is walkable where fewer photos were taken, and how it is described."""
    Image.fromarray(np.repeat([[255] * 31 + [0] * 31], 48, axis=0).astype(np.uint8)).save(folder / "half.png")
    return ("--metres-per-pixel", 0.1, "--walkable", folder / "half.png", "--scene", "toy", "--out", folder / "half.toml")


def test_a_plan_that_many_photos_are_outside_of_is_taken_where_that_is_said_and_then_everywhere(
    workspace: Path, tmp_path: Path
) -> None:
    flags, out = half_room(tmp_path), tmp_path / "half.toml"
    said = refused(run(workspace, "floormap", "new", *flags))
    assert "does not fit scene toy" in said and not out.exists()
    locate = ("localize", photo_of(workspace), "--method", "nearest", "--floor-map", out)
    forced = run(workspace, "floormap", "new", *flags, "--accept-outside")
    assert forced.exit_code == 0, forced.output
    assert "% of 24 mapping photos are not on walkable ground" in forced.stderr and "accept_outside" in forced.stderr
    assert "of 24 mapping photos (" in forced.stdout
    assert run(workspace, *locate).exit_code == 0
    assert run(workspace, "floormap", "show", out, "toy", "--out", tmp_path / "half.png.png").exit_code == 0
    out.write_text(out.read_text().replace("accept_outside = true", "accept_outside = false"))
    assert "does not fit scene toy" in refused(run(workspace, *locate))
    out.write_text(out.read_text().replace("accept_outside = false", "accept_outside = 1"))
    assert "accept_outside is 1, expected true or false" in refused(run(workspace, *locate))


def test_accept_outside_is_not_written_where_it_was_not_needed_and_needs_a_scene(workspace: Path, tmp_path: Path) -> None:
    Image.new("RGB", (62, 48), "white").save(tmp_path / "plan.png")
    out = tmp_path / "room.toml"
    flags = ("--metres-per-pixel", 0.1, "--walkable", tmp_path / "plan.png", "--accept-outside", "--out", out)
    assert "--accept-outside is for a plan that a scene refuses" in refused(run(workspace, "floormap", "new", *flags), 2)
    assert run(workspace, "floormap", "new", *flags, "--scene", "toy").exit_code == 0
    assert "accept_outside" not in out.read_text()


def test_a_plan_twice_too_large_with_the_walk_inside_is_taken_with_a_note(workspace: Path, tmp_path: Path) -> None:
    Image.new("RGB", (62, 48), "white").save(tmp_path / "plan.png")
    flags = ("--metres-per-pixel", 0.2, "--walkable", tmp_path / "plan.png", "--scene", "toy", "--out", tmp_path / "a.toml")
    result = run(workspace, "floormap", "new", *flags)
    assert result.exit_code == 0, result.output
    assert (
        "the walkable area 12.4 x 9.6 m: right if the walk kept to a part of it, else metres_per_pixel 0.2" in result.stderr
    )


def test_show_draws_a_map_that_does_not_fit_before_it_refuses_it(workspace: Path, tmp_path: Path) -> None:
    FloorMap(np.ones((10, 10), dtype=bool), 0.1, (-9.0, -9.0)).save(tmp_path / "far.toml")
    said = refused(run(workspace, "floormap", "show", tmp_path / "far.toml", "toy", "--out", tmp_path / "far.png"))
    assert f"see {tmp_path / 'far.png'}" in said and (tmp_path / "far.png").is_file()


def test_a_map_is_grown_from_the_walks_and_holds_them(workspace: Path, tmp_path: Path) -> None:
    out = tmp_path / "grown.toml"
    result = run(workspace, "floormap", "grow", "toy", "--radius", 0.3, "--metres-per-pixel", 0.02, "--out", out)
    assert result.exit_code == 0, result.output
    grown, scene = FloorMap.load(out), Scene.load(workspace / "scenes/toy")
    assert grown.contains(grown.on_plane(scene.frames.of_split("train").poses.centers_m)).all()
    assert grown.up == "z"


def test_show_counts_estimates_that_are_moved(workspace: Path, tmp_path: Path) -> None:
    poses = tmp_path / "poses.txt"
    poses.write_text("a 1 0 0 0 -3 -2 -1\nb 1 0 0 0 0.5 -2 -1\nc 1 0 0 0 9 -2 -1\n")
    result = run(workspace, "floormap", "show", workspace / "room.toml", "--poses", poses, "--out", tmp_path / "a.png")
    assert "of 3 estimates 1 moved onto the map, 1 too far away" in result.stdout, result.output


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("new", "--metres-per-pixel", 0, "--walkable", "PLAN", "--out", "OUT"), 1, "metres_per_pixel is 0"),
        (("new", "--metres-per-pixel", 1, "--walkable", "gone.png", "--out", "OUT"), 1, "gone.png"),
        (("new", "--metres-per-pixel", 1, "--walkable", "PLAN", "--origin", "3", "--out", "OUT"), 2, "expected X,Y"),
        (("new", "--metres-per-pixel", 1, "--walkable", "PLAN", "--up", "w", "--out", "OUT"), 1, "up is 'w'"),
        (("grow", "gone", "--out", "OUT"), 1, "no scene 'gone'"),
        (("grow", "toy", "--radius", 0, "--out", "OUT"), 1, "at least a pixel"),
        (("show", "gone.toml", "--out", "OUT"), 1, "no floor map gone.toml"),
    ],
)
def test_what_cannot_be_is_refused(
    workspace: Path, tmp_path: Path, arguments: tuple[object, ...], code: int, words: str
) -> None:
    Image.new("RGB", (4, 4), "white").save(tmp_path / "plan.png")
    paths = {"PLAN": tmp_path / "plan.png", "OUT": tmp_path / "out.toml"}
    assert words in refused(run(workspace, "floormap", *(paths.get(str(word), word) for word in arguments)), code)
    assert not (tmp_path / "out.toml").exists()


def localized(workspace: Path, floor_map: Path) -> dict:
    flags = ("--method", "nearest", "--floor-map", floor_map, "--json")
    result = run(workspace, "localize", photo_of(workspace), *flags)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_an_answer_outside_stays_raw_with_the_corrected_position_beside_it(
    workspace: Path, tmp_path: Path, test_center: np.ndarray
) -> None:
    x, y, z = test_center
    edge = np.ceil(100 * x) / 100 + 0.2
    centers = Scene.load(workspace / "scenes/toy").frames.of_split("train").poses.centers_m
    assert (centers[:, 0] > edge).mean() > 0.5, "most of the walk must lie on this map"
    answer = localized(workspace, strip(tmp_path / "strip.toml", edge, 1.0))
    assert answer["status"] == "outside_map"
    assert answer["center_m"] == pytest.approx([x, y, z])
    assert answer["corrected"]["center_m"] == pytest.approx([edge, y, z], abs=0.001)
    assert answer["corrected"]["moved_m"] == answer["outside_m"] == pytest.approx(edge - x, abs=0.001)
    assert (answer["plane_pose"]["x_m"], answer["plane_pose"]["y_m"]) == (pytest.approx(x), pytest.approx(y))


def test_an_answer_inside_is_ok_and_moves_by_nothing(workspace: Path, test_center: np.ndarray) -> None:
    answer = localized(workspace, workspace / "room.toml")
    assert (answer["status"], answer["outside_m"]) == ("ok", 0)
    assert answer["corrected"] == {"center_m": answer["center_m"], "moved_m": 0}
    ahead = Localizer.open("toy", "nearest", workspace=workspace).localize([photo_of(workspace)])[0].pose.to_matrices()
    heading = np.degrees(np.arctan2(ahead[0, 1, 2], ahead[0, 0, 2])) % 360
    assert answer["plane_pose"]["heading_deg"] == pytest.approx(heading)


def test_without_a_map_nothing_is_corrected_and_nobody_knows_what_is_up(workspace: Path) -> None:
    result = run(workspace, "localize", photo_of(workspace), "--method", "nearest", "--json")
    answer = json.loads(result.stdout)
    assert (answer["corrected"], answer["outside_m"], answer["plane_pose"]) == (None, None, None)


def test_an_aligned_scene_has_a_plane_without_a_map(workspace: Path, tmp_path: Path) -> None:
    scene = Scene.load(workspace / "scenes/toy")
    distance = AlignmentStep("distance", Similarity(), "unknown", "metres")
    upright = AlignmentStep("upright", Similarity(), "metres", "metres")
    points = AlignmentStep("points", Similarity(), "metres", "metres")
    for steps, known in (((upright, distance), True), ((upright, points), False), ((distance,), False)):
        home = tmp_path / "-".join(step.method for step in steps)
        replace(scene, alignment=steps).save(home / "scenes/toy")
        aligned = Scene.load(home / "scenes/toy")
        embed_scene(aligned, home / "scenes/toy", home / "embeddings/toy.h5", TinyEncoder(), EmbedOptions(augmentations=0))
        answer = Localizer.open("toy", "nearest", workspace=home).localize([photo_of(workspace)])[0]
        assert (answer.plane_pose is not None) == known, steps
        assert answer.corrected is None


def test_words_tell_x_y_and_heading_and_how_far_outside(workspace: Path, tmp_path: Path, test_center: np.ndarray) -> None:
    edge = np.ceil(100 * test_center[0]) / 100 + 0.2
    strip(tmp_path / "near.toml", edge, 1.0)
    strip(tmp_path / "strict.toml", edge, 0.05)
    command = ("localize", photo_of(workspace), "--method", "nearest", "--floor-map")
    said = run(workspace, *command, tmp_path / "near.toml").stdout
    assert f"on the plane x {test_center[0]:.3f} y {test_center[1]:.3f} heading " in said
    assert f"m outside, walkable at x {edge:.3f}" in said and "outside_map" in said
    strict = run(workspace, *command, tmp_path / "strict.toml")
    assert "not_localized, 0.2" in strict.stdout and "m outside the floor map of toy" in strict.stdout
    answer = localized(workspace, tmp_path / "strict.toml")
    assert (answer["status"], answer["center_m"], answer["corrected"], answer["plane_pose"]) == (
        "not_localized",
        *[None] * 3,
    )
    assert answer["outside_m"] > 0.05


def test_evaluate_reports_raw_and_corrected_scores(workspace: Path, tmp_path: Path, test_center: np.ndarray) -> None:
    strip(tmp_path / "strip.toml", np.ceil(100 * test_center[0]) / 100 + 0.1, 1.0)
    flags = ("--methods", "nearest", "--floor-map", tmp_path / "strip.toml", "--json", tmp_path / "scores.json")
    result = run(workspace, "evaluate", "toy", *flags, "--report", tmp_path / "page.html", "--markdown", tmp_path / "a.md")
    assert result.exit_code == 0, result.output
    assert "Moved onto the floor map:" in result.stdout and "median corr." in result.stdout
    nearest = json.loads((tmp_path / "scores.json").read_text())["results"]["nearest"]
    assert nearest["corrected"]["n_outside"] > 0
    assert nearest["corrected"]["mean_position_m"] != nearest["mean_position_m"]
    plain = run(workspace, "evaluate", "toy", "--methods", "nearest", "--json", tmp_path / "plain.json")
    assert plain.exit_code == 0 and "floor map" not in plain.stdout
    raw = json.loads((tmp_path / "plain.json").read_text())["results"]["nearest"]
    kept = {name: value for name, value in nearest.items() if name not in ("corrected", "seconds_per_image")}
    assert kept == {name: value for name, value in raw.items() if name != "seconds_per_image"}
    assert (
        "On the floor map" in (tmp_path / "page.html").read_text() and "On the floor map" in (tmp_path / "a.md").read_text()
    )


def test_pose_files_are_corrected_too(workspace: Path, tmp_path: Path) -> None:
    scene = Scene.load(workspace / "scenes/toy")
    frames = scene.frames.of_split("test")
    qvec, tvec = frames.poses.to_cam_from_world()
    lines = [f"{name} {' '.join(map(str, [*q, *t]))}" for name, q, t in zip(frames.names, qvec, tvec, strict=True)]
    (tmp_path / "poses.txt").write_text("\n".join(lines))
    flags = ("--predictions", tmp_path / "poses.txt", "--ground-truth", "toy", "--floor-map", workspace / "room.toml")
    result = run(workspace, "evaluate", *flags, "--json", tmp_path / "scores.json")
    assert result.exit_code == 0, result.output
    corrected = json.loads((tmp_path / "scores.json").read_text())["results"]["poses"]["corrected"]
    assert (corrected["n_outside"], corrected["mean_position_m"]) == (0, pytest.approx(0, abs=1e-9))


SMALL = ("--width", 32, "--batch-size", 8, "--epochs", 2, "--no-calibration", "--no-run")


def test_a_model_remembers_the_map_it_was_trained_with(workspace: Path, tmp_path: Path) -> None:
    flags = ("--floor-map", workspace / "room.toml", "--floor-weight", 2, "--out", tmp_path / "with.pt")
    result = run(workspace, "train-mlp", "toy", *SMALL, *flags)
    assert result.exit_code == 0, result.output
    assert "room.toml costs 2 m per m" in result.stderr
    kept = load_model(tmp_path / "with.pt").record["floor"]
    assert kept == {"sha256": FloorMap.load(workspace / "room.toml").sha256, "weight": 2.0}
    assert run(workspace, "train-mlp", "toy", *SMALL, "--out", tmp_path / "without.pt").exit_code == 0
    assert load_model(tmp_path / "without.pt").record["floor"] is None


@pytest.mark.parametrize(
    "command", [("localize", "PHOTO", "--method", "nearest"), ("evaluate", "toy"), ("train-mlp", "toy")]
)
def test_a_map_of_another_place_is_refused_everywhere(workspace: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    FloorMap(np.ones((10, 10), dtype=bool), 0.1, (50.0, 50.0)).save(tmp_path / "far.toml")
    words = [photo_of(workspace) if word == "PHOTO" else word for word in command]
    said = refused(run(workspace, *words, "--floor-map", tmp_path / "far.toml"))
    assert "the floor map does not fit scene toy: 100 % of 24 mapping photos" in said


@pytest.mark.parametrize(
    "command", [("localize", "PHOTO", "--method", "nearest"), ("evaluate", "toy"), ("train-mlp", "toy")]
)
def test_a_scene_without_metres_is_refused_everywhere(workspace: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    scene = replace(Scene.load(workspace / "scenes/toy"), units="those of the video")
    scene.save(tmp_path / "scenes/toy")
    embed_scene(scene, tmp_path / "scenes/toy", tmp_path / "embeddings/toy.h5", TinyEncoder(), EmbedOptions(augmentations=0))
    words = [photo_of(workspace) if word == "PHOTO" else word for word in command]
    said = refused(run(tmp_path, *words, "--floor-map", workspace / "room.toml"))
    assert "its units: those of the video" in said and "irploc scene align" in said


def test_a_weight_without_a_map_is_a_mistake(workspace: Path) -> None:
    assert "--floor-weight needs --floor-map" in refused(run(workspace, "train-mlp", "toy", "--floor-weight", 2), 2)
