"""The result and its file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from irploc.errors import BadInput, IrplocError, Mismatch, NotFound
from irploc.pairs import PairMatrix
from irploc.pairs.matrix import ACCEPTED, LITTLE_DEPTH, MEASURES, TURNED


def some_pairs(names: tuple[str, ...] = ("a.jpg", "b.jpg", "c.jpg", "d.jpg")) -> PairMatrix:
    """(0, 1) and (1, 3) accepted, (0, 2) turned, (2, 3) of little depth."""
    measured = {name: np.full(4, np.nan, dtype=np.float32) for name in MEASURES}
    measured["angle_deg"] = np.array([1, 50, 3, 4], dtype=np.float32)
    return PairMatrix(
        scene="place",
        mapping_fingerprint="abc",
        names=names,
        pairs=np.array([[0, 1], [0, 2], [1, 3], [2, 3]]),
        sources=np.array([1, 1, 2, 3]),
        reasons=np.array([ACCEPTED, TURNED, ACCEPTED, LITTLE_DEPTH]),
        measured=measured,
        settings={"window": 30, "largest_angle_deg": 37.5},
    )


def test_the_matrix_is_symmetric_and_boolean_with_an_empty_diagonal() -> None:
    matrix = some_pairs().matrix()
    assert matrix.dtype == bool
    dense = matrix.toarray()
    assert dense.astype(int).tolist() == [[0, 1, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]]
    assert (dense == dense.T).all()


def test_counts_name_the_reasons_that_took_pairs() -> None:
    assert some_pairs().counts() == {"accepted": 2, "turned too far": 1, "too little depth overlap": 1}


def test_pairs_become_rows_of_another_list_of_photos() -> None:
    assert some_pairs().accepted_among(["d.jpg", "x.jpg", "b.jpg", "a.jpg"]).tolist() == [[2, 3], [0, 2]]
    assert some_pairs().accepted_among(["a.jpg", "b.jpg"]).tolist() == [[0, 1]]


def test_photos_that_share_no_pair_are_refused() -> None:
    with pytest.raises(Mismatch, match="no two of these 2 photos are among the 2 correlated pairs of place"):
        some_pairs().accepted_among(["a.jpg", "d.jpg"])


def test_pairs_of_other_poses_are_refused_by_the_name_of_their_file() -> None:
    some_pairs().check_scene("abc", Path("p.npz"))
    with pytest.raises(Mismatch, match=r"p\.npz was made from other photos or poses"):
        some_pairs().check_scene("abd", Path("p.npz"))


def test_a_file_read_again_is_the_same(tmp_path: Path) -> None:
    names = ("a b.jpg", "ü.jpg", "c.jpg", "d.jpg")
    path = tmp_path / "new" / "pairs.npz"
    some_pairs(names).save(path)
    found = PairMatrix.load(path)
    assert found.names == names
    assert (found.scene, found.mapping_fingerprint, found.settings) == ("place", "abc", dict(some_pairs().settings))
    for name in ("pairs", "sources", "reasons"):
        assert (getattr(found, name) == getattr(some_pairs(), name)).all()
        assert getattr(found, name).dtype == getattr(some_pairs(), name).dtype
    for name in MEASURES:
        np.testing.assert_array_equal(found.measured[name], some_pairs().measured[name])


def test_the_same_pairs_make_the_same_file(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        some_pairs().save(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_file_carries_the_header_of_ours(tmp_path: Path) -> None:
    some_pairs().save(tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz") as archive:
        header = json.loads(str(archive["header"]))
    assert (header["format"], header["version"]) == ("irploc-pairs", 1)
    assert header["reasons"][0] == "accepted"


def test_hloc_reads_one_line_a_pair(tmp_path: Path) -> None:
    some_pairs().save_hloc(tmp_path / "pairs.txt")
    assert (tmp_path / "pairs.txt").read_text() == "a.jpg b.jpg\nb.jpg d.jpg\n"


def test_a_name_with_a_space_cannot_be_told_to_hloc(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"'a b\.jpg' has a space"):
        some_pairs(("a b.jpg", "b.jpg", "c.jpg", "d.jpg")).save_hloc(tmp_path / "pairs.txt")
    assert not list(tmp_path.iterdir())


def test_no_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="irploc pairs SCENE"):
        PairMatrix.load(tmp_path / "absent.npz")


@pytest.mark.parametrize("content", [b"", b"query db\n", b"PK\x03\x04 and so on"])
def test_a_foreign_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.npz").write_bytes(content)
    with pytest.raises(BadInput, match=r"p\.npz was not written by 'irploc pairs', or is damaged"):
        PairMatrix.load(tmp_path / "p.npz")


def test_an_archive_of_someone_else_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", pairs=np.zeros((1, 2)))
    with pytest.raises(BadInput, match="not written by 'irploc pairs'"):
        PairMatrix.load(tmp_path / "p.npz")


def test_another_version_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", header=np.array(json.dumps({"format": "irploc-pairs", "version": 99})))
    with pytest.raises(Mismatch, match="version 99"):
        PairMatrix.load(tmp_path / "p.npz")


def test_a_changed_or_missing_byte_never_goes_unnoticed_or_leaves_a_traceback(tmp_path: Path) -> None:
    some_pairs().save(tmp_path / "p.npz")
    whole = (tmp_path / "p.npz").read_bytes()
    good = PairMatrix.load(tmp_path / "p.npz")
    generator = np.random.default_rng(0)
    refused = 0
    for place in generator.choice(len(whole), 200, replace=False).tolist():
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        (tmp_path / "p.npz").write_bytes(bytes(damaged) if place % 4 else whole[:place])
        try:
            found = PairMatrix.load(tmp_path / "p.npz")
        except IrplocError:
            refused += 1
            continue
        assert (found.pairs == good.pairs).all()
        assert (found.reasons == good.reasons).all()
    assert refused > 100


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pairs", [[0, 1], [0, 2], [3, 1], [2, 3]]),
        ("pairs", [[0, 1], [0, 2], [0, 2], [2, 3]]),
        ("pairs", [[0, 1], [0, 2], [1, 3], [2, 4]]),
        ("reasons", [0, 0, 0, 99]),
        ("reasons", [0, 0, 0]),
        ("names", ("a", "a", "b", "c")),
    ],
)
def test_columns_that_cannot_be_are_a_mistake_of_the_program(name: str, value: object) -> None:
    fields = {**vars(some_pairs()), name: value}
    with pytest.raises(ValueError, match=r"pair|reason|length|twice"):
        PairMatrix(**fields)
