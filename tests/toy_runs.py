"""Run folders for tests, made as trainings make them but in no time."""

from __future__ import annotations

from pathlib import Path

from irploc.runs import Configuration, Run, RunRecorder

CONFIGURATION = Configuration(
    command="train-mlp",
    arguments=("attic",),
    scene="attic",
    method="irpnet",
    options={"seed": 0, "model": "irpnet"},
    recipe={"name": "fast", "epochs": 3, "learning_rate": 0.1, "widths": (4, 2)},
    data={"scene": "attic", "embeddings": "e5"},
    made_with={"device": "cpu", "threads": 1},
)
ENTRIES = [
    {"step": 10, "epoch": 1, "loss": 4.0, "split": "test", "position_m": 0.9, "rotation_deg": 30.0},
    {"step": 20, "epoch": 2, "loss": 2.0, "split": "test", "position_m": 0.25, "rotation_deg": 9.0},
    {"step": 30, "epoch": 3, "loss": 1.0, "split": "test", "position_m": 0.5, "rotation_deg": 10.0},
]


def changed(**changes: object) -> Configuration:
    """``CONFIGURATION`` with other attributes."""
    return Configuration(**{**CONFIGURATION.__dict__, **changes})


def record(
    root: Path,
    configuration: Configuration = CONFIGURATION,
    entries: list[dict[str, object]] = ENTRIES,  # type: ignore[assignment]
    status: str = "finished",
    model: Path | None = None,
) -> Run:
    """A run below ``root/runs`` that reported these entries and ended like that."""
    path = model or root / f"models/{configuration.scene}.{configuration.method}.pt"
    recorder = RunRecorder.open(root / "runs", configuration, path)
    for entry in entries:
        recorder.entry(entry)
    if status == "finished":
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"weights")
    recorder.finish(status)
    return Run.load(recorder.folder)


def events(folder: Path) -> list[tuple[int, str, float]]:
    """(step, tag, value) of every scalar in the events file of a run, in the order they were written."""
    import struct

    from tensorboardX.proto import event_pb2

    (path,) = folder.glob("events.out.tfevents.*")
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        (length,) = struct.unpack("<Q", data[at : at + 8])  # then a checksum of 4 bytes, the event, and another checksum
        event = event_pb2.Event.FromString(data[at + 12 : at + 12 + length])
        found += [
            (event.step, value.tag, value.simple_value) for value in event.summary.value if not value.HasField("tensor")
        ]
        at += length + 16
    return found
