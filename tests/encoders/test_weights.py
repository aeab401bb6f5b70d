"""Where weights lie, how they get there whole or not at all, and that a later change is noticed."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from irploc.encoders import ENCODERS, create_encoder, weights
from irploc.encoders.weights import (
    CATALOGUE,
    Located,
    WeightsFile,
    converted_tensors,
    fetch_weights,
    find_weights,
    guess_name,
    import_weights,
    verify_weights,
    weights_folder,
)
from irploc.errors import BadInput, Mismatch, NotFound

CONTENT = b"toy weights " * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def _check(path: Path) -> None:
    if not path.read_bytes().startswith(b"toy"):
        raise BadInput(f"{path} holds no toy weights")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IRPLOC_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def toy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> WeightsFile:
    entry = WeightsFile("toy", "toy-1.bin", "http://127.0.0.1:9/toy-1.bin", SHA256[:8], "us", "none", _check)
    monkeypatch.setitem(CATALOGUE._entries, "toy", entry)
    return entry


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere.bin"
    path.write_bytes(CONTENT)
    return path


class _Handler(BaseHTTPRequestHandler):
    body = CONTENT
    announced = len(CONTENT)

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/toy-1.bin" else 404)
        self.send_header("Content-Length", str(self.announced))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Any]:
    servers = []

    def start(body: bytes = CONTENT, announced: int | None = None) -> str:
        handler = type("Handler", (_Handler,), {"body": body, "announced": len(body) if announced is None else announced})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _age(path: Path) -> None:
    """As if the file had been written an hour ago, which makes its recorded time trustworthy."""
    then = path.stat().st_mtime_ns - 3600 * 10**9
    os.utime(path, ns=(then, then))


def test_folder_is_the_environments_else_the_platforms_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IRPLOC_WEIGHTS", "~/w")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights_folder() == tmp_path / "w"
    monkeypatch.delenv("IRPLOC_WEIGHTS")
    monkeypatch.setattr(weights.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert weights_folder() == tmp_path / "xdg/irploc/weights"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert weights_folder() == tmp_path / ".cache/irploc/weights"
    monkeypatch.setattr(weights.sys, "platform", "darwin")
    assert weights_folder() == tmp_path / "Library/Caches/irploc/weights"
    monkeypatch.setattr(weights.sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert weights_folder() == tmp_path / "local/irploc/weights"


@pytest.mark.parametrize("name", [name for name, entry in ENCODERS.items() if entry.weights])
def test_absent_weights_are_reported_in_one_line_with_every_way_out(name: str, folder: Path) -> None:
    with pytest.raises(NotFound) as caught:
        create_encoder(name)
    entry = CATALOGUE.get(ENCODERS.get(name).weights or "")
    line = str(caught.value)
    ways = (
        f"irploc weights fetch {entry.name}",
        f"irploc weights import {entry.file}",
        "IRPLOC_WEIGHTS",
        "densevlad",
        "onnx:PATH",
    )
    assert all(way in line for way in (*ways, str(folder)))
    assert "\n" not in line
    assert not folder.exists(), "nothing is made or downloaded unasked"


def test_imported_file_is_copied_recorded_and_found(toy: WeightsFile, elsewhere: Path) -> None:
    located = import_weights(elsewhere, "toy")
    assert located == Located(toy.path, SHA256) == find_weights("toy") == verify_weights("toy")
    assert toy.path.read_bytes() == CONTENT
    record = json.loads(toy.path.with_name("toy-1.bin.record.json").read_text())
    assert record["format"] == "irploc weights record" and record["sha256"] == SHA256
    assert sorted(path.name for path in toy.path.parent.iterdir()) == ["toy-1.bin", "toy-1.bin.record.json"]


def test_file_of_other_content_is_not_imported_and_nothing_is_left(toy: WeightsFile, elsewhere: Path) -> None:
    elsewhere.write_bytes(b"something else")
    with pytest.raises(BadInput, match="holds no toy weights"):
        import_weights(elsewhere, "toy")
    assert not toy.path.parent.exists()
    with pytest.raises(NotFound, match="no file"):
        import_weights(elsewhere / "x", "toy")
    with pytest.raises(BadInput, match="is a folder"):
        import_weights(elsewhere.parent, "toy")


def test_own_weights_can_be_imported_and_are_told_apart_by_their_hash(toy: WeightsFile, elsewhere: Path) -> None:
    elsewhere.write_bytes(b"toy weights of mine")
    located = import_weights(elsewhere, "toy")
    assert find_weights("toy").sha256 == located.sha256 == hashlib.sha256(b"toy weights of mine").hexdigest()
    assert not toy.is_published(located.sha256)


def test_file_laid_into_the_folder_by_hand_is_taken_only_if_it_is_the_published_one(toy: WeightsFile) -> None:
    toy.path.parent.mkdir()
    toy.path.write_bytes(b"toy weights of mine")
    with pytest.raises(Mismatch, match=r"not the published file.*irploc weights import"):
        find_weights("toy")
    import_weights(toy.path, "toy")
    assert find_weights("toy").path.read_bytes() == b"toy weights of mine"
    toy.path.with_name("toy-1.bin.record.json").unlink()
    toy.path.write_bytes(CONTENT)
    assert find_weights("toy").sha256 == SHA256


@pytest.mark.parametrize("same_length", [True, False])
def test_change_after_recording_is_noticed_at_the_next_start(toy: WeightsFile, elsewhere: Path, same_length: bool) -> None:
    import_weights(elsewhere, "toy")
    find_weights("toy")
    toy.path.write_bytes(b"toy WEIGHTS " * 1000 if same_length else CONTENT + b"!")
    with pytest.raises(Mismatch, match="has changed since it was recorded"):
        find_weights("toy")
    import_weights(elsewhere, "toy")
    assert find_weights("toy").sha256 == SHA256


def test_unchanged_file_is_hashed_once_but_verify_reads_it_again(toy: WeightsFile, elsewhere: Path) -> None:
    import_weights(elsewhere, "toy")
    _age(toy.path)
    find_weights("toy")  # the time differs from the recorded one: hashed, and the new time recorded
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights.provenance, "sha256_of_file", lambda path: pytest.fail("hashed again"))
        assert find_weights("toy").sha256 == SHA256
    status = toy.path.stat()
    toy.path.write_bytes(b"toy WEIGHTS " * 1000)
    os.utime(toy.path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    with pytest.raises(Mismatch, match="has changed"):
        verify_weights("toy")


def test_fetched_file_is_verified_and_recorded(toy: WeightsFile, serve: Any) -> None:
    located = fetch_weights("toy", f"{serve()}/toy-1.bin")
    assert located.sha256 == SHA256 == find_weights("toy").sha256
    assert toy.path.read_bytes() == CONTENT


def test_fetch_uses_the_address_of_the_catalogue(toy: WeightsFile, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOGUE._entries, "toy", replace(toy, url=f"{serve()}/toy-1.bin"))
    assert fetch_weights("toy").sha256 == SHA256


@pytest.mark.parametrize(
    ("body", "announced", "page", "error", "says"),
    [
        (b"toy weights of a thief", None, "toy-1.bin", Mismatch, "the published toy-1.bin has"),
        (CONTENT[:5000], len(CONTENT), "toy-1.bin", BadInput, "broke off after 5,000 of 12,000 bytes"),
        (CONTENT, None, "gone.bin", NotFound, "cannot download .*Not Found.*weights import toy-1.bin"),
    ],
)
def test_bad_download_leaves_nothing_behind_and_keeps_what_was_there(
    toy: WeightsFile, serve: Any, elsewhere: Path, body: bytes, announced: int | None, page: str, error: Any, says: str
) -> None:
    import_weights(elsewhere, "toy")
    before = {path.name: path.read_bytes() for path in toy.path.parent.iterdir()}
    with pytest.raises(error, match=says) as caught:
        fetch_weights("toy", f"{serve(body, announced)}/{page}")
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in toy.path.parent.iterdir()} == before


def test_download_that_does_not_load_is_named_by_its_address(
    toy: WeightsFile, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CATALOGUE._entries, "toy", replace(toy, sha256=None))
    address = f"{serve(b'<html>please log in</html>')}/toy-1.bin"
    with pytest.raises(BadInput, match="holds no toy weights") as caught:
        fetch_weights("toy", address)
    assert str(caught.value).startswith(address)
    assert not any(toy.path.parent.iterdir())


def test_unreachable_or_odd_addresses_are_one_line_each(toy: WeightsFile) -> None:
    with pytest.raises(NotFound, match=r"cannot download http://127\.0\.0\.1:9"):
        fetch_weights("toy")
    with pytest.raises(BadInput, match="must begin with https://"):
        fetch_weights("toy", "ftp://example.org/x")


def test_weights_folder_that_is_a_file_is_refused(toy: WeightsFile, folder: Path, elsewhere: Path) -> None:
    folder.write_text("")
    with pytest.raises(BadInput, match="is not a folder"):
        import_weights(elsewhere, "toy")


def test_damaged_record_is_refused_by_name(toy: WeightsFile, elsewhere: Path) -> None:
    import_weights(elsewhere, "toy")
    toy.path.with_name("toy-1.bin.record.json").write_text("{")
    with pytest.raises(BadInput, match=r"toy-1\.bin\.record\.json is not a record of weights: delete it"):
        find_weights("toy")


def test_conversion_is_kept_and_made_again_when_it_or_its_source_changes(toy: WeightsFile, elsewhere: Path) -> None:
    made = []

    def convert(path: Path) -> dict[str, torch.Tensor]:
        made.append(path)
        return {"size": torch.tensor([path.stat().st_size])}

    located = import_weights(elsewhere, "toy")
    for _ in range(2):
        assert converted_tensors("toy", located, convert)["size"].item() == len(CONTENT)
    assert len(made) == 1
    kept = toy.path.with_name("toy-1.bin.converted.pt")
    kept.write_bytes(kept.read_bytes()[:-1])
    assert converted_tensors("toy", located, convert)["size"].item() == len(CONTENT)
    assert len(made) == 2
    elsewhere.write_bytes(b"toy weights of mine")
    assert converted_tensors("toy", import_weights(elsewhere, "toy"), convert)["size"].item() == 19
    assert len(made) == 3
    kept.write_bytes(b"damaged")
    verify_weights("toy")
    assert not kept.exists()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Pitts30K_struct.mat", "netvlad-vgg16"),
        ("anything.mat", "netvlad-vgg16"),
        ("resnet18-f37072fd.pth", "resnet18"),
        ("resnet152_mine.pth", "resnet152"),
        ("efficientnet_b7.pth", "efficientnet-b7"),
    ],
)
def test_name_of_the_weights_is_read_from_the_name_of_the_file(file: str, name: str) -> None:
    assert guess_name(Path(file)) == name


def test_file_name_that_says_nothing_needs_the_users_word() -> None:
    with pytest.raises(BadInput, match="add --name NAME, one of efficientnet-b0"):
        guess_name(Path("checkpoint.pth"))
