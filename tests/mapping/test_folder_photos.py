"""Photos of a folder: upright for COLMAP, untouched where they lie; and crops of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irploc.errors import BadInput
from irploc.mapping.photos import crops_of, named, photos_of_folder
from irploc.progress import Silent

ORIENTATION, FOCAL_35 = 0x0112, 0xA405


def save(path: Path, size: tuple[int, int] = (40, 30), orientation: int | None = None) -> None:
    """A photo whose upper left quarter, as stored, is white."""
    pixels = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    pixels[: size[1] // 2, : size[0] // 2] = 255
    exif = Image.Exif()
    if orientation is not None:
        exif[ORIENTATION] = orientation
        exif.get_ifd(0x8769)[FOCAL_35] = 28
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=exif, quality=95)


def test_upright_photos_are_taken_where_they_are(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.jpg"):
        save(tmp_path / "walk" / name)
    found = photos_of_folder(tmp_path / "walk", tmp_path / "work", Silent())
    assert (found.names, found.sequences) == (("a.jpg", "b.jpg"), ("walk", "walk"))
    assert found.root == found.readable == tmp_path / "walk"
    assert not (tmp_path / "work").exists()


def test_each_folder_is_a_walk(tmp_path: Path) -> None:
    for name in ("one/a.jpg", "two/a.jpg", "two/b.jpg"):
        save(tmp_path / name)
    assert photos_of_folder(tmp_path, tmp_path / "work", Silent()).sequences == ("one", "two", "two")


def test_turned_photos_get_upright_copies_with_their_focal_length(tmp_path: Path) -> None:
    save(tmp_path / "walk/plain.jpg", (30, 40))
    save(tmp_path / "walk/turned.jpg", (40, 30), orientation=6)
    before = {path: path.read_bytes() for path in (tmp_path / "walk").iterdir()}
    found = photos_of_folder(tmp_path / "walk", tmp_path / "work", Silent())
    assert found.root == tmp_path / "walk"
    assert {path: path.read_bytes() for path in (tmp_path / "walk").iterdir()} == before
    with Image.open(found.readable / found.files[found.names.index("turned.jpg")]) as upright:
        assert upright.size == (30, 40)
        assert upright.getexif().get(ORIENTATION, 1) == 1
        assert upright.getexif().get_ifd(0x8769)[FOCAL_35] == 28
        pixels = np.asarray(upright)
    assert pixels[:18, 17:].min() > 200  # the stored upper left is the upright upper right
    assert pixels[22:].max() < 50
    assert (found.readable / found.files[found.names.index("plain.jpg")]).read_bytes() == before[tmp_path / "walk/plain.jpg"]


def test_what_cannot_be_read_is_left_out_with_the_reason(tmp_path: Path) -> None:
    save(tmp_path / "good.jpg")
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    save(tmp_path / "modern.webp")
    found = photos_of_folder(tmp_path, tmp_path / "work", Silent())
    assert found.names == ("good.jpg",)
    assert [item.image for item in found.left_out] == ["bad.jpg", "modern.webp"]
    assert ".webp files cannot be mapped: save it as JPEG or PNG" in found.left_out[1].reason


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no photos"):
        photos_of_folder(tmp_path, tmp_path / "work", Silent())
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    with pytest.raises(BadInput, match=r"none of the 1 photos in .* can be read; first: "):
        photos_of_folder(tmp_path, tmp_path / "work", Silent())


def test_crops_are_the_centre_at_seven_eighths(tmp_path: Path) -> None:
    pixels = np.zeros((160, 320, 3), dtype=np.uint8)
    pixels[:, 100:220] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    crops_of([tmp_path / "wide.png"], ["seq/wide.png"], tmp_path / "crops", 112, Silent())
    with Image.open(tmp_path / "crops/seq/wide.jpg") as crop:
        assert crop.size == (112, 112)
        row = np.asarray(crop)[56, :, 0]
    # scaled to 256x128, the centre crop starts at column 72: white from 100 * 0.8 - 72 = 8 to 220 * 0.8 - 72 = 104
    assert row[:6].max() < 60
    assert row[11:101].min() > 200
    assert row[107:].max() < 60


def test_tiny_crops_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="crops of 8 pixels are not possible"):
        crops_of([], [], tmp_path, 8, Silent())


def test_numbers_without_zeros_in_front_sort_as_they_were_taken(tmp_path: Path) -> None:
    for name in ("IMG_10.jpg", "IMG_9.jpg", "b/IMG_2.jpg", "IMG_100.jpg", "b/IMG_11.jpg"):
        save(tmp_path / name)
    found = photos_of_folder(tmp_path, tmp_path / "work", Silent())
    assert found.names == ("IMG_9.jpg", "IMG_10.jpg", "IMG_100.jpg", "b/IMG_2.jpg", "b/IMG_11.jpg")


def test_names_that_colmap_cannot_list_get_others(tmp_path: Path) -> None:
    for name in ("my walk/WhatsApp Image (1).jpg", "my walk/#2.jpg", "plain.jpg"):
        save(tmp_path / name)
    found = photos_of_folder(tmp_path, tmp_path / ".work", Silent())
    assert set(found.names) == {"my walk/WhatsApp Image (1).jpg", "my walk/#2.jpg", "plain.jpg"}
    assert all(" " not in file and "#" not in file for file in found.files)
    for name, file in zip(found.names, found.files, strict=True):
        assert (found.readable / file).read_bytes() == (tmp_path / name).read_bytes()
    assert named(found, found.files[1:]) == found.names[1:]
