"""A PLY file that is moved keeps all that is not a coordinate."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from irploc.errors import BadInput, NotFound
from irploc.ply import move_ply, read_ply

HEADER = "ply\nformat {} 1.0\ncomment x\nelement vertex 2\n{}property uchar red\nproperty uchar green\nproperty uchar blue\n"
XYZ = "property float x\nproperty float y\nproperty float z\n"
FACES = "element face 1\nproperty list uchar int vertex_indices\n"


def up_by_one(points: np.ndarray) -> np.ndarray:
    return points + np.array([0.0, 0.0, 1.0])


def turned(directions: np.ndarray) -> np.ndarray:
    return directions[:, [1, 0, 2]]


def moved(path: Path, content: bytes) -> bytes:
    path.write_bytes(content)
    target = path.with_name("moved.ply")
    move_ply(path, target, up_by_one, turned)
    return target.read_bytes()


@pytest.mark.parametrize(("layout", "order"), [("binary_little_endian", "<"), ("binary_big_endian", ">")])
def test_coordinates_become_doubles_and_the_rest_stays_byte_by_byte(tmp_path: Path, layout: str, order: str) -> None:
    head = HEADER.format(layout, XYZ) + FACES + "end_header\n"
    face = struct.pack(order + "Biii", 3, 0, 1, 0)
    rows = struct.pack(order + "fffBBB", 1, 2, 3, 7, 8, 9) + struct.pack(order + "fffBBB", -1, 0.5, 0, 1, 2, 3)
    new = struct.pack(order + "dddBBB", 1, 2, 4, 7, 8, 9) + struct.pack(order + "dddBBB", -1, 0.5, 1, 1, 2, 3)
    expected = head.replace("float", "double").encode() + new + face
    assert moved(tmp_path / "a.ply", head.encode() + rows + face) == expected


def test_text_stays_text(tmp_path: Path) -> None:
    head = HEADER.format("ascii", XYZ) + FACES + "end_header\n"
    content = moved(tmp_path / "a.ply", head.encode() + b"1 2 3 7 8 9\n-1 0.5 0 1 2 3\n3 0 1 0\n")
    assert content.endswith(b"\n3 0 1 0\n")
    points, colors = read_ply(tmp_path / "moved.ply")
    np.testing.assert_array_equal(points, [[1, 2, 4], [-1, 0.5, 1]])
    np.testing.assert_array_equal(colors, [[7, 8, 9], [1, 2, 3]])


def test_normals_turn_and_do_not_shift(tmp_path: Path) -> None:
    normals = XYZ + XYZ.replace(" x", " nx").replace(" y", " ny").replace(" z", " nz")
    head = HEADER.format("binary_little_endian", normals) + "end_header\n"
    rows = 2 * struct.pack("<ffffffBBB", 1, 2, 3, 0, 1, 0, 7, 8, 9)
    assert moved(tmp_path / "a.ply", head.encode() + rows).endswith(struct.pack("<ddddddBBB", 1, 2, 4, 1, 0, 0, 7, 8, 9))


def test_what_is_no_cloud_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="ends early"):
        moved(tmp_path / "a.ply", (HEADER.format("ascii", XYZ) + "end_header\n1 2 3 7 8 9\n").encode())
    with pytest.raises(BadInput, match="is not a PLY file"):
        moved(tmp_path / "a.ply", b"nothing")
    with pytest.raises(NotFound):
        move_ply(tmp_path / "none.ply", tmp_path / "moved.ply", up_by_one, turned)
