"""Heads of requests that never end: the connection is closed, others are answered."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from irploc.service import heads

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0.5 if scope["path"] == "/slow" else 0)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def _asked(*pieces: bytes, pause_s: float = 0.0) -> bytes:
    """What a service says until it closes the connection, or for two seconds."""
    config = uvicorn.Config(answer, http=heads.ShortHeads, log_config=None, lifespan="off", port=0)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname()[:2])
    said = b""
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(pause_s)
        async with asyncio.timeout(2):
            while chunk := await reader.read(4096):
                said += chunk
        return said + b"<closed>"
    except TimeoutError:
        return said
    except ConnectionError:
        return said + b"<closed>"
    finally:
        writer.close()
        server.should_exit = True
        await serving


def asked(*pieces: bytes, pause_s: float = 0.0) -> bytes:
    return asyncio.run(_asked(*pieces, pause_s=pause_s))


@pytest.mark.parametrize("pieces", [(), (GET,), (GET + b"\r\n", b"GET / HT")])
def test_a_head_that_does_not_come_closes_the_connection(pieces: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "_LONGEST_S", 0.3)
    said = asked(*pieces, pause_s=0.05)
    assert said.endswith(b"<closed>")
    assert said.count(b"200 OK") == (1 if len(pieces) == 2 else 0)


def test_a_head_without_end_is_refused() -> None:
    assert asked(GET, *[b"X: " + b"a" * 30_000 + b"\r\n"] * 3, pause_s=0.05).startswith(b"HTTP/1.1 431 ")


def test_a_slow_answer_and_a_half_of_the_next_head_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "_LONGEST_S", 0.2)
    assert b"200 OK" in asked(GET.replace(b"/ ", b"/slow ") + b"\r\n" + GET)
