"""Errors, registry, option parsing, provenance and the workspace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tiny_place import make_scene

from irploc import provenance
from irploc.config import options_from_mapping, parse_spec
from irploc.errors import BadInput, Mismatch, NotFound, summarize
from irploc.registry import Registry
from irploc.workspace import Workspace


@dataclass(frozen=True)
class Options:
    k: int = 3
    alpha: float = 0.5
    loud: bool = False
    limit: int | None = None


def test_a_list_of_bad_items_is_shortened() -> None:
    assert summarize(["a"]) == "a"
    assert summarize(["a", "b", "c"]) == "a and 2 more"
    assert summarize(["a", "b", "c"], limit=2) == "a, b and 1 more"


def test_a_registry_gives_what_was_filed_and_suggests_close_names() -> None:
    table: Registry[int] = Registry("number")
    table.register("seven")(7)
    table.register("eight")(8)
    assert table.get("seven") == 7
    assert list(table) == ["eight", "seven"]
    with pytest.raises(NotFound, match="unknown number 'sevn': did you mean 'seven'"):
        table.get("sevn")
    with pytest.raises(NotFound, match="choose one of eight, seven"):
        table.get("zzz")


def test_a_name_cannot_be_registered_twice() -> None:
    table: Registry[int] = Registry("number")
    table.register("one")(1)
    with pytest.raises(ValueError, match="twice"):
        table.register("one")(1)


def test_a_spec_is_a_name_and_options() -> None:
    assert parse_spec("csi:k=20:alpha=8") == ("csi", {"k": "20", "alpha": "8"})
    assert parse_spec("nearest") == ("nearest", {})
    assert parse_spec("siamese:one-shot:k=5") == ("siamese", {"one_shot": "true", "k": "5"})
    with pytest.raises(BadInput, match="cannot read 'k='"):
        parse_spec("bdi:k=")
    with pytest.raises(BadInput, match="cannot read ''"):
        parse_spec("bdi:")


def test_options_are_converted_to_their_types() -> None:
    assert options_from_mapping(Options, {"k": "7", "alpha": "2", "loud": "yes"}, "x") == Options(7, 2.0, True)
    assert options_from_mapping(Options, {"k": np.int64(7), "alpha": 2, "loud": True}, "x") == Options(7, 2.0, True)
    assert options_from_mapping(Options, {"limit": "5"}, "x").limit == 5
    assert options_from_mapping(Options, {"limit": None}, "x").limit is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kk": "1"}, "did you mean 'k'"),
        ({"k": "1.5"}, "whole number"),
        ({"limit": "many"}, "whole number"),
        ({"loud": "maybe"}, "true or false"),
        ({"k": 1.5}, "k is 1.5, expected a whole number"),
        ({"k": 2.0}, "k is 2.0, expected a whole number"),
        ({"k": True}, "k is True, expected a whole number"),
        ({"alpha": True}, "alpha is True, expected a number"),
        ({"alpha": 10**400}, "too large for a number"),
        ({"alpha": [1.0]}, r"alpha is \[1.0\], expected a number"),
        ({"loud": 1}, "loud is 1, expected true or false"),
    ],
)
def test_unknown_and_unreadable_options_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        options_from_mapping(Options, values, "x")


def test_a_header_is_accepted_by_its_own_check_only(tmp_path: Path) -> None:
    header = provenance.header("irploc-thing", 2)
    provenance.check_header(header, "irploc-thing", 2, tmp_path)
    with pytest.raises(Mismatch, match="version 2, this irploc reads version 3"):
        provenance.check_header(header, "irploc-thing", 3, tmp_path)
    with pytest.raises(Mismatch, match="not an irploc-other file"):
        provenance.check_header(header, "irploc-other", 2, tmp_path)


def test_hashes_of_parts_do_not_depend_on_luck_with_borders() -> None:
    assert provenance.sha256_of_parts([b"ab", b"c"]) != provenance.sha256_of_parts([b"a", b"bc"])


def test_a_files_hash_is_the_known_one(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert provenance.sha256_of_file(tmp_path / "abc").startswith("ba7816bf8f01cfea")


def test_the_workspace_is_the_argument_then_the_environment_then_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRPLOC_WORKSPACE", "/elsewhere")
    assert Workspace.locate(Path("/mine")).root == Path("/mine")
    assert Workspace.locate().root == Path("/elsewhere")
    monkeypatch.delenv("IRPLOC_WORKSPACE")
    assert Workspace.locate().root == Path()


def test_an_unknown_scene_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "scenes" / "hall").mkdir(parents=True)
    (tmp_path / "scenes" / "hall" / "scene.toml").touch()
    with pytest.raises(NotFound, match=r"no scene 'hal': .* has hall"):
        Workspace(tmp_path).scene_folder("hal")


def test_all_embedded_scenes_are_searched(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(NotFound, match="irploc embed"):
        workspace.scenes_to_search()
    (tmp_path / "embeddings").mkdir()
    for name in ("a", "b"):
        workspace.embeddings(name).touch()
    assert workspace.scenes_to_search() == ["a", "b"]
    (tmp_path / "scenes/b").mkdir(parents=True)
    (tmp_path / "scenes/b/scene.toml").touch()
    assert workspace.scenes_to_search() == ["b"], "a is another embedding of some scene"


def test_embeddings_are_found_by_the_folder_of_a_scene_that_has_another_name(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    make_scene(tmp_path / "scenes", train=1, test=0)  # in the folder "scene", named "tiny"
    for given in ("scene", str(tmp_path / "scenes/scene"), "tiny"):
        assert workspace.embeddings_of(given) == tmp_path / "embeddings/tiny.h5"
    (tmp_path / "embeddings").mkdir()
    workspace.embeddings("scene").touch()
    assert workspace.embeddings_of("scene") == tmp_path / "embeddings/scene.h5", "an embeddings file's own name comes first"


def test_several_embeddings_of_the_only_scene_leave_no_choice_to_make(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for path in (workspace.embeddings("hall"), workspace.embeddings("hall-densevlad"), tmp_path / "scenes/hall/scene.toml"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert workspace.scenes_to_search() == ["hall"]
    assert workspace.place_of_embeddings(workspace.embeddings("hall-densevlad"), "hall") == "hall-densevlad"
    assert workspace.place_of_embeddings(tmp_path / "scenes/../embeddings/hall-densevlad.h5", "hall") == "hall-densevlad"
    assert workspace.place_of_embeddings(tmp_path / "elsewhere" / "x.h5", "hall") == "hall"
