"""Finding runs, and what differs between them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from toy_runs import CONFIGURATION, changed, record

from irploc.errors import BadInput, NotFound
from irploc.runs import Catalog, differences, find_run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """``runs/`` with three trainings, named as if they were of different days."""
    others = changed(method="siamese"), changed(scene="cellar")
    for configuration, name in zip(
        (CONFIGURATION, *others), ("20260102-100000", "20260101-100000", "20260103-100000"), strict=True
    ):
        run = record(tmp_path, configuration)
        run.folder.rename(run.folder.with_name(name))
    return tmp_path / "runs"


def names(catalog: Catalog) -> list[str]:
    return [run.name for run in catalog.runs]


def test_runs_are_in_the_order_of_their_time_whatever_their_scene(root: Path) -> None:
    assert names(Catalog.of(root)) == [
        "attic.siamese/20260101-100000",
        "attic.irpnet/20260102-100000",
        "cellar.irpnet/20260103-100000",
    ]


def test_the_tenth_run_of_a_second_comes_after_the_ninth(root: Path) -> None:
    for number in (10, 9, 2):
        shutil.copytree(root / "attic.irpnet/20260102-100000", root / f"attic.irpnet/20260102-100000-{number}")
    assert [name.removeprefix("attic.irpnet/20260102-100000") for name in names(Catalog.of(root))[1:5]] == [
        "",
        "-2",
        "-9",
        "-10",
    ]


def test_a_scene_and_a_method_choose(root: Path) -> None:
    assert len(Catalog.of(root, scene="attic").runs) == 2
    assert names(Catalog.of(root, "attic", "siamese")) == ["attic.siamese/20260101-100000"]
    assert Catalog.of(root, method="mlp").runs == []


def test_without_a_folder_there_are_no_runs(tmp_path: Path) -> None:
    assert (Catalog.of(tmp_path / "runs").runs, Catalog.of(tmp_path / "runs").complaint) == ([], "")


def test_what_is_damaged_or_no_run_is_told_and_passed_over(root: Path) -> None:
    good = root / "attic.irpnet/20260102-100000"
    for name in ("a", "b", "c", "d"):
        shutil.copytree(good, root / f"attic.irpnet/{name}")
    (root / "attic.irpnet/a/config.toml").write_text("no [ toml")
    (root / "attic.irpnet/b/summary.json").write_text('{"format": "other"}')
    (root / "attic.irpnet/c/record.jsonl").write_text("{}\n")
    (root / "attic.irpnet/d/summary.json").unlink()
    (root / "photos/holiday").mkdir(parents=True)
    (root / "photos/.hidden").mkdir()
    (root / "notes.txt").write_text("mine")
    catalog = Catalog.of(root)
    assert len(catalog.runs) == 3
    assert len(catalog.unreadable) == 5
    assert catalog.complaint.startswith("5 folders are left out; first: ")
    assert any("holiday is not a run: it has no config.toml" in words for words in catalog.unreadable)


def test_a_run_without_entries_or_with_a_torn_line_is_a_run(root: Path) -> None:
    (root / "attic.irpnet/20260102-100000/record.jsonl").unlink()
    torn = root / "attic.siamese/20260101-100000/record.jsonl"
    torn.write_bytes(torn.read_bytes()[:-3])
    catalog = Catalog.of(root)
    assert [run.steps for run in catalog.runs] == [20, 0, 30]
    assert catalog.complaint == ""


@pytest.mark.parametrize(
    "name", ["attic.irpnet/20260102-100000", "attic.irpnet/", "attic.i", "20260102", "attic.irpnet/2026"]
)
def test_the_beginning_of_a_name_or_a_time_is_enough(root: Path, name: str) -> None:
    assert find_run(root, name).name == "attic.irpnet/20260102-100000"


def test_a_folder_names_its_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    assert find_run(Path("runs"), "runs/attic.siamese/20260101-100000").configuration.method == "siamese"


def test_the_whole_name_of_one_may_be_the_beginning_of_another(root: Path) -> None:
    shutil.copytree(root / "attic.irpnet/20260102-100000", root / "attic.irpnet/20260102-100000-2")
    assert find_run(root, "attic.irpnet/20260102-100000").name == "attic.irpnet/20260102-100000"


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("attic", BadInput, "is the beginning of 2 runs: attic.irpnet/20260102-100000, attic.siamese/20260101-100000"),
        ("2026", BadInput, "is the beginning of 3 runs"),
        ("attic.irpnet/20260102-100001", NotFound, "did you mean 'attic.irpnet/20260102-100000'"),
        ("garage", NotFound, "'irploc runs' lists them"),
        ("", NotFound, "no run ''"),
    ],
)
def test_names_that_mean_several_or_none_are_refused(root: Path, name: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        find_run(root, name)


def test_differences_are_named_by_their_table_with_what_one_run_lacks(tmp_path: Path) -> None:
    first = record(tmp_path)
    second = record(tmp_path, changed(options={"seed": 4, "model": "irpnet", "views": False}, arguments=("attic.h5",)))
    third = record(tmp_path, changed(recipe={**CONFIGURATION.recipe, "epochs": 5}))
    assert differences([first, second]) == {"options.seed": [0, 4], "options.views": [None, False]}
    assert list(differences([second, third])) == ["options.seed", "options.views", "recipe.epochs"]
    assert differences([first, first]) == {}
