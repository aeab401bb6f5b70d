"""Run folders while they are written: every way a training can end, and how it goes on."""

from __future__ import annotations

import builtins
import hashlib
import json
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from toy_runs import CONFIGURATION, ENTRIES, changed, events, record

from irploc.errors import BadInput, Diverged
from irploc.runs import Configuration, Run, RunRecorder


def opened(root: Path, configuration: Configuration = CONFIGURATION, resume: bool = True) -> RunRecorder:
    return RunRecorder.open(root / "runs", configuration, root / "models/attic.irpnet.pt", resume)


def steps(folder: Path) -> list[int]:
    return [entry.step for entry in Run.load(folder).entries]


def test_a_run_keeps_its_settings_its_errors_and_how_it_ended(tmp_path: Path) -> None:
    run = record(tmp_path)
    assert run.folder.parent == tmp_path / "runs/attic.irpnet"
    assert datetime.strptime(run.folder.name, "%Y%m%d-%H%M%S") <= datetime.now()
    assert run.name == f"attic.irpnet/{run.folder.name}"
    assert run.configuration.recipe["epochs"] == 3
    assert [(entry.step, entry.position_m, entry.split) for entry in run.entries] == [
        (10, 0.9, "test"),
        (20, 0.25, "test"),
        (30, 0.5, "test"),
    ]
    assert (run.summary.status, run.summary.sittings, run.steps) == ("finished", 1, 30)
    assert run.summary.model == "../../../models/attic.irpnet.pt"
    assert run.summary.model_sha256 == hashlib.sha256(b"weights").hexdigest()
    names = {path.name for path in run.folder.iterdir() if not path.name.startswith("events")}
    assert names == {"config.toml", "record.jsonl", "summary.json"}


def test_tensorboard_reads_the_same_numbers(tmp_path: Path) -> None:
    named = [{**entry, "loss": {"position": entry["loss"]}} for entry in ENTRIES[:1]] + ENTRIES[1:]
    found = events(record(tmp_path, entries=named).folder)
    assert found == [
        (10, "loss/position", 4.0),
        (10, "error/position_m", pytest.approx(0.9)),
        (10, "error/rotation_deg", 30.0),
        (20, "loss", 2.0),
        (20, "error/position_m", 0.25),
        (20, "error/rotation_deg", 9.0),
        (30, "loss", 1.0),
        (30, "error/position_m", 0.5),
        (30, "error/rotation_deg", 10.0),
    ]


def test_both_files_can_be_read_while_the_training_goes_on(tmp_path: Path) -> None:
    with opened(tmp_path) as recorder:
        recorder.entry(ENTRIES[0])
        assert Run.load(recorder.folder).summary.status == "running"
        assert steps(recorder.folder) == [10]
        assert [step for step, _, _ in events(recorder.folder)] == [10, 10, 10]


def test_without_the_package_there_are_no_events_and_everything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *others: object) -> object:
        if name == "tensorboardX":
            raise ImportError(name)
        return real(name, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    recorder = opened(tmp_path)
    recorder.entry(ENTRIES[0])
    recorder.entry(ENTRIES[0])
    recorder.finish("finished")
    assert not recorder.has_events
    assert not list(recorder.folder.glob("events*"))
    assert steps(recorder.folder) == [10]


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), "interrupted", ""),
        (Diverged("the loss is 9"), "diverged", "the loss is 9"),
        (BadInput("no room"), "failed", "no room"),
        (ZeroDivisionError("by zero"), "failed", "ZeroDivisionError: by zero"),
        (None, "finished", ""),
    ],
)
def test_what_ends_the_block_decides_the_status(
    tmp_path: Path, error: BaseException | None, status: str, message: str
) -> None:
    recorder = opened(tmp_path)
    try:
        with recorder:
            recorder.entry(ENTRIES[0])
            if error is not None:
                raise error
    except BaseException as raised:
        assert raised is error
    summary = Run.load(recorder.folder).summary
    assert (summary.status, summary.message) == (status, message)
    assert datetime.fromisoformat(summary.ended) >= datetime.fromisoformat(summary.started)


def test_two_runs_of_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    names = [record(tmp_path).folder.name for _ in range(3)]
    assert len(set(names)) == 3


