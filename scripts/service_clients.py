"""Clients of `irploc serve` that take as little of its machine as can be; also a program, which `bench_service.py` starts.

As a program: a job as JSON on stdin (``Job``), what came of it as JSON on stdout (``Outcome``). Only the standard library
is imported, a request is made once and sent again and again, and answers are read and thrown away.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

HOST = "127.0.0.1"


class Answer(NamedTuple):
    """What came back: lower-case header names, the body as it is."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Job:
    """What clients do.

    Attributes:
        port: of the service.
        clients: that ask at once, each the next photo as soon as it has its answer.
        warm_s, seconds: how long they ask before what they see is counted, and then.
        photos: files.
        fields: of the form.
    """

    port: int
    clients: int
    warm_s: float
    seconds: float
    photos: list[str]
    fields: dict[str, str]


@dataclass
class Outcome:
    """What clients saw.

    Attributes:
        ends_s: when a photo was answered, seconds since all began, in order.
        latencies_ms: of those photos.
        statuses: of all answers that were counted; "0" where a connection broke.
        cpu_s: of this process.
    """

    ends_s: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    cpu_s: float = 0.0

    def add(self, status: int, end_s: float, latency_ms: float) -> None:
        """Counts an answer."""
        self.statuses[str(status)] = self.statuses.get(str(status), 0) + 1
        if status == 200:
            self.ends_s.append(end_s)
            self.latencies_ms.append(latency_ms)


def form(files: Iterable[tuple[str, str, bytes]], fields: Mapping[str, str]) -> tuple[str, bytes]:
    """Content type and body of a multipart form; files are (field, file name, content)."""
    boundary = f"----{secrets.token_hex(12)}"
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    for name, filename, content in files:
        head = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"'
        parts.append(f"{head}\r\nContent-Type: application/octet-stream\r\n\r\n".encode() + content)
    body = b"".join(b"--%b\r\n%b\r\n" % (boundary.encode(), part) for part in parts) + b"--%b--\r\n" % boundary.encode()
    return f"multipart/form-data; boundary={boundary}", body


def request_bytes(method: str, path: str, content_type: str = "", body: bytes = b"") -> bytes:
    """A request as it goes over the wire."""
    head = [f"{method} {path} HTTP/1.1", f"Host: {HOST}"]
    if content_type:
        head.append(f"Content-Type: {content_type}")
    if body or method == "POST":
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body


def localize_request(photos: Sequence[tuple[str, bytes]], fields: Mapping[str, str]) -> bytes:
    """A whole request for photos, (file name, content) each."""
    return request_bytes("POST", "/v1/localize", *form([("images", *photo) for photo in photos], fields))


async def read_answer(reader: asyncio.StreamReader, to_head: bool = False) -> Answer:
    """The next answer of a connection; one to HEAD has no body, whatever its headers say.

    Raises:
        asyncio.IncompleteReadError: when the connection ends before it.
    """
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    status = int(head[0].split()[1])
    if to_head or status in (204, 304):
        return Answer(status, headers, b"")
    if headers.get("transfer-encoding") == "chunked":
        return Answer(status, headers, await _chunks(reader))
    return Answer(status, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return body


def pause_s(answer: Answer) -> float:
    """How long a client that was told to come back is to wait."""
    try:
        return max(float(answer.headers["retry-after"]), 0.0)
    except (KeyError, ValueError):
        return 0.5


async def run(job: Job) -> Outcome:
    """Lets the clients ask."""
    requests = [localize_request([(Path(path).name, Path(path).read_bytes())], job.fields) for path in job.photos]
    outcome = Outcome()
    cpu_s, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(_client(job, number, requests, outcome, began) for number in range(job.clients)))
    outcome.cpu_s = time.process_time() - cpu_s
    return outcome


async def _client(job: Job, number: int, requests: Sequence[bytes], outcome: Outcome, began: float) -> None:
    end_s = job.warm_s + job.seconds
    turn = number * len(requests) // job.clients  # clients begin with different photos
    reader = writer = None
    while (sent_s := time.perf_counter() - began) < end_s:
        try:
            if writer is None or reader is None:
                reader, writer = await asyncio.open_connection(HOST, job.port)
            writer.write(requests[turn % len(requests)])
            answer = await read_answer(reader)
        except (OSError, asyncio.IncompleteReadError):
            answer, writer = Answer(0, {}, b""), None
            await asyncio.sleep(0.1)
        now_s = time.perf_counter() - began
        turn += 1
        if sent_s >= job.warm_s:
            outcome.add(answer.status, now_s, 1e3 * (now_s - sent_s))
        if answer.status in (429, 503):
            await asyncio.sleep(min(pause_s(answer), max(end_s - now_s, 0.0)))
        if answer.headers.get("connection") == "close":
            writer = None
    if writer is not None:
        writer.close()


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(run(Job(**json.load(sys.stdin)))))))
