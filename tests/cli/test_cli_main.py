"""The command group, and embed, index, localize and methods as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_place
from click.testing import CliRunner, Result
from PIL import Image

from irploc.cli import COMMANDS, main
from irploc.cli.common import stdout_is_terminal
from irploc.scene import Scene

pytestmark = pytest.mark.usefixtures("tiny_encoder")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def run(home: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["--workspace", str(home), *map(str, arguments)])


@pytest.fixture(scope="module")
def embedded(home: Path, toy_scene: Path) -> Path:
    result = run(home, "embed", toy_scene, "--encoder", "tiny", "--augmentations", "1")
    assert result.exit_code == 0, result.output
    return home


def test_help_takes_less_than_half_a_second_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, time; started = time.perf_counter()\n"
        "from click.testing import CliRunner\n"
        "from irploc.cli import main\n"
        "result = CliRunner().invoke(main, ['--help'])\n"
        "heavy = {'torch', 'numpy', 'pandas', 'matplotlib', 'faiss', 'h5py', 'scipy', 'PIL'} & set(sys.modules)\n"
        "assert result.exit_code == 0 and not heavy, heavy\n"
        "print(time.perf_counter() - started)\n"
    )
    seconds = [float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout) for _ in range(3)]
    assert min(seconds) < 0.5


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


def test_a_reader_that_closes_our_output_early_is_no_error() -> None:
    code = "import time; time.sleep(0.2); from irploc.cli import main; main(['methods'])"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 1


def test_a_misspelt_command_gets_a_suggestion() -> None:
    result = CliRunner().invoke(main, ["localise"])
    assert result.exit_code == 2
    assert "did you mean 'localize'" in result.output


def test_embed_says_what_it_did_and_again_that_nothing_was_left_to_do(embedded: Path, toy_scene: Path) -> None:
    result = run(embedded, "embed", toy_scene, "--encoder", "tiny", "--augmentations", "1")
    assert result.exit_code == 0
    assert "0 images embedded" in result.output
    assert "32 were there already" in result.output


def test_index_localize_and_pose_file_work_together(embedded: Path, toy_scene: Path, tmp_path: Path) -> None:
    assert run(embedded, "index", "toy").exit_code == 0
    assert (embedded / "indexes" / "toy.faiss").is_file()
    scene = Scene.load(toy_scene)
    photo = scene.frames.images[0]
    result = run(embedded, "localize", photo, "--method", "nearest", "--json", "--poses", tmp_path / "poses.txt")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["center_m"] == pytest.approx(scene.frames.poses.centers_m[0].tolist())
    row = [line for line in (tmp_path / "poses.txt").read_text().splitlines() if not line.startswith("#")]
    assert [float(value) for value in row[0].split()[1:5]] == pytest.approx(answer["cam_from_world"]["qvec_wxyz"])


def test_localize_takes_a_folder_and_prints_a_line_per_photo(embedded: Path, toy_scene: Path) -> None:
    scene = Scene.load(toy_scene)
    folder = scene.frames.images[0].parent
    result = run(embedded, "localize", folder, "--method", "bdi:k=3", "--json")
    assert result.exit_code == 0
    images = [json.loads(line)["image"] for line in result.stdout.splitlines()]
    assert images == sorted(images)
    assert len(images) == len(list(folder.rglob("*.jpg")))


def test_photos_of_the_same_name_in_two_folders_keep_apart_in_the_pose_file(
    embedded: Path, toy_scene: Path, tmp_path: Path
) -> None:
    from irploc.evaluation import read_pose_file

    photo = Image.open(Scene.load(toy_scene).frames.images[0])
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        photo.save(tmp_path / name / "1.png")
    poses = tmp_path / "poses.txt"
    result = run(embedded, "localize", tmp_path / "a", tmp_path / "b", "--method", "nearest", "--poses", poses)
    assert result.exit_code == 0, result.output
    assert read_pose_file(poses).names == ((tmp_path / "a/1.png").as_posix(), (tmp_path / "b/1.png").as_posix())


def test_a_bad_photo_among_good_ones_costs_the_exit_code_only(embedded: Path, toy_scene: Path, tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_text("no")
    Image.open(Scene.load(toy_scene).frames.images[0]).save(tmp_path / "a.png")
    result = run(embedded, "localize", tmp_path, "--method", "nearest", "--json")
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 1
    assert "1 of 2 images failed; first:" in result.stderr
    assert "b.jpg is not an image" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["embed", "nowhere"], "no scene 'nowhere'"),
        (["embed", "SCENE", "--encoder", "tinny"], "did you mean 'tiny'"),
        (["embed", "SCENE", "--encoder", "tiny", "--precision", "fp8"], "fp32, bf16, fp16"),
        (["embed", "SCENE", "--encoder", "tiny", "--augmentations", "-1"], "augmentations is -1"),
        (["embed", "SCENE", "--encoder", "tiny", "--hue", "2"], "hue is 2"),
        (["embed", "SCENE", "--encoder", "tiny", "--max-side", "0"], "max_side is 0"),
        (["embed", "SCENE", "--encoder", "tiny"], "augmentations 1 instead of 10"),
        (["index", "nowhere"], "no embeddings file"),
        (["index", "toy", "--kind", "tree"], "flat, ivfpq, hnsw"),
        (["localize", "gone.jpg"], "no image gone.jpg"),
        (["localize", "gone.jpg", "--method", "bdy"], "did you mean 'bdi'"),
        (["localize", "gone.jpg", "--method", "bdi:k=99"], "no image gone.jpg"),
        (["localize", "gone.jpg", "--method", "irpnet"], "irploc train-mlp"),
        (["localize", "gone.jpg", "--scene", "attic"], "attic.h5"),
    ],
)
def test_wrong_input_leaves_one_line_and_exit_code_one(
    embedded: Path, toy_scene: Path, arguments: list[str], words: str
) -> None:
    result = run(embedded, *[str(toy_scene) if word == "SCENE" else word for word in arguments])
    assert result.exit_code == 1, result.output
    message = result.stderr.strip().splitlines()[-1]
    assert message.startswith("Error: ")
    assert words in message
    assert "Traceback" not in result.output


def test_an_empty_folder_is_refused(embedded: Path, tmp_path: Path) -> None:
    result = run(embedded, "localize", tmp_path)
    assert (result.exit_code, "has no images" in result.stderr) == (1, True)


def test_methods_lists_every_method_with_its_defaults() -> None:
    text = CliRunner().invoke(main, ["methods"]).output
    assert "csi:k=20:alpha=8" in text
    rows = json.loads(CliRunner().invoke(main, ["methods", "--json"]).output)
    assert {row["name"] for row in rows} >= {"nearest", "ewb", "csi", "bdi", "irpnet", "mlp"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_embedding_cleanly_with_what_was_done_kept(tmp_path: Path, number: signal.Signals) -> None:
    tiny_place.make_scene(tmp_path, train=30)
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # background jobs are born ignoring it
        "import sys; sys.path.insert(0, sys.argv[1]); import tiny_place\n"
        "from irploc.cli import main; from irploc.encoders import ENCODERS, EncoderEntry\n"
        "ENCODERS.register('tiny')(EncoderEntry(lambda name, options: tiny_place.TinyEncoder(0.2), 16, 'test'))\n"
        "main(['--workspace', sys.argv[2], 'embed', sys.argv[2] + '/scene', '--encoder', 'tiny', '--batch-size', '2',"
        " '--augmentations', '0'])\n"
    )
    command = [sys.executable, "-c", code, str(Path(tiny_place.__file__).parent), str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    store = tmp_path / "embeddings" / "tiny.h5"
    deadline = time.monotonic() + 60
    while not store.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(1.2)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1, stderr
    assert "run the same command again" in stderr
    assert "Traceback" not in stderr
    from irploc.retrieval.store import EmbeddingStore

    with EmbeddingStore.open(store, complete=False) as opened:
        assert 0 < opened.done.sum() < 33


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["localize", ""], "the path is empty"),
        (["embed", "toy", "--seed", "-1"], "--seed"),
        (["train-mlp", "toy", "--seed", "99999999999999999999"], "--seed"),
        (["evaluate", "toy", "--methods", ""], "empty item"),
    ],
)
def test_values_that_mean_nothing_are_wrong_usage(embedded: Path, arguments: list[str], complaint: str) -> None:
    result = run(embedded, *arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr


def test_a_closed_stdout_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python sets it to None when a shell closes it (``>&-``)."""
    monkeypatch.setattr(sys, "stdout", None)
    assert not stdout_is_terminal()
