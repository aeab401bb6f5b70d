"""Photos from disk: decoding to upright RGB, resizing, and the colour jitter of the mapping photos."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from irploc.errors import BadInput, NotFound

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
KNOWN = "JPEG, PNG, WebP, TIFF, BMP, PPM"
MAX_PIXELS = 300_000_000
Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # Pillow's own limit refuses the 200 megapixels that phones take
_EXIF_ORIENTATION, _EXIF_TURNED = 0x0112, (5, 6, 7, 8)  # orientations that swap width and height
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow's decoders raise on damaged files, found by changing bytes at random.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, TypeError, struct.error, zlib.error, LookupError, ArithmeticError)
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I")


class NotAnImage(BadInput):
    """A file of no format that is known."""


class TooManyPixels(BadInput):
    """A photo larger than is allowed."""


@dataclass(frozen=True, eq=False)
class EncodedPhoto:
    """An image file that lies in memory, of somebody who is not trusted.

    Attributes:
        name: for messages; never taken for a path.
        content: of the file.
        max_pixels: width times height beyond which it is refused before anything is decoded.
        formats: names of Pillow's decoders that may look at it; None allows all.
    """

    name: str
    content: bytes
    max_pixels: int = MAX_PIXELS
    formats: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return self.name

    def file(self) -> io.BytesIO:
        """Opened anew."""
        return io.BytesIO(self.content)


Photo = Path | EncodedPhoto | Image.Image | np.ndarray  # of a file; or decoded; or (H, W, 3) uint8 RGB


@dataclass(frozen=True)
class JitterOptions:
    """Ranges of the random colour jitter; a factor is drawn from [1 - x, 1 + x], the hue shift from [-hue, hue] turns.

    The IRPNet paper jitters "color, hue and saturation" and publishes no ranges; brightness and contrast are its colour.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.05

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            limit = 0.5 if name == "hue" else 1.0
            if not 0 <= value <= limit:
                raise BadInput(f"jitter {name} is {value}, it must lie in [0, {limit}]")


def decode_image(path: Path | EncodedPhoto, max_side: int | None = None) -> Image.Image:
    """An upright 8-bit RGB photo.

    EXIF orientation is applied; grey, palette, CMYK and 16-bit images are converted, an alpha channel is laid over
    white. With ``max_side`` the longer side is reduced to at most that many pixels, antialiased; never enlarged.

    Raises:
        NotFound: no such file.
        BadInput: the file is empty, truncated, not an image, or larger than ``MAX_PIXELS`` (or than the photo allows).
    """
    with _opened(path) as image:
        upright = upright_rgb(image)
    return resize_to_max_side(upright, max_side)


def upright_rgb(image: Image.Image) -> Image.Image:
    """An opened image turned and converted as ``decode_image`` does; raises what Pillow raises on damaged files."""
    image.load()
    turn = _UPRIGHT.get(_orientation(image))
    converted = _to_rgb(image)
    return converted if turn is None else converted.transpose(turn)


def decoded_size(path: Path | EncodedPhoto, max_side: int | None = None) -> tuple[int, int]:
    """(width, height) that ``decode_image`` will give, from the file's header alone.

    Raises:
        NotFound, BadInput: as ``decode_image``, as far as the header tells.
    """
    with _opened(path) as image:
        width, height = image.size
        turned_by_pillow = image.format == "TIFF"
        if not turned_by_pillow and _orientation(image) in _EXIF_TURNED:
            width, height = height, width
    return _reduced_size(width, height, max_side)


@contextmanager
def _opened(path: Path | EncodedPhoto) -> Iterator[Image.Image]:
    """The opened file; what Pillow says about a damaged one, then or later, becomes one of our errors."""
    most_pixels = path.max_pixels if isinstance(path, EncodedPhoto) else MAX_PIXELS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module="PIL")  # about damaged metadata
            with open_photo(path) as image:
                if image.width * image.height > most_pixels:
                    raise TooManyPixels(f"{path} has {image.width}x{image.height} pixels, more than {most_pixels:,}")
                yield image
    except FileNotFoundError:
        raise NotFound(f"no image {path}") from None
    except IsADirectoryError:
        raise BadInput(f"{path} is a folder, expected an image") from None
    except PermissionError:
        raise BadInput(f"{path} cannot be opened: no permission") from None
    except (Image.DecompressionBombError, *_DAMAGED) as error:
        raise _unreadable(path, error) from None


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where there is none or the metadata is damaged."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except _DAMAGED:
        return 1


