"""The clients of the README run as they stand there, and docs/service.md names what there is."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import uvicorn
from tiny_service import hosting_options, make_workspace, photo_bytes

from irploc.cli import main
from irploc.service.app import create_app
from irploc.service.metrics import Metrics

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = ROOT / "docs/service.md"
SECTION = README.partition("### As a service\n")[2].partition("\n### ")[0]
ADDRESS = "http://localhost:8000"
SOURCES = "".join(path.read_text() for path in sorted((ROOT / "irploc/service").rglob("*.py")))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: None) -> Iterator[str]:
    """Of a service with a tiny place, ready."""
    home = make_workspace(tmp_path_factory.mktemp("workspace"))
    failures: list[Exception | None] = []
    app = create_app(hosting_options(home), ended=failures.append)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        end = time.monotonic() + 20
        while not failures and time.monotonic() < end:
            time.sleep(0.01)
        assert failures == [None]
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the photo that the README sends."""
    (tmp_path / "photo.jpg").write_bytes(photo_bytes(kind="JPEG"))
    return tmp_path


def blocks(kind: str) -> list[str]:
    """What stands between three backticks in the section."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=False)


def python_client() -> str:
    (client,) = blocks("python")
    assert len(client.splitlines()) <= 10
    return client


def test_ten_lines_of_python_print_where_the_photo_was_taken(address: str, folder: Path) -> None:
    pytest.importorskip("requests", reason="needs requests: pip install requests")
    done = run([sys.executable, "-c", python_client().replace(ADDRESS, address)], folder)
    assert done.returncode == 0, done.stderr
    name, status, position = re.fullmatch(r"(\S+) (\S+) (\[.*?\]) \[.*\]\n", done.stdout).groups()  # type: ignore[union-attr]
    assert (name, status) == ("photo.jpg", "ok")
    assert len(json.loads(position)) == 3


def test_ten_lines_of_python_say_why_a_file_was_refused(address: str, folder: Path) -> None:
    pytest.importorskip("requests", reason="needs requests: pip install requests")
    (folder / "photo.jpg").write_text("no photo at all")
    done = run([sys.executable, "-c", python_client().replace(ADDRESS, address)], folder)
    assert done.returncode == 1
    assert re.fullmatch(r"photo\.jpg is .*\n", done.stderr)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_one_line_of_curl_gets_the_answer(address: str, folder: Path) -> None:
    (line,) = [line for block in blocks("") for line in block.splitlines() if line.startswith("curl ")]
    done = run(["curl", "-s", *shlex.split(line.replace(ADDRESS, address))[1:]], folder)
    (answer,) = json.loads(done.stdout)["results"]
    assert (answer["image"], answer["status"], answer["scene"]) == ("photo.jpg", "ok", "tiny")


def serve() -> click.Command:
    assert isinstance(main, click.Group)
    command = main.get_command(click.Context(main), "serve")
    assert command is not None
    return command


def test_every_irploc_serve_of_the_documents_is_a_command_line_that_is_understood(tmp_path: Path) -> None:
    text = README + DOCS.read_text(encoding="utf-8") + (ROOT / "Dockerfile").read_text()
    typed = re.findall(r"^.*?irploc serve(.*)$", text, re.MULTILINE)
    lines = [line.partition("#")[0].rstrip("\\").strip() for line in typed if "`" not in line]
    assert len(lines) >= 3
    for line in lines:
        context = serve().make_context("serve", shlex.split(line), resilient_parsing=False)
        context.close()


def documented(heading: str) -> str:
    """A part of docs/service.md."""
    return DOCS.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_the_table_of_options_is_that_of_the_command() -> None:
    options = {name for parameter in serve().params for name in parameter.opts if name.startswith("--")} - {"--help"}
    assert set(re.findall(r"^\| `(--[a-z-]+)", documented("Options"), re.MULTILINE)) == options


def test_the_table_of_errors_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \|", documented("Errors"), re.MULTILINE)
    raised = set(re.findall(r'Problem\(\s*(\d{3}),\s*"(\w+)"', SOURCES))
    assert {code for _, code in raised} >= {"not_an_image", "too_busy", "timed_out"}
    assert set(rows) == raised


def test_the_table_of_metrics_is_that_of_the_service() -> None:
    text = Metrics().text().decode()
    served = {name for name in re.findall(r"^# TYPE (irploc_\w+)", text, re.MULTILINE) if not name.endswith("_created")}
    assert set(re.findall(r"^\| `(irploc_\w+)", documented("Metrics"), re.MULTILINE)) == served
