"""Where photos come from: frames of a video, or a folder whose files stay untouched."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from irploc.errors import BadInput
from irploc.images import decode_image, decoded_size, list_images
from irploc.progress import Progress
from irploc.scene import Rejected, name_of

_COLMAP_READS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
_ORIENTATION = 0x0112
_PLAIN = re.compile(r"[^\s#][^\s]*")  # names that COLMAP's lists can hold
_MOST_CROP = 4096


@dataclass(frozen=True)
class PhotoSet:
    """Photos that are to be mapped, in the order of the walk.

    Attributes:
        root: what names are relative to, for the scene.
        names: N of them.
        sequences: N walks they belong to; photos of no walk have an empty one.
        readable: the folder where COLMAP finds upright photos.
        files: N, what they are called there.
        left_out: what was not taken, and why.
        words: a few words about them for the report.
        times_s: presentation time of each frame of a video, by frame number; empty for photos.
    """

    root: Path
    names: tuple[str, ...]
    sequences: tuple[str, ...]
    readable: Path
    files: tuple[str, ...]
    left_out: tuple[Rejected, ...] = ()
    words: str = ""
    times_s: Mapping[int, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)


def photos_of_folder(folder: Path, work: Path, progress: Progress) -> PhotoSet:
    """All photos below a folder, each of its folders a walk in the order of names.

    COLMAP does not apply EXIF orientation, and its lists of pairs cannot hold names with spaces: where there are such
    photos, upright copies (with the EXIF focal length) and links to the others are made in ``work``, under plain names.

    Raises:
        BadInput: no photos, or formats that COLMAP cannot read.
    """
    paths = sorted(list_images(folder), key=lambda path: natural_order(name_of(path, folder)))
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
    readable, files = folder, names
    if turned or any(not _PLAIN.fullmatch(name) for name in names):
        readable = work / "photos"
        files = _plain_names(names)
        _make_readable(kept, turned, [readable / file for file in files], progress)
    walks = [name.rpartition("/")[0] for name in names]
    sequences = tuple(walk or folder.absolute().name for walk in walks)
    return PhotoSet(folder, names, sequences, readable, files, tuple(left_out), f"{len(names)} photos of {folder}")


def named(photos: PhotoSet, files: Sequence[str]) -> tuple[str, ...]:
    """The photos' own names of what COLMAP calls ``files``."""
    name_of_file = dict(zip(photos.files, photos.names, strict=True))
    return tuple(name_of_file[file] for file in files)


def natural_order(name: str) -> tuple[tuple[str, int, str], ...]:
    """A key that sorts names by folder and the numbers in them: IMG_9 before IMG_10."""
    parts = re.findall(r"([^\d]*)(\d*)", name)
    return tuple((text, int(digits or -1), digits) for text, digits in parts)


def crops_of(photos: Sequence[Path], names: Sequence[str], folder: Path, size: int, progress: Progress) -> None:
    """Writes square photos for networks that are trained on images: the shorter side scaled to 8/7 of ``size``, and of
    that the centre (paper 000 caches 224 of 256 so), as JPEG under the same names.

    Raises:
        BadInput: a photo that cannot be read, no room, or a size that cannot be.
    """
    check_crop(size)
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


def check_crop(size: int) -> None:
    """Raises BadInput for a size of crops that cannot be."""
    if not 16 <= size <= _MOST_CROP:
        raise BadInput(f"crops of {size} pixels are not possible, give 16 to {_MOST_CROP}")


def _is_turned(path: Path) -> bool:
    with Image.open(path) as image:
        return int(image.getexif().get(_ORIENTATION, 1)) not in (0, 1)


def _plain_names(names: Sequence[str]) -> tuple[str, ...]:
    """Other names for COLMAP, in a folder for each folder there was."""
    folders = {folder: number for number, folder in enumerate(dict.fromkeys(name.rpartition("/")[0] for name in names))}
    return tuple(
        f"{folders[name.rpartition('/')[0]]:04d}/{row:06d}{Path(name).suffix.lower()}" for row, name in enumerate(names)
    )


def _make_readable(paths: list[Path], turned: list[Path], targets: list[Path], progress: Progress) -> None:
    """The photos as COLMAP can take them."""
    to_turn = set(turned)
    try:
        for path, target in zip(paths, targets, strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            if path in to_turn:
                _save_upright(path, target)
            elif not target.exists():
                target.unlink(missing_ok=True)  # a link that leads nowhere
                target.symlink_to(path.absolute())
            progress.advance()
    except OSError as error:
        raise BadInput(f"cannot write upright copies to {targets[0].parent}: {error.strerror or error}") from None


def _save_upright(path: Path, target: Path) -> None:
    if target.exists():
        return
    with Image.open(path) as image:
        exif = image.getexif()
    exif.pop(_ORIENTATION, None)
    temporary = target.with_name(f".{target.name}")
    decode_image(path).save(temporary, format="PNG" if target.suffix.lower() == ".png" else "JPEG", quality=97, exif=exif)
    temporary.replace(target)
