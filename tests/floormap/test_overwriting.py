"""Nothing of the user's is overwritten by a floor map, its mask or a picture of it, and changed pictures are noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from toy_masks import GOOD, WALKABLE, picture, refused

from irploc.cli import main
from irploc.errors import Mismatch
from irploc.floormap import FloorMap, Source, make_floor_map
from irploc.floormap.picture import write_floor_picture


@pytest.mark.parametrize("name", ["mask.png", "own.txt", "own"])
def test_a_floor_map_is_written_to_a_toml_file_only(mask: Path, name: str) -> None:
    before = mask.read_bytes()
    said = refused(make_floor_map(Source(mask=mask), 0.1).save, mask.with_name(name))
    assert "must end in .toml" in said and mask.read_bytes() == before
    assert mask.with_name(name).exists() == (name == "mask.png")


def test_a_link_to_what_the_map_is_made_from_is_not_written_through(mask: Path) -> None:
    before = mask.read_bytes()
    link = mask.with_name("hall.toml")
    link.symlink_to(mask)
    assert "is a file that the floor map is made from" in refused(make_floor_map(Source(mask=mask), 0.1).save, link)
    assert mask.read_bytes() == before


@pytest.mark.parametrize("text", ["[project]\nname = 'mine'\n", "= not TOML", 'format = "irploc-scene"\n', ""])
def test_a_file_that_is_no_floor_map_is_never_replaced(text: str, mask: Path) -> None:
    foreign = mask.with_name("pyproject.toml")
    foreign.write_text(text)
    assert "is there and is no floor map" in refused(make_floor_map(Source(mask=mask), 0.1).save, foreign)
    assert foreign.read_text() == text


def test_a_floor_map_that_is_there_is_replaced_only_where_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "hall.toml"
    FloorMap(WALKABLE, 0.1).save(path, replace=False)
    assert "is a floor map already: choose another --out, or give --force" in refused(
        FloorMap(~WALKABLE, 0.2).save, path, replace=False
    )
    assert np.array_equal(FloorMap.load(path).walkable, WALKABLE)
    FloorMap(~WALKABLE, 0.2).save(path, replace=True)
    assert np.array_equal(FloorMap.load(path).walkable, ~WALKABLE)


def test_a_mask_of_someone_else_beside_the_file_is_kept(tmp_path: Path) -> None:
    drawn = picture(tmp_path / "hall.walkable.png", np.full((7, 9), 255, dtype=np.uint8))
    before = drawn.read_bytes()
    assert "no mask that irploc wrote" in refused(FloorMap(WALKABLE, 0.1).save, tmp_path / "hall.toml")
    assert drawn.read_bytes() == before and not (tmp_path / "hall.toml").exists()
    drawn.write_text("no picture at all")
    assert "no mask that irploc wrote" in refused(FloorMap(WALKABLE, 0.1).save, tmp_path / "hall.toml")


def test_a_mask_of_ours_that_was_painted_over_is_kept(tmp_path: Path) -> None:
    FloorMap(WALKABLE, 0.1).save(tmp_path / "hall.toml")
    path = tmp_path / "hall.walkable.png"
    with Image.open(path) as ours:
        painted, text = np.array(ours), dict(ours.info)
    painted[0] = 255
    kept = PngInfo()
    for name, value in text.items():
        kept.add_text(name, value)
    Image.fromarray(painted).save(path, pnginfo=kept)
    assert "no mask that irploc wrote" in refused(FloorMap(~WALKABLE, 0.1).save, tmp_path / "hall.toml")


def test_a_plan_named_as_the_mask_would_be_is_kept(tmp_path: Path) -> None:
    plan = picture(tmp_path / "hall.walkable.png", WALKABLE.astype(np.uint8) * 255)
    assert "is made from" in refused(FloorMap(WALKABLE, 0.1, plan=plan).save, tmp_path / "hall.toml")


def test_a_picture_of_a_map_goes_to_a_png_that_is_none_of_its_own(mask: Path, tmp_path: Path) -> None:
    plan = picture(tmp_path / "plan.png", np.full((30, 40, 3), 200, dtype=np.uint8))
    floor_map = make_floor_map(Source(mask=mask), 0.1, plan=plan)
    floor_map.save(tmp_path / "hall.toml")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert "must end in .png" in refused(write_floor_picture, floor_map, tmp_path / "hall.toml", "hall")
    for own in (plan, mask):
        assert "is read, not written" in refused(write_floor_picture, floor_map, own, "hall")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_picture_that_cannot_be_written_leaves_the_old_one(mask: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = picture(mask.with_name("old.png"), np.zeros((3, 3), dtype=np.uint8))
    before = out.read_bytes()

    def full(path: Path, content: bytes) -> int:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    said = refused(write_floor_picture, make_floor_map(Source(mask=mask), 0.1), out, "hall")
    assert "No space left on device; what was there is unchanged" in said
    assert out.read_bytes() == before and not list(mask.parent.glob(".old*"))


@pytest.mark.parametrize("name", ["plan", "mask"])
def test_another_picture_than_the_one_the_file_was_made_of_is_refused(name: str, mask: Path, tmp_path: Path) -> None:
    plan = picture(tmp_path / "plan.png", np.full((30, 40, 3), 200, dtype=np.uint8))
    make_floor_map(Source(mask=mask), 0.1, plan=plan).save(tmp_path / "hall.toml")
    assert np.array_equal(FloorMap.load(tmp_path / "hall.toml").walkable, WALKABLE)
    picture(tmp_path / f"{name}.png", np.full((600, 800), 255, dtype=np.uint8))
    said = refused(FloorMap.load, tmp_path / "hall.toml", kind=Mismatch)
    assert f"{name}.png was changed since the file was made: make the floor map again" in said


def test_a_file_that_does_not_say_which_pictures_it_was_made_of_takes_any(mask: Path, tmp_path: Path) -> None:
    (tmp_path / "hall.toml").write_text(GOOD)
    picture(mask, (~WALKABLE).astype(np.uint8) * 255)
    assert np.array_equal(FloorMap.load(tmp_path / "hall.toml").walkable, ~WALKABLE)


def said_by(*arguments: object) -> tuple[int, str]:
    """Exit code and stderr of ``irploc floormap``."""
    result = CliRunner().invoke(main, ["--quiet", "floormap", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stderr


def test_the_commands_overwrite_nothing_that_they_read_and_a_floor_map_by_force_only(mask: Path) -> None:
    hall, link = mask.with_name("hall.toml"), mask.with_name("link.png")
    link.symlink_to(hall)
    new = ("new", "--metres-per-pixel", 0.1, "--walkable", mask, "--out")
    assert said_by(*new, hall) == (0, "")
    before = {path: path.read_bytes() for path in (mask, hall)}
    for arguments, words in (
        ((*new, mask), "must end in .toml"),
        ((*new, hall), "is a floor map already: choose another --out, or give --force to overwrite it"),
        (("show", hall, "--out", hall), "must end in .png"),
        (("show", hall, "--out", link), "is read, not written"),
        (("show", hall, "--out", mask), "is read, not written"),
    ):
        code, said = said_by(*arguments)
        assert code == 1 and words in said and len(said.strip().splitlines()) == 1
        assert {path: path.read_bytes() for path in (mask, hall)} == before
    assert said_by(*new, hall, "--force", "--max-distance", 3) == (0, "")
    assert FloorMap.load(hall).max_distance_m == 3
    assert said_by("show", hall, "--out", mask.with_name("drawn.png")) == (0, "")
