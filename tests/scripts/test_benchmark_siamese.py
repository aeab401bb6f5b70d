"""The Siamese benchmark, whole, on a tiny rendered place."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from types import ModuleType

import pytest
from toy_images import first_photos

from irploc.scene import Scene

pytestmark = pytest.mark.usefixtures("tiny_encoder")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    folder = str(Path(__file__).resolve().parents[2] / "scripts")
    sys.path.insert(0, folder)
    try:
        import benchmark_siamese
    finally:
        sys.path.remove(folder)
    return benchmark_siamese


@pytest.fixture(scope="module")
def small_scene(toy_scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scene folder of 16 mapping and 8 test photos: too few to learn confidence from, which takes long."""
    folder = tmp_path_factory.mktemp("small") / "toy"
    first_photos(Scene.load(toy_scene), 16, 8).save(folder)
    return folder


def flags(scene: Path, out: Path, *more: str) -> list[str]:
    small = ["--encoder", "tiny", "--augmentations", "1", "--steps", "4", "--no-tests", "--others", "nearest,bdi,robust"]
    return [str(scene), "--out", str(out), *small, *more]


def test_a_scene_is_measured_in_two_splits_and_not_twice(
    script: ModuleType,
    small_scene: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(script, "ROUNDS", 2)
    script.main(flags(small_scene, tmp_path, "--splits", "3:1,own"))
    printed = capsys.readouterr().out
    assert "toy 3:1: nearest" in printed
    assert "toy own: nearest" in printed
    text = (tmp_path / "siamese.md").read_text()
    assert "toy 3:1: 18 mapping, 6 test" in text
    assert "| Proposed (iteration) | 0.0400/0.96 |" in text
    assert "## Iterations (Table 4), toy 3:1" in text
    assert "| encoder |" in text
    rows = list(csv.DictReader((tmp_path / "siamese.csv").read_text().splitlines()))
    methods = {row["method"] for row in rows}
    assert {"nearest", "bdi", "robust", script.ABSOLUTE, script.ITERATIVE, script.ONE_SHOT} <= methods
    assert {row["split"] for row in rows} == {"3:1", "own"}
    at_most_0 = [line for line in text.splitlines() if line.startswith("| 0 |")]  # no iteration is the absolute head
    absolute = [float(row["median_position_m"]) for row in rows if row["method"] == script.ABSOLUTE]
    assert [float(line.split("|")[7].split("/")[0]) for line in at_most_0] == pytest.approx(absolute, rel=0.01)
    page = (tmp_path / "siamese.html").read_text()
    assert page.count("<svg") == 2 * 5
    models = sorted((tmp_path / "own-toy").rglob("*.siamese.pt"))
    assert len(models) == 4
    before = [path.stat().st_mtime_ns for path in models]
    script.main(flags(small_scene, tmp_path, "--splits", "3:1,own"))
    assert [path.stat().st_mtime_ns for path in models] == before


def test_mistakes_end_with_one_line(script: ModuleType, toy_scene: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="unknown split '4:1', choose of 3:1"):
        script.main(flags(toy_scene, tmp_path, "--splits", "4:1"))
    with pytest.raises(SystemExit, match="no scene at"):
        script.main(flags(tmp_path / "absent", tmp_path))
    with pytest.raises(SystemExit, match="cannot read the list"):
        script.main(flags(tmp_path / "absent.toml", tmp_path))


def test_a_list_of_scenes_stands_beside_the_published_ones(
    script: ModuleType, small_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "ROUNDS", 1)
    scenes = "".join(
        f'[[scenes]]\nscene = "{folder}"\ndataset = "cambridge"\ncolumn = "{column}"\n'
        for folder, column in ((small_scene, "Shop Facade"), (tmp_path / "absent", "Old Hospital"))
    )
    (tmp_path / "list.toml").write_text(f'encoder = "tiny"\naugmentations = 1\n{scenes}')
    out = tmp_path / "out"
    script.main([str(tmp_path / "list.toml"), "--out", str(out), "--steps", "2", "--no-tests", "--others", "nearest"])
    text = (out / "siamese.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| irploc siamese, median |"))
    cells = [cell.strip() for cell in row.split("|")[2:-1]]
    assert [cells[0], cells[2], cells[3]] == ["-", "-", "-"]
    assert float(cells[1].split("/")[0]) > 0
    assert "Not run: Old Hospital: no scene at" in text
    assert "| Proposed | 0.450/2.22 | 0.370/3.53 |" in text
