from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from irploc.cli import main
from irploc.service import running
from irploc.service.hosting import HostingOptions
from irploc.service.options import Limits, ServiceOptions

TOKEN = "0123456789abcdef-secret"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What ``run`` was called with."""
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(running, "run", lambda *args, **kwargs: calls.append(args))
    monkeypatch.delenv("IRPLOC_TOKEN", raising=False)
    return calls


def serve(*typed: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["serve", *typed])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_without_options_it_is_this_machine_alone_and_nothing_is_kept(served: list[tuple[Any, ...]]) -> None:
    assert serve() == (0, "")
    hosting, options, host, port = served[0][:4]
    assert isinstance(hosting, HostingOptions)
    assert (hosting.scenes, hosting.methods, hosting.floor_maps) == ((), (), ())
    assert options == ServiceOptions(allowed_hosts=("127.0.0.1", "localhost", "::1"))
    assert (host, port) == ("127.0.0.1", 8000)


def test_a_signal_to_read_the_scenes_again_does_not_end_one_that_has_not_read_them(served: list[tuple[Any, ...]]) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        assert serve() == (0, "")
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_every_option_arrives(served: list[tuple[Any, ...]], tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    typed = "hall attic --host localhost --port 0 --method bdi --method nearest --floor-map hall=a=b.toml --device cpu"
    typed += f" --token-file {tmp_path}/token --allow-host place.example --allow-origin https://app.example"
    typed += (
        f" --keep-uploads {tmp_path}/kept --keep-mb 5 --max-images 2 --max-upload-mb 3 --max-memory-mb 9 --max-megapixels 4"
    )
    typed += " --queue 5 --batch 6 --batch-wait-ms 0 --timeout 7 --no-thumbnails"
    assert serve(*typed.split()) == (0, "")
    hosting, options, host, port = served[0][:4]
    assert (hosting.scenes, hosting.methods, hosting.device) == (("hall", "attic"), ("bdi", "nearest"), "cpu")
    assert hosting.floor_maps == (("hall", Path("a=b.toml")),)
    limits = Limits(2, 3.0, 9.0, 4.0, 5, 6, 0.0, 7.0)
    names = ("localhost", "127.0.0.1", "::1", "place.example")
    expected = ServiceOptions(limits, TOKEN, tmp_path / "kept", 5.0, names, ("https://app.example",), False)
    assert (options, host, port) == (expected, "localhost", 0)


def test_a_token_comes_from_the_environment_and_a_file_goes_before_it(
    served: list[tuple[Any, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IRPLOC_TOKEN", TOKEN)
    (tmp_path / "token").write_text("another-secret-of-16")
    assert serve()[0] == serve("--token-file", f"{tmp_path}/token")[0] == 0
    assert [call[1].token for call in served] == [TOKEN, "another-secret-of-16"]


def test_others_may_reach_it_only_with_a_warning_or_a_token(
    served: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = serve("--host", "0.0.0.0")
    assert code == 0
    assert said == "warning: whoever reaches 0.0.0.0 can ask: set IRPLOC_TOKEN or --token-file to ask for a token\n"
    assert served[0][1].allowed_hosts == ()
    monkeypatch.setenv("IRPLOC_TOKEN", TOKEN)
    assert serve("--host", "0.0.0.0") == (0, "")


def test_every_page_may_ask_only_with_a_warning_or_a_token(
    served: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = serve("--allow-origin", "*")
    assert (code, said.count("\n")) == (0, 1)
    assert said.startswith("warning: with --allow-origin '*' any page in a browser that reaches this address may ask: ")
    assert served[0][1].allowed_origins == ("*",)
    assert serve("--allow-origin", "https://app.example") == (0, "")
    monkeypatch.setenv("IRPLOC_TOKEN", TOKEN)
    assert serve("--allow-origin", "*") == (0, "")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("--max-images 0", "--max-images is 0, expected a finite number above 0"),
        ("--max-upload-mb 0", "--max-upload-mb is 0, expected"),
        ("--max-memory-mb inf", "--max-memory-mb is inf, expected"),
        ("--max-megapixels 0", "--max-megapixels is 0, expected"),
        ("--queue 0", "--queue is 0, expected"),
        ("--batch 0", "--batch is 0, expected"),
        ("--max-images 100", "the queue only 64: lower --max-images or raise --queue"),
        ("--timeout -1", "--timeout is -1, expected"),
        ("--timeout nan", "--timeout is nan, expected"),
        ("--batch-wait-ms -1", "--batch-wait-ms is -1, expected 0 or"),
        ("--keep-uploads kept --keep-mb -1", "--keep-mb is -1, expected"),
        ("--keep-mb 5", "--keep-mb limits --keep-uploads, which is not given"),
        ("--allow-host https://place.example.org", "'https://place.example.org' is no host name, expected for example"),
        ("--allow-origin example.org", "is no origin"),
        ("--token-file gone", "no file gone"),
        ("--token-file empty", "empty is empty, expected a token"),
        ("--token-file short", "short: the token has 5 characters"),
        ("--token-file two", "two has 2 lines, expected the token alone"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    served: list[tuple[Any, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").write_text("\n")
    Path("short").write_text("hello")
    Path("two").write_text(f"{TOKEN}\n{TOKEN}\n")
    code, said = serve(*typed.split())
    assert (code, said.count("\n"), served) == (1, 1, [])
    assert words in said


def test_an_empty_variable_does_not_open_the_service(served: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRPLOC_TOKEN", "")
    assert serve() == (1, "Error: $IRPLOC_TOKEN is empty, expected a token\n")
    assert not served


def test_a_missing_extra_is_told_with_its_command(served: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("fastapi", "uvicorn") else there(name))
    assert serve() == (1, "Error: 'irploc serve' needs fastapi, uvicorn: pip install 'irploc[service]'\n")


def test_help_needs_neither_the_extra_nor_torch() -> None:
    code = (
        "import sys; from irploc.cli import serve; print([n for n in ('fastapi', 'uvicorn', 'torch') if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert "--keep-uploads" in CliRunner().invoke(main, ["serve", "--help"]).output
