"""Photos per second and latencies of `irploc serve`, against the encoder alone in the same run.

    python scripts/bench_service.py kitchen --workspace DIR --method bdi --clients 1,8,32

The service is a process of its own on this machine, and so are its clients, which keep their connections and ask for the
next test photo as soon as they have an answer. The encoder alone gets arrays that were decoded before, in batches
of 1 to 16 photos, of which the fastest counts. It is measured before and after every run of the service, which is idle
then; a run is compared with the mean of the two, and the figures are medians over the rounds. What else ran on the machine
is told, since it takes from both: repeat a run where that was more than a few percent.

Goals: with the most clients 0.85 of the photos per second of the fastest batches, alone a median of 1.2 encodings.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from service_clients import Job, Outcome
from service_process import ServiceProcess, cpu_seconds, get, machine_cpu_seconds

from irploc import Localizer
from irploc.encoders import Encoder
from irploc.images import decode_image, to_array
from irploc.scene import Scene
from irploc.workspace import Workspace

GOAL_RATE, GOAL_ALONE = 0.85, 1.2
BATCHES = (1, 2, 4, 8, 16)
WARM_S = 2.0


@dataclass(frozen=True)
class EncoderTurn:
    """The encoder alone, for some seconds.

    Attributes:
        one_ms: median of one photo.
        rates: photos in a batch -> photos per second.
    """

    one_ms: float
    rates: Mapping[int, float]

    @classmethod
    def mean_of(cls, before: EncoderTurn, after: EncoderTurn) -> EncoderTurn:
        """Of the turns around a run."""
        rates = {batch: (rate + after.rates[batch]) / 2 for batch, rate in before.rates.items()}
        return cls((before.one_ms + after.one_ms) / 2, rates)

    @property
    def best(self) -> tuple[int, float]:
        """The fastest batch, and its photos per second."""
        return max(self.rates.items(), key=lambda pair: pair[1])


@dataclass(frozen=True)
class ServiceTurn:
    """Some clients, for some seconds.

    Attributes:
        clients: that asked at once.
        outcome: what they saw.
        encoder: alone, around it.
        batch: mean number of photos that were encoded at once; None where the service does not tell.
        clients_share, others_share: of all cores, what the clients took, and what had nothing to do with this.
    """

    clients: int
    outcome: Outcome
    encoder: EncoderTurn
    batch: float | None
    clients_share: float
    others_share: float

    @property
    def rate(self) -> float:
        """Photos per second."""
        return rate_of(self.outcome.ends_s)

    @property
    def ratio(self) -> float:
        """Of the photos per second of the encoder's fastest batches."""
        return self.rate / self.encoder.best[1]

    @property
    def encodings(self) -> float:
        """Its median latency in encodings of one photo."""
        return statistics.median(self.outcome.latencies_ms) / self.encoder.one_ms


def rate_of(ends_s: Sequence[float]) -> float:
    """Photos per second, from the times at which they were answered: the slope of their number over time.

    Photos of a batch are answered together; counting them between two moments would depend on where in a batch these lie.
    """
    if len(ends_s) < 2 or min(ends_s) == max(ends_s):
        return float("nan")
    return float(np.polyfit(sorted(ends_s), np.arange(len(ends_s)), 1)[0])


def batch_counts(metrics: str) -> tuple[float, float] | None:
    """Photos that were encoded and the batches they came in, from the text of ``/metrics``; None where it does not say."""
    found = dict(re.findall(r"^irploc_batch_photos_(sum|count) (\S+)$", metrics, re.MULTILINE))
    return (float(found["sum"]), float(found["count"])) if {"sum", "count"} <= found.keys() else None


def mean_batch(before: tuple[float, float] | None, after: tuple[float, float] | None) -> float | None:
    """Photos in a batch between two readings."""
    if before is None or after is None or after[1] == before[1]:
        return None
    return (after[0] - before[0]) / (after[1] - before[1])


