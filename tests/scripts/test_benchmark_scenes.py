"""The benchmark over scenes, whole, on two tiny rendered places that stand for published ones."""

from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from irploc.synthetic import PlaceOptions, write_place

pytestmark = pytest.mark.usefixtures("tiny_encoder")

LIST = """
encoder = "tiny"
augmentations = 1
epochs = 2
seeds = [0, 1]
methods = ["nearest", "irpnet", "fused"]

[[scenes]]
scene = "first"
dataset = "cambridge"
column = "Shop Facade"

[[scenes]]
scene = "second"
dataset = "cambridge"
column = "Old Hospital"

[[scenes]]
scene = "not/there"
dataset = "cambridge"
column = "St. Mary"
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "scripts/benchmark_scenes.py"
    spec = importlib.util.spec_from_file_location("benchmark_scenes", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["benchmark_scenes"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("benchmark")
    for seed, name in enumerate(("first", "second")):
        write_place(home / name, PlaceOptions(width=64, height=48, mapping_frames=16, test_frames=4, seed=seed))
    (home / "list.toml").write_text(LIST)
    return home


def test_it_runs_whole_and_again_without_training_again(
    script: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        script.main([str(folder / "list.toml"), "--out", str(folder / "out")])
    assert "St. Mary: no scene at" in capsys.readouterr().out
    text = (folder / "out/benchmark.md").read_text()
    assert "| IRPNet | 0.72/3.47 | 1.87/3.38 |" in text, "the published row, in the order of our scenes"
    assert "| irploc fused |" in text and "irploc nearest" in text
    assert "Not run: St. Mary: no scene at" in text
    assert "hloc" in text and "order of magnitude" in text
    assert "rendered, exact" in text and "16 mapping, 4 test" in text and "seeds 0, 1" in text
    assert "<table>" in (folder / "out/benchmark.html").read_text()
    with (folder / "out/benchmark.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * 3 * 2
    by_seed = [row["median_position_m"] for row in rows if row["method"] == "irpnet" and row["scene"] == "Shop Facade"]
    assert by_seed[0] != by_seed[1]

    monkeypatch.setattr(script, "train", lambda *arguments: pytest.fail("trained again"))
    with pytest.raises(SystemExit, match="0"):
        script.main([str(folder / "list.toml"), "--out", str(folder / "out")])
    assert (folder / "out/benchmark.md").read_text() == text


def test_one_scene_that_fails_does_not_stop_the_others(script: ModuleType, folder: Path, tmp_path: Path) -> None:
    write_place(tmp_path / "few", PlaceOptions(width=64, height=48, mapping_frames=3, test_frames=1))
    text = "encoder = 'tiny'\nseeds = [0]\nmethods = ['ewb:k=4', 'nearest']\n"
    text += f"[[scenes]]\nscene = '{tmp_path}/few'\n[[scenes]]\nscene = '{folder}/first'\n"
    (tmp_path / "list.toml").write_text(text)
    with pytest.raises(SystemExit, match="1"):
        script.main([str(tmp_path / "list.toml"), "--out", str(tmp_path / "out")])
    written = (tmp_path / "out/benchmark.md").read_text()
    assert "Not run: few: k is 4, the place has 3 mapping images" in written
    assert "| irploc nearest |" in written


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("scenes = [", "not valid TOML"),
        ("enkoder = 'x'\n[[scenes]]\nscene = 'a'", "unknown key 'enkoder'"),
        ("seeds = []\n[[scenes]]\nscene = 'a'", "expected a list of int"),
        ("seeds = 3\n[[scenes]]\nscene = 'a'", "seeds is 3, expected list"),
        ("methods = ['neares']\n[[scenes]]\nscene = 'a'", "did you mean 'nearest'"),
        ("scenes = ['a']", r"no \[\[scenes\]\]"),
        ("[[scenes]]\nscene = 'a'\ncolum = 'x'", "unknown key 'colum'"),
        ("[[scenes]]\nscene = 'a'\ndataset = 'cambrige'", "unknown dataset 'cambrige'"),
        ("[[scenes]]\nscene = 'a'\ndataset = 'cambridge'\ncolumn = 'Shop'", "no column 'Shop'"),
        ("seeds = [1]", r"no \[\[scenes\]\]"),
        ("[[scenes]]\ncolumn = 'x'", "scene 1 has no scene ="),
        ("[[scenes]]\nscene = 'a'\n[[scenes]]\nscene = 'a'", "two scenes with the same"),
        ("[[scenes]]\nscene = 'gone'", "none of the 1 scenes could be run"),
    ],
)
def test_wrong_lists_are_refused_in_one_line(script: ModuleType, tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "list.toml").write_text(content)
    with pytest.raises(SystemExit, match=words) as caught:
        script.main([str(tmp_path / "list.toml"), "--out", str(tmp_path / "out")])
    assert "\n" not in str(caught.value)
