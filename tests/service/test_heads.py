"""Heads of requests that never end: the connection is closed, others are answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from irploc.service import heads

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
LAST = GET + b"Connection: close\r\n"


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0.5 if scope["path"] == "/slow" else 0)
    while scope["method"] == "POST" and (await receive()).get("more_body"):
        pass
    body = b"ok" * (20_000_000 if scope["path"] == "/large" else 1)
    length = str(len(body)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a service."""
    config = uvicorn.Config(answer, http=heads.ShortHeads, log_config=None, lifespan="off", port=0)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname()[:2])
    try:
        yield reader, writer
    finally:
        writer.close()
        server.should_exit = True
        await running


async def _asked(*pieces: bytes, pause_s: float = 0.0, reads_after_s: float = 0.0) -> bytes:
    """What a service says until it closes the connection, or for two seconds."""
    said = bytearray()
    async with serving() as (reader, writer):
        try:
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(pause_s)
            await asyncio.sleep(reads_after_s)
            async with asyncio.timeout(2):
                while chunk := await reader.read(1 << 16):
                    said += chunk
        except TimeoutError:
            return bytes(said)
        except ConnectionError:
            pass
        return bytes(said) + b"<closed>"


def asked(*pieces: bytes, **others: float) -> bytes:
    return asyncio.run(_asked(*pieces, **others))


@pytest.mark.parametrize("pieces", [(), (GET,), (GET + b"\r\n", b"GET / HT")])
def test_a_head_that_does_not_come_closes_the_connection(pieces: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "_LONGEST_S", 0.3)
    said = asked(*pieces, pause_s=0.05)
    assert said.endswith(b"<closed>")
    assert said.count(b"200 OK") == (1 if len(pieces) == 2 else 0)


def test_a_head_without_end_is_refused() -> None:
    said = asked(GET, *[b"X: " + b"a" * 30_000 + b"\r\n"] * 3, pause_s=0.05)
    assert said.startswith(b"HTTP/1.1 431 ") and problem_in(said)["code"] == "head_too_large"


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n"])
def test_what_is_no_request_is_answered_as_every_other_error(sent: bytes) -> None:
    said = asked(sent)
    assert said.startswith(b"HTTP/1.1 400 ") and problem_in(said)["code"] == "malformed_request"


@pytest.mark.parametrize("body", [b"ZZ\r\n", b"3\r\nabcd\r\n"])
def test_a_body_that_is_wrong_is_answered_too(body: bytes) -> None:
    said = asked(GET.replace(b"GET", b"POST") + b"Transfer-Encoding: chunked\r\n\r\n", body, pause_s=0.05)
    assert said.startswith(b"HTTP/1.1 400 ") and problem_in(said)["code"] == "malformed_request"


@pytest.mark.parametrize("size, status", [(60_000, b"200"), (70_000, b"431"), (5_000_000, b"431")])
def test_a_head_has_its_limit_and_who_sends_more_gets_the_answer_all_the_same(size: int, status: bytes) -> None:
    assert asked(LAST + b"X: " + b"a" * size + b"\r\n\r\n").startswith(b"HTTP/1.1 " + status)
    assert asked(b"GET /" + b"a" * size + b" HTTP/1.1\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 " + status)


def test_a_few_requests_may_wait_for_the_answer_before_them_and_no_more() -> None:
    assert asked((GET + b"\r\n") * 7 + LAST + b"\r\n").count(b"200 OK") == 8
    said = asked(GET.replace(b"/ ", b"/slow ") + b"\r\n", (GET + b"\r\n") * 20_000, pause_s=0.1)
    assert said == b"<closed>"


def test_who_leaves_before_its_answers_leaves_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    large = GET.replace(b"/ ", b"/large ") + b"\r\n"

    async def leave() -> None:
        async with serving() as (_, writer):
            writer.write(large * 5)
            await asyncio.sleep(0.2)
            writer.transport.abort()
            await asyncio.sleep(0.3)

    asyncio.run(leave())
    assert not caplog.records


def problem_in(said: bytes) -> dict[str, Any]:
    """The body of an answer after which the connection was closed."""
    head, _, rest = said.partition(b"\r\n\r\n")
    assert b"\r\nContent-Type: application/problem+json\r\n" in head and rest.endswith(b"<closed>")
    problem: dict[str, Any] = json.loads(rest.removesuffix(b"<closed>"))
    assert f"X-Request-Id: {problem['request_id']}".encode() in head
    return problem


def test_a_slow_answer_and_a_half_of_the_next_head_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "_LONGEST_S", 0.2)
    assert b"200 OK" in asked(GET.replace(b"/ ", b"/slow ") + b"\r\n" + GET)


def test_trailers_without_end_are_refused_and_short_ones_let_go_of() -> None:
    chunked = GET.replace(b"GET", b"POST") + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n"
    for more in (b"X: " + b"a" * 30_000 + b"\r\n", b"a" * 30_000):
        said = asked(chunked, *[more] * 3, pause_s=0.05)
        assert said.startswith(b"HTTP/1.1 431 ") and said.endswith(b"<closed>")
    assert b"200 OK" in asked(chunked, b"X: a\r\n\r\n")


def test_a_body_in_small_chunks_is_taken() -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (100, b"a" * 100) for _ in range(20_000))  # 140 kB of frames
    whole = GET.replace(b"GET", b"POST") + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    assert b"200 OK" in asked(*[whole[start : start + 50_000] for start in range(0, len(whole), 50_000)])


def test_empty_lines_after_an_answer_do_not_keep_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "_LONGEST_S", 0.3)
    said = asked(GET + b"\r\n", b"\r\n", pause_s=0.1)
    assert b"200 OK" in said and said.endswith(b"<closed>")


def test_a_client_that_does_not_take_its_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "_LONGEST_S", 0.3)
    large = GET.replace(b"/ ", b"/large ") + b"\r\n"
    cut = asked(large, reads_after_s=1.0)
    assert cut.endswith(b"<closed>") and len(cut) < 40_000_000
    assert len(asked(large)) > 40_000_000, "one that takes it gets it whole"
