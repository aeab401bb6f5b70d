"""What was found out about the photos of a walk, kept so that an interrupted run need not ask again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from irploc.errors import BadInput
from irploc.geometry.cameras import Camera

_PARTIAL = ".learning.jsonl"
WALK = "walk"  # the camera that photos of a walk, each with a focal length found with its pose, have in common


@dataclass(frozen=True)
class Found:
    """The answer to one photo, in plain values.

    Attributes:
        photo: its absolute path.
        status: of the estimate; ``unreadable`` where there is none.
        center_m, world_from_cam_wxyz: the pose; None without one.
        confidence: None where nobody knows.
        expected: position (in the scene's units) and rotation (deg) errors to expect; None where nobody knows.
        camera: intrinsics that the pose was found with; None where none were needed.
        camera_from: who said so, as ``UsedCamera.source``, or ``WALK``; empty where nobody did.
        problem: why a photo is unreadable.
    """

    photo: str
    status: str
    center_m: tuple[float, ...] | None = None
    world_from_cam_wxyz: tuple[float, ...] | None = None
    confidence: float | None = None
    expected: tuple[float, float] | None = None
    camera: Camera | None = None
    problem: str = ""
    camera_from: str = ""


class AnswerFile:
    """Answers on disk while a run goes on, one a line; they count only for the same map and method.

    Args:
        folder: of the scene.
        asked: what the answers depend on, in words; answers to anything else are thrown away.
    """

    def __init__(self, folder: Path, asked: str) -> None:
        self.path, self._asked = folder / _PARTIAL, asked
        self.known = {found.photo: found for found in self._read()}
        if not self.known:
            self._write_line(json.dumps(asked), "w")

    def add(self, found: Found) -> None:
        """Keeps one answer."""
        self.known[found.photo] = found
        self._write_line(json.dumps(asdict(found)), "a")

    def discard(self) -> None:
        """Removes the file, when the scene itself holds what was decided."""
        self.path.unlink(missing_ok=True)

    def _write_line(self, line: str, mode: str) -> None:
        try:
            with self.path.open(mode, encoding="utf-8") as stream:
                stream.write(line + "\n")
        except OSError as error:
            raise BadInput(f"cannot write {self.path}: {error.strerror or error}") from None

    def _read(self) -> Iterator[Found]:
        if not self.path.is_file():
            return
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        with suppress(ValueError, IndexError):
            if json.loads(lines[0]) != self._asked:
                return
        for line in lines[1:]:
            with suppress(ValueError, KeyError, TypeError):  # the last line of a killed process may be cut off
                yield _found(json.loads(line))


def _found(values: dict[str, object]) -> Found:
    camera = values.pop("camera")
    if isinstance(camera, dict):
        camera = Camera(camera["model"], camera["width"], camera["height"], tuple(camera["params"]))
    for name in ("center_m", "world_from_cam_wxyz", "expected"):
        value = values[name]
        values[name] = tuple(value) if isinstance(value, list) else None
    return Found(**values, camera=camera)  # type: ignore[arg-type]
