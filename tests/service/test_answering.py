"""What is done with a photo that waits: decoded, encoded and located, and none pays for another."""

from __future__ import annotations

import asyncio
import gc
import re
import time
import weakref
from typing import Any

import pytest
from tiny_queue import Recording, decode_slowly, localizer_of, poses, running
from tiny_service import photo_bytes, sent, within

from irploc.errors import IrplocError
from irploc.geometry.cameras import Camera
from irploc.localizer import Localizer
from irploc.localizer.localization import Localization
from irploc.service import answering, batching
from irploc.service.answering import Asked
from irploc.service.hosting import Hosting
from irploc.service.options import Limits


def test_a_photo_that_is_none_fails_alone(hosting: Hosting) -> None:
    localizer = localizer_of(hosting, Recording())

    async def ask() -> list[Localization | IrplocError]:
        async with running() as batcher:
            photos = [sent("good"), sent("text.jpg", b"text"), sent("tiny", photo_bytes(size=(4, 4)))]
            return await batcher.answer([Asked(photo, localizer) for photo in photos])

    good, text, tiny = within(10, ask())
    assert isinstance(good, Localization) and good.status == "ok"
    assert isinstance(text, IrplocError) and str(text).startswith("text.jpg is not an image")
    assert isinstance(tiny, IrplocError) and str(tiny) == "tiny is 4x4, at least 8 pixels a side are needed"


def test_a_photo_that_gets_too_narrow_is_told_both_sizes(hosting: Hosting) -> None:
    localizer = localizer_of(hosting, Recording())
    localizer.max_side = 32

    async def ask() -> list[Localization | IrplocError]:
        async with running() as batcher:
            return await batcher.answer([Asked(sent("strip", photo_bytes(size=(320, 40))), localizer)])

    (answer,) = within(10, ask())
    wanted = "strip is 320x40 and 32x4 once it is reduced as the mapping photos were, at least 8 pixels a side are needed"
    assert str(answer) == wanted


def test_small_photos_pass_large_ones(hosting: Hosting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "_LARGE_PIXELS", 32 * 24)
    monkeypatch.setattr(batching, "_cores", lambda: 2)
    decode_slowly(monkeypatch, "large", 0.1)
    localizer = localizer_of(hosting, Recording())

    async def ask() -> tuple[float, int]:
        async with running() as batcher:
            photos = [Asked(sent("large", photo_bytes(size=(64, 48))), localizer) for _ in range(12)]
            large = asyncio.create_task(batcher.answer(photos))
            await asyncio.sleep(0.02)
            started = time.perf_counter()
            await batcher.answer([Asked(sent("small"), localizer)])
            return time.perf_counter() - started, len(poses(await large))

    taken, answered = within(10, ask())
    assert taken < 0.3 and answered == 12


def test_what_was_refused_holds_neither_the_photo_nor_the_scene(hosting: Hosting) -> None:
    half = photo_bytes(size=(320, 240), kind="JPEG")[:2000]
    contents = {"text.jpg": b"text", "empty.jpg": b"", "half.jpg": half, "tiny": photo_bytes(size=(4, 4))}

    async def ask(localizer: Localizer) -> list[Localization | IrplocError]:
        async with running() as batcher:
            return await batcher.answer([Asked(sent(name, content), localizer) for name, content in contents.items()])

    asked = localizer_of(hosting, Recording())
    scene = weakref.ref(asked)
    gc.collect()
    gc.disable()  # it would hide a circle
    try:
        answers = within(10, ask(asked))
        del asked
        assert all(isinstance(answer, IrplocError) for answer in answers)
        end = time.monotonic() + 2
        while scene() is not None and time.monotonic() < end:  # the queue's threads let go of it a moment later
            time.sleep(0.01)
        assert scene() is None
    finally:
        gc.enable()


def test_a_camera_of_other_photos_is_refused_not_replaced(hosting: Hosting) -> None:
    localizer = localizer_of(hosting, Recording())
    cameras = [
        Camera("SIMPLE_PINHOLE", width, height, (40.0, width / 2, height / 2)) for width, height in ((64, 48), (48, 64))
    ]

    async def ask() -> list[Localization | IrplocError]:
        async with running() as batcher:
            return await batcher.answer([Asked(sent("wide.png"), localizer, camera) for camera in cameras])

    scaled, turned = within(10, ask())
    assert isinstance(scaled, Localization)
    assert str(turned) == "wide.png is 32x24, the camera that came with it takes photos of 48x64"


def test_a_batch_that_does_not_fit_into_memory_is_halved(hosting: Hosting) -> None:
    encoder = Recording(most=2)
    localizer = localizer_of(hosting, encoder)

    async def ask() -> list[Localization | IrplocError]:
        async with running(Limits(batch_wait_ms=500)) as batcher:
            return await batcher.answer([Asked(sent(str(number)), localizer) for number in range(4)])

    answers = within(10, ask())
    assert len(poses(answers)) == 4
    assert encoder.encoded == [2, 2]


