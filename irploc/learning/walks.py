"""The unlabelled photos that a scene is to learn from, walk by walk: photos, folders, frames of videos."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from irploc.errors import BadInput, NotFound, summarize
from irploc.files import write_text
from irploc.images import SUFFIXES, list_images
from irploc.mapping.frames import photos_of_video
from irploc.mapping.photos import natural_order
from irploc.mapping.selection import SelectionOptions
from irploc.mapping.video import video_facts
from irploc.progress import Stages
from irploc.readers.base import absolute, number_in_name
from irploc.scene import Frames, Scene

FOLDER = "learned"  # in the scene's, for the frames of videos
_SOURCE = "source.txt"


@dataclass(frozen=True)
class Walk:
    """Photos that were taken one after the other.

    Attributes:
        source: what tells the walk from others: a folder or a video.
        photos: N absolute paths, in order.
        indices: N increasing positions: frame numbers of a video, numbers in the names where they tell the photos apart,
            else the order.
    """

    source: Path
    photos: tuple[Path, ...]
    indices: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.photos)

    def of(self, kept: Sequence[bool] | np.ndarray) -> Walk:
        """Some of the photos."""
        rows = np.flatnonzero(kept)
        return Walk(self.source, tuple(self.photos[row] for row in rows), tuple(self.indices[row] for row in rows))


def walks_of(sources: Sequence[Path], scene_folder: Path, options: SelectionOptions, stages: Stages) -> list[Walk]:
    """The walks in photos, folders and videos; photos of one folder are one walk, a video is one.

    Frames of a video become photos in ``learned/<its name>/`` of the scene's folder; a second call finds them there.

    Raises:
        NotFound: a path that is not there. BadInput: a folder without photos, or a file that is neither photo nor video.
    """
    check_sources(sources)
    folders: dict[Path, set[Path]] = {}
    videos: list[Path] = []
    for source in sources:
        if source.is_dir():
            for path in list_images(source):
                folders.setdefault(absolute(path).parent, set()).add(absolute(path))
        elif source.suffix.lower() in SUFFIXES:
            folders.setdefault(absolute(source).parent, set()).add(absolute(source))
        elif absolute(source) not in videos:
            videos.append(absolute(source))
    found = [_walk_of_folder(folder, sorted(photos)) for folder, photos in sorted(folders.items())]
    return found + [_walk_of_video(video, scene_folder, options, stages) for video in videos]


def without_known(walks: Sequence[Walk], scene: Scene) -> tuple[list[Walk], int]:
    """The walks without photos that map the scene already, and how many those were.

    Raises:
        BadInput: for photos that test the scene: their true poses judge the methods.
    """
    split_of = _splits_by_path(scene.frames)
    splits = [[split_of.get(photo.resolve(), "") for photo in walk.photos] for walk in walks]
    testing = [
        str(photo)
        for walk, known in zip(walks, splits, strict=True)
        for photo, split in zip(walk.photos, known, strict=True)
        if split not in ("", "train")
    ]
    if testing:
        total = sum(len(walk) for walk in walks)
        raise BadInput(
            f"{len(testing)} of {total} photos are test or validation photos of {scene.name}, whose true poses judge the "
            f"methods; first: {summarize(testing[:1])}: leave them out"
        )
    new = [walk.of([split == "" for split in known]) for walk, known in zip(walks, splits, strict=True)]
    return [walk for walk in new if len(walk)], sum(split == "train" for known in splits for split in known)


def _splits_by_path(frames: Frames) -> dict[Path, str]:
    return {image.resolve(): str(split) for image, split in zip(frames.images, frames.splits, strict=True)}


def check_sources(sources: Sequence[Path]) -> None:
    """Raises NotFound or BadInput, before anything slow is done, as ``walks_of`` will."""
    for source in sources:
        if source.is_dir():
            if not list_images(source):
                raise BadInput(f"folder {source} has no photos")
        elif not source.exists():
            raise NotFound(f"no photo, folder or video {source}")
        elif source.suffix.lower() not in SUFFIXES:
            video_facts(source)


def _walk_of_folder(folder: Path, photos: list[Path]) -> Walk:
    ordered = sorted(photos, key=lambda path: natural_order(path.name))
    numbers = [number_in_name(path.name) for path in ordered]
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers) or len(set(known)) < len(known):
        known = list(range(len(ordered)))
    order = np.argsort(known, kind="stable")
    return Walk(folder, tuple(ordered[row] for row in order), tuple(known[row] for row in order))


def _walk_of_video(video: Path, scene_folder: Path, options: SelectionOptions, stages: Stages) -> Walk:
    work = _folder_for(video, scene_folder, options)
    photos, _ = photos_of_video(video, work / "images", work, options, stages)
    paths = tuple(absolute(photos.readable / name) for name in photos.files)
    numbers = (number_in_name(name) for name in photos.names)
    return Walk(work, paths, tuple(number for number in numbers if number is not None))


def _folder_for(video: Path, scene_folder: Path, options: SelectionOptions) -> Path:
    """The folder of this video's frames: the one it has already, else a new one."""
    known = f"{video}\n{video.stat().st_size} bytes, {options.fps:g} frames a second\n"
    name = re.sub(r"[^\w.-]+", "_", video.stem) or "video"
    number = 1
    while True:
        work = absolute(scene_folder) / FOLDER / (name if number == 1 else f"{name}-{number}")
        said = work / _SOURCE
        if not said.is_file():
            write_text(said, known)
        if said.read_text(encoding="utf-8") == known:
            return work
        number += 1
