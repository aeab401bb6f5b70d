"""Unlabelled photos in, answers out: each is asked about once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from irploc.errors import IrplocError
from irploc.learning.answers import AnswerFile, Found
from irploc.learning.walks import Walk
from irploc.localizer import Localization
from irploc.progress import Progress

Locate = Callable[[Sequence[Path]], Iterator[Localization | IrplocError]]  # one answer per photo, in order
UNREADABLE = "unreadable"


def ask(walk: Walk, locate: Locate, known: AnswerFile, progress: Progress) -> list[Found]:
    """The answers to the photos of a walk, in order; only those are asked about that nobody knows yet.

    Args:
        walk: the photos.
        locate: answers to photos.
        known: takes every answer as it comes.
        progress: takes a step per photo.
    """
    asked = [photo for photo in walk.photos if str(photo) not in known.known]
    progress.advance(len(walk) - len(asked))
    for photo, answer in zip(asked, locate(asked), strict=True):
        known.add(_found(photo, answer))
        progress.advance()
    return [known.known[str(photo)] for photo in walk.photos]


def _found(photo: Path, answer: Localization | IrplocError) -> Found:
    if isinstance(answer, IrplocError):
        return Found(str(photo), UNREADABLE, problem=str(answer))
    used = answer.camera
    pose = answer.pose
    located = bool(pose.valid[0])
    return Found(
        photo=str(photo),
        status=answer.status,
        center_m=tuple(pose.centers_m[0].tolist()) if located else None,
        world_from_cam_wxyz=tuple(pose.world_from_cam_wxyz[0].tolist()) if located else None,
        confidence=answer.confidence,
        expected=answer.expected_error,
        camera=None if used is None else used.camera,
    )
