"""Good and bad requests in a seeded mix for some minutes: does `irploc serve` stay up, stay right, and stay as small?

    python scripts/soak_service.py --scene kitchen --workspace DIR --minutes 10 --serve --floor-map kitchen.toml

Several clients send what ``soak_requests.py`` lists. Every half minute the scene is read again while they ask, and a burst
fills the queue. Each photo is asked for alone first, by each method; later answers must be the same. The program fails on
an answer of 5xx that does not ask to come back, on any status that is not right for its request, on broken or refused
connections, on a good request without its right answer, on memory that grows by more than 5 % after the first minute, as
a robust line through all seconds tells, and on a traceback in the log. How long `/healthz` takes, asked by a process of
its own, shows whether the event loop is blocked.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import quote

import numpy as np
from bench_service import photos_to_ask
from scipy.stats import theilslopes
from service_clients import HOST, Answer, pause_s, read_answer, request_bytes
from service_process import ServiceProcess, get, memory_mb
from soak_requests import LEAVES_EARLY, LEAVES_LATE, SLOWLY, Case, Material, bomb, case, one, photos_of, quick

LATER = (429, 503, 504)  # they ask a client to come back
PREFERRED = ("bdi", "robust", "fused", "structure")
MOST_GROWTH, MEASURED_FROM_S = 0.05, 60.0
PERIOD_S = 30.0  # of reloads and of bursts
TRIES, ANSWER_S, PATIENCE_S = 12, 90.0, 20.0
TOLERANCE_M = 1e-3  # a batch of another size adds in another order
Key = tuple[str, str]


@dataclass
class Seen:
    """What came of it so far.

    Attributes:
        counts: (kind, status) -> how often; status 0 is a client that left.
        failures: sentences.
        first: (photo, method) -> status and position of its first answer.
        moved_m: method -> how far a later answer was from the first, at most.
        answer_s: method -> seconds that single photos took.
        memory: (seconds, megabytes), once a second.
    """

    counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    first: dict[Key, tuple[str, list[float] | None]] = field(default_factory=dict)
    moved_m: dict[str, float] = field(default_factory=dict)
    answer_s: dict[str, list[float]] = field(default_factory=dict)
    memory: list[tuple[float, float]] = field(default_factory=list)

    def judge(self, asked: Case, answer: Answer) -> None:
        """Counts an answer and says what is wrong with it."""
        self.counts[asked.kind, answer.status] += 1
        if answer.status in LATER and asked.content.startswith(b"POST"):
            if "retry-after" not in answer.headers:
                self.failures.append(f"{asked.kind}: {answer.status} without Retry-After")
        elif answer.status not in asked.right:
            self.failures.append(f"{asked.kind}: {answer.status}, expected {asked.right}: {answer.body[:300]!r}")
        elif asked.asked is not None and answer.status == 200:
            self.failures += [f"{asked.kind}: {wrong}" for wrong in self._wrong(asked.asked, answer.body)]

    def _wrong(self, asked: Sequence[Key], body: bytes) -> list[str]:
        results = json.loads(body)["results"]
        if len(results) != len(asked):
            return [f"{len(results)} results for {len(asked)} photos"]
        return [wrong for key, result in zip(asked, results, strict=True) for wrong in self._wrong_result(key, result)]

    def _wrong_result(self, key: Key, result: dict[str, object]) -> list[str]:
        name, method = key
        status, center = str(result["status"]), result.get("center_m")
        if result["image"] != name:
            return [f"the result of {result['image']} stands where that of {name} belongs"]
        if name in ("text.jpg", "empty.jpg"):
            return [] if status == "refused" else [f"{name} is {status}"]
        now = (status, None if center is None else [float(value) for value in center])  # type: ignore[attr-defined]
        first = self.first.setdefault(key, now)
        if (now[0], now[1] is None) != (first[0], first[1] is None):
            return [f"{name} by {method} is {now}, was {first}"]
        if now[1] is None or first[1] is None:
            return []
        moved = float(np.linalg.norm(np.subtract(now[1], first[1])))
        self.moved_m[method] = max(self.moved_m.get(method, 0.0), moved)
        return [f"{name} by {method} moved by {moved:.4f} m"] if moved > TOLERANCE_M else []


class Soak:
    """Clients of one service.

    Args:
        service: that runs.
        material: what is asked.
        seed: of all that is random.
    """

    def __init__(self, service: ServiceProcess, material: Material, seed: int) -> None:
        self.service, self.material, self.seed = service, material, seed
        self.seen = Seen()
        self.ends = 0.0

    async def run(self, seconds: float, clients: int) -> None:
        """All of it; the first answers come before the clock starts."""
        for name in self.material.photos:
            for method in self.material.methods:
                await self._ask(_exactly(self.material, name, method))
        began = time.monotonic()
        self.ends = began + seconds
        watching = asyncio.create_task(self._watch(began))
        working = [self._client(number) for number in range(clients)]
        reloads, bursts = self._every(PERIOD_S, self._reload), self._every(PERIOD_S, self._burst, 0.5 * PERIOD_S)
        await asyncio.gather(*working, reloads, bursts)
        watching.cancel()

    @property
    def _left_s(self) -> float:
        return self.ends - time.monotonic()

    async def _client(self, number: int) -> None:
        chance = random.Random(1000 * self.seed + number)
        while self._left_s > 0:
            await self._ask(case(chance, self.material))

    async def _every(self, seconds: float, what: object, first_s: float = PERIOD_S) -> None:
        pause = first_s
        while self._left_s > pause:
            await asyncio.sleep(pause)
            await what()  # type: ignore[operator]
            pause = seconds

    async def _reload(self) -> None:
        path = f"/v1/scenes/{quote(self.material.scene)}/reload"
        await self._ask(Case("scene read again", request_bytes("POST", path)))

    async def _burst(self) -> None:
        chance = random.Random(self.seed)
        await asyncio.gather(*(self._ask(quick(chance, self.material)) for _ in range(100)))

    async def _watch(self, began: float) -> None:
        with suppress(OSError, RuntimeError):  # the service ended, which others notice
            while True:
                self.seen.memory.append((time.monotonic() - began, memory_mb(self.service.pid)))
                await asyncio.sleep(1.0)

    async def _ask(self, asked: Case) -> None:
        """Sends a request, again where it is told to come back, and judges the answer."""
        for _ in range(TRIES):
            started = time.monotonic()
            try:
                answer = await asyncio.wait_for(self._exchange(asked), ANSWER_S)
            except ConnectionRefusedError:
                self.seen.failures.append(f"{asked.kind}: connection refused")
                await asyncio.sleep(1.0)
                return
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                self.seen.failures.append(f"{asked.kind}: no answer, {type(error).__name__} {error}")
                return
            if answer is None:
                self.seen.counts[asked.kind, 0] += 1
                return
            self.seen.judge(asked, answer)
            if answer.status not in LATER:
                if asked.asked is not None and len(asked.asked) == 1:
                    self.seen.answer_s.setdefault(asked.asked[0][1], []).append(time.monotonic() - started)
                return
            if self.ends and self._left_s < -PATIENCE_S:
                self.seen.failures.append(f"{asked.kind}: still told to come back {PATIENCE_S:.0f} s after the end")
                return
            await asyncio.sleep(pause_s(answer))
        self.seen.failures.append(f"{asked.kind}: told {TRIES} times to come back")

    async def _exchange(self, asked: Case) -> Answer | None:
        reader, writer = await asyncio.open_connection(HOST, self.service.port)
        try:
            if asked.manner == LEAVES_EARLY:
                writer.write(asked.content[: len(asked.content) // 2])
                await writer.drain()
                return None
            if asked.manner == SLOWLY:
                await _trickle(writer, asked.content)
            writer.write(b"" if asked.manner == SLOWLY else asked.content)
            if asked.manner == LEAVES_LATE:
                await writer.drain()
                await asyncio.sleep(0.02)
                return None
            return await read_answer(reader, to_head=asked.content.startswith(b"HEAD"))
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def _trickle(writer: asyncio.StreamWriter, content: bytes, pieces: int = 20, seconds: float = 4.0) -> None:
    step = -(-len(content) // pieces)
    for start in range(0, len(content), step):
        writer.write(content[start : start + step])
        await writer.drain()
        await asyncio.sleep(seconds / pieces)


def _exactly(material: Material, name: str, method: str) -> Case:
    """A good request for this photo by this method."""
    only = Material(material.scene, (method,), {name: material.photos[name]}, (), b"")
    return one(random.Random(0), only)


def probe(port: int, seconds: float) -> list[float]:
    """Milliseconds of `/healthz`, twenty times a second, as long as it answers."""
    taken_ms: list[float] = []
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    end = time.monotonic() + seconds
    while (started := time.monotonic()) < end:
        try:
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            break
        taken_ms.append(1e3 * (time.monotonic() - started))
        time.sleep(0.05)
    return taken_ms


def growth(memory: Sequence[tuple[float, float]], from_s: float) -> tuple[float, float, float] | None:
    """Megabytes at ``from_s`` and at the end, and the growth between, on the line of Theil and Sen through all seconds: what
    requests and reloads take for a moment, a tenth up and down, would hide 5 % between any two of them. None where there
    are too few."""
    at, size = np.array([one for one in memory if one[0] >= from_s]).reshape(-1, 2).T
    if len(at) < 2 * PERIOD_S:
        return None
    slope, at_zero, *_ = theilslopes(size, at)
    before, after = at_zero + slope * from_s, at_zero + slope * at[-1]
    return before, after, after / before - 1


def material_of(service: ServiceProcess, scene: str, photos: dict[str, bytes], packed: bytes) -> Material:
    """From what the service says of itself."""
    described = json.loads(get(service.port, f"/v1/scenes/{quote(scene)}")[1])
    methods = tuple(method for method in PREFERRED if method in described["methods"]) or tuple(described["methods"])
    below = "/v1/scenes/"
    gets = ["/", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/v1/scenes", f"{below}{quote(scene)}"]
    gets.append(below + described["points_url"])
    if described["thumbnail_url"]:
        names = [name for walk in described["trajectory"] for name in walk["photos"]]
        gets += [below + described["thumbnail_url"].replace("{photo}", quote(name, safe="")) for name in names]
    for plan in described["floor_plans"]:
        gets += [below + plan[key] for key in ("plan_url", "walkable_url") if plan[key]]
    return Material(scene, methods, photos, tuple(gets), packed)


def report(seen: Seen, health_ms: Sequence[float]) -> None:
    """Prints what was seen; what is wrong is in ``seen.failures``."""
    for kind in sorted({kind for kind, _ in seen.counts}):
        told = (f"{status or 'left'}: {count}" for (of, status), count in sorted(seen.counts.items()) if of == kind)
        print(f"{kind:34} {', '.join(told)}")
    print(f"{sum(seen.counts.values())} requests")
    for method, seconds in seen.answer_s.items():
        p50, p99 = np.percentile(seconds, (50, 99))
        moved = seen.moved_m.get(method, 0.0)
        print(f"{method}: p50 {p50:.2f} s, p99 {p99:.2f} s; answers differ by {1e3 * moved:.3f} mm at most")
    p50, p99, longest = np.percentile(health_ms or [np.nan], (50, 99, 100))
    print(f"/healthz: p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {longest:.1f} ms of {len(health_ms)}")
    minutes: dict[int, list[float]] = {}
    for at, size in seen.memory:
        minutes.setdefault(int(at // 60), []).append(size)
    print("memory, MB, median (most) of each minute: ", end="")
    print(", ".join(f"{statistics.median(sizes):.0f} ({max(sizes):.0f})" for sizes in minutes.values()))


def main() -> None:
    options = _options()
    photos = photos_of(photos_to_ask(options.workspace, options.scene, 6))
    with ServiceProcess([options.scene, *options.serve], options.workspace) as service:
        material = material_of(service, options.scene, photos, bomb(10_000, 10_000))
        print(f"{options.scene} by {', '.join(material.methods)}; {len(material.gets)} paths to get", flush=True)
        soak = Soak(service, material, options.seed)
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            probing = pool.submit(probe, service.port, 60 * options.minutes)
            asyncio.run(soak.run(60 * options.minutes, options.clients))
            health_ms = probing.result()
        status, log = service.stop(), service.printed()
    seen = soak.seen
    report(seen, health_ms)
    grown = growth(seen.memory, MEASURED_FROM_S)
    if grown is None:
        print("too short to tell whether memory grows")
    else:
        print(f"memory: {grown[0]:.0f} MB after the first minute, {grown[1]:.0f} MB at the end, {100 * grown[2]:+.1f} %")
        if grown[2] > MOST_GROWTH:
            seen.failures.append(f"memory grew by {100 * grown[2]:.1f} %, {100 * MOST_GROWTH:.0f} % are allowed")
    if status != 0:
        seen.failures.append(f"the service ended with status {status}")
    if "Traceback" in log:
        seen.failures.append(f"a traceback in the log: {log[log.index('Traceback') :][:3000]}")
    for failure, count in Counter(seen.failures).most_common(30):
        print(f"FAILED ({count}): {failure}")
    print("failed" if seen.failures else "nothing failed")
    sys.exit(bool(seen.failures))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scene", default="kitchen")
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serve", nargs=argparse.REMAINDER, default=[], help="further options of irploc serve, at the end")
    return parser.parse_args()


if __name__ == "__main__":
    main()
