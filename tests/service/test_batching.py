"""The queue before the encoder: photos that arrive together are encoded together, in a fair order, up to a limit."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import numpy as np
import pytest
from tiny_queue import Recording, decode_slowly, localizer_of, poses, running, until
from tiny_service import photo_bytes, sent, within

from irploc.errors import IrplocError
from irploc.localizer.localization import Localization
from irploc.service import batching
from irploc.service.answering import Asked
from irploc.service.batching import Batcher, Pace
from irploc.service.hosting import Hosting
from irploc.service.options import Limits
from irploc.service.problems import Problem


def test_photos_of_different_requests_and_methods_are_encoded_together(hosting: Hosting) -> None:
    encoder = Recording(may_go_on=threading.Event())
    nearest, mean = (localizer_of(hosting, encoder, method) for method in ("nearest", "ewb:k=2"))

    async def ask() -> list[Any]:
        async with running() as batcher:
            first = asyncio.create_task(batcher.answer([Asked(sent("a"), nearest)]))
            await until(lambda: encoder.shapes)  # while it is encoded, others come
            asked = (Asked(sent(name), by) for name, by in (("b", nearest), ("c", mean), ("d", mean)))
            others = [asyncio.create_task(batcher.answer([one])) for one in asked]
            await until(lambda: len(batcher._ready) == 3)
            encoder.may_go_on.set()
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
    decode_slowly(monkeypatch, "slow", 0.2)

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


@pytest.mark.parametrize("photos", [1, 8])
def test_the_pace_counts_encoding_and_every_turn_of_the_methods(photos: int, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr(batching.time, "perf_counter", lambda: now_s)
    pace = Pace()
    for _ in range(100):
        for taken_s in (0.2, 0.4):  # encoding, and a turn that answers nobody
            with pace.at_work():
                now_s += taken_s * photos
        with pace.at_work():  # photos are answered before the turn is over
            now_s += 0.4 * photos
            pace.answered(photos)
    assert pace.seconds_each == pytest.approx(1.0, rel=0.25 if photos > 1 else 0.1)


def test_who_gives_up_leaves_the_queue_and_is_not_encoded(hosting: Hosting) -> None:
    encoder = Recording(may_go_on=threading.Event())
    localizer = localizer_of(hosting, encoder)

    async def ask() -> None:
        async with running(Limits(batch=1)) as batcher:
            first = asyncio.create_task(batcher.answer([Asked(sent("first"), localizer)]))
            await until(lambda: encoder.shapes)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await batcher.answer([Asked(sent("impatient"), localizer)])
            assert batcher.accepted == 1
            encoder.may_go_on.set()
            await first
            await batcher.answer([Asked(sent("last"), localizer)])

    within(10, ask())
    assert encoder.encoded == [1, 1]


def test_who_leaves_while_the_encoder_waits_for_another_photo_does_not_stop_it(
    hosting: Hosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode_slowly(monkeypatch, "slow", 0.3)
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
                broken.setattr(batcher, "_wait_for_more", lambda: 1 / 0)
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

    assert within(10, ask()) < 0.25, "less than an encoding takes"


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