def measure_encoder(encoder: Encoder, pixels_NCHW: np.ndarray, seconds: float) -> EncoderTurn:
    """One photo and every batch for about so many seconds each; other photos each time."""
    rates, one_ms = {}, 0.0
    for batch in BATCHES:
        durations: list[float] = []
        began = time.perf_counter()
        while not durations or time.perf_counter() - began + durations[-1] < seconds:
            rows = [(len(durations) * batch + row) % len(pixels_NCHW) for row in range(batch)]
            images_BCHW = torch.from_numpy(pixels_NCHW[rows])
            started = time.perf_counter()
            encoder.encode(images_BCHW)
            durations.append(time.perf_counter() - started)
        rates[batch] = batch * len(durations) / sum(durations)
        if batch == 1:
            one_ms = 1e3 * statistics.median(durations)
    return EncoderTurn(one_ms, rates)


def measure_service(service: ServiceProcess, job: Job) -> tuple[Outcome, float | None, float, float]:
    """What clients see, photos in a batch, and the shares of all cores of the clients and of everything else."""
    before = batch_counts(get(service.port, "/metrics")[1])
    busy_s, mine_s = machine_cpu_seconds(), cpu_seconds(service.pid) + cpu_seconds(os.getpid())
    began = time.perf_counter()
    command = [sys.executable, str(Path(__file__).with_name("service_clients.py"))]
    printed = subprocess.run(command, input=json.dumps(asdict(job)), capture_output=True, text=True, check=True).stdout
    outcome = Outcome(**json.loads(printed))
    core_s = (time.perf_counter() - began) * (os.cpu_count() or 1)
    others_s = machine_cpu_seconds() - busy_s - outcome.cpu_s - cpu_seconds(service.pid) - cpu_seconds(os.getpid()) + mine_s
    batch = mean_batch(before, batch_counts(get(service.port, "/metrics")[1]))
    return outcome, batch, outcome.cpu_s / core_s, max(others_s, 0.0) / core_s


def table(turns: Sequence[ServiceTurn]) -> str:
    """Markdown, a row per number of clients; medians over the rounds, latencies of all rounds together."""
    lines = [
        "| clients | photos/s | of the encoder | p50 | p95 | p99 | p50 in encodings | in a batch | clients' CPU | not 200 |",
        "|" + "---|" * 10,
    ]
    for clients in sorted({turn.clients for turn in turns}):
        rounds = [turn for turn in turns if turn.clients == clients]
        p50, p95, p99 = np.percentile([ms for turn in rounds for ms in turn.outcome.latencies_ms], (50, 95, 99))
        known = [turn.batch for turn in rounds if turn.batch is not None]
        lines.append(
            f"| {clients} | {_median(turn.rate for turn in rounds):.2f} | {_median(turn.ratio for turn in rounds):.3f} "
            f"| {p50:.0f} ms | {p95:.0f} ms | {p99:.0f} ms | {_median(turn.encodings for turn in rounds):.2f} "
            f"| {f'{_median(known):.1f}' if known else ''} | {100 * _median(turn.clients_share for turn in rounds):.1f} % "
            f"| {others(rounds)} |"
        )
    return "\n".join(lines)


def others(turns: Sequence[ServiceTurn]) -> str:
    """How many answers were not 200, with their status: ``12 (429), 1 (503)``; 0 where all were."""
    counts: dict[str, int] = {}
    for turn in turns:
        for status, count in turn.outcome.statuses.items():
            counts[status] = counts.get(status, 0) + count
    counts.pop("200", None)
    return ", ".join(f"{count} ({status})" for status, count in sorted(counts.items())) or "0"


def goals(turns: Sequence[ServiceTurn]) -> list[str]:
    """A sentence for each goal; that of one client only where one client was measured."""
    most = max(turn.clients for turn in turns)
    ratio = _median(turn.ratio for turn in turns if turn.clients == most)
    said = [_goal(f"{most} clients: {ratio:.3f} of the encoder's fastest batches", ratio >= GOAL_RATE, f">= {GOAL_RATE}")]
    alone = [turn.encodings for turn in turns if turn.clients == 1]
    if alone:
        times = _median(alone)
        said.append(_goal(f"1 client: a median of {times:.3f} encodings", times <= GOAL_ALONE, f"<= {GOAL_ALONE}"))
    return said


