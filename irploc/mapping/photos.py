"""Where photos come from: frames of a video, or a folder whose files stay untouched."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from irploc.errors import BadInput
from irploc.images import decode_image, decoded_size, list_images
from irploc.progress import Progress
from irploc.scene import Rejected, name_of

_COLMAP_READS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class PhotoSet:
    """Photos that are to be mapped, in the order of the walk.

    Attributes:
        root: what names are relative to, for the scene.
        names: N of them.
        sequences: N walks they belong to; photos of no walk have an empty one.
        readable: the folder where COLMAP finds upright photos of the same names.
        left_out: what was not taken, and why.
        words: a few words about them for the report.
    """

    root: Path
    names: tuple[str, ...]
    sequences: tuple[str, ...]
    readable: Path
    left_out: tuple[Rejected, ...] = ()
    words: str = ""

    def __len__(self) -> int:
        return len(self.names)


def photos_of_folder(folder: Path, work: Path, progress: Progress) -> PhotoSet:
    """All photos below a folder, each of its folders a walk in the order of names.

    COLMAP does not apply EXIF orientation: where photos have one, upright copies (with the EXIF focal length) are made in
    ``work``, and links to the others.

    Raises:
        BadInput: no photos, or formats that COLMAP cannot read.
    """
    paths = list_images(folder)
    if not paths:
        raise BadInput(f"{folder} holds no photos; give a folder of JPEG or PNG files, or a video")
    left_out, kept = [], []
    for row, path in enumerate(paths):
        try:
            if path.suffix.lower() not in _COLMAP_READS:
                raise BadInput(f"{path.suffix} files cannot be mapped: save it as JPEG or PNG")
            decoded_size(path)
            kept.append(path)
        except BadInput as error:
            left_out.append(Rejected(name_of(path, folder), row, str(error)))
    if not kept:
        raise BadInput(f"none of the {len(paths)} photos in {folder} can be read; first: {left_out[0].reason}")
    turned = [path for path in kept if _is_turned(path)]
    names = tuple(name_of(path, folder) for path in kept)
    readable = _upright_folder(folder, kept, turned, work / "photos", progress) if turned else folder
    walks = [name.rpartition("/")[0] for name in names]
    sequences = tuple(walk or folder.absolute().name for walk in walks)
    return PhotoSet(folder, names, sequences, readable, tuple(left_out), f"{len(names)} photos of {folder}")


def crops_of(photos: Sequence[Path], names: Sequence[str], folder: Path, size: int, progress: Progress) -> None:
    """Writes square photos for networks that are trained on images: the shorter side scaled to 8/7 of ``size``, and of
    that the centre (paper 000 caches 224 of 256 so), as JPEG under the same names.

    Raises:
        BadInput: a photo that cannot be read, no room, or a size that cannot be.
    """
    if size < 16:
        raise BadInput(f"crops of {size} pixels are too small, give at least 16")
    side = round(size * 8 / 7)
    for path, name in zip(photos, names, strict=True):
        image = decode_image(path)
        scale = side / min(image.size)
        width, height = (max(side, round(length * scale)) for length in image.size)
        left, top = (width - size) // 2, (height - size) // 2
        small = image.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + size, top + size))
        target = (folder / name).with_suffix(".jpg")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            small.save(target, quality=95)
        except OSError as error:
            raise BadInput(f"cannot write {target}: {error.strerror or error}") from None
        progress.advance()


def _is_turned(path: Path) -> bool:
    with Image.open(path) as image:
        return int(image.getexif().get(_ORIENTATION, 1)) not in (0, 1)


def _upright_folder(folder: Path, paths: list[Path], turned: list[Path], target: Path, progress: Progress) -> Path:
    """The photos as COLMAP can take them."""
    try:
        for path in paths:
            upright = target / path.relative_to(folder)
            upright.parent.mkdir(parents=True, exist_ok=True)
            if path in turned:
                _save_upright(path, upright)
            elif not upright.exists():
                upright.symlink_to(path.absolute())
            progress.advance()
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise BadInput(f"cannot write upright copies to {target}: {error.strerror or error}") from None
    return target


def _save_upright(path: Path, target: Path) -> None:
    if target.exists():
        return
    with Image.open(path) as image:
        exif = image.getexif()
    exif.pop(_ORIENTATION, None)
    temporary = target.with_name(f".{target.name}")
    decode_image(path).save(temporary, format="PNG" if target.suffix.lower() == ".png" else "JPEG", quality=97, exif=exif)
    temporary.replace(target)
