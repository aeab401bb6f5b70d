"""`irploc serve` as a process of its own, for the programs that measure it, and what Linux tells of processes."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

HOST = "127.0.0.1"
_TICKS = os.sysconf("SC_CLK_TCK")


class ServiceProcess:
    """A running service; ends with the ``with`` block.

    Args:
        arguments: of ``irploc serve``; the port is chosen here.
        workspace: None takes the current folder.
        wait_s: until its scenes are loaded.

    Raises:
        RuntimeError: on entering, when it does not get ready; with what it printed.
    """

    def __init__(self, arguments: Sequence[str], workspace: Path | None = None, wait_s: float = 120.0) -> None:
        self.port = free_port()
        self._command = [irploc_command(), *(["--workspace", str(workspace)] if workspace else []), "serve"]
        self._command += [*arguments, "--port", str(self.port)]
        self._wait_s = wait_s
        self._printed = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the process)

    def __enter__(self) -> ServiceProcess:
        self.process = subprocess.Popen(self._command, stdout=self._printed, stderr=subprocess.STDOUT)
        end = time.monotonic() + self._wait_s
        try:
            while get(self.port, "/readyz")[0] != 200:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{' '.join(self._command)} did not get ready: {self.printed()}")
                time.sleep(0.2)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.process.pid

    def printed(self) -> str:
        """What it said so far, on both streams."""
        self._printed.seek(0)
        return self._printed.read()

    def stop(self, wait_s: float = 60.0) -> int:
        """Asks it to end as an operator does; its exit status."""
        self.process.terminate()
        return self.process.wait(wait_s)

    def _end(self) -> None:
        if self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def irploc_command() -> str:
    """The command beside the running Python, else the one on the path."""
    beside = Path(sys.executable).with_name("irploc")
    found = str(beside) if beside.is_file() else shutil.which("irploc")
    if found is None:
        raise RuntimeError("no command irploc: pip install irploc")
    return found


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server((HOST, 0)) as listening:
        return int(listening.getsockname()[1])


def get(port: int, path: str, timeout_s: float = 10.0) -> tuple[int, str]:
    """Status and body of an answer; (0, reason) where there was none."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
    finally:
        connection.close()


def cpu_seconds(pid: int) -> float:
    """Of all threads of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS  # utime and stime, counted from the field after the name


def machine_cpu_seconds() -> float:
    """Of everything that ran on this machine so far, waiting for disks left out."""
    user, nice, system, _, _, interrupts, soft, *_ = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + interrupts + soft) / _TICKS


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    if found is None:
        raise RuntimeError(f"the process {pid} is gone")
    return int(found[1]) / 1024