def test_who_asked_a_quick_method_does_not_wait_for_a_slow_one(hosting: Hosting, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Recording(pause_s=0.05)
    quick, slow = localizer_of(hosting, encoder, "nearest"), localizer_of(hosting, encoder, "ewb:k=2")
    monkeypatch.setattr(slow, "estimate", taking(slow, 0.5))

    async def ask() -> tuple[list[str], str]:
        order: list[str] = []

        async def one(name: str, by: Localizer) -> None:
            await batcher.answer([Asked(sent(name), by)])
            order.append(name)

        async with running(Limits(batch_wait_ms=500)) as batcher:
            await one("first", slow)  # how long a method takes is known once it was asked
            before = asyncio.create_task(one("before", quick))
            await asyncio.sleep(0.02)  # while it is encoded, others come
            await asyncio.gather(before, one("slow", slow), one("quick", quick))
            return order, batcher._metrics.text().decode()

    order, text = within(10, ask())
    assert order == ["first", "before", "quick", "slow"]
    assert encoder.encoded == [1, 1, 2], "they were encoded together all the same"
    waited = re.search(r'stage_seconds_sum\{stage="wait"\} (\S+)', text)
    assert waited is not None and float(waited[1]) < 0.4


def test_a_slow_method_has_turns_between_which_others_are_answered_and_those_who_left_are_not_asked_for(
    hosting: Hosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "_TURN_S", 0.05)
    encoder = Recording()
    quick, slow = localizer_of(hosting, encoder, "nearest"), localizer_of(hosting, encoder, "ewb:k=2")
    estimate, estimated = taking(slow, 0.1), 0

    def counted(*arguments: Any) -> Any:
        nonlocal estimated
        estimated += len(arguments[0])
        return estimate(*arguments)

    monkeypatch.setattr(slow, "estimate", counted)

    async def ask() -> tuple[float, int]:
        async with running(Limits(batch_wait_ms=500)) as batcher:
            asked = ([Asked(sent(name), slow)] * count for name, count in (("stays", 8), ("leaves", 4)))
            first, leaving = (asyncio.create_task(batcher.answer(photos)) for photos in asked)
            await asyncio.sleep(0.15)
            leaving.cancel()
            started = time.perf_counter()
            await batcher.answer([Asked(sent("quick"), quick)])
            taken = time.perf_counter() - started
            with pytest.raises(asyncio.CancelledError):
                await leaving
            return taken, len(poses(await first))

    taken, answered = within(10, ask())
    assert taken < 0.35, "instead of more than half a second"
    assert (answered, estimated) == (8, 8)


def test_a_stream_of_quick_photos_does_not_keep_a_slow_one_waiting_for_ever(
    hosting: Hosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "_TURN_S", 0.05)
    encoder = Recording()
    quick, slow = localizer_of(hosting, encoder, "nearest"), localizer_of(hosting, encoder, "ewb:k=2")
    for by, seconds in ((quick, 0.04), (slow, 0.1)):
        monkeypatch.setattr(by, "estimate", taking(by, seconds))

    async def ask() -> int:
        async with running() as batcher:
            await batcher.answer([Asked(sent("known"), slow)])
            answered = 0

            async def stream() -> None:
                nonlocal answered
                while True:
                    await batcher.answer([Asked(sent("quick"), quick)])
                    answered += 1

            streams = [asyncio.create_task(stream()) for _ in range(6)]
            await asyncio.sleep(0.2)
            before = answered
            await batcher.answer([Asked(sent("slow"), slow)])
            meanwhile = answered - before
            for task in streams:
                task.cancel()
            return meanwhile

    assert within(20, ask()) <= 12


def taking(localizer: Localizer, seconds: float) -> Any:
    """Its estimates, each after some time."""
    estimate = localizer.estimate

    def slowly(*arguments: Any) -> Any:
        time.sleep(seconds * len(arguments[0]))
        return estimate(*arguments)

    return slowly


def test_a_mistake_of_ours_reaches_its_request_only(hosting: Hosting, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Recording(pause_s=0.05)
    good, broken = localizer_of(hosting, encoder, "nearest"), localizer_of(hosting, encoder, "ewb:k=2")

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(broken, "estimate", fail)

    async def ask() -> list[Any]:
        async with running(Limits(batch_wait_ms=500)) as batcher:
            asked = [batcher.answer([Asked(sent(name), by)]) for name, by in (("a", good), ("b", broken), ("c", good))]
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            assert batcher.accepted == 0
            return outcomes

    a, b, c = within(10, ask())
    assert isinstance(b, ZeroDivisionError)
    assert len(poses([*a, *c])) == 2
