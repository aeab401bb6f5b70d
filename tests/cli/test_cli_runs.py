"""`irploc runs` as a user meets it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image
from toy_runs import CONFIGURATION, ENTRIES, changed, record

from irploc.cli import main


def run(root: Path, *arguments: str) -> Result:
    """One call of irploc."""
    return CliRunner().invoke(main, ["--workspace", str(root), "runs", *arguments])


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Two trainings of an attic, which differ in seed and epochs, and an interrupted one of a cellar."""
    options, recipe = {"seed": 7, "model": "irpnet"}, {**CONFIGURATION.recipe, "epochs": 2}
    others = changed(options=options, recipe=recipe), changed(scene="cellar", method="siamese")
    runs = [
        record(tmp_path),
        record(tmp_path, others[0], ENTRIES[:2]),
        record(tmp_path, others[1], ENTRIES[:1], "interrupted"),
    ]
    for number, made in enumerate(runs):
        made.folder.rename(made.folder.with_name(f"2026010{number + 1}-120000"))
    return tmp_path


FIRST, SECOND, THIRD = "attic.irpnet/20260101-120000", "attic.irpnet/20260102-120000", "cellar.siamese/20260103-120000"


def test_the_list_ends_with_the_newest_and_says_what_came_of_each(workspace: Path) -> None:
    result = run(workspace)
    assert result.exit_code == 0, result.output
    heading, *rows = result.stdout.splitlines()
    assert heading.split() == ["run", "started", "status", "steps", "time", "position", "rotation", "of", "settings"]
    assert [row.split()[0] for row in rows] == [FIRST, SECOND, THIRD]
    assert rows[0].split()[3:5] == ["finished", "30"]
    assert "0.500 m   10.00 deg  test  fast, 3 epochs, seed 0, rate 0.1" in rows[0]
    assert "interrupted  10" in rows[2]


def test_scene_and_method_choose(workspace: Path) -> None:
    assert THIRD in run(workspace, "--scene", "cellar").stdout
    assert FIRST not in run(workspace, "--scene", "cellar").stdout
    assert THIRD not in run(workspace, "--method", "irpnet").stdout
    nothing = run(workspace, "--method", "mlp")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert "no runs of the method mlp in" in nothing.stderr


def test_a_workspace_without_runs_says_what_makes_them(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "'irploc train-mlp SCENE' and 'irploc train METHOD SCENE' record theirs there" in result.stderr
    assert json.loads(run(tmp_path, "--json").stdout) == []


def test_one_run_shows_its_errors_its_model_and_every_setting(workspace: Path) -> None:
    shown = run(workspace, "20260102")
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.startswith(f"{SECOND}: finished, 20 steps in 0 s")
    assert "final  0.250 m 9.00 deg of test photos, after 20 steps" in shown.stdout
    assert f"model  {(workspace / 'models/attic.irpnet.pt').resolve()}\n" in shown.stdout
    assert "recipe.epochs         2" in shown.stdout
    (workspace / "models/attic.irpnet.pt").write_bytes(b"other weights")
    assert "(of a later training)" in run(workspace, "20260102").stdout
    assert "model  none there" in run(workspace, "cellar").stdout


def test_two_runs_are_compared_by_what_differs(workspace: Path) -> None:
    for arguments in (["20260101", SECOND], ["--compare", "20260101", SECOND]):
        result = run(workspace, *arguments)
        assert result.exit_code == 0, result.output
        rows = {row.split("  ")[0]: row.partition("  ")[2].split() for row in result.stdout.splitlines()}
        assert rows["different"] == [FIRST, SECOND]
        assert rows["final position"] == ["0.500", "m", "0.250", "m"]
        assert rows["best position"] == ["0.250", "m", "0.250", "m"]
        assert rows["final rotation"] == ["10.00", "deg", "9.00", "deg"]
        assert rows["best at step"] == ["20", "20"]
        assert (rows["options.seed"], rows["recipe.epochs"]) == (["0", "7"], ["3", "2"])
        assert "recipe.learning_rate" not in rows


def test_runs_of_the_same_settings_say_so(workspace: Path) -> None:
    shutil.copytree(workspace / "runs" / FIRST, workspace / "runs/attic.irpnet/20260104-120000")
    assert "the settings are the same" in run(workspace, "20260101", "20260104").stdout


def test_json_has_the_same_for_programs(workspace: Path) -> None:
    listed = json.loads(run(workspace, "--json").stdout)
    assert [one["name"] for one in listed] == [FIRST, SECOND, THIRD]
    assert listed[0]["final"] == {"step": 30, "split": "test", "position_m": 0.5, "rotation_deg": 10.0}
    assert listed[0]["best"]["step"] == 20
    assert (listed[2]["status"], listed[2]["scene"], listed[2]["method"]) == ("interrupted", "cellar", "siamese")
    assert listed[0]["settings"] == {"recipe": "fast", "epochs": 3, "seed": 0, "learning_rate": 0.1}
    compared = json.loads(run(workspace, "20260101", "20260102", "--json").stdout)
    assert compared["different"] == {"options.seed": [0, 7], "recipe.epochs": [3, 2]}
    shown = json.loads(run(workspace, "cellar", "--json").stdout)
    assert shown["entries"][0]["position_m"] == 0.9
    assert shown["configuration"]["recipe"]["epochs"] == 3


def test_curves_of_the_runs_that_are_named_are_drawn(workspace: Path) -> None:
    out = workspace / "curves.png"
    result = run(workspace, "20260101", "20260102", "--out", str(out))
    assert result.exit_code == 0, result.output
    assert f"{out}: curves of 2 runs" in result.stderr
    assert Image.open(out).format == "PNG"


def test_what_cannot_be_read_is_one_line_and_the_others_are_listed(workspace: Path) -> None:
    (workspace / "runs" / SECOND / "config.toml").write_text("[")
    (workspace / "runs/notes/today").mkdir(parents=True)
    result = run(workspace)
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 3)
    assert len(result.stderr.splitlines()) == 1
    assert "2 folders are left out; first: " in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["attik"], 1, "no run 'attik'"),
        (["attic"], 1, "is the beginning of 2 runs"),
        ([THIRD, "attic.irpnet/20260103"], 1, "no run 'attic.irpnet/20260103'"),
        (["--compare"], 2, "needs the names of at least two runs"),
        (["--compare", FIRST], 2, "needs the names of at least two runs"),
        ([FIRST, "20260101"], 2, "there is nothing to compare"),
        ([FIRST, "--scene", "attic"], 2, "leave them out beside names"),
        ([FIRST, "--out", "curves.jpg"], 1, "cannot draw curves.jpg: curves are drawn as .png"),
    ],
)
def test_mistakes_end_with_one_line(workspace: Path, arguments: list[str], code: int, words: str) -> None:
    result = run(workspace, *arguments)
    assert result.exit_code == code, result.output
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_a_damaged_run_that_is_named_is_refused(workspace: Path) -> None:
    (workspace / "runs" / FIRST / "summary.json").write_text("{}")
    result = run(workspace, FIRST)
    assert (result.exit_code, "summary.json is not an irploc-run file" in result.stderr) == (1, True)


def test_a_list_needs_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from click.testing import CliRunner; from irploc.cli import main\n"
        "result = CliRunner().invoke(main, ['--workspace', '/nowhere', 'runs'])\n"
        "assert result.exit_code == 0 and not {'torch', 'matplotlib', 'tensorboardX'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
