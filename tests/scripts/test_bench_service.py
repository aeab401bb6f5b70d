"""The benchmark of the service: its figures on times known by hand, and its clients against a service of a few lines."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from irploc.service.multipart import FormReader

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def scripts() -> Iterator[SimpleNamespace]:
    """The modules, imported as Python does when it runs one of them."""
    sys.path.insert(0, str(SCRIPTS))
    try:
        import bench_service
        import service_clients
        import service_process

        yield SimpleNamespace(bench=bench_service, clients=service_clients, process=service_process)
    finally:
        sys.path.remove(str(SCRIPTS))


def turn(scripts: SimpleNamespace, clients: int, latencies_ms: list[float], **statuses: int) -> object:
    """Of a service that answers two photos a second, where the encoder alone does four in batches of 8."""
    encoder = scripts.bench.EncoderTurn(500.0, {1: 2.0, 8: 4.0})
    ends_s = [row / 2 for row in range(len(latencies_ms))]
    counts = {name.removeprefix("of_"): count for name, count in statuses.items()}
    outcome = scripts.clients.Outcome(ends_s, latencies_ms, counts, 0.1)
    return scripts.bench.ServiceTurn(clients, outcome, encoder, 4.5, 0.005, 0.25)


def test_photos_of_whole_batches_have_the_rate_of_the_batches(scripts: SimpleNamespace) -> None:
    ends_s = [batch * 2.0 for batch in range(5) for _ in range(8)]  # 8 photos every 2 s
    assert scripts.bench.rate_of(ends_s) == pytest.approx(4.0)
    assert scripts.bench.rate_of(ends_s[::-1]) == pytest.approx(4.0)


def test_one_answer_has_no_rate(scripts: SimpleNamespace) -> None:
    assert np.isnan(scripts.bench.rate_of([1.0]))
    assert np.isnan(scripts.bench.rate_of([1.0, 1.0]))


def test_a_run_is_compared_with_the_fastest_batches_around_it(scripts: SimpleNamespace) -> None:
    before, after = scripts.bench.EncoderTurn(100.0, {1: 9.0, 8: 10.0}), scripts.bench.EncoderTurn(200.0, {1: 5.0, 8: 12.0})
    between = scripts.bench.EncoderTurn.mean_of(before, after)
    assert between.one_ms == 150.0
    assert between.best == (8, 11.0)
    measured = turn(scripts, 8, [1000.0, 600.0, 500.0])
    assert measured.ratio == pytest.approx(2.0 / 4.0)
    assert measured.encodings == pytest.approx(600.0 / 500.0)


def test_batches_are_read_from_the_service_s_own_metrics(scripts: SimpleNamespace) -> None:
    from irploc.service.metrics import Metrics

    metrics = Metrics()
    before = scripts.bench.batch_counts(metrics.text().decode())
    for photos in (8, 8, 2):
        metrics.batches.observe(photos)
    after = scripts.bench.batch_counts(metrics.text().decode())
    assert scripts.bench.mean_batch(before, after) == pytest.approx(6.0)
    assert scripts.bench.mean_batch(after, after) is None


def test_metrics_without_batches_tell_nothing(scripts: SimpleNamespace) -> None:
    assert scripts.bench.batch_counts("irploc_request_seconds_sum 3\nirploc_request_seconds_count 2\n") is None


def test_the_table_has_a_row_for_each_number_of_clients_over_all_rounds(scripts: SimpleNamespace) -> None:
    turns = [turn(scripts, 32, [800.0] * 3, of_200=3, of_429=2), turn(scripts, 1, [500.0] * 3, of_200=3)]
    turns.append(turn(scripts, 32, [900.0] * 3, of_200=3, of_503=1))
    first, second = scripts.bench.table(turns).splitlines()[2:]
    assert first == "| 1 | 2.00 | 0.500 | 500 ms | 500 ms | 500 ms | 1.00 | 4.5 | 0.5 % | 0 |"
    assert second.startswith("| 32 | 2.00 | 0.500 | 850 ms | 900 ms | 900 ms | 1.70 |")
    assert second.endswith("| 2 (429), 1 (503) |")


def test_goals_are_reached_or_missed(scripts: SimpleNamespace) -> None:
    rate, alone = scripts.bench.goals([turn(scripts, 1, [590.0] * 3), turn(scripts, 32, [9000.0] * 3)])
    assert rate.startswith("32 clients: 0.500") and rate.endswith("MISSED")
    assert alone.startswith("1 client: a median of 1.180 encodings") and alone.endswith("reached")
    assert len(scripts.bench.goals([turn(scripts, 32, [9000.0] * 3)])) == 1


def test_the_encoder_alone_sees_every_batch_size(scripts: SimpleNamespace) -> None:
    from tiny_place import TinyEncoder

    encoder = TinyEncoder(pause_s=0.001)
    measured = scripts.bench.measure_encoder(encoder, np.zeros((3, 3, 16, 16), dtype=np.uint8), 0.01)
    assert set(encoder.encoded) == set(measured.rates) == {1, 2, 4, 8, 16}
    assert measured.one_ms >= 1.0
    assert measured.best[1] > measured.rates[1]  # the pause is for a batch


def test_forms_are_read_by_the_service_as_they_were_meant(scripts: SimpleNamespace) -> None:
    content_type, body = scripts.clients.form(
        [("images", "a.jpg", b"\r\n--\x00"), ("images", "b.jpg", b"")], {"scene": "hall"}
    )
    reader = FormReader(content_type, most_files=2, most_fields=1, field_bytes=10)
    reader.write(body)
    parts = [(part.name, part.filename, bytes(part.content)) for part in reader.finish()]
    assert parts == [(b"scene", None, b"hall"), (b"images", b"a.jpg", b"\r\n--\x00"), (b"images", b"b.jpg", b"")]


def read(scripts: SimpleNamespace, wire: bytes, **options: bool) -> tuple[int, dict[str, str], bytes]:
    async def reading() -> tuple[int, dict[str, str], bytes]:
        reader = asyncio.StreamReader()
        reader.feed_data(wire)
        reader.feed_eof()
        answer: tuple[int, dict[str, str], bytes] = await scripts.clients.read_answer(reader, **options)
        return answer

    return asyncio.run(reading())


def test_answers_are_read_by_their_length_or_in_chunks(scripts: SimpleNamespace) -> None:
    answer = read(scripts, b"HTTP/1.1 429 Too Many\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\nno, and more")
    assert answer == (429, {"retry-after": "3", "content-length": "2"}, b"no")
    assert scripts.clients.pause_s(answer) == 3.0
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"
    assert read(scripts, chunked)[2] == b"abc0123456789"
    assert read(scripts, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", to_head=True)[2] == b""
    with pytest.raises(asyncio.IncompleteReadError):
        read(scripts, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")


def test_clients_keep_their_connections_and_come_back_when_they_are_told_to(
    scripts: SimpleNamespace, tmp_path: Path
) -> None:
    connections, answered = 0, 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections, answered
        connections += 1
        while not reader.at_eof():
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(int(length.split(b":")[1]))
            await asyncio.sleep(0.01)
            answered += 1
            status = b"429 Too Many\r\nRetry-After: 0" if answered % 5 == 0 else b"200 OK"
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n{}")

    async def both() -> tuple[int, object]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        (tmp_path / "a.jpg").write_bytes(b"photo")
        job = scripts.clients.Job(server.sockets[0].getsockname()[1], 3, 0.1, 0.3, [str(tmp_path / "a.jpg")], {})
        outcome = await scripts.clients.run(job)
        server.close()
        return connections, outcome

    count, outcome = asyncio.run(both())
    assert count == 3
    assert outcome.statuses["200"] == len(outcome.latencies_ms) == len(outcome.ends_s)
    assert outcome.statuses["429"] >= 1
    assert set(outcome.statuses) == {"200", "429"}
    assert min(outcome.latencies_ms) >= 10.0
    assert min(outcome.ends_s) >= 0.1  # those before are to warm up


def test_a_service_that_cannot_start_says_why(scripts: SimpleNamespace, tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match=r"(?s)did not get ready: .*no embeddings file .*nowhere"),
        scripts.process.ServiceProcess(["nowhere"], tmp_path),
    ):
        pass


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_linux_tells_the_memory_and_time_of_a_process(scripts: SimpleNamespace) -> None:
    before, began = scripts.process.cpu_seconds(os.getpid()), time.process_time()
    held = bytearray(b"x" * 50_000_000)
    assert scripts.process.memory_mb(os.getpid()) > len(held) / 2**20
    while time.process_time() - began < 0.1:
        pass
    assert 0.05 < scripts.process.cpu_seconds(os.getpid()) - before < 5.0
    assert scripts.process.machine_cpu_seconds() > scripts.process.cpu_seconds(os.getpid())
