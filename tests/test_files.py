"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from irploc.errors import BadInput
from irploc.files import check_writable, replacing, write_text


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_with_its_folder_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "a.txt", "one\n")
    assert (tmp_path / "new" / "a.txt").read_text() == "one\n"
    assert names_in(tmp_path / "new") == ["a.txt"]


def test_a_failure_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with (
        pytest.raises(BadInput, match=r"cannot write .*a\.txt: no room; what was there is unchanged"),
        replacing(path) as new,
    ):
        new.write_text("half")
        raise OSError(28, "no room")
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["a.txt"]


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    (tmp_path / f".a.txt.{os.getpid()}.new").symlink_to("/dev/full")
    with pytest.raises(BadInput, match=r"cannot write .*a\.txt: No space left on device"):
        write_text(tmp_path / "a.txt", "one")
    assert not names_in(tmp_path)


def test_what_a_killed_process_left_is_removed_and_a_living_ones_file_is_not(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".a.txt.{dead.pid}.new").touch()
    alive = tmp_path / f".a.txt.{os.getppid()}.new"
    alive.touch()
    write_text(tmp_path / "a.txt", "one")
    assert names_in(tmp_path) == [alive.name, "a.txt"]


def test_links_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"
    write_text(Path("/dev/null"), "gone")
    assert not Path("/dev/null").is_file()
    with pytest.raises(BadInput, match="it is a folder"):
        write_text(tmp_path, "new")


def test_an_output_is_tried_before_hours_of_work(tmp_path: Path) -> None:
    check_writable(tmp_path / "models" / "a.pt")
    assert not names_in(tmp_path / "models")
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="cannot write"):
        check_writable(tmp_path / "file" / "a.pt")
    with pytest.raises(BadInput, match="is a folder"):
        check_writable(tmp_path)
