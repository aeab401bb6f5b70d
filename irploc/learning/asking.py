"""Unlabelled photos in, answers out; where nobody knows the focal length, the photos of a walk share one in the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from irploc.errors import IrplocError
from irploc.estimators.base import OK
from irploc.geometry.cameras import Camera
from irploc.learning.answers import WALK, AnswerFile, Found
from irploc.learning.walks import Walk
from irploc.localizer import Localization
from irploc.progress import Progress
from irploc.structure.intrinsics import ESTIMATED

UNREADABLE = "unreadable"
_FEW = 3  # photos; of fewer the median focal length is no better than their own


class Locate(Protocol):
    """Localizes photos."""

    def __call__(self, images: Sequence[Path], *, camera: Camera | None = None) -> Iterator[Localization | IrplocError]:
        """One answer per photo, in order; ``camera`` is that of all of them where it is known."""
        ...


def ask(walk: Walk, locate: Locate, known: AnswerFile, progress: Progress) -> list[Found]:
    """The answers to the photos of a walk, in order; only those are asked about that nobody knows yet.

    Photos whose focal length had to be found with their pose are asked about once more, with the median of those of their
    size: they come from one camera, and poses and focal lengths that are found together share their errors.

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
    for size in sorted({camera_size for photo in walk.photos if (camera_size := _estimated_size(known.known[str(photo)]))}):
        _ask_with_one_camera(walk, size, locate, known)
    return [known.known[str(photo)] for photo in walk.photos]


def _estimated_size(found: Found) -> tuple[int, int] | None:
    """Width and height of a photo that was located with a focal length of its own."""
    if found.camera is None or found.camera_from != ESTIMATED or found.status != OK:
        return None
    return found.camera.width, found.camera.height


def _ask_with_one_camera(walk: Walk, size: tuple[int, int], locate: Locate, known: AnswerFile) -> None:
    """Answers that are worse with the common camera stay as they are: somebody may have zoomed."""
    answers = [known.known[str(photo)] for photo in walk.photos]
    own = [photo for photo, found in zip(walk.photos, answers, strict=True) if _estimated_size(found) == size]
    camera = _common_camera(answers, size)
    if camera is None:
        return
    for photo, answer in zip(own, locate(own, camera=camera), strict=True):
        found = _found(photo, answer)
        if found.status == OK:
            known.add(replace(found, camera=camera, camera_from=WALK))


def _common_camera(answers: Sequence[Found], size: tuple[int, int]) -> Camera | None:
    """The one that an interrupted run had chosen, else that with the median focal length; None for few photos."""
    cameras = [found.camera for found in answers if found.camera is not None and found.camera_from == WALK]
    chosen = [camera for camera in cameras if (camera.width, camera.height) == size]
    if chosen:
        return chosen[0]
    own = [found.camera for found in answers if found.camera is not None and _estimated_size(found) == size]
    if len(own) < _FEW:
        return None
    return sorted(own, key=lambda camera: camera.focal_px)[len(own) // 2]


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
        camera_from="" if used is None else used.source,
    )