def resize_to_max_side(image: Image.Image, max_side: int | None) -> Image.Image:
    """The image, its longer side reduced to ``max_side`` pixels (antialiased bilinear) if it is longer."""
    size = _reduced_size(image.width, image.height, max_side)
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR)


def scale_shorter_side(image: Image.Image, side: int) -> Image.Image:
    """The image with a shorter side of ``side`` pixels, antialiased bilinear; small ones are enlarged."""
    scale = side / min(image.size)
    width, height = (max(side, round(length * scale)) for length in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)


def crop_centre(image: Image.Image, side: int) -> Image.Image:
    """The square in the middle; half a pixel further to the left and top where it cannot be the middle."""
    left, top = ((length - side) // 2 for length in image.size)
    return image.crop((left, top, left + side, top + side))


def _reduced_size(width: int, height: int, max_side: int | None) -> tuple[int, int]:
    longer = max(width, height)
    if max_side is None or longer <= max_side:
        return width, height
    scale = max_side / longer
    return max(1, round(width * scale)), max(1, round(height * scale))


def jitter_image(image: Image.Image, options: JitterOptions, seed: int, name: str, version: int) -> Image.Image:
    """The ``version``-th colour-jittered copy of a photo; version 0 is the photo itself.

    The draw depends on ``seed``, ``name`` and ``version`` only, so that neither batch size, order nor resuming change it.
    """
    if version == 0:
        return image
    from irploc.torchvision_safe import transforms

    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    generator = np.random.default_rng([seed, key, version])
    steps = {
        "brightness": transforms.adjust_brightness,
        "contrast": transforms.adjust_contrast,
        "saturation": transforms.adjust_saturation,
        "hue": transforms.adjust_hue,
    }
    for step in generator.permutation(sorted(steps)):
        spread = getattr(options, step)
        centre = 0.0 if step == "hue" else 1.0
        image = steps[step](image, float(generator.uniform(centre - spread, centre + spread)))
    return image


def to_array(image: Image.Image) -> np.ndarray:
    """(3, H, W) uint8 RGB, contiguous."""
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def list_images(folder: Path) -> list[Path]:
    """All image files below a folder, sorted by path; hidden files and folders are left out."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BIT:
        levels = np.asarray(image)  # whole numbers: as floats they would take four times the memory
        image = Image.fromarray((levels // 257 if levels.max() > 255 else levels).clip(0, 255).astype(np.uint8))
    elif image.mode == "F":
        levels = np.nan_to_num(np.asarray(image, dtype=np.float64))
        image = Image.fromarray((levels * (255.0 if levels.max(initial=0) <= 1 else 1.0)).clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image if image.mode == "RGBA" else image.convert("RGBA")  # which would copy, as below
        image = Image.new("RGB", layer.size, "white")
        image.paste(layer, mask=layer.getchannel("A"))
    return image if image.mode == "RGB" else image.convert("RGB")


def open_photo(photo: Path | EncodedPhoto) -> Image.Image:
    """What Pillow sees of a file's header; raises what Pillow raises."""
    return Image.open(photo.file(), formats=photo.formats) if isinstance(photo, EncodedPhoto) else Image.open(photo)


def _is_empty(photo: Path | EncodedPhoto) -> bool:
    if isinstance(photo, EncodedPhoto):
        return not photo.content
    try:
        return photo.stat().st_size == 0
    except OSError:
        return False


def _unreadable(path: Path | EncodedPhoto, error: Exception) -> BadInput:
    if isinstance(path, Path) and "\0" in str(path):
        return BadInput(f"{str(path)!r} is no path: it has a null character")
    if _is_empty(path):
        return NotAnImage(f"{path} is empty (0 bytes), expected an image")
    if isinstance(error, Image.DecompressionBombError):
        return TooManyPixels(f"{path} has more than {MAX_PIXELS:,} pixels")
    if isinstance(error, UnidentifiedImageError):
        known = ", ".join(path.formats) if isinstance(path, EncodedPhoto) and path.formats else KNOWN
        return NotAnImage(f"{path} is not an image of a known kind ({known})")
    if "truncated" in str(error).lower() or isinstance(error, EOFError):
        return BadInput(f"{path} is truncated: the file ends before the image does")
    return BadInput(f"{path} cannot be decoded: {error}")
