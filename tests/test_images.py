"""Photos of every kind become upright RGB, and what is no photo is refused in one line."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irploc.errors import BadInput, IrplocError, NotFound
from irploc.images import (
    EncodedPhoto,
    JitterOptions,
    NotAnImage,
    TooManyPixels,
    decode_image,
    decoded_size,
    jitter_image,
    list_images,
    resize_to_max_side,
    to_array,
    upright_rgb,
)

# Four flat quarters, red, green / blue, white: which way is up can be read off the corners.
QUARTERS = np.kron(
    np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], dtype=np.uint8),
    np.ones((8, 12, 1), dtype=np.uint8),
)
SHADES = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def pixels(path: Path) -> np.ndarray:
    image = decode_image(path)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def png(header: bytes, body: bytes) -> bytes:
    """A PNG file by hand."""
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    parts = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def photo(seed: int = 0, width: int = 32, height: int = 24) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8))


# --- kinds of images ---


def test_an_rgb_photo_keeps_its_pixels(tmp_path: Path) -> None:
    np.testing.assert_array_equal(pixels(saved(tmp_path / "a.png", Image.fromarray(QUARTERS))), QUARTERS)


def test_a_grey_image_gets_three_equal_channels(tmp_path: Path) -> None:
    np.testing.assert_array_equal(
        pixels(saved(tmp_path / "a.png", Image.fromarray(SHADES))), np.stack([SHADES] * 3, axis=-1)
    )


def test_a_sixteen_bit_grey_image_is_scaled_not_cut(tmp_path: Path) -> None:
    deep = Image.fromarray(SHADES.astype(np.uint16) * 257)
    assert deep.mode == "I;16"
    for name in ("a.png", "a.tif"):
        np.testing.assert_array_equal(pixels(saved(tmp_path / name, deep))[..., 0], SHADES)


def test_a_sixteen_bit_grey_image_is_converted_in_little_memory() -> None:
    deep = Image.new("I;16", (1000, 1000), 40_000)
    tracemalloc.start()
    try:
        upright_rgb(deep)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * 1000 * 1000


def test_a_sixteen_bit_colour_image_is_accepted(tmp_path: Path) -> None:
    # Pillow cannot write one: 1x1, RGB = (0xffff, 0x8080, 0).
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(png(header, zlib.compress(b"\x00\xff\xff\x80\x80\x00\x00")))
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), [[[255, 128, 0]]])


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    layers = np.zeros((1, 3, 4), dtype=np.uint8)
    layers[0, :, 3] = [0, 255, 128]
    found = pixels(saved(tmp_path / "a.png", Image.fromarray(layers)))[0, :, 0]
    np.testing.assert_allclose(found, [255, 0, 127], atol=1)
    grey = Image.fromarray(np.dstack([np.zeros((1, 2), np.uint8), np.array([[0, 255]], np.uint8)]), "LA")
    np.testing.assert_array_equal(pixels(saved(tmp_path / "b.png", grey))[0, :, 0], [255, 0])


def test_a_palette_with_a_transparent_colour_is_laid_over_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    np.testing.assert_array_equal(pixels(saved(tmp_path / "plain.png", image)), [[[10, 20, 30], [200, 100, 50]]])
    see_through = saved(tmp_path / "clear.png", image, transparency=0)
    np.testing.assert_array_equal(pixels(see_through), [[[255, 255, 255], [200, 100, 50]]])


def test_a_cmyk_jpeg_keeps_its_colours(tmp_path: Path) -> None:
    found = pixels(saved(tmp_path / "a.jpg", Image.fromarray(QUARTERS).convert("CMYK"), quality=95))
    for row, column in ((3, 5), (3, 18), (12, 5), (12, 18)):
        assert np.abs(found[row, column] - QUARTERS[row, column].astype(int)).max() < 20, (row, column)


def test_black_and_white_float_and_tiny_images_are_accepted(tmp_path: Path) -> None:
    bits = saved(tmp_path / "bits.png", Image.fromarray(np.array([[True, False]])))
    np.testing.assert_array_equal(pixels(bits)[0, :, 0], [255, 0])
    floats = saved(tmp_path / "floats.tif", Image.fromarray(np.array([[0.0, 0.5, 1.0, np.nan]], dtype=np.float32)))
    np.testing.assert_allclose(pixels(floats)[0, :, 0], [0, 127, 255, 0], atol=1)
    tiny = saved(tmp_path / "tiny.png", Image.new("RGB", (1, 1), (1, 2, 3)))
    np.testing.assert_array_equal(pixels(tiny), [[[1, 2, 3]]])
    assert decode_image(tiny, max_side=320).size == (1, 1)


# --- orientation ---


@pytest.mark.parametrize(
    ("orientation", "corners"),
    [  # the upright picture's corners: top left, top right, bottom left, bottom right
        (1, "rgbw"),
        (2, "grwb"),
        (3, "wbgr"),
        (4, "bwrg"),
        (5, "rbgw"),
        (6, "brwg"),
        (7, "wgbr"),
        (8, "gwrb"),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_photos_are_turned_upright(tmp_path: Path, orientation: int, corners: str, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(QUARTERS), exif=exif, **options)
    found = pixels(path)
    assert found.shape[:2] == ((16, 24) if orientation < 5 else (24, 16))
    assert decoded_size(path) == (found.shape[1], found.shape[0])
    named = {"r": (255, 0, 0), "g": (0, 255, 0), "b": (0, 0, 255), "w": (255, 255, 255)}
    for letter, place in zip(corners, [(2, 2), (2, -3), (-3, 2), (-3, -3)], strict=True):
        assert np.abs(found[place] - named[letter]).max() < 25, (letter, place)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_leaves_the_photo_as_it_is(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.png", Image.fromarray(QUARTERS), exif=exif)
    np.testing.assert_array_equal(pixels(path), QUARTERS)


def test_damaged_metadata_does_not_spoil_a_photo(tmp_path: Path) -> None:
    exif = b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x02" + b"\x01\x12\x00\x02\x00\x00\xff\xff\xff\xff\xff\xff" * 2
    path = saved(tmp_path / "a.jpg", Image.fromarray(QUARTERS), exif=exif, quality=95)
    assert decode_image(path).size == decoded_size(path) == (24, 16)


# --- what is no photo ---


def truncated(path: Path, image_format: str) -> None:
    content = io.BytesIO()
    photo(width=200, height=150).save(content, image_format)
    path.write_bytes(content.getvalue()[: len(content.getvalue()) // 2])


def declares_a_huge_size(path: Path, width: int = 100_000, height: int = 100_000) -> None:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(png(header, zlib.compress(b"\x00" * 99)))


def test_the_200_megapixels_of_a_phone_are_a_photo_and_more_than_300_are_not(tmp_path: Path) -> None:
    declares_a_huge_size(tmp_path / "phone.png", 16_320, 12_240)
    assert decoded_size(tmp_path / "phone.png") == (16_320, 12_240)
    for side in (20_000, 100_000):
        declares_a_huge_size(tmp_path / "large.png", side, side)
        with pytest.raises(BadInput, match="more than 300,000,000"):
            decoded_size(tmp_path / "large.png")


@pytest.mark.parametrize(
    ("make", "kind", "complaint"),
    [
        (lambda path: None, NotFound, "no image"),
        (lambda path: path.write_bytes(b""), BadInput, r"is empty \(0 bytes\)"),
        (lambda path: path.write_text("not a photo"), BadInput, "is not an image"),
        (lambda path: path.mkdir(), BadInput, "is a folder"),
        (lambda path: truncated(path, "JPEG"), BadInput, "is truncated"),
        (lambda path: truncated(path, "PNG"), BadInput, "truncated|cannot be decoded"),
        (lambda path: truncated(path, "WEBP"), BadInput, "not an image|truncated|cannot be decoded"),
        (declares_a_huge_size, BadInput, "pixels"),
        (lambda path: path.write_bytes(b"\xff\xd8\xff"), BadInput, "not an image|truncated"),
    ],
    ids=["absent", "empty", "text", "folder", "half a JPEG", "half a PNG", "half a WebP", "bomb", "three bytes"],
)
def test_what_is_no_photo_is_refused_in_one_line(
    tmp_path: Path, make: Callable[[Path], None], kind: type, complaint: str
) -> None:
    path = tmp_path / "photo.jpg"
    make(path)
    with pytest.raises(kind, match=complaint) as caught:
        decode_image(path)
    assert "photo.jpg" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_size_of_what_is_no_photo_is_refused_alike(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not a photo")
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(BadInput, match="is not an image"):
        decoded_size(tmp_path / "text.jpg")
    with pytest.raises(BadInput, match="is empty"):
        decoded_size(tmp_path / "empty.jpg")
    with pytest.raises(NotFound, match="no image"):
        decoded_size(tmp_path / "none.jpg")
    with pytest.raises(BadInput, match="folder"):
        decoded_size(tmp_path)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_changed_bytes_give_an_image_or_one_line(tmp_path: Path, image_format: str) -> None:
    rng = np.random.default_rng(7)
    content, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    photo().save(content, image_format, exif=exif)
    path = tmp_path / "damaged"
    for _ in range(150):
        damaged = bytearray(content.getvalue())
        for place in rng.integers(0, min(len(damaged), 400), size=rng.integers(1, 6)):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        for read in (decode_image, decoded_size):
            try:
                read(path)
            except IrplocError as error:
                assert "\n" not in str(error)


# --- size ---


@pytest.mark.parametrize(
    ("size", "max_side", "expected"),
    [
        ((64, 48), None, (64, 48)),
        ((64, 48), 64, (64, 48)),
        ((64, 48), 100, (64, 48)),
        ((64, 48), 32, (32, 24)),
        ((48, 64), 32, (24, 32)),
        ((64, 1), 16, (16, 1)),
        ((640, 479), 320, (320, 240)),
    ],
)
def test_the_longer_side_is_reduced_and_never_enlarged(
    tmp_path: Path, size: tuple, max_side: int | None, expected: tuple
) -> None:
    path = saved(tmp_path / "a.png", Image.new("RGB", size))
    assert decode_image(path, max_side).size == expected
    assert decoded_size(path, max_side) == expected


def test_a_turned_photo_is_reduced_after_turning(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "a.png", Image.new("RGB", (64, 30)), exif=exif)
    assert decode_image(path, 32).size == decoded_size(path, 32) == (15, 32)


def test_reducing_averages_instead_of_picking_pixels() -> None:
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (64, 32)))
    reduced = np.asarray(resize_to_max_side(stripes, 16)).astype(int)
    assert np.abs(reduced - 127).max() < 20


def test_arrays_have_the_channels_first() -> None:
    array = to_array(Image.fromarray(QUARTERS))
    assert (array.shape, array.dtype, array.flags.c_contiguous) == ((3, 16, 24), np.uint8, True)
    assert array[:, 0, 0].tolist() == [255, 0, 0]


def test_images_are_listed_by_path_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "a/1.png", "a/notes.txt", ".cache/3.png", "a/.4.png", "c.tiff"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    assert [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)] == ["a/1.png", "b/2.JPG", "c.tiff"]


# --- jitter ---


def jittered(seed: int = 0, name: str = "a.jpg", version: int = 1, options: JitterOptions | None = None) -> np.ndarray:
    return np.asarray(jitter_image(photo(), options or JitterOptions(), seed, name, version)).astype(int)


def test_version_zero_is_the_photo_itself() -> None:
    image = photo()
    assert jitter_image(image, JitterOptions(), 5, "a.jpg", 0) is image


def test_a_version_depends_on_seed_name_and_number_and_on_nothing_else() -> None:
    first = jittered()
    for version in (3, 2):
        jittered(version=version)
    np.random.default_rng(1).random()
    np.testing.assert_array_equal(jittered(), first)
    for other in (jittered(seed=1), jittered(name="b.jpg"), jittered(version=2)):
        assert np.abs(other - first).mean() > 1


def test_the_jitter_changes_colours_and_leaves_places() -> None:
    found = jittered()
    original = np.asarray(photo()).astype(int)
    assert np.abs(found - original).mean() > 2
    assert np.corrcoef(found.ravel(), original.ravel())[0, 1] > 0.8
    assert found.shape == original.shape


def test_no_spread_is_no_jitter() -> None:
    options = JitterOptions(brightness=0, contrast=0, saturation=0, hue=0)
    assert np.abs(jittered(options=options) - np.asarray(photo()).astype(int)).mean() < 1.5  # hue goes through HSV and back


def test_a_brightness_factor_is_drawn_from_its_range() -> None:
    options = JitterOptions(brightness=0.4, contrast=0, saturation=0, hue=0)
    grey = Image.new("RGB", (4, 4), (100, 100, 100))
    levels = np.array([np.asarray(jitter_image(grey, options, 0, "a.jpg", version)).mean() for version in range(1, 60)])
    assert 59 <= levels.min() < 70
    assert 130 < levels.max() <= 141


@pytest.mark.parametrize("bad", [{"hue": 0.6}, {"brightness": -0.1}, {"contrast": 1.5}, {"saturation": float("nan")}])
def test_ranges_that_cannot_be_are_refused(bad: dict) -> None:
    with pytest.raises(BadInput, match="must lie in"):
        JitterOptions(**bad)


# --- files in memory ---


def encoded(name: str, image: Image.Image, kind: str = "JPEG", **limits: object) -> EncodedPhoto:
    stream = io.BytesIO()
    image.save(stream, kind)
    return EncodedPhoto(name, stream.getvalue(), **limits)  # type: ignore[arg-type]


def test_a_photo_in_memory_is_decoded_like_its_file(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "a.jpg", photo(), exif=exif)
    in_memory = EncodedPhoto("a.jpg", path.read_bytes())
    assert np.array_equal(np.asarray(decode_image(in_memory)), np.asarray(decode_image(path)))
    assert decode_image(in_memory).size == (24, 32)


def test_a_photo_in_memory_is_refused_by_its_own_limit_before_it_is_decoded() -> None:
    blank = encoded("wide.png", Image.new("1", (10_000, 10_000)), "PNG", max_pixels=50_000_000)
    with pytest.raises(TooManyPixels, match=r"^wide\.png has 10000x10000 pixels, more than 50,000,000$"):
        decode_image(blank)


def test_a_photo_in_memory_of_a_format_that_is_not_allowed_is_no_image() -> None:
    with pytest.raises(NotAnImage, match=r"^a\.bmp is not an image of a known kind \(JPEG, PNG\)$"):
        decode_image(encoded("a.bmp", photo(), "BMP", formats=("JPEG", "PNG")))


@pytest.mark.parametrize(("content", "kind"), [(b"", NotAnImage), (b"not a photo", NotAnImage)])
def test_what_is_no_image_in_memory_is_told_by_its_kind(content: bytes, kind: type[BadInput]) -> None:
    with pytest.raises(kind, match=r"^notes\.jpg is "):
        decode_image(EncodedPhoto("notes.jpg", content))


def test_a_name_in_memory_is_never_taken_for_a_path(tmp_path: Path) -> None:
    path = saved(tmp_path / "real.png", photo())
    with pytest.raises(NotAnImage):
        decode_image(EncodedPhoto(str(path), b""))
