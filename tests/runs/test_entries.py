"""Entries of a training and the file that keeps them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from irploc.errors import BadInput
from irploc.runs import best, final
from irploc.runs.entries import Entry, EntryFile, read_entries


def written(path: Path, *steps: int) -> EntryFile:
    file = EntryFile(path)
    for step in steps:
        file.add(Entry.of({"step": step, "loss": float(step)}))
    return file


def test_a_line_holds_what_was_reported_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    EntryFile(path).add(Entry.of({"step": 5, "epoch": 1, "loss": {"position": 2.0}, "split": "test", "position_m": 0.5}))
    line = {
        "step": 5,
        "epoch": 1,
        "loss": {"position": 2.0},
        "split": "test",
        "position_m": 0.5,
        "seconds": 0.0,
        "time": 0.0,
    }
    assert [json.loads(text) for text in path.read_text().splitlines()] == [line]


def test_a_loss_without_a_name_is_a_number_in_the_file_and_adds_up_with_others() -> None:
    alone, named = Entry.of({"step": 1, "loss": 3}), Entry.of({"step": 1, "loss": {"a": 1.0, "b": 2.5}})
    assert (alone.to_plain()["loss"], named.to_plain()["loss"]) == (3.0, {"a": 1.0, "b": 2.5})
    assert (alone.total_loss, named.total_loss, Entry.of({"step": 1}).total_loss) == (3.0, 3.5, None)


def test_numbers_that_are_not_finite_are_left_out() -> None:
    entry = Entry.of({"step": 1, "loss": {"a": math.nan, "b": 1.0}, "position_m": math.inf, "rotation_deg": 2.0})
    assert (entry.loss, entry.position_m, entry.rotation_deg) == ({"b": 1.0}, None, 2.0)
    assert "NaN" not in json.dumps(entry.to_plain())


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"step": -1},
        {"step": 1.5},
        {"step": True},
        {"step": 1, "loss": "low"},
        {"step": 1, "epoch": "one"},
        {"step": 1, "z": 0},
    ],
)
def test_what_is_no_entry_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"entry|number"):
        Entry.of(values)


def test_every_prefix_of_a_file_reads_as_the_entries_that_were_whole(tmp_path: Path) -> None:
    """What a process that was killed while it wrote leaves behind."""
    path = tmp_path / "record.jsonl"
    written(path, 1, 2, 3)
    content = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(content) if byte == ord("\n")]
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        assert [entry.step for entry in read_entries(path)] == [1, 2, 3][: sum(end <= length for end in ends)]


def test_after_a_torn_line_the_file_goes_on_whole(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    written(path, 1, 2)
    path.write_bytes(path.read_bytes()[:-7])
    assert written(path, 2, 3).entries == read_entries(path)
    assert [entry.step for entry in read_entries(path)] == [1, 2, 3]


def test_an_entry_of_an_earlier_step_replaces_all_that_came_from_there_on(tmp_path: Path) -> None:
    file = written(tmp_path / "record.jsonl", 10, 20, 30)
    assert not file.add(Entry.of({"step": 40}))
    assert file.add(Entry.of({"step": 20, "loss": 7.0}))
    assert [(entry.step, entry.total_loss) for entry in read_entries(file.path)] == [(10, 10.0), (20, 7.0)]


@pytest.mark.parametrize("line", ["no json", "[1]", '{"loss": 1}', '{"step": "1"}', '{"step": 2}\n{"step": 2}'])
def test_a_whole_line_that_is_no_entry_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "record.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(BadInput, match=r"record\.jsonl: (line 1 is not an entry|step 2 follows step 2)"):
        read_entries(path)


def test_best_and_final_are_of_entries_with_errors() -> None:
    entries = [
        Entry(1, position_m=0.5),
        Entry(2, position_m=0.2, rotation_deg=9.0),
        Entry(3, position_m=0.2),
        Entry(4, position_m=0.3),
        Entry(5),
    ]
    assert (best(entries), final(entries)) == (entries[1], entries[3])
    assert (best([Entry(1)]), final([Entry(1)])) == (None, Entry(1))
    assert (best([]), final([])) == (None, None)
