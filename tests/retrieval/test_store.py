from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from tiny_place import TinyEncoder, make_scene

from irploc.errors import BadInput, Busy, IrplocError, Mismatch, NotFound
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.retrieval.store import EmbeddingStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "tiny.h5"
    embed_scene(make_scene(tmp_path), tmp_path / "scene", target, TinyEncoder(), EmbedOptions(augmentations=2))
    return target


def test_vectors_are_of_unit_length_in_float32(path: Path) -> None:
    with EmbeddingStore.open(path) as store:
        vectors = store.vectors()
        some = store.vectors(np.array([3, 1]))
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert np.array_equal(some, vectors[[3, 1]])


def test_no_file_says_which_command_makes_it(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="irploc embed"):
        EmbeddingStore.open(tmp_path / "absent.h5")


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95, 0.999])
def test_a_truncated_file_is_refused_by_name(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(BadInput, match=r"tiny\.h5 is truncated"):
        EmbeddingStore.open(path)


def test_a_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.h5").write_text("hello " * 1000)
    with pytest.raises(BadInput, match="not an HDF5 file"):
        EmbeddingStore.open(tmp_path / "notes.h5")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.h5").touch()
    with pytest.raises(IrplocError, match=r"empty\.h5"):
        EmbeddingStore.open(tmp_path / "empty.h5")


def test_a_foreign_hdf5_file_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["global_descriptor"] = np.zeros((3, 4096))
    with pytest.raises(Mismatch, match="not an irploc-embeddings file"):
        EmbeddingStore.open(tmp_path / "foreign.h5")


def test_another_format_version_is_refused(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 99
    with pytest.raises(Mismatch, match="version 99"):
        EmbeddingStore.open(path)


def test_a_store_that_lost_a_dataset_is_called_damaged(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["poses"]
    with pytest.raises(BadInput, match="damaged"):
        EmbeddingStore.open(path)


def test_vectors_that_are_not_finite_are_called_damage(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["embeddings"][2, 0, 5] = np.nan
    with EmbeddingStore.open(path) as store, pytest.raises(BadInput, match="not finite"):
        store.vectors()


def test_a_store_that_is_being_written_is_busy(path: Path) -> None:
    writer = EmbeddingStore.open_for_writing(path)
    code = (
        "import sys; from pathlib import Path\n"
        "from irploc.errors import Busy; from irploc.retrieval.store import EmbeddingStore\n"
        "try: EmbeddingStore.open(Path(sys.argv[1]))\n"
        "except Busy as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True).stdout
    writer.close()
    assert "another process" in said


def test_too_little_room_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 10})())
    with pytest.raises(BadInput, match="MB free"):
        embed_scene(make_scene(tmp_path), tmp_path, tmp_path / "x.h5", TinyEncoder(), EmbedOptions(augmentations=2))
    assert not (tmp_path / "x.h5").exists()


def test_a_disk_that_fills_up_leaves_the_old_store_valid(path: Path, tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands for the full disk: writing beyond it fails like writing to a full one."""
    make_scene(tmp_path, train=60, test=5)
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from tiny_place import TinyEncoder; from irploc.scene import Scene\n"
        "from irploc.errors import BadInput; from irploc.retrieval.embed import embed_scene\n"
        "from irploc.retrieval.plan import EmbedOptions\n"
        "folder = Path(sys.argv[1]); signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (12000, 12000))\n"
        "try: embed_scene(Scene.load(folder), folder, Path(sys.argv[2]), TinyEncoder(), EmbedOptions(augmentations=2))\n"
        "except BadInput as error: print(error)\n"
    )
    before = path.read_bytes()
    assert len(before) < 60 * 3 * 16 * 2 + 12000, resource.RLIMIT_FSIZE
    command = [sys.executable, "-c", code, str(tmp_path / "scene"), str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "no space left" in said
    assert path.read_bytes() == before
    assert not list(tmp_path.glob(".tiny*"))


def test_busy_is_an_error_users_can_mend() -> None:
    assert issubclass(Busy, IrplocError)
