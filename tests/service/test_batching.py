"""The queue before the encoder: photos that arrive together are encoded together, and none pays for another."""

from __future__ import annotations

import asyncio
import gc
import re
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from tiny_place import TinyEncoder
from tiny_service import hosting_options, make_workspace, photo_bytes, sent, within

from irploc.errors import IrplocError
from irploc.geometry.cameras import Camera
from irploc.localizer import Localizer
from irploc.localizer.localization import Localization
from irploc.service.answering import Asked
from irploc.service.batching import Batcher
from irploc.service.hosting import Hosting
from irploc.service.loading import load_hosting
from irploc.service.options import Limits
from irploc.service.problems import Problem


@pytest.fixture(scope="module")
def hosting(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: None) -> Hosting:
    home = make_workspace(tmp_path_factory.mktemp("workspace"))
    return load_hosting(hosting_options(home)).hosting


@dataclass
class Recording(TinyEncoder):
    """Notes the shape of every batch; may be slow, or short of memory."""

    pause_s: float = 0.0
    most: int = 1000
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.pause_s)

    def encode(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        if len(images_BCHW) > self.most:
            raise MemoryError("no room")
        self.shapes.append(tuple(images_BCHW.shape))
        return super().encode(images_BCHW)


def localizer_of(hosting: Hosting, encoder: TinyEncoder, method: str | None = None) -> Localizer:
    return Localizer(hosting.localizer(None, method, None).scenes, encoder)


@asynccontextmanager
async def running(limits: Limits | None = None) -> AsyncIterator[Batcher]:
    batcher = Batcher(limits or Limits())
    batcher.start()
    try:
        yield batcher
    finally:
        await batcher.stop()


def poses(answers: list[Localization | IrplocError]) -> list[list[float]]:
    return [answer.pose.centers_m[0].tolist() for answer in answers if isinstance(answer, Localization)]


def test_photos_of_different_requests_and_methods_are_encoded_together(hosting: Hosting) -> None:
    encoder = Recording(pause_s=0.15)
    nearest, mean = (localizer_of(hosting, encoder, method) for method in ("nearest", "ewb:k=2"))

    async def ask() -> list[Any]:
        async with running() as batcher:
            first = asyncio.create_task(batcher.answer([Asked(sent("a"), nearest)]))
            await asyncio.sleep(0.05)  # while it is encoded, others come
            others = [batcher.answer([Asked(sent(name), by)]) for name, by in (("b", nearest), ("c", mean), ("d", mean))]
            return [(await first)[0], *[answers[0] for answers in await asyncio.gather(*others)]]

    answers = within(10, ask())
    assert encoder.encoded == [1, 3]
    assert [answer.image for answer in answers] == ["a", "b", "c", "d"]
    assert [answer.method for answer in answers] == ["nearest", "nearest", "ewb:k=2", "ewb:k=2"]
    alone = [by.localize([sent("x")])[0] for by in (nearest, mean)]
    assert np.allclose(poses(answers), [one.pose.centers_m[0] for one in (alone[0], alone[0], alone[1], alone[1])])


def test_a_lone_photo_waits_for_nobody(hosting: Hosting) -> None:
    encoder = Recording()
    localizer = localizer_of(hosting, encoder)

    async def ask() -> float:
        async with running(Limits(batch_wait_ms=2000)) as batcher:
            await batcher.answer([Asked(sent("warm"), localizer)])
            started = time.perf_counter()
            await batcher.answer([Asked(sent("a"), localizer)])
            return time.perf_counter() - started

    assert within(10, ask()) < 0.5


def test_an_idle_encoder_waits_for_photos_that_are_being_decoded(hosting: Hosting, monkeypatch: pytest.MonkeyPatch) -> None:
    from irploc.service import answering

    decode = answering.decode_photo

    def slowly(photo: Any, name: str, max_side: int | None) -> Any:
        time.sleep(0.2 if name == "slow" else 0)
        return decode(photo, name, max_side)

    monkeypatch.setattr(answering, "decode_photo", slowly)

    async def ask(wait_ms: float) -> list[int]:
        encoder = Recording()
        localizer = localizer_of(hosting, encoder)
        async with running(Limits(batch_wait_ms=wait_ms)) as batcher:
            await batcher.answer([Asked(sent(name), localizer) for name in ("quick", "slow")])
        return encoder.encoded

    assert within(10, ask(5000)) == [2]
    assert within(10, ask(0)) == [1, 1], "and no longer than it may"


def test_batches_hold_photos_of_one_shape_and_no_more_than_allowed_and_the_oldest_goes_first(hosting: Hosting) -> None:
    encoder = Recording(pause_s=0.05)
    localizer = localizer_of(hosting, encoder)
    tall, wide = photo_bytes(size=(24, 32)), photo_bytes(size=(32, 24))

    async def ask() -> None:
        async with running(Limits(batch=2)) as batcher:
            first = asyncio.create_task(batcher.answer([Asked(sent("first", wide), localizer)]))
            await asyncio.sleep(0.02)
            await batcher.answer([Asked(sent("tall", tall), localizer)])
            await first

    async def many() -> None:
        async with running(Limits(batch=2, batch_wait_ms=500)) as batcher:
            shapes = [wide, tall, wide, wide, tall]
            await batcher.answer([Asked(sent(str(number), shape), localizer) for number, shape in enumerate(shapes)])

    within(10, ask())
    assert [shape[2:] for shape in encoder.shapes] == [(24, 32), (32, 24)]
    encoder.shapes.clear()
    within(10, many())
    assert max(shape[0] for shape in encoder.shapes) == 2
    assert sum(shape[0] for shape in encoder.shapes) == 5


def test_photos_of_another_shape_are_not_starved_by_a_stream_of_others(hosting: Hosting) -> None:
    encoder = Recording(pause_s=0.01)
    localizer = localizer_of(hosting, encoder)
    tall, wide = photo_bytes(size=(24, 32)), photo_bytes(size=(32, 24))

    async def ask() -> int:
        async with running(Limits(batch=2)) as batcher:
            answered = 0

            async def stream() -> None:
                nonlocal answered
                for _ in range(30):
                    await batcher.answer([Asked(sent("wide", wide), localizer)])
                    answered += 1

            streams = [asyncio.create_task(stream()) for _ in range(4)]
            await asyncio.sleep(0.05)
            before = answered
            await batcher.answer([Asked(sent("tall", tall), localizer)])
            meanwhile = answered - before
            for task in streams:
                task.cancel()
            return meanwhile

    assert within(20, ask()) <= 12


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
    from irploc.service import answering

    monkeypatch.setattr(answering, "_LARGE_PIXELS", 32 * 24)
    decode = answering.decode_photo

    def slowly(photo: Any, name: str, max_side: int | None) -> Any:
        time.sleep(0.1 if name == "large" else 0)
        return decode(photo, name, max_side)

    monkeypatch.setattr(answering, "decode_photo", slowly)
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
    estimate = slow.estimate

    def slowly(*arguments: Any) -> Any:
        time.sleep(0.5)
        return estimate(*arguments)

    monkeypatch.setattr(slow, "estimate", slowly)

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
    from irploc.service import answering

    monkeypatch.setattr(answering, "_TURN_S", 0.05)
    encoder = Recording()
    quick, slow = localizer_of(hosting, encoder, "nearest"), localizer_of(hosting, encoder, "ewb:k=2")
    estimate, estimated = slow.estimate, 0

    def slowly(*arguments: Any) -> Any:
        nonlocal estimated
        estimated += len(arguments[0])
        time.sleep(0.1 * len(arguments[0]))
        return estimate(*arguments)

    monkeypatch.setattr(slow, "estimate", slowly)

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


def test_beyond_the_queue_there_is_no_room_and_the_time_to_come_back_grows_with_it(hosting: Hosting) -> None:
    localizer = localizer_of(hosting, Recording(pause_s=0.3))

    async def ask() -> list[Problem]:
        problems = []
        async with running(Limits(queue=4, images=4, batch=1)) as batcher:
            held = asyncio.create_task(batcher.answer([Asked(sent(str(number)), localizer) for number in range(3)]))
            await asyncio.sleep(0.05)
            batcher.check_room(1)
            with pytest.raises(Problem) as refused:
                await batcher.answer([Asked(sent("x"), localizer)] * 2)
            problems.append(refused.value)
            await held
            assert batcher.accepted == 0
            batcher.check_room(4)
        return problems

    (problem,) = within(10, ask())
    assert (problem.status, problem.code) == (429, "too_busy")
    assert int(problem.headers["Retry-After"]) >= 1


def test_who_gives_up_leaves_the_queue_and_is_not_encoded(hosting: Hosting) -> None:
    encoder = Recording(pause_s=0.2)
    localizer = localizer_of(hosting, encoder)

    async def ask() -> None:
        async with running(Limits(batch=1)) as batcher:
            first = asyncio.create_task(batcher.answer([Asked(sent("first"), localizer)]))
            await asyncio.sleep(0.05)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await batcher.answer([Asked(sent("impatient"), localizer)])
            assert batcher.accepted == 1
            await first
            await batcher.answer([Asked(sent("last"), localizer)])

    within(10, ask())
    assert encoder.encoded == [1, 1]


def test_who_leaves_while_the_encoder_waits_for_another_photo_does_not_stop_it(
    hosting: Hosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    from irploc.service import answering

    decode = answering.decode_photo

    def slowly(photo: Any, name: str, max_side: int | None) -> Any:
        time.sleep(0.3 if name == "slow" else 0)
        return decode(photo, name, max_side)

    monkeypatch.setattr(answering, "decode_photo", slowly)
    localizer = localizer_of(hosting, Recording())

    async def ask() -> list[Localization | IrplocError]:
        async with running(Limits(batch_wait_ms=200)) as batcher:
            slow = asyncio.create_task(batcher.answer([Asked(sent("slow"), localizer)]))
            leaving = asyncio.create_task(batcher.answer([Asked(sent("leaving"), localizer)]))
            await asyncio.sleep(0.1)
            leaving.cancel()
            return [*await slow, *await batcher.answer([Asked(sent("later"), localizer)])]

    assert len(poses(within(5, ask()))) == 2


def test_a_mistake_in_the_queue_itself_costs_one_batch(hosting: Hosting, monkeypatch: pytest.MonkeyPatch) -> None:
    localizer = localizer_of(hosting, Recording())

    async def ask() -> list[Localization | IrplocError]:
        async with running() as batcher:
            with monkeypatch.context() as broken:
                broken.setattr(batcher, "_give", lambda *_: 1 / 0)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await batcher.answer([Asked(sent("lost"), localizer)])
            return await batcher.answer([Asked(sent("later"), localizer)])

    assert len(poses(within(5, ask()))) == 1


def test_stopping_finishes_what_was_accepted(hosting: Hosting) -> None:
    localizer = localizer_of(hosting, Recording(pause_s=0.1))

    async def ask() -> list[Localization | IrplocError]:
        batcher = Batcher(Limits(batch=1))
        batcher.start()
        work = asyncio.create_task(batcher.answer([Asked(sent(str(number)), localizer) for number in range(3)]))
        await asyncio.sleep(0.02)
        await batcher.stop()
        assert work.done() or batcher.accepted == 0
        return await work

    assert len(poses(within(10, ask()))) == 3


def test_the_event_loop_stays_free_while_photos_are_encoded(hosting: Hosting) -> None:
    localizer = localizer_of(hosting, Recording(pause_s=0.3))

    async def ask() -> float:
        longest = 0.0
        async with running() as batcher:
            work = asyncio.create_task(batcher.answer([Asked(sent("a"), localizer)]))
            while not work.done():
                started = time.perf_counter()
                await asyncio.sleep(0.005)
                longest = max(longest, time.perf_counter() - started)
        return longest

    assert within(10, ask()) < 0.15


def test_photos_and_stages_are_counted(hosting: Hosting) -> None:
    localizer = localizer_of(hosting, Recording(), "nearest")

    async def ask() -> str:
        async with running() as batcher:
            await batcher.answer([Asked(sent("a"), localizer), Asked(sent("b", b"text"), localizer)])
            return batcher._metrics.text().decode()

    text = within(10, ask())
    assert 'irploc_photos_total{method="nearest",scene="tiny",status="ok"} 1.0' in text
    assert 'irploc_photos_total{method="",scene="",status="refused"} 1.0' in text
    assert "irploc_batch_photos_count 1.0" in text
    for stage in ("decode", "wait", "encode", "estimate"):
        assert f'irploc_stage_seconds_count{{stage="{stage}"}} 1.0' in text
