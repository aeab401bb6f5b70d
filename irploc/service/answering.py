"""What the threads of a ``Batcher`` do: decode photos, encode those of one shape together, and let methods answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from irploc.errors import BadInput, IrplocError, without_frames
from irploc.geometry.cameras import Camera
from irploc.images import EncodedPhoto, decoded_size
from irploc.localizer import Localizer
from irploc.localizer.decoding import DecodedPhoto, decode_photo
from irploc.localizer.localization import Localization
from irploc.localizer.localizer import encode_together, localization_of
from irploc.service.containers import check_container
from irploc.structure.intrinsics import fitted_to

logger = logging.getLogger(__name__)
_LARGE_PIXELS = 16_000_000
_TURN_S = 0.5  # of methods, until the next batch


@dataclass(frozen=True)
class Asked:
    """One photo and who is to answer.

    Attributes:
        photo: as it came.
        localizer: of the scene, method and floor map that were asked for; photos of the same one are estimated together.
        camera: its intrinsics, where the client knows.
        focal_px: its focal length, where a person said so.
    """

    photo: EncodedPhoto
    localizer: Localizer
    camera: Camera | None = None
    focal_px: float | None = None


@dataclass(eq=False)
class Job:
    """A decoded photo that waits for the encoder."""

    asked: Asked
    decoded: DecodedPhoto
    future: asyncio.Future[Localization | IrplocError]
    since: float = field(default_factory=time.perf_counter)

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.future.done()

    @property
    def alike(self) -> tuple[int, tuple[int, ...]]:
        """What must agree for photos to be encoded at once."""
        return id(self.asked.localizer.encoder), self.decoded.shape


@dataclass(eq=False)
class Group:
    """Encoded photos for the same localizer, and what encoding one of them took."""

    jobs: list[Job]
    vectors: list[np.ndarray]
    encode_ms: float

    @property
    def methods(self) -> tuple[str, ...]:
        """Of the scenes that are asked."""
        return tuple(sorted({served.method for served in self.jobs[0].asked.localizer.scenes}))

    def take(self, count: int) -> tuple[list[Job], np.ndarray]:
        """The first photos, with their vectors (count, D)."""
        jobs, vectors = self.jobs[:count], self.vectors[:count]
        self.jobs, self.vectors = self.jobs[count:], self.vectors[count:]
        return jobs, np.stack(vectors)

    def drop_over(self) -> None:
        """Photos that nobody waits for any more are not asked of a method."""
        kept = [pair for pair in zip(self.jobs, self.vectors, strict=True) if not pair[0].is_over]
        self.jobs, self.vectors = [job for job, _ in kept], [vector for _, vector in kept]


Costs = dict[tuple[str, ...], float]  # methods -> seconds that a photo took them last time
Giver = Callable[[Sequence[Job], Sequence[Localization | Exception]], None]


def decode_unless_large(asked: Asked) -> DecodedPhoto | None:
    """A photo decoded and reduced, or with the error in its place; None where it is large, for ``decode``."""
    photo = asked.photo
    try:
        check_container(photo.name, photo.content)
        size = decoded_size(photo)
        if asked.camera is not None and fitted_to(asked.camera, size) is None:
            theirs = f"{asked.camera.width}x{asked.camera.height}"
            raise BadInput(f"{photo.name} is {size[0]}x{size[1]}, the camera that came with it takes photos of {theirs}")
    except IrplocError as error:
        return DecodedPhoto(photo.name, np.zeros((3, 0, 0), dtype=np.uint8), 0.0, photo, without_frames(error))
    return None if size[0] * size[1] > _LARGE_PIXELS else decode(asked)


def decode(asked: Asked) -> DecodedPhoto:
    """A photo of any size decoded and reduced as the mapping photos were, or with the error in its place."""
    decoded = decode_photo(asked.photo, asked.photo.name, asked.localizer.max_side)
    if decoded.error is None and min(decoded.shape[1:]) < asked.localizer.encoder.minimum_side:
        decoded.error = _too_narrow(asked, decoded)
    return decoded


def _too_narrow(asked: Asked, decoded: DecodedPhoto) -> BadInput:
    """What is said of a photo with fewer pixels a side than its encoder takes: its own size, and what is left of it."""
    width, height = decoded_size(asked.photo)
    reduced = f"{decoded.shape[2]}x{decoded.shape[1]}"
    seen = "" if reduced == f"{width}x{height}" else f" and {reduced} once it is reduced as the mapping photos were"
    least = asked.localizer.encoder.minimum_side
    return BadInput(f"{decoded.name} is {width}x{height}{seen}, at least {least} pixels a side are needed")


def encode(batch: Sequence[Job], give: Giver) -> list[Group]:
    """Encodes photos of one shape for one encoder together; an error goes at once to those that could not be."""
    started = time.perf_counter()
    encoded = list(zip(batch, _encoded(batch), strict=True))
    encode_ms = 1e3 * (time.perf_counter() - started) / len(batch)
    groups: dict[tuple[int, float | None], Group] = {}
    for job, vector in encoded:
        if isinstance(vector, Exception):
            give([job], [vector])
            continue
        group = groups.setdefault((id(job.asked.localizer), job.asked.focal_px), Group([], [], encode_ms))
        group.jobs.append(job)
        group.vectors.append(vector)
    return list(groups.values())


def answer(groups: Sequence[Group], costs_s: Costs, give: Giver) -> list[Group]:
    """Asks methods, those that are quick first, until their turn is over; and in each turn at least one photo of those that
    wait longest, so that quick ones never keep slow ones waiting for ever.

    Args:
        groups: what waits; photos are taken out of them.
        costs_s: what photos took last time; brought up to date.
        give: takes photos and their outcomes, as soon as they are there.

    Returns:
        What still waits.
    """
    end = time.perf_counter() + _TURN_S
    for group in groups:
        group.drop_over()
    waiting = sorted((group for group in groups if group.jobs), key=lambda group: costs_s.get(group.methods, 0.0))
    longest = min(waiting, key=lambda group: group.jobs[0].since, default=None)
    for group in waiting:
        while group.jobs and time.perf_counter() < end:
            _answer_some(group, costs_s, give)
            longest = None if group is longest else longest
    if longest is not None:
        _answer_some(longest, costs_s, give, 1)
    return [group for group in waiting if group.jobs]


def _answer_some(group: Group, costs_s: Costs, give: Giver, most: int | None = None) -> None:
    """Takes as many photos of a group as fit into a turn by what they took last time; at least one, and ``most`` at most."""
    started, methods = time.perf_counter(), group.methods
    cost = costs_s.get(methods)
    fitting = 1 if cost is None else max(1, int(_TURN_S / max(cost, 1e-6)))
    jobs, vectors = group.take(fitting if most is None else min(fitting, most))
    give(jobs, _estimated_apart(jobs, vectors, group.encode_ms))
    costs_s[methods] = (time.perf_counter() - started) / len(jobs)
    group.drop_over()


def _encoded(batch: Sequence[Job]) -> list[np.ndarray | Exception]:
    """(D,) of each photo. A batch that fails is halved, so that it fits into memory and nobody pays for another's photo."""
    try:
        return list(encode_together(batch[0].asked.localizer.encoder, [job.decoded for job in batch]))
    except Exception as error:
        if len(batch) > 1:
            half = len(batch) // 2
            return _encoded(batch[:half]) + _encoded(batch[half:])
        return [logged(error)]


