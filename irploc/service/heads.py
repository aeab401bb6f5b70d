"""Connections that end when a client does not do its part: heads of requests must come in time and be short, trailers and
the frames of chunks too, few requests may wait for the answers of those before them, and answers must be taken. What lies
in between, the body, is limited by the application."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from irploc.service.problems import Problem, bytes_of

_LONGEST_S, _MOST_BYTES = 20.0, 1 << 16
_LEAST_TAKEN = 1 << 14  # bytes of an answer in that time
_MOST_WAITING = 8  # requests behind the one that is answered
_LINGERING_S = 2.0  # closing while data come in would take the answer away from the client
_NO_HTTP = Problem(400, "malformed_request", "what was sent is no HTTP/1.1 request, or none that is served here")
_TOO_LARGE = Problem(431, "head_too_large", f"the request's head is longer than {_MOST_BYTES >> 10} kB")


class ShortHeads(HttpToolsProtocol):
    """uvicorn's protocol, which takes heads and trailers of any length for ever, and waits for ever for slow readers."""

    _deadline: asyncio.TimerHandle | None = None  # while a head is awaited
    _reader: asyncio.TimerHandle | None = None  # while a client takes less than there is
    _in_head = _in_message = _began = _ended = False
    _body_bytes = _other_bytes = _head_bytes = 0
    _running: RequestResponseCycle | None = None  # whose answer is made or sent; later ones wait in ``pipeline``

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first head is awaited from now on."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more, and nobody is there to take answers."""
        self._head_ends()
        self._reader_done()
        super().connection_lost(exc)
        self._nobody_listens()

    def on_message_begin(self) -> None:
        """Of the next request."""
        super().on_message_begin()
        self._in_head = self._in_message = self._began = True
        self._body_bytes = self._other_bytes = self._head_bytes = 0
        if self._deadline is None:
            self._await_head()

    def on_url(self, url: bytes) -> None:
        """A part of it."""
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of a head; trailers are let go of."""
        self._count_head(len(name) + len(value))
        if self._in_head:
            super().on_header(name, value)

    def _count_head(self, more: int) -> None:
        self._head_bytes += more
        if self._head_bytes > _MOST_BYTES:
            self._refuse(_TOO_LARGE)
            raise ValueError("a long head")  # to the parser, which stops

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._in_head = False
        self._head_ends()
        super().on_headers_complete()
        if len(self.pipeline) > _MOST_WAITING:
            raise ValueError("many requests at once")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        """A part of it."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is there."""
        self._in_message = False
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Counts what is no body: there may be some of it, and as much again as there is of the body."""
        if self._ended:
            return
        self._began, body_before = False, self._body_bytes
        super().data_received(data)
        if self._ended or self.transport.is_closing():
            return
        if not self._began:  # else most of it may be of requests before
            self._other_bytes += len(data) - (self._body_bytes - body_before)
        if self._other_bytes > _MOST_BYTES + self._body_bytes:
            self._refuse(_TOO_LARGE)
        elif not self._in_message and self._deadline is None and not self._answers():
            self._await_head()  # of empty lines after a request the parser says nothing

    def pause_writing(self) -> None:
        """There is more to take than the client took."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """It took most of it."""
        super().resume_writing()
        self._reader_done()

    def timeout_keep_alive_handler(self) -> None:
        """Closes an idle connection, also to a client that has not taken the last answer."""
        super().timeout_keep_alive_handler()
        self._watch_reader()

    def send_400_response(self, msg: str) -> None:
        """In the form of every other error."""
        self._refuse(_NO_HTTP)

    def _refuse(self, problem: Problem) -> None:
        """Ends the connection; with words, unless an answer is under way or others come before."""
        if self._ended:
            return
        self._ended = True
        running = None if self._running is None or self._running.response_complete else self._running
        if running is not None and (running.response_started or running is not self.cycle):
            self.transport.close()
        else:
            self.transport.write(bytes_of(problem))
            self.transport.write_eof()
            self.loop.call_later(_LINGERING_S, self.transport.close)
        self._nobody_listens()

    def _nobody_listens(self) -> None:
        for cycle in (self._running, *(waiting for waiting, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()

    def _await_head(self) -> None:
        self._other_bytes = 0
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
            self._watch_reader()

    def _answers(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _watch_reader(self) -> None:
        self._reader_done()
        left = self.transport.get_write_buffer_size()
        if left:
            self._reader = self.loop.call_later(_LONGEST_S, self._check_reader, left)

    def _check_reader(self, before: int) -> None:
        if self.transport.get_write_buffer_size() > before - _LEAST_TAKEN:
            self.transport.abort()
        else:
            self._watch_reader()

    def _reader_done(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None
