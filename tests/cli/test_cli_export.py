"""`irploc export`, and `irploc localize` with its files, as a user meets them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from irploc.cli import main

pytest.importorskip("onnx", reason="needs onnx: pip install 'irploc[onnx]'")
pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'irploc[onnx]'")

ABSENT = ("torch", "torchvision", "faiss", "h5py", "pandas", "sklearn", "matplotlib", "pycolmap", "onnx", "rich")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, toy_scene: Path) -> Path:
    """A workspace with a scene, a model, and its export."""
    from toy_export import write_encoder, write_model

    folder = tmp_path_factory.mktemp("home")
    (folder / "scenes").mkdir()
    (folder / "models").mkdir()
    (folder / "scenes/toy").symlink_to(toy_scene)
    write_model(folder / "models/toy.irpnet.pt", write_encoder(folder / "encoder.onnx"))
    result = run(folder, "export", "toy")
    assert result.exit_code == 0, result.output
    return folder


def run(home: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["--workspace", str(home), *map(str, arguments)])


def refused(result: Result) -> str:
    """The one line of an error that is no traceback."""
    assert result.exit_code == 1, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def photos(toy_scene: Path) -> list[Path]:
    return sorted(toy_scene.rglob("*.jpg"))[:3]


def test_a_model_by_the_name_of_its_scene_goes_beside_it(home: Path, tmp_path: Path) -> None:
    assert (home / "models/toy.irpnet.onnx").is_file()
    for name in ("toy", "toy.irpnet", str(home / "models/toy.irpnet.pt")):
        out = tmp_path / "sub/other.onnx"
        result = run(home, "export", name, "--out", out)
        assert result.exit_code == 0, result.output
        first, second = result.stdout.splitlines()
        size = out.stat().st_size / 1e6
        assert first == f"{out}: irpnet on onnx:encoder.onnx of toy, fp32, {size:.1f} MB"
        assert "against torch: at most" in second and "mapping photos" in second
        assert [path.name for path in out.parent.iterdir()] == ["other.onnx"]


def test_int8_tells_what_it_costs(home: Path, tmp_path: Path) -> None:
    result = run(home, "export", "toy", "--precision", "int8", "--photos", "5", "--out", tmp_path / "a.onnx")
    assert result.exit_code == 0, result.output
    assert "int8 on 5 test photos: median" in result.stdout and "fp32" in result.stdout.splitlines()[-1]
    assert (tmp_path / "a.onnx").stat().st_size < 0.5 * (home / "models/toy.irpnet.onnx").stat().st_size
    located = run(home, "localize", "--model", tmp_path / "a.onnx", home / "scenes/toy/images/test", "--json")
    assert located.exit_code == 0 and len(located.stdout.splitlines()) == 8


def test_without_its_scene_a_model_is_checked_on_made_up_pictures(home: Path, tmp_path: Path) -> None:
    result = run(tmp_path, "export", home / "models/toy.irpnet.pt", "--out", tmp_path / "a.onnx")
    assert result.exit_code == 0, result.output
    assert "no scene 'toy' in the workspace" in result.stderr
    assert "made-up pictures" in result.stdout
    answer = run(
        tmp_path, "localize", "--model", tmp_path / "a.onnx", home / "scenes/toy/images/test/frame-000000.jpg", "--json"
    )
    assert json.loads(answer.stdout)["units"] == "not recorded"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "no model nowhere: give a file, or one of those in"),
        (["toy", "--format", "tflite"], "unknown format 'tflite'"),
        (["toy", "--precision", "int4"], "unknown precision 'int4', choose one of fp32, fp16, int8"),
        (["toy", "--photos", "0"], "cannot be measured on 0 photos"),
        (["toy", "--scene", "other"], "no scene 'other'"),
        (["toy", "--encoder", "resnet18-gem"], "--encoder only tells where the same encoder is now"),
        (["toy", "--out", "/dev/null/a.onnx"], "cannot write /dev/null/a.onnx"),
        (["toy", "--out", "."], "is a directory"),
        (["toy", "--out", "a.bin"], "a.bin is not the name of an ONNX file"),
        (["encoder.onnx"], "is an ONNX file already, expected a model file (.pt)"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(home)
    before = sorted(path.name for path in (home / "models").iterdir())
    result = run(home, "export", *arguments)
    assert result.exit_code in (1, 2)
    assert words in result.stderr and "Traceback" not in result.output
    assert sorted(path.name for path in (home / "models").iterdir()) == before


def test_models_of_other_methods_say_which_can_be_exported(home: Path, tmp_path: Path) -> None:
    import torch

    torch.save({"format": "irploc-siamese", "method": "siamese"}, tmp_path / "a.pt")
    assert "models of irpnet, mlp, posenet, mapnet can be exported" in refused(run(home, "export", tmp_path / "a.pt"))


def test_densevlad_says_which_encoders_can_be_exported(home: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from irploc.training.modelfile import load_model, save_model

    model = load_model(home / "models/toy.irpnet.pt")
    save_model(replace(model, identity={**model.identity, "encoder": "densevlad"}), tmp_path / "a.pt")
    message = refused(run(home, "export", tmp_path / "a.pt"))
    assert "densevlad is no network" in message and "netvlad-vgg16" in message


def test_an_export_answers_as_its_model_does(home: Path, photos: list[Path], tmp_path: Path) -> None:
    poses = tmp_path / "poses.txt"
    result = run(home, "localize", "--model", home / "models/toy.irpnet.onnx", *photos, "--json", "--poses", poses)
    assert result.exit_code == 0, result.output
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["image"] for answer in answers] == [str(photo) for photo in photos]
    first = answers[0]
    assert list(first)[:6] == ["image", "status", "method", "scene", "units", "center_m"]
    assert (first["status"], first["method"], first["scene"], first["units"]) == ("ok", "irpnet", "toy", "metres")
    assert (first["confidence"], first["neighbours"], first["camera"]) == (None, [], None)
    assert set(first["timing_ms"]) == {"decode", "encode", "estimate"}
    assert len(poses.read_text().splitlines()) == 1 + len(photos)
    assert "x " in run(home, "localize", "--model", home / "models/toy.irpnet.onnx", photos[0]).stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--index", "a.faiss"], "--index does not go with"),
        (["--embeddings", "a.h5"], "--embeddings does not go with"),
        (["--focal", "500"], "--focal does not go with"),
        (["--encoder", "onnx:a"], "--encoder does not go with"),
        (["--floor-map", "a.toml"], "floor maps need pandas"),
        (["--device", "cuda"], "exported models run on the CPU"),
        (["--method", "bdi"], "is of the method 'irpnet', not 'bdi'"),
        (["--scene", "kitchen"], "is of the scene 'toy', not 'kitchen'"),
    ],
)
def test_options_that_mean_nothing_to_an_export_are_refused(
    home: Path, photos: list[Path], options: list[str], words: str
) -> None:
    assert words in refused(run(home, "localize", "--model", home / "models/toy.irpnet.onnx", *photos, *options))


def test_videos_are_refused(home: Path) -> None:
    assert "videos do not go with" in refused(run(home, "localize", "--model", home / "models/toy.irpnet.onnx", "walk.mp4"))


def test_options_that_agree_with_the_file_are_taken(home: Path, photos: list[Path]) -> None:
    options = ["--scene", "toy", "--method", "irpnet", "--device", "cpu"]
    assert run(home, "localize", "--model", home / "models/toy.irpnet.onnx", photos[0], *options).exit_code == 0


def test_a_photo_that_cannot_be_read_does_not_stop_the_others(home: Path, photos: list[Path]) -> None:
    result = run(home, "localize", "--model", home / "models/toy.irpnet.onnx", photos[0], "none.jpg", photos[1])
    assert len(result.stdout.splitlines()) == 2
    assert "1 of 3 images failed; first: no image none.jpg" in refused(result)


def test_files_that_are_no_export_are_refused_in_one_line(home: Path, photos: list[Path], tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    assert "no ONNX file" in refused(run(home, "localize", "--model", tmp_path / "text.onnx", photos[0]))
    assert "but no irploc-onnx file" in refused(run(home, "localize", "--model", home / "encoder.onnx", photos[0]))
    assert "no model" in refused(run(home, "localize", "--model", tmp_path / "none.onnx", photos[0]))


def test_an_export_is_run_where_torch_and_its_kind_are_not_installed(home: Path, photos: list[Path], tmp_path: Path) -> None:
    code = (
        "import sys\n"
        f"absent = set({ABSENT!r})\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in absent:\n"
        "            raise ModuleNotFoundError(f'{name} was imported', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from irploc.cli import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "assert not absent & set(sys.modules), absent & set(sys.modules)\n"
        "print('nothing of them was imported', file=sys.stderr)\n"
    )
    model, poses = home / "models/toy.irpnet.onnx", tmp_path / "poses.txt"
    arguments = ["localize", "--model", model, photos[0], "--json", "--poses", poses]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, env={**os.environ}, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "nothing of them was imported" in done.stderr
    here = json.loads(run(home, "localize", "--model", model, photos[0], "--json").stdout)
    assert json.loads(done.stdout)["center_m"] == pytest.approx(here["center_m"], abs=1e-6)
    assert poses.is_file()
