"""The process: it listens at once, is ready when its scenes are loaded, reads them again on SIGHUP, and ends in order."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny_service import make_workspace, photo_bytes

from irploc.errors import BadInput
from irploc.service.running import _address, _listening, _to_open

TESTS = Path(__file__).resolve().parents[1]
# An encoder that brings pycolmap in the thread that loads, as methods do, takes its time in C++ code to load, where Python
# cannot stop a thread in order, and takes a second for a photo.
PROGRAM = """
import sys, time
import torch
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from tiny_place import TinyEncoder
from irploc.cli import main
from irploc.encoders import ENCODERS, EncoderEntry

def slow(name, options):
    from irploc.pycolmap_safe import import_pycolmap
    import_pycolmap()
    end, matrix = time.monotonic() + float(sys.argv[3]), torch.ones(1000, 1000)
    while time.monotonic() < end:
        matrix @ matrix
    return TinyEncoder(pause_s=float(sys.argv[4]))

ENCODERS.register("tiny")(EncoderEntry(slow, 16, "test"))
main(["--workspace", sys.argv[1], "serve", "--port", "0", "--method", "nearest"])
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: None) -> Path:
    return make_workspace(tmp_path_factory.mktemp("made") / "home").root


@contextmanager
def started(home: Path, log: Path, load_s: float = 0.0, encode_s: float = 0.0) -> Iterator[subprocess.Popen[bytes]]:
    arguments = [str(home), str(TESTS), str(load_s), str(encode_s)]
    with log.open("wb") as stream:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stderr=stream, stdout=stream)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def port_of(process: subprocess.Popen[bytes]) -> int:
    """The one on which a process listens, as soon as it does, which is before it says so."""
    for _ in range(300):
        assert process.poll() is None, "it ended"
        for line in Path(f"/proc/{process.pid}/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes_of(process):
                return int(fields[1].rpartition(":")[2], 16)
        time.sleep(0.1)
    raise AssertionError("it does not listen")


def inodes_of(process: subprocess.Popen[bytes]) -> set[str]:
    found = set()
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            found |= set(re.findall(r"socket:\[(\d+)\]", str(link.readlink())))
        except OSError:
            continue
    return found


def get(url: str, data: bytes | None = None, kind: str = "") -> tuple[int, bytes]:
    request = urllib.request.Request(url, data, {"Content-Type": kind} if kind else {})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def ask(address: str) -> tuple[int, bytes]:
    head = b'--B\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
    return get(f"{address}/v1/localize", head + photo_bytes() + b"\r\n--B--\r\n", "multipart/form-data; boundary=B")


def until(true: object, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():  # type: ignore[operator]
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


needs_proc = pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="needs /proc")


@needs_proc
def test_it_answers_probes_while_it_loads_reloads_on_sighup_and_ends_in_order(made: Path, tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    shutil.copytree(made, home)
    with started(home, log, load_s=2.0, encode_s=0.5) as process:
        address = f"http://127.0.0.1:{port_of(process)}"
        assert get(f"{address}/healthz")[0] == 200
        status, body = get(f"{address}/readyz")
        assert (status, json.loads(body)["code"]) == (503, "not_ready")
        assert ask(address)[0] == 503
        until(lambda: get(f"{address}/readyz")[0] == 200)
        assert f"{address}/ is the page" in log.read_text()

        shutil.copytree(home / "scenes" / "tiny", home / "scenes" / "other")
        shutil.copy(home / "embeddings" / "tiny.h5", home / "embeddings" / "other.h5")
        answers: list[int] = []
        asking = threading.Thread(target=lambda: answers.extend(ask(address)[0] for _ in range(4)))
        asking.start()
        process.send_signal(signal.SIGHUP)
        until(lambda: "INFO reloaded:" in log.read_text())
        asking.join()
        assert answers == [200] * 4, "nobody notices"

        last: list[int] = []
        asking = threading.Thread(target=lambda: last.append(ask(address)[0]))
        asking.start()
        until(lambda: b"irploc_queue_photos 1.0" in get(f"{address}/metrics")[1])
        process.send_signal(signal.SIGTERM)
        asking.join()
        assert process.wait(10) == 0
    assert last == [200], "what was accepted is finished"
    written = log.read_text()
    assert "stack trace" not in written and "Traceback" not in written and "Aborted" not in written, written
    assert re.search(r"INFO POST /v1/localize 200 \d+ ms 1 photo [0-9a-f]+", written)
    assert written.index("INFO reading scenes again") < written.index("INFO reloaded:")
    assert written.count("INFO ending, 1 photo is still to be answered") == written.count("ending, ") == 1


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_loads_ends_it_soon(made: Path, tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "log"
    with started(made, log, load_s=30.0) as process:
        port_of(process)
        process.send_signal(number)
        assert process.wait(8) == 0
    assert "Traceback" not in log.read_text() and "terminate" not in log.read_text()


@needs_proc
def test_a_second_interrupt_ends_it_at_once_whatever_it_is_doing(made: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with started(made, log, encode_s=20.0) as process:
        address = f"http://127.0.0.1:{port_of(process)}"
        until(lambda: f"{address}/ is the page" in log.read_text(), 60)
        threading.Thread(target=lambda: ask(address), daemon=True).start()
        until(lambda: b"irploc_queue_photos 1.0" in get(f"{address}/metrics")[1])
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 0


@needs_proc
def test_what_comes_while_scenes_are_read_again_is_read_afterwards(made: Path, tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    shutil.copytree(made, home)
    with started(home, log) as process:
        address = f"http://127.0.0.1:{port_of(process)}"
        until(lambda: get(f"{address}/readyz")[0] == 200)
        for _ in range(3):  # all of them at once, or during the first
            process.send_signal(signal.SIGHUP)
        shutil.copytree(home / "scenes" / "tiny", home / "scenes" / "other")
        shutil.copy(home / "embeddings" / "tiny.h5", home / "embeddings" / "other.h5")
        process.send_signal(signal.SIGHUP)
        until(lambda: "other" in get(f"{address}/readyz")[1].decode())
        (home / "embeddings" / "tiny.h5").write_bytes(b"no embeddings")
        process.send_signal(signal.SIGHUP)
        until(lambda: "INFO reloaded: other\n" in log.read_text())
        metrics = get(f"{address}/metrics")[1].decode()
    written = log.read_text()
    assert "not reloaded: the scenes" not in written
    assert "WARNING other: new" in written
    assert re.search(r"ERROR tiny was not reloaded: .*tiny\.h5", written)
    assert re.search(r'irploc_reloads_total\{result="failed"\} [1-9]', metrics), "once, or more often where signals waited"


def test_what_cannot_be_loaded_ends_it_with_one_line(made: Path, tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    shutil.copytree(made, home)
    (home / "embeddings" / "tiny.h5").write_bytes(b"no embeddings")
    with started(home, log) as process:
        assert process.wait(30) == 1
    lines = log.read_text().splitlines()
    assert len(lines) == 1 and lines[0].startswith("Error: ") and "tiny.h5" in lines[0], lines


def test_an_address_that_is_in_use_or_of_no_machine_is_refused_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(BadInput, match=rf"^cannot listen on 127\.0\.0\.1 port {port}: address already in use; choose"),
            _listening("127.0.0.1", port),
        ):
            pass
    with pytest.raises(BadInput, match=r"^cannot listen on 203\.0\.113\.7 port 80: "), _listening("203.0.113.7", 80):
        pass
    with (
        pytest.raises(BadInput, match=r"^cannot listen on no\.such\.host\.invalid "),
        _listening("no.such.host.invalid", 80),
    ):
        pass


def test_an_address_of_all_of_this_machines_is_told_to_be_none_for_others() -> None:
    assert _to_open("localhost", "http://localhost:80") == (
        "http://localhost:80/ is the page, http://localhost:80/docs the API"
    )
    everywhere = _to_open("0.0.0.0", "http://0.0.0.0:80")
    assert everywhere.endswith("docs the API; other machines use this one's name instead of 0.0.0.0")


def test_port_0_takes_a_free_one_and_says_which() -> None:
    with _listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert port > 0
        assert _address("127.0.0.1", listener) == f"http://127.0.0.1:{port}"
        assert _address("::1", listener) == f"http://[::1]:{port}"