def _goal(said: str, reached: bool, goal: str) -> str:
    return f"{said}, goal {goal}: {'reached' if reached else 'MISSED'}"


def _median(values: Iterable[float]) -> float:
    return float(np.median(list(values)))


def photos_to_ask(workspace: Path | None, scene: str, most: int) -> list[Path]:
    """Photos of a scene's test split, of its mapping photos where it has none, from all along the walk."""
    frames = Scene.load(Workspace.locate(workspace).scene_folder(scene)).frames
    tested = frames.of_split("test")
    paths = (tested if len(tested) else frames).images
    return [paths[row] for row in np.linspace(0, len(paths) - 1, min(most, len(paths)), dtype=int)]


def main() -> None:
    options = _options()
    photos = photos_to_ask(options.workspace, options.scene, options.photos)
    localizer = Localizer.open(options.scene, options.method, workspace=options.workspace)
    pixels_NCHW = np.stack([to_array(decode_image(path, localizer.max_side)) for path in photos])
    height, width = pixels_NCHW.shape[2:]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {options.scene}, "
        f"{options.method}, {len(photos)} photos of {width}x{height}, load {os.getloadavg()[0]:.2f}",
        flush=True,
    )
    fields = {"scene": options.scene, "method": options.method}
    turns: list[ServiceTurn] = []
    arguments = [options.scene, "--method", options.method, *options.serve]
    with ServiceProcess(arguments, options.workspace) as service:
        measure_encoder(localizer.encoder, pixels_NCHW, 1.0)
        before = measure_encoder(localizer.encoder, pixels_NCHW, options.encoder_seconds)
        for number in range(options.rounds):
            for clients in options.clients:
                job = Job(service.port, clients, WARM_S, options.seconds, [str(path) for path in photos], fields)
                measured = measure_service(service, job)
                after = measure_encoder(localizer.encoder, pixels_NCHW, options.encoder_seconds)
                outcome, batch, mine, other = measured
                turns.append(ServiceTurn(clients, outcome, EncoderTurn.mean_of(before, after), batch, mine, other))
                before = after
                print(f"round {number + 1}: {_line(turns[-1])}", flush=True)
    print(f"\n{table(turns)}\n\n{_encoder_lines(turns)}")
    print("\n".join(goals(turns)))


def _line(turn: ServiceTurn) -> str:
    batch, best = turn.encoder.best
    if not turn.outcome.latencies_ms:
        return f"{turn.clients} clients: no photo was answered, other answers: {others([turn])}"
    p50 = statistics.median(turn.outcome.latencies_ms)
    return (
        f"{turn.clients} clients {turn.rate:.2f} photos/s, p50 {p50:.1f} ms; "
        f"encoder alone {best:.2f} photos/s in batches of {batch}, one photo {turn.encoder.one_ms:.1f} ms; "
        f"ratio {turn.ratio:.3f}, {turn.encodings:.2f} encodings; others took {100 * turn.others_share:.0f} % of the cores"
    )


def _encoder_lines(turns: Sequence[ServiceTurn]) -> str:
    one_ms = _median(turn.encoder.one_ms for turn in turns)
    rates = {batch: _median(turn.encoder.rates[batch] for turn in turns) for batch in BATCHES}
    listed = ", ".join(f"{batch}: {rate:.2f}" for batch, rate in rates.items())
    return f"encoder alone: one photo {one_ms:.1f} ms; photos/s in batches of {listed}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene")
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--method", default="bdi")
    parser.add_argument("--clients", type=lambda text: [int(number) for number in text.split(",")], default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run of the service")
    parser.add_argument("--encoder-seconds", type=float, default=2.5, help="for each batch size of the encoder alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photos", type=int, default=64)
    parser.add_argument("--serve", nargs=argparse.REMAINDER, default=[], help="further options of irploc serve, at the end")
    return parser.parse_args()


if __name__ == "__main__":
    main()
