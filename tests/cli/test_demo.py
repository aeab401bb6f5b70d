"""The demo as typed, on a place small enough for a test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from irploc.cli import demo as demo_module
from irploc.cli import main
from irploc.scene import Scene
from irploc.synthetic import PlaceOptions


def run(out: Path) -> Result:
    return CliRunner().invoke(main, ["--quiet", "demo", "--out", str(out)])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result, Result]:
    """A demo run twice in the same folder."""
    out = tmp_path_factory.mktemp("demo") / "here"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_module, "place_options", lambda: PlaceOptions(96, 72, mapping_frames=30, test_frames=6))
        patch.setattr(demo_module, "EMBEDDING", ("--encoder", "densevlad", "--augmentations", "1"))
        patch.setattr(demo_module, "TRAINING", ("--epochs", "3", "--no-calibration"))
        return out, run(out), run(out)


def test_the_demo_leaves_a_whole_workspace_and_a_report(finished: tuple[Path, Result, Result]) -> None:
    out, first, _ = finished
    assert first.exit_code == 0, first.output
    for path in (
        "scenes/room/scene.toml",
        "embeddings/room.h5",
        "indexes/room.faiss",
        "models/room.irpnet.pt",
        "models/room.mlp.pt",
    ):
        assert (out / path).is_file()
    assert "<html" in (out / "report.html").read_text().lower()
    assert (out / "report.html").read_bytes() == (out / "reports/room.html").read_bytes()
    assert first.output.rstrip().endswith(str(out / "report.html"))


def test_the_demo_compares_all_methods(finished: tuple[Path, Result, Result]) -> None:
    out, first, _ = finished
    results = json.loads((out / "reports/room.json").read_text())["results"]
    assert {name.partition(":")[0] for name in results} >= {"nearest", "ewb", "csi", "bdi", "irpnet", "mlp", "structure"}
    lines = [line.split()[0] for line in first.output.splitlines() if line.split()]
    assert set(results) <= set(lines)


def test_the_demo_shows_the_true_pose_beside_the_estimated_one(finished: tuple[Path, Result, Result]) -> None:
    out, first, _ = finished
    scene = Scene.load(out / "scenes/room")
    x, y, z = scene.frames.of_split("test").poses.centers_m[3]
    true = next(line for line in first.output.splitlines() if line.strip().startswith("true"))
    assert [float(true.split()[position]) for position in (2, 4, 6)] == pytest.approx([x, y, z], abs=6e-4)


def test_every_step_is_numbered_timed_and_shown_as_typed(finished: tuple[Path, Result, Result]) -> None:
    out, first, _ = finished
    titles = [line for line in first.output.splitlines() if line[:2] in {f"{number}/" for number in range(1, 10)}]
    assert [title.split()[0] for title in titles] == [f"{number}/8" for number in range(1, 9)]
    typed = [line for line in first.output.splitlines() if line.startswith("$ ")]
    commands = ["embed", "index", "train-mlp", "train-mlp", "triangulate", "evaluate", "localize", "localize"]
    assert [line.split()[4] for line in typed] == commands
    assert typed[-1].endswith("--method structure")
    assert all(line.startswith(f"$ irploc --workspace {out} ") for line in typed)


def test_running_the_demo_again_keeps_what_is_there_and_says_so(finished: tuple[Path, Result, Result]) -> None:
    _, first, second = finished
    assert second.exit_code == 0, second.output
    assert "from an earlier run" not in first.output
    assert second.output.count("from an earlier run and") == 3
    assert "0 images embedded" in second.output


def test_the_demo_renders_again_when_a_photo_is_gone_and_forgets_what_was_made_from_it(
    finished: tuple[Path, Result, Result], tmp_path: Path
) -> None:
    import shutil

    from irploc.synthetic import scene_of_place

    out, _, _ = finished
    copy = tmp_path / "here"
    shutil.copytree(out, copy)
    folder = copy / "scenes/room"
    wanted = scene_of_place(folder, PlaceOptions(96, 72, mapping_frames=30, test_frames=6))
    assert demo_module._is_rendered(wanted, folder)
    wanted.frames.images[2].unlink()
    assert not demo_module._is_rendered(wanted, folder)
    assert not demo_module._is_rendered(scene_of_place(folder, PlaceOptions(96, 72, seed=1)), folder)


def test_the_demo_does_not_overwrite_a_scene_that_is_not_its_own(tmp_path: Path, toy_scene: Path) -> None:
    from dataclasses import replace

    mine = replace(Scene.load(toy_scene), ground_truth="total station")
    mine.save(tmp_path / "scenes/room")
    result = run(tmp_path)
    assert result.exit_code == 1
    assert "did not make" in result.output
    assert "--out" in result.output
    assert Scene.load(tmp_path / "scenes/room").ground_truth == "total station"
