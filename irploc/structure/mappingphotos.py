"""The mapping photos that a map is made from: posed, with intrinsics, and their features as they are kept meanwhile."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from irploc.errors import BadInput, summarize
from irploc.files import replacing
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.images import decode_image, decoded_size
from irploc.opencv_safe import one_thread_a_call
from irploc.pairs.threads import in_threads
from irploc.progress import Progress, Silent
from irploc.scene import Frames
from irploc.structure.features import FeatureExtractor, FeatureOptions, LocalFeatures

_CHUNK = 8  # photos a file: all that is done again after an interruption


@dataclass(frozen=True)
class MappingPhotos:
    """N posed photos with intrinsics.

    Attributes:
        names: as in the scene.
        images: their files.
        poses: of the photos.
        photo_cameras: N keys of ``cameras``.
        cameras: name -> intrinsics.
    """

    names: tuple[str, ...]
    images: tuple[Path, ...]
    poses: Poses
    photo_cameras: tuple[str, ...]
    cameras: dict[str, Camera] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: np.ndarray | Sequence[int]) -> MappingPhotos:
        chosen = np.asarray(rows, dtype=np.int64)
        names, images, cameras = (
            tuple(column[row] for row in chosen) for column in (self.names, self.images, self.photo_cameras)
        )
        return MappingPhotos(names, images, self.poses[chosen], cameras, self.cameras)

    def camera(self, row: int) -> Camera:
        """The intrinsics of a photo."""
        return self.cameras[self.photo_cameras[row]]

    @property
    def cameras_used(self) -> dict[str, Camera]:
        """Those that photos have, by name."""
        return {name: self.cameras[name] for name in sorted(set(self.photo_cameras))}


def mapping_photos(frames: Frames, cameras: dict[str, Camera], where: str) -> MappingPhotos:
    """Those of some frames, checked.

    Args:
        where: the scene, for messages.

    Raises:
        BadInput: photos without intrinsics, or of another size than their camera. NotFound: a photo that is not there.
    """
    lost = [name for name, camera in zip(frames.names, frames.cameras, strict=True) if camera not in cameras]
    if lost:
        raise BadInput(
            f"{where}: {len(lost)} of {len(frames)} mapping photos have no intrinsics (first: {summarize(lost[:1])}): "
            "describe the camera in scene.toml and name it in frames.csv"
        )
    photos = MappingPhotos(frames.names, frames.images, frames.poses, frames.cameras, cameras)
    sizes = in_threads(decoded_size, photos.images, Silent())
    wrong = [row for row, size in enumerate(sizes) if size != (photos.camera(row).width, photos.camera(row).height)]
    if wrong:
        (width, height), camera, name = sizes[wrong[0]], photos.camera(wrong[0]), photos.photo_cameras[wrong[0]]
        raise BadInput(
            f"{where}: {len(wrong)} of {len(photos)} mapping photos are of another size than their camera; first: "
            f"{photos.images[wrong[0]]} is {width}x{height}, camera {name!r} is for {camera.width}x{camera.height}"
        )
    return photos


def extract_all(photos: MappingPhotos, options: FeatureOptions, folder: Path, bar: Progress) -> list[LocalFeatures]:
    """The features of every photo, kept in files of ``folder``; what is there already is not done again.

    Args:
        folder: of this map's work; nothing else may have been put there.
        bar: takes a step per photo.
    """
    extractor = FeatureExtractor(options)
    folder.mkdir(parents=True, exist_ok=True)
    found: list[LocalFeatures] = []
    with one_thread_a_call():
        for start in range(0, len(photos), _CHUNK):
            images = photos.images[start : start + _CHUNK]
            path = folder / f"{start:07d}.npz"
            chunk = _read_chunk(path, len(images))
            if chunk is None:
                chunk = in_threads(lambda image: extractor.extract(decode_image(image)), images, Silent())
                _write_chunk(path, chunk)
            found += chunk
            bar.advance(len(chunk))
    return found


def _write_chunk(path: Path, chunk: list[LocalFeatures]) -> None:
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            sizes=np.array([(len(features), features.width, features.height) for features in chunk]),
            pixels=np.concatenate([features.pixels for features in chunk]),
            descriptors=np.concatenate([features.descriptors for features in chunk]),
        )


def _read_chunk(path: Path, count: int) -> list[LocalFeatures] | None:
    """The features of ``count`` photos; None where the file is not there or damaged."""
    try:
        with np.load(path, allow_pickle=False) as content:
            sizes, pixels, descriptors = (content[name] for name in ("sizes", "pixels", "descriptors"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    ends = np.cumsum(sizes[:, 0])
    if len(sizes) != count or ends[-1] != len(pixels) or len(pixels) != len(descriptors):
        return None
    parts = zip(np.split(pixels, ends[:-1]), np.split(descriptors, ends[:-1]), sizes, strict=True)
    return [LocalFeatures(places, vectors, int(size[1]), int(size[2])) for places, vectors, size in parts]
