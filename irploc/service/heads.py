"""Connections on which the head of a request must come in time and be short, so that idle clients cannot pile up."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LONGEST_S, _MOST_BYTES = 20.0, 1 << 16
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class ShortHeads(HttpToolsProtocol):
    """uvicorn's protocol, which takes heads of any length for ever; what comes after them is limited by the application."""

    _deadline: asyncio.TimerHandle | None = None  # while a head is awaited
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first head is awaited from now on."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._head_ends()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Of the next request."""
        super().on_message_begin()
        if self._deadline is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._head_ends()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Counts what belongs to a head alone."""
        super().data_received(data)
        if self._deadline is None or self.transport.is_closing():
            return
        self._head_bytes += len(data)
        if self._head_bytes > _MOST_BYTES:
            if not self._answers():
                self.transport.write(_TOO_LARGE)
            self.transport.close()

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._deadline = self.loop.call_later(_LONGEST_S, self._give_up)

    def _head_ends(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if self._answers():  # nothing is read meanwhile: the client is not to blame
            self._deadline = self.loop.call_later(_LONGEST_S, self._give_up)
        elif not self.transport.is_closing():
            self.transport.close()

    def _answers(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete
