"""Answers that reach clients which are still sending."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LONGEST_S, _PAUSE_S, _MOST_BYTES = 30.0, 5.0, 1 << 30


class Lingering:
    """Throws away what a client goes on sending after its answer, for a while, then closes the connection.

    Closing at once would reset the connection, and the client would lose the answer that says why.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Of requests with a body; the rest passes."""
        if scope["type"] != "http" or not _has_body(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        conversation = _Conversation(receive, send)
        await self.app(scope, conversation.receive, conversation.send)


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


class _Conversation:
    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._heard_all = False
        self._lingers = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._heard_all = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self._heard_all:
            headers = MutableHeaders(scope=message)
            headers["Connection"] = "close"
            self._lingers = "content-length" in headers  # else the answer ends where the connection does
        elif self._lingers and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._drain()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        await self._send(message)

    async def _drain(self) -> None:
        received = 0
        try:
            async with asyncio.timeout(_LONGEST_S):
                while not self._heard_all and received < _MOST_BYTES:
                    message = await asyncio.wait_for(self.receive(), _PAUSE_S)
                    received += len(message.get("body", b""))
        except TimeoutError:
            return
