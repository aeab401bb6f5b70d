"""`irploc encoders` and `irploc weights` as a user types them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from irploc.cli import main
from irploc.encoders import ENCODERS
from irploc.encoders.backbones import BACKBONES, random_state_dict
from irploc.encoders.weights import CATALOGUE


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IRPLOC_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("resnet") / "resnet18-mine.pth"
    torch.save(random_state_dict(BACKBONES["resnet18"], 1), path)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_encoders_lists_all_with_dimension_weights_and_source(folder: Path) -> None:
    result = run("encoders")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["encoder", "dimension", "weights", "source"]
    assert [line.split()[0] for line in lines[1:]] == list(ENCODERS)
    assert "\x1b" not in result.stdout
    assert str(folder) in result.stderr
    (netvlad,) = (line for line in lines if line.startswith("netvlad-vgg16"))
    assert netvlad.split()[1:3] == ["4096", "absent"]


def test_encoders_json_follows_the_weights_folder(resnet: Path) -> None:
    def status() -> dict[str, str]:
        return {row["name"]: row["weights"] for row in json.loads(run("encoders", "--json").stdout)}

    assert status()["resnet18-gem"] == "absent"
    assert status()["onnx"] == "none needed"
    assert run("weights", "import", resnet).exit_code == 0
    assert status()["resnet18-gem"] == "present"
    assert status()["resnet50-gem"] == "absent"


def test_import_shows_path_and_hash_and_list_shows_what_it_is(resnet: Path, folder: Path) -> None:
    sha256 = hashlib.sha256(resnet.read_bytes()).hexdigest()
    result = run("weights", "import", resnet)
    assert result.exit_code == 0
    assert str(folder / "resnet18-f37072fd.pth") in result.stdout
    assert f"sha256 {sha256} (not the published file" in result.stdout
    rows = {row["name"]: row for row in json.loads(run("weights", "list", "--json").stdout)}
    assert rows.keys() == set(CATALOGUE)
    assert (rows["resnet18"]["status"], rows["resnet18"]["sha256"]) == ("present (not the published file)", sha256)
    assert (rows["resnet50"]["status"], rows["resnet50"]["sha256"]) == ("absent", None)
    assert all(row["url"].startswith("https://") and row["licence"] and row["source"] for row in rows.values())
    assert sha256[:12] in run("weights", "list").stdout


def test_verify_confirms_and_then_notices_a_change(resnet: Path, folder: Path) -> None:
    nothing = run("weights", "verify")
    assert nothing.exit_code == 0 and "no weights in" in nothing.stderr
    run("weights", "import", resnet)
    assert "resnet18: ok, sha256" in run("weights", "verify").stdout
    path = folder / "resnet18-f37072fd.pth"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    for names in ((), ("resnet18",), ("resnet18-gem",)):
        result = run("weights", "verify", *names)
        assert result.exit_code == 1
        assert "has changed since it was recorded" in result.stderr
    assert "refused" in run("weights", "list").stdout


def test_verify_of_several_reports_each_and_fails_at_the_end(resnet: Path, folder: Path) -> None:
    run("weights", "import", resnet)
    (folder / CATALOGUE.get("resnet34").file).write_bytes(b"damaged")
    result = run("weights", "verify")
    assert result.exit_code == 1
    assert "resnet18: ok" in result.stdout and "resnet34: " in result.stdout and "not the published file" in result.stdout
    assert "1 of 2 files of weights cannot be used: resnet34" in result.stderr


def test_fetch_takes_encoder_names_and_mirrors_and_keeps_what_is_there(
    resnet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    entry = replace(CATALOGUE.get("resnet18"), sha256=hashlib.sha256(resnet.read_bytes()).hexdigest())
    monkeypatch.setitem(CATALOGUE._entries, "resnet18", entry)
    result = run("weights", "fetch", "resnet18-gem", "--url", resnet.as_uri())
    assert result.exit_code == 0 and "as published" in result.stdout
    again = run("weights", "fetch", "resnet18", "--url", "file:///nowhere")
    assert again.exit_code == 0 and "already there" in again.stderr
    forced = run("weights", "fetch", "resnet18", "--url", "file:///nowhere", "--force")
    assert forced.exit_code == 1 and "cannot download file:///nowhere" in forced.stderr
    assert run("weights", "verify", "resnet18").exit_code == 0


def test_fetched_file_of_another_hash_is_refused(resnet: Path, folder: Path) -> None:
    result = run("weights", "fetch", "resnet18", "--url", resnet.as_uri())
    assert result.exit_code == 1 and "the published resnet18-f37072fd.pth has f37072fd" in result.stderr
    assert not (folder / "resnet18-f37072fd.pth").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("fetch", "resnet19"), "did you mean 'resnet18'?"),
        (("fetch", "onnx"), "the encoder onnx needs no weights"),
        (("verify", "netvlad-vgg16"), "irploc weights fetch netvlad-vgg16"),
        (("import", "absent.mat"), "no file absent.mat"),
        (("import", "checkpoint.pth"), "add --name NAME"),
    ],
)
def test_mistakes_leave_one_line_and_exit_code_1(arguments: tuple[str, ...], says: str) -> None:
    result = run("weights", *arguments)
    assert result.exit_code == 1
    assert says in result.stderr and len(result.stderr.splitlines()) == 1


def test_usage_errors_have_exit_code_2() -> None:
    assert run("weights", "fetch").exit_code == 2
    assert run("weights", "fetch", "resnet18", "resnet34", "--url", "https://example.org").exit_code == 2
