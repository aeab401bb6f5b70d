"""The benchmark of floor maps, whole on two tiny buildings, and its figures on poses that are known by hand."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from irploc.floormap import FloorMap
from irploc.geometry.poses import Poses

pytestmark = pytest.mark.usefixtures("tiny_encoder")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "scripts/bench_floormap.py"
    spec = importlib.util.spec_from_file_location("bench_floormap", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_floormap"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def corridor() -> FloorMap:
    """Walkable for y from 1 to 2 m, x from 0 to 10 m."""
    walkable = np.zeros((60, 200), dtype=bool)
    walkable[20:40] = True
    return FloorMap(walkable, metres_per_pixel=0.05)


def at(*centers: tuple[float, float, float]) -> Poses:
    return Poses(np.array(centers), np.tile([1.0, 0.0, 0.0, 0.0], (len(centers), 1)))


def test_errors_are_those_counted_by_hand(script: ModuleType, corridor: FloorMap) -> None:
    true = at((2.0, 1.5, 1.5), (4.0, 1.9, 1.5), (6.0, 1.2, 1.5))
    estimated = at((2.3, 1.5, 1.5), (4.0, 2.8, 1.5), (6.0, 0.2, 1.5))  # the second moves to y = 2, the third to y = 1
    errors = script.Errors.of(estimated, true, corridor)
    assert errors.mean == pytest.approx((0.3 + 0.9 + 1.0) / 3)
    assert errors.median == pytest.approx(0.9)
    assert errors.corrected_mean == pytest.approx((0.3 + 0.1 + 0.2) / 3, abs=1e-3)
    assert errors.corrected_median == pytest.approx(0.2, abs=1e-3)
    assert errors.outside == pytest.approx(2 / 3)


def test_errors_count_estimates_that_are_too_far_away(script: ModuleType, corridor: FloorMap) -> None:
    errors = script.Errors.of(at((2.0, 30.0, 1.5)), at((2.0, 1.5, 1.5)), corridor)  # 28 m outside, 1 m is believed
    assert errors.mean == pytest.approx(28.5)
    assert errors.corrected_mean == pytest.approx(0.5, abs=1e-3)


def test_the_mean_over_seeds_is_of_every_figure(script: ModuleType) -> None:
    mean = script.Errors.mean_of([script.Errors(1.0, 2.0, 3.0, 4.0, 0.0), script.Errors(3.0, 4.0, 5.0, 6.0, 0.5)])
    assert mean == script.Errors(2.0, 3.0, 4.0, 5.0, 0.25)
    assert mean.cells() == "2.00 | 3.00 | 4.00 | 5.00 | 25 % |"


def test_the_loop_over_pixels_agrees_and_is_slower(script: ModuleType, corridor: FloorMap) -> None:
    _ready, fast, loop = script.seconds_of_correcting(corridor, poses=2000, looped=200)
    assert 0 < fast < loop


def test_it_runs_whole_and_again_without_training_again(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "TIMED_POSES", 200)
    monkeypatch.setattr(script, "LOOPED_POSES", 2)
    command = ["--out", str(tmp_path), "--encoder", "tiny", "--augmentations", "1", "--seeds", "0,1", "--weights", "1,30"]
    command += ["--photos", "30,4,5", "--size", "32,24", "--epochs", "3"]
    script.main(command)
    first = capsys.readouterr().out
    assert "1.53 | | 1.30" in first
    rows = re.findall(r"^\| (.*?) \| (\S+) \| (\S+) \| (\S+) \| (\S+) \| (\d+) % \|$", first, re.MULTILINE)
    chosen = re.search(r"mlp, penalty (\d+)", first)
    assert chosen is not None
    means = {name: float(mean) for name, mean, *_ in rows}
    assert chosen[1] == ("1" if means["1"] <= means["30"] else "30"), "the weight that is best on the validation walk"
    assert {"0", "1", "30", "mlp, no penalty, seed 0", "**mlp, no penalty, mean**"} <= set(means)
    assert means["1"] != means["30"] != means["0"]
    of_seeds = [means[f"mlp, no penalty, seed {seed}"] for seed in (0, 1)]
    assert means["**mlp, no penalty, mean**"] == pytest.approx(np.mean(of_seeds), abs=0.011)
    assert 0 < means["`nearest`, untrained, mean"] < 20
    assert (tmp_path / "floormap.png").stat().st_size > 10_000

    monkeypatch.setattr(script, "train", lambda *arguments: pytest.fail("trained again"))
    monkeypatch.setattr(script, "write_corridor", lambda *arguments, **options: pytest.fail("rendered again"))
    script.main(command)
    again = capsys.readouterr().out
    assert again.split("Correcting")[0] == "\n" + first.split("\n\n", 1)[1].split("Correcting")[0]


def test_photos_of_other_options_are_rendered_again(script: ModuleType, tmp_path: Path) -> None:
    options = script.CorridorOptions(16, 12, 2, 1, 1, seed=3)
    script.write_corridor(tmp_path / "corridor3", options)
    assert script.is_rendered(tmp_path / "corridor3", options)
    assert not script.is_rendered(tmp_path / "corridor3", script.CorridorOptions(16, 12, 3, 1, 1, seed=3))
    assert not script.is_rendered(tmp_path / "corridor3", script.CorridorOptions(24, 12, 2, 1, 1, seed=3))
    assert not script.is_rendered(tmp_path / "nothing", options)


def test_a_wrong_encoder_is_one_line(script: ModuleType, tmp_path: Path) -> None:
    command = ["--out", str(tmp_path), "--encoder", "netvald", "--photos", "2,1,1", "--size", "16,12", "--seeds", "0"]
    with pytest.raises(SystemExit, match=r"Error: .*netvald") as caught:
        script.main(command)
    assert "\n" not in str(caught.value)
