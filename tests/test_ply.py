"""PLY files, written here byte by byte."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from irploc.errors import BadInput, NotFound
from irploc.ply import read_ply

XYZ = "property float x\nproperty float y\nproperty float z\n"
RGB = "property uchar red\nproperty uchar green\nproperty uchar blue\n"


def header(layout: str, count: int, properties: str, more: str = "") -> bytes:
    return f"ply\nformat {layout} 1.0\ncomment by hand\nelement vertex {count}\n{properties}{more}end_header\n".encode()


def write(folder: Path, content: bytes) -> Path:
    path = folder / "a.ply"
    path.write_bytes(content)
    return path


def test_text_without_colours(tmp_path: Path) -> None:
    points, colors = read_ply(write(tmp_path, header("ascii", 2, XYZ) + b"1 2 3\n-4.5 5e-1 6\n"))
    np.testing.assert_array_equal(points, [[1, 2, 3], [-4.5, 0.5, 6]])
    assert points.dtype == np.float64 and colors is None


@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["unix", "dos"])
def test_text_with_colours_and_other_columns(tmp_path: Path, ending: str) -> None:
    content = header("ascii", 2, "property int label\n" + XYZ + RGB) + b"7 1 2 3 10 20 255\n8 4 5 6 0 1 2\n"
    points, colors = read_ply(write(tmp_path, content.replace(b"\n", ending.encode())))
    np.testing.assert_array_equal(points, [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(colors, [[10, 20, 255], [0, 1, 2]])


@pytest.mark.parametrize(("layout", "order"), [("binary_little_endian", "<"), ("binary_big_endian", ">")])
def test_binary_in_both_byte_orders(tmp_path: Path, layout: str, order: str) -> None:
    rows = [struct.pack(order + "dddHBBB", 1.5, -2, 3, 9, 10, 20, 30), struct.pack(order + "dddHBBB", 4, 5, 6, 9, 0, 0, 255)]
    properties = XYZ.replace("float", "double") + "property ushort quality\n" + RGB
    points, colors = read_ply(write(tmp_path, header(layout, 2, properties) + b"".join(rows)))
    np.testing.assert_array_equal(points, [[1.5, -2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(colors, [[10, 20, 30], [0, 0, 255]])


def test_faces_of_a_mesh_are_not_points(tmp_path: Path) -> None:
    faces = "element face 1\nproperty list uchar int vertex_indices\n"
    points, _ = read_ply(write(tmp_path, header("ascii", 3, XYZ, faces) + b"0 0 1\n1 0 1\n0 1 1\n3 0 1 2\n"))
    assert len(points) == 3


def test_elements_before_the_vertices_are_passed_over(tmp_path: Path) -> None:
    text = "ply\nformat binary_little_endian 1.0\nelement camera 1\nproperty int id\n"
    content = f"{text}element vertex 1\n{XYZ}end_header\n".encode() + struct.pack("<ifff", 99, 1, 2, 3)
    np.testing.assert_array_equal(read_ply(write(tmp_path, content))[0], [[1, 2, 3]])


def test_colours_as_fractions_become_bytes(tmp_path: Path) -> None:
    content = header("ascii", 2, XYZ + RGB.replace("uchar", "float")) + b"0 0 1 0 0.5 1\n0 0 1 1 1 1\n"
    np.testing.assert_array_equal(read_ply(write(tmp_path, content))[1], [[0, 128, 255], [255, 255, 255]])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is not a PLY file"),
        (b"\xff\xd8\xff\xe0 a photo", "is not a PLY file"),
        (header("ascii", 3, XYZ) + b"1 2 3\n4 5\n", "ends early: it has 1 of 3 vertex rows"),
        (header("binary_little_endian", 3, XYZ) + b"\0" * 30, "ends early: it has 2 of 3 vertex rows"),
        (header("ascii", 1, XYZ) + b"a b c\n", "rows with words that are no numbers"),
        (header("ascii", 1, XYZ.replace("float z", "float depth")) + b"1 2 3\n", "its vertices have no z"),
        (header("ascii", 1, XYZ.replace("float z", "quark z")), "header line that is not PLY: 'property quark z'"),
        (b"ply\nformat ascii 1.0\n", "has no end_header"),
        (b"ply\nelement vertex 1\nend_header\n", "does not say its format"),
        (b"ply\nformat ascii 1.0\nend_header\n", "has no vertices"),
        (header("ascii", 1, "property list uchar float x\n"), "has lists before or in the vertices"),
        (header("binary_big_endian", 10**18, XYZ) + b"\0" * 12, "ends early: it has 1 of 10{18} vertex rows"),
        (header("ascii", 10**18, XYZ) + b"1 2 3\n", "ends early: it has 1 of 10{18} vertex rows"),
        (header("ascii", -1, XYZ), "header line that is not PLY"),
    ],
)
def test_what_is_no_cloud_is_refused_in_one_line(tmp_path: Path, content: bytes, problem: str) -> None:
    with pytest.raises(BadInput, match=problem) as caught:
        read_ply(write(tmp_path, content))
    assert "\n" not in str(caught.value) and "a.ply" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no point cloud .*b\.ply"):
        read_ply(tmp_path / "b.ply")
