"""Label tables: every convention by hand, in every usual layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from known_cameras import CAM_FROM_WORLD_WXYZ, CENTERS_M, TVEC_M, WORLD_FROM_CAM_WXYZ, H, check_poses

from irploc.errors import BadInput, NotFound
from irploc.readers import READERS, ReadOptions

read = READERS.get("csv")
HEADER = ["image", "tx", "ty", "tz", "qw", "qx", "qy", "qz"]
# The known cameras with OpenGL axes: turned by half a turn about the camera's x, that is q * (0, 1, 0, 0).
OPENGL_WXYZ = np.array([[0.5, 0.5, -0.5, -0.5], [0, H, H, 0]])


def write(
    path: Path, translations: np.ndarray, quats: np.ndarray, separator: str = ",", header: list[str] | None = None
) -> Path:
    lines = [separator.join(HEADER if header is None else header)] if header != [] else []
    for number, (t, q) in enumerate(zip(translations, quats, strict=True)):
        lines.append(separator.join([f"walk/{number:03d}.jpg", *(repr(float(value)) for value in (*t, *q))]))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("convention", "translations", "quats"),
    [
        ("world_from_cam", CENTERS_M, WORLD_FROM_CAM_WXYZ),
        ("cam_from_world", TVEC_M, CAM_FROM_WORLD_WXYZ),
        ("center_cam_from_world", CENTERS_M, CAM_FROM_WORLD_WXYZ),
        ("world_from_cam,opengl", CENTERS_M, OPENGL_WXYZ),
    ],
)
def test_known_cameras_in_every_convention(
    tmp_path: Path, convention: str, translations: np.ndarray, quats: np.ndarray
) -> None:
    imported = read(write(tmp_path / "poses.csv", translations, quats), ReadOptions(convention=convention))
    check_poses(imported.frames.poses, [0, 1])
    assert imported.frames.names == ("walk/000.jpg", "walk/001.jpg")
    assert imported.frames.images[0] == tmp_path / "walk/000.jpg"
    assert convention in imported.ground_truth
    assert not imported.defines_split


def test_reading_with_the_wrong_convention_gives_other_cameras(tmp_path: Path) -> None:
    table = write(tmp_path / "poses.csv", TVEC_M, CAM_FROM_WORLD_WXYZ)
    with pytest.raises(AssertionError):
        check_poses(read(table, ReadOptions()).frames.poses, [0, 1])


@pytest.mark.parametrize("separator", [",", ";", "\t", " ", ", "])
def test_the_usual_separators(tmp_path: Path, separator: str) -> None:
    table = write(tmp_path / "poses.csv", CENTERS_M, WORLD_FROM_CAM_WXYZ, separator)
    check_poses(read(table, ReadOptions()).frames.poses, [0, 1])


def test_column_names_tell_the_order(tmp_path: Path) -> None:
    header = ["name", "qx", "qy", "qz", "qw", "tz", "ty", "tx"]
    table = write(
        tmp_path / "poses.csv",
        WORLD_FROM_CAM_WXYZ[:, 1:],
        np.concatenate([WORLD_FROM_CAM_WXYZ[:, :1], CENTERS_M[:, ::-1]], axis=1),
        header=header,
    )
    check_poses(read(table, ReadOptions()).frames.poses, [0, 1])


def test_a_table_without_column_names_has_the_scalar_first_unless_told(tmp_path: Path) -> None:
    first = write(tmp_path / "first.csv", CENTERS_M, WORLD_FROM_CAM_WXYZ, header=[])
    check_poses(read(first, ReadOptions()).frames.poses, [0, 1])
    last = write(tmp_path / "last.csv", CENTERS_M, WORLD_FROM_CAM_WXYZ[:, [1, 2, 3, 0]], header=[])
    check_poses(read(last, ReadOptions(convention="world_from_cam,xyzw")).frames.poses, [0, 1])


def test_sequence_index_split_and_intrinsics_are_used(tmp_path: Path) -> None:
    table = tmp_path / "poses.csv"
    table.write_text(
        "image,sequence,index,split,model,width,height,params,tx,ty,tz,qw,qx,qy,qz\n"
        "a.jpg,walk1,40,train,PINHOLE,64,48,50 51 32 24,0,0,0,1,0,0,0\n"
        "b.jpg,walk2,7,validation,PINHOLE,64,48,50 51 32 24,0,0,0,1,0,0,0\n"
        "c.jpg,walk2,8,test,,,,,0,0,0,1,0,0,0\n"
    )
    imported = read(table, ReadOptions())
    assert imported.frames.sequences.tolist() == ["walk1", "walk2", "walk2"]
    assert imported.frames.indices.tolist() == [40, 7, 8]
    assert imported.frames.splits.tolist() == ["train", "validation", "test"]
    assert imported.frames.cameras[0] == imported.frames.cameras[1] != ""
    assert imported.frames.cameras[2] == ""
    assert imported.cameras[imported.frames.cameras[0]].params == (50, 51, 32, 24)
    assert imported.defines_split


def test_a_byte_order_mark_quotes_and_comments_do_no_harm(tmp_path: Path) -> None:
    table = tmp_path / "poses.csv"
    table.write_bytes(
        b"\xef\xbb\xbf# from a spreadsheet\r\n" + b"image,tx,ty,tz,qw,qx,qy,qz\r\n" + b'"a, b.jpg",0,0,0,1,0,0,0\r\n'
    )
    assert read(table, ReadOptions()).frames.names == ("a, b.jpg",)


def row(numbers: str) -> str:
    return "image,tx,ty,tz,qw,qx,qy,qz\na.jpg,0,0,0,1,0,0,0\nb.jpg," + numbers + "\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (row("0,0,0,nan,0,0,0"), r"1 of 2 rows have a pose that is not finite; first: .*b.jpg"),
        (row("0,0,0,0,0,0,0"), r"1 of 2 rows have a zero quaternion; first: .*b.jpg"),
        (row("0,0,0,3,0,0,0"), r"1 of 2 rows have a quaternion that is not of unit length; first: .*b.jpg"),
        (row("0,0,x,1,0,0,0"), r"1 of 2 lines hold words where numbers belong; first: line 3"),
        (row("0,0,,1,0,0,0"), r"1 of 2 lines hold words where numbers belong; first: line 3"),
        (row("0,0,0,1"), r"1 of 2 rows do not have 8 cells; first: line 3"),
        ("image,tx,ty,tz\na.jpg,0,0,0\n", r"lacks the columns qw, qx, qy, qz; it has image, tx, ty, tz"),
        ("tx,ty,tz,qw,qx,qy,qz\n0,0,0,1,0,0,0\n", r"lacks the columns image"),
        ("image,tx,ty,tz,qw,qx,qy,qz\n", r"has no rows"),
        ("", r"has no rows"),
        ("a text that is no table\nat all\n", r"lacks the columns"),
        (
            "image,split,tx,ty,tz,qw,qx,qy,qz\na.jpg,query,0,0,0,1,0,0,0\n",
            r"line 2, 'query'; expected one of train, validation, test",
        ),
        ("image,index,tx,ty,tz,qw,qx,qy,qz\na.jpg,one,0,0,0,1,0,0,0\n", r"index is not a whole number"),
        (
            "image,model,width,height,params,tx,ty,tz,qw,qx,qy,qz\na.jpg,PINHOLE,64,48,50 51,0,0,0,1,0,0,0\n",
            r"line 2: PINHOLE takes 4 parameters",
        ),
    ],
)
def test_tables_that_cannot_be_are_refused_in_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "poses.csv").write_text(text)
    with pytest.raises(BadInput, match=complaint) as caught:
        read(tmp_path / "poses.csv", ReadOptions())
    assert "\n" not in str(caught.value)
    assert "poses.csv" in str(caught.value)


@pytest.mark.parametrize("convention", ["camera_from_world", "opengl", "world_from_cam,wxyz", ""])
def test_an_unknown_convention_names_all_that_there_are(tmp_path: Path, convention: str) -> None:
    table = write(tmp_path / "poses.csv", CENTERS_M, WORLD_FROM_CAM_WXYZ)
    with pytest.raises(BadInput, match=r"--convention .* world_from_cam, cam_from_world, center_cam_from_world"):
        read(table, ReadOptions(convention=convention))


def test_a_binary_file_a_folder_and_no_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(bytes(range(256)))
    with pytest.raises(BadInput, match="not a text table"):
        read(tmp_path / "photo.jpg", ReadOptions())
    with pytest.raises(BadInput, match="not a text table"):
        read(tmp_path, ReadOptions())
    with pytest.raises(NotFound, match=r"none.csv"):
        read(tmp_path / "none.csv", ReadOptions())
