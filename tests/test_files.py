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
    for name in (f".a.txt.{dead.pid}.new", f".a.txt.{os.getppid()}.new"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / ".a.txt.99999999999999999999.new").mkdir()
    alive = tmp_path / f".a.txt.{os.getppid()}.new"
    write_text(tmp_path / "a.txt", "one")
    assert names_in(tmp_path) == sorted([alive.name, ".a.txt.99999999999999999999.new", "a.txt"])


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


@pytest.mark.parametrize("redirected", [True, False], ids=["file", "pipe"])
def test_standard_output_keeps_what_was_printed_before(tmp_path: Path, redirected: bool) -> None:
    code = "print('first', flush=True); from irploc.files import *; write_text(Path('/dev/stdout'), 'second\\n')"
    with (tmp_path / "out.txt").open("w") as stream:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=stream if redirected else subprocess.PIPE, text=True, check=True
        )
    text = (tmp_path / "out.txt").read_text() if redirected else done.stdout
    assert text == "first\nsecond\n"


def test_the_mode_of_a_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o600)
    write_text(path, "new")
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_output_is_tried_before_hours_of_work(tmp_path: Path) -> None:
    check_writable(tmp_path / "models" / "a.pt")
    assert not names_in(tmp_path / "models")
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="cannot write"):
        check_writable(tmp_path / "file" / "a.pt")
    with pytest.raises(BadInput, match="is a folder"):
        check_writable(tmp_path)