def test_an_interrupted_training_goes_on_in_its_folder_without_steps_twice(tmp_path: Path) -> None:
    """The checkpoint was of step 15: step 20 is done again and differs in nothing but its loss here."""
    first = record(tmp_path, entries=ENTRIES[:2], status="interrupted")
    second = opened(tmp_path)
    assert (second.folder, second.continued) == (first.folder, True)
    second.entry({**ENTRIES[1], "loss": 2.5})
    second.entry(ENTRIES[2])
    second.finish("finished")
    run = Run.load(second.folder)
    assert [(entry.step, entry.total_loss) for entry in run.entries] == [(10, 4.0), (20, 2.5), (30, 1.0)]
    assert [(step, value) for step, tag, value in events(second.folder) if tag == "loss"] == [
        (10, 4.0),
        (20, 2.5),
        (30, 1.0),
    ]
    assert (run.summary.sittings, run.summary.started) == (2, first.summary.started)


def test_a_training_that_starts_over_after_a_kill_keeps_nothing_of_before(tmp_path: Path) -> None:
    first = record(tmp_path, entries=ENTRIES[1:], status="running")
    assert Run.load(first.folder).summary.status == "killed"
    second = opened(tmp_path)
    second.entry(ENTRIES[0])
    second.finish("interrupted")
    assert (second.folder, steps(second.folder)) == (first.folder, [10])
    assert Run.load(second.folder).seconds < 5


def test_the_time_of_earlier_sittings_counts(tmp_path: Path) -> None:
    first = record(tmp_path, entries=ENTRIES[:1], status="interrupted")
    path = first.folder / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "seconds": 1000.0}))
    second = opened(tmp_path)
    second.entry(ENTRIES[1])
    second.finish("finished")
    run = Run.load(second.folder)
    assert 1000 <= run.entries[1].seconds <= run.seconds < 1010


@pytest.mark.parametrize("other", ["finished", "diverged", "failed", "settings", "no resume", "model"])
def test_anything_else_is_a_new_run(tmp_path: Path, other: str) -> None:
    ended = other in ("finished", "diverged", "failed")
    model = tmp_path / "models/other.pt" if other == "model" else None
    first = record(tmp_path, status=other if ended else "interrupted", model=model)
    configuration = changed(options={"seed": 9}) if other == "settings" else CONFIGURATION
    second = opened(tmp_path, configuration, resume=other != "no resume")
    second.finish("finished")
    assert (second.folder != first.folder, second.continued, first.steps) == (True, False, 30)


def test_only_the_last_run_of_a_model_can_go_on(tmp_path: Path) -> None:
    """Another training wrote over the checkpoint of the one before."""
    first = record(tmp_path, status="interrupted")
    record(tmp_path, changed(options={"seed": 9}), status="interrupted")
    third = opened(tmp_path)
    third.finish("finished")
    assert third.folder not in (first.folder,)
    assert not third.continued


def test_a_folder_that_another_process_writes_to_is_left_to_it(tmp_path: Path) -> None:
    busy = opened(tmp_path)
    other = opened(tmp_path)
    assert other.folder != busy.folder
    assert Run.load(busy.folder).summary.status == "running"
    for recorder in (busy, other):
        recorder.finish("finished")


def test_a_damaged_folder_is_no_run_to_go_on_with(tmp_path: Path) -> None:
    first = record(tmp_path, status="interrupted")
    (first.folder / "record.jsonl").write_text("nonsense\n")
    second = opened(tmp_path)
    second.finish("finished")
    assert second.folder != first.folder


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(BadInput, match=r"cannot keep a record in .*attic\.irpnet.*--no-run does without"):
        opened(tmp_path)


def test_killed_at_any_moment_a_run_can_be_read_and_goes_on(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "from toy_runs import CONFIGURATION; from irploc.runs import RunRecorder\n"
        "root = Path(sys.argv[2])\n"
        "recorder = RunRecorder.open(root / 'runs', CONFIGURATION, root / 'models/attic.irpnet.pt')\n"
        "print(recorder.folder, flush=True)\n"
        "[recorder.entry({'step': step, 'loss': 1.0}) for step in range(1, 10**6)]\n"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parents[1]), str(tmp_path)]
    folders = set()
    for _ in range(2):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        while not (folder / "record.jsonl").exists() or (folder / "record.jsonl").stat().st_size < 2000:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        run = Run.load(folder)
        assert run.summary.status == "killed"
        assert [entry.step for entry in run.entries] == list(range(1, len(run.entries) + 1))
        folders.add(folder)
    assert len(folders) == 1
