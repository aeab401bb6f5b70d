"""A localizer that knows the truth, and errs where it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from irploc.errors import BadInput, IrplocError
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.learning import Found, Walk
from irploc.localizer import Localization
from irploc.scene import Frames

CAMERA = Camera("SIMPLE_PINHOLE", 32, 24, (30.0, 16.0, 12.0))


def walk_of(count: int, step: int = 1) -> Walk:
    """Photos that nobody has."""
    numbers = tuple(step * number for number in range(count))
    return Walk(Path("/walk"), tuple(Path(f"/walk/{number}.jpg") for number in numbers), numbers)


def found(number: int, center: Sequence[float], turn_deg: float = 0.0, **changes: object) -> Found:
    """A certain answer, looking along z turned about y."""
    half = np.radians(turn_deg) / 2
    answer = Found(
        photo=f"/walk/{number}.jpg",
        status="ok",
        center_m=tuple(center),
        world_from_cam_wxyz=(float(np.cos(half)), 0.0, float(np.sin(half)), 0.0),
        confidence=0.99,
        expected=(0.004, 0.1),
    )
    return replace(answer, **changes)  # type: ignore[arg-type]


class FakeLocalizer:
    """Gives the true pose of every photo it knows, unless ``errors`` has something else to say about its name.

    Args:
        truth: the photos with their poses.
        errors: name -> a change of the answer.
        stop_after: answers, after which Ctrl-C is pressed.
    """

    def __init__(
        self,
        truth: Frames,
        errors: dict[str, Callable[[Localization], Localization | IrplocError]] | None = None,
        stop_after: int | None = None,
    ) -> None:
        self.truth, self.errors, self.stop_after = truth, errors or {}, stop_after
        self.asked: list[str] = []
        self.notes: tuple[str, ...] = ()
        self.scenes = [SimpleNamespace(place=SimpleNamespace(name="tiny"))]

    def localize_many(self, photos: Sequence[Path]) -> Iterator[Localization | IrplocError]:
        """Answers in order."""
        row_of = {image.name: row for row, image in enumerate(self.truth.images)}
        for photo in photos:
            if self.stop_after is not None and len(self.asked) >= self.stop_after:
                raise KeyboardInterrupt
            self.asked.append(photo.name)
            answer = Localization(
                image=str(photo),
                status="ok",
                method="structure",
                scene="tiny",
                pose=self.truth.poses[[row_of[photo.name]]],
                confidence=0.98,
                neighbours=(),
                timing_ms={},
                expected_error=(0.003, 0.1),
            )
            yield self.errors.get(photo.name, lambda same: same)(answer)


def lost(answer: Localization) -> Localization:
    return replace(answer, status="not_localized", pose=Poses.missing(1), confidence=0.0, expected_error=None)


def approximate(answer: Localization) -> Localization:
    return replace(answer, status="approximate", confidence=0.95)


def doubtful(answer: Localization) -> Localization:
    return replace(answer, confidence=0.85)


def vague(answer: Localization) -> Localization:
    return replace(answer, expected_error=(0.3, 0.1))


def broken(answer: Localization) -> IrplocError:
    return BadInput(f"{answer.image} cannot be decoded")