def _estimated_apart(jobs: Sequence[Job], embeddings: np.ndarray, encode_ms: float) -> Sequence[Localization | Exception]:
    """As ``_estimated``; what fails together is tried one by one."""
    try:
        return _estimated(jobs, embeddings, encode_ms)
    except Exception as error:
        if len(jobs) > 1:
            each = (_estimated_apart([job], embeddings[[row]], encode_ms) for row, job in enumerate(jobs))
            return [outcome for outcomes in each for outcome in outcomes]
        return [logged(error)]


def logged(error: Exception) -> Exception:
    """The error, without frames; one that is a mistake of ours, or of the machine, is in the log then."""
    if not isinstance(error, IrplocError):
        logger.error("a photo could not be answered", exc_info=error)
    return without_frames(error)


def _estimated(jobs: Sequence[Job], embeddings: np.ndarray, encode_ms: float) -> list[Localization]:
    started = time.perf_counter()
    answers = jobs[0].asked.localizer.estimate(
        embeddings,
        [job.decoded.source for job in jobs],
        [job.asked.camera for job in jobs],
        [job.decoded.in_full_size for job in jobs],
        jobs[0].asked.focal_px,
    )
    estimate_ms = 1e3 * (time.perf_counter() - started) / len(jobs)
    return [localization_of(job.decoded, answer, encode_ms, estimate_ms) for job, answer in zip(jobs, answers, strict=True)]
